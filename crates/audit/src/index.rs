//! An index of one file of the journal: for each value of some members, which records have it.
//!
//! It is made from the file, kept beside it, and made anew when it does not fit. Verification
//! knows nothing of it, and what it finds is read and compared before it is shown.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};

use crate::filter::{has, is_failed, is_refused, is_tool};
use crate::personal::Subjects;
use crate::{AuditFault, Filter, Kind, Outcome, files};

const MAGIC: &[u8] = b"bartizan index 1\n";
/// What is indexed, in this order.
pub(crate) const MEMBERS: [&str; 7] =
    ["kind", "outcome", "principal", "client", "server", "name", "refusal"];
const KIND: usize = 0;
const OUTCOME: usize = 1;
const PRINCIPAL: usize = 2;
const CLIENT: usize = 3;
const SERVER: usize = 4;
const NAME: usize = 5;
/// Names and servers that are tried together against a pattern.
const PAIRS: usize = 100_000;

/// The index of a file.
pub(crate) struct Index {
    bytes: Vec<u8>,
    /// Where each line begins; behind them, the end.
    offsets: Vec<u32>,
    members: [Vec<Posting>; MEMBERS.len()],
    /// Lines that are no records.
    broken: Vec<u32>,
}

/// The records that have one value of one member.
pub(crate) struct Posting {
    pub(crate) value: Box<str>,
    pub(crate) count: u32,
    /// Their numbers in the file, as differences, in the index's bytes.
    numbers: Range<usize>,
}

/// What of a record is indexed.
#[derive(serde::Deserialize)]
struct Indexed<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    outcome: Cow<'a, str>,
    #[serde(borrow, default)]
    principal: Cow<'a, str>,
    #[serde(borrow, default)]
    client: Cow<'a, str>,
    #[serde(borrow, default)]
    server: Cow<'a, str>,
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    refusal: Cow<'a, str>,
}

impl Index {
    /// The index of a file that nothing is added to any more: as it is kept, or made and kept.
    pub(crate) fn of(path: &Path) -> Result<Index, AuditFault> {
        let length = std::fs::metadata(path).map_err(files::at(path))?.len();
        let kept = path.with_extension("idx");
        if let Some(index) = std::fs::read(&kept).ok().and_then(|bytes| Index::read(bytes, length))
        {
            return Ok(index);
        }
        let index = Index::made(path)?;
        // It only costs time to do without: a copy may be read-only.
        let _ = files::replace(&kept, &index.bytes, false);
        Ok(index)
    }

    /// The index of a file that may still grow.
    pub(crate) fn made(path: &Path) -> Result<Index, AuditFault> {
        let journal = std::fs::read(path).map_err(files::at(path))?;
        let length = journal.len() as u64;
        Index::read(encoded(&journal), length)
            .ok_or_else(|| AuditFault::Corrupt { path: path.into(), line: 0 })
    }

    /// How many records the file has.
    pub(crate) fn count(&self) -> u32 {
        self.offsets.len() as u32 - 1
    }

    /// Where a line is in the file, without its end.
    pub(crate) fn line(&self, at: u32) -> Range<u64> {
        let at = at as usize;
        u64::from(self.offsets[at])..u64::from(self.offsets[at + 1]) - 1
    }

    /// All values of a member.
    pub(crate) fn values(&self, member: usize) -> &[Posting] {
        &self.members[member]
    }

    /// The records that have a value.
    pub(crate) fn records(&self, posting: &Posting) -> Vec<u32> {
        let mut reader = Reader { bytes: &self.bytes[posting.numbers.clone()], at: 0 };
        let mut number = 0;
        let mut next = || {
            number += reader.varint()?;
            Some(number)
        };
        std::iter::from_fn(&mut next).map(|number| number - 1).collect()
    }

