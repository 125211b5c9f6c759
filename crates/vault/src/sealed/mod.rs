//! Secrets at rest: each value under a data key of its own, each data key under the root key, the root
//! key under the master key. All are AES-256-GCM with random nonces, and each is bound to what it is for.
//!
//! The root key is what a store has and what `bartizan secret rotate-master` replaces. The master key is
//! elsewhere: in a file, in the keyring, made from a passphrase, or in a service that never gives it away.

mod key;
pub mod keyring;
mod master;

pub use key::Key;
pub use master::{KeyFile, Passphrase, PassphraseSalt};

use zeroize::Zeroizing;

use crate::{Secret, SecretName};

/// The longest value, in bytes.
pub const VALUE_LIMIT: usize = 64 << 10;

/// Why something does not seal or open.
#[derive(Debug, thiserror::Error)]
pub enum SealFault {
    /// Changed, moved to another name, or sealed under another key. Which one can't be told.
    #[error("it does not open: it was changed, moved, or sealed under another key")]
    Forged,
    /// The key file.
    #[error("{path}: {source}", path = path.display())]
    KeyFile {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Somebody else may read the key file.
    #[error("{path} is open to others (mode {mode:03o}); run: chmod 600 {path}", path = path.display())]
    KeyFileMode {
        /// Which.
        path: std::path::PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The key file belongs to another user.
    #[error("{path} belongs to the user {owner}; run: chown {me} {path}", path = path.display())]
    KeyFileOwner {
        /// Which.
        path: std::path::PathBuf,
        /// Whose it is.
        owner: u32,
        /// Whose it should be.
        me: u32,
    },
    /// The file holds something else.
    #[error("{} holds no key", .0.display())]
    KeyFileContent(std::path::PathBuf),
    /// The machine gives no random numbers.
    #[error("the machine gives no random numbers")]
    Random,
    /// The passphrase can't be used.
    #[error("a passphrase has at least {} characters", master::SHORTEST)]
    Short,
    /// The value is too long or empty.
    #[error("a secret has 1 to {VALUE_LIMIT} bytes")]
    Length,
}

/// What is said about a secret in plain sight; a value opens under exactly this alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label<'a> {
    /// Its name.
    pub name: &'a SecretName,
    /// Counts its values, from 1.
    pub version: u64,
    /// When this value was set, in seconds since 1970.
    pub set: u64,
    /// When it dies, if that is known.
    pub expires: Option<u64>,
    /// Who must act before that; empty when nobody was named.
    pub owner: &'a str,
}

impl Label<'_> {
    /// Every member with its length, so that no two labels have the same bytes.
    fn bound(&self, purpose: &str) -> Vec<u8> {
        let numbers =
            [self.version, self.set, u64::from(self.expires.is_some()), self.expires.unwrap_or(0)];
        let mut bytes = Vec::with_capacity(128);
        for text in [purpose, self.name.as_str(), self.owner] {
            bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        numbers.iter().for_each(|number| bytes.extend_from_slice(&number.to_be_bytes()));
        bytes
    }
}

/// A sealed value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The data key, under the root key.
    pub key: Vec<u8>,
    /// The value, under the data key.
    pub value: Vec<u8>,
}

/// Seals a value under a fresh data key, and that under `root`.
pub fn seal(root: &Key, label: &Label<'_>, value: &Secret) -> Result<Envelope, SealFault> {
    let text = value.expose();
    if text.is_empty() || text.len() > VALUE_LIMIT {
        return Err(SealFault::Length);
    }
    let key = Key::random()?;
    Ok(Envelope {
        key: root.seal(&label.bound("data key"), key.bytes())?,
        value: key.seal(&label.bound("value"), text.as_bytes())?,
    })
}

/// Opens what [`seal`] made with the same root key and label.
pub fn open(root: &Key, label: &Label<'_>, envelope: &Envelope) -> Result<Secret, SealFault> {
    let key = Key::from_bytes(&root.open(&label.bound("data key"), &envelope.key)?)?;
    let value = key.open(&label.bound("value"), &envelope.value)?;
    let text = std::str::from_utf8(&value).map_err(|_| SealFault::Forged)?;
    Ok(Secret::new(text.into()))
}

/// The root key, under a key that this machine holds.
pub fn wrap(root: &Key, under: &Key) -> Result<Vec<u8>, SealFault> {
    under.seal(&root_bound(root.id()), root.bytes())
}

/// Opens what [`wrap`] made. `id` is what the root key is expected to be.
pub fn unwrap(wrapped: &[u8], under: &Key, id: &str) -> Result<Key, SealFault> {
    root(&under.open(&root_bound(id), wrapped)?, id)
}

