//! `secret`: sealed values, which no command ever prints.

mod expiry;
mod posture;

use std::io::IsTerminal;

pub use posture::protections;

use gateway::secrets::{Fresh, Safe, SafeFault};
use serde::Serialize;
use vault::{SecretName, Source};

use super::{load, now, token::time, wait};
use crate::{
    cli::{
        Global,
        secret::{KeepArgs, SecretCommand},
    },
    config::{self, Loaded, fault::nearest, uses},
    outcome::Mistake,
    print, state,
};

/// As changes are recorded that the owner of the state folder makes.
const OWNER: &str = "owner";

pub fn run(global: &Global, command: SecretCommand) -> anyhow::Result<()> {
    let loaded = load(global)?;
    if let SecretCommand::WhereUsed { name } = command {
        return where_used(global, &loaded, name.as_deref());
    }
    let folder = state::folder(global.state_dir.clone())?;
    wait(async {
        state::make(&folder)?;
        let store = store::Store::open(&folder.join(state::STORE)).await?;
        let settings = config::vault::resolve(&loaded.file, &loaded.folder(), &folder)?;
        let within = settings.warn_before;
        let client = upstream::HttpClient::new()?;
        let safe = Safe::new(store.clone(), settings, &client);
        let done = match command {
            SecretCommand::Set(args) => set(&safe, args).await,
            SecretCommand::Rotate(args) => rotate(&safe, &store, args).await,
            SecretCommand::List => list(global, &store).await,
            SecretCommand::Remove { name, force } => {
                remove(&safe, &store, &loaded, &name, force).await
            }
            SecretCommand::Expiry { within: asked } => {
                let within = asked.map_or(within, |period| period.0);
                expiry::run(global, &store, &loaded, within).await
            }
            SecretCommand::RotateMaster => rotate_master(&safe).await,
            SecretCommand::WhereUsed { .. } => Ok(()),
        };
        store.close().await;
        done
    })
}

async fn set(safe: &Safe, args: KeepArgs) -> anyhow::Result<()> {
    let fresh = fresh(args)?;
    let name = fresh.name.clone();
    match safe.set(fresh, OWNER, now()).await {
        Ok(_) => print::line(&format!("sealed; write ${{secret:{name}}} where it belongs")),
        Err(fault @ SafeFault::Exists(_)) => Err(Mistake::new(
            fault.to_string(),
            format!("to put another value in its place: bartizan secret rotate {name}"),
        )
        .into()),
        Err(fault) => Err(fault.into()),
    }
}

async fn rotate(safe: &Safe, store: &store::Store, args: KeepArgs) -> anyhow::Result<()> {
    let name = name(&args.name)?;
    if store.secret(name.as_str()).await?.is_none() {
        return Err(unknown(&name, store).await?.into());
    }
    let version = safe.rotate(fresh(args)?, OWNER, now()).await?;
    print::line(&format!(
        "sealed as value {version}; a running gateway uses it within a second, and for the next process that it starts"
    ))
}

/// What is typed or piped in.
fn fresh(args: KeepArgs) -> anyhow::Result<Fresh> {
    let name = name(&args.name)?;
    let input = std::io::stdin();
    let value = if input.is_terminal() {
        vault::prompt(&format!("Value of {name}"))
    } else {
        vault::read_secret(&mut input.lock())
    };
    let mend = "give 1 byte to 64 KiB of UTF-8 text on the terminal or on standard input";
    let value = value.map_err(|fault| Mistake::new(fault.to_string(), mend))?;
    if value.expose().is_empty() || value.expose().len() > vault::VALUE_LIMIT {
        return Err(Mistake::new("this can't be a secret: it is empty or too long", mend).into());
    }
    let expires = args.expires.map(|expires| expires.seconds(now()));
    Ok(Fresh { name, value, expires, owner: args.owner })
}

fn name(text: &str) -> Result<SecretName, Mistake> {
    SecretName::new(text)
        .map_err(|fault| Mistake::new(fault.to_string(), "choose a name such as `github`"))
}

async fn unknown(name: &SecretName, store: &store::Store) -> anyhow::Result<Mistake> {
    let secrets = store.secrets().await?;
    let mend = match nearest(name.as_str(), secrets.iter().map(|secret| secret.name.as_str())) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`bartizan secret list` shows all".to_owned(),
    };
    Ok(Mistake::new(format!("there is no secret `{name}`"), mend))
}

async fn remove(
    safe: &Safe,
    store: &store::Store,
    loaded: &Loaded,
    text: &str,
    force: bool,
) -> anyhow::Result<()> {
    let name = name(text)?;
    if let Some(used) = used(loaded, Some(&name)).first().filter(|_| !force) {
        let what = format!("`{name}` is used: {}, line {}", used.key, used.line);
        return Err(Mistake::new(what, "take it out there first, or add --force").into());
    }
    match safe.remove(&name, OWNER, now()).await {
        Err(SafeFault::Unknown(_)) => Err(unknown(&name, store).await?.into()),
        Err(fault) => Err(fault.into()),
        Ok(()) => print::line("removed; revoke it also where it came from"),
    }
}

async fn rotate_master(safe: &Safe) -> anyhow::Result<()> {
    let secrets = safe.rotate_master(OWNER, now()).await?;
    print::line(&format!(
        "sealed anew under a new master key: {secrets} secrets; copies of the old key open nothing that is set from now on"
    ))
}

async fn list(global: &Global, store: &store::Store) -> anyhow::Result<()> {
    let row = |secret: store::SealedSecret| Row {
        name: secret.name,
        version: secret.version,
        set: time(secret.set),
        expires: secret.expires.map(time),
        owner: secret.owner,
    };
    let rows: Vec<Row> = store.secrets().await?.into_iter().map(row).collect();
    print::rows(global.output, &rows, "no secrets yet: bartizan secret set NAME")
}

#[derive(Serialize)]
struct Row {
    name: String,
    version: u64,
    set: String,
    expires: Option<String>,
    owner: String,
}

impl print::Row for Row {
    const TITLES: &'static [&'static str] = &["NAME", "VERSION", "SET", "EXPIRES", "OWNER"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.version.to_string(),
            self.set.clone(),
            self.expires.clone().unwrap_or_else(|| "not known".to_owned()),
            print::tame(&self.owner),
        ]
    }
}

fn where_used(global: &Global, loaded: &Loaded, text: Option<&str>) -> anyhow::Result<()> {
    let name = text.map(name).transpose()?;
    let nothing = match &name {
        Some(name) => format!("nothing uses {name}"),
        None => "the configuration uses no secrets".to_owned(),
    };
    print::rows(global.output, &used(loaded, name.as_ref()), &nothing)
}

/// Where the configuration uses this sealed secret, or any secret at all.
fn used(loaded: &Loaded, name: Option<&SecretName>) -> Vec<Used> {
    let wanted = |found: &uses::Use| match name {
        Some(name) => found.source == Source::Secret(name.clone()),
        None => true,
    };
    let line = |at: usize| loaded.text[..at].matches('\n').count() + 1;
    let used = uses::find(&loaded.text).into_iter().filter(wanted).map(|found| Used {
        secret: found.source.to_string(),
        key: found.key,
        line: line(found.span.start),
    });
    used.collect()
}

#[derive(Serialize)]
struct Used {
    secret: String,
    key: String,
    line: usize,
}

impl print::Row for Used {
    const TITLES: &'static [&'static str] = &["SECRET", "USED IN", "LINE"];

    fn cells(&self) -> Vec<String> {
        vec![self.secret.clone(), self.key.clone(), self.line.to_string()]
    }
}
