//! What happened?
//!
//! An append-only journal of JSON lines with group commit: callers hand in records, one
//! thread writes what has gathered and syncs it once, then wakes all who wait.
//!
//! Over the lines stands a Merkle tree (RFC 9162; leaf: a line without its newline; index: the
//! sequence number less one), in the formats of C2SP beside the journal: `tile/…` (tlog-tiles),
//! `checkpoint` (tlog-checkpoint, a signed note, Ed25519), `checkpoints.log` (all of them, each
//! followed by an empty line), `audit.pub` (what an auditor needs), `audit.key` (the owner's).
//! Whoever needs the records as they come (exports, alerts) has a [`Follower`], and a [`Cursor`]
//! on the disk. A receipt is a tlog-proof whose `extra` is the record. `payload-….sealed` holds what calls said,
//! sealed for an auditor, where that is asked for.
#![forbid(unsafe_code)]

mod checkpoint;
mod cursor;
mod diagnose;
mod fault;
mod files;
mod filter;
mod follow;
pub mod format;
mod hashed;
mod index;
mod journal;
mod ledger;
mod lines;
mod members;
mod merkle;
mod note;
mod payload;
mod personal;
mod read;
mod receipt;
mod record;
mod retention;
mod seal;
mod search;
mod tail;
mod tile;
mod verify;
mod witness;
mod writer;

pub use checkpoint::Checkpoint;
pub use cursor::{Cursor, Start};
pub use fault::AuditFault;
pub use filter::Filter;
pub use follow::{Followed, Follower};
pub use format::Format;
pub use journal::{Append, Intended, Journal, Options, Recorded};
pub use lines::Place;
pub use note::{KeyFault, VerifierKey};
pub use payload::{OpenFault, open_payload, sealed_payload};
pub use personal::forget;
pub use read::{Entries, Entry};
pub use receipt::{CheckFault, ProveFault, Proven, check, prove};
pub use record::{Body, Kind, Outcome, Payload, Record, SCHEMA};
pub use retention::Retention;
pub use seal::{Identity, NoIdentity, Recipient, SealFault, seal};
pub use search::{Search, Stats, index, newest, record, search, stats};
pub use tail::Tail;
pub use verify::{Pruned, Tampered, Verified, verify, verify_with};
pub use witness::{Submission, WitnessKey, cosigned, known_size, submission};
