//! `bench telemetry`: what telling everything costs a call: traces and metrics to a collector, alerts watched,
//! against the same gateway that tells nobody. Metrics are counted in all of them: they can't be switched off.

use std::{path::PathBuf, time::Duration};

use bench::{
    client::first_answer,
    echo::Era,
    load::{Figures, Plan, run as load},
    target::{Programs, Setting, Upstream},
    wire::{Endpoint, Payload},
};
use clap::Args;

use crate::{
    Output, answer,
    extras::{Extra, extra},
    table,
};

/// What telling everything costs.
#[derive(Args)]
pub struct Options {
    /// The gateway.
    #[arg(long, default_value = "target/release/bartizan")]
    bartizan: PathBuf,
    /// Rounds of each, in turn.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of a round.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Callers at once.
    #[arg(long, default_value_t = 16)]
    concurrency: usize,
    /// A table or JSON.
    #[arg(long, default_value = "table")]
    output: Output,
}

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
    let upstream = programs.upstream("127.0.0.1:0", folder.path())?;
    let collector = answer::always("application/json", "{}").await?;
    let mut gateways = Vec::new();
    for (name, collector) in
        [("off", None), ("ten", Some((collector, 10))), ("all", Some((collector, 100)))]
    {
        let setting = Setting { collector, ..Setting::default() };
        let upstream = Upstream::Http(upstream.url.clone());
        let gateway = programs.gateway(&folder.path().join(name), &upstream, setting)?;
        let endpoint = endpoint(&gateway.process()?.authority());
        first_answer(&endpoint, Duration::from_secs(20)).await?;
        gateways.push((gateway, endpoint, Vec::new()));
    }
    // In turn, so that a noisy moment of the machine hits both.
    for _ in 0..options.rounds {
        for (gateway, endpoint, rounds) in &mut gateways {
            let plan = Plan {
                endpoint: endpoint.clone(),
                payload: Payload::Echo,
                concurrency: options.concurrency,
                warm_up: 50,
                duration: Duration::from_secs(options.seconds),
                calls: u64::MAX,
                pids: vec![gateway.process()?.pid()],
            };
            rounds.push(load(&plan).await?);
        }
    }
    let merged: Vec<Figures> =
        gateways.iter().map(|(_, _, rounds)| Figures::merge(rounds)).collect();
    let [off, ten, all] = merged.as_slice() else { anyhow::bail!("three gateways were measured") };
    let more = |on: &Figures| (on.cpu_us / off.cpu_us - 1.0) * 100.0;
    let mut rows = vec![
        extra("more CPU of a call, one in ten traced", more(ten), "%", "≤ 5"),
        extra("more CPU of a call, all traced", more(all), "%", ""),
    ];
    let kinds = [("nothing told", off), ("one in ten traced", ten), ("all traced", all)];
    for (name, figures) in kinds {
        rows.push(extra(&format!("CPU of a call, {name}"), figures.cpu_us, "µs", ""));
        rows.push(extra(&format!("p50, {name}"), figures.p50_us, "µs", ""));
        rows.push(extra(&format!("p99, {name}"), figures.p99_us, "µs", ""));
        rows.push(extra(&format!("calls/s, {name}"), figures.rps, "", ""));
    }
    Ok(rows)
}

fn endpoint(authority: &str) -> Endpoint {
    Endpoint {
        authority: authority.into(),
        path: "/mcp/echo".into(),
        prefix: String::new(),
        token: None,
        era: Era::Stateless,
    }
}
