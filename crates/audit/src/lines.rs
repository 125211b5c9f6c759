//! The journal's lines as bytes, for all who hash them.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::read::LINE_LIMIT;
use crate::{AuditFault, files, merkle};

/// Where a line is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which file.
    pub file: PathBuf,
    /// Which line, from 1.
    pub line: u64,
}

/// Lines, oldest first, without their ends. An unfinished last line of the journal is passed
/// over: it may be under way.
pub(crate) struct Lines {
    files: VecDeque<PathBuf>,
    current: Option<BufReader<File>>,
    place: Place,
    /// What a leaf's hash is over: [`merkle::LEAF`] and the line, so that nothing is copied to hash it.
    buffer: Vec<u8>,
}

impl Lines {
    /// From the record with this number on, going by the files' names.
    pub(crate) fn from(dir: &Path, seq: u64) -> Result<Lines, AuditFault> {
        let mut files = files::list(dir)?;
        let begin = files.iter().rposition(|(first, _)| *first <= seq).unwrap_or(0);
        let first = files.get(begin).map_or(seq, |(first, _)| *first);
        let files = files.drain(begin..).map(|(_, path)| path).collect();
        let place = Place { file: dir.into(), line: 0 };
        let mut lines = Lines { files, current: None, place, buffer: Vec::with_capacity(1 << 12) };
        for _ in first..seq {
            if lines.next()?.is_none() {
                break;
            }
        }
        Ok(lines)
    }

    /// The next line, until the next call.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, AuditFault> {
        loop {
            if let Some(reader) = &mut self.current {
                self.buffer.clear();
                self.buffer.push(merkle::LEAF);
                reader
                    .take(LINE_LIMIT)
                    .read_until(b'\n', &mut self.buffer)
                    .map_err(files::at(&self.place.file))?;
                let whole = self.buffer.pop_if(|byte| *byte == b'\n').is_some();
                if whole || !(self.buffer.len() == 1 || self.files.is_empty()) {
                    self.place.line += 1;
                    return Ok(Some(&self.buffer[1..]));
                }
            }
            let Some(path) = self.files.pop_front() else { return Ok(None) };
            let file = File::open(&path).map_err(files::at(&path))?;
            self.current = Some(BufReader::with_capacity(256 << 10, file));
            self.place = Place { file: path, line: 0 };
        }
    }

    /// The leaf hash of the line that was given last.
    pub(crate) fn leaf(&self) -> merkle::Hash {
        merkle::hashed(&self.buffer)
    }

    /// What that hash is over.
    pub(crate) fn hashed(&self) -> &[u8] {
        &self.buffer
    }

    /// Which line of its file was given last, from 1.
    pub(crate) fn number(&self) -> u64 {
        self.place.line
    }

    /// Where the line is that was given last.
    pub(crate) fn place(&self) -> Place {
        self.place.clone()
    }
}

/// The sequence number that a line begins with.
pub(crate) fn seq(line: &[u8]) -> Option<u64> {
    let digits = line.strip_prefix(b"{\"seq\":")?;
    let length = digits.iter().take(20).take_while(|byte| byte.is_ascii_digit()).count();
    let number = digits[..length].iter().try_fold(0_u64, |number, digit| {
        number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    });
    number.filter(|_| length > 0 && digits.get(length) == Some(&b','))
}
