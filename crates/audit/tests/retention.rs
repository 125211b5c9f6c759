//! Old records go, and what is left still proves what it proved.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test"))]

use std::path::{Path, PathBuf};
use std::time::Duration;

use audit::{
    Cursor, Journal, Kind, Options, ProveFault, Pruned, Record, Retention, Start, Tampered,
    VerifierKey, check, prove, verify,
};

const KEEP: Retention = Retention { age: None, bytes: Some(30_000) };

fn open(dir: &Path) -> Journal {
    let options = Options {
        max_file_bytes: 10_000,
        checkpoint_every: Duration::from_millis(20),
        fsync: false,
        ..Options::default()
    };
    Journal::open(dir, options).unwrap()
}

async fn fill(journal: &Journal, count: usize) {
    for number in 0..count {
        let id = format!("c-{number}");
        let record = Record { kind: Kind::Refusal, id: &id, ..Record::default() };
        journal.append(&record).await.unwrap();
    }
}

fn key(dir: &Path) -> VerifierKey {
    std::fs::read_to_string(dir.join("audit.pub")).unwrap().parse().unwrap()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    files
}

#[tokio::test]
async fn what_was_removed_is_said_and_the_rest_verifies_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    fill(&journal, 1500).await;
    journal.signed(journal.committed()).await.unwrap();
    let key = key(dir.path());
    let receipt = prove(dir.path(), 3).unwrap();
    assert_eq!(verify(dir.path(), &key).unwrap().pruned, None);
    let before = files(dir.path()).len();

    // What was not delivered stays.
    assert_eq!(journal.prune(KEEP, 0).await.unwrap(), None);
    let first = journal.prune(KEEP, 500).await.unwrap().unwrap();
    assert!(first <= 500 && first > 300, "{first}");
    let last = journal.prune(KEEP, u64::MAX).await.unwrap().unwrap();
    assert!(last > first && files(dir.path()).len() < before / 2);
    assert_eq!(journal.prune(KEEP, u64::MAX).await.unwrap(), None);
    let verified = verify(dir.path(), &key).unwrap();
    assert!(
        matches!(verified.pruned, Some(Pruned { last: said, by }) if said == last && by > last)
    );
    // What was proven before still is, and new proofs reach over what is gone.
    check(&receipt, &key).unwrap();
    assert!(matches!(prove(dir.path(), 3), Err(ProveFault::Pruned(3))));
    assert_eq!(check(&prove(dir.path(), last + 1).unwrap(), &key).unwrap().seq, last + 1);
    let followed = journal.follow(1).next().await.unwrap().unwrap();
    assert_eq!(followed[0].seq, last + 1);
    let cursor = dir.path().join("new.cursor");
    assert_eq!(Cursor::open(&cursor, &journal, Start::Beginning).unwrap().next(), last + 1);

    drop(journal);
    // The tree is taken up, also where upper tiles have to be made again.
    std::fs::remove_dir_all(dir.path().join("tile/1")).unwrap();
    let journal = open(dir.path());
    fill(&journal, 600).await;
    journal.close().unwrap();
    assert_eq!(verify(dir.path(), &key).unwrap().pruned.map(|pruned| pruned.last), Some(last));
}

#[tokio::test]
async fn files_that_went_in_another_way_are_missed() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    fill(&journal, 800).await;
    let last = journal.prune(Retention { bytes: Some(60_000), ..KEEP }, u64::MAX).await.unwrap();
    journal.close().unwrap();
    let (key, last) = (key(dir.path()), last.unwrap());
    verify(dir.path(), &key).unwrap();
    // One more than was said.
    let gone = files(dir.path())[0].clone();
    let text = std::fs::read_to_string(&gone).unwrap();
    std::fs::remove_file(&gone).unwrap();
    assert!(matches!(verify(dir.path(), &key), Err(Tampered::Deleted { .. })));
    // A changed record behind the gap is named as ever.
    std::fs::write(&gone, text.replacen("c-", "C-", 1)).unwrap();
    let fault = verify(dir.path(), &key).unwrap_err();
    assert!(matches!(fault, Tampered::Changed { seq, .. } if seq > last), "{fault}");
    std::fs::write(&gone, text).unwrap();
    verify(dir.path(), &key).unwrap();
    // So are hashes of what is gone.
    let tile = dir.path().join("tile/0/000");
    let mut bytes = std::fs::read(&tile).unwrap();
    bytes[5] ^= 1;
    std::fs::write(&tile, bytes).unwrap();
    verify(dir.path(), &key).unwrap_err();
}

#[tokio::test]
async fn age_counts_from_a_files_last_record() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    fill(&journal, 300).await;
    let hour = Retention { age: Some(Duration::from_secs(3600)), bytes: None };
    assert_eq!(journal.prune(hour, u64::MAX).await.unwrap(), None);
    let now = Retention { age: Some(Duration::ZERO), bytes: None };
    assert!(journal.prune(now, u64::MAX).await.unwrap().is_some());
    // The file that is written to stays.
    assert_eq!(files(dir.path()).len(), 1);
}
