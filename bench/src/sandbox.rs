//! What the sandbox costs: a server's start at each level against a bare one, and a message to it and back.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use ::sandbox::{Level, Profile, spawn};
use anyhow::Context as _;
use clap::Args;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::{Output, extras::Extra, table};

/// The costs of the sandbox by the clock.
#[derive(Args)]
pub struct Options {
    /// The gateway, which is also what becomes the jail.
    #[arg(long, default_value = "target/release/bartizan")]
    bartizan: PathBuf,
    /// Starts of each program at each level.
    #[arg(long, default_value_t = 40)]
    starts: usize,
    /// Messages to a server at each level.
    #[arg(long, default_value_t = 5000)]
    messages: usize,
    /// A table or JSON.
    #[arg(long, default_value = "table")]
    output: Output,
}

/// How a program is started; in turning order, so that a noisy moment of the machine hits all.
const WAYS: [(&str, Option<Level>); 4] = [
    ("bare", None),
    ("off", Some(Level::Off)),
    ("basic", Some(Level::Basic)),
    ("strong", Some(Level::Strong)),
];

const PROGRAMS: [(&str, &[&str]); 3] =
    [("true", &[]), ("python3", &["-IS", "-c", "0"]), ("node", &["-e", "0"])];

/// Measures and prints.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let rows = runtime.block_on(measure(options))?;
    table::show(options.output, &rows);
    Ok(())
}

async fn measure(options: &Options) -> anyhow::Result<Vec<Extra>> {
    let jailer = options.bartizan.canonicalize().context("build it: cargo build --release")?;
    let mut rows = Vec::new();
    for (program, args) in PROGRAMS {
        if found(program).is_none() {
            continue;
        }
        let mut times = WAYS.map(|_| Vec::new());
        for _ in 0..options.starts {
            for ((_, level), times) in WAYS.iter().zip(&mut times) {
                let began = Instant::now();
                end(start(program, args, *level, &jailer)?).await?;
                times.push(began.elapsed());
            }
        }
        let bare = median(&mut times[0]);
        for ((way, level), times) in WAYS.iter().zip(&mut times) {
            let time = median(times);
            rows.push(extra(format!("start and end of {program}, {way}"), time, ""));
            if *level == Some(Level::Strong) {
                let more = time.saturating_sub(bare);
                rows.push(extra(format!("start of {program}, strong over bare"), more, "≤ 5"));
            }
        }
    }
    rows.extend(messages(options, &jailer).await?);
    Ok(rows)
}

fn extra(what: String, time: Duration, budget: &'static str) -> Extra {
    Extra { what, figure: time.as_secs_f64() * 1e3, unit: "ms", budget }
}

fn found(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn start(
    program: &str,
    args: &[&str],
    level: Option<Level>,
    jailer: &Path,
) -> anyhow::Result<Child> {
    let Some(level) = level else {
        return Ok(Command::new(program)
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?);
    };
    let profile = Profile {
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        level,
        jailer: Some(jailer.to_owned()),
        ..Profile::new("bench", program)
    };
    Ok(spawn(&profile)?.child)
}

async fn end(mut child: Child) -> anyhow::Result<()> {
    drop(child.stdin.take());
    if let Some(mut out) = child.stdout.take() {
        out.read_to_end(&mut Vec::new()).await?;
    }
    anyhow::ensure!(child.wait().await?.success(), "a program failed");
    Ok(())
}

/// A ping to the demo server and its answer, one after the other.
async fn messages(options: &Options, jailer: &Path) -> anyhow::Result<Vec<Extra>> {
    const PING: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n";
    let program = jailer.to_string_lossy();
    let mut rows = Vec::new();
    for (way, level) in WAYS {
        let mut child = start(&program, &["demo-server"], level, jailer)?;
        let (Some(mut input), Some(out)) = (child.stdin.take(), child.stdout.take()) else {
            anyhow::bail!("no pipes");
        };
        let mut lines = BufReader::new(out).lines();
        let mut times = Vec::with_capacity(options.messages);
        for _ in 0..options.messages {
            let began = Instant::now();
            input.write_all(PING).await?;
            lines.next_line().await?.context("the server ended")?;
            times.push(began.elapsed());
        }
        drop(input);
        child.wait().await?;
        let time = median(&mut times);
        rows.push(Extra {
            what: format!("a message and its answer, {way}"),
            figure: time.as_secs_f64() * 1e6,
            unit: "µs",
            budget: "",
        });
    }
    Ok(rows)
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
