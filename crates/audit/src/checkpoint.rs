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

/// Cuts what a crash left unfinished at the end of the history.
pub(crate) fn mend(dir: &Path) -> Result<(), AuditFault> {
    let path = dir.join(HISTORY);
    let Ok(bytes) = std::fs::read(&path) else { return Ok(()) };
    let whole = String::from_utf8_lossy(&bytes);
    let length = notes(&whole).1 as u64;
    if length < bytes.len() as u64 && whole.len() == bytes.len() {
        let file = files::private().open(&path).map_err(files::at(&path))?;
        file.set_len(length).map_err(files::at(&path))?;
    }
    Ok(())
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
