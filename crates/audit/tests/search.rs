//! Records are found, counted and followed from outside, with an index or without.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test"))]

use std::path::{Path, PathBuf};

use audit::{
    Entry, Filter, Journal, Kind, Options, Outcome, Record, Tail, index, newest, record, search,
    stats,
};

const CALLS: usize = 600;

/// A journal of many files: calls of three callers at two servers, every fifth refused.
async fn filled(dir: &Path) -> Journal {
    let options = Options { fsync: false, max_file_bytes: 8_000, ..Options::default() };
    let journal = Journal::open(dir, options).unwrap();
    for number in 0..CALLS {
        call(&journal, number).await;
    }
    journal
}

async fn call(journal: &Journal, number: usize) {
    let (id, who) = (format!("c-{number}"), format!("token:w{}", number % 3));
    let record = Record {
        id: &id,
        principal: &who,
        client: "Tester",
        server: if number.is_multiple_of(2) { "files" } else { "github" },
        method: "tools/call",
        name: if number.is_multiple_of(7) { "delete_file" } else { "get_issue" },
        ..Record::default()
    };
    if number.is_multiple_of(5) {
        let refused = Record {
            kind: Kind::Refusal,
            outcome: Some(Outcome::Refused),
            refusal: "denied",
            ..record
        };
        journal.append(&refused).await.unwrap();
    } else {
        let intended = journal.intent(&record).await.unwrap();
        let outcome = Record { outcome: Some(Outcome::Ok), ..record };
        journal.outcome(intended, &outcome).await.unwrap();
    }
}

fn indexes(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "idx"));
    files.sort();
    files
}

fn filters() -> Vec<Filter> {
    let text = |text: &str| Some(text.to_owned());
    vec![
        Filter::default(),
        Filter { events: true, ..Filter::default() },
        Filter { who: text("W1"), ..Filter::default() },
        Filter { who: text("tester"), server: text("github"), ..Filter::default() },
        Filter { tool: text("files__delete*"), ..Filter::default() },
        Filter { tool: text("*issue"), refused: true, ..Filter::default() },
        Filter { failed: true, who: text("w0"), ..Filter::default() },
        Filter { kind: Some(Kind::Outcome), outcome: Some(Outcome::Ok), ..Filter::default() },
        Filter { id: text("c-77"), ..Filter::default() },
        Filter { who: text("nobody"), ..Filter::default() },
    ]
}

#[tokio::test]
async fn what_is_found_is_what_matches_whatever_the_index_says() {
    let dir = tempfile::tempdir().unwrap();
    let journal = filled(dir.path()).await;
    let all: Vec<Entry> = Journal::read(dir.path()).unwrap().map(Result::unwrap).collect();
    assert!(indexes(dir.path()).is_empty());
    index(dir.path()).unwrap();
    let kept = indexes(dir.path());
    assert!(kept.len() > 10);
    // One is gone, one is another file's, one is rubbish.
    std::fs::remove_file(&kept[1]).unwrap();
    std::fs::copy(&kept[2], &kept[3]).unwrap();
    std::fs::write(&kept[4], "rubbish").unwrap();
    for filter in filters() {
        let expected: Vec<&Entry> = all.iter().filter(|entry| filter.matches(entry)).collect();
        let found: Vec<Entry> =
            search(dir.path(), filter.clone()).unwrap().map(Result::unwrap).collect();
        assert!(found.iter().eq(expected.iter().copied()), "{filter:?}");
        for count in [1, 7, all.len()] {
            let (last, more) = newest(dir.path(), &filter, count).unwrap();
            let skipped = expected.len().saturating_sub(count);
            assert!(last.iter().eq(expected[skipped..].iter().copied()), "{filter:?}");
            assert_eq!(more, skipped > 0, "{filter:?}");
        }
        let counted = stats(dir.path(), &filter).unwrap();
        assert_eq!(counted.records, expected.len() as u64, "{filter:?}");
        let refused = expected.iter().filter(|entry| entry.text("refusal") == "denied").count();
        assert_eq!(
            counted.values.get("refusal").and_then(|of| of.get("denied")).copied().unwrap_or(0),
            refused as u64,
            "{filter:?}"
        );
    }
    assert_eq!(indexes(dir.path()), kept);
    assert_eq!(record(dir.path(), 42).unwrap().as_ref(), Some(&all[41]));
    assert_eq!(record(dir.path(), all.len() as u64 + 1).unwrap(), None);
    drop(journal);
}

#[tokio::test]
async fn times_bound_what_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let journal = filled(dir.path()).await;
    let all: Vec<Entry> = Journal::read(dir.path()).unwrap().map(Result::unwrap).collect();
    let (since, until) = (&all[200].time, &all[700].time);
    let filter = Filter {
        since: Some(since.parse().unwrap()),
        until: Some(until.parse().unwrap()),
        ..Filter::default()
    };
    let expected = all.iter().filter(|entry| entry.time >= *since && entry.time < *until);
    let found: Vec<Entry> =
        search(dir.path(), filter.clone()).unwrap().map(Result::unwrap).collect();
    assert!(found.iter().eq(expected));
    assert_eq!(stats(dir.path(), &filter).unwrap().records, found.len() as u64);
    let later = "2100-01-01T00:00:00Z".parse().unwrap();
    let filter = Filter { since: Some(later), ..Filter::default() };
    assert_eq!(newest(dir.path(), &filter, 9).unwrap(), (Vec::new(), false));
    drop(journal);
}

#[tokio::test]
async fn a_line_that_is_no_record_is_not_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path()).await);
    let path = dir.path().join(format!("journal-{:020}.jsonl", 1));
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("\"kind\":\"intent\"", "\"kind\":intent", 1)).unwrap();
    let filter = Filter { who: Some("nobody".into()), ..Filter::default() };
    assert!(search(dir.path(), filter.clone()).unwrap().any(|entry| entry.is_err()));
    assert!(newest(dir.path(), &filter, 1).is_err());
}

#[tokio::test]
async fn what_is_added_is_seen_from_outside() {
    let dir = tempfile::tempdir().unwrap();
    let journal = filled(dir.path()).await;
    let mut tail = Tail::new(dir.path()).unwrap();
    let before = Journal::read(dir.path()).unwrap().count();
    assert_eq!(tail.look().unwrap(), []);
    let mut seen = Vec::new();
    for number in 0..CALLS {
        call(&journal, number).await;
        if number % 50 == 0 {
            seen.extend(tail.look().unwrap());
        }
    }
    journal.close().unwrap();
    seen.extend(tail.look().unwrap());
    let all: Vec<Entry> = Journal::read(dir.path()).unwrap().map(Result::unwrap).collect();
    assert_eq!(seen, all[before..]);
}
