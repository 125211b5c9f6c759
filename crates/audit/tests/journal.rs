//! The journal as its users see it.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test"))]

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use audit::{AuditFault, Entry, Journal, Kind, Options, Outcome, Record};

fn options() -> Options {
    Options { fsync: false, ..Options::default() }
}

fn call(id: &str) -> Record<'_> {
    Record { id, server: "github", name: "get_issue", ..Record::default() }
}

fn ok(id: &str) -> Record<'_> {
    Record { outcome: Some(Outcome::Ok), ..call(id) }
}

/// All but checkpoints, after checking that no sequence number is missing.
fn entries(dir: &Path) -> Vec<Entry> {
    let all: Vec<Entry> = Journal::read(dir).unwrap().map(Result::unwrap).collect();
    assert!(all.iter().zip(1..).all(|(entry, seq)| entry.seq == seq), "{all:?}");
    all.into_iter().filter(|entry| entry.kind != Kind::Checkpoint).collect()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_call_is_an_intent_and_its_outcome() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path(), Options::default()).unwrap();
    let intended = journal.intent(&call("c-1")).await.unwrap();
    let intent = intended.seq();
    let recorded = journal.outcome(intended, &ok("c-1")).await.unwrap();
    // Durable means: readable by others, now.
    let all = entries(dir.path());
    let shape: Vec<_> = all.iter().map(|e| (e.seq, e.kind, e.intent, e.outcome)).collect();
    assert_eq!(
        shape,
        [
            (intent, Kind::Intent, None, None),
            (recorded.seq(), Kind::Outcome, Some(intent), Some(Outcome::Ok))
        ]
    );
    assert_eq!(all[0].rest["id"], "c-1");
    let time = &all[0].time;
    assert!(time.len() == 27 && time.ends_with('Z') && time.as_bytes()[19] == b'.', "{time}");
}

#[tokio::test]
async fn a_strict_intent_is_in_the_file_before_the_call() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path(), Options { strict: true, ..options() }).unwrap();
    let intended = journal.intent(&call("c-1")).await.unwrap();
    assert_eq!(entries(dir.path()).last().map(|entry| entry.seq), Some(intended.seq()));
}

#[tokio::test]
async fn an_intent_that_nobody_waits_for_is_written_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path(), options()).unwrap();
    let _intended = journal.intent(&call("c-1")).await.unwrap();
    while entries(dir.path()).is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_call_that_was_given_up_is_recorded_as_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path(), options()).unwrap();
    let intended = journal.intent(&call("c-1")).await.unwrap();
    let intent = intended.seq();
    drop(intended);
    drop(journal.intent(&call("c-2")));
    journal.close().unwrap();
    let all = entries(dir.path());
    let unknown: Vec<_> = all
        .iter()
        .filter(|entry| entry.outcome == Some(Outcome::Unknown))
        .map(|entry| entry.intent)
        .collect();
    assert_eq!(unknown, [Some(intent), Some(all[2].seq)]);
}

#[tokio::test]
async fn opening_again_goes_on_and_closes_what_was_open() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path(), options()).unwrap();
    let open = journal.intent(&call("c-1")).await.unwrap();
    let done = journal.intent(&call("c-2")).await.unwrap();
    journal.outcome(done, &ok("c-2")).await.unwrap();
    journal.close().unwrap();
    assert!(matches!(journal.append(&call("late")).await, Err(AuditFault::Closed)));

    let again = Journal::open(dir.path(), options()).unwrap();
    again
        .append(&Record { kind: Kind::System, detail: "started", ..Record::default() })
        .await
        .unwrap();
    let all = entries(dir.path());
    let shape: Vec<_> = all.iter().map(|e| (e.kind, e.outcome, e.intent)).collect();
    assert_eq!(
        shape,
        [
            (Kind::Intent, None, None),
            (Kind::Intent, None, None),
            (Kind::Outcome, Some(Outcome::Ok), Some(all[1].seq)),
            (Kind::Outcome, Some(Outcome::Unknown), Some(open.seq())),
            (Kind::System, None, None),
        ]
    );
    drop(open);
    again.close().unwrap();
    let journal = Journal::open(dir.path(), options()).unwrap();
    journal.append(&Record::default()).await.unwrap();
    assert_eq!(entries(dir.path()).len(), all.len() + 1);
}

#[tokio::test]
async fn only_one_writes() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path(), options()).unwrap();
    assert!(matches!(Journal::open(dir.path(), options()), Err(AuditFault::Locked(_))));
    drop(journal);
    Journal::open(dir.path(), options()).unwrap();
}

#[tokio::test]
async fn an_unfinished_last_line_is_cut_and_said() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path(), options()).unwrap();
    journal.append(&call("c-1")).await.unwrap();
    drop(journal);
    let path = files(dir.path()).pop().unwrap();
    OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap()
        .write_all(b"{\"seq\":4,\"time\":\"20")
        .unwrap();
    assert_eq!(entries(dir.path()).len(), 1);

    let journal = Journal::open(dir.path(), options()).unwrap();
    journal.append(&call("c-2")).await.unwrap();
    let details: Vec<_> =
        entries(dir.path()).into_iter().map(|mut entry| entry.rest.remove("detail")).collect();
    assert_eq!(details, [None, Some("cut 19 bytes of an unfinished write".into()), None]);
}

