//! `up`: the gateway itself.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
};

use audit::AuditFault;
use gateway::{Gateway, StartFault};

use super::{
    ended,
    policy::{arguments, stored},
    posture, wait,
    watch::Watch,
};
use crate::{
    cli::Global,
    config::{
        self, Loaded, Search, fault,
        file::Loopback,
        resolve::{DEMO, resolve},
        value::Listen,
    },
    outcome::Mistake,
    print, state,
};

pub fn run(global: &Global, listen: Option<Listen>) -> anyhow::Result<()> {
    let loaded = config::load(global.config.as_deref(), Search::Here)?;
    let loaded = overridden(loaded, listen);
    if let Some(warnings) = loaded.rendered_warnings(fault::coloured()) {
        eprintln!("{warnings}\n");
    }
    let folder = state::folder(global.state_dir.clone())?;
    if let Some(mend) = state::open_to_others(&folder) {
        tracing::warn!("other users of this machine may look into the state folder: {mend}");
    }
    wait(async {
        // Before the address is told, so that no change after that is missed.
        let mut watch = Watch::new(global.config.as_deref(), &loaded);
        let gateway = match Gateway::open(resolve(&loaded, &folder)?).await {
            Err(StartFault::Audit { fault: AuditFault::Locked(_), .. }) => {
                let mend = "it takes up changes of the configuration by itself; a second one needs a --state-dir of its own";
                return Err(Mistake::new(
                    format!("a gateway is running on {} already", folder.display()),
                    mend,
                )
                .into());
            }
            opened => opened?,
        };
        let running = match gateway.listen_on_doors().await {
            Err(StartFault::Listen { address, fault }) if fault.kind() == ErrorKind::AddrInUse => {
                let mend = "name another port with --listen, or in the configuration; port 0 takes a free one";
                return Err(
                    Mistake::new(format!("another program listens on {address}"), mend).into()
                );
            }
            listening => listening?,
        };
        state::tell_configuration(&folder, loaded.path.as_deref())?;
        arguments::warn(&folder, &loaded, &gateway.current().policy, |_| true).await;
        let all = stored::beside(loaded.clone(), &folder.join(state::STORE)).await?;
        print::text(&banner(global, &all, &folder, running.address()))?;
        tokio::select! {
            () = ended() => {}
            () = take_changes(&mut watch, listen, &folder, &gateway) => {}
        }
        tracing::info!("stopping");
        running.shutdown().await;
        Ok(())
    })
}

fn overridden(mut loaded: Loaded, listen: Option<Listen>) -> Loaded {
    if let Some(listen) = listen {
        let written = loaded.file.listen.span();
        loaded.warnings.retain(|warning| warning.span.as_ref() != Some(&written));
        loaded.file.listen = toml::Spanned::new(0..0, listen);
        let mut warnings = Vec::new();
        config::check_listen(&loaded.file, &mut warnings);
        // They are about the command line, and stand nowhere in the file.
        loaded
            .warnings
            .extend(warnings.into_iter().map(|one| config::Finding { span: None, ..one }));
    }
    loaded
}

/// Applies each change of the configuration; a broken one is told, and the old one goes on.
async fn take_changes(
    watch: &mut Watch,
    listen: Option<Listen>,
    folder: &Path,
    gateway: &Arc<Gateway>,
) {
    loop {
        watch.changed().await;
        let loaded = match config::load(watch.file(), Search::Here) {
            Ok(loaded) => overridden(loaded, listen),
            Err(config::LoadFault::Faulty(faulty)) => {
                eprintln!(
                    "{}",
                    fault::render(&faulty.path, &faulty.text, &faulty.findings, fault::coloured())
                );
                tracing::error!("the changed configuration has errors; the old one goes on");
                continue;
            }
            Err(config::LoadFault::Unreadable { error, .. })
                if error.kind() == ErrorKind::NotFound =>
            {
                tracing::error!("the configuration file is gone; the old configuration goes on");
                continue;
            }
            Err(unreadable) => {
                tracing::error!("{unreadable}; the old configuration goes on");
                continue;
            }
        };
        // A fresh look was asked for, and there still is no file.
        if loaded.path.is_none() {
            continue;
        }
        if let Some(warnings) = loaded.rendered_warnings(fault::coloured()) {
            eprintln!("{warnings}\n");
        }
        if let Err(error) = apply(&loaded, folder, gateway).await {
            tracing::error!("{error:#}; the old configuration goes on");
        } else if let Err(error) = state::tell_configuration(folder, loaded.path.as_deref()) {
            tracing::error!("other commands can't be told which configuration is used: {error}");
        }
    }
}

