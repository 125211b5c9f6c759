//! One closed-loop run against any MCP endpoint that has the tools of `echo-upstream`; prints one JSON object.
#![forbid(unsafe_code)]

use std::time::Duration;

use anyhow::Context;
use bench::{
    echo::Era,
    load::{Plan, run},
    wire::{Endpoint, Payload},
};
use clap::Parser;

#[derive(Parser)]
#[command(name = "load")]
struct Arguments {
    /// The endpoint, `http://127.0.0.1:PORT/mcp`.
    url: String,
    /// The client's era.
    #[arg(long, value_parser = era, default_value = "stateless")]
    era: Era,
    /// Connections.
    #[arg(short, long, default_value_t = 16)]
    concurrency: usize,
    /// Bytes of text in each result; 0 for `echo` with 32 bytes.
    #[arg(short, long, default_value_t = 0)]
    bytes: usize,
    /// Ask for results as event streams.
    #[arg(long)]
    sse: bool,
    /// Seconds.
    #[arg(short, long, default_value_t = 5.0)]
    seconds: f64,
    /// At most so many calls.
    #[arg(short = 'n', long, default_value_t = 1_000_000)]
    calls: u64,
    /// What stands before a tool's name.
    #[arg(long, default_value = "")]
    prefix: String,
    /// A bearer token.
    #[arg(long)]
    token: Option<String>,
    /// Processes whose CPU and memory are counted.
    #[arg(long)]
    pid: Vec<u32>,
}

fn era(name: &str) -> Result<Era, String> {
    match name {
        "handshake" => Ok(Era::Handshake),
        "stateless" => Ok(Era::Stateless),
        _ => Err("handshake or stateless".into()),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let Arguments { url, era, concurrency, bytes, sse, seconds, calls, prefix, token, pid } =
        Arguments::parse();
    let rest = url.strip_prefix("http://").context("only http:// on the loopback")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let endpoint = Endpoint { authority: authority.into(), path: path.into(), prefix, token, era };
    let payload = if bytes == 0 { Payload::Echo } else { Payload::Size { bytes, sse } };
    let duration = Duration::try_from_secs_f64(seconds)?;
    let plan = Plan { endpoint, payload, concurrency, warm_up: 20, duration, calls, pids: pid };
    println!("{}", serde_json::to_string(&run(&plan).await?)?);
    Ok(())
}
