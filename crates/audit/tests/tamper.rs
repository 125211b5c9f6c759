//! Every kind of edit on a copy of a journal is named, and the first record of it.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test"))]

use std::path::{Path, PathBuf};
use std::time::Duration;

use audit::{
    AuditFault, Checkpoint, Journal, Kind, Options, Record, Tampered, Verified, VerifierKey,
    verify, verify_with,
};
use proptest::prelude::*;
use tempfile::TempDir;

const RECORDS: u64 = 700;

fn options() -> Options {
    Options {
        fsync: false,
        max_file_bytes: 20_000,
        checkpoint_every: Duration::from_secs(3600),
        ..Options::default()
    }
}

fn open(dir: &Path) -> Journal {
    Journal::open(dir, options()).unwrap()
}

async fn append(journal: &Journal, count: u64) {
    for number in 0..count {
        let id = format!("c-{number}");
        let record =
            Record { kind: Kind::Refusal, id: &id, name: "get_issue", ..Record::default() };
        journal.append(&record).await.unwrap();
    }
}

fn filled() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(append(&open(dir.path()), RECORDS));
    dir
}

fn key(dir: &Path) -> VerifierKey {
    std::fs::read_to_string(dir.join("audit.pub")).unwrap().parse().unwrap()
}

fn check(dir: &Path) -> Result<Verified, Tampered> {
    verify(dir, &key(dir))
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn copied(from: &Path) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy(from, dir.path());
    dir
}

fn journals(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    files
}

/// All lines, with the file that each is in.
fn lines(dir: &Path) -> Vec<(PathBuf, String)> {
    let text = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        text.lines().map(|line| (path.clone(), line.to_owned())).collect::<Vec<_>>()
    };
    journals(dir).into_iter().flat_map(text).collect()
}

/// Writes them back to their files.
fn put(dir: &Path, lines: &[(PathBuf, String)]) {
    for path in journals(dir) {
        let text: String = lines
            .iter()
            .filter(|(file, _)| *file == path)
            .map(|(_, line)| format!("{line}\n"))
            .collect();
        std::fs::write(path, text).unwrap();
    }
}

/// What verification says after an edit of the lines; record N is at N - 1.
fn edited(
    original: &TempDir,
    edit: impl FnOnce(&mut Vec<(PathBuf, String)>),
) -> (TempDir, Tampered) {
    let dir = copied(original.path());
    let mut all = lines(dir.path());
    edit(&mut all);
    put(dir.path(), &all);
    let fault = check(dir.path()).unwrap_err();
    (dir, fault)
}

#[test]
fn what_was_written_verifies() {
    let dir = filled();
    let verified = check(dir.path()).unwrap();
    let count = lines(dir.path()).len() as u64;
    assert!(verified.records == count && verified.size == count && count > RECORDS);
    assert!(verified.checkpoints > 4, "{verified:?}");
    let other = filled();
    assert!(matches!(verify(dir.path(), &key(other.path())), Err(Tampered::Checkpoint(_))));
    // Going on keeps all of it true.
    drop(open(dir.path()));
    assert!(check(dir.path()).unwrap().size >= count);
}

#[test]
fn each_kind_of_edit_is_named() {
    let dir = filled();
    for at in [0, 1, 299, 500] {
        let seq = at as u64 + 1;
        let (_, fault) = edited(&dir, |all| {
            all[at].1 = all[at].1.replacen("\"kind\":\"", "\"kind\":\"x", 1);
        });
        assert!(
            matches!(&fault, Tampered::Changed { seq: s, last, place }
                if *s == seq && *last == seq && lines(dir.path())[at].0.file_name() == place.file.file_name()),
            "{fault}"
        );
        let (_, fault) = edited(&dir, |all| drop(all.remove(at)));
        assert!(matches!(fault, Tampered::Deleted { seq: s, .. } if s == seq), "{fault}");
        let (_, fault) = edited(&dir, |all| drop(all.drain(at..at + 150)));
        assert!(matches!(fault, Tampered::Deleted { seq: s, .. } if s == seq), "{fault}");
        let (_, fault) = edited(&dir, |all| {
            let (a, b) = (all[at].1.clone(), all[at + 1].1.clone());
            (all[at].1, all[at + 1].1) = (b, a);
        });
        assert!(matches!(fault, Tampered::Reordered { seq: s, .. } if s == seq), "{fault}");
        let (_, fault) = edited(&dir, |all| all.insert(at, all[at.saturating_sub(1)].clone()));
        let duplicate = if at == 0 { 2 } else { seq };
        assert!(matches!(fault, Tampered::Inserted { seq: s, .. } if s == duplicate), "{fault}");
        let (_, fault) = edited(&dir, |all| {
            let new =
                all[at].1.replace("c-", "d-").replace("refusal", "spawn").replace("open", "o");
            all.insert(at, (all[at].0.clone(), new));
        });
        assert!(matches!(fault, Tampered::Inserted { seq: s, .. } if s == seq), "{fault}");
        let (_, fault) = edited(&dir, |all| all.truncate(at));
        assert!(matches!(fault, Tampered::Truncated { seq: s, .. } if s == seq), "{fault}");
    }
}

