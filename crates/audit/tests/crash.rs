//! The writer is killed at random instants, and the disk loses or tears what was not synced: what was
//! acknowledged is in the journal, and the log verifies.
//!
//! `AUDIT_CRASH_SECONDS=600 cargo nextest run -p audit --test crash` does it for longer.
#![cfg(unix)]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test"))]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use audit::{Body, Entry, Journal, Kind, Options, Outcome, Record, sealed_payload};

const DIR: &str = "AUDIT_CRASH_DIR";
const OPTIONS: Options = Options {
    fsync: true,
    strict: false,
    max_file_bytes: 20_000,
    checkpoint_every: Duration::from_millis(3),
    sealed: false,
};

/// Not a test: the process that is killed. It prints the number of each record once it is durable.
#[test]
#[ignore = "run by the test below"]
fn writer() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let journal = Journal::open(Path::new(&dir), OPTIONS).unwrap();
        let tasks: Vec<_> = (0..8).map(|task| tokio::spawn(calls(journal.clone(), task))).collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

async fn calls(journal: Journal, task: u32) {
    for number in 0_u64.. {
        let id = format!("{task}-{number}");
        // Any bytes do for what is sealed.
        let said = payload(&id);
        let body = if task < 4 { Body::Sealed(&said) } else { Body::Nothing };
        let record = Record { id: &id, outcome: Some(Outcome::Ok), body, ..Record::default() };
        let Ok(intended) = journal.intent(&record).await else { return };
        let intent = intended.seq();
        let Ok(recorded) = journal.outcome(intended, &record).await else { return };
        // One write: lines of several tasks must not mix.
        let line = format!("ack {intent} {} {id}\n", recorded.seq());
        if std::io::stdout().lock().write_all(line.as_bytes()).is_err() {
            return;
        }
    }
}

fn payload(id: &str) -> Vec<u8> {
    format!("what {id} said\n").repeat(3).into_bytes()
}

/// Runs the writer until it has acknowledged `count` calls, kills it, and gives all that it
/// acknowledged: intent, outcome, id.
fn run_and_kill(dir: &Path, count: usize) -> Vec<(u64, u64, String)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer", "--ignored", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = Vec::new();
    let parse = |line: String| {
        // The harness may have printed before it on the same line.
        let mut words = line[line.find("ack ")?..].split(' ').skip(1).map(str::to_owned);
        Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?))
    };
    while acknowledged.len() < count {
        acknowledged.extend(parse(lines.next().unwrap().unwrap()));
    }
    child.kill().unwrap();
    // What was in the pipe was acknowledged too; a last line without its end was not read whole.
    acknowledged.extend(lines.map_while(Result::ok).filter_map(parse));
    child.wait().unwrap();
    acknowledged
}

/// Small steps of a generator that anybody can repeat.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound.max(1)
    }
}

/// How many crashes one journal lives through: a new one keeps the checks short.
const LIVES: u64 = 20;
const SEED: u64 = 0x00c0_ffee_5eed;

#[test]
fn what_was_acknowledged_survives_the_writer() {
    let seconds = std::env::var("AUDIT_CRASH_SECONDS").ok().and_then(|text| text.parse().ok());
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(20));
    let mut random = Random(SEED);
    let (mut crashes, mut torn) = (0_u64, 0_u64);
    while Instant::now() < end {
        let dir = tempfile::tempdir().unwrap();
        let mut acknowledged = Vec::new();
        for _ in 0..LIVES {
            acknowledged.extend(run_and_kill(dir.path(), 1 + random.below(80) as usize));
            torn += u64::from(lose(dir.path(), &acknowledged, &mut random));
            drop(Journal::open(dir.path(), OPTIONS).unwrap());
            check(dir.path(), &acknowledged);
            let key = std::fs::read_to_string(dir.path().join("audit.pub")).unwrap();
            let verified = audit::verify(dir.path(), &key.parse().unwrap()).unwrap();
            assert_eq!(verified.size, verified.records);
            crashes += 1;
            if Instant::now() > end {
                break;
            }
        }
    }
    println!("{crashes} crashes, {torn} of them with a torn end");
    assert!(crashes > 10 && torn > 0, "{crashes} {torn}");
}

/// The largest size that a checkpoint in this file has.
fn signed(notes: &Path) -> u64 {
    let text = std::fs::read_to_string(notes).unwrap_or_default();
    let sizes = text.lines().filter_map(|line| line.parse::<u64>().ok());
    sizes.max().unwrap_or(0)
}

