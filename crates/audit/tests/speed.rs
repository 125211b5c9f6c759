//! How quick it is: `cargo test --release -p audit --test speed -- --ignored --nocapture`.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test"))]

use std::time::{Duration, Instant};

use audit::{Filter, Journal, Kind, Options, Record, VerifierKey, prove, search, verify};

const RECORDS: u32 = 1_000_000;

fn timed<T>(what: &str, count: u64, run: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let result = run();
    let seconds = begin.elapsed().as_secs_f64();
    println!("{what}: {seconds:.3} s, {:.0}/s", count as f64 / seconds);
    result
}

#[test]
#[ignore = "a measurement"]
fn records_per_second() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { checkpoint_every: Duration::from_secs(1), ..Options::default() };
    let journal = Journal::open(dir.path(), options).unwrap();
    let write = || {
        for number in 0..RECORDS {
            let record = Record {
                kind: Kind::Refusal,
                id: "c-01234567",
                principal: "token:continuous-integration",
                client: "cli 1.2.3",
                server: if number % 1000 == 0 { "github" } else { "files" },
                method: "tools/call",
                name: "get_issue",
                rule: "role dev allow github/*",
                ..Record::default()
            };
            // Nobody waits: dropped, it is written all the same.
            while journal.fault().is_none() {
                let mut append = std::pin::pin!(journal.append(&record));
                let mut context = std::task::Context::from_waker(std::task::Waker::noop());
                match append.as_mut().poll(&mut context) {
                    std::task::Poll::Ready(Err(_)) => std::thread::yield_now(),
                    _ => break,
                }
            }
        }
        journal.close().unwrap();
    };
    let count = u64::from(RECORDS);
    timed("append, fsync", count, write);
    let key: VerifierKey =
        std::fs::read_to_string(dir.path().join("audit.pub")).unwrap().parse().unwrap();
    let verified = timed("verify", count, || verify(dir.path(), &key).unwrap());
    assert!(verified.size >= count);
    println!("{verified:?}");
    timed("prove", 1, || prove(dir.path(), 777_777).unwrap());
    let filter = Filter { server: Some("github".into()), ..Filter::default() };
    let found = timed("search by server", count, || search(dir.path(), filter).unwrap().count());
    assert_eq!(found, 1000);
    let filter = Filter { who: Some("nobody".into()), ..Filter::default() };
    timed("search by who", count, || assert_eq!(search(dir.path(), filter).unwrap().count(), 0));
    drop(timed("open", 1, || Journal::open(dir.path(), Options::default()).unwrap()));
    std::fs::remove_dir_all(dir.path().join("tile")).unwrap();
    timed("open without tiles", count, || Journal::open(dir.path(), Options::default()).unwrap());
}
