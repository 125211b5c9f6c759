//! `bench models`: how much later a model's answer of one event is there through the gateway. Its end waits until the
//! call's record is durable.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::ensure;
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

const ANSWER: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello\"}}]}\n\n";
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
    let model = answer::always("text/event-stream", ANSWER).await?;
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
            let took = begun.elapsed();
            ensure!(head.status == 200 && head.sse, "status {}", head.status);
            ensure!(way.connection.body() == ANSWER.as_bytes(), "another answer");
            // The first ones warm both up.
            if turn >= 100 {
                way.times.push(took);
            }
        }
    }
    let [direct, through] = &mut ways;
    let [p50, p99] = [50, 99].map(|at| (direct.percentile(at), through.percentile(at)));
    Ok(vec![
        extra("later at the median", p50.1 - p50.0, "µs", ""),
        extra("p50, the model alone", p50.0, "µs", ""),
        extra("p50, through the gateway", p50.1, "µs", ""),
        extra("p99, the model alone", p99.0, "µs", ""),
        extra("p99, through the gateway", p99.1, "µs", ""),
    ])
}

/// A connection and what is asked on it.
struct Way {
    connection: Connection,
    request: String,
    times: Vec<Duration>,
}

impl Way {
    async fn open(authority: &str, path: &str) -> anyhow::Result<Way> {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {authority}\r\ncontent-type: application/json\r\nauthorization: Bearer none\r\n\
             content-length: {}\r\n\r\n{ASKED}",
            ASKED.len()
        );
        Ok(Way { connection: Connection::open(authority).await?, request, times: Vec::new() })
    }

    fn percentile(&mut self, percent: usize) -> f64 {
        self.times.sort_unstable();
        self.times[(self.times.len() - 1) * percent / 100].as_secs_f64() * 1e6
    }
}
