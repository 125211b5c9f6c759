//! Why nothing could be recorded.

use std::path::PathBuf;
use std::sync::Arc;

/// Why a record is not durable. Cheap to clone: one failure reaches all who wait.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AuditFault {
    /// The journal was closed.
    #[error("the journal is closed")]
    Closed,
    /// A line that is not a record, and not the torn last one.
    #[error("{path}, line {line}: not a record", path = path.display())]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: u64,
    },
    /// The operating system failed. While appending, it is final: nothing more is recorded
    /// until the journal is opened again.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: Arc<std::io::Error>,
    },
    /// Another process writes this journal.
    #[error("{}: another process writes this journal", .0.display())]
    Locked(PathBuf),
    /// A line that can't be read as a record.
    #[error("record {0} can't be read")]
    NoRecord(u64),
    /// The disk is slower than the calls: too much waits to be written. A retry makes sense.
    #[error("too many records wait to be written")]
    Overloaded,
    /// The records, the key or the checkpoint are not those that were signed: nothing is
    /// added to them.
    #[error("{}: the journal is not the one that was signed; verify it, and move it away to begin a new one", .0.display())]
    Tampered(PathBuf),
}
