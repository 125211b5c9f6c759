//! The journal's files: names, the lock, and what an end of the process left behind.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{AuditFault, Kind};

/// `journal-<first sequence number>.jsonl`, padded so that names sort.
pub(crate) fn name(first: u64) -> String {
    format!("journal-{first:020}.jsonl")
}

/// The journal's files, oldest first, with their first sequence numbers.
pub(crate) fn list(dir: &Path) -> Result<Vec<(u64, PathBuf)>, AuditFault> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(at(dir))? {
        let entry = entry.map_err(at(dir))?;
        let name = entry.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_prefix("journal-")?.strip_suffix(".jsonl")?.parse().ok());
        files.extend(number.map(|first: u64| (first, entry.path())));
    }
    files.sort();
    Ok(files)
}

/// The number of the first record that is there; 1 in an empty journal.
pub(crate) fn first(dir: &Path) -> Result<u64, AuditFault> {
    Ok(list(dir)?.first().map_or(1, |(first, _)| (*first).max(1)))
}

/// Makes the next file. It and its name are durable before anything is written to it.
pub(crate) fn create(dir: &Path, first: u64) -> io::Result<File> {
    let file = private().create_new(true).open(dir.join(name(first)))?;
    #[cfg(unix)]
    File::open(dir)?.sync_all()?;
    Ok(file)
}

/// Makes the folder, and takes the lock that keeps two writers apart. The lock goes with the file.
pub(crate) fn lock(dir: &Path) -> Result<File, AuditFault> {
    make_dir(dir).map_err(at(dir))?;
    let path = dir.join("journal.lock");
    let file = private().create(true).open(&path).map_err(at(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(AuditFault::Locked(dir.into())),
        Err(TryLockError::Error(error)) => Err(at(&path)(error)),
    }
}

/// Adds where it happened to an error.
pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> AuditFault + '_ {
    move |error| AuditFault::Io { path: path.into(), source: Arc::new(error) }
}

/// Makes a folder that is the owner's alone, and those above it.
pub(crate) fn make_dir(dir: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// A key that other users can read, or could have put there, is none.
#[cfg(unix)]
pub(crate) fn must_be_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let mode = match std::fs::metadata(path) {
        Ok(metadata) => metadata.mode() & 0o777,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "other users may use this key (its mode is {mode:o}): chmod 600 {}",
        path.display()
    )))
}

#[cfg(not(unix))]
pub(crate) fn must_be_private(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Puts a file in the place of another, whole or not at all; `sync`: also after power loss.
pub(crate) fn replace(path: &Path, bytes: &[u8], sync: bool) -> io::Result<()> {
    let new = path.with_extension("new");
    // A crash may have left one, and this appends.
    let _ = std::fs::remove_file(&new);
    let mut file = private().create_new(true).open(&new)?;
    file.write_all(bytes)?;
    if sync {
        file.sync_all()?;
    }
    std::fs::rename(&new, path)
}

/// How a file is opened that is appended to and the owner's alone.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Where a journal goes on.
pub(crate) struct End {
    /// The last file, to be appended to.
    pub(crate) file: File,
    /// Its length.
    pub(crate) bytes: u64,
    /// The next sequence number.
    pub(crate) next: u64,
    /// Intents without an outcome.
    pub(crate) open: BTreeSet<u64>,
    /// Bytes of an unfinished write that were cut off.
    pub(crate) cut: u64,
}

/// Finds the end of the journal, cutting what a crash left unfinished; makes the first file
/// when there is none. Of `signed` records nothing is cut.
pub(crate) fn end(dir: &Path, signed: u64) -> Result<End, AuditFault> {
    let mut files = list(dir)?;
    let mut next = 1;
    let mut cut = 0;
    while let Some((first, path)) = files.pop() {
        let mut file = private().read(true).open(&path).map_err(at(&path))?;
        let tail = Tail::read(&mut file, first).map_err(at(&path))?;
        if tail.next <= signed {
            return Err(AuditFault::Tampered(dir.into()));
        }
        let torn = tail.length - tail.good;
        cut += torn;
        if torn > 0 {
            keep_torn(&mut file, &tail, &path).map_err(at(&path))?;
            file.set_len(tail.good).map_err(at(&path))?;
            file.sync_all().map_err(at(&path))?;
        }
        if tail.good > 0 {
            return Ok(End { file, bytes: tail.good, next: tail.next, open: tail.open, cut });
        }
        // The file was made, and the process ended before its first record: the end is in the
        // file before.
        std::fs::remove_file(&path).map_err(at(&path))?;
        next = first;
    }
    if next <= signed {
        return Err(AuditFault::Tampered(dir.into()));
    }
    let file = create(dir, next).map_err(at(dir))?;
    Ok(End { file, bytes: 0, next, open: BTreeSet::new(), cut })
}

/// More than one unfinished line may be evidence: it is put aside.
fn keep_torn(file: &mut File, tail: &Tail, path: &Path) -> io::Result<()> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(tail.good))?;
    file.read_to_end(&mut bytes)?;
    if !bytes.contains(&b'\n') {
        return Ok(());
    }
    let mut side = private().create(true).open(path.with_extension("torn"))?;
    side.write_all(&bytes)?;
    side.sync_all()
}