#[tokio::test]
async fn whole_lines_of_an_unfinished_write_are_put_aside() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path(), options()).unwrap();
    journal.append(&call("c-1")).await.unwrap();
    drop(journal);
    let path = files(dir.path()).pop().unwrap();
    let garbage = b"\0\0\0\0\n{\"seq\":99,\"time\":\"\",\"kind\":\"intent\"}\n";
    OpenOptions::new().append(true).open(&path).unwrap().write_all(garbage).unwrap();
    assert!(
        Journal::read(dir.path())
            .unwrap()
            .any(|entry| matches!(entry, Err(AuditFault::Corrupt { .. })))
    );

    drop(Journal::open(dir.path(), options()).unwrap());
    assert_eq!(entries(dir.path()).len(), 2);
    assert_eq!(std::fs::read(path.with_extension("torn")).unwrap(), garbage);
}

#[tokio::test]
async fn a_full_file_is_followed_by_another_and_open_intents_are_carried_over() {
    let dir = tempfile::tempdir().unwrap();
    let small = Options { max_file_bytes: 2000, ..options() };
    let journal = Journal::open(dir.path(), small).unwrap();
    let open = journal.intent(&call("open")).await.unwrap();
    for number in 0..100 {
        journal.append(&call(&format!("c-{number}"))).await.unwrap();
    }
    let seq = open.seq();
    journal.close().unwrap();
    let names = files(dir.path());
    assert!(names.len() > 4, "{names:?}");
    assert!(names.iter().all(|path| path.metadata().unwrap().len() < 4000));
    assert_eq!(entries(dir.path()).len(), 101);

    // As after a crash between making a file and writing to it.
    std::fs::write(dir.path().join(format!("journal-{:020}.jsonl", 10_000)), "").unwrap();
    let journal = Journal::open(dir.path(), small).unwrap();
    journal.append(&Record::default()).await.unwrap();
    let all = entries(dir.path());
    assert_eq!((all[101].intent, all[101].outcome), (Some(seq), Some(Outcome::Unknown)));

    let last = Journal::last(dir.path(), 12).unwrap();
    assert_eq!(last.len(), 12);
    assert_eq!(last.last().map(|entry| entry.seq), all.last().map(|entry| entry.seq));
    assert!(last.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1));
    assert!(Journal::last(dir.path(), 10_000).unwrap().len() > 101);
}

#[tokio::test]
async fn a_disk_that_fails_fails_everything_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("audit");
    let journal = Journal::open(&inner, Options { max_file_bytes: 1, ..options() }).unwrap();
    journal.append(&call("c-1")).await.unwrap();
    // The next record needs a new file, and there is no place for it any more.
    std::fs::remove_dir_all(&inner).unwrap();
    assert!(matches!(journal.append(&call("c-2")).await, Err(AuditFault::Io { .. })));
    assert!(matches!(journal.append(&call("c-3")).await, Err(AuditFault::Io { .. })));
    assert!(matches!(journal.intent(&call("c-4")).await, Err(AuditFault::Io { .. })));
    assert!(matches!(journal.fault(), Some(AuditFault::Io { .. })));
    assert!(matches!(journal.close(), Err(AuditFault::Io { .. })));
    let journal = Journal::open(&inner, options()).unwrap();
    journal.append(&call("c-5")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_all_get_their_own_number() {
    let dir = tempfile::tempdir().unwrap();
    let journal =
        Journal::open(dir.path(), Options { max_file_bytes: 50_000, ..options() }).unwrap();
    let tasks: Vec<_> = (0..64)
        .map(|task| {
            let journal = journal.clone();
            tokio::spawn(async move {
                let mut seqs = Vec::new();
                for number in 0..50 {
                    let id = format!("{task}-{number}");
                    let intended = journal.intent(&call(&id)).await.unwrap();
                    seqs.push((intended.seq(), id.clone()));
                    seqs.push((journal.outcome(intended, &ok(&id)).await.unwrap().seq(), id));
                }
                seqs
            })
        })
        .collect();
    let mut expected = Vec::new();
    for task in tasks {
        expected.extend(task.await.unwrap());
    }
    expected.sort();
    let found: Vec<_> = entries(dir.path())
        .iter()
        .map(|entry| (entry.seq, entry.rest["id"].as_str().unwrap().to_owned()))
        .collect();
    assert_eq!(found, expected);
}

#[cfg(unix)]
#[tokio::test]
async fn its_files_are_the_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("a/b");
    let journal = Journal::open(&inner, options()).unwrap();
    journal.append(&Record::default()).await.unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&inner), 0o700);
    journal.close().unwrap();
    for entry in std::fs::read_dir(&inner).unwrap().map(|entry| entry.unwrap().path()) {
        assert_eq!(mode(&entry), if entry.is_dir() { 0o700 } else { 0o600 }, "{entry:?}");
    }
}
