//! What is kept: tokens, definitions and what was decided about them, what the authorization server issued, sealed secrets, shared policies, and a few settings, in SQLite.
//!
//! The statements use only what SQLite and PostgreSQL have in common: `$1`, `on conflict`,
//! and columns of `bigint`, `text` and `blob`. Never read on the path of a call that is cached.
#![forbid(unsafe_code)]

mod approvals;
mod column;
mod decisions;
mod egress;
mod fault;
mod flows;
mod grants;
mod meta;
mod oauth;
mod open;
mod pins;
mod policies;
mod quotas;
mod secrets;
mod signed;
mod tokens;
mod wants;

pub use approvals::Approval;
pub use decisions::Decided;
pub use egress::EgressSeen;
pub use fault::StoreFault;
pub use flows::Flow;
pub use grants::Grant;
pub use oauth::{Consent, Device, DynamicClient, Poll, SealedKey, Session, Taken};
pub use open::Store;
pub use pins::{Decision, PINS, Pin, PinTexts, Showing};
pub use policies::{PolicyChange, PolicyForm, StoredPolicy};
pub use quotas::QuotaPart;
pub use secrets::{RootKey, SealedSecret, SecretChange};
pub use tokens::Token;
pub use wants::Want;