/// What a loss of power may do: of what was written but not synced, any part may be missing or
/// rubbish. Synced is what was acknowledged or signed. Tiles are never synced.
fn lose(dir: &Path, acknowledged: &[(u64, u64, String)], random: &mut Random) -> bool {
    let signed = ["checkpoint", "checkpoints.log"].map(|name| signed(&dir.join(name)));
    let signed = signed.into_iter().max().unwrap_or(0);
    let synced = acknowledged.iter().map(|(_, outcome, _)| *outcome).max().unwrap_or(0).max(signed);
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    // The tiles of the last two files' records.
    let first = |path: &PathBuf| path.file_stem()?.to_str()?.strip_prefix("journal-")?.parse().ok();
    let recent: u64 = files.iter().rev().nth(1).or(files.first()).and_then(first).unwrap();
    for index in (recent - 1) / 256.. {
        let tile = dir.join(format!("tile/0/{index:03}"));
        let parts = std::fs::read_dir(tile.with_extension("p")).into_iter().flatten().flatten();
        let parts: Vec<_> = parts.map(|entry| entry.path()).collect();
        if !tile.exists() && parts.is_empty() {
            break;
        }
        for tile in parts.iter().chain([&tile]).filter(|path| path.exists()) {
            match random.below(3) {
                0 => std::fs::remove_file(tile).unwrap(),
                1 => std::fs::write(tile, "").unwrap(),
                _ => {}
            }
        }
    }
    let last = files.last().unwrap();
    let bytes = std::fs::read(last).unwrap();
    let mut safe = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let seq = serde_json::from_slice::<Entry>(line).map_or(u64::MAX, |entry| entry.seq);
        if seq > synced {
            break;
        }
        safe += line.len();
    }
    let mut left = bytes[..safe + random.below((bytes.len() - safe) as u64) as usize].to_vec();
    if safe == bytes.len() {
        // A piece of a record that was on its way.
        let line = bytes.split_inclusive(|byte| *byte == b'\n').next_back().unwrap_or_default();
        left.extend_from_slice(&line[..random.below(line.len() as u64) as usize]);
    }
    // A sector that was allocated and never written.
    if random.below(2) == 0 {
        left.extend(vec![0; random.below(4096) as usize]);
    }
    let torn = left.len() != safe;
    std::fs::write(last, left).unwrap();
    lose_payloads(dir, synced, random);
    torn
}

/// The same of the newest payloads.
fn lose_payloads(dir: &Path, synced: u64, random: &mut Random) {
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "sealed"));
    files.sort();
    let Some(last) = files.last() else { return };
    let bytes = std::fs::read(last).unwrap();
    let mut safe = 0;
    while let Some(end) = bytes[safe..].iter().position(|byte| *byte == b'\n') {
        let head = std::str::from_utf8(&bytes[safe..safe + end]).unwrap();
        let (seq, length) = head.split_once(' ').unwrap();
        let whole = safe + end + 1 + length.parse::<usize>().unwrap() + 1;
        if seq.parse::<u64>().unwrap() > synced || whole > bytes.len() {
            break;
        }
        safe = whole;
    }
    let left = safe + random.below((bytes.len() - safe) as u64) as usize;
    std::fs::write(last, &bytes[..left]).unwrap();
}

fn check(dir: &Path, acknowledged: &[(u64, u64, String)]) {
    let entries: Vec<Entry> = Journal::read(dir).unwrap().map(Result::unwrap).collect();
    assert!(entries.iter().zip(1..).all(|(entry, seq)| entry.seq == seq), "a number is missing");
    let by_seq: BTreeMap<u64, &Entry> = entries.iter().map(|entry| (entry.seq, entry)).collect();
    for (intent, outcome, id) in acknowledged {
        let (before, after) = (by_seq[intent], by_seq[outcome]);
        for entry in [before, after] {
            let held = sealed_payload(dir, entry.seq).ok();
            let said = entry.number("payload_bytes").is_some();
            assert_eq!(said, id.as_bytes()[0] < b'4', "{entry:?}");
            assert_eq!(held, said.then(|| payload(id)), "{entry:?}");
        }
        assert_eq!((before.kind, before.rest["id"].as_str()), (Kind::Intent, Some(id.as_str())));
        assert_eq!(
            (after.kind, after.intent, after.outcome),
            (Kind::Outcome, Some(*intent), Some(Outcome::Ok))
        );
    }
    let mut open: BTreeMap<u64, u32> = entries
        .iter()
        .filter(|entry| entry.kind == Kind::Intent)
        .map(|entry| (entry.seq, 0))
        .collect();
    for intent in entries.iter().filter_map(|entry| entry.intent) {
        *open.get_mut(&intent).unwrap() += 1;
    }
    assert!(open.values().all(|outcomes| *outcomes == 1), "an intent has no outcome, or two");
}
