//! Following the journal: every record, in order, once it is durable.

use std::path::PathBuf;

use tokio::sync::watch;

use crate::lines::{self, Lines};
use crate::{AuditFault, Entry, files};

/// How many records are given at once, and roughly how many bytes.
const RECORDS: usize = 1000;
const BYTES: usize = 1 << 20;

/// Gives the records of an open journal from any place on, without a gap, and waits for new
/// ones. It reads the files, so a slow follower holds nothing in memory and slows nobody.
///
/// ```no_run
/// # async fn alerts(journal: &audit::Journal, path: &std::path::Path) -> Result<(), audit::AuditFault> {
/// let mut cursor = audit::Cursor::open(path, journal, audit::Start::Now)?;
/// let mut follower = journal.follow(cursor.next());
/// while let Some(records) = follower.next().await? {
///     for record in &records {
///         println!("{} {}", record.seq, record.line);
///     }
///     cursor.advance(follower.at())?;
/// }
/// # Ok(())
/// # }
/// ```
pub struct Follower {
    dir: PathBuf,
    committed: watch::Receiver<u64>,
    /// The number of the record that comes next.
    next: u64,
    /// Away while it is read from, and not there when that was given up.
    lines: Option<Lines>,
}

/// A durable record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// Its place in the journal.
    pub seq: u64,
    /// The record as it stands in the journal, without the newline: what its leaf hash is over.
    pub line: String,
}

impl Followed {
    /// The record, read. A line that is no record gives none.
    pub fn entry(&self) -> Option<Entry> {
        serde_json::from_str(&self.line).ok()
    }
}

impl Follower {
    pub(crate) fn new(dir: PathBuf, committed: watch::Receiver<u64>, next: u64) -> Follower {
        Follower { dir, committed, next: next.max(1), lines: None }
    }

    /// The number of the last record that was given; 0 before the first.
    pub fn at(&self) -> u64 {
        self.next - 1
    }

    /// The next records, at least one; waits until there is one. `None` when the journal was
    /// closed and all of it was given. A future that is dropped has taken nothing. Records that were
    /// pruned meanwhile are passed over.
    pub async fn next(&mut self) -> Result<Option<Vec<Followed>>, AuditFault> {
        loop {
            let next = self.next;
            let Ok(committed) =
                self.committed.wait_for(|last| *last >= next).await.map(|last| *last)
            else {
                return Ok(None);
            };
            let (dir, lines) = (self.dir.clone(), self.lines.take());
            let read = tokio::task::spawn_blocking(move || read(&dir, lines, next, committed));
            // It does not panic; were it aborted, the runtime would be ending.
            let (lines, next, records) = read.await.map_err(|_| AuditFault::Closed)??;
            (self.lines, self.next) = (Some(lines), next);
            if !records.is_empty() {
                return Ok(Some(records));
            }
        }
    }
}

/// Reads on from where `lines` is, or from the record `next`, as far as `committed`; what comes then.
fn read(
    dir: &std::path::Path,
    lines: Option<Lines>,
    mut next: u64,
    committed: u64,
) -> Result<(Lines, u64, Vec<Followed>), AuditFault> {
    let mut fresh = lines.is_none();
    if fresh {
        next = next.max(files::first(dir)?);
    }
    let mut lines = lines.map_or_else(|| Lines::from(dir, next), Ok)?;
    let (mut records, mut bytes) = (Vec::new(), 0);
    while next <= committed && records.len() < RECORDS && bytes < BYTES {
        let Some(line) = lines.next()? else {
            if fresh {
                let place = lines.place();
                return Err(AuditFault::Corrupt { path: place.file, line: place.line });
            }
            // That file was full: the rest is in one that came later.
            next = next.max(files::first(dir)?);
            lines = Lines::from(dir, next)?;
            fresh = true;
            continue;
        };
        let (seq, text) = (lines::seq(line), String::from_utf8(line.to_vec()));
        let Some(line) = text.ok().filter(|_| seq == Some(next)) else {
            let place = lines.place();
            return Err(AuditFault::Corrupt { path: place.file, line: place.line });
        };
        bytes += line.len();
        records.push(Followed { seq: next, line });
        next += 1;
        fresh = false;
    }
    Ok((lines, next, records))
}
