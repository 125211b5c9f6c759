//! Opaque tokens that clients hold for us (cursors, `requestState`, task and session ids, the state of a sign-in), and secrets that the
//! store holds.
//!
//! Each is AES-256-GCM under a key that never leaves the state folder, with its purpose and its owner
//! as associated data: shown by another principal, or for another purpose, it does not open (law 8).

use std::{
    io::{self, Write},
    path::Path,
};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey},
    rand,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// What a token is for. A token of one purpose never opens for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A list's `nextCursor`.
    Cursor,
    /// A multi round-trip `requestState`.
    RequestState,
    /// A handshake session's id.
    Session,
    /// A task's id.
    Task,
    /// What a person is asked on the consent page.
    Question,
    /// The `state` of a sign-in at the provider.
    SignIn,
    /// The provider's refresh token of a session, kept in the store.
    ProviderToken,
    /// A key that signs access tokens, kept in the store.
    SigningKey,
    /// A nonce for DPoP proofs.
    DpopNonce,
    /// A person's sign-ins at gateways elsewhere, in a file.
    Login,
    /// The question of a page that leads to a server's authorization server.
    Connect,
    /// What a person let Bartizan have at a server, kept in the store.
    Grant,
    /// The question of the page on which a person takes grants back.
    Revoke,
    /// What stood in a client's configuration before Bartizan changed it, in a file.
    Backup,
}

/// The token is not ours, not this principal's, not for this purpose, or too old. Which one is never said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token is not valid here")]
pub struct Unsealed;

/// Seals and opens. One for what outlives a restart, one for what must not.
pub struct Sealer {
    key: RandomizedNonceKey,
}

const NONCE: usize = 12;
const EXPIRY: usize = 8;

/// A key that other users can read, or could have put there, is none.
#[cfg(unix)]
fn private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let mode = match std::fs::metadata(path) {
        Ok(metadata) => metadata.mode() & 0o777,
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(fault) => return Err(fault),
    };
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let path = path.display();
    Err(io::Error::other(format!(
        "other users may use the key {path} (its mode is {mode:o}): chmod 600 {path}, or remove it if they may have read it"
    )))
}

#[cfg(not(unix))]
fn private(_: &Path) -> io::Result<()> {
    Ok(())
}

impl Sealer {
    /// A key that ends with this process.
    pub fn ephemeral() -> io::Result<Sealer> {
        Sealer::from_key(&random_key()?)
    }

    /// The key kept in `path` (mode 0600), made on first use.
    pub fn persistent(path: &Path) -> io::Result<Sealer> {
        private(path)?;
        match std::fs::read(path) {
            Ok(key) => Sealer::from_key(&key),
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => {
                let key = random_key()?;
                let mut options = std::fs::OpenOptions::new();
                options.write(true).create_new(true);
                #[cfg(unix)]
                std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
                match options.open(path) {
                    Ok(mut file) => {
                        file.write_all(&key)?;
                        file.sync_all()?;
                        Sealer::from_key(&key)
                    }
                    // Another process was quicker: its key is the one.
                    Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => {
                        Sealer::from_key(&std::fs::read(path)?)
                    }
                    Err(fault) => Err(fault),
                }
            }
            Err(fault) => Err(fault),
        }
    }

    /// With a key of 32 bytes that is kept elsewhere.
    pub fn from_key(key: &[u8]) -> io::Result<Sealer> {
        let key = RandomizedNonceKey::new(&AES_256_GCM, key)
            .map_err(|_| io::Error::other("the sealing key is not 32 bytes"))?;
        Ok(Sealer { key })
    }

