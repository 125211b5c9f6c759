//! `grants`: what people let Bartizan have at servers. Never the tokens themselves.

use std::path::Path;

use bytes::Bytes;
use gateway::grants::GivenBack;
use http_body_util::Full;
use serde::Serialize;
use upstream::{Fetch, HttpClient};

use super::{load, token::time, wait};
use crate::{
    cli::{Global, GrantsCommand},
    config::resolve::resolve,
    login,
    outcome::Mistake,
    print, state,
};

pub fn run(global: &Global, command: GrantsCommand) -> anyhow::Result<()> {
    wait(async {
        let folder = state::folder(global.state_dir.clone())?;
        state::make(&folder)?;
        match &command {
            GrantsCommand::List { remote: Some(url) } => {
                return own_list(global, &folder, url.as_deref()).await;
            }
            GrantsCommand::Revoke { server, remote: Some(url), .. } => {
                return own_revoke(&folder, url.as_deref(), server).await;
            }
            _ => {}
        }
        let store = store::Store::open(&folder.join(state::STORE)).await?;
        let done = match command {
            GrantsCommand::List { .. } => list(global, &store).await,
            GrantsCommand::Revoke { server, principal, .. } => {
                let principal = principal.unwrap_or_default();
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

/// The longest list.
const BYTES: usize = 1 << 20;

/// Asks the gateway at which this person signed in.
async fn asked(
    folder: &Path,
    url: Option<&str>,
    request: impl FnOnce(http::request::Builder) -> Result<http::Request<Full<Bytes>>, http::Error>,
) -> anyhow::Result<http::Response<Bytes>> {
    let scratch = state::Scratch::new()?;
    let file = scratch.path().join("token");
    let login = login::renewed(folder, url, &file).await?;
    let token = vault::read_file(&file)?;
    let at = url::Url::parse(&login)?.join("/grants")?;
    let mut authorization =
        http::HeaderValue::from_str(&format!("Bearer {}", token.expose().trim()))?;
    authorization.set_sensitive(true);
    let asking = http::Request::builder()
        .uri(at.as_str())
        .header(http::header::AUTHORIZATION, authorization);
    // The person named it themselves.
    let rules =
        Fetch { bytes: BYTES, deadline: std::time::Duration::from_secs(30), allow_private: true };
    Ok(HttpClient::new()?.fetch(request(asking)?, rules).await?)
}

async fn own_list(global: &Global, folder: &Path, url: Option<&str>) -> anyhow::Result<()> {
    let answer = asked(folder, url, |asking| asking.body(Full::default())).await?;
    refused(&answer)?;
    let rows: Vec<Own> = serde_json::from_slice(answer.body())?;
    let rows: Vec<Row> = rows.into_iter().map(Row::from).collect();
    print::rows(global.output, &rows, "you have connected nothing there")
}

async fn own_revoke(folder: &Path, url: Option<&str>, server: &str) -> anyhow::Result<()> {
    let body = serde_json::json!({ "server": server }).to_string();
    let answer = asked(folder, url, |asking| {
        let asking = asking.method(http::Method::POST);
        let json = "application/json";
        asking.header(http::header::CONTENT_TYPE, json).body(Full::from(body))
    });
    let answer = answer.await?;
    if answer.status() == http::StatusCode::NOT_FOUND {
        let what = format!("you have no grant at `{server}`");
        return Err(Mistake::new(what, "`bartizan grants list --remote` shows yours").into());
    }
    refused(&answer)?;
    let answer: serde_json::Value = serde_json::from_slice(answer.body())?;
    print::line("forgotten")?;
    if answer["given-back"] == true {
        return print::line("and given back: its tokens are good no longer");
    }
    eprintln!(
        "The server still lists Bartizan among the account's applications: remove it there too."
    );
    Ok(())
}

fn refused(answer: &http::Response<Bytes>) -> anyhow::Result<()> {
    match answer.status().is_success() {
        true => Ok(()),
        false => anyhow::bail!("the gateway answered HTTP {}", answer.status().as_u16()),
    }
}

/// One of this person's own, as the gateway tells it.
#[derive(serde::Deserialize)]
struct Own {
    server: String,
    principal: String,
    issuer: String,
    scopes: String,
    updated: u64,
}

impl From<Own> for Row {
    fn from(own: Own) -> Row {
        let tame = |text: &str| print::tame(text);
        Row {
            server: tame(&own.server),
            principal: tame(&own.principal),
            issuer: tame(&own.issuer),
            scopes: tame(&own.scopes),
            updated: time(own.updated),
        }
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
