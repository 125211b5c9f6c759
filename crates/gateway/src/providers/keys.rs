//! An issuer's keys: fetched when first needed, refreshed in the background, kept through an outage for
//! a bounded time, and asked for anew when a token names one that is not there, but not for every such
//! token.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use identity::{
    Discovery,
    jwks::{Jwks, KeyUse},
};
use tokio::sync::Mutex;
use upstream::HttpClient;

use super::fetch;
use crate::config::{self, KeysFrom};

/// The shortest time between two fetches, in seconds: what a flood of unknown key names costs the issuer.
const PAUSE: u64 = 60;
/// The same while there are no keys at all: nobody can be let in, so it is tried more often.
const RETRY: u64 = 5;

/// The keys of one provider.
pub(super) struct Keys {
    from: KeysFrom,
    usage: KeyUse,
    refresh: u64,
    stale: u64,
    allow_private: bool,
    client: HttpClient,
    held: ArcSwapOption<Held>,
    /// When it was last tried. Whoever holds it fetches; the others wait for what comes of it.
    tried: Mutex<Option<u64>>,
}

/// What a fetch brought.
pub(super) struct Held {
    pub(super) keys: Jwks,
    /// What the provider says of itself, where it was asked.
    pub(super) about: Option<Discovery>,
    fetched: u64,
}

impl Keys {
    pub(super) fn new(entry: &config::Provider, client: HttpClient) -> Keys {
        Keys {
            from: entry.keys.clone(),
            usage: entry.provider.key_use(),
            refresh: entry.refresh.as_secs(),
            stale: entry.stale.as_secs(),
            allow_private: entry.allow_private,
            client,
            held: ArcSwapOption::empty(),
            tried: Mutex::new(None),
        }
    }

    /// The keys as they are now, fetched anew where they are missing, too old, or without the one that is
    /// `wanted`: what a token names. `Err`: why there are none.
    pub(super) async fn current(
        self: &Arc<Self>,
        wanted: Option<Option<&str>>,
        now: u64,
    ) -> Result<Arc<Held>, String> {
        let Some(held) = self.usable(now) else { return self.renew(None, now).await };
        if now >= held.fetched + self.refresh {
            let keys = self.clone();
            tokio::spawn(async move { keys.renew(None, now).await });
        }
        match wanted {
            Some(kid) if !held.keys.knows(kid) => self.renew(wanted, now).await,
            _ => Ok(held),
        }
    }

    fn usable(&self, now: u64) -> Option<Arc<Held>> {
        self.held.load_full().filter(|held| now < held.fetched + self.refresh + self.stale)
    }

    /// Fetches, unless somebody just did. `wanted`: the key for whose sake.
    async fn renew(&self, wanted: Option<Option<&str>>, now: u64) -> Result<Arc<Held>, String> {
        let mut tried = self.tried.lock().await;
        let held = self.usable(now);
        if let Some(held) = &held {
            let enough = match wanted {
                Some(kid) => held.keys.knows(kid),
                None => now < held.fetched + self.refresh,
            };
            if enough || tried.is_some_and(|at| now < at + PAUSE.min(self.refresh)) {
                return Ok(held.clone());
            }
        } else if tried.is_some_and(|at| now < at + RETRY) {
            return Err("its keys could not be fetched a moment ago".to_owned());
        }
        *tried = Some(now);
        match self.fetch().await {
            Ok((keys, about)) => {
                let held = Arc::new(Held { keys, about, fetched: now });
                self.held.store(Some(held.clone()));
                Ok(held)
            }
            Err(fault) => match held {
                Some(held) => {
                    tracing::warn!(
                        fault,
                        "an issuer's keys could not be renewed; the old ones stay"
                    );
                    Ok(held)
                }
                None => Err(fault),
            },
        }
    }

    async fn fetch(&self) -> Result<(Jwks, Option<Discovery>), String> {
        let mut about = None;
        let (place, bytes) = match &self.from {
            KeysFrom::File(path) => {
                let place = path.display().to_string();
                let read =
                    tokio::fs::read(path).await.map_err(|fault| format!("{place}: {fault}"))?;
                (place, read.into())
            }
            KeysFrom::Url(url) => (url.clone(), self.get(url).await?),
            KeysFrom::Review { server, .. } => {
                return Err(format!("{server} is asked about tokens, and not for keys"));
            }
            KeysFrom::Discovery { url, issuer, same_origin } => {
                let document = self.get(url).await?;
                let found = Discovery::read(&document, issuer);
                let found = found.map_err(|fault| format!("{url}: {fault}"))?;
                if *same_origin && !found.keys_at_origin_of(url) {
                    return Err(format!("{url} sends to another host for the keys"));
                }
                let keys = self.get(found.jwks_uri()).await?;
                let place = found.jwks_uri().to_owned();
                about = Some(found);
                (place, keys)
            }
        };
        let keys = Jwks::read(&bytes, self.usage).map_err(|fault| format!("{place}: {fault}"))?;
        Ok((keys, about))
    }

    async fn get(&self, url: &str) -> Result<bytes::Bytes, String> {
        fetch::get(&self.client, url, self.allow_private).await
    }
}
