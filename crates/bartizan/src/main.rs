//! Bartizan: a security gateway for the Model Context Protocol. The command line.
#![forbid(unsafe_code)]

mod cli;
mod client;
mod clients;
mod command;
mod config;
mod demo_server;
mod gate;
mod harden;
mod lock;
mod login;
mod outcome;
mod print;
mod state;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The process that confines a server and becomes it, and the one that tries what such a server
    // can't do: before anything else runs here.
    #[cfg(target_os = "linux")]
    match std::env::args_os().nth(1) {
        Some(first) if first == sandbox::JAIL => return sandbox::jail_main(),
        Some(first) if first == sandbox::PROBE => {
            sandbox::probe_main();
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    // Whoever makes a TLS configuration afterwards finds this provider. It can be installed only once, and this is the first time.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    harden::memory();
    let cli = cli::Cli::parse();
    match command::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => outcome::report(&error),
    }
}
