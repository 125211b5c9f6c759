//! Signed notes of C2SP, with Ed25519.

use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::{AuditFault, files};

/// The type of an Ed25519 key.
const ED25519_TYPE: u8 = 1;
/// Signatures that are looked at in one note.
const SIGNATURES: usize = 32;

/// A public key as auditors hold it: `name+hash+base64`, as in the file `audit.pub`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    public: [u8; 32],
}

/// A text that is no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a public key of the form name+hash+base64")]
pub struct KeyFault;

impl VerifierKey {
    fn new(name: &str, public: [u8; 32]) -> VerifierKey {
        VerifierKey { name: name.into(), id: key_id(name, ED25519_TYPE, &public), public }
    }

    /// The key's name, which is also the log's origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text of a note that this key signed.
    pub(crate) fn open<'a>(&self, note: &'a str) -> Option<&'a str> {
        let (text, signatures) = split(note)?;
        let mut signed = false;
        for (count, line) in signatures.split('\n').enumerate() {
            let (name, signature) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
            let signature = STANDARD.decode(signature).ok()?;
            let (id, signature) = signature.split_first_chunk::<4>()?;
            if name == self.name && *id == self.id {
                let key = UnparsedPublicKey::new(&ED25519, self.public);
                key.verify(text.as_bytes(), signature).ok()?;
                signed = true;
            }
            if count == SIGNATURES {
                return None;
            }
        }
        signed.then_some(text)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&key_text(&self.name, self.id, ED25519_TYPE, &self.public))
    }
}

impl FromStr for VerifierKey {
    type Err = KeyFault;

    fn from_str(text: &str) -> Result<VerifierKey, KeyFault> {
        let (name, id, public) = parse_key(text, ED25519_TYPE).ok_or(KeyFault)?;
        Ok(VerifierKey { name, id, public })
    }
}

/// A note's text and its signatures' lines.
pub(crate) fn split(note: &str) -> Option<(&str, &str)> {
    let end = note.rfind("\n\n")? + 1;
    let plain = note.chars().all(|character| character >= ' ' || character == '\n');
    Some((&note[..end], note[end + 1..].strip_suffix('\n')?)).filter(|_| plain)
}

/// What a key's signatures are marked with.
fn key_id(name: &str, kind: u8, public: &[u8; 32]) -> [u8; 4] {
    let named = [name.as_bytes(), &[b'\n', kind], public].concat();
    let mut id = [0; 4];
    id.copy_from_slice(&digest(&SHA256, &named).as_ref()[..4]);
    id
}

/// A public key of this type: its name, its mark and itself.
pub(crate) fn parse_key(text: &str, kind: u8) -> Option<(String, [u8; 4], [u8; 32])> {
    let (name, id, typed) = parts(text.trim())?;
    let typed = STANDARD.decode(typed).ok()?;
    let (first, public) = typed.split_first()?;
    let public = public.try_into().ok().filter(|_| *first == kind)?;
    let own = key_id(name, kind, &public);
    (u32::from_be_bytes(own) == id).then(|| (name.to_owned(), own, public))
}

/// The same as text.
pub(crate) fn key_text(name: &str, id: [u8; 4], kind: u8, public: &[u8; 32]) -> String {
    let typed = [&[kind], &public[..]].concat();
    format!("{name}+{:08x}+{}", u32::from_be_bytes(id), STANDARD.encode(typed))
}

/// Name, id and key. A base64 text may hold a plus, a name may not.
fn parts(text: &str) -> Option<(&str, u32, &str)> {
    let (name, rest) = text.split_once('+')?;
    let (id, key) = rest.split_once('+')?;
    let fine = !name.is_empty() && !name.contains(char::is_whitespace) && id.len() == 8;
    Some((name, u32::from_str_radix(id, 16).ok()?, key)).filter(|_| fine)
}

/// The key that signs checkpoints.
pub(crate) struct Signer {
    pair: Ed25519KeyPair,
    key: VerifierKey,
}

