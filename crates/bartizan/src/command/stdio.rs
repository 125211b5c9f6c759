//! `stdio`: a door for clients that only start programs.

use std::sync::Arc;

use gateway::{
    Gateway,
    call::{Door, Scope},
};
use identity::Verified;
use tokio::io::{AsyncWriteExt, BufReader};

use super::{ended, wait};
use crate::{
    cli::Global,
    config::{self, Search, value::ServerKey},
    gate::{Channel, Gate, REMOTE},
    state,
};

pub fn run(
    global: &Global,
    remote: Option<Option<String>>,
    server: Option<ServerKey>,
) -> anyhow::Result<()> {
    let scope = match server {
        Some(key) => Scope::One(key.0),
        None => Scope::All,
    };
    wait(async {
        let folder = state::folder(global.state_dir.clone())?;
        if let Some(url) = remote {
            let gate = Gate::remote(url.as_deref(), &folder).await?;
            let Gate::Remote(gateway, _token) = gate else { return Ok(()) };
            return serve(gateway, Scope::One(mcp::ServerName::new(REMOTE)?)).await;
        }
        if let Some(running) = Gate::running(&folder).await {
            return bridge(running.channel(Door::Stdio, scope).await?).await;
        }
        let loaded = config::load(global.config.as_deref(), Search::UserOnly)?;
        match Gate::own(&loaded, &folder).await? {
            Gate::Own(gateway) => serve(gateway, scope).await,
            Gate::Running(_) | Gate::Remote(..) => Ok(()),
        }
    })
}

/// Passes everything on, both ways, until either side is done.
async fn bridge((mut read, mut write): Channel) -> anyhow::Result<()> {
    let sending = tokio::spawn(async move {
        let _ = tokio::io::copy(&mut tokio::io::stdin(), &mut write).await;
        let _ = write.shutdown().await;
    });
    let mut out = tokio::io::stdout();
    let copied = tokio::select! {
        copied = tokio::io::copy(&mut read, &mut out) => copied,
        () = ended() => return Ok(()),
    };
    out.flush().await?;
    copied?;
    // Where our input ended first, the gateway hung up because of that; the task may need a moment to say so.
    let ended = tokio::time::timeout(std::time::Duration::from_millis(500), sending).await;
    anyhow::ensure!(ended.is_ok(), "the gateway has stopped");
    Ok(())
}

/// Is the gateway for one client.
async fn serve(gateway: Arc<Gateway>, scope: Scope) -> anyhow::Result<()> {
    let (input, output) = (BufReader::new(tokio::io::stdin()), tokio::io::stdout());
    tokio::select! {
        () = gateway.serve_lines(Verified::process_owner(), scope, Door::Stdio, input, output) => {}
        () = ended() => {}
    }
    gateway.shutdown().await;
    Ok(())
}
