//! The journal's own house: what is old goes, what is whole is indexed.

use std::{sync::Arc, time::Duration};

use audit::{Cursor, Retention};
use tokio::sync::watch;

use crate::Gateway;

/// How often it is looked after.
const ROUND: Duration = Duration::from_secs(60);

/// Until the gateway ends.
pub(crate) async fn keep_journal(gateway: Arc<Gateway>, mut stopping: watch::Receiver<bool>) {
    let mut rounds = tokio::time::interval(ROUND);
    loop {
        tokio::select! {
            _ = rounds.tick() => {}
            _ = stopping.changed() => return,
        }
        tokio::select! {
            () = gateway.look_after_journal() => {}
            _ = stopping.changed() => return,
        }
    }
}

impl Gateway {
    async fn look_after_journal(&self) {
        let folder = self.current().config.state_dir.join("audit");
        let indexed = tokio::task::spawn_blocking(move || audit::index(&folder)).await;
        if let Ok(Err(fault)) = indexed {
            tracing::warn!(%fault, "the journal can't be indexed; searches take longer");
        }
        if let Err(fault) = self.journal.notice_forgotten().await {
            tracing::error!(%fault, "that somebody was forgotten can't be recorded");
        }
        let current = self.current();
        match self.journal.prune_payloads(current.config.audit.payloads.keep).await {
            Ok(0) => {}
            Ok(files) => tracing::info!(files, "sealed payloads were removed"),
            Err(fault) => tracing::error!(%fault, "sealed payloads can't be removed"),
        }
        let keep = current.config.audit.keep;
        if keep == Retention::default() {
            return;
        }
        match self.journal.prune(keep, self.delivered()).await {
            Ok(None) => {}
            Ok(Some(last)) => tracing::info!(last, "old records were removed"),
            Err(fault) => tracing::error!(%fault, "old records can't be removed"),
        }
    }

    /// The last record that every destination has: what is behind it is still needed.
    fn delivered(&self) -> u64 {
        let config = &self.current().config;
        let cursor = |name: &str| config.state_dir.join("export").join(format!("{name}.cursor"));
        let done =
            config.exports.iter().map(|export| Cursor::peek(&cursor(&export.name)).unwrap_or(0));
        done.min().unwrap_or(u64::MAX)
    }
}