    /// The records that a filter may match; `None` when that may be all.
    pub(crate) fn candidates(&self, filter: &Filter, subjects: &Subjects) -> Option<Vec<u32>> {
        let mut sets: Vec<Vec<u32>> = Vec::new();
        if let Some(who) = &filter.who {
            let is = |value: &str| {
                has(value, who) || subjects.name(value).is_some_and(|name| has(&name, who))
            };
            sets.push(self.having(&[PRINCIPAL, CLIENT], is));
        }
        if let Some(server) = &filter.server {
            sets.push(self.having(&[SERVER], |value| value == server));
        }
        if let Some(glob) = &filter.tool
            && self.members[NAME].len() * self.members[SERVER].len().max(1) <= PAIRS
        {
            let servers = || self.members[SERVER].iter().map(|server| &*server.value).chain([""]);
            sets.push(
                self.having(&[NAME], |name| servers().any(|server| is_tool(glob, server, name))),
            );
        }
        if let Some(kind) = filter.kind {
            sets.push(self.having(&[KIND], |value| value == kind.as_str()));
        }
        if let Some(outcome) = filter.outcome {
            sets.push(self.having(&[OUTCOME], |value| value == outcome.as_str()));
        }
        for (wanted, is) in
            [(filter.refused, is_refused as fn(_, _) -> _), (filter.failed, is_failed)]
        {
            if wanted {
                let kinds = self
                    .having(&[KIND], |value| Kind::named(value).is_some_and(|kind| is(kind, None)));
                let outcomes = self.having(&[OUTCOME], |value| {
                    Outcome::named(value).is_some_and(|outcome| is(Kind::Outcome, Some(outcome)))
                });
                sets.push(union([kinds, outcomes]));
            }
        }
        let mut sets = sets.into_iter();
        let first = sets.next()?;
        let all = sets.fold(first, |all, set| {
            all.into_iter().filter(|number| set.binary_search(number).is_ok()).collect()
        });
        // What can't be read must be seen.
        Some(union([all, self.broken.clone()]))
    }

    /// The records of which one of these members has a value that is wanted.
    fn having(&self, members: &[usize], wanted: impl Fn(&str) -> bool) -> Vec<u32> {
        let postings = members.iter().flat_map(|member| &self.members[*member]);
        union(
            postings.filter(|posting| wanted(&posting.value)).map(|posting| self.records(posting)),
        )
    }

    /// An index as it is kept, for a file of this length. None when it is another's or broken.
    fn read(bytes: Vec<u8>, length: u64) -> Option<Index> {
        let (body, hash) = bytes.split_last_chunk::<32>()?;
        if digest(&SHA256, body).as_ref() != hash {
            return None;
        }
        let mut reader = Reader { bytes: body, at: MAGIC.len() };
        if !body.starts_with(MAGIC) || reader.u64()? != length {
            return None;
        }
        let count = reader.u32()?;
        let offsets: Vec<u32> = (0..=count).map(|_| reader.u32()).collect::<Option<_>>()?;
        let broken = reader.u32()?;
        let broken: Vec<u32> = (0..broken).map(|_| reader.u32()).collect::<Option<_>>()?;
        let mut members: [Vec<Posting>; MEMBERS.len()] = Default::default();
        for member in &mut members {
            for _ in 0..reader.u32()? {
                let value = reader.range()?;
                let value = std::str::from_utf8(&body[value]).ok()?.into();
                member.push(Posting { value, count: reader.u32()?, numbers: reader.range()? });
            }
        }
        Some(Index { offsets, members, broken, bytes })
    }
}

/// The index of these lines, as it is kept.
fn encoded(journal: &[u8]) -> Vec<u8> {
    let mut offsets = vec![0];
    let mut broken = Vec::new();
    let mut members: [BTreeMap<String, Numbers>; MEMBERS.len()] = Default::default();
    for (number, end) in (0..).zip(memchr::memchr_iter(b'\n', journal)) {
        let line = &journal[offsets[offsets.len() - 1] as usize..end];
        offsets.push(u32::try_from(end + 1).unwrap_or(u32::MAX));
        let Ok(record) = serde_json::from_slice::<Indexed<'_>>(line) else {
            broken.push(number);
            continue;
        };
        let Indexed { kind, outcome, principal, client, server, name, refusal } = &record;
        for (value, member) in
            [kind, outcome, principal, client, server, name, refusal].into_iter().zip(&mut members)
        {
            if value.is_empty() {
                continue;
            }
            match member.get_mut(&**value) {
                Some(numbers) => numbers.push(number),
                None => member.entry(value.to_string()).or_default().push(number),
            }
        }
    }
    let mut bytes = MAGIC.to_vec();
    let mut put = |part: &[u8]| bytes.extend_from_slice(part);
    put(&(journal.len() as u64).to_le_bytes());
    put(&(offsets.len() as u32 - 1).to_le_bytes());
    offsets.iter().for_each(|offset| put(&offset.to_le_bytes()));
    put(&(broken.len() as u32).to_le_bytes());
    broken.iter().for_each(|number| put(&number.to_le_bytes()));
    for member in members {
        put(&(member.len() as u32).to_le_bytes());
        for (value, numbers) in member {
            put(&(value.len() as u32).to_le_bytes());
            put(value.as_bytes());
            put(&numbers.count.to_le_bytes());
            put(&(numbers.bytes.len() as u32).to_le_bytes());
            put(&numbers.bytes);
        }
    }
    let hash = digest(&SHA256, &bytes);
    bytes.extend_from_slice(hash.as_ref());
    bytes
}

