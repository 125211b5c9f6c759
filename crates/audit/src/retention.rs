//! What of a journal is kept. Whole files go, oldest first; the hashes of their records stay.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use crate::filter::written;
use crate::merkle::TILE;
use crate::search::first_time;
use crate::tile::Tiles;
use crate::{AuditFault, Journal, Kind, Record, files};

/// How much is kept; what is not set bounds nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Records of at most this age.
    pub age: Option<Duration>,
    /// So many bytes of records.
    pub bytes: Option<u64>,
}

impl Journal {
    /// Removes the oldest files as the rules say, but nothing behind the record `delivered`. First it is
    /// recorded, and the record signed; then the files go. Gives the last record that went.
    pub async fn prune(&self, keep: Retention, delivered: u64) -> Result<Option<u64>, AuditFault> {
        let dir = self.dir().to_owned();
        // Only what is in full tiles, which are never written again.
        let delivered = delivered.min(self.committed() / TILE as u64 * TILE as u64);
        let look = move || surplus(&dir, keep, delivered);
        let found = tokio::task::spawn_blocking(look).await.map_err(|_| AuditFault::Closed)??;
        let Some(Surplus { last, why, paths }) = found else { return Ok(None) };
        let detail = format!("records up to {last} were removed: {why}");
        let record = Record {
            kind: Kind::Retention,
            pruned: Some(last),
            detail: &detail,
            ..Record::default()
        };
        let recorded = self.append(&record).await?;
        self.signed(recorded.seq()).await?;
        // Of what goes, the tiles have the only hashes.
        Tiles::new(self.dir()).sync(last).map_err(files::at(self.dir()))?;
        for path in paths {
            let _ = std::fs::remove_file(path.with_extension("idx"));
            std::fs::remove_file(&path).map_err(files::at(&path))?;
        }
        Ok(Some(last))
    }
}

/// Files to be removed.
struct Surplus {
    /// The last record in them.
    last: u64,
    why: String,
    paths: Vec<PathBuf>,
}

fn surplus(dir: &Path, keep: Retention, delivered: u64) -> Result<Option<Surplus>, AuditFault> {
    let files = files::list(dir)?;
    let mut sizes = Vec::with_capacity(files.len());
    for (_, path) in &files {
        sizes.push(std::fs::metadata(path).map_err(files::at(path))?.len());
    }
    let mut rest: u64 = sizes.iter().sum();
    let oldest = keep.age.and_then(|age| Timestamp::now().checked_sub(age).ok()).map(written);
    let mut surplus: Option<Surplus> = None;
    for (pair, size) in files.windows(2).zip(sizes) {
        let [(_, path), (next, follower)] = pair else { break };
        // What comes behind it is older than the age, so all of it is.
        let begins = first_time(dir, *next, follower)?;
        let old = oldest.as_ref().zip(begins).is_some_and(|(oldest, begins)| begins < *oldest);
        let large = keep.bytes.is_some_and(|bytes| rest > bytes);
        if next - 1 > delivered || !(old || large) {
            break;
        }
        rest -= size;
        let why = if old { "older than what is kept" } else { "more than what is kept" };
        let paths = surplus.map(|surplus| surplus.paths).unwrap_or_default();
        let paths = [paths, vec![path.clone()]].concat();
        surplus = Some(Surplus { last: next - 1, why: why.to_owned(), paths });
    }
    Ok(surplus)
}