#[test]
fn a_file_that_is_gone_and_a_last_byte_that_is_gone_are_named() {
    let dir = filled();
    for (at, file) in journals(dir.path()).iter().enumerate() {
        let copy = copied(dir.path());
        let first = lines(dir.path()).iter().position(|(path, _)| path == file).unwrap();
        std::fs::remove_file(&journals(copy.path())[at]).unwrap();
        let fault = check(copy.path()).unwrap_err();
        let named = match fault {
            Tampered::Deleted { seq, .. } | Tampered::Truncated { seq, .. } => seq,
            _ => panic!("{fault}"),
        };
        assert_eq!(named, first as u64 + 1, "{fault}");
    }
    let copy = copied(dir.path());
    let last = journals(copy.path()).pop().unwrap();
    let bytes = std::fs::read(&last).unwrap();
    std::fs::write(&last, &bytes[..bytes.len() - 1]).unwrap();
    assert!(matches!(check(copy.path()), Err(Tampered::Truncated { .. })));
    // Nor is it gone on with.
    assert!(matches!(Journal::open(copy.path(), options()), Err(AuditFault::Tampered(_))));
    assert_eq!(std::fs::read(&last).unwrap(), &bytes[..bytes.len() - 1]);
}

#[test]
fn tiles_are_checked_made_again_and_not_needed_to_name_a_deletion() {
    let dir = filled();
    for name in ["0/000", "0/001", "1/000.p/2"] {
        let copy = copied(dir.path());
        let tile = copy.path().join("tile").join(name);
        let mut bytes = std::fs::read(&tile).unwrap();
        bytes[40] ^= 1;
        std::fs::write(&tile, bytes).unwrap();
        let fault = check(copy.path()).unwrap_err();
        assert!(matches!(&fault, Tampered::Tile(path) if *path == tile), "{fault}");
    }
    let copy = copied(dir.path());
    std::fs::remove_dir_all(copy.path().join("tile")).unwrap();
    assert!(matches!(check(copy.path()), Err(Tampered::Tile(_))));
    drop(open(copy.path()));
    check(copy.path()).unwrap();

    std::fs::remove_dir_all(copy.path().join("tile")).unwrap();
    let mut all = lines(copy.path());
    let whole = all.clone();
    drop(all.remove(77));
    put(copy.path(), &all);
    assert!(matches!(check(copy.path()), Err(Tampered::Deleted { seq: 78, .. })));
    all = whole;
    all[77].1 = all[77].1.replace("get_issue", "set_issue");
    put(copy.path(), &all);
    let fault = check(copy.path()).unwrap_err();
    let near = |seq, last| seq <= 78 && last >= 78 && last - seq < 250;
    assert!(matches!(fault, Tampered::Changed { seq, last, .. } if near(seq, last)), "{fault}");
    assert!(matches!(Journal::open(copy.path(), options()), Err(AuditFault::Tampered(_))));
}

