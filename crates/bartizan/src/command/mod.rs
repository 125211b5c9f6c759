//! One file for each group of commands.

mod audit;
mod check;
mod posture;
mod servers;
mod token;

use std::future::Future;

use clap::CommandFactory;

use crate::{
    cli::{Cli, Command, ConfigCommand, Global},
    config::{self, Loaded, Search},
    demo_server, print, state,
};

/// Does what was asked.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    let global = &cli.global;
    match cli.command {
        Command::Add(args) => servers::add(global, &args),
        Command::Audit(command) => audit::run(global, command),
        Command::Check => check::run(global),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "bartizan", &mut std::io::stdout());
            Ok(())
        }
        Command::Config(ConfigCommand::Example) => print::text(&config::reference::example()),
        Command::Config(ConfigCommand::Reference) => print::text(&config::reference::page()),
        Command::Config(ConfigCommand::Schema) => print::json(&config::reference::schema()),
        Command::DemoServer => Ok(demo_server::run()?),
        Command::Posture => posture::run(global),
        Command::Remove { name } => servers::remove(global, &name),
        Command::Token(command) => token::run(global, command),
        Command::Version => print::line(concat!("bartizan ", env!("CARGO_PKG_VERSION"))),
        _ => todo!(),
    }
}

/// The configuration that serves here.
fn load(global: &Global) -> anyhow::Result<Loaded> {
    Ok(config::load(global.config.as_deref(), Search::Here)?)
}

/// Runs what waits for something, on as many threads as there are cores.
fn wait<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(future)
}

/// Seconds since 1970.
fn now() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default()
}
