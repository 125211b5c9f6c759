//! Files of age (<https://c2sp.org/age>) for X25519 recipients, as the tool `age` writes and opens them.
//!
//! Only the format is here: key agreement, HKDF, HMAC and ChaCha20-Poly1305 are aws-lc-rs's. The crate `age`
//! would bring a second provider of all four, and some sixty crates that translate its messages.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{
    EphemeralPrivateKey, PrivateKey, UnparsedPublicKey, X25519, agree, agree_ephemeral,
};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::{SystemRandom, fill};
use aws_lc_rs::{hkdf, hmac};
use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32, Hrp};
use zeroize::Zeroizing;

const VERSION: &str = "age-encryption.org/v1\n";
const STANZA: &str = "-> X25519 ";
const MAC: &str = "---";
const LABEL: &[u8] = b"age-encryption.org/v1/X25519";
const PUBLIC: Hrp = Hrp::parse_unchecked("age");
const SECRET: Hrp = Hrp::parse_unchecked("age-secret-key-");
/// Bytes of the key that the file is encrypted with.
const FILE_KEY: usize = 16;
/// The same, wrapped for a recipient.
const WRAPPED: usize = FILE_KEY + TAG;
const TAG: usize = 16;
/// Bytes that are sealed at once.
const CHUNK: usize = 64 << 10;
/// Recipients of a file that is read.
const STANZAS: usize = 64;

/// Who a file is sealed for: a public key, `age1…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipient([u8; 32]);

/// What opens a file: a private key, `AGE-SECRET-KEY-1…`.
pub struct Identity(Zeroizing<[u8; 32]>);

/// Why a text is no key of age's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AgeKeyFault {
    /// Not an identity.
    #[error("there is no identity: a line AGE-SECRET-KEY-1…, as age-keygen writes it")]
    Identity,
    /// Not a recipient.
    #[error("not a recipient: age1 and 58 letters and digits, as age-keygen writes it")]
    Recipient,
}

/// Why a sealed payload can't be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealFault {
    /// The bytes are not those that were sealed.
    #[error("the sealed bytes were changed")]
    Changed,
    /// Not a file of age with X25519 recipients.
    #[error("not a file of age")]
    Form,
    /// Sealed for others.
    #[error("it was not sealed for this identity")]
    Stranger,
}

impl FromStr for Recipient {
    type Err = AgeKeyFault;

    fn from_str(text: &str) -> Result<Recipient, AgeKeyFault> {
        decode(text, PUBLIC).map(Recipient).ok_or(AgeKeyFault::Recipient)
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It is too short to fail.
        f.write_str(&bech32::encode::<Bech32>(PUBLIC, &self.0).unwrap_or_default())
    }
}

