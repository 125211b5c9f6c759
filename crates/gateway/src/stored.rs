//! Policies and roles that the store holds for all of its gateways: taken up together with those of the configuration, and
//! again when they change.

use audit::Payload;
use futures_util::future::try_join_all;
use policy::{CedarFile, Policy, PolicyFault, Role};
use store::{PolicyForm, Store, StoreFault};

use crate::{Gateway, config::Config, refusal::Refusal};

/// What the store held at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Which moment.
    pub generation: i64,
    /// The policies in Cedar, by name.
    pub cedar: Vec<CedarFile>,
    /// The roles, by the name that they were put under.
    pub roles: Vec<SharedRoles>,
}

/// Roles as they are in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedRoles {
    /// The name that they were put under.
    pub name: String,
    /// TOML, as in a configuration.
    pub text: String,
}

/// Why what the store holds makes no policy with this configuration.
#[derive(Debug, thiserror::Error)]
pub enum StoredFault {
    /// Roles that can't be read.
    #[error("the roles `{name}` in the store can't be read: {fault}")]
    Roles {
        /// The name that they were put under.
        name: String,
        /// Why.
        fault: String,
    },
    /// A role of the configuration, or of another entry of the store.
    #[error(
        "role `{role}` of `{name}` in the store is defined elsewhere too: rename it in this gateway's configuration, or \
         take it out of the store (`bartizan policy get {name}` prints it)"
    )]
    Twice {
        /// The role.
        role: String,
        /// The name that it was put under.
        name: String,
    },
    /// Whatever else.
    #[error(transparent)]
    Policy(#[from] PolicyFault),
}

impl Stored {
    /// As it is now.
    pub async fn read(store: &Store) -> Result<Stored, StoreFault> {
        let (generation, policies) = store.policies().await?;
        let mut stored = Stored { generation, ..Stored::default() };
        for store::StoredPolicy { name, form, text, .. } in policies {
            match form {
                PolicyForm::Cedar => {
                    let name = format!("store:{name}");
                    stored.cedar.push(CedarFile { name, text });
                }
                PolicyForm::Roles => stored.roles.push(SharedRoles { name, text }),
            }
        }
        Ok(stored)
    }

    /// The roles of the configuration and these. None is defined twice: two halves of one would each look like the whole.
    pub fn roles(&self, config: &Config) -> Result<Vec<Role>, StoredFault> {
        let mut roles: Vec<Role> = config.roles.clone();
        for SharedRoles { name, text } in &self.roles {
            let read = (config.read_roles)(text);
            let read = read.map_err(|fault| StoredFault::Roles { name: name.clone(), fault })?;
            for role in read {
                if roles.iter().any(|known| known.name == role.name) {
                    return Err(StoredFault::Twice { role: role.name, name: name.clone() });
                }
                roles.push(role);
            }
        }
        Ok(roles)
    }

    /// The policy that the configuration and these make.
    pub fn policy(&self, config: &Config) -> Result<Policy, StoredFault> {
        let files: Vec<CedarFile> = config.policies.iter().chain(&self.cedar).cloned().collect();
        Ok(Policy::new(&self.roles(config)?, &files)?)
    }

    /// The digest of what decides, in hexadecimal: the configuration's; where the store holds policies, the SHA-256 of
    /// that, if there is one, and their texts. None where the defaults alone do.
    pub(crate) fn digest(&self, config: &Config) -> Option<String> {
        let own = config.digest.as_ref().map(|digest| digest.as_slice());
        let roles = self.roles.iter().map(|roles| roles.text.as_bytes());
        let texts: Vec<&[u8]> =
            self.cedar.iter().map(|file| file.text.as_bytes()).chain(roles).collect();
        let digest = if texts.is_empty() {
            config.digest?
        } else {
            let all: Vec<&[u8]> = own.into_iter().chain(texts).collect();
            Payload::of(&all.concat()).sha256
        };
        Some(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The same, as records of starts and changes name it.
    pub(crate) fn named(&self, config: &Config) -> String {
        match self.digest(config) {
            Some(digest) => format!("the configuration {digest}"),
            None => "the defaults: there is no configuration file".to_owned(),
        }
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