/// A file from its last checkpoint on.
struct Tail {
    length: u64,
    /// The length up to and including the last good record.
    good: u64,
    next: u64,
    open: BTreeSet<u64>,
}

/// What matters of a line here.
#[derive(serde::Deserialize)]
struct Line {
    seq: u64,
    kind: Kind,
    intent: Option<u64>,
    #[serde(default)]
    open: BTreeSet<u64>,
}

impl Tail {
    fn read(file: &mut File, first: u64) -> io::Result<Tail> {
        let length = file.seek(SeekFrom::End(0))?;
        // A checkpoint is never far from the end: reading begins there and widens at need.
        let mut window = 256 << 10;
        loop {
            let begin = length.saturating_sub(window);
            file.seek(SeekFrom::Start(begin))?;
            let mut bytes = Vec::new();
            file.take(window).read_to_end(&mut bytes)?;
            if let Some(at) = last_checkpoint(&bytes, begin == 0) {
                return Ok(Tail::follow(&bytes[at..], begin + at as u64, length));
            }
            if begin == 0 {
                return Ok(Tail { length, good: 0, next: first, open: BTreeSet::new() });
            }
            window *= 4;
        }
    }

    /// Follows the records from a checkpoint to the first that is none.
    fn follow(bytes: &[u8], begin: u64, length: u64) -> Tail {
        let mut tail = Tail { length, good: begin, next: 0, open: BTreeSet::new() };
        for text in bytes.split_inclusive(|byte| *byte == b'\n') {
            let Some(line) = parse(text).filter(|line| tail.next == 0 || line.seq == tail.next)
            else {
                break;
            };
            match line.kind {
                Kind::Checkpoint => tail.open = line.open,
                Kind::Intent => drop(tail.open.insert(line.seq)),
                Kind::Outcome => drop(line.intent.map(|intent| tail.open.remove(&intent))),
                _ => {}
            }
            tail.next = line.seq + 1;
            tail.good += text.len() as u64;
        }
        tail
    }
}

fn parse(line: &[u8]) -> Option<Line> {
    serde_json::from_slice(line.strip_suffix(b"\n")?).ok()
}

/// The offset of the last whole checkpoint line. `whole`: the first line is not a piece of one.
fn last_checkpoint(bytes: &[u8], whole: bool) -> Option<usize> {
    const MARK: &[u8] = b"\"kind\":\"checkpoint\"";
    let mut end = bytes.len();
    while end > 0 {
        let begin = bytes[..end - 1].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let line = &bytes[begin..end];
        // The kind stands behind sequence number and time; quotes inside of texts are escaped.
        let marked = line[..line.len().min(96)].windows(MARK.len()).any(|window| window == MARK);
        if marked && (whole || begin > 0) && parse(line).is_some() {
            return Some(begin);
        }
        end = begin;
    }
    None
}
