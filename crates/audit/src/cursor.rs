//! How far somebody has got with the journal, kept on the disk.

use std::io;
use std::path::{Path, PathBuf};

use crate::checkpoint::decimal;
use crate::{AuditFault, Journal, files};

/// Where one begins who was never here before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the first record.
    Beginning,
    /// With what comes from now on.
    Now,
}

/// The number of the last record that was dealt with, in a file of two lines: the log's name and
/// the number. A journal that is another one is begun anew.
#[derive(Debug)]
pub struct Cursor {
    path: PathBuf,
    origin: String,
    done: u64,
}

impl Cursor {
    /// Takes up the cursor in this file for this journal.
    pub fn open(path: &Path, journal: &Journal, start: Start) -> Result<Cursor, AuditFault> {
        let origin = journal.origin().to_owned();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(files::at(path)(error)),
        };
        let done = text.as_deref().and_then(|text| parse(text, &origin));
        // What was removed before can't be dealt with any more.
        let removed = files::first(journal.dir())? - 1;
        let done = match (done, start) {
            // A journal that is not synced may have lost its end.
            (Some(done), _) => done.min(journal.committed()).max(removed),
            (None, Start::Beginning) => removed,
            (None, Start::Now) => journal.committed(),
        };
        let mut cursor = Cursor { path: path.into(), origin, done };
        cursor.advance(done)?;
        Ok(cursor)
    }

    /// The number that stands in such a file, whatever its journal.
    pub fn peek(path: &Path) -> Option<u64> {
        let text = std::fs::read_to_string(path).ok()?;
        parse(&text, text.lines().next()?)
    }

    /// The number of the record that comes next.
    pub fn next(&self) -> u64 {
        self.done + 1
    }

    /// All up to this record is dealt with: durable when this returns.
    pub fn advance(&mut self, seq: u64) -> Result<(), AuditFault> {
        let text = format!("{}\n{seq}\n", self.origin);
        files::replace(&self.path, text.as_bytes(), true).map_err(files::at(&self.path))?;
        self.done = seq;
        Ok(())
    }
}

fn parse(text: &str, origin: &str) -> Option<u64> {
    let (name, number) = text.strip_suffix('\n')?.split_once('\n')?;
    decimal(number).filter(|_| name == origin)
}
