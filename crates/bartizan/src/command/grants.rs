//! `grants`: what people let Bartizan have at servers. Never the tokens themselves.

use serde::Serialize;

use super::{token::time, wait};
use crate::{
    cli::{Global, GrantsCommand},
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
                revoke(&store, &server, &principal).await
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

async fn revoke(store: &store::Store, server: &str, principal: &str) -> anyhow::Result<()> {
    if store.grant_remove(server, principal).await? == 0 {
        let what = format!("{principal} has no grant at `{server}`");
        return Err(Mistake::new(what, "`bartizan grants list` shows all").into());
    }
    print::line(&format!(
        "forgotten; a running gateway stops using it within {} seconds",
        gateway::grants::BELIEVED
    ))?;
    eprintln!(
        "The server still lists Bartizan among the account's applications: remove it there too."
    );
    Ok(())
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