#[tokio::test]
async fn checkpoints_are_checked_and_forks_are_named() {
    let dir = tempfile::tempdir().unwrap();
    append(&open(dir.path()), 50).await;
    let base = check(dir.path()).unwrap();
    let fork = copied(dir.path());
    append(&open(dir.path()), 300).await;
    append(&open(fork.path()), 200).await;
    append(&open(fork.path()), 200).await;
    let kept = check(dir.path()).unwrap();
    let kept = Checkpoint { size: kept.size, root: kept.root };
    // Each is sound alone, and with what was kept of the other it is not.
    check(fork.path()).unwrap();
    let fault = verify_with(fork.path(), &key(fork.path()), &[kept]).unwrap_err();
    assert!(matches!(fault, Tampered::Forked { .. }), "{fault}");
    let theirs = check(fork.path()).unwrap();
    let other = Checkpoint { size: theirs.size, root: kept.root };
    let fault = verify_with(fork.path(), &key(fork.path()), &[other]).unwrap_err();
    assert!(matches!(fault, Tampered::Forked { size, .. } if size == theirs.size), "{fault}");
    // The history of one beside the records of the other.
    let ours = std::fs::read_to_string(dir.path().join("checkpoints.log")).unwrap();
    let theirs = std::fs::read_to_string(fork.path().join("checkpoints.log")).unwrap();
    let note = |text: &str, at: usize| {
        let ends: Vec<_> = text.match_indices("\n\n").map(|(at, _)| at).collect();
        text[if at == 0 { 0 } else { ends[2 * at - 1] + 2 }..ends[2 * at + 1] + 2].to_owned()
    };
    let shared = (0..).take_while(|at| note(&ours, *at) == note(&theirs, *at)).count();
    let mixed = ours.replace(&note(&ours, shared), &note(&theirs, shared));
    std::fs::write(dir.path().join("checkpoints.log"), mixed).unwrap();
    let fault = check(dir.path()).unwrap_err();
    assert!(matches!(fault, Tampered::Forked { after, .. } if after == base.size), "{fault}");

    let last = std::fs::read_to_string(dir.path().join("checkpoint")).unwrap();
    for (file, text) in [
        ("checkpoint", last.replacen(&kept.size.to_string(), &(kept.size + 1).to_string(), 1)),
        ("checkpoint", String::new()),
        ("checkpoints.log", ours.replacen("\n2", "\n3", 1).replacen("\n1", "\n7", 1)),
    ] {
        std::fs::write(dir.path().join("checkpoints.log"), &ours).unwrap();
        std::fs::write(dir.path().join("checkpoint"), &last).unwrap();
        check(dir.path()).unwrap();
        std::fs::write(dir.path().join(file), text).unwrap();
        let fault = check(dir.path()).unwrap_err();
        assert!(matches!(fault, Tampered::Checkpoint(_)), "{fault}");
    }
    for file in ["checkpoint", "checkpoints.log"] {
        std::fs::write(dir.path().join("checkpoint"), &last).unwrap();
        std::fs::remove_file(dir.path().join(file)).unwrap();
        assert!(matches!(check(dir.path()), Err(Tampered::Unsigned(_))));
    }
}

#[tokio::test]
async fn an_earlier_state_is_told_from_what_was_kept_elsewhere() {
    // Put back to an earlier state with all of its files.
    let old = tempfile::tempdir().unwrap();
    append(&open(old.path()), 50).await;
    let before = copied(old.path());
    append(&open(old.path()), 10).await;
    let now = check(old.path()).unwrap();
    let kept = Checkpoint { size: now.size, root: now.root };
    check(before.path()).unwrap();
    let fault = verify_with(before.path(), &key(before.path()), &[kept]).unwrap_err();
    assert!(matches!(fault, Tampered::Truncated { .. }), "{fault}");
    // Its key is gone: it is not gone on with under another.
    std::fs::remove_file(old.path().join("audit.key")).unwrap();
    assert!(matches!(Journal::open(old.path(), options()), Err(AuditFault::Io { .. })));
}

#[tokio::test]
async fn a_checkpoint_comes_when_the_interval_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let often = Options { checkpoint_every: Duration::from_millis(1), ..options() };
    let journal = Journal::open(dir.path(), often).unwrap();
    append(&journal, 1).await;
    // The journal stays open, and nothing more is written to it.
    while check(dir.path()).unwrap().size < 2 {
        tokio::task::yield_now().await;
    }
    journal.close().unwrap();
}

#[test]
fn a_tail_torn_at_any_byte_is_mended() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let journal =
        Journal::open(dir.path(), Options { max_file_bytes: 1 << 20, ..options() }).unwrap();
    runtime.block_on(append(&journal, 260));
    // As a kill leaves it: records that no checkpoint covers.
    let killed = copied(dir.path());
    journal.close().unwrap();
    let path = journals(killed.path()).pop().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let each = |cut: usize| {
        let copy = copied(killed.path());
        std::fs::write(copy.path().join(path.file_name().unwrap()), &bytes[..cut]).unwrap();
        drop(open(copy.path()));
        let verified = check(copy.path()).unwrap();
        assert!(verified.size == verified.records && verified.size >= 259, "{verified:?}");
    };
    // Through the last record into the one before it.
    let cuts: Vec<_> = ((bytes.len() - 130)..=bytes.len()).collect();
    std::thread::scope(|scope| {
        for cuts in cuts.chunks(17) {
            scope.spawn(|| cuts.iter().copied().for_each(each));
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_changed_byte_passes(file in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
        static DIR: std::sync::OnceLock<TempDir> = std::sync::OnceLock::new();
        let original = DIR.get_or_init(filled).path();
        let key = key(original);
        let dir = copied(original);
        let mut files = journals(dir.path());
        files.extend(["checkpoint", "checkpoints.log", "tile/0/000", "tile/0/001", "tile/1/000.p/2"].map(|name| dir.path().join(name)));
        let path = file.get(&files);
        let mut bytes = std::fs::read(path).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        std::fs::write(path, bytes).unwrap();
        prop_assert!(verify(dir.path(), &key).is_err(), "{path:?} {at}");
    }
}
