//! Replays the fuzzing corpus, and mutations of it that are the same in every run, through the fuzz targets.

#[path = "../../../fuzz/src/lib.rs"]
mod fuzz;

use std::path::Path;

const MUTATIONS: usize = 3_000;

fn replay(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let mut seeds: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{error}"))
        .map(|entry| entry.unwrap_or_else(|error| panic!("{error}")).path())
        .map(|path| {
            (
                path.display().to_string(),
                std::fs::read(&path).unwrap_or_else(|error| panic!("{error}")),
            )
        })
        .collect();
    // Folders list in any order; the mutations must not depend on it.
    seeds.sort();
    assert!(!seeds.is_empty());
    for (_, input) in &seeds {
        target(input);
    }
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for _ in 0..MUTATIONS {
        let mut input = random.pick(&seeds).1.clone();
        for _ in 0..=random.below(3) {
            mutate(&mut input, &random.pick(&seeds).1, &mut random);
        }
        target(&input);
    }
}

fn mutate(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    const TELLING: &[&[u8]] = &[
        b"\"", b"\\", b"\\u00", b"\\ud800", b"{", b"}", b"[", b"]", b",", b":", b"\r", b"\n",
        b"e9", b"\xFF", b"\0",
    ];
    let at = random.below(input.len() + 1);
    let end = (at + random.below(8)).min(input.len());
    match random.below(6) {
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 => drop(input.drain(at..end)),
        2 => drop(input.splice(at..at, random.pick(TELLING).iter().copied())),
        3 => {
            let piece = input[at..end].to_vec();
            drop(input.splice(at..at, piece));
        }
        4 => {
            let from = random.below(other.len() + 1);
            let to = (from + random.below(32)).min(other.len());
            drop(input.splice(at..end, other[from..to].iter().copied()));
        }
        _ => input.truncate(at),
    }
}

/// xorshift64*
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound.max(1)
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

#[test]
fn header() {
    replay("header", fuzz::header::target);
}

#[test]
fn json() {
    replay("json", fuzz::json::target);
}

#[test]
fn message() {
    replay("message", fuzz::message::target);
}

#[test]
fn name_uri() {
    replay("name_uri", fuzz::name_uri::target);
}

#[test]
fn patch() {
    replay("patch", fuzz::patch::target);
}

#[test]
fn trace() {
    replay("trace", fuzz::trace::target);
}

#[test]
fn sse() {
    replay("sse", fuzz::sse::target);
}
