//! Reading a journal back.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::{AuditFault, Kind, Outcome, files};

/// The longest line that is read.
pub(crate) const LINE_LIMIT: u64 = 16 << 20;

/// A record as read back.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Entry {
    /// Its place in the journal, without gaps.
    pub seq: u64,
    /// RFC 3339, UTC, microseconds.
    pub time: String,
    /// What it is about.
    pub kind: Kind,
    /// The sequence number of the intent that this outcome closes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<u64>,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// All other members, named as in [`crate::Record`], but `v`, `arguments_sha256`,
    /// `arguments_bytes`, `duration_us`, `before_us` and `upstream_us`.
    #[serde(flatten)]
    pub rest: serde_json::Map<String, serde_json::Value>,
}

impl Entry {
    /// A member that is text; empty where it is not there.
    pub fn text(&self, member: &str) -> &str {
        self.rest.get(member).and_then(serde_json::Value::as_str).unwrap_or_default()
    }

    /// A member that is a number.
    pub fn number(&self, member: &str) -> Option<u64> {
        self.rest.get(member).and_then(serde_json::Value::as_u64)
    }
}

/// Iterator over a journal's records, oldest first. A line that is no record gives a fault,
/// and the next line follows; an unfinished last line is passed over.
pub struct Entries {
    files: VecDeque<PathBuf>,
    current: Option<(PathBuf, BufReader<File>)>,
    line: u64,
}

impl Entries {
    pub(crate) fn open(dir: &Path) -> Result<Entries, AuditFault> {
        let files = files::list(dir)?.into_iter().map(|(_, path)| path).collect();
        Ok(Entries { files, current: None, line: 0 })
    }

    pub(crate) fn last(dir: &Path, count: usize) -> Result<Vec<Entry>, AuditFault> {
        let mut last = VecDeque::new();
        for (_, path) in files::list(dir)?.into_iter().rev() {
            let missing = count - last.len();
            if missing == 0 {
                break;
            }
            let mut newest = VecDeque::new();
            for entry in (Entries { files: [path].into(), current: None, line: 0 }) {
                if newest.len() == missing {
                    newest.pop_front();
                }
                newest.push_back(entry?);
            }
            newest.append(&mut last);
            last = newest;
        }
        Ok(last.into())
    }

    /// The next whole line of the current file.
    fn next_line(&mut self) -> Result<Option<Vec<u8>>, AuditFault> {
        let Some((path, reader)) = &mut self.current else { return Ok(None) };
        let mut line = Vec::new();
        reader.take(LINE_LIMIT).read_until(b'\n', &mut line).map_err(files::at(path))?;
        self.line += 1;
        Ok((line.last() == Some(&b'\n')).then_some(line))
    }

    fn corrupt(&self) -> AuditFault {
        let path = self.current.as_ref().map(|(path, _)| path.clone()).unwrap_or_default();
        AuditFault::Corrupt { path, line: self.line }
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, AuditFault>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.next_line() {
                Ok(Some(line)) => {
                    return Some(serde_json::from_slice(&line).map_err(|_| self.corrupt()));
                }
                Ok(None) => {}
                Err(fault) => {
                    self.current = None;
                    return Some(Err(fault));
                }
            }
            let path = self.files.pop_front()?;
            self.line = 0;
            match File::open(&path) {
                Ok(file) => self.current = Some((path, BufReader::new(file))),
                Err(error) => {
                    self.current = None;
                    return Some(Err(files::at(&path)(error)));
                }
            }
        }
    }
}
