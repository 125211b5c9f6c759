//! The comparison: cells of era × payload × concurrency, and in each cell every target in turn.

use std::{path::Path, process::Command, time::Duration};

use anyhow::Context;
use bench::{
    client::first_answer,
    echo::Era,
    load::{Figures, Plan, run as load},
    process::Running,
    target::{Gateway, Programs, Setting, Upstream},
    wire::{Endpoint, Payload},
};
use serde::Serialize;

use crate::Compare;

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub era: &'static str,
    pub payload: String,
    pub concurrency: usize,
    pub target: String,
    #[serde(flatten)]
    pub figures: Figures,
}

/// A cell before it is measured.
#[derive(Clone, Copy, Debug)]
struct Cell {
    era: Era,
    payload: Payload,
    concurrency: usize,
}

/// Something that answers calls.
struct Target {
    name: String,
    url: String,
    prefix: String,
    token: Option<String>,
    pid: u32,
    /// Measured in the small cells only: what it differs in does not depend on the size.
    small: bool,
    /// Measured in the handshake era only.
    handshake: bool,
}

impl Target {
    fn endpoint(&self, era: Era) -> anyhow::Result<Endpoint> {
        let rest = self.url.strip_prefix("http://").context("only http:// on the loopback")?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (authority, path) = (authority.to_owned(), path.to_owned());
        Ok(Endpoint {
            authority,
            path,
            prefix: self.prefix.clone(),
            token: self.token.clone(),
            era,
        })
    }

    fn measures(&self, cell: Cell) -> bool {
        (!self.small || is_small(cell.payload)) && (!self.handshake || cell.era == Era::Handshake)
    }
}

/// The programs under test, kept alive for the whole run.
struct Stage {
    _running: Vec<Running>,
    _gateways: Vec<Gateway>,
    targets: Vec<Target>,
}

impl Stage {
    fn set(options: &Compare, folder: &Path) -> anyhow::Result<Self> {
        let programs = programs(options)?;
        let upstream = programs.upstream(&options.upstream_listen, folder)?;
        let mut targets = vec![Target {
            name: "direct".into(),
            url: upstream.url.clone(),
            prefix: String::new(),
            token: None,
            pid: upstream.pid(),
            small: false,
            handshake: false,
        }];
        let mut gateways = Vec::new();
        if !options.direct_only {
            let http = Upstream::Http(upstream.url.clone());
            let start = |name: &str, setting| programs.gateway(&folder.join(name), &http, setting);
            gateways.push(start("open", Setting::default())?);
            gateways.push(start("token", Setting { token: true, ..Setting::default() })?);
            gateways.push(start("unsynced", Setting { unsynced: true, ..Setting::default() })?);
            targets.extend(gateway_targets(&gateways)?);
        }
        let mut running = vec![upstream];
        if let Some(peer) = peer(options, folder)? {
            targets.push(Target {
                name: "peer".into(),
                url: peer.url.clone(),
                prefix: options.peer_prefix.clone(),
                token: options.peer_token.clone(),
                pid: peer.pid(),
                small: false,
                handshake: options.peer_handshake,
            });
            running.push(peer);
        }
        Ok(Self { _running: running, _gateways: gateways, targets })
    }
}

/// The programs as the options describe them.
pub fn programs(options: &Compare) -> anyhow::Result<Programs> {
    let mut programs = Programs::new(options.bartizan.clone())?;
    if options.pin {
        programs.wrapper = ["taskset", "-c", "0"].map(Into::into).to_vec();
    }
    Ok(programs)
}

fn gateway_targets(gateways: &[Gateway]) -> anyhow::Result<Vec<Target>> {
    let shapes = [
        (0, "bartizan", "/mcp/echo", "", false),
        (0, "bartizan, aggregate", "/mcp", "echo__", true),
        (1, "bartizan, token", "/mcp/echo", "", true),
        (2, "bartizan, no fsync", "/mcp/echo", "", true),
    ];
    let targets = shapes.map(|(index, name, path, prefix, small): (usize, _, _, _, _)| {
        let gateway = &gateways[index];
        let process = gateway.process()?;
        anyhow::Ok(Target {
            name: String::from(name),
            url: format!("http://{}{path}", process.authority()),
            prefix: String::from(prefix),
            token: gateway.token.clone(),
            pid: process.pid(),
            small,
            handshake: false,
        })
    });
    targets.into_iter().collect()
}

