//! Policies that the store holds for all of its gateways: taken up together with those of the configuration, and again when they change.

use audit::Payload;
use futures_util::future::try_join_all;
use policy::CedarFile;
use store::{Store, StoreFault};

use crate::{Gateway, config::Config, refusal::Refusal};

/// What the store held at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Which moment.
    pub generation: i64,
    /// The policies, by name.
    pub files: Vec<CedarFile>,
}

impl Stored {
    /// As it is now.
    pub async fn read(store: &Store) -> Result<Stored, StoreFault> {
        let (generation, policies) = store.policies().await?;
        let file = |policy: store::StoredPolicy| CedarFile {
            name: format!("store:{}", policy.name),
            text: policy.cedar,
        };
        Ok(Stored { generation, files: policies.into_iter().map(file).collect() })
    }

    /// Those of the configuration and these.
    pub(crate) fn with(&self, config: &Config) -> Vec<CedarFile> {
        config.policies.iter().chain(&self.files).cloned().collect()
    }

    /// The digest of what decides: the configuration's; where the store holds policies, the SHA-256 of that and their texts.
    pub(crate) fn digest(&self, config: &Config) -> [u8; 32] {
        if self.files.is_empty() {
            return config.digest;
        }
        let texts = self.files.iter().map(|file| file.text.as_bytes());
        let all: Vec<&[u8]> = std::iter::once(config.digest.as_slice()).chain(texts).collect();
        Payload::of(&all.concat()).sha256
    }
}

impl Gateway {
    /// For [`Gateway::take_up_decisions`], which knows when it is time to look: recorded first, then in force.
    pub(crate) async fn take_up_policies(&self) -> Result<(), Refusal> {
        loop {
            let changes = self.store.policy_changes_unrecorded().await.map_err(unavailable)?;
            let Some(last) = changes.last().map(|last| last.id) else { break };
            try_join_all(changes.iter().map(|change| self.record_policy(change))).await?;
            self.store.policy_changes_recorded(last).await.map_err(unavailable)?;
        }
        let mut looked_at = self.changing.lock().await;
        if self.store.policies_generation().await.map_err(unavailable)? == *looked_at {
            return Ok(());
        }
        let stored = Stored::read(&self.store).await.map_err(unavailable)?;
        *looked_at = stored.generation;
        if stored == self.current().stored {
            return Ok(());
        }
        let config = self.current().config.clone();
        // They were validated where they were put, but perhaps by another version: as with a broken file, the old go on.
        if let Err(fault) = self.put_in_place(config, stored).await {
            tracing::error!(%fault, "the store's policies can't be used; the old ones go on");
        }
        Ok(())
    }

    async fn record_policy(&self, change: &store::PolicyChange) -> Result<(), Refusal> {
        let digest: String = change.digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let detail = format!("{} in the store: sha256 {digest}", change.change);
        let record = audit::Record {
            kind: audit::Kind::Config,
            principal: &change.by,
            name: &change.name,
            method: "policy",
            detail: &detail,
            ..audit::Record::default()
        };
        self.append(&record).await
    }
}

fn unavailable(fault: StoreFault) -> Refusal {
    Refusal::StoreUnavailable(fault.to_string())
}
