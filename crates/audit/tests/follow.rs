//! Those who follow a journal get every record once, in order.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test"))]

use std::path::Path;
use std::time::Duration;

use audit::{Cursor, Followed, Follower, Journal, Kind, Options, Record, Start};

/// Files are full after a few records.
fn open(dir: &Path) -> Journal {
    let options = Options { fsync: false, max_file_bytes: 2_000, ..Options::default() };
    Journal::open(dir, options).unwrap()
}

async fn append(journal: &Journal, count: usize) {
    for number in 0..count {
        let id = format!("c-{number}");
        let record = Record { kind: Kind::Refusal, id: &id, ..Record::default() };
        journal.append(&record).await.unwrap();
    }
}

/// All that is left of a closed journal.
async fn rest(follower: &mut Follower) -> Vec<Followed> {
    let mut all = Vec::new();
    while let Some(records) = follower.next().await.unwrap() {
        all.extend(records);
    }
    all
}

fn lines(dir: &Path) -> Vec<(u64, String)> {
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    let text: String = files.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    (1..).zip(text.lines().map(str::to_owned)).collect()
}

#[tokio::test]
async fn a_follower_gets_everything_as_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    append(&journal, 10).await;
    let mut follower = journal.follow(1);
    let task = tokio::spawn(async move { rest(&mut follower).await });
    append(&journal, 3000).await;
    let mut late = journal.follow(2_500);
    journal.close().unwrap();
    let written = lines(dir.path());
    assert!(written.len() > 3010);
    let shape = |all: Vec<Followed>| all.into_iter().map(|r| (r.seq, r.line)).collect::<Vec<_>>();
    assert_eq!(shape(task.await.unwrap()), written);
    assert_eq!(shape(rest(&mut late).await), written[2_499..]);
    assert_eq!(late.at(), written.len() as u64);
}

#[tokio::test]
async fn a_follower_waits_and_one_that_gave_up_has_taken_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    append(&journal, 1).await;
    let mut follower = journal.follow(journal.committed() + 1);
    let before = follower.at();
    assert!(tokio::time::timeout(Duration::ZERO, follower.next()).await.is_err());
    append(&journal, 2).await;
    // Given up after the read began, the next look begins at the same place.
    if tokio::time::timeout(Duration::ZERO, follower.next()).await.is_err() {
        assert_eq!(follower.at(), before);
        let records = follower.next().await.unwrap().unwrap();
        assert_eq!(records[0].seq, before + 1);
    }
    assert_eq!(follower.at(), journal.committed());
}

#[tokio::test]
async fn a_cursor_survives_and_belongs_to_its_journal() {
    let (dir, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = state.path().join("siem.cursor");
    let journal = open(dir.path());
    append(&journal, 20).await;
    assert_eq!(Cursor::open(&path, &journal, Start::Beginning).unwrap().next(), 1);
    Cursor::open(&path, &journal, Start::Now).unwrap().advance(7).unwrap();
    assert_eq!(Cursor::open(&path, &journal, Start::Now).unwrap().next(), 8);
    std::fs::write(&path, "torn").unwrap();
    let end = journal.committed() + 1;
    assert_eq!(Cursor::open(&path, &journal, Start::Now).unwrap().next(), end);
    Cursor::open(&path, &journal, Start::Now).unwrap().advance(1_000_000).unwrap();
    // It can't be ahead of what is there.
    assert_eq!(Cursor::open(&path, &journal, Start::Now).unwrap().next(), end);
    let other = tempfile::tempdir().unwrap();
    let other = open(other.path());
    append(&other, 30).await;
    assert_eq!(Cursor::open(&path, &other, Start::Beginning).unwrap().next(), 1);
}

#[tokio::test]
async fn a_record_that_is_not_what_it_was_ends_the_following() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    append(&journal, 5).await;
    let path = dir.path().join(format!("journal-{:020}.jsonl", 1));
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("{\"seq\":3,", "{\"seq\":9,", 1)).unwrap();
    assert!(journal.follow(1).next().await.is_err());
    assert!(journal.follow(4).next().await.is_ok());
}
