//! `bench journal`: how quick the journal is, without a gateway: written, verified, searched, proven.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context;
use audit::{
    Filter, Intended, Journal, Outcome, Payload, Record, VerifierKey, newest, prove, stats, verify,
};
use clap::Args;

/// How much is written.
#[derive(Args)]
pub struct Options {
    /// Records that are verified and searched.
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    /// Calls under way at once while durable records are counted.
    #[arg(long, default_value_t = 64)]
    callers: usize,
    /// How long durable records are counted.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Where the journal is made, on the disk that is meant [default: a temporary folder].
    #[arg(long)]
    folder: Option<PathBuf>,
}

pub fn run(options: &Options) -> anyhow::Result<()> {
    let temporary = tempfile::tempdir()?;
    let folder = options.folder.as_deref().unwrap_or(temporary.path());
    println!("| what | figure | unit |\n| --- | ---: | --- |");
    durable(&folder.join("durable"), options)?;
    let dir = folder.join("large");
    written(&dir, options.records)?;
    let (count, bytes) = size(&dir)?;
    row("bytes of a record", bytes as f64 / count as f64, "B");
    let key: VerifierKey = fs::read_to_string(dir.join("audit.pub"))?.parse()?;
    let (took, verified) = timed(|| verify(&dir, &key))?;
    anyhow::ensure!(verified.size == count, "{verified:?}");
    row("verify", count as f64 / took, "records/s");
    let (took, ()) = timed(|| audit::index(&dir))?;
    row("index, once", count as f64 / took, "records/s");
    searches(&dir)?;
    let (took, _) = timed(|| prove(&dir, count / 3))?;
    row("prove one record", took * 1e3, "ms");
    let (took, journal) = timed(|| Journal::open(&dir, audit::Options::default()))?;
    row("open", took * 1e3, "ms");
    journal.close()?;
    Ok(())
}

fn row(what: &str, figure: f64, unit: &str) {
    println!("| {what} | {figure:.1} | {unit} |");
}

fn timed<T, E>(run: impl FnOnce() -> Result<T, E>) -> Result<(f64, T), E> {
    let began = Instant::now();
    let result = run()?;
    Ok((began.elapsed().as_secs_f64(), result))
}

/// A call's records as the gateway makes them.
fn call(id: &str, number: u64) -> Record<'_> {
    const WHO: [&str; 5] = [
        "token:continuous-integration",
        "user:11111111-2222-3333-4444-555555555555/66666666-7777-8888-9999-000000000000",
        "user:11111111-2222-3333-4444-555555555555/77777777-7777-8888-9999-000000000000",
        "token:laptop",
        "workload:cluster/system:serviceaccount:tools:agent",
    ];
    const TOOLS: [(&str, &str); 4] = [
        ("github", "get_issue"),
        ("files", "read_file"),
        ("github", "search_code"),
        ("tracker", "list"),
    ];
    let (server, name) = TOOLS[(number % 4) as usize];
    Record {
        id,
        principal: WHO[(number / 7 % 5) as usize],
        client: "an agent",
        door: "http",
        era: "2026-07-28",
        server,
        // Some are rare.
        name: if number.is_multiple_of(10_007) { "delete_repository" } else { name },
        method: "tools/call",
        arguments: Some(Payload { sha256: [number as u8; 32], bytes: 57 }),
        rule: "role developers allow github/*",
        policy: "0123456789abcdef",
        definition: Some([7; 32]),
        bytes_in: Some(130),
        ..Record::default()
    }
}

fn ended(record: Record<'_>, number: u64) -> Record<'_> {
    let refused = number.is_multiple_of(997);
    Record {
        outcome: Some(if refused { Outcome::Refused } else { Outcome::Ok }),
        refusal: if refused { "denied" } else { "" },
        policy: "",
        credential: "authorization [text]${env:GITHUB_TOKEN}",
        bytes_out: Some(4_321),
        duration: Some(Duration::from_micros(12_345)),
        before: Some(Duration::from_micros(123)),
        upstream: Some(Duration::from_micros(12_000)),
        ..record
    }
}

/// Calls that each wait for their outcome's record, as replies do.
fn durable(dir: &Path, options: &Options) -> anyhow::Result<()> {
    let journal = Journal::open(dir, audit::Options::default())?;
    let end = Instant::now() + Duration::from_secs(options.seconds);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    let calls = runtime.block_on(async {
        let tasks: Vec<_> = (0..options.callers)
            .map(|caller| tokio::spawn(caller_of(journal.clone(), caller, end)))
            .collect();
        let mut calls = 0;
        for task in tasks {
            calls += task.await??;
        }
        anyhow::Ok(calls)
    })?;
    journal.close()?;
    let what = format!("durable records, {} calls at once, fdatasync", options.callers);
    row(&what, 2.0 * calls as f64 / options.seconds as f64, "records/s");
    Ok(())
}

async fn caller_of(journal: Journal, caller: usize, end: Instant) -> anyhow::Result<u64> {
    let mut calls = 0;
    while Instant::now() < end {
        let id = format!("c-{caller}-{calls}");
        let record = call(&id, calls);
        let intended: Intended = journal.intent(&record).await?;
        journal.outcome(intended, &ended(record, calls)).await?;
        calls += 1;
    }
    Ok(calls)
}

/// As many records as asked for, as quickly as they are taken.
fn written(dir: &Path, records: u64) -> anyhow::Result<()> {
    let options =
        audit::Options { checkpoint_every: Duration::from_secs(1), ..audit::Options::default() };
    let journal = Journal::open(dir, options)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let began = Instant::now();
    runtime.block_on(async {
        for number in 0..records / 2 {
            let id = format!("1f2e3d4c-{number}");
            let record = call(&id, number);
            let intended = loop {
                match journal.intent(&record).await {
                    Ok(intended) => break intended,
                    Err(audit::AuditFault::Overloaded) => std::thread::yield_now(),
                    Err(fault) => return Err(fault).context("the journal"),
                }
            };
            // Nobody waits for it: what is dropped is written all the same.
            drop(journal.outcome(intended, &ended(record, number)));
        }
        Ok(())
    })?;
    journal.close()?;
    row(
        "written, nobody waits, fdatasync",
        records as f64 / began.elapsed().as_secs_f64(),
        "records/s",
    );
    Ok(())
}

/// Records and their bytes.
fn size(dir: &Path) -> anyhow::Result<(u64, u64)> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            bytes += fs::metadata(path)?.len();
        }
    }
    let last = Journal::last(dir, 1)?;
    Ok((last.first().context("no records")?.seq, bytes))
}

fn searches(dir: &Path) -> anyhow::Result<()> {
    let text = |text: &str| Some(text.to_owned());
    let filters = [
        (
            "search: the newest 100 of one caller",
            Filter { who: text("77777777-"), ..Filter::default() },
        ),
        ("search: a rare tool", Filter { tool: text("github__delete_*"), ..Filter::default() }),
        (
            "search: what was refused to one",
            Filter { who: text("laptop"), refused: true, ..Filter::default() },
        ),
        (
            "search: a caller who was never here",
            Filter { who: text("nobody"), ..Filter::default() },
        ),
    ];
    for (what, filter) in filters {
        let (took, (found, _)) = timed(|| newest(dir, &filter, 100))?;
        row(&format!("{what} ({} found)", found.len()), took * 1e3, "ms");
    }
    let refused = Filter { refused: true, ..Filter::default() };
    let (took, counted) = timed(|| stats(dir, &refused))?;
    row(&format!("stats: what was refused ({} records)", counted.records), took * 1e3, "ms");
    Ok(())
}
