//! Lines with their leaf hashes: one thread reads and sees them in order, the others hash.

use std::num::NonZero;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::AuditFault;
use crate::lines::{Lines, Place};
use crate::merkle::{self, Hash};

/// Bytes that are hashed together.
const BYTES: usize = 256 << 10;
/// Batches of each thread that are under way.
const AHEAD: usize = 2;
/// More threads than that would wait for the one that reads.
const THREADS: usize = 8;

/// Gives each line, its leaf hash, and where it is to whoever asks.
pub(crate) fn each(
    mut lines: Lines,
    mut take: impl FnMut(&[u8], Hash, &dyn Fn() -> Place),
) -> Result<(), AuditFault> {
    let count = thread::available_parallelism().map_or(1, NonZero::get).min(THREADS);
    thread::scope(|scope| {
        let hashers: Vec<(SyncSender<Batch>, Receiver<Batch>)> = (0..count)
            .map(|_| {
                let (give, given) = sync_channel::<Batch>(AHEAD);
                let (done, back) = sync_channel(AHEAD);
                scope.spawn(move || {
                    for mut batch in given {
                        batch.hash();
                        if done.send(batch).is_err() {
                            return;
                        }
                    }
                });
                (give, back)
            })
            .collect();
        let (mut given, mut taken, mut held) = (0, 0, None);
        loop {
            let batch = Batch::read(&mut lines, &mut held)?;
            let ended = batch.is_none();
            if let Some(batch) = batch {
                // A thread ends only when there is nothing more to hash.
                hashers[given % count].0.send(batch).map_err(|_| AuditFault::Closed)?;
                given += 1;
            }
            while taken < given && (ended || given - taken >= AHEAD * count) {
                let batch = hashers[taken % count].1.recv().map_err(|_| AuditFault::Closed)?;
                taken += 1;
                batch.each(&mut take);
            }
            if ended {
                return Ok(());
            }
        }
    })
}

/// Lines that stand in one file, one behind the other.
struct Batch {
    /// Where the first is.
    place: Place,
    /// Each behind what stands before it where it is hashed.
    bytes: Vec<u8>,
    ends: Vec<usize>,
    leaves: Vec<Hash>,
}

impl Batch {
    /// The next lines. `held` is one that was read and is of the next file.
    fn read(lines: &mut Lines, held: &mut Option<Batch>) -> Result<Option<Batch>, AuditFault> {
        let mut batch = held.take();
        while batch.as_ref().is_none_or(|batch| batch.bytes.len() < BYTES) {
            if lines.next()?.is_none() {
                break;
            }
            match &mut batch {
                // The first line of a file begins a batch.
                Some(batch) if lines.number() > 1 => batch.add(lines.hashed()),
                Some(_) => {
                    *held = Some(Batch::new(lines));
                    break;
                }
                None => batch = Some(Batch::new(lines)),
            }
        }
        Ok(batch)
    }

    /// With the line that was read last.
    fn new(lines: &Lines) -> Batch {
        let (place, bytes) = (lines.place(), Vec::with_capacity(BYTES + (16 << 10)));
        let mut batch = Batch { place, bytes, ends: Vec::new(), leaves: Vec::new() };
        batch.add(lines.hashed());
        batch
    }

    fn add(&mut self, line: &[u8]) {
        self.bytes.extend_from_slice(line);
        self.ends.push(self.bytes.len());
    }

    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let mut from = 0;
        self.ends.iter().map(move |end| &self.bytes[std::mem::replace(&mut from, *end)..*end])
    }

    fn hash(&mut self) {
        self.leaves = self.lines().map(merkle::hashed).collect();
    }

    fn each(&self, take: &mut impl FnMut(&[u8], Hash, &dyn Fn() -> Place)) {
        for ((at, line), leaf) in (0..).zip(self.lines()).zip(&self.leaves) {
            let Place { file, line: first } = &self.place;
            take(&line[1..], *leaf, &|| Place { file: file.clone(), line: first + at });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    #[test]
    fn every_line_comes_once_in_order_with_its_hash_and_place() {
        let dir = tempfile::tempdir().unwrap();
        let mut expected = Vec::new();
        for (file, count) in [(1, 3), (4, 5000), (5004, 1)] {
            let path = dir.path().join(crate::files::name(file));
            let mut text = String::new();
            for at in 0..count {
                let line =
                    format!("{{\"seq\":{},{}", file + at, "x".repeat((at as usize * 7) % 900));
                let _ = writeln!(text, "{line}");
                let place = Place { file: path.clone(), line: at + 1 };
                expected.push((line.clone(), merkle::leaf(line.as_bytes()), place));
            }
            std::fs::write(path, text).unwrap();
        }
        let mut found = Vec::new();
        let lines = Lines::from(dir.path(), 0).unwrap();
        each(lines, |line, leaf, place| {
            found.push((String::from_utf8(line.to_vec()).unwrap(), leaf, place()));
        })
        .unwrap();
        assert!(found == expected);
        let empty = tempfile::tempdir().unwrap();
        each(Lines::from(empty.path(), 0).unwrap(), |_, _, _| panic!("nothing is there")).unwrap();
    }
}
