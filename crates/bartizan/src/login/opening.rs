//! What opens the file of the sign-ins: a key in the keyring, a key that a passphrase makes, or one in a file beside it.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context;
use gateway::seal::Sealer;
use vault::{
    Secret,
    sealed::{
        Key, Passphrase, PassphraseSalt,
        keyring::{Keyring, KeyringFault, Shelf},
    },
};

use crate::outcome::Mistake;

/// Asks for the passphrase; `true` for a new one.
pub type Asking<'a> = &'a (dyn Fn(bool) -> anyhow::Result<Secret> + Sync);

/// Where the key is. Its text is the file's first line; no line stands for a key in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// In a file beside it.
    KeyFile,
    /// In the keyring, under this name.
    Keyring(String),
    /// Made from a passphrase.
    Passphrase(PassphraseSalt),
}

const KEYRING: &str = "keyring ";
const PASSPHRASE: &str = "passphrase ";
/// What the key in the keyring is for.
const PURPOSE: &str = "key of the sign-ins";

/// What the keyring gave once: sign-ins are renewed while a command runs, and the person may have locked it by then.
static HELD: Mutex<Option<Arc<Key>>> = Mutex::new(None);

impl Opening {
    /// What a file's first line says, and the sealed rest.
    pub fn split(text: &str) -> (Opening, &str) {
        let said = text.split_once('\n').and_then(|(head, sealed)| {
            let opening = match (head.strip_prefix(KEYRING), head.strip_prefix(PASSPHRASE)) {
                (Some(id), _) => Opening::Keyring(id.to_owned()),
                (_, Some(salt)) => Opening::Passphrase(PassphraseSalt::parse(salt)?),
                _ => return None,
            };
            Some((opening, sealed))
        });
        said.unwrap_or((Opening::KeyFile, text))
    }

    /// What opens and seals the sign-ins of this folder.
    pub async fn sealer(&self, folder: &Path, ask: Asking<'_>) -> anyhow::Result<Sealer> {
        Ok(match self {
            Opening::KeyFile => Sealer::persistent(&key_file(folder)).context("login.key")?,
            Opening::Keyring(id) => Sealer::from_key(in_keyring(id).await?.bytes())?,
            Opening::Passphrase(salt) => {
                Sealer::from_key(Passphrase::new(ask(false)?)?.key(salt)?.bytes())?
            }
        })
    }

    /// A new passphrase's.
    pub fn by_passphrase(ask: Asking<'_>) -> anyhow::Result<(Opening, Sealer)> {
        let salt = PassphraseSalt::random()?;
        let sealer = Sealer::from_key(Passphrase::new(ask(true)?)?.key(&salt)?.bytes())?;
        Ok((Opening::Passphrase(salt), sealer))
    }

    /// A new key's, which is in the keyring then.
    pub async fn by_keyring(
        folder: &Path,
    ) -> anyhow::Result<Result<(Opening, Sealer), KeyringFault>> {
        let key = Key::random()?;
        let kept = async { Keyring::open().await?.keep(shelf(folder), &key).await };
        if let Err(fault) = kept.await {
            return Ok(Err(fault));
        }
        let sealer = Sealer::from_key(key.bytes())?;
        let opening = Opening::Keyring(key.id().to_owned());
        *HELD.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(key));
        Ok(Ok((opening, sealer)))
    }

    /// Takes the key away, from where it was the only one.
    pub async fn forget(&self, folder: &Path) -> anyhow::Result<()> {
        match self {
            Opening::Keyring(_) => Ok(Keyring::open().await?.forget(shelf(folder), None).await?),
            Opening::KeyFile => match fs::remove_file(key_file(folder)) {
                Err(fault) if fault.kind() != io::ErrorKind::NotFound => Err(fault.into()),
                _ => Ok(()),
            },
            Opening::Passphrase(_) => Ok(()),
        }
    }
}

impl fmt::Display for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Opening::KeyFile => Ok(()),
            Opening::Keyring(id) => writeln!(f, "{KEYRING}{id}"),
            Opening::Passphrase(salt) => writeln!(f, "{PASSPHRASE}{salt}"),
        }
    }
}

async fn in_keyring(id: &str) -> anyhow::Result<Arc<Key>> {
    let held = HELD.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(key) = held.filter(|key| key.id() == id) {
        return Ok(key);
    }
    let again = "run this in the session whose keyring has the key, or sign in anew: delete the file `login` in the state folder, then `bartizan login URL`";
    let found = async { Keyring::open().await?.key(PURPOSE, id).await };
    let what = match found.await {
        Ok(Some(key)) => {
            let key = Arc::new(key);
            *HELD.lock().unwrap_or_else(PoisonError::into_inner) = Some(key.clone());
            return Ok(key);
        }
        Ok(None) => "the keyring has it no longer".to_owned(),
        Err(fault) => fault.to_string(),
    };
    Err(Mistake::new(format!("the key of the sign-ins kept here can't be had: {what}"), again)
        .into())
}

fn shelf(folder: &Path) -> Shelf<'_> {
    Shelf { purpose: PURPOSE, folder }
}

fn key_file(folder: &Path) -> PathBuf {
    folder.join("login.key")
}