impl Identity {
    /// The first identity of a file, as `age-keygen` writes it: comments begin with `#`.
    pub fn read(file: &str) -> Result<Identity, AgeKeyFault> {
        let mut lines = file.lines().map(str::trim);
        let line = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
        let key = line.and_then(|line| decode(line, SECRET)).ok_or(AgeKeyFault::Identity)?;
        Ok(Identity(Zeroizing::new(key)))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

fn decode(text: &str, kind: Hrp) -> Option<[u8; 32]> {
    let checked = CheckedHrpstring::new::<Bech32>(text).ok()?;
    let bytes: Zeroizing<Vec<u8>> = Zeroizing::new(checked.byte_iter().collect());
    (checked.hrp() == kind).then(|| bytes[..].try_into().ok()).flatten()
}

/// Seals bytes so that each of the recipients can open them, and nobody else.
pub(crate) fn seal(recipients: &[Recipient], plain: &[u8]) -> Result<Vec<u8>, Unspecified> {
    let (mut file_key, mut nonce) = (Zeroizing::new([0; FILE_KEY]), [0; 16]);
    fill(&mut file_key[..])?;
    fill(&mut nonce)?;
    let mut header = String::with_capacity(128 + 128 * recipients.len());
    header.push_str(VERSION);
    for recipient in recipients {
        let (share, wrapped) = wrap(recipient, &file_key)?;
        header.push_str(STANZA);
        BASE64_STANDARD_NO_PAD.encode_string(share, &mut header);
        header.push('\n');
        BASE64_STANDARD_NO_PAD.encode_string(wrapped, &mut header);
        header.push('\n');
    }
    header.push_str(MAC);
    let mac = hmac::sign(&mac_key(&file_key[..])?, header.as_bytes());
    header.push(' ');
    BASE64_STANDARD_NO_PAD.encode_string(mac, &mut header);
    header.push('\n');
    let mut sealed = header.into_bytes();
    sealed.reserve(nonce.len() + plain.len() + (plain.len() / CHUNK + 1) * TAG);
    sealed.extend_from_slice(&nonce);
    let key = payload_key(&file_key[..], &nonce)?;
    let last = plain.len().saturating_sub(1) / CHUNK;
    for number in 0..=last {
        let end = plain.len().min((number + 1) * CHUNK);
        let begin = sealed.len();
        sealed.extend_from_slice(&plain[number * CHUNK..end]);
        let nonce = chunk_nonce(number, number == last);
        let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut sealed[begin..])?;
        sealed.extend_from_slice(tag.as_ref());
    }
    Ok(sealed)
}

/// Opens what was sealed for this identity.
pub(crate) fn open(identity: &Identity, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealFault> {
    let header = Header::read(sealed).ok_or(SealFault::Form)?;
    let key = PrivateKey::from_private_key(&X25519, &identity.0[..]);
    let key = key.map_err(|_| SealFault::Stranger)?;
    let opened = header.stanzas.iter().find_map(|stanza| unwrap(&key, stanza));
    let file_key = opened.ok_or(SealFault::Stranger)?;
    let changed = |_| SealFault::Changed;
    let mac = mac_key(&file_key[..]).map_err(changed)?;
    hmac::verify(&mac, header.signed, &header.mac).map_err(changed)?;
    let (nonce, mut rest) = header.payload.split_first_chunk::<16>().ok_or(SealFault::Form)?;
    let key = payload_key(&file_key[..], nonce).map_err(changed)?;
    let mut plain = Zeroizing::new(Vec::with_capacity(rest.len()));
    for number in 0.. {
        let (chunk, behind) = rest.split_at(rest.len().min(CHUNK + TAG));
        let begin = plain.len();
        plain.extend_from_slice(chunk);
        let nonce = chunk_nonce(number, behind.is_empty());
        let opened = key.open_in_place(nonce, Aad::empty(), &mut plain[begin..]);
        let length = opened.map_err(changed)?.len();
        // Only of an empty file the last chunk may be empty.
        if length == 0 && number > 0 {
            return Err(SealFault::Changed);
        }
        plain.truncate(begin + length);
        if behind.is_empty() {
            break;
        }
        rest = behind;
    }
    Ok(plain)
}

/// The key of the file, for one recipient; and the public half of the key that was made for it.
fn wrap(
    recipient: &Recipient,
    file_key: &[u8; FILE_KEY],
) -> Result<([u8; 32], [u8; WRAPPED]), Unspecified> {
    let own = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new())?;
    let share: [u8; 32] = own.compute_public_key()?.as_ref().try_into().map_err(|_| Unspecified)?;
    let peer = UnparsedPublicKey::new(&X25519, recipient.0);
    let key = agree_ephemeral(own, peer, Unspecified, |secret| {
        wrapping_key(secret, &share, &recipient.0)
    })?;
    let mut wrapped = [0; WRAPPED];
    let (body, tag) = wrapped.split_at_mut(FILE_KEY);
    body.copy_from_slice(file_key);
    let sealed = key.seal_in_place_separate_tag(zero(), Aad::empty(), body)?;
    tag.copy_from_slice(sealed.as_ref());
    Ok((share, wrapped))
}

fn unwrap(own: &PrivateKey, (share, wrapped): &Stanza) -> Option<Zeroizing<[u8; FILE_KEY]>> {
    let public = own.compute_public_key().ok()?;
    let peer = UnparsedPublicKey::new(&X25519, share);
    let key = agree(own, peer, Unspecified, |secret| wrapping_key(secret, share, public.as_ref()));
    let mut wrapped = *wrapped;
    let opened = key.ok()?.open_in_place(zero(), Aad::empty(), &mut wrapped).ok()?;
    Some(Zeroizing::new(<[u8; FILE_KEY]>::try_from(&*opened).ok()?))
}

fn wrapping_key(secret: &[u8], share: &[u8], recipient: &[u8]) -> Result<LessSafeKey, Unspecified> {
    cipher(&derived(&[share, recipient].concat(), secret, LABEL)?[..])
}

fn payload_key(file_key: &[u8], nonce: &[u8]) -> Result<LessSafeKey, Unspecified> {
    cipher(&derived(nonce, file_key, b"payload")?[..])
}

fn mac_key(file_key: &[u8]) -> Result<hmac::Key, Unspecified> {
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &derived(&[], file_key, b"header")?[..]))
}

fn cipher(key: &[u8]) -> Result<LessSafeKey, Unspecified> {
    UnboundKey::new(&CHACHA20_POLY1305, key).map(LessSafeKey::new)
}

fn derived(salt: &[u8], secret: &[u8], info: &[u8]) -> Result<Zeroizing<[u8; 32]>, Unspecified> {
    let key = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret);
    let mut derived = Zeroizing::new([0; 32]);
    key.expand(&[info], hkdf::HKDF_SHA256)?.fill(&mut derived[..])?;
    Ok(derived)
}

/// The key is used once.
fn zero() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

