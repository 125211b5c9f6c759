//! `doctor`: whether people and programs can sign in, found out at the provider itself.

mod aadsts;
mod application;
mod entra;
mod finding;
mod place;
mod provider;
mod registration;
mod web;

use std::{io::Read, path::Path, sync::Arc};

use gateway::{
    config::{Config, Provider, SignIn},
    secrets::Secrets,
};
use jiff::Timestamp;
use upstream::HttpClient;

use self::{
    finding::{Finding, State},
    registration::Needed,
    web::Web,
};
use super::{load, wait};
use crate::{
    cli::Global,
    config::{Loaded, file, resolve::resolve},
    outcome::{Mistake, Told},
    print, state,
};

pub fn run(global: &Global, application: Option<&Path>) -> anyhow::Result<()> {
    let loaded = load(global)?;
    let config = resolve(&loaded, &state::folder(global.state_dir.clone())?)?;
    let loaded = super::policy::stored::with(loaded, global)?;
    let shown = application.map(read).transpose()?;
    let bar = print::waiting("asking the providers");
    let findings = wait(examine(&loaded, &config, shown.as_deref()))?;
    bar.finish_and_clear();
    print::rows(global.output, &findings, "no provider is configured: [identity.providers.NAME]")?;
    match findings.iter().any(|finding| finding.state == State::Fault) {
        true => Err(Told::failure().into()),
        false => Ok(()),
    }
}

/// What `--application` names.
fn read(path: &Path) -> Result<String, Mistake> {
    let mut text = String::new();
    let read = match path.to_str() {
        Some("-") => std::io::stdin().take(1 << 20).read_to_string(&mut text).map(drop),
        _ => std::fs::read_to_string(path).map(|whole| text = whole),
    };
    let mend =
        "name a file with what `az ad app show --id CLIENT-ID` prints, or - for standard input";
    read.map(|()| text).map_err(|fault| Mistake::new(format!("{}: {fault}", path.display()), mend))
}

async fn examine(
    loaded: &Loaded,
    config: &Config,
    shown: Option<&str>,
) -> anyhow::Result<Vec<Finding>> {
    let (client, now) = (HttpClient::new()?, Timestamp::now());
    state::make(&config.state_dir)?;
    let store = store::Store::open(&config.store).await?;
    let secrets = Arc::new(Secrets::new(store, config.secrets.clone(), client.clone()));
    let mut findings = Vec::new();
    for entry in &config.identity.providers {
        let client = match &entry.ca {
            Some(file) => HttpClient::trusting(file)?,
            None => client.clone(),
        };
        let web = Web::new(&client, &secrets, entry.allow_private);
        let (about, seen) = provider::examine(entry, &web, now).await;
        findings.extend(seen);
        let signs_in = config.sign_in.as_ref();
        let signs_in = signs_in.filter(|sign_in| sign_in.provider == *entry.provider.name());
        if let (Some(sign_in), Some(about)) = (signs_in, &about) {
            findings.push(application::redirect(sign_in, about, &web).await);
            findings.push(application::proof(sign_in, about, &web).await);
        }
        if let Some(written) = written(loaded, entry) {
            findings.extend(entra(loaded, written, entry, signs_in, shown, &web, now).await);
        }
    }
    if let Some(sign_in) = &config.sign_in {
        findings.extend(place::examine(config, sign_in, &client, &secrets).await);
    }
    Ok(findings)
}

/// The section of a provider that is Entra.
fn written<'a>(loaded: &'a Loaded, entry: &Provider) -> Option<&'a file::Provider> {
    let mut sections = loaded.file.identity.providers.iter();
    let (_, section) = sections.find(|(key, _)| key.0 == *entry.provider.name())?;
    Some(section.get_ref()).filter(|section| *section.kind.get_ref() == file::ProviderKind::Entra)
}

/// Graph and the registration.
async fn entra(
    loaded: &Loaded,
    written: &file::Provider,
    entry: &Provider,
    sign_in: Option<&SignIn>,
    shown: Option<&str>,
    web: &Web,
    now: Timestamp,
) -> Vec<Finding> {
    let redirect = sign_in.map(application::redirect_uri);
    let members = members(loaded);
    let roles = members.iter().filter_map(|member| member.strip_prefix("role:"));
    let needed = Needed {
        redirect_uri: redirect.as_deref(),
        roles: roles.map(str::to_owned).collect(),
        groups: members.iter().any(|member| member.starts_with("group:")),
    };
    let mut findings = Vec::new();
    let mut token = None;
    if let (Some(access), Some(tenant)) = (&entry.graph, written.tenants.first()) {
        let (found, finding) = entra::graph(access, tenant.get_ref().as_str(), web).await;
        token = found;
        findings.push(finding);
    }
    match (shown, &entry.graph, token) {
        (Some(text), ..) => findings.extend(entra::shown(text, &needed, now)),
        (None, Some(access), Some(token)) => {
            findings.extend(entra::registration(access, &token, web, &needed, now).await);
        }
        _ => {}
    }
    findings
}

/// Everybody to whom a role gives something, as it is written.
fn members(loaded: &Loaded) -> Vec<String> {
    let roles = loaded.role_texts().flat_map(|(_, _, roles)| roles.values());
    let members = roles.flat_map(|role| &role.get_ref().members);
    let text = |member| serde_json::to_value(member).ok()?.as_str().map(str::to_owned);
    members.filter_map(|member| text(member.get_ref())).collect()
}
