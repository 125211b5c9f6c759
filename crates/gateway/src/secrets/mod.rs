//! Secrets that the gateway keeps or fetches: sealed in the store, and whatever references in the configuration name.
//!
//! A reference is resolved when what it names is sent. What was read is used on for a while, one reading at a time
//! for each secret; a change by `bartizan secret` is in force within a second.

mod alarm;
mod changes;
mod config;
pub mod expiry;
pub mod hashicorp;
mod injection;
pub mod key_vault;
mod master;
mod remote;
mod safe;
mod slot;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use store::Store;
use tokio::time::Instant;
use upstream::HttpClient;
use vault::{Reference, Secret, SecretName, Source, VaultFault};

pub(crate) use alarm::watch_ends;
pub use config::{Config, KEY_FILE, Rules};
pub(crate) use injection::Injection;
pub use master::Master;
use remote::Remotes;
pub use safe::{Fresh, Opened, SECRETS, Safe, SafeFault};
use slot::{Read, Slot};

/// Why a secret can't be had.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SecretFault {
    /// It can't be sent as it is.
    #[error("{0}")]
    Unfit(Arc<VaultFault>),
    /// On this machine, and not to be had.
    #[error("{0}")]
    Local(Arc<VaultFault>),
    /// Sealed in the store, and not to be had.
    #[error("{0}")]
    Sealed(Arc<SafeFault>),
    /// A vault said something that no vault says.
    #[error("{0} can't be had: {1}")]
    Answer(String, String),
    /// Whoever answers for a vault wants a token of a service that is not the vault's.
    #[error(
        "{0}: the vault wants a token for `{1}`, which is not its own domain; nothing was sent"
    )]
    Challenge(String, String),
    /// The vault does not let Bartizan read it.
    #[error("{0}: the vault does not let this gateway in (it answered {1})")]
    Denied(String, u16),
    /// The vault has none.
    #[error("{0}: the vault has no such secret")]
    Missing(String),
    /// The configuration does not say how.
    #[error("{0} needs a section [{1}]")]
    NotConfigured(String, &'static str),
    /// What shows Bartizan to a vault can't be had.
    #[error("{0}: the token for the vault can't be had: {1}")]
    Token(String, String),
    /// The vault does not answer.
    #[error("{0}: the vault can't be reached: {1}")]
    Unreachable(String, String),
}

impl SecretFault {
    /// Whether it may pass by itself. What a vault says is gone or forbidden is so at once.
    fn is_outage(&self) -> bool {
        match self {
            SecretFault::Sealed(fault) => match &**fault {
                SafeFault::Store(_) => true,
                SafeFault::Remote(fault) => fault.is_outage(),
                _ => false,
            },
            SecretFault::Token(..) | SecretFault::Unreachable(..) => true,
            // A file may be away with what it is mounted from, or while it is replaced.
            SecretFault::Local(fault) => matches!(&**fault, VaultFault::File { .. }),
            SecretFault::Answer(..)
            | SecretFault::Challenge(..)
            | SecretFault::Denied(..)
            | SecretFault::Missing(_)
            | SecretFault::NotConfigured(..)
            | SecretFault::Unfit(_) => false,
        }
    }
}

/// A reference's text, and how long it may be used without asking again.
pub struct Resolved {
    /// The text.
    pub secret: Secret,
    pub(crate) until: Instant,
}

/// Where all secrets come from.
pub struct Secrets {
    safe: Safe,
    store: Store,
    client: HttpClient,
    config: ArcSwap<Config>,
    remotes: ArcSwap<Remotes>,
    /// As many as the configuration names sources.
    slots: Mutex<HashMap<Source, Arc<Slot>>>,
    /// Changes whenever any value may have.
    epoch: AtomicU64,
}

