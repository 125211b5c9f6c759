//! An MCP server that misbehaves, byte by byte and on purpose. It uses no MCP library, since none
//! would let it.
//!
//! `hostile stdio|http [--listen ADDR] [--era both|handshake|stateless] [--start HOW]`
//!
//! Each of its tools does one wrong thing; see [`script::for_tool`]. `--start` does it before the
//! first request: `exit`, `flood`, `garbage`, `huge`, `mute` (answers nothing, ever), `well`.
#![forbid(unsafe_code)]

mod http;
mod script;
mod stdio;

use std::{error::Error, sync::Arc};

const USAGE: &str = "usage: hostile stdio|http [--listen ADDR] \
     [--era both|handshake|stateless] [--start exit|flood|garbage|huge|mute|well]";

/// What the command line asked for.
pub struct Manners {
    pub handshake: bool,
    pub stateless: bool,
    pub start: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let transport = words.next().ok_or(USAGE)?;
    let mut listen = "127.0.0.1:0".to_owned();
    let mut manners = Manners { handshake: true, stateless: true, start: "well".into() };
    while let Some(flag) = words.next() {
        let value = words.next().ok_or(USAGE)?;
        match flag.as_str() {
            "--era" => {
                manners.handshake = value != "stateless";
                manners.stateless = value != "handshake";
            }
            "--listen" => listen = value,
            "--start" => manners.start = value,
            _ => return Err(USAGE.into()),
        }
    }
    if manners.start == "exit" {
        std::process::exit(3);
    }
    match transport.as_str() {
        "stdio" => stdio::serve(Arc::new(manners)).await,
        "http" => http::serve(&listen, Arc::new(manners)).await,
        _ => Err(USAGE.into()),
    }
}
