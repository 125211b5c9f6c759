//! The sealed secrets of the store, and the root key that opens them.

use std::path::PathBuf;
use std::sync::Arc;

use store::{SealedSecret, Store, StoreFault};
use upstream::HttpClient;
use vault::sealed::keyring::KeyringFault;
use vault::sealed::{self, Envelope, Key, Label, SealFault};
use vault::{Secret, SecretName};

use super::master::Masters;
use super::remote::Remotes;
use super::{Config, SecretFault};

/// Why a sealed secret can't be had or kept.
#[derive(Debug, thiserror::Error)]
pub enum SafeFault {
    /// Others kept changing the same.
    #[error("others are changing the sealed secrets; try again")]
    Busy,
    /// There is one of that name already.
    #[error("there is a secret `{0}` already")]
    Exists(SecretName),
    /// The key file is not there.
    #[error("the key file {} is gone: without it no sealed secret opens; put it back from where you keep a copy", .0.display())]
    KeyGone(PathBuf),
    /// The keyring that holds the master key.
    #[error(
        "the master key: {0}; or choose another [vault] master: \"file\", \"passphrase\", \"transit\", \"key-vault\""
    )]
    Keyring(KeyringFault),
    /// The store was sealed by something that this program does not know.
    #[error("the root key is sealed by `{0}`, which can't be used here")]
    Master(String),
    /// There are as many as there may be.
    #[error("there are {SECRETS} secrets, and no room for more")]
    Full,
    /// Another keyring, or the item was deleted.
    #[error(
        "this session's keyring does not have the master key {0}, without which no sealed secret opens: run as the user, and on the machine, whose keyring has it, or put that keyring back from a copy"
    )]
    NotInKeyring(String),
    /// The key file holds another key.
    #[error("the key in {} is not the one that the secrets were sealed under", .0.display())]
    OtherKey(PathBuf),
    /// The passphrase can't be had.
    #[error("the passphrase of the sealed secrets: {0}")]
    Passphrase(String),
    /// The service that holds the master key.
    #[error("the master key: {0}")]
    Remote(#[from] SecretFault),
    /// Something does not open, or can't be sealed.
    #[error(transparent)]
    Seal(#[from] SealFault),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// There is none of that name.
    #[error("there is no secret `{0}`")]
    Unknown(SecretName),
    /// It opens nothing.
    #[error("this is not the passphrase that the secrets were sealed under")]
    WrongPassphrase,
}

/// Not as its source, since its words are in its text.
impl From<KeyringFault> for SafeFault {
    fn from(fault: KeyringFault) -> SafeFault {
        SafeFault::Keyring(fault)
    }
}

/// The most secrets that are kept.
pub const SECRETS: usize = 10_000;

/// How often something is tried again that others were quicker with.
const TRIES: usize = 5;

/// A secret as it was set.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The value.
    pub value: Secret,
    /// Counts the values.
    pub version: u64,
    /// When it dies.
    pub expires: Option<u64>,
}

/// What is to be kept.
#[derive(Clone, Debug)]
pub struct Fresh {
    /// What it is called.
    pub name: SecretName,
    /// The value.
    pub value: Secret,
    /// When it dies, as far as it is known; what the value itself says comes on top.
    pub expires: Option<u64>,
    /// Who must act before that; for another value of a secret `None` leaves it as it was.
    pub owner: Option<String>,
}

/// The sealed secrets.
pub struct Safe {
    store: Store,
    masters: Masters,
    /// What was unwrapped last.
    root: tokio::sync::Mutex<Option<Arc<Key>>>,
}

impl Safe {
    /// For a command beside the gateway. Nothing is opened yet.
    pub fn new(store: Store, config: Config, client: &HttpClient) -> Safe {
        let remotes = Arc::new(Remotes::new(&config, client));
        Safe::by(store, config, remotes)
    }

    pub(super) fn by(store: Store, config: Config, remotes: Arc<Remotes>) -> Safe {
        Safe { store, masters: Masters::new(config, remotes), root: tokio::sync::Mutex::default() }
    }

    /// Opens what is there, and asks for a passphrase while somebody is there to type it.
    pub async fn unlock(&self) -> Result<(), SafeFault> {
        let root = self.store.root_key().await?;
        self.masters.prepare(root.is_some()).await?;
        if root.is_some() {
            self.root().await?;
        }
        Ok(())
    }

    /// One secret's value now.
    pub async fn open(&self, name: &SecretName) -> Result<Opened, SafeFault> {
        let mut tries = 0;
        loop {
            let sealed = self.store.secret(name.as_str()).await?;
            let sealed = sealed.ok_or_else(|| SafeFault::Unknown(name.clone()))?;
            match open(&*self.root().await?, name, &sealed) {
                Ok(value) => {
                    let SealedSecret { version, expires, .. } = sealed;
                    return Ok(Opened { value, version, expires });
                }
                // Between the two readings the root key may have changed.
                Err(SealFault::Forged) if tries == 0 => tries = 1,
                Err(fault) => return Err(fault.into()),
            }
        }
    }

