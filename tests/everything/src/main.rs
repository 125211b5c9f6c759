//! An MCP server with one of everything, for the conformance suite and the end-to-end tests.
//!
//! `everything stdio|http [--listen ADDR] [--era both|handshake|stateless]`
//!
//! Every tool is written once and works in both eras. What it needs to know from its client it
//! asks through [`ask::Asker`]: by an `input_required` result when the request is stateless, by
//! real server-to-client requests after a handshake.
#![forbid(unsafe_code)]
#![allow(deprecated, reason = "sampling, roots and logging are deprecated, and still to be tested")]

mod ask;
mod content;
mod era;
mod http;
mod input;
mod server;
mod shared;
mod stdio;
mod tasks;
mod tools;

use std::error::Error;

use era::Era;
use shared::Shared;

const USAGE: &str = "usage: everything stdio|http [--listen ADDR] [--era both|handshake|stateless]";

struct Arguments {
    transport: String,
    listen: String,
    era: Era,
}

fn arguments() -> Result<Arguments, String> {
    let mut words = std::env::args().skip(1);
    let transport = words.next().ok_or(USAGE)?;
    let mut arguments = Arguments { transport, listen: "127.0.0.1:0".into(), era: Era::Both };
    while let Some(flag) = words.next() {
        let value = words.next().ok_or(USAGE)?;
        match flag.as_str() {
            "--listen" => arguments.listen = value,
            "--era" => arguments.era = value.parse()?,
            _ => return Err(USAGE.into()),
        }
    }
    Ok(arguments)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { transport, listen, era } = arguments()?;
    let shared = Shared::new();
    match transport.as_str() {
        "stdio" => stdio::serve(era, shared).await,
        "http" => {
            let listener = tokio::net::TcpListener::bind(listen).await?;
            println!("listening http://{}/mcp", listener.local_addr()?);
            http::serve(listener, era, shared).await
        }
        _ => Err(USAGE.into()),
    }
}
