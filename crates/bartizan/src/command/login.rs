//! `login`, `logout`, `whoami`: this person at gateways elsewhere.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Serialize;
use serde_json::Value;
use upstream::HttpClient;
use vault::sealed::keyring::KeyringFault;

use super::wait;
use crate::{
    cli::{Global, LoginArgs},
    login::{self, Login, Logins, Opening},
    outcome::Mistake,
    print, state,
};

/// Signs in and keeps the tokens.
pub fn login(global: &Global, args: &LoginArgs) -> anyhow::Result<()> {
    wait(async {
        let folder = state::folder(global.state_dir.clone())?;
        let known = {
            let logins = Logins::open(&folder).await?;
            let url = match (&args.url, logins.find(None)) {
                (Some(url), _) => url.clone(),
                (None, Some(login)) => login.url.clone(),
                (None, None) => {
                    return Err(Mistake::new(
                        "which gateway?",
                        "bartizan login https://mcp.example.com/mcp",
                    )
                    .into());
                }
            };
            (url.clone(), logins.find(Some(&url)).cloned())
        };
        let (url, known) = known;
        let client = HttpClient::new()?;
        let (server, resource) = login::discover(&client, &url).await?;
        // A registration is good at the server that gave it, and nowhere else.
        let registered =
            known.filter(|known| known.issuer == server.issuer).map(|known| known.client_id);
        let client_id = match args.client_id.clone().or(registered) {
            Some(id) => id,
            None => login::registered(&client, &server).await?,
        };
        let signed_in = if args.device {
            login::by_device(&client, &server, &resource, &client_id).await?
        } else {
            login::by_browser(&client, &server, &resource, &client_id, !args.no_browser).await?
        };
        let who = Who::of(&signed_in);
        let mut logins = Logins::open(&folder).await?;
        logins.keep(signed_in).await?;
        let no_keyring = match args.passphrase {
            true => logins.lock_with_passphrase().await.map(|()| None)?,
            false => logins.lock_with_keyring().await?,
        };
        let kept = kept(logins.opening(), no_keyring);
        drop(logins);
        eprintln!(
            "Signed in as {}. `bartizan call --remote` and `bartizan stdio --remote` use it.\n{kept}",
            who.name
        );
        Ok(())
    })
}

/// Where the tokens are now.
fn kept(opening: &Opening, no_keyring: Option<KeyringFault>) -> String {
    match (opening, no_keyring) {
        (Opening::Keyring(_), _) => {
            "The tokens are sealed in the state folder; their key is in this session's keyring."
                .to_owned()
        }
        (Opening::Passphrase(_), _) => {
            "The tokens are sealed in the state folder; your passphrase opens them.".to_owned()
        }
        (Opening::KeyFile, why) => {
            let why = why.map(|why| format!(", since {why}")).unwrap_or_default();
            format!(
                "The tokens are sealed in the state folder, and their key lies beside them{why}. With --passphrase no file has it."
            )
        }
    }
}

/// Ends a sign-in, here and at the gateway.
pub fn logout(global: &Global, url: Option<&str>) -> anyhow::Result<()> {
    wait(async {
        let folder = state::folder(global.state_dir.clone())?;
        let mut logins = Logins::open(&folder).await?;
        let login = named(&logins, url)?.clone();
        logins.remove(&login.url).await?;
        match login::ended(&HttpClient::new()?, &login).await {
            Ok(()) => print::line(&format!("signed out of {}", login.url)),
            Err(fault) => {
                print::line(&format!("the tokens for {} are deleted here", login.url))?;
                Err(fault.context(
                    "the gateway was not told, and the session there lives on until it expires",
                ))
            }
        }
    })
}

fn named<'a>(logins: &'a Logins, url: Option<&str>) -> anyhow::Result<&'a Login> {
    logins.find(url).ok_or_else(|| {
        let known: Vec<&str> = logins.list.iter().map(|login| login.url.as_str()).collect();
        let mend = match known.as_slice() {
            [] => "sign in first: bartizan login URL".to_owned(),
            known => format!("name one of {}", known.join(", ")),
        };
        Mistake::new("there is no such sign-in", mend).into()
    })
}

/// Prints who is signed in where.
pub fn whoami(global: &Global) -> anyhow::Result<()> {
    wait(async {
        let folder = state::folder(global.state_dir.clone())?;
        let logins = Logins::open(&folder).await?;
        let rows: Vec<Who> = logins.list.iter().map(Who::of).collect();
        print::rows(global.output, &rows, "not signed in anywhere: bartizan login URL")
    })
}

/// What a token says of its holder. It is the gateway's to verify; here it is only shown.
#[derive(Serialize)]
struct Who {
    url: String,
    id: String,
    name: String,
    roles: Vec<String>,
    groups: Vec<String>,
    scopes: String,
    expires: String,
}

impl Who {
    fn of(login: &Login) -> Who {
        let claims = login
            .access_token
            .split('.')
            .nth(1)
            .and_then(|part| BASE64_URL_SAFE_NO_PAD.decode(part).ok());
        let claims: Value =
            claims.and_then(|part| serde_json::from_slice(&part).ok()).unwrap_or_default();
        let text = |name: &str| print::tame(claims[name].as_str().unwrap_or_default());
        let texts = |name: &str| {
            let list = claims[name].as_array().into_iter().flatten();
            list.filter_map(Value::as_str).map(print::tame).collect()
        };
        let id = text("sub");
        Who {
            url: login.url.clone(),
            name: Some(text("name")).filter(|name| !name.is_empty()).unwrap_or_else(|| id.clone()),
            id,
            roles: texts("roles"),
            groups: texts("groups"),
            scopes: text("scope"),
            expires: super::token::time(login.expires),
        }
    }
}

impl print::Row for Who {
    const TITLES: &'static [&'static str] =
        &["GATEWAY", "ID", "NAME", "ROLES", "SCOPES", "TOKEN UNTIL"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.url.clone(),
            self.id.clone(),
            self.name.clone(),
            self.roles.join(", "),
            self.scopes.clone(),
            self.expires.clone(),
        ]
    }
}
