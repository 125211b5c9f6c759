//! What calls said, each sealed for an auditor, in files beside the journal: the record has the digest of
//! the sealed bytes, so they can be removed and the tree stays what was signed.
//!
//! `payload-<first sequence number>.sealed` holds, for each record that has one, a line with the record's
//! number and a length, then so many bytes (a file of age), then an end of line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::members::digits;
use crate::seal::{self, Identity, SealFault};
use crate::{AuditFault, Entry, Journal, Kind, Payload, Record, Retention, files, search};

/// A file that has reached this size is followed by a new one.
const FILE_BYTES: u64 = 64 << 20;
/// The longest that is read.
const LONGEST: u64 = 64 << 20;

/// The end of the payloads: where the journal's thread writes.
pub(crate) struct Payloads {
    dir: PathBuf,
    current: Option<(File, u64)>,
}

impl Payloads {
    /// Takes away what belongs to records that a crash took: `next` is the number of the next record.
    /// Each opening begins a new file.
    pub(crate) fn open(dir: &Path, next: u64) -> Result<Payloads, AuditFault> {
        for (_, path) in list(dir)?.into_iter().filter(|(first, _)| *first >= next) {
            std::fs::remove_file(&path).map_err(files::at(&path))?;
        }
        Ok(Payloads { dir: dir.into(), current: None })
    }

    /// Writes those of a batch. Durable when this returns, if `sync` says so.
    pub(crate) fn write(&mut self, batch: &[(u64, Vec<u8>)], sync: bool) -> io::Result<()> {
        let Some((first, _)) = batch.first() else { return Ok(()) };
        if self.current.as_ref().is_none_or(|(_, bytes)| *bytes >= FILE_BYTES) {
            let path = self.dir.join(format!("payload-{first:020}.sealed"));
            let file = files::private().create_new(true).open(path)?;
            #[cfg(unix)]
            File::open(&self.dir)?.sync_all()?;
            self.current = Some((file, 0));
        }
        let Some((file, bytes)) = &mut self.current else { return Ok(()) };
        let mut frames = Vec::new();
        for (seq, sealed) in batch {
            frames.extend_from_slice(format!("{seq} {}\n", sealed.len()).as_bytes());
            frames.extend_from_slice(sealed);
            frames.push(b'\n');
        }
        file.write_all(&frames)?;
        *bytes += frames.len() as u64;
        if sync { file.sync_data() } else { Ok(()) }
    }
}

/// The files, oldest first, with the number of the first record that has its payload there.
fn list(dir: &Path) -> Result<Vec<(u64, PathBuf)>, AuditFault> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(files::at(dir))? {
        let entry = entry.map_err(files::at(dir))?;
        let name = entry.file_name();
        let number =
            name.to_str().and_then(|name| name.strip_prefix("payload-")?.strip_suffix(".sealed"));
        found.extend(number.and_then(|number| Some((number.parse().ok()?, entry.path()))));
    }
    found.sort();
    Ok(found)
}