impl Secrets {
    /// Nothing is read yet.
    pub fn new(store: Store, config: Config, client: HttpClient) -> Secrets {
        let remotes = Arc::new(Remotes::new(&config, &client));
        Secrets {
            safe: Safe::by(store.clone(), config.clone(), remotes.clone()),
            store,
            client,
            remotes: ArcSwap::new(remotes),
            config: ArcSwap::from_pointee(config),
            slots: Mutex::default(),
            epoch: AtomicU64::new(0),
        }
    }

    /// Opens the sealed ones, while somebody is there to type a passphrase.
    pub async fn unlock(&self) -> Result<(), SafeFault> {
        self.safe.unlock().await
    }

    /// Takes another configuration. What seals the store's secrets stays as it was until the next start.
    pub(crate) fn apply(&self, config: &Config) {
        if **self.config.load() != *config {
            self.remotes.store(Arc::new(Remotes::new(config, &self.client)));
            self.config.store(Arc::new(config.clone()));
            lock(&self.slots).clear();
            self.changed();
        }
    }

    /// What a reference stands for now.
    pub async fn resolve(&self, reference: &Reference) -> Result<Resolved, SecretFault> {
        let mut values = Vec::new();
        let mut until = Instant::now() + self.config.load().ttl;
        for source in reference.sources() {
            let read = self.read(source).await?;
            until = until.min(read.until);
            values.push(read.value.clone());
        }
        Ok(Resolved { secret: reference.fill(&values), until })
    }

    /// Asks anew at the next use, as after the value was refused where it was sent.
    pub(crate) fn forget<'a>(&self, sources: impl Iterator<Item = &'a Source>) {
        let slots = lock(&self.slots);
        sources.filter_map(|source| slots.get(source)).for_each(|slot| slot.forget());
        drop(slots);
        self.changed();
    }

    /// The same for a sealed secret, or for all of them.
    fn forget_sealed(&self, name: Option<&SecretName>) {
        let concerned = |source: &Source| match (source, name) {
            (Source::Secret(_), None) => true,
            (Source::Secret(found), Some(name)) => found == name,
            _ => false,
        };
        lock(&self.slots).iter().filter(|(s, _)| concerned(s)).for_each(|(_, slot)| slot.forget());
        self.changed();
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    fn changed(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    async fn read(&self, source: &Source) -> Result<Arc<Read>, SecretFault> {
        let slot = lock(&self.slots).entry(source.clone()).or_default().clone();
        let rules = self.config.load().rules(source);
        let read = slot.read(rules, || self.fetch(source)).await?;
        if read.is_news {
            crate::leak::learn(&source.to_string(), read.read.value.expose());
            self.changed();
        }
        Ok(read.read)
    }

    async fn fetch(&self, source: &Source) -> Result<(Secret, Option<u64>), SecretFault> {
        let value = match source {
            Source::Secret(name) => {
                let opened = self.safe.open(name).await;
                let opened = opened.map_err(|fault| SecretFault::Sealed(Arc::new(fault)))?;
                return Ok((opened.value, opened.expires));
            }
            Source::KeyVault { vault, name } => {
                let remotes = self.remotes.load_full();
                return remotes.key_vault(&source.to_string())?.read(vault, name).await;
            }
            Source::Vault { mount, path, field } => {
                let remotes = self.remotes.load_full();
                let value =
                    remotes.hashicorp(&source.to_string())?.read(mount, path, field).await?;
                let expires = expiry::of_value(value.expose());
                return Ok((value, expires));
            }
            Source::Env(_) | Source::File(_) => {
                let local = source.clone();
                let read = tokio::task::spawn_blocking(move || local.read()).await;
                let lost = || SecretFault::NotConfigured(source.to_string(), "vault");
                read.ok().flatten().ok_or_else(lost)?
            }
        };
        let value = value.map_err(|fault| SecretFault::Local(Arc::new(fault)))?;
        let expires = expiry::of_value(value.expose());
        Ok((value, expires))
    }
}

/// What a reference stands for that is on this machine and needs no key.
pub(crate) async fn local(reference: &Reference) -> Result<Secret, SecretFault> {
    remote::token("what proves this gateway", reference).await
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
