//! The closed loop: N connections, each with one call in flight, every reply judged.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use serde::Serialize;
use tokio::{sync::Barrier, task::JoinSet};

use crate::{
    client::Connection,
    process,
    wire::{Endpoint, Judge, Payload, excerpt},
};

/// One measurement to make.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the calls go.
    pub endpoint: Endpoint,
    /// What they ask for.
    pub payload: Payload,
    /// How many connections.
    pub concurrency: usize,
    /// Calls of each connection before the clock starts.
    pub warm_up: u64,
    /// The end by the clock.
    pub duration: Duration,
    /// The end by number, over all connections.
    pub calls: u64,
    /// Whose CPU is counted.
    pub pids: Vec<u32>,
}

/// What was measured.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figures {
    /// Calls, all answered rightly.
    pub calls: u64,
    /// For how long.
    pub seconds: f64,
    /// Calls a second.
    pub rps: f64,
    /// The median latency.
    pub p50_us: f64,
    /// The 99th percentile.
    pub p99_us: f64,
    /// CPU time of the watched processes for each call.
    pub cpu_us: f64,
    /// Their resident memory after the run.
    pub rss_kib: u64,
    /// Their highest resident memory ever.
    pub peak_kib: u64,
}

/// Runs one plan.
///
/// # Errors
/// When a connection breaks, a reply is wrong, or the run hangs.
pub async fn run(plan: &Plan) -> anyhow::Result<Figures> {
    let patience = plan.duration * 2 + Duration::from_secs(60);
    tokio::time::timeout(patience, measure(plan)).await.context("the run hangs")?
}

async fn measure(plan: &Plan) -> anyhow::Result<Figures> {
    let gate = Arc::new(Barrier::new(plan.concurrency + 1));
    let counter = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..plan.concurrency {
        tasks.spawn(caller(plan.clone(), Arc::clone(&gate), Arc::clone(&counter)));
    }
    // A connection that fails before the gate would otherwise leave the others waiting.
    tokio::select! {
        _ = gate.wait() => {}
        Some(early) = tasks.join_next() => { early??; }
    }
    let before = cpu(&plan.pids)?;
    let begun = Instant::now();
    gate.wait().await;
    let mut latencies = Vec::new();
    while let Some(done) = tasks.join_next().await {
        latencies.extend(done??);
    }
    let elapsed = begun.elapsed();
    let spent = cpu(&plan.pids)? - before;
    figures(&mut latencies, elapsed, spent, &plan.pids)
}

async fn caller(
    plan: Plan,
    gate: Arc<Barrier>,
    counter: Arc<AtomicU64>,
) -> anyhow::Result<Vec<u64>> {
    let mut connection = Connection::open(&plan.endpoint.authority).await?;
    let session = connection.greet(&plan.endpoint).await?;
    let template = plan.endpoint.call(plan.payload, session.as_deref());
    let judge = Judge::new(plan.endpoint.era, plan.payload);
    let mut request = String::new();
    let mut latencies = Vec::new();
    for id in 1..=plan.warm_up {
        call(&mut connection, &template, &judge, id, &mut request).await?;
    }
    gate.wait().await;
    gate.wait().await;
    let until = Instant::now() + plan.duration;
    let mut id = plan.warm_up;
    while Instant::now() < until && counter.fetch_add(1, Ordering::Relaxed) < plan.calls {
        id += 1;
        latencies.push(call(&mut connection, &template, &judge, id, &mut request).await?);
    }
    Ok(latencies)
}

async fn call(
    connection: &mut Connection,
    template: &crate::wire::Template,
    judge: &Judge,
    id: u64,
    request: &mut String,
) -> anyhow::Result<u64> {
    template.write(id, request);
    let begun = Instant::now();
    let head = connection.exchange(request).await?;
    let latency = begun.elapsed();
    anyhow::ensure!(head.status == 200, "status {}: {}", head.status, excerpt(connection.body()));
    judge.check(id, connection.body(), head.sse)?;
    Ok(u64::try_from(latency.as_nanos())?)
}

fn cpu(pids: &[u32]) -> anyhow::Result<Duration> {
    pids.iter().map(|pid| process::cpu(*pid)).sum()
}

#[expect(clippy::cast_precision_loss, reason = "figures for a reader")]
fn figures(
    latencies: &mut [u64],
    elapsed: Duration,
    spent: Duration,
    pids: &[u32],
) -> anyhow::Result<Figures> {
    latencies.sort_unstable();
    let calls = latencies.len() as u64;
    anyhow::ensure!(calls > 0, "no call was made");
    let at = |share: usize| {
        latencies[(latencies.len() * share / 100).min(latencies.len() - 1)] as f64 / 1e3
    };
    let mut figures = Figures {
        calls,
        seconds: elapsed.as_secs_f64(),
        rps: calls as f64 / elapsed.as_secs_f64(),
        p50_us: at(50),
        p99_us: at(99),
        cpu_us: spent.as_secs_f64() * 1e6 / calls as f64,
        ..Figures::default()
    };
    for pid in pids {
        let memory = process::memory(*pid)?;
        figures.rss_kib += memory.resident;
        figures.peak_kib += memory.peak;
    }
    Ok(figures)
}

impl Figures {
    /// One figure out of several rounds: medians, and CPU and calls summed up.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "figures for a reader")]
    pub fn merge(rounds: &[Self]) -> Self {
        let median = |of: fn(&Self) -> f64| {
            let mut values: Vec<f64> = rounds.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            let middle = values.len() / 2;
            if values.len() % 2 == 1 {
                values[middle]
            } else {
                f64::midpoint(values[middle - 1], values[middle])
            }
        };
        let calls: u64 = rounds.iter().map(|round| round.calls).sum();
        let spent: f64 = rounds.iter().map(|round| round.cpu_us * round.calls as f64).sum();
        Self {
            calls,
            seconds: rounds.iter().map(|round| round.seconds).sum(),
            rps: median(|round| round.rps),
            p50_us: median(|round| round.p50_us),
            p99_us: median(|round| round.p99_us),
            cpu_us: spent / calls as f64,
            rss_kib: rounds.iter().map(|round| round.rss_kib).max().unwrap_or_default(),
            peak_kib: rounds.iter().map(|round| round.peak_kib).max().unwrap_or_default(),
        }
    }
}
