//! Receipts prove what they say, here and in another language; records are found.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test"))]

use std::path::Path;
use std::process::Command;

use audit::{
    CheckFault, Filter, Journal, Kind, Options, Outcome, ProveFault, Record, VerifierKey, check,
    prove, search, verify,
};
use proptest::prelude::*;
use tempfile::TempDir;

fn filled(count: u32) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let options = Options { fsync: false, max_file_bytes: 10_000, ..Options::default() };
    let journal = Journal::open(dir.path(), options).unwrap();
    for number in 0..count {
        let refused = number % 10 == 0;
        let record = Record {
            kind: if refused { Kind::Refusal } else { Kind::System },
            principal: if number % 3 == 0 { "Alice é" } else { "bob" },
            server: if number % 2 == 0 { "github" } else { "files" },
            name: if number % 7 == 0 { "get_issue" } else { "read" },
            outcome: refused.then_some(Outcome::Refused),
            ..Record::default()
        };
        runtime.block_on(journal.append(&record)).unwrap();
    }
    journal.close().unwrap();
    dir
}

fn key(dir: &Path) -> VerifierKey {
    std::fs::read_to_string(dir.join("audit.pub")).unwrap().parse().unwrap()
}

/// What the script says of a receipt.
fn script(receipt: &str, key: &str) -> Option<(bool, String)> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("receipt.tlog-proof");
    std::fs::write(&file, receipt).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/verify/check_receipt.py");
    let output = Command::new("python3")
        .args([script.as_ref(), file.as_os_str(), key.as_ref()])
        .env("PYTHONIOENCODING", "utf-8")
        .output();
    // Where there is no Python, the rest of the test still says something.
    let output = output.ok()?;
    Some((output.status.success(), String::from_utf8(output.stdout).unwrap().trim_end().to_owned()))
}

#[test]
fn a_receipt_proves_its_record_also_to_another_implementation() {
    let dir = filled(600);
    let key = key(dir.path());
    let newest = verify(dir.path(), &key).unwrap().size;
    for seq in [1, 2, 255, 256, 257, 511, 512, 513, newest] {
        let receipt = prove(dir.path(), seq).unwrap();
        let proven = check(&receipt, &key).unwrap();
        assert_eq!((proven.seq, proven.checkpoint.size), (seq, newest));
        let text = key.to_string();
        let to_script = [1, 257, newest].contains(&seq);
        if to_script && let Some(said) = script(&receipt, &text) {
            assert_eq!(said, (true, proven.record.clone()), "{receipt}");
        }
        let moved = receipt.replace(&format!("index {}\n", seq - 1), &format!("index {seq}\n"));
        assert_eq!(check(&moved, &key), Err(CheckFault::Proof));
        let resized = receipt.replace(&format!("\n{newest}\n"), &format!("\n{}\n", newest + 1));
        assert_eq!(check(&resized, &key), Err(CheckFault::Checkpoint));
        for forged in [&moved, &resized].into_iter().filter(|_| seq == 257) {
            assert!(script(forged, &text).is_none_or(|(fine, _)| !fine));
        }
    }
    assert!(matches!(prove(dir.path(), 0), Err(ProveFault::Missing(0))));
    assert!(matches!(prove(dir.path(), newest + 1), Err(ProveFault::Missing(_))));
    // Without tiles the records do.
    let whole = prove(dir.path(), 300).unwrap();
    std::fs::remove_dir_all(dir.path().join("tile")).unwrap();
    assert_eq!(prove(dir.path(), 300).unwrap(), whole);
    let other = filled(1);
    let other = std::fs::read_to_string(other.path().join("audit.pub")).unwrap();
    assert_eq!(check(&whole, &other.parse().unwrap()), Err(CheckFault::Checkpoint));
}

#[test]
fn records_are_found() {
    let dir = filled(420);
    let found =
        |filter| search(dir.path(), filter).unwrap().map(Result::unwrap).collect::<Vec<_>>();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(found(Filter { who: text("ALICE"), ..Filter::default() }).len(), 140);
    assert_eq!(found(Filter { server: text("github"), ..Filter::default() }).len(), 210);
    assert_eq!(found(Filter { tool: text("github__*"), ..Filter::default() }).len(), 210);
    assert_eq!(found(Filter { tool: text("get_*"), ..Filter::default() }).len(), 60);
    assert_eq!(found(Filter { refused: true, ..Filter::default() }).len(), 42);
    let all = found(Filter::default());
    let (since, until) = (&all[100].time, &all[300].time);
    let between = found(Filter {
        since: Some(since.parse().unwrap()),
        until: Some(until.parse().unwrap()),
        ..Filter::default()
    });
    let expected = all.iter().filter(|entry| entry.time >= *since && entry.time < *until);
    assert!(between.iter().eq(expected) && between.len() > 100);
}

proptest! {
    #[test]
    fn no_changed_receipt_passes_and_none_panics(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        static RECEIPT: std::sync::OnceLock<(String, VerifierKey)> = std::sync::OnceLock::new();
        let (receipt, key) = RECEIPT.get_or_init(|| {
            let dir = filled(300);
            (prove(dir.path(), 77).unwrap(), key(dir.path()))
        });
        let mut bytes = receipt.as_bytes().to_vec();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != byte);
        bytes[at] = byte;
        let changed = String::from_utf8_lossy(&bytes);
        prop_assert!(check(&changed, key).is_err());
        bytes.truncate(cut.index(bytes.len()));
        prop_assert!(check(&String::from_utf8_lossy(&bytes), key).is_err());
    }
}
