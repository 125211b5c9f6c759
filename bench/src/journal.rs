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
    for fsync in [true, false] {
        for callers in [1, options.callers] {
            durable(&folder.join(format!("durable-{fsync}-{callers}")), fsync, callers, options)?;
        }
    }
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
        request: Some([number as u8; 32]),
        catalogue: Some([9; 32]),
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
        request: None,
        catalogue: None,
        credential: "authorization [text]${env:GITHUB_TOKEN}",
        bytes_out: Some(4_321),
        duration: Some(Duration::from_micros(12_345)),
        before: Some(Duration::from_micros(123)),
        credential_took: Some(Duration::from_micros(2)),
        upstream: Some(Duration::from_micros(12_000)),
        ..record
    }
}

/// Calls that each wait for their outcome's record, as replies do. All that the log does in the way of a call is
/// what is measured here: a gateway without one would be quicker by it.
fn durable(dir: &Path, fsync: bool, callers: usize, options: &Options) -> anyhow::Result<()> {
    let journal = Journal::open(dir, audit::Options { fsync, ..audit::Options::default() })?;
    let end = Instant::now() + Duration::from_secs(options.seconds);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    let mut waited = runtime.block_on(async {
        let tasks: Vec<_> = (0..callers)
            .map(|caller| tokio::spawn(caller_of(journal.clone(), caller, end)))
            .collect();
        let mut waited = Vec::new();
        for task in tasks {
            waited.append(&mut task.await??);
        }
        anyhow::Ok(waited)
    })?;
    journal.close()?;
    waited.sort_unstable();
    let disk = if fsync { "fdatasync" } else { "no fdatasync" };
    let what = format!("{callers} calls at once, {disk}");
    let records = 2.0 * waited.len() as f64 / options.seconds as f64;
    row(&format!("durable records, {what}"), records, "records/s");
    for (name, share) in [("p50", 50), ("p99", 99)] {
        let at = waited.get(waited.len() * share / 100).context("no call ended")?;
        row(&format!("added to a call, {what}, {name}"), at.as_secs_f64() * 1e6, "µs");
    }
    Ok(())
}

/// How long the records of each call took.
async fn caller_of(journal: Journal, caller: usize, end: Instant) -> anyhow::Result<Vec<Duration>> {
    let mut waited = Vec::new();
    while Instant::now() < end {
        let number = waited.len() as u64;
        let id = format!("c-{caller}-{number}");
        let began = Instant::now();
        let record = call(&id, number);
        let intended: Intended = journal.intent(&record).await?;
        journal.outcome(intended, &ended(record, number)).await?;
        waited.push(began.elapsed());
    }
    Ok(waited)
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
