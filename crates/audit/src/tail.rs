//! What another process adds to a journal.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::personal::Subjects;
use crate::{AuditFault, Entry, files};

/// Reads what is added to a journal after this was made.
#[derive(Debug)]
pub struct Tail {
    dir: PathBuf,
    /// The file that is read, by its first record.
    first: u64,
    at: u64,
}

impl Tail {
    /// From the journal's end on.
    pub fn new(dir: &Path) -> Result<Tail, AuditFault> {
        let mut tail = Tail { dir: dir.into(), first: 0, at: 0 };
        if let Some((first, path)) = files::list(dir)?.pop() {
            let mut unread = Vec::new();
            tail.first = first;
            tail.read(&path, &mut unread)?;
        }
        Ok(tail)
    }

    /// The whole records that came since the last look.
    pub fn look(&mut self) -> Result<Vec<Entry>, AuditFault> {
        let mut lines = Vec::new();
        let mut files: VecDeque<_> = files::list(&self.dir)?.into();
        files.retain(|(first, _)| *first >= self.first);
        for (first, path) in files {
            if first > self.first {
                (self.first, self.at) = (first, 0);
            }
            self.read(&path, &mut lines)?;
        }
        let entries = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let mut entries: Vec<Entry> =
            entries.filter_map(|line| serde_json::from_slice(line).ok()).collect();
        if !entries.is_empty() {
            let subjects = Subjects::open(&self.dir)?;
            entries.iter_mut().for_each(|entry| subjects.reveal(entry));
        }
        Ok(entries)
    }

    /// Adds the whole lines of a file behind where it was read to.
    fn read(&mut self, path: &Path, lines: &mut Vec<u8>) -> Result<(), AuditFault> {
        let before = lines.len();
        let mut file = File::open(path).map_err(files::at(path))?;
        file.seek(SeekFrom::Start(self.at)).map_err(files::at(path))?;
        file.read_to_end(lines).map_err(files::at(path))?;
        let whole = lines.iter().rposition(|byte| *byte == b'\n').map_or(before, |at| at + 1);
        lines.truncate(whole.max(before));
        self.at += (lines.len() - before) as u64;
        Ok(())
    }
}
