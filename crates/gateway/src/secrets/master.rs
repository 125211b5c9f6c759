//! What opens the root key: a key in a file or in the keyring, a passphrase, or a service that keeps the key to itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use store::RootKey;
use vault::sealed::keyring::{Keyring, Shelf};
use vault::sealed::{self, Key, KeyFile, Passphrase, PassphraseSalt, SealFault};
use vault::{Secret, prompt};

use super::remote::Remotes;
use super::{Config, SafeFault};

/// Where the master key is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Master {
    /// In a file of this machine.
    #[default]
    File,
    /// In an Azure Key Vault, which wraps and unwraps.
    KeyVault,
    /// In the keyring of this user's session.
    Keyring,
    /// Made from a passphrase.
    Passphrase,
    /// In the transit engine of HashiCorp Vault, which wraps and unwraps.
    Transit,
}

/// Wraps root keys and unwraps them.
pub(super) struct Masters {
    config: Config,
    remotes: Arc<Remotes>,
    /// What was typed at the start, since nobody is there to type it later.
    typed: tokio::sync::Mutex<Option<Secret>>,
}

/// No other process changes the master key while this is held.
pub(super) struct Rotation {
    file: KeyFile,
    folder: PathBuf,
    _lock: std::fs::File,
}

impl Rotation {
    /// Finishes a rotation that was cut off between its two steps.
    pub fn settle(&self, root: &RootKey) -> Result<(), SafeFault> {
        let opens = |key: Option<Key>| {
            key.is_some_and(|key| sealed::unwrap(&root.wrapped, &key, &root.id).is_ok())
        };
        if root.master == "file" && !opens(self.file.read()?) && opens(self.file.prepared()?) {
            self.file.turn()?;
        }
        Ok(())
    }

    /// What was sealed under the key that `wrap` prepared is stored: that key is the one in force now.
    pub async fn turn(&self, root: &RootKey) -> Result<(), SafeFault> {
        match root.master.split_once(' ').unwrap_or((&root.master, "")) {
            ("file", "") => Ok(self.file.turn()?),
            ("keyring", id) => {
                Ok(Keyring::open().await?.forget(shelf(&self.folder), Some(id)).await?)
            }
            _ => Ok(()),
        }
    }
}

/// Where the keyring has the master key.
fn shelf(folder: &Path) -> Shelf<'_> {
    Shelf { purpose: PURPOSE, folder }
}

/// What the key in the keyring is for.
const PURPOSE: &str = "master key of the sealed secrets";

impl Masters {
    pub fn new(config: Config, remotes: Arc<Remotes>) -> Masters {
        Masters { config, remotes, typed: tokio::sync::Mutex::default() }
    }

    /// Waits until no other process changes the master key.
    pub async fn begin_rotation(&self) -> Result<Rotation, SafeFault> {
        let (file, folder) = (self.file(), self.config.folder.clone());
        blocking(move || {
            let _lock = file.lock()?;
            Ok(Rotation { file, folder, _lock })
        })
        .await
    }

    /// Seals a root key under the master key that is configured; in a rotation under a new one, where it is up to us.
    pub async fn wrap(
        &self,
        root: &Key,
        rotation: Option<&Rotation>,
    ) -> Result<RootKey, SafeFault> {
        let (master, wrapped) = match self.config.master {
            Master::File => {
                let key = match rotation {
                    Some(rotation) => rotation.file.prepare()?,
                    None => self.file().read_or_make()?,
                };
                ("file".to_owned(), sealed::wrap(root, &key)?)
            }
            Master::KeyVault => {
                let key = self.vault_key().ok_or_else(|| SafeFault::Master("key-vault".into()))?;
                let (kid, wrapped) = self.remotes.key_vault(key)?.wrap(key, root.bytes()).await?;
                (format!("key-vault {kid}"), wrapped)
            }
            Master::Keyring => {
                let key = Key::random()?;
                Keyring::open().await?.keep(shelf(&self.config.folder), &key).await?;
                (format!("keyring {}", key.id()), sealed::wrap(root, &key)?)
            }
            Master::Transit => {
                let key = self.transit_key().ok_or_else(|| SafeFault::Master("transit".into()))?;
                let way = self.remotes.hashicorp(key)?;
                let wrapped = way.wrap(key, root.id(), root.bytes()).await?;
                (format!("transit {key}"), wrapped.into_bytes())
            }
            Master::Passphrase => {
                let salt = PassphraseSalt::random()?;
                let key = self.derive(salt.clone(), rotation.is_none()).await?;
                (format!("passphrase {salt}"), sealed::wrap(root, &key)?)
            }
        };
        Ok(RootKey { id: root.id().to_owned(), master, wrapped })
    }

    fn vault_key(&self) -> Option<&str> {
        self.config.key_vault.as_ref()?.key.as_deref()
    }

    fn transit_key(&self) -> Option<&str> {
        self.config.hashicorp.as_ref()?.transit_key.as_deref()
    }

