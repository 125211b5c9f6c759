//! The keys that sign access tokens: made here, kept sealed in the store, replaced every month, published for as long as a token
//! of theirs could live.

use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use identity::broker::{SigningKey, jwks};
use identity::jwks::{Jwks, KeyUse};
use store::{SealedKey, Store};

use crate::seal::{Purpose, Sealer};

/// A key signs for this long, in seconds.
const SIGNS: u64 = 30 * 24 * 60 * 60;
/// A key is published for this long.
const PUBLISHED: u64 = SIGNS + 24 * 60 * 60;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysFault {
    /// No randomness, or a key that can't be used.
    #[error("a signing key can't be made: {0}")]
    Key(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::StoreFault),
}

/// The keys of now.
pub struct Keys {
    /// Signs.
    pub current: SigningKey,
    /// When it was made.
    created: u64,
    /// The document that is published.
    pub document: String,
    /// The same, for our own verifying.
    pub set: Jwks,
}

/// The keys, renewed when it is time.
pub struct KeyRing(ArcSwap<Keys>);

impl KeyRing {
    /// Reads the keys, and makes one if need be.
    pub async fn open(store: &Store, sealer: &Sealer, now: u64) -> Result<KeyRing, KeysFault> {
        Ok(KeyRing(ArcSwap::from_pointee(read(store, sealer, now).await?)))
    }

    /// The keys of now.
    pub fn now(&self) -> Arc<Keys> {
        self.0.load_full()
    }

    /// Replaces the key that signs, if it is old enough.
    pub async fn renew(&self, store: &Store, sealer: &Sealer, now: u64) -> Result<(), KeysFault> {
        if now.saturating_sub(self.0.load().created) >= SIGNS {
            self.0.store(Arc::new(read(store, sealer, now).await?));
        }
        Ok(())
    }
}

async fn read(store: &Store, sealer: &Sealer, now: u64) -> Result<Keys, KeysFault> {
    let since = now.saturating_sub(SIGNS);
    let mut sealed = store.oauth_keys().await?;
    if sealed.first().is_none_or(|key| key.created <= since) {
        store.oauth_key_put(&make(sealer, now)?, since, now.saturating_sub(PUBLISHED)).await?;
        sealed = store.oauth_keys().await?;
    }
    let fault = |what: &str| KeysFault::Key(what.to_owned());
    let mut keys = Vec::new();
    for key in &sealed {
        // A key that another sealing key sealed is of no use, and no danger.
        let Ok(der) = sealer.open(Purpose::SigningKey, &key.kid, now, &key.sealed) else {
            continue;
        };
        keys.push((SigningKey::from_pkcs8(&der).map_err(|f| fault(&f.to_string()))?, key.created));
    }
    let document = jwks(keys.iter().map(|(key, _)| key));
    let (current, created) =
        keys.into_iter().next().ok_or_else(|| fault("none opens; was seal.key replaced?"))?;
    let set =
        Jwks::read(document.as_bytes(), KeyUse::Signature).map_err(|f| fault(&f.to_string()))?;
    Ok(Keys { current, created, document, set })
}

fn make(sealer: &Sealer, now: u64) -> Result<SealedKey, KeysFault> {
    let fault = |what: String| KeysFault::Key(what);
    let pkcs8 =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map_err(|f| fault(f.to_string()))?;
    let key = SigningKey::from_pkcs8(pkcs8.as_ref()).map_err(|f| fault(f.to_string()))?;
    let sealed = sealer
        .seal(Purpose::SigningKey, key.kid(), u64::MAX, pkcs8.as_ref())
        .map_err(|f| fault(f.to_string()))?;
    Ok(SealedKey { kid: key.kid().to_owned(), sealed, created: now })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_key_stays_over_a_restart_and_is_replaced_in_time() {
        let store = Store::memory().await.unwrap();
        let sealer = Sealer::ephemeral().unwrap();
        let ring = KeyRing::open(&store, &sealer, 1000).await.unwrap();
        let first = ring.now().current.kid().to_owned();
        let again = KeyRing::open(&store, &sealer, 2000).await.unwrap();
        assert_eq!(again.now().current.kid(), first);
        again.renew(&store, &sealer, 1000 + SIGNS - 1).await.unwrap();
        assert_eq!(again.now().current.kid(), first);
        again.renew(&store, &sealer, 1000 + SIGNS).await.unwrap();
        let now = again.now();
        assert_ne!(now.current.kid(), first);
        assert!(now.document.contains(&first) && now.set.knows(Some(&first)));
        again.renew(&store, &sealer, 1000 + 2 * SIGNS).await.unwrap();
        assert!(!again.now().document.contains(&first));
    }

    #[tokio::test]
    async fn the_store_alone_holds_no_key() {
        let store = Store::memory().await.unwrap();
        KeyRing::open(&store, &Sealer::ephemeral().unwrap(), 1000).await.unwrap();
        assert!(KeyRing::open(&store, &Sealer::ephemeral().unwrap(), 1001).await.is_err());
    }
}
