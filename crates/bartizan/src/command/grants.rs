//! `grants`: what people let Bartizan have at servers. Never the tokens themselves.

use std::path::Path;

use gateway::grants::GivenBack;
use serde::Serialize;

use super::{load, token::time, wait};
use crate::{
    cli::{Global, GrantsCommand},
    config::resolve::resolve,
    outcome::Mistake,
    print, state,
};

pub fn run(global: &Global, command: GrantsCommand) -> anyhow::Result<()> {
    wait(async {
        let folder = state::folder(global.state_dir.clone())?;
        state::make(&folder)?;
        let store = store::Store::open(&folder.join(state::STORE)).await?;
        let done = match command {
            GrantsCommand::List => list(global, &store).await,
            GrantsCommand::Revoke { server, principal } => {
                revoke(global, &folder, &store, &server, &principal).await
            }
        };
        store.close().await;
        done
    })
}

async fn list(global: &Global, store: &store::Store) -> anyhow::Result<()> {
    let rows: Vec<Row> = store
        .grants()
        .await?
        .into_iter()
        .map(|grant| Row {
            server: grant.server,
            principal: grant.principal,
            issuer: grant.issuer,
            scopes: grant.scopes,
            updated: time(grant.updated),
        })
        .collect();
    print::rows(global.output, &rows, "nobody has connected anything yet")
}

async fn revoke(
    global: &Global,
    folder: &Path,
    store: &store::Store,
    server: &str,
    principal: &str,
) -> anyhow::Result<()> {
    let kept = store.grants().await?;
    let kept = kept.iter().filter(|kept| kept.server == server && kept.principal == principal);
    let mut told = Vec::new();
    for kept in kept {
        told.push(give_back(global, folder, kept).await);
    }
    if store.grant_remove(server, principal).await? == 0 {
        let what = format!("{principal} has no grant at `{server}`");
        return Err(Mistake::new(what, "`bartizan grants list` shows all").into());
    }
    print::line(&format!(
        "forgotten; a running gateway stops using it within {} seconds",
        gateway::grants::BELIEVED
    ))?;
    if told.iter().all(|given| *given == GivenBack::Done) {
        return print::line("and given back: its tokens are good no longer");
    }
    for given in told {
        match given {
            GivenBack::Done => {}
            GivenBack::Failed(why) => eprintln!("It could not be given back: {why}."),
            GivenBack::NotTaken => eprintln!("Its authorization server takes nothing back."),
        }
    }
    eprintln!(
        "The server still lists Bartizan among the account's applications: remove it there too."
    );
    Ok(())
}

async fn give_back(global: &Global, folder: &Path, kept: &store::Grant) -> GivenBack {
    let failed = |fault: anyhow::Error| GivenBack::Failed(format!("{fault:#}"));
    let config = match load(global).and_then(|loaded| Ok(resolve(&loaded, folder)?)) {
        Ok(config) => config,
        Err(fault) => return failed(fault),
    };
    match config.servers.iter().find(|entry| entry.name.as_str() == kept.server) {
        Some(entry) => gateway::grants::give_back(folder, kept, entry).await,
        None => GivenBack::Failed("the server is not in the configuration any more".to_owned()),
    }
}

#[derive(Serialize)]
struct Row {
    server: String,
    principal: String,
    issuer: String,
    scopes: String,
    updated: String,
}

impl print::Row for Row {
    const TITLES: &'static [&'static str] = &["SERVER", "PRINCIPAL", "ISSUER", "SCOPES", "RENEWED"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.server.clone(),
            self.principal.clone(),
            self.issuer.clone(),
            self.scopes.clone(),
            self.updated.clone(),
        ]
    }
}