    fn file(&self) -> KeyFile {
        KeyFile::new(self.config.key_file.clone())
    }

    /// Opens a root key, by what it was sealed under.
    pub async fn unwrap(&self, root: &RootKey) -> Result<Key, SafeFault> {
        let unknown = || SafeFault::Master(root.master.clone());
        match root.master.split_once(' ').unwrap_or((&root.master, "")) {
            ("file", "") => self.by_file(root),
            ("keyring", id) => {
                let key = Keyring::open().await?.key(PURPOSE, id).await?;
                let key = key.ok_or_else(|| SafeFault::NotInKeyring(id.to_owned()))?;
                Ok(sealed::unwrap(&root.wrapped, &key, &root.id)?)
            }
            ("key-vault", kid) => {
                // Only the key of the configuration is asked for, whatever the store says.
                let ours = |key: &str| kid.strip_prefix(key).is_some_and(|v| v.starts_with('/'));
                if !self.vault_key().is_some_and(ours) {
                    return Err(unknown());
                }
                let plain = self.remotes.key_vault(kid)?.unwrap(kid, &root.wrapped).await?;
                Ok(sealed::root(&plain, &root.id)?)
            }
            ("transit", key) if self.transit_key() == Some(key) => {
                let wrapped = std::str::from_utf8(&root.wrapped).map_err(|_| SealFault::Forged)?;
                let plain = self.remotes.hashicorp(key)?.unwrap(key, &root.id, wrapped).await?;
                Ok(sealed::root(&plain, &root.id)?)
            }
            ("passphrase", salt) => {
                let salt = PassphraseSalt::parse(salt).ok_or_else(unknown)?;
                let key = self.derive(salt, false).await?;
                sealed::unwrap(&root.wrapped, &key, &root.id).map_err(|fault| match fault {
                    SealFault::Forged => SafeFault::WrongPassphrase,
                    fault => fault.into(),
                })
            }
            _ => Err(unknown()),
        }
    }

    fn by_file(&self, root: &RootKey) -> Result<Key, SafeFault> {
        let file = self.file();
        let open = |key: Option<Key>| match key {
            Some(key) => sealed::unwrap(&root.wrapped, &key, &root.id),
            None => Err(SealFault::Forged),
        };
        // The key in force; the next one, after a rotation that was cut off; and the one in force again, which a
        // rotation may have changed in between.
        for key in [file.read()?, file.prepared()?, file.read()?] {
            match open(key) {
                Err(SealFault::Forged) => {}
                opened => return Ok(opened?),
            }
        }
        match file.read()? {
            Some(_) => Err(SafeFault::OtherKey(self.config.key_file.clone())),
            None => Err(SafeFault::KeyGone(self.config.key_file.clone())),
        }
    }

    async fn derive(&self, salt: PassphraseSalt, new: bool) -> Result<Key, SafeFault> {
        let passphrase = self.passphrase(new).await?;
        blocking(move || Ok(Passphrase::new(passphrase)?.key(&salt)?)).await
    }

    /// From its file, the service manager's credentials, or whoever sits at the terminal.
    async fn passphrase(&self, new: bool) -> Result<Secret, SafeFault> {
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY");
        let credential = credentials.map(|folder| Path::new(&folder).join(CREDENTIAL));
        let named = self.config.passphrase_file.clone();
        if let Some(path) = named.or(credential.filter(|path| path.exists())) {
            return blocking(move || from_file(path)).await;
        }
        let mut typed = self.typed.lock().await;
        if let Some(passphrase) = &*typed {
            return Ok(passphrase.clone());
        }
        let answer = blocking(move || ask(new)).await?;
        Ok(typed.insert(answer).clone())
    }

    /// Asks for what will be needed, while somebody is there.
    pub async fn prepare(&self, exists: bool) -> Result<(), SafeFault> {
        if self.config.master == Master::Passphrase {
            self.passphrase(!exists).await?;
        }
        Ok(())
    }
}

/// What the passphrase is called among a service manager's credentials (systemd's `LoadCredential=`).
const CREDENTIAL: &str = "bartizan-passphrase";

fn from_file(path: PathBuf) -> Result<Secret, SafeFault> {
    vault::read_file(&path).map_err(|fault| SafeFault::Passphrase(fault.to_string()))
}

fn ask(new: bool) -> Result<Secret, SafeFault> {
    let fault = |fault: std::io::Error| {
        SafeFault::Passphrase(format!("it can't be asked for on a terminal ({fault})"))
    };
    if !new {
        return prompt("Passphrase of the sealed secrets").map_err(fault);
    }
    let first = prompt("New passphrase for the sealed secrets").map_err(fault)?;
    let again = prompt("The same again").map_err(fault)?;
    if first.expose() == again.expose() {
        Ok(first)
    } else {
        Err(SafeFault::Passphrase("what was typed is not twice the same".into()))
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SafeFault> + Send + 'static,
) -> Result<T, SafeFault> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|fault| Err(SafeFault::Passphrase(fault.to_string())))
}
