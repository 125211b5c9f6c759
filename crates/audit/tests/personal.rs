//! Who is forgotten is gone from the records, and the log is what was signed.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test"))]

use std::path::Path;

use audit::{Entry, Filter, Journal, Kind, Options, Record, forget, newest, search, stats, verify};

fn open(dir: &Path) -> Journal {
    let options =
        Options { fsync: false, sealed: true, max_file_bytes: 5_000, ..Options::default() };
    Journal::open(dir, options).unwrap()
}

async fn refused(journal: &Journal, principal: &str) {
    let detail = format!("{principal} wanted too much");
    let record = Record {
        kind: Kind::Refusal,
        id: "c-1",
        principal,
        client: "Some laptop",
        agent: "agent-7",
        address: Some("203.0.113.7".parse().unwrap()),
        server: "github",
        detail: &detail,
        ..Record::default()
    };
    journal.append(&record).await.unwrap();
}

fn of(dir: &Path, who: &str) -> Vec<Entry> {
    let filter = Filter { who: Some(who.into()), ..Filter::default() };
    search(dir, filter).unwrap().map(Result::unwrap).collect()
}

fn everything(dir: &Path) -> String {
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.is_file());
    files.map(|path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()).collect()
}

#[tokio::test]
async fn who_is_forgotten_is_gone_and_the_log_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    for _ in 0..20 {
        refused(&journal, "user:corp/alice").await;
        refused(&journal, "user:corp/alice#session").await;
        refused(&journal, "user:corp/bob").await;
        refused(&journal, "owner").await;
    }
    journal.close().unwrap();
    let text = everything(dir.path());
    for secret in ["alice", "bob", "laptop", "203.0.113.7", "agent-7"] {
        let owners = text.lines().filter(|line| line.contains(secret));
        assert!(owners.clone().all(|line| line.contains("\"principal\":\"owner\"")), "{secret}");
    }
    // The owner reads them as ever, with the index and without.
    audit::index(dir.path()).unwrap();
    let alice = of(dir.path(), "ALICE");
    assert_eq!(alice.len(), 40);
    assert_eq!(alice[0].text("principal"), "user:corp/alice");
    assert_eq!(alice[0].text("client"), "Some laptop");
    assert_eq!(alice[1].text("detail"), "user:corp/alice#session wanted too much");
    assert_eq!(alice[0].text("sealed"), "");
    assert_eq!(newest(dir.path(), &Filter::default(), 1).unwrap().0.len(), 1);

    let key = std::fs::read_to_string(dir.path().join("audit.pub")).unwrap().parse().unwrap();
    let before = verify(dir.path(), &key).unwrap();
    let word = forget(dir.path(), "user:corp/alice").unwrap().unwrap();
    assert_eq!(forget(dir.path(), "user:corp/alice").unwrap(), None);
    assert_eq!(of(dir.path(), "alice"), []);
    assert_eq!(of(dir.path(), "bob").len(), 20);
    assert_eq!(verify(dir.path(), &key).unwrap(), before);
    // What they did is still counted, of somebody.
    let kept = of(dir.path(), &word);
    assert_eq!(kept.len(), 40);
    assert!(
        kept.iter()
            .all(|entry| entry.text("server") == "github" && !entry.text("sealed").is_empty())
    );
    let counted = stats(dir.path(), &Filter::default()).unwrap();
    assert_eq!(counted.values["principal"][&word], 40);

    // Whoever comes back is somebody else.
    let journal = open(dir.path());
    refused(&journal, "user:corp/alice").await;
    assert_eq!(of(dir.path(), "alice").len(), 1);
}

#[tokio::test]
async fn a_running_journal_notices() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    refused(&journal, "user:corp/alice").await;
    let word = forget(dir.path(), "user:corp/alice").unwrap().unwrap();
    assert_eq!(journal.notice_forgotten().await.unwrap(), 1);
    refused(&journal, "user:corp/alice").await;
    let alice = of(dir.path(), "alice");
    assert_eq!(alice.len(), 1);
    let noted =
        newest(dir.path(), &Filter { kind: Some(Kind::System), ..Filter::default() }, 1).unwrap().0;
    assert!(noted[0].text("detail").contains(&word), "{noted:?}");
    assert_eq!(journal.notice_forgotten().await.unwrap(), 0);
}