/// A root key that a service unwrapped: it has to be the one that was wrapped.
pub fn root(bytes: &[u8], id: &str) -> Result<Key, SealFault> {
    let root = Key::from_bytes(bytes)?;
    if root.id() == id { Ok(root) } else { Err(SealFault::Forged) }
}

fn root_bound(id: &str) -> Vec<u8> {
    [b"root key ".as_slice(), id.as_bytes()].concat()
}

type Plain = Zeroizing<Vec<u8>>;

#[cfg(test)]
mod tests {
    use super::*;

    fn label<'a>(name: &'a SecretName, owner: &'a str) -> Label<'a> {
        Label { name, version: 3, set: 1000, expires: Some(2000), owner }
    }

    #[test]
    fn a_value_opens_under_its_own_label_alone() {
        let root = Key::random().unwrap();
        let name = SecretName::new("github").unwrap();
        let other = SecretName::new("gitlab").unwrap();
        let label = label(&name, "alice");
        let sealed = seal(&root, &label, &Secret::new("canary".into())).unwrap();
        assert_eq!(open(&root, &label, &sealed).unwrap().expose(), "canary");
        for changed in [
            Label { name: &other, ..label },
            Label { version: 2, ..label },
            Label { set: 1001, ..label },
            Label { expires: None, ..label },
            Label { expires: Some(2001), ..label },
            Label { owner: "bob", ..label },
        ] {
            assert!(
                matches!(open(&root, &changed, &sealed), Err(SealFault::Forged)),
                "{changed:?}"
            );
        }
        assert!(matches!(open(&Key::random().unwrap(), &label, &sealed), Err(SealFault::Forged)));
        let again = seal(&root, &label, &Secret::new("canary".into())).unwrap();
        let mixed = Envelope { key: again.key, value: sealed.value.clone() };
        assert!(matches!(open(&root, &label, &mixed), Err(SealFault::Forged)));
        assert!(!sealed.value.windows(6).any(|window| window == b"canary"));
    }

    #[test]
    fn every_changed_bit_is_refused() {
        let (root, name) = (Key::random().unwrap(), SecretName::new("k").unwrap());
        let label = label(&name, "");
        let sealed = seal(&root, &label, &Secret::new("v".into())).unwrap();
        let wrapped = wrap(&root, &root).unwrap();
        for bit in 0..8 * sealed.key.len() {
            let mut changed = sealed.clone();
            changed.key[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(open(&root, &label, &changed), Err(SealFault::Forged)));
        }
        for bit in 0..8 * sealed.value.len() {
            let mut changed = sealed.clone();
            changed.value[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(open(&root, &label, &changed), Err(SealFault::Forged)));
        }
        for bit in 0..8 * wrapped.len() {
            let mut changed = wrapped.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(unwrap(&changed, &root, root.id()), Err(SealFault::Forged)));
        }
        for short in 0..sealed.value.len() {
            let changed = Envelope { value: sealed.value[..short].to_vec(), ..sealed.clone() };
            assert!(matches!(open(&root, &label, &changed), Err(SealFault::Forged)));
        }
    }

    #[test]
    fn labels_that_read_alike_are_not_alike() {
        let (a, ab) = (SecretName::new("a").unwrap(), SecretName::new("ab").unwrap());
        assert_ne!(label(&a, "bc").bound("value"), label(&ab, "c").bound("value"));
    }

    #[test]
    fn a_root_key_is_the_one_that_it_is_called() {
        let (root, other, master) =
            (Key::random().unwrap(), Key::random().unwrap(), Key::random().unwrap());
        let wrapped = wrap(&root, &master).unwrap();
        assert_eq!(unwrap(&wrapped, &master, root.id()).unwrap().id(), root.id());
        assert!(matches!(unwrap(&wrapped, &master, other.id()), Err(SealFault::Forged)));
        assert!(matches!(super::root(root.bytes(), other.id()), Err(SealFault::Forged)));
        assert_eq!(format!("{root:?}"), format!("Key({})", root.id()));
    }

    #[test]
    fn nothing_and_too_much_are_no_secrets() {
        let (root, name) = (Key::random().unwrap(), SecretName::new("k").unwrap());
        for wrong in [String::new(), "x".repeat(VALUE_LIMIT + 1)] {
            let sealed = seal(&root, &label(&name, ""), &Secret::new(wrong.into()));
            assert!(matches!(sealed, Err(SealFault::Length)));
        }
    }
}
