//! Records by what people ask for.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use memchr::memmem;

use crate::filter::{SLACK, written};
use crate::index::{Index, MEMBERS};
use crate::lines::Lines;
use crate::personal::Subjects;
use crate::{AuditFault, Entry, Filter, Followed, files};

/// When more than one line in so many is wanted, a file is read whole.
const DENSE: usize = 64;

/// Iterator over the records that a filter matches, oldest first. It ends with the first line that
/// is no record.
pub struct Search {
    dir: PathBuf,
    filter: Filter,
    subjects: Subjects,
    files: VecDeque<Piece>,
    current: Option<Segment>,
}

/// Looks for records of the journal in `dir`.
pub fn search(dir: &Path, filter: Filter) -> Result<Search, AuditFault> {
    let files = pieces(dir, &filter)?.into();
    let subjects = Subjects::open(dir)?;
    Ok(Search { dir: dir.into(), filter, subjects, files, current: None })
}

impl Search {
    /// The records themselves, as they stand in the journal.
    pub fn records(mut self) -> impl Iterator<Item = Result<Followed, AuditFault>> {
        std::iter::from_fn(move || Some(self.found()?.map(|(record, _)| record)))
    }

    fn found(&mut self) -> Option<Result<(Followed, Entry), AuditFault>> {
        loop {
            if let Some(segment) = &mut self.current {
                match segment.next(&self.filter, &self.subjects) {
                    Ok(Some(found)) => return Some(Ok(found)),
                    Ok(None) => {}
                    Err(fault) => {
                        (self.current, self.files) = (None, VecDeque::new());
                        return Some(Err(fault));
                    }
                }
            }
            let piece = self.files.pop_front()?;
            match Segment::open(&piece, &self.filter, &self.subjects) {
                Ok(segment) => self.current = Some(segment),
                Err(fault) => {
                    (self.current, self.files) = (None, VecDeque::new());
                    return Some(Err(fault));
                }
            }
        }
    }
}

impl Iterator for Search {
    type Item = Result<Entry, AuditFault>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.found()?.map(|(_, entry)| entry))
    }
}

impl std::fmt::Debug for Search {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Search").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// The newest records of the journal in `dir` that a filter matches, oldest first, and whether there are more.
pub fn newest(dir: &Path, filter: &Filter, count: usize) -> Result<(Vec<Entry>, bool), AuditFault> {
    let mut found = VecDeque::new();
    let subjects = Subjects::open(dir)?;
    for piece in pieces(dir, filter)?.iter().rev() {
        let mut segment = Segment::open(piece, filter, &subjects)?;
        while let Some((_, entry)) = segment.next_back(filter, &subjects)? {
            if found.len() == count {
                return Ok((found.into(), true));
            }
            found.push_front(entry);
        }
    }
    Ok((found.into(), false))
}

/// One record of the journal in `dir`.
pub fn record(dir: &Path, seq: u64) -> Result<Option<Entry>, AuditFault> {
    let mut lines = Lines::from(dir, seq)?;
    let Some(line) = lines.next()? else { return Ok(None) };
    let entry: Option<Entry> = serde_json::from_slice(line).ok();
    let place = lines.place();
    let mut entry = entry.ok_or(AuditFault::Corrupt { path: place.file, line: place.line })?;
    Subjects::open(dir)?.reveal(&mut entry);
    Ok((entry.seq == seq).then_some(entry))
}

/// How often what was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// How many records.
    pub records: u64,
    /// For each indexed member (`kind`, `outcome`, `principal`, `client`, `server`, `name`, `refusal`) how many
    /// records have each of its values.
    pub values: BTreeMap<&'static str, BTreeMap<String, u64>>,
}

impl Stats {
    /// Adds those of another journal.
    pub fn add(&mut self, other: Stats) {
        self.records += other.records;
        for (member, counts) in other.values {
            let own = self.values.entry(member).or_default();
            counts.into_iter().for_each(|(value, count)| *own.entry(value).or_default() += count);
        }
    }
}

/// Counts the records of the journal in `dir` that a filter matches.
pub fn stats(dir: &Path, filter: &Filter) -> Result<Stats, AuditFault> {
    let mut stats = Stats::default();
    let subjects = Subjects::open(dir)?;
    for piece in pieces(dir, filter)? {
        let mut segment = Segment::open(&piece, filter, &subjects)?;
        let exact = piece.inside && !filter.needs_reading() && !filter.events;
        let wanted = match segment.hits.take() {
            None if exact => None,
            hits if exact => hits,
            hits => {
                segment.hits = hits;
                Some(segment.matching(filter, &subjects)?)
            }
        };
        let index = &segment.index;
        stats.records += wanted.as_ref().map_or(u64::from(index.count()), |all| all.len() as u64);
        for (at, member) in MEMBERS.into_iter().enumerate() {
            let counts = stats.values.entry(member).or_default();
            for posting in index.values(at) {
                let count = match &wanted {
                    None => u64::from(posting.count),
                    Some(all) => {
                        let has = |number: &u32| all.binary_search(number).is_ok();
                        index.records(posting).iter().filter(|number| has(number)).count() as u64
                    }
                };
                if count > 0 {
                    *counts.entry(posting.value.to_string()).or_default() += count;
                }
            }
        }
    }
    Ok(stats)
}

/// Indexes all files that nothing is added to any more.
pub fn index(dir: &Path) -> Result<(), AuditFault> {
    let mut files = files::list(dir)?;
    files.pop();
    files.iter().try_for_each(|(_, path)| Index::of(path).map(drop))
}