/// The number in eleven bytes, and whether it is the last.
fn chunk_nonce(number: usize, last: bool) -> Nonce {
    let mut nonce = [0; 12];
    nonce[3..11].copy_from_slice(&(number as u64).to_be_bytes());
    nonce[11] = u8::from(last);
    Nonce::assume_unique_for_key(nonce)
}

/// The public half of a key, and the file's key as it can be read with the other.
type Stanza = ([u8; 32], [u8; WRAPPED]);

struct Header<'a> {
    stanzas: Vec<Stanza>,
    /// What the MAC is over.
    signed: &'a [u8],
    mac: [u8; 32],
    payload: &'a [u8],
}

impl Header<'_> {
    fn read(sealed: &[u8]) -> Option<Header<'_>> {
        let mut rest = sealed.strip_prefix(VERSION.as_bytes())?;
        let mut stanzas = Vec::new();
        loop {
            let begin = sealed.len() - rest.len();
            let line = line(&mut rest)?;
            if let Some(mac) = line.strip_prefix(MAC) {
                let (signed, mac) =
                    (&sealed[..begin + MAC.len()], decoded(mac.strip_prefix(' ')?)?);
                return Some(Header { stanzas, signed, mac, payload: rest });
            }
            if stanzas.len() == STANZAS {
                return None;
            }
            let known = line.strip_prefix(STANZA);
            if known.is_none() && !line.starts_with("-> ") {
                return None;
            }
            // Its body: full lines, and one that is not.
            let mut body = String::new();
            loop {
                let line = self::line(&mut rest)?;
                body.push_str(line);
                if line.len() < 64 {
                    break;
                }
            }
            // Those of other kinds are for others.
            if let Some(share) = known {
                stanzas.push((decoded(share)?, decoded(&body)?));
            }
        }
    }
}

fn line<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let end = rest.iter().take(1 << 10).position(|byte| *byte == b'\n')?;
    let line = std::str::from_utf8(&rest[..end]).ok()?;
    *rest = &rest[end + 1..];
    Some(line)
}

fn decoded<const N: usize>(text: &str) -> Option<[u8; N]> {
    BASE64_STANDARD_NO_PAD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key pair of the format's own test vectors (<https://c2sp.org/CCTV/age>).
    const IDENTITY: &str =
        "AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0";
    const RECIPIENT: &str = "age1xmwwc06ly3ee5rytxm9mflaz2u56jjj36s0mypdrwsvlul66mv4q47ryef";

    fn keys() -> (Recipient, Identity) {
        let identity = format!("# created: 2026-11-26T10:00:00Z\n# public key: age1\n{IDENTITY}\n");
        (RECIPIENT.parse().unwrap(), Identity::read(&identity).unwrap())
    }

    fn plain(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at % 251) as u8).collect()
    }

    #[test]
    fn what_is_sealed_is_opened_whatever_its_length() {
        let (recipient, identity) = keys();
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 5] {
            let sealed = seal(&[recipient], &plain(length)).unwrap();
            assert_eq!(*open(&identity, &sealed).unwrap(), plain(length), "{length}");
        }
    }

    #[test]
    fn no_changed_byte_passes() {
        let (recipient, identity) = keys();
        let sealed = seal(&[recipient], b"{\"title\":\"hello\"}").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(open(&identity, &changed).is_err(), "{at}");
            assert!(open(&identity, &sealed[..at]).is_err(), "{at}");
        }
        let long = seal(&[recipient], &plain(CHUNK + 1)).unwrap();
        // Cut where a chunk ends.
        assert_eq!(open(&identity, &long[..long.len() - 17]), Err(SealFault::Changed));
    }

    #[test]
    fn each_recipient_opens_it_and_nobody_else() {
        let (recipient, identity) = keys();
        let own = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new()).unwrap();
        let other = Recipient(own.compute_public_key().unwrap().as_ref().try_into().unwrap());
        let both = seal(&[other, recipient], b"x").unwrap();
        assert_eq!(open(&identity, &both).unwrap()[..], b"x"[..]);
        let theirs = seal(&[other], b"x").unwrap();
        assert_eq!(open(&identity, &theirs), Err(SealFault::Stranger));
        assert_eq!(open(&identity, b"age-encryption.org/v1\nnothing"), Err(SealFault::Form));
    }

    #[test]
    fn keys_are_written_as_they_are_read_and_typing_errors_are_found() {
        let (recipient, _) = keys();
        assert_eq!(recipient.to_string(), RECIPIENT);
        assert_eq!(
            RECIPIENT.replace("xmwwc", "xmwvc").parse::<Recipient>(),
            Err(AgeKeyFault::Recipient)
        );
        assert!(IDENTITY.parse::<Recipient>().is_err());
        assert!(Identity::read(RECIPIENT).is_err() && Identity::read("# nothing\n").is_err());
    }
}
