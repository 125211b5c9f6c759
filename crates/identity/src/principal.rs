//! The caller, and the proof that it is the caller.

use std::sync::Arc;

use crate::TokenRecord;

/// What made the caller known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrincipalKind {
    /// Anyone on the loopback: the loosening `[identity] loopback = "open"`.
    Loopback,
    /// Whoever runs this gateway.
    Owner,
    /// The holder of a token.
    Token,
}

/// A caller. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal(Arc<Facts>);

#[derive(Debug, PartialEq, Eq)]
struct Facts {
    kind: PrincipalKind,
    id: String,
    partition: Arc<str>,
    roles: Vec<String>,
}

impl Principal {
    /// What made the caller known.
    pub fn kind(&self) -> PrincipalKind {
        self.0.kind
    }

    /// For people, rules and records: `owner`, `loopback`, `token:ci`.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// What sessions, cursors and caches are bound to. Unlike [`Principal::id`], it differs
    /// between two tokens that had the same name one after the other.
    pub fn partition(&self) -> &str {
        &self.0.partition
    }

    /// The same, shared.
    pub fn shared_partition(&self) -> Arc<str> {
        self.0.partition.clone()
    }

    /// Roles that came with the credential.
    pub fn roles(&self) -> &[String] {
        &self.0.roles
    }
}

/// A principal that authentication proved: only this crate makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified(Principal);

impl Verified {
    /// The person who started this very process and talks to it by its standard input:
    /// the operating system has proved them.
    pub fn process_owner() -> Verified {
        Verified::owner()
    }

    /// The proved caller.
    pub fn principal(&self) -> &Principal {
        &self.0
    }

    pub(crate) fn loopback() -> Verified {
        Verified::plain(PrincipalKind::Loopback, "loopback")
    }

    pub(crate) fn owner() -> Verified {
        Verified::plain(PrincipalKind::Owner, "owner")
    }

    pub(crate) fn token(record: &TokenRecord) -> Verified {
        let id = format!("token:{}", record.name);
        let partition = format!("{id}#{}", record.hash.short()).into();
        let roles = record.roles.clone();
        Verified(Principal(Arc::new(Facts { kind: PrincipalKind::Token, id, partition, roles })))
    }

    fn plain(kind: PrincipalKind, id: &str) -> Verified {
        let facts = Facts { kind, id: id.into(), partition: id.into(), roles: Vec::new() };
        Verified(Principal(Arc::new(facts)))
    }
}
