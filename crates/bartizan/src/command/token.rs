//! `token`: minted here, shown once, kept as a hash.

use policy::Member;
use serde::Serialize;
use serde_json::json;

use super::{load, now, policy::stored::beside, same, wait};
use crate::{
    cli::{Global, Output, TokenCommand},
    config::{Loaded, fault::nearest, value::Period},
    outcome::Mistake,
    print, state,
};

/// The built-in role that allows everything.
const ALL: &str = "all";

pub fn run(global: &Global, command: TokenCommand) -> anyhow::Result<()> {
    wait(async {
        let folder = state::folder(global.state_dir.clone())?;
        state::make(&folder)?;
        let store = store::Store::open(&folder.join(state::STORE)).await?;
        let done = match command {
            TokenCommand::List => list(global, &store).await,
            TokenCommand::Mint { name, roles, expires } => {
                mint(global, &store, &name, roles, expires).await
            }
            TokenCommand::Revoke { name } => revoke(global, &store, &name).await,
        };
        store.close().await;
        done
    })
}

async fn mint(
    global: &Global,
    store: &store::Store,
    name: &str,
    roles: Vec<String>,
    expires: Option<Period>,
) -> anyhow::Result<()> {
    let name = identity::TokenName::new(name).map_err(|fault| {
        Mistake::new(fault.to_string(), "choose a name such as `laptop` or `ci`")
    })?;
    let (roles, hint) = granted(global, name.as_str(), roles).await?;
    let mut random = [0; 32];
    aws_lc_rs::rand::fill(&mut random)
        .map_err(|_| anyhow::anyhow!("the machine gives no random numbers"))?;
    let (text, hash) = identity::mint(random);
    let created = now();
    let expires = expires.map(|period| created.saturating_add(period.0.as_secs()));
    let token = store::Token {
        name: name.as_str().to_owned(),
        roles,
        hash: *hash.as_bytes(),
        created,
        expires,
        revoked: None,
    };
    match store.token_insert(&token).await {
        Err(store::StoreFault::Exists(name)) => Err(Mistake::new(
            format!("there is a token `{name}` already"),
            format!("choose another name, or revoke it first: bartizan token revoke {name}"),
        )
        .into()),
        Err(fault) => Err(fault.into()),
        Ok(()) => {
            if global.output == Output::Json {
                let expires = expires.map(time);
                print::json(&json!({
                    "name": token.name, "token": text, "roles": token.roles, "expires": expires,
                }))?;
            } else {
                print::line(&text)?;
            }
            eprintln!("This is shown once. A client sends it as `Authorization: Bearer …`.");
            if let Some(expires) = expires {
                eprintln!("It is valid until {}.", time(expires));
            }
            eprintln!("{hint}");
            Ok(())
        }
    }
}

/// The tokens that are valid now; none where there is no store yet.
pub async fn valid(global: &Global) -> anyhow::Result<Vec<store::Token>> {
    let path = state::folder(global.state_dir.clone())?.join(state::STORE);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let store = store::Store::open(&path).await?;
    let mut tokens = store.tokens().await?;
    store.close().await;
    let now = now();
    tokens.retain(|token| {
        token.revoked.is_none() && token.expires.is_none_or(|expires| expires > now)
    });
    Ok(tokens)
}

/// The names of those that no role can narrow.
pub fn unlimited<'a>(loaded: &Loaded, tokens: &'a [store::Token]) -> Vec<&'a str> {
    if loaded.roles().is_empty() {
        return Vec::new();
    }
    let all = |token: &&store::Token| token.roles.iter().any(|role| role == ALL);
    tokens.iter().filter(all).map(|token| token.name.as_str()).collect()
}

