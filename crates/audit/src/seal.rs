//! Sealing for an auditor: files of age (<https://c2sp.org/age>) for X25519 recipients, by the crate `age`.

use std::fmt;
use std::io::{self, Read, Write};

pub use age::x25519::Recipient;
use age::{DecryptError, Decryptor, Encryptor};
use memchr::memmem;
use zeroize::Zeroizing;

/// The longest header that is read, in bytes: some six hundred recipients. With each line of it the crate
/// begins anew.
const HEADER: usize = 64 << 10;

/// What opens a file: a private key, `AGE-SECRET-KEY-1…`.
pub struct Identity(age::x25519::Identity);

/// The file has no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no identity: a line AGE-SECRET-KEY-1…, as age-keygen writes it")]
pub struct NoIdentity;

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

impl Identity {
    /// The first identity of a file, as `age-keygen` writes it: comments begin with `#`.
    pub fn read(file: &str) -> Result<Identity, NoIdentity> {
        let mut lines = file.lines().map(str::trim);
        let line = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
        line.and_then(|line| line.parse().ok()).map(Identity).ok_or(NoIdentity)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

/// Seals a body so that each of the recipients can open it, and nobody else. It fails without a recipient.
pub fn seal(recipients: &[Recipient], body: &[u8]) -> io::Result<Vec<u8>> {
    let recipients = recipients.iter().map(|recipient| recipient as &dyn age::Recipient);
    // Its own messages are in any of several languages.
    let encryptor = Encryptor::with_recipients(recipients)
        .map_err(|_| io::Error::other("there is nobody to seal it for"))?;
    let mut writer = encryptor.wrap_output(Vec::with_capacity(body.len() + 512))?;
    writer.write_all(body)?;
    writer.finish()
}

/// Opens what was sealed for this identity.
pub(crate) fn open(identity: &Identity, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealFault> {
    // The line that ends a header. No line within can begin so.
    memmem::find(&sealed[..sealed.len().min(HEADER)], b"\n--- ").ok_or(SealFault::Form)?;
    let decryptor = Decryptor::new_buffered(sealed).map_err(|_| SealFault::Form)?;
    let identity: &dyn age::Identity = &identity.0;
    let reader = decryptor.decrypt(std::iter::once(identity));
    let mut reader = reader.map_err(|fault| match fault {
        DecryptError::NoMatchingKeys => SealFault::Stranger,
        DecryptError::InvalidHeader => SealFault::Form,
        _ => SealFault::Changed,
    })?;
    // Enough that it never moves, and leaves nothing where it was.
    let mut plain = Zeroizing::new(Vec::with_capacity(sealed.len()));
    reader.read_to_end(&mut plain).map_err(|_| SealFault::Changed)?;
    Ok(plain)
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

    #[test]
    fn no_changed_byte_passes() {
        let (recipient, identity) = keys();
        let sealed = seal(std::slice::from_ref(&recipient), b"{\"title\":\"hello\"}").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(open(&identity, &changed).is_err(), "{at}");
            assert!(open(&identity, &sealed[..at]).is_err(), "{at}");
        }
        // Cut where a chunk of 64 KiB ends, behind which there is one byte with its tag.
        let long = seal(&[recipient], &vec![7; (64 << 10) + 1]).unwrap();
        assert_eq!(open(&identity, &long).unwrap().len(), (64 << 10) + 1);
        assert_eq!(open(&identity, &long[..long.len() - 17]), Err(SealFault::Changed));
    }

    #[test]
    fn each_recipient_opens_it_and_nobody_else() {
        let (recipient, identity) = keys();
        let other = age::x25519::Identity::generate();
        let both = seal(&[other.to_public(), recipient], b"x").unwrap();
        assert_eq!(open(&identity, &both).unwrap()[..], b"x"[..]);
        assert_eq!(open(&Identity(other.clone()), &both).unwrap()[..], b"x"[..]);
        let theirs = seal(&[other.to_public()], b"x").unwrap();
        assert_eq!(open(&identity, &theirs), Err(SealFault::Stranger));
        assert!(seal(&[], b"x").is_err());
    }

    #[test]
    fn what_is_no_file_of_age_is_refused_before_it_costs_anything() {
        let (_, identity) = keys();
        let stanza = b"-> X25519 x\n\n".as_slice();
        let mut endless = b"age-encryption.org/v1\n".to_vec();
        endless.extend(stanza.repeat(1 << 20));
        endless.extend(b"--- x\n");
        for wrong in [&endless[..], b"", b"age-encryption.org/v1\nnothing", b"a\n--- \n"] {
            assert_eq!(open(&identity, wrong), Err(SealFault::Form));
        }
    }

    #[test]
    fn keys_are_written_as_they_are_read_and_typing_errors_are_found() {
        let (recipient, identity) = keys();
        assert_eq!(recipient.to_string(), RECIPIENT);
        assert_eq!(identity.0.to_public(), recipient);
        assert!(RECIPIENT.replace("xmwwc", "xmwvc").parse::<Recipient>().is_err());
        assert!(IDENTITY.parse::<Recipient>().is_err());
        assert!(Identity::read(RECIPIENT).is_err() && Identity::read("# nothing\n").is_err());
    }
}
