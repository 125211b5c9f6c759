//! `bench models`: how much later a model's answer is there through the gateway: its first event, and its end, which
//! waits until the call's record is durable.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use bench::{client::Connection, target::Programs};
use clap::Args;

use crate::{
    Output, answer,
    extras::{Extra, extra},
    table,
};

/// What the way through the gateway costs.
#[derive(Args)]
pub struct Options {
    /// The gateway.
    #[arg(long, default_value = "target/release/bartizan")]
    bartizan: PathBuf,
    /// Requests of each way.
    #[arg(long, default_value_t = 3000)]
    requests: usize,
    /// A table or JSON.
    #[arg(long, default_value = "table")]
    output: Output,
}

/// What the first event may take longer (issue 4).
const BUDGET: &str = "200";
/// The model thinks so long before its second event.
const PAUSE: Duration = Duration::from_millis(1);
const EVENTS: [&str; 3] = [
    "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello\"}}]}\n\n",
    "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: [DONE]\n\n",
];
const ASKED: &str =
    r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"Say hello."}]}"#;

/// Measures and prints.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let rows = runtime.block_on(measure(options))?;
    table::show(options.output, &rows);
    Ok(())
}

async fn measure(options: &Options) -> anyhow::Result<Vec<Extra>> {
    let programs = Programs::new(options.bartizan.clone())?;
    let folder = tempfile::tempdir()?;
    let model = answer::events(&EVENTS, PAUSE).await?;
    let gateway = programs.model(folder.path(), model)?;
    let authority = gateway.process()?.authority();
    let mut ways = [
        Way::open(&model.to_string(), "/v1/chat/completions").await?,
        Way::open(&authority, "/models/bench/v1/chat/completions").await?,
    ];
    for turn in 0..options.requests + 100 {
        for way in &mut ways {
            let begun = Instant::now();
            let head = way.connection.exchange(&way.request).await?;
            let whole = begun.elapsed();
            let first = way.connection.first().context("an answer without a body")? - begun;
            ensure!(head.status == 200 && head.sse, "status {}", head.status);
            ensure!(way.connection.body() == EVENTS.concat().as_bytes(), "another answer");
            // The first ones warm both up.
            if turn >= 100 {
                way.first.push(first);
                way.whole.push(whole);
            }
        }
    }
    let [direct, through] = &mut ways;
    let mut rows = Vec::new();
    for (what, alone, behind, budget) in [
        ("first event", &mut direct.first, &mut through.first, BUDGET),
        ("end", &mut direct.whole, &mut through.whole, ""),
    ] {
        let [p50, p99] = [50, 99].map(|at| (percentile(alone, at), percentile(behind, at)));
        let row = |what: String, figure| extra(&what, figure, "µs", "");
        rows.push(extra(&format!("{what}, later at the median"), p50.1 - p50.0, "µs", budget));
        rows.push(row(format!("{what}, p50, the model alone"), p50.0));
        rows.push(row(format!("{what}, p50, through the gateway"), p50.1));
        rows.push(row(format!("{what}, p99, the model alone"), p99.0));
        rows.push(row(format!("{what}, p99, through the gateway"), p99.1));
    }
    Ok(rows)
}

/// A connection and what is asked on it.
struct Way {
    connection: Connection,
    request: String,
    /// Until the first event was here.
    first: Vec<Duration>,
    /// Until everything was.
    whole: Vec<Duration>,
}

impl Way {
    async fn open(authority: &str, path: &str) -> anyhow::Result<Way> {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {authority}\r\ncontent-type: application/json\r\nauthorization: Bearer none\r\n\
             content-length: {}\r\n\r\n{ASKED}",
            ASKED.len()
        );
        let connection = Connection::open(authority).await?;
        Ok(Way { connection, request, first: Vec::new(), whole: Vec::new() })
    }
}

fn percentile(times: &mut [Duration], percent: usize) -> f64 {
    times.sort_unstable();
    times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e6
}