/// Why a payload can't be had.
#[derive(Debug, thiserror::Error)]
pub enum OpenFault {
    /// The sealed bytes are not those that the record has the digest of.
    #[error("the sealed payload of record {0} is not the one that was recorded")]
    Changed(u64),
    /// It was there, and is no more.
    #[error("the sealed payload of record {0} is no longer there")]
    Gone(u64),
    /// There is no such record.
    #[error("there is no record {0}")]
    NoRecord(u64),
    /// The record has none.
    #[error("record {0} has no sealed payload")]
    Nothing(u64),
    /// The journal can't be read.
    #[error(transparent)]
    Unreadable(#[from] AuditFault),
    /// It does not open.
    #[error("the payload of record {0}: {1}")]
    Sealed(u64, SealFault),
}

/// The sealed payload of a record: a file of age, held against the digest in the record.
pub fn sealed_payload(dir: &Path, seq: u64) -> Result<Vec<u8>, OpenFault> {
    let entry = search::record(dir, seq)?.ok_or(OpenFault::NoRecord(seq))?;
    sealed(dir, &entry)
}

fn sealed(dir: &Path, entry: &Entry) -> Result<Vec<u8>, OpenFault> {
    let seq = entry.seq;
    let recorded = entry.text("payload_sha256");
    if recorded.is_empty() {
        return Err(OpenFault::Nothing(seq));
    }
    let held = list(dir)?.into_iter().rfind(|(first, _)| *first <= seq);
    let (_, path) = held.ok_or(OpenFault::Gone(seq))?;
    let sealed = find(&path, seq).map_err(files::at(&path))?.ok_or(OpenFault::Gone(seq))?;
    if digits(&Payload::of(&sealed).sha256) == *recorded.as_bytes() {
        Ok(sealed)
    } else {
        Err(OpenFault::Changed(seq))
    }
}

/// What a call said, for whoever has the identity: its arguments (or params) where the record is of a call
/// that is about to be sent or was refused, else its result.
pub fn open_payload(dir: &Path, seq: u64, identity: &Identity) -> Result<Vec<u8>, OpenFault> {
    let entry = search::record(dir, seq)?.ok_or(OpenFault::NoRecord(seq))?;
    let sealed = sealed(dir, &entry)?;
    let opened = seal::open(identity, &sealed).map_err(|fault| OpenFault::Sealed(seq, fault))?;
    let recorded = entry.text("arguments_sha256");
    // Whoever sealed it could have sealed something else.
    let other = digits(&Payload::of(&opened).sha256) != *recorded.as_bytes();
    if matches!(entry.kind, Kind::Intent | Kind::Refusal) && !recorded.is_empty() && other {
        return Err(OpenFault::Changed(seq));
    }
    Ok(opened.to_vec())
}

/// Goes from one length to the next.
fn find(path: &Path, seq: u64) -> io::Result<Option<Vec<u8>>> {
    let mut file = BufReader::new(File::open(path)?);
    let mut head = Vec::new();
    loop {
        head.clear();
        (&mut file).take(64).read_until(b'\n', &mut head)?;
        let Some((number, length)) = numbers(&head).filter(|(_, length)| *length <= LONGEST) else {
            return Ok(None);
        };
        if number == seq {
            let mut sealed = Vec::new();
            file.take(length).read_to_end(&mut sealed)?;
            return Ok(Some(sealed));
        }
        file.seek_relative(length as i64 + 1)?;
    }
}

fn numbers(head: &[u8]) -> Option<(u64, u64)> {
    let (seq, length) = std::str::from_utf8(head).ok()?.strip_suffix('\n')?.split_once(' ')?;
    Some((seq.parse().ok()?, length.parse().ok()?))
}

impl Journal {
    /// Removes the oldest files of payloads as the rules say, and those whose records are gone. It is recorded
    /// first. Gives how many files went.
    pub async fn prune_payloads(&self, keep: Retention) -> Result<usize, AuditFault> {
        let dir = self.dir().to_owned();
        let look = move || surplus(&dir, keep);
        let found = tokio::task::spawn_blocking(look).await.map_err(|_| AuditFault::Closed)??;
        let Some((next, paths)) = found else { return Ok(0) };
        let detail = format!("the sealed payloads of records before {next} were removed");
        let record = Record { kind: Kind::Retention, detail: &detail, ..Record::default() };
        self.append(&record).await?;
        for path in &paths {
            std::fs::remove_file(path).map_err(files::at(path))?;
        }
        Ok(paths.len())
    }
}

/// Files to be removed, and the first record whose payload stays. The newest file stays always: it is
/// written to.
fn surplus(dir: &Path, keep: Retention) -> Result<Option<(u64, Vec<PathBuf>)>, AuditFault> {
    let (held, first) = (list(dir)?, files::first(dir)?);
    let mut sizes = Vec::with_capacity(held.len());
    for (_, path) in &held {
        let about = std::fs::metadata(path).map_err(files::at(path))?;
        sizes.push((about.len(), about.modified().map_err(files::at(path))?));
    }
    let mut rest: u64 = sizes.iter().map(|(bytes, _)| bytes).sum();
    let oldest = keep.age.and_then(|age| SystemTime::now().checked_sub(age));
    let mut surplus = None;
    let mut paths = Vec::new();
    for (pair, (bytes, written)) in held.windows(2).zip(sizes) {
        let [(_, path), (next, _)] = pair else { break };
        let old = oldest.is_some_and(|oldest| written < oldest);
        let large = keep.bytes.is_some_and(|most| rest > most);
        if !(old || large || *next <= first) {
            break;
        }
        rest -= bytes;
        paths.push(path.clone());
        surplus = Some(*next);
    }
    Ok(surplus.map(|next| (next, paths)))
}
