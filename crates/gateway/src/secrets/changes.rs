//! Changes of sealed secrets by commands beside the gateway are taken up: recorded first, then in force.

use futures_util::future::try_join_all;

use crate::{Gateway, refusal::Refusal};

impl Gateway {
    /// For [`Gateway::take_up_decisions`], which knows when it is time to look.
    pub(crate) async fn take_up_secrets(&self) -> Result<(), Refusal> {
        loop {
            let changes = self.store.secret_changes_unrecorded().await.map_err(unavailable)?;
            let Some(last) = changes.last().map(|last| last.id) else { return Ok(()) };
            try_join_all(changes.iter().map(|change| self.record_change(change))).await?;
            for change in &changes {
                self.secrets.forget_sealed(vault::SecretName::new(&change.name).ok().as_ref());
            }
            self.store.secret_changes_recorded(last).await.map_err(unavailable)?;
        }
    }

    async fn record_change(&self, change: &store::SecretChange) -> Result<(), Refusal> {
        let detail = match (change.name.as_str(), change.version) {
            ("", _) => format!("{}: new keys for all sealed secrets", change.change),
            (_, version) => format!("{} value {version}", change.change),
        };
        let record = audit::Record {
            kind: audit::Kind::Secret,
            principal: &change.by,
            name: &change.name,
            detail: &detail,
            ..audit::Record::default()
        };
        self.append(&record).await
    }
}

fn unavailable(fault: store::StoreFault) -> Refusal {
    Refusal::StoreUnavailable(fault.to_string())
}
