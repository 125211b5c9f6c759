//! Why the store can't answer.

use std::path::PathBuf;

/// Why the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreFault {
    /// A live token of that name exists.
    #[error("a token named `{0}` exists")]
    Exists(String),
    /// The file can't be made or its mode not be set.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A row that can't have been written by this program.
    #[error("the store holds a {0} that can't be read")]
    Malformed(&'static str),
    /// Written by a newer version of this program.
    #[error("the store has version {found}, this program knows up to {known}")]
    Newer {
        /// What is there.
        found: i64,
        /// What this program knows.
        known: usize,
    },
    /// A role's name that could not be read back.
    #[error("{0:?} can't be the name of a role")]
    Role(String),
    /// The database failed.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
}
