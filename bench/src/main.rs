//! `bench`: compares, in one run, the upstream alone, Bartizan in front of it and a peer in front of it;
//! `bench instructions`: counts instructions and allocations of a call, on any machine;
//! `bench egress`: what the way of a local server through its gate costs;
//! `bench journal`: how quick the journal is;
//! `bench leaks`: how fast texts pass the filter for secrets;
//! `bench models`: how much later a model's short answer is there;
//! `bench policy`: what a decision costs;
//! `bench telemetry`: what telling everything costs a call;
//! `bench sandbox`: what confining a local server costs.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

mod answer;
mod egress;
mod extras;
mod instructions;
mod journal;
mod leaks;
mod matrix;
mod models;
mod policy;
mod sandbox;
mod table;
mod telemetry;

#[derive(Parser)]
#[command(name = "bench", version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Verb>,
    #[command(flatten)]
    compare: Compare,
}

#[derive(Subcommand)]
enum Verb {
    /// Measures connections, requests and bytes through the egress gate.
    Egress(egress::Options),
    /// Counts instructions and allocations of a call under callgrind and shows where they go.
    Instructions(instructions::Options),
    /// Measures how quick the journal is written, verified and searched.
    Journal(journal::Options),
    /// Measures how fast texts pass the filter for secrets.
    Leaks(leaks::Options),
    /// Measures how much later a model's answer of one event is there.
    Models(models::Options),
    /// Measures what a decision costs with many policies and tools.
    Policy(policy::Options),
    /// Measures what traces, metrics and alerts cost a call.
    Telemetry(telemetry::Options),
    /// Measures what starting a server in its sandbox costs, and a message to it.
    Sandbox(sandbox::Options),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Json,
    Table,
}

/// The comparison by the clock.
#[derive(Args)]
struct Compare {
    /// The gateway.
    #[arg(long, default_value = "target/release/bartizan")]
    bartizan: PathBuf,
    /// Another gateway that stands in front of the same upstream; see `--upstream-listen`.
    #[arg(long, requires = "peer_url")]
    peer: Option<PathBuf>,
    /// Its configuration, passed as `-f FILE`.
    #[arg(long, conflicts_with = "peer_arg")]
    peer_config: Option<PathBuf>,
    /// Its endpoint.
    #[arg(long)]
    peer_url: Option<String>,
    /// Its arguments, one by one.
    #[arg(long, allow_hyphen_values = true)]
    peer_arg: Vec<String>,
    /// A bearer token that it wants.
    #[arg(long)]
    peer_token: Option<String>,
    /// It is not asked in the stateless era, which it does not know.
    #[arg(long)]
    peer_handshake: bool,
    /// What it puts before a tool's name.
    #[arg(long, default_value = "")]
    peer_prefix: String,
    /// Where the upstream listens: a fixed port when a peer's configuration names it.
    #[arg(long, default_value = "127.0.0.1:0")]
    upstream_listen: String,
    /// Gives the gateway or peer the first core for itself (`taskset`).
    #[arg(long)]
    pin: bool,
    /// One minute instead of ten.
    #[arg(long)]
    quick: bool,
    /// Without the gateway: the upstream alone (and a peer), to judge the tools themselves.
    #[arg(long)]
    direct_only: bool,
    /// A table or JSON.
    #[arg(long, default_value = "table")]
    output: Output,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match arguments.command {
        Some(Verb::Egress(options)) => egress::run(&options),
        Some(Verb::Instructions(options)) => instructions::run(&options),
        Some(Verb::Journal(options)) => journal::run(&options),
        Some(Verb::Leaks(options)) => leaks::run(&options),
        Some(Verb::Models(options)) => models::run(&options),
        Some(Verb::Policy(options)) => policy::run(&options),
        Some(Verb::Telemetry(options)) => telemetry::run(&options),
        Some(Verb::Sandbox(options)) => sandbox::run(&options),
        None => {
            // One thread: the load must leave the other core to what is measured.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                // A signal ends this program the long way, so that it ends what it started.
                let mut terminated = signal(SignalKind::terminate())?;
                tokio::select! {
                    compared = compare(&arguments.compare) => compared,
                    _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
                    _ = terminated.recv() => anyhow::bail!("terminated"),
                }
            })
        }
    }
}

async fn compare(options: &Compare) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let rows = matrix::run(options, folder.path()).await?;
    let extras =
        if options.direct_only { Vec::new() } else { extras::run(options, folder.path()).await? };
    match options.output {
        Output::Json => println!("{}", serde_json::json!({ "rows": rows, "extras": extras })),
        Output::Table => table::print(&rows, &extras),
    }
    Ok(())
}