/// Growing numbers as their differences, seven bits to a byte.
#[derive(Default)]
struct Numbers {
    bytes: Vec<u8>,
    /// One more than the last; 0 at the beginning.
    last: u32,
    count: u32,
}

impl Numbers {
    fn push(&mut self, number: u32) {
        let mut rest = number + 1 - self.last;
        self.last = number + 1;
        self.count += 1;
        while rest >= 0x80 {
            self.bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.bytes.push(rest as u8);
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let taken = self.bytes.get(self.at..)?.first_chunk::<N>()?;
        self.at += N;
        Some(*taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn range(&mut self) -> Option<Range<usize>> {
        let length = self.u32()? as usize;
        let range = self.at..self.at.checked_add(length)?;
        self.bytes.get(range.clone())?;
        self.at = range.end;
        Some(range)
    }

    fn varint(&mut self) -> Option<u32> {
        let mut number = 0;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.take()?;
            number |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }
}

/// All numbers of sorted lists, once each, sorted.
fn union(sets: impl IntoIterator<Item = Vec<u32>>) -> Vec<u32> {
    let mut all: Vec<u32> = Vec::new();
    for set in sets {
        if all.is_empty() {
            all = set;
        } else {
            all.extend(set);
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nobody() -> Subjects {
        Subjects::open(Path::new("no such journal")).unwrap()
    }

    fn journal(records: &[(u8, u8, bool)]) -> Vec<u8> {
        let line = |(seq, (who, name, refused)): (usize, &(u8, u8, bool))| {
            let outcome = if *refused { "refused" } else { "ok" };
            format!(
                "{{\"seq\":{seq},\"time\":\"2026-11-26T12:00:00.000000Z\",\"kind\":\"outcome\",\"principal\":\"token:w{who}\",\"server\":\"s\",\"name\":\"n{name}\",\"outcome\":\"{outcome}\"}}\n"
            )
        };
        (1..).zip(records).map(line).collect::<String>().into_bytes()
    }

    proptest! {
        #[test]
        fn candidates_are_the_records_that_match(
            records in prop::collection::vec((0..4_u8, 0..300_u16, any::<bool>()), 0..600),
        ) {
            let records: Vec<_> = records.iter().map(|(w, n, r)| (*w, (*n % 7) as u8, *r)).collect();
            let bytes = journal(&records);
            let index = Index::read(encoded(&bytes), bytes.len() as u64).unwrap();
            prop_assert_eq!(index.count() as usize, records.len());
            for at in 0..index.count() {
                let line = index.line(at);
                let line = &bytes[line.start as usize..line.end as usize];
                prop_assert_eq!(crate::lines::seq(line), Some(u64::from(at) + 1));
            }
            let filter = Filter { who: Some("W2".into()), tool: Some("s__n[13]".replace("[13]", "3")), refused: true, ..Filter::default() };
            let expected: Vec<u32> = (0..).zip(&records).filter(|(_, r)| **r == (2, 3, true)).map(|(at, _)| at).collect();
            prop_assert_eq!(index.candidates(&filter, &nobody()), Some(expected));
            prop_assert_eq!(index.candidates(&Filter::default(), &nobody()), None);
        }

        #[test]
        fn what_is_no_index_is_not_taken(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
            let bytes = journal(&[(1, 1, true), (2, 2, false)]);
            let good = encoded(&bytes);
            let mut changed = good.clone();
            let at = at.index(changed.len());
            prop_assume!(changed[at] != byte);
            changed[at] = byte;
            prop_assert!(Index::read(changed, bytes.len() as u64).is_none());
            prop_assert!(Index::read(good[..cut.index(good.len())].to_vec(), bytes.len() as u64).is_none());
            prop_assert!(Index::read(good, bytes.len() as u64 + 1).is_none());
        }
    }

    #[test]
    fn lines_that_are_no_records_are_always_candidates() {
        let mut bytes = journal(&[(1, 1, false)]);
        bytes.extend_from_slice(b"rubbish\n");
        bytes.extend_from_slice(b"{\"unfinished\":");
        let index = Index::read(encoded(&bytes), bytes.len() as u64).unwrap();
        let filter = Filter { who: Some("nobody".into()), ..Filter::default() };
        assert_eq!(index.candidates(&filter, &nobody()), Some(vec![1]));
        assert_eq!(index.count(), 2);
    }
}
