//! What the matrix does not show: memory, sessions, the start, and stateless clients of a local server.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use bench::{
    client::{Connection, first_answer},
    echo::Era,
    load::{Plan, run as load},
    process::memory,
    target::{Programs, Setting, Upstream},
    wire::{Endpoint, Payload},
};
use serde::Serialize;

use crate::{Compare, matrix::programs};

const SESSIONS: u32 = 2_000;
const PATIENCE: Duration = Duration::from_secs(20);

/// One figure beside what it may be.
#[derive(Clone, Debug, Serialize)]
pub struct Extra {
    pub what: String,
    pub figure: f64,
    pub unit: &'static str,
    pub budget: &'static str,
}

/// Measures them all.
pub async fn run(options: &Compare, folder: &Path) -> anyhow::Result<Vec<Extra>> {
    let programs = programs(options)?;
    let mut extras =
        start(&programs, &folder.join("start"), if options.quick { 3 } else { 9 }).await?;
    extras.extend(sessions(&programs, &folder.join("sessions")).await?);
    extras.extend(stdio(&programs, &folder.join("stdio"), options.quick).await?);
    Ok(extras)
}

/// From the spawn to the line that says where it listens, and to the first list of tools, which reaches the upstream.
async fn start(programs: &Programs, folder: &Path, times: usize) -> anyhow::Result<Vec<Extra>> {
    std::fs::create_dir_all(folder)?;
    let upstream = programs.upstream("127.0.0.1:0", folder)?;
    let gateway =
        programs.gateway(folder, &Upstream::Http(upstream.url.clone()), Setting::default())?;
    let (paths, mut first) = (gateway.paths.clone(), Vec::new());
    drop(gateway);
    for _ in 0..times {
        let running = programs.start(&paths)?;
        first_answer(&endpoint(&running.authority(), "/mcp", Era::Stateless), PATIENCE).await?;
        first.push(running.since.elapsed());
    }
    first.sort_unstable();
    let median = first[times / 2].as_secs_f64() * 1e3;
    Ok(vec![extra("cold start, spawn to first list of tools", median, "ms", "≤ 50")])
}

/// Memory without any client, then with two thousand sessions that do nothing.
async fn sessions(programs: &Programs, folder: &Path) -> anyhow::Result<Vec<Extra>> {
    std::fs::create_dir_all(folder)?;
    let upstream = programs.upstream("127.0.0.1:0", folder)?;
    let gateway =
        programs.gateway(folder, &Upstream::Http(upstream.url.clone()), Setting::default())?;
    let process = gateway.process()?;
    let endpoint = endpoint(&process.authority(), "/mcp/echo", Era::Handshake);
    first_answer(&endpoint, PATIENCE).await?;
    let idle = memory(process.pid())?;
    let begun = Instant::now();
    let mut connection = Connection::open(&endpoint.authority).await?;
    // What the first sessions cost once (pools, caches, grown tables) is not what a session costs.
    for _ in 0..SESSIONS / 10 {
        connection.greet(&endpoint).await?;
    }
    let before = memory(process.pid())?.anonymous;
    for _ in 0..SESSIONS {
        connection.greet(&endpoint).await?;
    }
    let opened = begun.elapsed();
    let after = memory(process.pid())?.anonymous;
    let each = kib(after.saturating_sub(before)) / f64::from(SESSIONS);
    Ok(vec![
        extra("RSS idle", kib(idle.resident) / 1024.0, "MiB", "≤ 20"),
        extra("RSS idle, without the program's text", kib(idle.anonymous) / 1024.0, "MiB", ""),
        extra("RSS of an idle handshake session", each, "KiB", "≤ 4"),
        extra(
            "opening a session",
            opened.as_secs_f64() * 1e6 / f64::from(SESSIONS + SESSIONS / 10),
            "µs",
            "",
        ),
    ])
}

async fn stdio(programs: &Programs, folder: &Path, quick: bool) -> anyhow::Result<Vec<Extra>> {
    let gateway = programs.gateway(folder, &Upstream::Stdio, Setting::default())?;
    let process = gateway.process()?;
    let mut extras = Vec::new();
    for (era, name) in [(Era::Stateless, "stateless"), (Era::Handshake, "handshake")] {
        let plan = Plan {
            endpoint: endpoint(&process.authority(), "/mcp/echo", era),
            payload: Payload::Echo,
            concurrency: 16,
            warm_up: 10,
            duration: Duration::from_secs(if quick { 1 } else { 4 }),
            calls: 200_000,
            pids: vec![process.pid()],
        };
        let figures = load(&plan).await?;
        extras.push(extra(
            &format!("{name} client, stdio server, c=16"),
            figures.rps,
            "calls/s",
            "≥ 2000",
        ));
        extras.push(extra(
            &format!("{name} client, stdio server, CPU"),
            figures.cpu_us,
            "µs/call",
            "",
        ));
    }
    Ok(extras)
}

fn endpoint(authority: &str, path: &str, era: Era) -> Endpoint {
    Endpoint {
        authority: authority.into(),
        path: path.into(),
        prefix: String::new(),
        token: None,
        era,
    }
}

pub fn extra(what: &str, figure: f64, unit: &'static str, budget: &'static str) -> Extra {
    Extra { what: what.into(), figure, unit, budget }
}

#[expect(clippy::cast_precision_loss, reason = "figures for a reader")]
fn kib(value: u64) -> f64 {
    value as f64
}
