//! Identity providers at work: an Entra stand-in and a plain issuer over real HTTP, in front of a real gateway.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test"))]

mod certificates;
mod doors;
mod entra;
mod exchange;
mod issuer;
mod outage;
mod review;
#[path = "../../../identity/tests/support/signer.rs"]
mod signer;
mod standing;

use std::{sync::Arc, time::Duration};

use gateway::{
    Gateway, Refusal,
    config::{Config, Provider},
};
use identity::Verified;

/// A gateway of its own state folder, with these providers.
pub struct Gate {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) config: Config,
    _folder: tempfile::TempDir,
}

impl Gate {
    pub(crate) async fn open(recheck: Duration, providers: Vec<Provider>) -> Gate {
        Gate::with(recheck, providers, |_| {}).await
    }

    pub(crate) async fn with(
        recheck: Duration,
        providers: Vec<Provider>,
        change: impl FnOnce(&mut Config),
    ) -> Gate {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::bare(folder.path().to_owned());
        config.listen = "127.0.0.1:0".parse().unwrap();
        config.audit.sync = false;
        config.identity.recheck = recheck;
        config.identity.providers = providers;
        change(&mut config);
        let gateway = Gateway::open(config.clone()).await.unwrap();
        Gate { gateway, config, _folder: folder }
    }

    pub(crate) async fn shows(&self, token: &str) -> Result<Verified, Refusal> {
        let header = format!("Bearer {token}");
        self.gateway.authenticate(Some(header.as_bytes()), false, None).await
    }

    /// What the operator reads of a refusal.
    pub(crate) async fn refuses(&self, token: &str) -> String {
        match self.shows(token).await {
            Err(Refusal::Authentication(fault)) => fault.code().to_owned(),
            Err(refusal) => refusal.label().to_owned(),
            Ok(caller) => panic!("{} got in", caller.principal().id()),
        }
    }
}

/// Waits for what must come, however slow the machine is.
pub async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let limit = tokio::time::Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(tokio::time::Instant::now() < limit, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