async fn apply(loaded: &Loaded, folder: &Path, gateway: &Arc<Gateway>) -> anyhow::Result<()> {
    let new = resolve(loaded, folder)?;
    let old = gateway.current();
    if new.listen != old.config.listen || new.tls != old.config.tls {
        tracing::warn!("a changed `listen` or [tls] takes effect at the next start");
    }
    let servers: Vec<String> = new.servers.iter().map(|server| server.name.to_string()).collect();
    gateway.apply(new).await?;
    arguments::warn(folder, loaded, &gateway.current().policy, |_| true).await;
    tracing::info!(servers = servers.join(" "), "the changed configuration is in use");
    Ok(())
}

/// All that a newcomer has to know.
fn banner(
    global: &Global,
    loaded: &Loaded,
    folder: &Path,
    address: std::net::SocketAddr,
) -> String {
    let scheme = if loaded.file.tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{address}");
    let servers = match &loaded.path {
        None => format!("{DEMO} (built in; `bartizan add` puts your own in its place)"),
        Some(_) => {
            let enabled = loaded.file.servers.iter().filter(|(_, server)| server.get_ref().enabled);
            let names: Vec<&str> = enabled.map(|(key, _)| key.0.as_str()).collect();
            if names.is_empty() {
                "none yet: `bartizan add NAME -- COMMAND…` or `bartizan add NAME URL`".to_owned()
            } else {
                names.join(", ")
            }
        }
    };
    let token = match loaded.file.identity.loopback {
        Loopback::Open => "none is needed from this machine".to_owned(),
        Loopback::Token => {
            let run = gateway::door::run_token(folder);
            format!(
                "Authorization: Bearer $(cat {})  (yours, for this run)\n  \
                 Authorization: Bearer $({} token mint NAME)  (a client's own)",
                run.display(),
                command(global, &[])
            )
        }
    };
    let file = loaded
        .path
        .as_ref()
        .map_or_else(|| "none; the defaults serve".to_owned(), |path| path.display().to_string());
    let gaps: Vec<String> = posture::protections(loaded)
        .iter()
        .filter(|protection| protection.state != posture::State::On)
        .map(|protection| {
            let gap = protection.gap.as_ref().unwrap_or(&protection.means);
            format!("  {}: {gap}\n", protection.name)
        })
        .collect();
    format!(
        "listening on {url}\n\n\
         For a client that starts programs (no token needed):\n  {entry}\n\
         For a client that speaks HTTP:\n  {url}/mcp  (one server alone: {url}/mcp/NAME)\n  {token}\n\n\
         servers        {servers}\n\
         configuration  {file}\n\
         state folder   {folder}\n\n\
         Not protected, or not fully (`bartizan posture` says more):\n{gaps}",
        entry = client_entry(global),
        folder = folder.display(),
        gaps = gaps.concat(),
    )
}

/// What goes into a client's configuration.
fn client_entry(global: &Global) -> String {
    let mut args = global_args(global);
    args.push("stdio".to_owned());
    serde_json::json!({"mcpServers": {"bartizan": {"command": own_file(), "args": args}}})
        .to_string()
}

fn command(global: &Global, more: &[&str]) -> String {
    let args = global_args(global);
    std::iter::once("bartizan")
        .chain(args.iter().map(String::as_str))
        .chain(more.iter().copied())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The folders that were named, as another process has to name them.
fn global_args(global: &Global) -> Vec<String> {
    let named = [("--config", &global.config), ("--state-dir", &global.state_dir)];
    let named = named.into_iter().filter_map(|(flag, path)| Some((flag, path.as_ref()?)));
    named
        .flat_map(|(flag, path)| {
            [
                flag.to_owned(),
                std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string(),
            ]
        })
        .collect()
}

fn own_file() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| PathBuf::from("bartizan"))
}
