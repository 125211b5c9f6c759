//! Checkpoints of C2SP: what the log was at a size, and the file of all that were signed.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::merkle::Hash;
use crate::note::VerifierKey;
use crate::{AuditFault, files};

/// The newest checkpoint.
pub(crate) const FILE: &str = "checkpoint";
/// All of them, each followed by an empty line.
const HISTORY: &str = "checkpoints.log";
/// The longest checkpoint with all its signatures.
const LIMIT: u64 = 64 << 10;
/// A history that has reached this size is followed by a new one...
const HISTORY_BYTES: u64 = 2 << 20;
/// ...and so many older ones are kept.
const HISTORIES: usize = 7;

/// The root of the log at one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// How many records the log had.
    pub size: u64,
    /// The root of the Merkle tree over them.
    pub root: [u8; 32],
}

impl Checkpoint {
    /// The note's text.
    pub(crate) fn text(&self, origin: &str) -> String {
        format!("{origin}\n{}\n{}\n", self.size, STANDARD.encode(self.root))
    }

    /// Reads a checkpoint that this key signed. Gives none for anything else.
    pub fn open(note: &str, key: &VerifierKey) -> Option<Checkpoint> {
        let mut lines = key.open(note)?.split('\n');
        let (origin, size, root) = (lines.next()?, decimal(lines.next()?)?, lines.next()?);
        let root: Hash = STANDARD.decode(root).ok()?.try_into().ok()?;
        (origin == key.name()).then_some(Checkpoint { size, root })
    }

    /// The newest checkpoint of the journal in `dir`: `Ok(None)` when there is none, an inner
    /// `None` when this key did not sign it.
    pub(crate) fn newest(
        dir: &Path,
        key: &VerifierKey,
    ) -> Result<Option<(String, Option<Checkpoint>)>, AuditFault> {
        let path = dir.join(FILE);
        let note = match std::fs::File::open(&path).and_then(|file| {
            let mut bytes = Vec::new();
            file.take(LIMIT).read_to_end(&mut bytes).map(|_| bytes)
        }) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(files::at(&path)(error)),
        };
        let opened = Checkpoint::open(&note, key);
        Ok(Some((note, opened)))
    }
}

/// A decimal number without leading zeros.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain && (text == "0" || !text.starts_with('0')))
}

/// The files of the history, oldest first.
pub(crate) fn histories(dir: &Path) -> Result<Vec<PathBuf>, AuditFault> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(files::at(dir))? {
        let name = entry.map_err(files::at(dir))?.file_name();
        let number = name.to_str().and_then(|name| {
            decimal_padded(name.strip_prefix("checkpoints-")?.strip_suffix(".log")?)
        });
        files.extend(number.map(|number| (number, dir.join(&name))));
    }
    files.sort();
    let current = dir.join(HISTORY);
    let mut files: Vec<_> = files.into_iter().map(|(_, path)| path).collect();
    files.extend(current.exists().then_some(current));
    Ok(files)
}

fn decimal_padded(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The notes of a history, each with the line it begins in, and the length of what is whole:
/// a crash may have left a piece of one behind it.
pub(crate) fn notes(text: &str) -> (Vec<(u64, &str)>, usize) {
    let (mut notes, mut begin, mut line) = (Vec::new(), 0, 1);
    // A note has an empty line of its own before its signatures.
    let mut ends = memchr::memmem::find_iter(text.as_bytes(), "\n\n");
    while let (Some(_), Some(end)) = (ends.next(), ends.next()) {
        let note = &text[begin..=end];
        notes.push((line, note));
        line += note.matches('\n').count() as u64 + 1;
        begin = end + 2;
    }
    (notes, begin)
}

/// Cuts what a crash left unfinished at the end of the history, and gives its last note.
pub(crate) fn mend(dir: &Path) -> Result<Option<String>, AuditFault> {
    let path = dir.join(HISTORY);
    let Ok(bytes) = std::fs::read(&path) else { return Ok(None) };
    let whole = String::from_utf8_lossy(&bytes);
    let (notes, length) = notes(&whole);
    let length = length as u64;
    if length < bytes.len() as u64 && whole.len() == bytes.len() {
        let file = files::private().open(&path).map_err(files::at(&path))?;
        file.set_len(length).map_err(files::at(&path))?;
    }
    Ok(notes.last().map(|(_, note)| (*note).to_owned()))
}

/// Writes a note: first to the history, then in the place of the newest.
pub(crate) fn write(dir: &Path, note: &str, size: u64) -> io::Result<()> {
    let path = dir.join(HISTORY);
    let mut file = files::private().create(true).open(&path)?;
    if file.metadata()?.len() >= HISTORY_BYTES {
        std::fs::rename(&path, dir.join(format!("checkpoints-{size:020}.log")))?;
        file = files::private().create(true).open(&path)?;
        let old = histories(dir).map_err(io::Error::other)?;
        for path in old.iter().rev().skip(HISTORIES + 1) {
            std::fs::remove_file(path)?;
        }
    }
    io::Write::write_all(&mut file, format!("{note}\n").as_bytes())?;
    file.sync_data()?;
    files::replace(&dir.join(FILE), note.as_bytes(), true)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn histories_follow_each_other_and_only_so_many_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        for size in 1..=12 {
            std::fs::write(dir.path().join(HISTORY), vec![b'x'; HISTORY_BYTES as usize]).unwrap();
            write(dir.path(), &format!("{size}\n"), size).unwrap();
        }
        let names: Vec<_> = histories(dir.path()).unwrap();
        assert_eq!(names.len(), HISTORIES + 1);
        assert_eq!(names[0], dir.path().join(format!("checkpoints-{:020}.log", 6)));
        assert_eq!(std::fs::read_to_string(&names[HISTORIES]).unwrap(), "12\n\n");
        assert_eq!(std::fs::read_to_string(dir.path().join(FILE)).unwrap(), "12\n");
    }

    #[test]
    fn a_piece_of_a_note_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let whole = "o\n1\nr\n\n- s\n\no\n2\nr\n\n- s\n- t\n\n";
        assert_eq!(notes(whole).0, [(1, "o\n1\nr\n\n- s\n"), (7, "o\n2\nr\n\n- s\n- t\n")]);
        for end in 0..whole.len() {
            std::fs::write(dir.path().join(HISTORY), &whole[..end]).unwrap();
            assert_eq!(mend(dir.path()).unwrap().is_some(), end >= 12);
            let left = std::fs::read_to_string(dir.path().join(HISTORY)).unwrap();
            assert_eq!(left.len(), if end >= 12 { 12 } else { 0 });
        }
    }

    proptest! {
        #[test]
        fn no_history_panics(text in "[ab\n\u{2014}]{0,60}") {
            let (notes, length) = notes(&text);
            prop_assert!(notes.iter().all(|(_, note)| note.ends_with('\n')));
            prop_assert!(text.is_char_boundary(length));
        }
    }
}
