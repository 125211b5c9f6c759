//! Secrets that end soon are told of before they do: in the log, and in the journal, which alerts follow.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use vault::{SecretName, Source};

use super::{Secrets, lock};
use crate::Gateway;

/// How often it is looked for.
const ROUND: Duration = Duration::from_secs(60);
/// A secret that is still there is told of again after a day, in seconds.
const AGAIN: u64 = 86_400;

/// What ends, when, and who must act.
pub(super) struct Ending {
    source: Source,
    expires: u64,
    owner: String,
}

/// Until the gateway ends.
pub(crate) async fn watch_ends(gateway: Arc<Gateway>, mut stopping: watch::Receiver<bool>) {
    let mut rounds = tokio::time::interval(ROUND);
    let mut told = HashMap::new();
    loop {
        tokio::select! {
            _ = rounds.tick() => {}
            _ = stopping.changed() => return,
        }
        if let Err(fault) = gateway.tell_ends(&mut told, crate::now()).await {
            tracing::error!("which secrets end soon can't be told: {fault}");
        }
    }
}

impl Gateway {
    async fn tell_ends(
        &self,
        told: &mut HashMap<(Source, u64), u64>,
        now: u64,
    ) -> Result<(), String> {
        let before = self.current().config.secrets.warn_before.as_secs();
        told.retain(|_, at| now < *at + AGAIN);
        let endings = self.secrets.endings().await.map_err(|fault| fault.to_string())?;
        for Ending { source, expires, owner } in endings {
            let is_soon = expires.saturating_sub(now) <= before;
            if !is_soon || told.contains_key(&(source.clone(), expires)) {
                continue;
            }
            let when = match expires.checked_sub(now) {
                None | Some(0) => "has expired".to_owned(),
                Some(left) if left < 2 * 86_400 => format!("expires in {} hours", left / 3600),
                Some(left) => format!("expires in {} days", left / 86_400),
            };
            let owner = if owner.is_empty() { "nobody is named to act" } else { &owner };
            tracing::warn!(secret = %source, owner, "a secret {when}");
            let (name, detail) = (source.to_string(), format!("{when}; {owner}"));
            let record = audit::Record {
                kind: audit::Kind::Secret,
                method: "expiry",
                name: &name,
                detail: &detail,
                ..audit::Record::default()
            };
            self.append(&record).await.map_err(|fault| fault.to_string())?;
            told.insert((source, expires), now);
        }
        Ok(())
    }
}

impl Secrets {
    /// All secrets whose end is known: the sealed ones, and what was read of others.
    async fn endings(&self) -> Result<Vec<Ending>, store::StoreFault> {
        let config = self.config.load_full();
        let owner = |source: &Source| config.owners.get(source).cloned();
        let mut endings = Vec::new();
        for sealed in self.store.secrets().await? {
            if let (Some(expires), Ok(name)) = (sealed.expires, SecretName::new(&sealed.name)) {
                let source = Source::Secret(name);
                let owner = owner(&source).unwrap_or(sealed.owner);
                endings.push(Ending { source, expires, owner });
            }
        }
        for (source, slot) in lock(&self.slots).iter() {
            let expires = slot.held().and_then(|held| held.expires);
            if let (Some(expires), false) = (expires, matches!(source, Source::Secret(_))) {
                let owner = owner(source).unwrap_or_default();
                endings.push(Ending { source: source.clone(), expires, owner });
            }
        }
        Ok(endings)
    }
}
