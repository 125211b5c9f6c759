//! What calls said is there for the auditor, and for nobody else; without it the log verifies.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test"))]

use std::path::{Path, PathBuf};
use std::time::Duration;

use audit::{
    Body, Identity, Journal, Kind, OpenFault, Options, Outcome, Payload, Record, Retention,
    SealFault, VerifierKey, open_payload, seal, sealed_payload,
};

const IDENTITY: &str = "AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0";
const RECIPIENT: &str = "age1xmwwc06ly3ee5rytxm9mflaz2u56jjj36s0mypdrwsvlul66mv4q47ryef";
const ARGUMENTS: &[u8] = br#"{"title":"who may read this?"}"#;
const RESULT: &[u8] = br#"{"content":[]}"#;

fn open(dir: &Path) -> Journal {
    Journal::open(dir, Options { max_file_bytes: 20_000, ..Options::default() }).unwrap()
}

fn identity() -> Identity {
    Identity::read(IDENTITY).unwrap()
}

fn sealed(body: &[u8]) -> Vec<u8> {
    seal(&[RECIPIENT.parse().unwrap()], body).unwrap()
}

/// One call; the numbers of its records.
async fn call(journal: &Journal) -> (u64, u64) {
    let (arguments, result) = (sealed(ARGUMENTS), sealed(RESULT));
    let record = Record { id: "c-1", arguments: Some(Payload::of(ARGUMENTS)), ..Record::default() };
    let intent = Record { body: Body::Sealed(&arguments), ..record };
    let intended = journal.intent(&intent).await.unwrap();
    let begun = intended.seq();
    let body = Body::Sealed(&result);
    let outcome = Record { body, outcome: Some(Outcome::Ok), ..record };
    (begun, journal.outcome(intended, &outcome).await.unwrap().seq())
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "sealed"));
    files.sort();
    files
}

fn verify(dir: &Path) {
    let key = std::fs::read_to_string(dir.join("audit.pub")).unwrap();
    let key: VerifierKey = key.trim().parse().unwrap();
    audit::verify(dir, &key).unwrap();
}

#[tokio::test]
async fn the_auditor_opens_what_was_sealed_and_nothing_else_tells_it() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let (intent, outcome) = call(&journal).await;
    let body = Body::TooLarge;
    let large = journal.append(&Record { kind: Kind::Refusal, body, ..Record::default() });
    let large = large.await.unwrap().seq();
    journal.close().unwrap();
    assert_eq!(open_payload(dir.path(), intent, &identity()).unwrap(), ARGUMENTS);
    assert_eq!(open_payload(dir.path(), outcome, &identity()).unwrap(), RESULT);
    let entry = audit::record(dir.path(), intent).unwrap().unwrap();
    let bytes = sealed_payload(dir.path(), intent).unwrap();
    assert_eq!(entry.number("payload_bytes"), Some(bytes.len() as u64));
    let missing = open_payload(dir.path(), large, &identity()).unwrap_err();
    assert!(matches!(missing, OpenFault::Nothing(seq) if seq == large), "{missing}");
    let entry = audit::record(dir.path(), large).unwrap().unwrap();
    assert_eq!(entry.text("payload"), "too_large");
    assert!(matches!(sealed_payload(dir.path(), 99), Err(OpenFault::NoRecord(99))));
    let held = |path: PathBuf| std::fs::read(path).unwrap_or_default();
    let all = std::fs::read_dir(dir.path()).unwrap().map(|entry| held(entry.unwrap().path()));
    let all = all.collect::<Vec<_>>().concat();
    assert!(!all.windows(8).any(|part| part == &ARGUMENTS[..8] || part == &RESULT[..8]));
    verify(dir.path());
}

