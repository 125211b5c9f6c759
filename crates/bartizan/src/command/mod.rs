//! One file for each group of commands.

mod approvals;
mod audit;
mod call;
mod check;
mod connect;
mod doctor;
mod flow;
mod grants;
mod import;
pub mod inspect;
mod lock;
mod login;
mod metrics;
mod outdated;
mod policy;
mod posture;
mod processes;
mod report;
#[cfg(unix)]
mod run;
mod sandbox;
mod scan;
mod secret;
mod servers;
mod sessions;
mod stdio;
mod token;
mod top;
mod trust;
mod up;
mod watch;

use std::{
    future::Future,
    path::{Path, PathBuf},
};

use clap::CommandFactory;
use gateway::now;
use servers::known_server;
use tracing_subscriber::EnvFilter;

use crate::{
    cli::{Cli, Command, ConfigCommand, Global, LogForm, Output},
    config::{self, Loaded, Search},
    demo_server,
    outcome::Mistake,
    print, state,
};

/// Does what was asked.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    let global = &cli.global;
    log(
        global.log_form,
        global.log.as_deref(),
        if matches!(cli.command, Command::Up { .. }) { "info" } else { "warn" },
    )?;
    match cli.command {
        Command::Add(args) => servers::add(global, &args),
        Command::Approvals(command) => approvals::run(global, command),
        Command::Audit(command) => audit::run(global, command),
        Command::Call { remote, server, tool, arguments } => {
            call::run(global, remote, &server, &tool, &arguments)
        }
        Command::Check => check::run(global),
        Command::Clients(command) => sessions::clients(global, command),
        Command::Connect(args) => connect::connect(global, &args),
        Command::Import(args) => import::run(global, &args),
        #[cfg(unix)]
        Command::Run(args) => run::run(global, &args),
        Command::Disconnect(args) => connect::disconnect(global, &args),
        Command::Scan(args) => scan::run(global, &args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "bartizan", &mut script);
            print::text(&String::from_utf8(script)?)
        }
        Command::Config(ConfigCommand::Example) => print::text(&config::reference::example()),
        Command::Config(ConfigCommand::Reference) => print::text(&config::reference::page()),
        Command::Config(ConfigCommand::Schema) => print::json(&config::reference::schema()),
        Command::Doctor { application } => doctor::run(global, application.as_deref()),
        Command::DemoServer => Ok(demo_server::run()?),
        Command::Grants(command) => grants::run(global, command),
        Command::Inspect(command) => inspect::run(global, command),
        Command::Login(args) => login::login(global, &args),
        Command::Logout { url } => login::logout(global, url.as_deref()),
        Command::Flow(command) => flow::run(global, command),
        Command::List { offline } => servers::list(global, offline),
        Command::Lock(args) => lock::run(global, &args),
        Command::Logs { server } => processes::logs(global, &server),
        Command::Metrics => metrics::run(global),
        Command::Outdated(args) => outdated::run(global, &args),
        Command::Policy(command) => policy::run(global, command),
        Command::Posture => posture::run(global),
        Command::Ps => processes::ps(global),
        Command::Remove { name } => servers::remove(global, &name),
        Command::Report(args) => report::run(global, &args),
        Command::Restart { server } => processes::restart(global, &server),
        Command::Sandbox(command) => sandbox::run(global, &command),
        Command::Secret(command) => secret::run(global, command),
        Command::Sessions(command) => sessions::run(global, command),
        Command::Stdio { remote, server } => stdio::run(global, remote, server),
        Command::Token(command) => token::run(global, command),
        Command::Top { once, every } => top::run(global, once, every.0),
        Command::Trust(command) => trust::run(global, command),
        Command::Up { listen } => up::run(global, listen),
        Command::Whoami => login::whoami(global),
        Command::Version => match global.output {
            Output::Json => print::json(&serde_json::json!({"version": env!("CARGO_PKG_VERSION")})),
            Output::Table => print::line(concat!("bartizan ", env!("CARGO_PKG_VERSION"))),
        },
    }
}

/// The configuration that serves here.
fn load(global: &Global) -> anyhow::Result<Loaded> {
    match file(global)? {
        Some(path) => Ok(config::read(&path)?),
        None => Ok(Loaded::none()),
    }
}

/// Its file: the one that was named, that of the gateway which runs on the state folder, or the one that is found here.
fn file(global: &Global) -> Result<Option<PathBuf>, Mistake> {
    if global.config.is_some() {
        return Ok(global.config.clone());
    }
    let here = config::find(None, Search::Here);
    let Some(used) = state::configuration_in_use(&state::folder(global.state_dir.clone())?) else {
        return Ok(here);
    };
    if here.as_ref().is_some_and(|here| same(here, &used)) {
        return Ok(here);
    }
    if here.is_some_and(|here| here == Path::new(config::FILE_NAME)) {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            eprintln!(
                "note: this is about {}, which the running gateway uses; --config ./{} means the one here",
                used.display(),
                config::FILE_NAME
            );
        });
    }
    Ok(Some(used))
}

/// Whether two paths lead to one file.
fn same(one: &Path, other: &Path) -> bool {
    let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    whole(one) == whole(other)
}

/// Runs what waits for something, on as many threads as there are cores.
fn wait<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(future);
    // A thread may hang in a read of standard input, which nothing can interrupt.
    runtime.shutdown_background();
    done
}

/// Returns when the user or the system wants this process to end.
async fn ended() {
    #[cfg(unix)]
    if let Ok(mut terminate) =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
    {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        return;
    }
    let _ = tokio::signal::ctrl_c().await;
}

/// Logs to standard error, which is free for that even where standard output speaks MCP.
fn log(form: LogForm, filter: Option<&str>, default: &str) -> Result<(), Mistake> {
    let filter = EnvFilter::try_new(filter.unwrap_or(default)).map_err(|fault| {
        Mistake::new(
            format!("--log: {fault}"),
            "write off, error, warn, info, debug or trace, or a filter such as gateway=debug",
        )
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| gateway::leak::Clean(std::io::stderr()))
        .with_ansi(config::fault::coloured())
        .with_target(false);
    match form {
        LogForm::Text => builder.init(),
        LogForm::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}