    /// Keeps a secret that is not there yet.
    pub async fn set(&self, fresh: Fresh, by: &str, now: u64) -> Result<u64, SafeFault> {
        if self.store.secret(fresh.name.as_str()).await?.is_some() {
            return Err(SafeFault::Exists(fresh.name));
        }
        if self.store.secrets().await?.len() >= SECRETS {
            return Err(SafeFault::Full);
        }
        self.keep(fresh, "set", by, now).await
    }

    /// Puts another value in the place of a secret's.
    pub async fn rotate(&self, fresh: Fresh, by: &str, now: u64) -> Result<u64, SafeFault> {
        if self.store.secret(fresh.name.as_str()).await?.is_none() {
            return Err(SafeFault::Unknown(fresh.name));
        }
        self.keep(fresh, "rotate", by, now).await
    }

    /// Takes a secret away. Needs no key.
    pub async fn remove(&self, name: &SecretName, by: &str, now: u64) -> Result<(), SafeFault> {
        match self.store.secret_remove(name.as_str(), by, now).await? {
            true => Ok(()),
            false => Err(SafeFault::Unknown(name.clone())),
        }
    }

    /// A new master key where it is up to us, a new root key, and for each secret a new key of its own. Values stay.
    /// Afterwards everything is sealed as the configuration says now. Returns how many secrets there are.
    pub async fn rotate_master(&self, by: &str, now: u64) -> Result<usize, SafeFault> {
        let rotation = self.masters.begin_rotation().await?;
        let Some(before) = self.store.root_key().await? else {
            self.root_or_make().await?;
            return Ok(0);
        };
        rotation.settle(&before)?;
        for _ in 0..TRIES {
            let (old, fresh) = (self.root().await?, Key::random()?);
            let sealed = self.store.secrets().await?;
            let resealed: Result<Vec<_>, SealFault> =
                sealed.iter().map(|sealed| reseal(&old, &fresh, sealed)).collect();
            let (root, resealed) = (self.masters.wrap(&fresh, Some(&rotation)).await?, resealed?);
            if self.store.secrets_reseal(old.id(), &root, &resealed, by, now).await? {
                rotation.turn(&root).await?;
                *self.root.lock().await = Some(Arc::new(fresh));
                return Ok(resealed.len());
            }
        }
        Err(SafeFault::Busy)
    }

    async fn keep(&self, fresh: Fresh, change: &str, by: &str, now: u64) -> Result<u64, SafeFault> {
        let Fresh { name, value, expires, owner } = fresh;
        let own = super::expiry::of_value(value.expose());
        let expires = [expires, own].into_iter().flatten().min();
        for _ in 0..TRIES {
            let root = self.root_or_make().await?;
            let before = self.store.secret(name.as_str()).await?;
            let version = before.as_ref().map_or(0, |before| before.version) + 1;
            let kept = before.map(|before| before.owner).unwrap_or_default();
            let owner = owner.clone().unwrap_or(kept);
            let label = Label { name: &name, version, set: now, expires, owner: &owner };
            let Envelope { key, value } = sealed::seal(&root, &label, &value)?;
            let name = name.as_str().to_owned();
            let sealed = SealedSecret { name, version, set: now, expires, owner, key, value };
            if self.store.secret_keep(&sealed, root.id(), change, by).await? {
                return Ok(version);
            }
        }
        Err(SafeFault::Busy)
    }

    /// The root key as the store has it now.
    async fn root(&self) -> Result<Arc<Key>, SafeFault> {
        let mut held = self.root.lock().await;
        let sealed = self.store.root_key().await?.ok_or(SealFault::Forged)?;
        if let Some(root) = held.as_ref().filter(|root| root.id() == sealed.id) {
            return Ok(root.clone());
        }
        let root = Arc::new(self.masters.unwrap(&sealed).await?);
        *held = Some(root.clone());
        Ok(root)
    }

    /// The same; with the first secret the root key is made, and its master key.
    async fn root_or_make(&self) -> Result<Arc<Key>, SafeFault> {
        if self.store.root_key().await?.is_none() {
            let root = self.masters.wrap(&Key::random()?, None).await?;
            // Where somebody else was quicker, theirs is the one.
            self.store.root_key_keep(&root).await?;
        }
        self.root().await
    }
}

fn label<'a>(name: &'a SecretName, sealed: &'a SealedSecret) -> Label<'a> {
    let SealedSecret { version, set, expires, owner, .. } = sealed;
    Label { name, version: *version, set: *set, expires: *expires, owner }
}

fn open(root: &Key, name: &SecretName, sealed: &SealedSecret) -> Result<Secret, SealFault> {
    let envelope = Envelope { key: sealed.key.clone(), value: sealed.value.clone() };
    sealed::open(root, &label(name, sealed), &envelope)
}

fn reseal(old: &Key, new: &Key, sealed: &SealedSecret) -> Result<SealedSecret, SealFault> {
    let name = SecretName::new(&sealed.name).map_err(|_| SealFault::Forged)?;
    let value = open(old, &name, sealed)?;
    let Envelope { key, value } = sealed::seal(new, &label(&name, sealed), &value)?;
    Ok(SealedSecret { key, value, ..sealed.clone() })
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