#[tokio::test]
async fn other_bytes_than_were_recorded_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let (intent, outcome) = call(&journal).await;
    // Whoever seals may lie: the digest of the arguments tells.
    let lie = sealed(b"{}");
    let arguments = Some(Payload::of(ARGUMENTS));
    let record = Record { kind: Kind::Refusal, arguments, ..Record::default() };
    let lied = Record { body: Body::Sealed(&lie), ..record };
    let lied = journal.append(&lied).await.unwrap().seq();
    journal.close().unwrap();
    let fault = open_payload(dir.path(), lied, &identity()).unwrap_err();
    assert!(matches!(fault, OpenFault::Changed(_)), "{fault}");
    let path = &files(dir.path())[0];
    let whole = std::fs::read(path).unwrap();
    for at in (0..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(path, bytes).unwrap();
        for seq in [intent, outcome] {
            match open_payload(dir.path(), seq, &identity()) {
                Ok(opened) => assert!(opened == ARGUMENTS || opened == RESULT),
                Err(OpenFault::Changed(_) | OpenFault::Gone(_)) => {}
                Err(fault) => panic!("{at}: {fault}"),
            }
        }
    }
    std::fs::write(path, &whole).unwrap();
    let stranger = sealed_payload(dir.path(), intent).unwrap();
    assert!(stranger.starts_with(b"age-encryption.org/v1\n"));
}

#[tokio::test]
async fn payloads_go_and_the_log_stays() {
    let dir = tempfile::tempdir().unwrap();
    let mut calls = Vec::new();
    for _ in 0..3 {
        let journal = open(dir.path());
        calls.push(call(&journal).await.0);
        journal.close().unwrap();
    }
    assert_eq!(files(dir.path()).len(), 3);
    let journal = open(dir.path());
    assert_eq!(journal.prune_payloads(Retention::default()).await.unwrap(), 0);
    let keep = Retention { bytes: Some(1), ..Retention::default() };
    assert_eq!(journal.prune_payloads(keep).await.unwrap(), 2);
    let young = Retention { age: Some(Duration::from_secs(3600)), ..Retention::default() };
    assert_eq!(journal.prune_payloads(young).await.unwrap(), 0);
    // The newest file stays, since it may be written to.
    assert!(matches!(sealed_payload(dir.path(), calls[1]), Err(OpenFault::Gone(_))));
    assert_eq!(open_payload(dir.path(), calls[2], &identity()).unwrap(), ARGUMENTS);
    let last = Journal::last(dir.path(), 1).unwrap().remove(0);
    assert_eq!(last.kind, Kind::Retention);
    assert!(last.text("detail").contains("sealed payloads"), "{last:?}");
    journal.close().unwrap();
    verify(dir.path());
}

#[tokio::test]
async fn what_a_crash_left_of_a_record_that_never_was_is_no_payload_of_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let (_, last) = call(&journal).await;
    journal.close().unwrap();
    // The end of the gateway is a record, too.
    let next = Journal::last(dir.path(), 1).unwrap()[0].seq + 1;
    assert!(next > last);
    let orphan = dir.path().join(format!("payload-{next:020}.sealed"));
    std::fs::write(&orphan, format!("{next} 4\nlost\n")).unwrap();
    let journal = open(dir.path());
    assert!(!orphan.exists());
    let (intent, _) = call(&journal).await;
    journal.close().unwrap();
    assert_eq!(open_payload(dir.path(), intent, &identity()).unwrap(), ARGUMENTS);
}

#[test]
fn it_was_not_sealed_for_everybody() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let intent = runtime.block_on(async {
        let journal = open(dir.path());
        let (intent, _) = call(&journal).await;
        journal.close().unwrap();
        intent
    });
    let other = "AGE-SECRET-KEY-1XLS8V9YY2HKFFU3QWGHWC7CUTY9A08NSSZU8MAQHECDJC2E26EJQHS7AG7";
    let fault = open_payload(dir.path(), intent, &Identity::read(other).unwrap()).unwrap_err();
    assert!(matches!(fault, OpenFault::Sealed(_, SealFault::Stranger)), "{fault}");
}