impl Signer {
    /// Reads the key in this folder; makes it when there is none and `new` allows it. The
    /// public key is put beside it.
    pub(crate) fn open(dir: &Path, new: bool) -> Result<Signer, AuditFault> {
        let path = dir.join("audit.key");
        files::must_be_private(&path).map_err(files::at(&path))?;
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound && new => make(&path)?,
            Err(error) => return Err(files::at(&path)(error)),
        };
        let signer = Signer::parse(&text).ok_or_else(|| {
            files::at(&path)(io::Error::new(io::ErrorKind::InvalidData, "not a signing key"))
        })?;
        let public = dir.join("audit.pub");
        let line = format!("{}\n", signer.key);
        if std::fs::read_to_string(&public).ok().as_deref() != Some(&line) {
            files::replace(&public, line.as_bytes(), true).map_err(files::at(&public))?;
        }
        Ok(signer)
    }

    fn parse(text: &str) -> Option<Signer> {
        let (name, id, typed) = parts(text.trim().strip_prefix("PRIVATE+KEY+")?)?;
        let typed = Zeroizing::new(STANDARD.decode(typed).ok()?);
        let [ED25519_TYPE, seed @ ..] = &typed[..] else { return None };
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        let key = VerifierKey::new(name, pair.public_key().as_ref().try_into().ok()?);
        (u32::from_be_bytes(key.id) == id).then_some(Signer { pair, key })
    }

    pub(crate) fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// A note of this text, which ends in a newline.
    pub(crate) fn sign(&self, text: &str) -> String {
        let signature = self.pair.sign(text.as_bytes());
        let signed = STANDARD.encode([&self.key.id, signature.as_ref()].concat());
        format!("{text}\n\u{2014} {} {signed}\n", self.key.name)
    }
}

/// Makes a key whose name commits to it, in the form of Go's signing keys.
fn make(path: &Path) -> Result<Zeroizing<String>, AuditFault> {
    let failed = |_| files::at(path)(io::Error::other("no randomness"));
    let mut typed = Zeroizing::new([ED25519_TYPE; 33]);
    rand::fill(&mut typed[1..]).map_err(failed)?;
    let pair = Ed25519KeyPair::from_seed_unchecked(&typed[1..])
        .map_err(|_| files::at(path)(io::Error::other("no key")))?;
    let mut public = [0; 32];
    public.copy_from_slice(pair.public_key().as_ref());
    let hash = digest(&SHA256, &public);
    let mut name = String::from("bartizan.dev/audit/");
    hash.as_ref()[..8].iter().for_each(|byte| name.push_str(&format!("{byte:02x}")));
    let id = u32::from_be_bytes(VerifierKey::new(&name, public).id);
    let secret = Zeroizing::new(STANDARD.encode(&typed[..]));
    let text = Zeroizing::new(format!("PRIVATE+KEY+{name}+{id:08x}+{}\n", &secret[..]));
    files::replace(path, text.as_bytes(), true).map_err(files::at(path))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GO_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const GO_NOTE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\n\
        \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn a_note_of_another_implementation_opens() {
        let key: VerifierKey = GO_KEY.parse().unwrap();
        assert_eq!(key.to_string(), GO_KEY);
        assert!(key.open(GO_NOTE).unwrap().ends_with("problem is.\n"));
        assert_eq!(key.open(&GO_NOTE.replace("your problem is", "his problem is")), None);
    }

    #[test]
    fn keys_come_back_and_sign() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Signer::open(dir.path(), false).is_err());
        let signer = Signer::open(dir.path(), true).unwrap();
        let again = Signer::open(dir.path(), false).unwrap();
        assert_eq!(signer.key(), again.key());
        let key: VerifierKey =
            std::fs::read_to_string(dir.path().join("audit.pub")).unwrap().parse().unwrap();
        let note = again.sign("a\nb\n");
        assert_eq!(key.open(&note), Some("a\nb\n"));
        assert_eq!(GO_KEY.parse::<VerifierKey>().unwrap().open(&note), None);
        std::fs::write(dir.path().join("audit.key"), "PRIVATE+KEY+x+00000000+AQ==").unwrap();
        assert!(Signer::open(dir.path(), true).is_err());
    }

    proptest! {
        #[test]
        fn no_changed_note_opens(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let key: VerifierKey = GO_KEY.parse().unwrap();
            let mut bytes = GO_NOTE.as_bytes().to_vec();
            let at = at.index(bytes.len());
            prop_assume!(bytes[at] != byte);
            bytes[at] = byte;
            let note = String::from_utf8_lossy(&bytes);
            prop_assert_eq!(key.open(&note), None);
        }

        #[test]
        fn no_key_or_note_panics(text in "[a+\n\u{2014} =0-9A]{0,80}") {
            let key: VerifierKey = GO_KEY.parse().unwrap();
            prop_assert_eq!(key.open(&text), None);
            let _ = text.parse::<VerifierKey>();
            let _ = Signer::parse(&text);
        }
    }
}
