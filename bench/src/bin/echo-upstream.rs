//! A native MCP upstream for measurements: both eras, over HTTP or stdio.
#![forbid(unsafe_code)]

use std::{io::Write, net::SocketAddr};

use bench::echo::{Echo, Speaks, http, stdio};
use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(name = "echo-upstream")]
struct Arguments {
    #[command(subcommand)]
    binding: Binding,
    /// The eras it admits to.
    #[arg(long, global = true, default_value = "both")]
    era: Speaks,
}

#[derive(Subcommand)]
enum Binding {
    /// Streamable HTTP on the loopback; prints `listening on URL`.
    Http {
        /// Where to listen.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
    },
    /// Newline-delimited JSON on standard input and output.
    Stdio,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let echo = Echo::new(arguments.era, matches!(arguments.binding, Binding::Http { .. }));
    match arguments.binding {
        Binding::Stdio => stdio::serve(&echo)?,
        // One thread: on a small machine the upstream must leave room for what is measured.
        Binding::Http { listen } => {
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(
                async {
                    let listener = tokio::net::TcpListener::bind(listen).await?;
                    println!("listening on http://{}/mcp", listener.local_addr()?);
                    std::io::stdout().flush()?;
                    anyhow::Ok(http::serve(listener, echo).await?)
                },
            )?;
        }
    }
    Ok(())
}