/// A file of the journal.
struct Piece {
    path: PathBuf,
    /// Whether something may still be added to it.
    last: bool,
    /// Whether all of its records are of the time that is asked for.
    inside: bool,
}

/// The files that may have what is looked for, oldest first.
fn pieces(dir: &Path, filter: &Filter) -> Result<Vec<Piece>, AuditFault> {
    let files = files::list(dir)?;
    let mut begins = Vec::with_capacity(files.len());
    if filter.since.is_some() || filter.until.is_some() {
        for (seq, path) in &files {
            begins.push(first_time(dir, *seq, path)?);
        }
    }
    let earliest = filter.since.and_then(|since| since.checked_sub(SLACK).ok()).map(written);
    let latest = filter.until.and_then(|until| until.checked_add(SLACK).ok()).map(written);
    let surely = filter.since.and_then(|since| since.checked_add(SLACK).ok()).map(written);
    let surely_not = filter.until.and_then(|until| until.checked_sub(SLACK).ok()).map(written);
    let count = files.len();
    let mut pieces = Vec::new();
    for (at, (_, path)) in files.into_iter().enumerate() {
        let begin = begins.get(at).and_then(Option::as_deref).unwrap_or_default();
        let end = begins.get(at + 1).and_then(Option::as_deref);
        let before = earliest.as_deref().zip(end).is_some_and(|(since, end)| end < since);
        let behind = latest.as_deref().is_some_and(|until| begin >= until);
        if before || behind {
            continue;
        }
        let inside = surely.as_deref().is_none_or(|since| begin >= since)
            && surely_not.as_deref().is_none_or(|until| end.is_some_and(|end| end < until));
        pieces.push(Piece { path, last: at + 1 == count, inside });
    }
    Ok(pieces)
}

/// The time of a file's first record.
pub(crate) fn first_time(dir: &Path, seq: u64, path: &Path) -> Result<Option<String>, AuditFault> {
    let mut lines = Lines::from(dir, seq)?;
    let time = lines.next()?.and_then(time).map(|time| String::from_utf8_lossy(time).into_owned());
    Ok(time.filter(|_| lines.place().file == path))
}

/// The time that a line says.
fn time(line: &[u8]) -> Option<&[u8]> {
    let at = memmem::find(line.get(..line.len().min(64))?, b",\"time\":\"")? + 9;
    line.get(at..at + 27)
}

/// A file that is being looked through.
struct Segment {
    path: PathBuf,
    index: Index,
    /// What may match; everything when there is no list.
    hits: Option<Vec<u32>>,
    /// What is left of it, by place.
    front: usize,
    back: usize,
    body: Body,
}

enum Body {
    Whole(Vec<u8>),
    Parts(File),
}

impl Segment {
    fn open(piece: &Piece, filter: &Filter, subjects: &Subjects) -> Result<Segment, AuditFault> {
        let path = piece.path.clone();
        let index = if piece.last { Index::made(&path)? } else { Index::of(&path)? };
        let hits = index.candidates(filter, subjects);
        let back = hits.as_ref().map_or(index.count() as usize, Vec::len);
        let body = if back * DENSE > index.count() as usize {
            Body::Whole(std::fs::read(&path).map_err(files::at(&path))?)
        } else {
            Body::Parts(File::open(&path).map_err(files::at(&path))?)
        };
        Ok(Segment { path, index, hits, front: 0, back, body })
    }

    fn next(
        &mut self,
        filter: &Filter,
        subjects: &Subjects,
    ) -> Result<Option<(Followed, Entry)>, AuditFault> {
        while self.front < self.back {
            self.front += 1;
            if let Some(found) = self.read(self.front - 1, filter, subjects)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn next_back(
        &mut self,
        filter: &Filter,
        subjects: &Subjects,
    ) -> Result<Option<(Followed, Entry)>, AuditFault> {
        while self.front < self.back {
            self.back -= 1;
            if let Some(found) = self.read(self.back, filter, subjects)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The numbers of all that match.
    fn matching(&mut self, filter: &Filter, subjects: &Subjects) -> Result<Vec<u32>, AuditFault> {
        let mut all = Vec::new();
        for place in self.front..self.back {
            if self.read(place, filter, subjects)?.is_some() {
                all.push(self.number(place));
            }
        }
        Ok(all)
    }

    fn number(&self, place: usize) -> u32 {
        self.hits.as_ref().map_or(place as u32, |hits| hits[place])
    }

    fn read(
        &mut self,
        place: usize,
        filter: &Filter,
        subjects: &Subjects,
    ) -> Result<Option<(Followed, Entry)>, AuditFault> {
        let number = self.number(place);
        let line = self.index.line(number);
        let bytes = match &mut self.body {
            Body::Whole(bytes) => {
                bytes.get(line.start as usize..line.end as usize).unwrap_or_default().to_vec()
            }
            Body::Parts(file) => {
                let mut bytes = vec![0; (line.end - line.start) as usize];
                file.seek(SeekFrom::Start(line.start)).map_err(files::at(&self.path))?;
                file.read_exact(&mut bytes).map_err(files::at(&self.path))?;
                bytes
            }
        };
        if filter.id.as_deref().is_some_and(|id| memmem::find(&bytes, id.as_bytes()).is_none()) {
            return Ok(None);
        }
        let corrupt =
            || AuditFault::Corrupt { path: self.path.clone(), line: u64::from(number) + 1 };
        let line = String::from_utf8(bytes).map_err(|_| corrupt())?;
        let mut entry: Entry = serde_json::from_str(&line).map_err(|_| corrupt())?;
        subjects.reveal(&mut entry);
        let found = Followed { seq: entry.seq, line };
        Ok(filter.matches(&entry).then_some((found, entry)))
    }
}