    /// Seals `payload` for `owner` until `expires` (seconds since 1970).
    pub fn seal(
        &self,
        purpose: Purpose,
        owner: &str,
        expires: u64,
        payload: &[u8],
    ) -> Result<String, Unsealed> {
        let mut sealed = Vec::with_capacity(EXPIRY + payload.len() + 16);
        sealed.extend_from_slice(&expires.to_be_bytes());
        sealed.extend_from_slice(payload);
        let nonce = self
            .key
            .seal_in_place_append_tag(aad(purpose, owner), &mut sealed)
            .map_err(|_| Unsealed)?;
        let mut token = Vec::with_capacity(NONCE + sealed.len());
        token.extend_from_slice(nonce.as_ref());
        token.extend_from_slice(&sealed);
        Ok(URL_SAFE_NO_PAD.encode(token))
    }

    /// Opens a token that was sealed for the same purpose and owner and has not expired at `now`.
    pub fn open(
        &self,
        purpose: Purpose,
        owner: &str,
        now: u64,
        token: &str,
    ) -> Result<Vec<u8>, Unsealed> {
        let mut token = URL_SAFE_NO_PAD.decode(token).map_err(|_| Unsealed)?;
        if token.len() < NONCE + EXPIRY {
            return Err(Unsealed);
        }
        let (nonce, sealed) = token.split_at_mut(NONCE);
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unsealed)?;
        let plain =
            self.key.open_in_place(nonce, aad(purpose, owner), sealed).map_err(|_| Unsealed)?;
        let (expires, payload) = plain.split_first_chunk::<EXPIRY>().ok_or(Unsealed)?;
        if now >= u64::from_be_bytes(*expires) {
            return Err(Unsealed);
        }
        Ok(payload.to_vec())
    }
}

fn aad(purpose: Purpose, owner: &str) -> Aad<Vec<u8>> {
    let mut text = Vec::with_capacity(owner.len() + 16);
    text.push(purpose as u8);
    text.extend_from_slice(owner.as_bytes());
    Aad::from(text)
}

/// Random bytes, unless the system has none.
pub(crate) fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).ok()?;
    Some(bytes)
}

fn random_key() -> io::Result<[u8; 32]> {
    random().ok_or_else(|| io::Error::other("no randomness"))
}

/// 128 random bits as text, in hexadecimal: no id begins with a dash, which a command would take for an option.
pub fn random_id() -> Result<String, Unsealed> {
    Ok(format!("{:032x}", u128::from_be_bytes(random::<16>().ok_or(Unsealed)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_for_its_owner_purpose_and_time() {
        let sealer = Sealer::ephemeral().unwrap();
        let token = sealer.seal(Purpose::Cursor, "token:a", 100, b"payload").unwrap();
        assert_eq!(sealer.open(Purpose::Cursor, "token:a", 99, &token).unwrap(), b"payload");
        assert_eq!(sealer.open(Purpose::Cursor, "token:b", 99, &token), Err(Unsealed));
        assert_eq!(sealer.open(Purpose::Task, "token:a", 99, &token), Err(Unsealed));
        assert_eq!(sealer.open(Purpose::Cursor, "token:a", 100, &token), Err(Unsealed));
        assert_eq!(
            Sealer::ephemeral().unwrap().open(Purpose::Cursor, "token:a", 99, &token),
            Err(Unsealed)
        );
    }

    #[test]
    fn every_changed_character_is_refused() {
        let sealer = Sealer::ephemeral().unwrap();
        let token = sealer.seal(Purpose::Session, "owner", 100, b"x").unwrap();
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(sealer.open(Purpose::Session, "owner", 0, &changed), Err(Unsealed), "{at}");
        }
        for wrong in ["", "A", "!!", &"A".repeat(40)] {
            assert_eq!(sealer.open(Purpose::Session, "owner", 0, wrong), Err(Unsealed));
        }
    }

    #[test]
    fn the_persistent_key_survives() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seal.key");
        let token = Sealer::persistent(&path).unwrap().seal(Purpose::Task, "o", 9, b"t").unwrap();
        assert_eq!(
            Sealer::persistent(&path).unwrap().open(Purpose::Task, "o", 1, &token).unwrap(),
            b"t"
        );
    }
}