/// The roles that the token gets, and what that means.
async fn granted(
    global: &Global,
    name: &str,
    roles: Vec<String>,
) -> anyhow::Result<(Vec<String>, String)> {
    let folder = state::folder(global.state_dir.clone())?;
    if let (Some(named), Some(used)) = (&global.config, state::configuration_in_use(&folder))
        && !same(named, &used)
    {
        // Which roles there are, or that there are none, decides what the token may do.
        return Err(Mistake::new(
            format!("the running gateway uses {}, not {}", used.display(), named.display()),
            "leave --config out, or name the gateway's own file",
        )
        .into());
    }
    let loaded = beside(load(global)?, &folder.join(state::STORE)).await?;
    let defined = loaded.roles();
    let configured = || defined.iter().map(|role| role.name.as_str());
    let known = |role: &str| role == ALL || configured().any(|known| known == role);
    if let Some(role) = roles.iter().find(|role| !known(role)) {
        let mend = match nearest(role, configured().chain([ALL])) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("add a section [roles.{role}] first, or use the built-in role `{ALL}`"),
        };
        return Err(Mistake::new(format!("there is no role `{role}`"), mend).into());
    }
    let names = |member: &Member| member.to_string().strip_prefix("token:") == Some(name);
    let member_of = defined.iter().filter(|role| role.members.iter().any(names));
    let member_of: Vec<&str> = member_of.map(|role| role.name.as_str()).collect();
    if roles.is_empty() && defined.is_empty() {
        let hint = "No roles are configured, so it has the role `all` and may call everything. It stays so when [roles] come: then revoke it and mint it anew.";
        return Ok((vec![ALL.to_owned()], hint.to_owned()));
    }
    let all: Vec<&str> = roles.iter().map(String::as_str).chain(member_of).collect();
    let hint = match all.as_slice() {
        [] => format!(
            "It may call nothing yet: add \"token:{name}\" to the members of a role in the configuration, or mint one with --role."
        ),
        all => format!("Its roles: {}.", all.join(", ")),
    };
    Ok((roles, hint))
}

async fn revoke(global: &Global, store: &store::Store, name: &str) -> anyhow::Result<()> {
    if store.token_revoke(name, now()).await? {
        if global.output == Output::Json {
            return print::json(&json!({"revoked": name}));
        }
        return print::line(&format!(
            "revoked {name}; a running gateway refuses it within {} seconds",
            identity::Authenticator::CACHE_SECONDS
        ));
    }
    let tokens = store.tokens().await?;
    let live =
        tokens.iter().filter(|token| token.revoked.is_none()).map(|token| token.name.as_str());
    let mend = match nearest(name, live) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`bartizan token list` shows all".to_owned(),
    };
    Err(Mistake::new(format!("there is no valid token `{name}`"), mend).into())
}

async fn list(global: &Global, store: &store::Store) -> anyhow::Result<()> {
    let now = now();
    let rows: Vec<Row> = store
        .tokens()
        .await?
        .into_iter()
        .map(|token| {
            let state = match (token.revoked, token.expires) {
                (Some(_), _) => "revoked",
                (None, Some(expires)) if expires <= now => "expired",
                _ => "valid",
            };
            Row {
                name: token.name,
                state,
                roles: token.roles,
                created: time(token.created),
                expires: token.expires.map(time),
            }
        })
        .collect();
    print::rows(global.output, &rows, "no tokens yet: bartizan token mint NAME")
}

#[derive(Serialize)]
struct Row {
    name: String,
    state: &'static str,
    roles: Vec<String>,
    created: String,
    expires: Option<String>,
}

impl print::Row for Row {
    const TITLES: &'static [&'static str] = &["NAME", "STATE", "ROLES", "CREATED", "EXPIRES"];

    fn cells(&self) -> Vec<String> {
        let expires = self.expires.clone().unwrap_or_else(|| "never".to_owned());
        vec![
            self.name.clone(),
            self.state.to_owned(),
            self.roles.join(", "),
            self.created.clone(),
            expires,
        ]
    }
}

pub fn time(seconds: u64) -> String {
    let seconds =
        i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    seconds.map_or_else(|| "the far future".to_owned(), |time| time.to_string())
}