fn peer(options: &Compare, folder: &Path) -> anyhow::Result<Option<Running>> {
    let (Some(peer), Some(url)) = (&options.peer, &options.peer_url) else { return Ok(None) };
    let mut command = Command::new(if options.pin { Path::new("taskset") } else { peer });
    if options.pin {
        command.args(["-c", "0"]).arg(peer);
    }
    match &options.peer_config {
        Some(config) => command.arg("-f").arg(config),
        None => command.args(&options.peer_arg),
    };
    Ok(Some(Running::silent(command, &folder.join("peer.log"), url)?))
}

/// Measures every cell, all its targets close together in time and in turning order.
pub async fn run(options: &Compare, folder: &Path) -> anyhow::Result<Vec<Row>> {
    let stage = Stage::set(options, folder)?;
    for target in &stage.targets {
        first_answer(&target.endpoint(Era::Handshake)?, Duration::from_secs(20)).await?;
    }
    let (rounds, duration) = if options.quick {
        (1, Duration::from_millis(400))
    } else {
        (3, Duration::from_millis(1200))
    };
    let mut rows = Vec::new();
    for cell in cells(options.quick) {
        let targets: Vec<&Target> =
            stage.targets.iter().filter(|target| target.measures(cell)).collect();
        let mut figures = vec![Vec::new(); targets.len()];
        for round in 0..rounds {
            for turn in 0..targets.len() {
                let index = if round % 2 == 0 { turn } else { targets.len() - 1 - turn };
                let target = targets[index];
                let measured = load(&plan(cell, target, duration)?).await;
                figures[index].push(measured.with_context(|| format!("{} {cell:?}", target.name))?);
            }
        }
        eprint!(".");
        for (target, figures) in targets.iter().zip(&figures) {
            rows.push(row(cell, &target.name, Figures::merge(figures)));
        }
    }
    eprintln!();
    Ok(rows)
}

fn plan(cell: Cell, target: &Target, duration: Duration) -> anyhow::Result<Plan> {
    Ok(Plan {
        endpoint: target.endpoint(cell.era)?,
        payload: cell.payload,
        concurrency: cell.concurrency,
        warm_up: 5,
        duration,
        calls: 100_000,
        pids: vec![target.pid],
    })
}

fn row(cell: Cell, target: &str, figures: Figures) -> Row {
    let payload = match cell.payload {
        Payload::Echo => "32 B JSON".into(),
        Payload::Size { bytes, sse } => {
            let size = if bytes < 1 << 20 {
                format!("{} KB", bytes >> 10)
            } else {
                format!("{} MB", bytes >> 20)
            };
            format!("{size} {}", if sse { "SSE" } else { "JSON" })
        }
    };
    let era = if cell.era == Era::Stateless { "stateless" } else { "handshake" };
    Row { era, payload, concurrency: cell.concurrency, target: target.to_owned(), figures }
}

fn is_small(payload: Payload) -> bool {
    matches!(payload, Payload::Echo | Payload::Size { bytes: 0..=1024, sse: false })
}

fn cells(quick: bool) -> Vec<Cell> {
    let sizes: &[usize] = if quick { &[1 << 10, 64 << 10] } else { &[1 << 10, 64 << 10, 1 << 20] };
    let forms = sizes
        .iter()
        .flat_map(|bytes| [false, true].map(|sse| Payload::Size { bytes: *bytes, sse }));
    let payloads: Vec<Payload> = std::iter::once(Payload::Echo).chain(forms).collect();
    let concurrencies: &[usize] = if quick { &[1, 16] } else { &[1, 16, 64] };
    let mut cells = Vec::new();
    for era in [Era::Stateless, Era::Handshake] {
        for payload in &payloads {
            for concurrency in concurrencies {
                cells.push(Cell { era, payload: *payload, concurrency: *concurrency });
            }
        }
    }
    cells
}
