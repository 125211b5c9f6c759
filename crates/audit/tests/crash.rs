//! The writer is killed at arbitrary points: what it acknowledged is in the journal.
#![cfg(unix)]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test"))]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use audit::{Entry, Journal, Kind, Options, Outcome, Record};

const DIR: &str = "AUDIT_CRASH_DIR";
const OPTIONS: Options = Options {
    fsync: true,
    strict: false,
    max_file_bytes: 20_000,
    checkpoint_every: Duration::from_millis(3),
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
        let record = Record { id: &id, outcome: Some(Outcome::Ok), ..Record::default() };
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

#[test]
fn what_was_acknowledged_survives_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..16 {
        acknowledged.extend(run_and_kill(dir.path(), 1 + round % 8 * 37));
        drop(Journal::open(dir.path(), OPTIONS).unwrap());
        check(dir.path(), &acknowledged);
        let key = std::fs::read_to_string(dir.path().join("audit.pub")).unwrap();
        let verified = audit::verify(dir.path(), &key.parse().unwrap()).unwrap();
        assert_eq!(verified.size, verified.records);
    }
}

fn check(dir: &Path, acknowledged: &[(u64, u64, String)]) {
    let entries: Vec<Entry> = Journal::read(dir).unwrap().map(Result::unwrap).collect();
    assert!(entries.iter().zip(1..).all(|(entry, seq)| entry.seq == seq), "a number is missing");
    let by_seq: BTreeMap<u64, &Entry> = entries.iter().map(|entry| (entry.seq, entry)).collect();
    for (intent, outcome, id) in acknowledged {
        let (before, after) = (by_seq[intent], by_seq[outcome]);
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
