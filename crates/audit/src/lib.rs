//! What happened?
//!
//! An append-only journal of JSON lines with group commit: callers hand in records, one
//! thread writes what has gathered and syncs it once, then wakes all who wait.
#![forbid(unsafe_code)]

mod checkpoint;
mod fault;
mod files;
mod journal;
mod ledger;
mod lines;
mod merkle;
mod note;
mod read;
mod record;
mod tile;
mod writer;

pub use checkpoint::Checkpoint;
pub use fault::AuditFault;
pub use journal::{Append, Intended, Journal, Options, Recorded};
pub use lines::Place;
pub use note::{KeyFault, VerifierKey};
pub use read::{Entries, Entry};
pub use record::{Kind, Outcome, Payload, Record};
