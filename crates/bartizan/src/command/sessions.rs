//! `sessions` and `clients`: who is signed in through what, for the operator.

use serde::Serialize;

use super::{load, now, token::time, wait};
use crate::{
    cli::{ClientsCommand, Global, SessionsCommand},
    config::fault::nearest,
    outcome::Mistake,
    print, state,
};

pub fn run(global: &Global, command: SessionsCommand) -> anyhow::Result<()> {
    wait(async {
        let store = open(global).await?;
        let done = match command {
            SessionsCommand::List => list(global, &store).await,
            SessionsCommand::Revoke { id, user } => {
                revoke(&store, id.as_deref(), user.as_deref()).await
            }
        };
        store.close().await;
        done
    })
}

pub fn clients(global: &Global, command: ClientsCommand) -> anyhow::Result<()> {
    wait(async {
        let store = open(global).await?;
        let done = match command {
            ClientsCommand::List => list_clients(global, &store).await,
            ClientsCommand::Remove { id } => remove_client(&store, &id).await,
        };
        store.close().await;
        done
    })
}

async fn open(global: &Global) -> anyhow::Result<store::Store> {
    let folder = state::folder(global.state_dir.clone())?;
    state::make(&folder)?;
    Ok(store::Store::open(&folder.join(state::STORE)).await?)
}

#[derive(Serialize)]
struct Session {
    id: String,
    user: String,
    client: String,
    began: String,
    used: String,
    confirmed: String,
    expires: String,
}

impl print::Row for Session {
    const TITLES: &'static [&'static str] =
        &["ID", "USER", "CLIENT", "USED", "CONFIRMED", "EXPIRES"];

    fn cells(&self) -> Vec<String> {
        let Session { id, user, client, began: _, used, confirmed, expires } = self;
        [id, user, client, used, confirmed, expires].map(|text| print::tame(text)).into()
    }
}

async fn list(global: &Global, store: &store::Store) -> anyhow::Result<()> {
    let sessions = store.oauth_sessions(now()).await?;
    let rows: Vec<Session> = sessions
        .into_iter()
        .map(|session| Session {
            id: session.id,
            user: session.subject,
            client: session.client,
            began: time(session.created),
            used: time(session.used),
            confirmed: time(session.checked),
            expires: time(session.expires),
        })
        .collect();
    print::rows(global.output, &rows, "nobody is signed in")
}

async fn revoke(store: &store::Store, id: Option<&str>, user: Option<&str>) -> anyhow::Result<()> {
    let live = store.oauth_sessions(now()).await?;
    let meant = |session: &&store::Session| {
        id.is_some_and(|id| session.id == id) || user.is_some_and(|user| session.subject == user)
    };
    let mut ended = 0;
    for session in live.iter().filter(meant) {
        ended += usize::from(
            store.oauth_session_end(&session.id, "the operator ended it", now()).await?,
        );
    }
    if ended > 0 {
        return print::line(&format!(
            "ended {ended}; a running gateway refuses their tokens within {} seconds",
            identity::Authenticator::CACHE_SECONDS
        ));
    }
    let shown = id.or(user).unwrap_or_default();
    let known = live.iter().flat_map(|session| [session.id.as_str(), session.subject.as_str()]);
    let mend = match nearest(shown, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`bartizan sessions list` shows all".to_owned(),
    };
    Err(Mistake::new(format!("there is no session `{shown}`"), mend).into())
}

#[derive(Serialize)]
struct Client {
    id: String,
    name: String,
    known: &'static str,
    redirect_uris: Vec<String>,
    used: Option<String>,
}

impl print::Row for Client {
    const TITLES: &'static [&'static str] = &["ID", "NAME", "KNOWN BY", "REDIRECT URIS", "USED"];

    fn cells(&self) -> Vec<String> {
        vec![
            print::tame(&self.id),
            print::tame(&self.name),
            self.known.to_owned(),
            self.redirect_uris.join(", "),
            self.used.clone().unwrap_or_default(),
        ]
    }
}

async fn list_clients(global: &Global, store: &store::Store) -> anyhow::Result<()> {
    let configured = load(global)?.file.sign_in.into_iter().flat_map(|sign_in| sign_in.clients);
    let mut rows: Vec<Client> = configured
        .map(|(key, client)| {
            let client = client.into_inner();
            Client {
                name: client.name.unwrap_or_else(|| key.0.to_string()),
                id: key.0.to_string(),
                known: "configuration",
                redirect_uris: client.redirect_uris.into_iter().map(|uri| uri.0).collect(),
                used: None,
            }
        })
        .collect();
    for registered in store.oauth_clients().await? {
        let client: identity::broker::Client = serde_json::from_str(&registered.document)?;
        rows.push(Client {
            id: registered.id,
            name: client.name,
            known: "registration",
            redirect_uris: client.redirects.iter().map(|uri| uri.to_string()).collect(),
            used: Some(time(registered.used)),
        });
    }
    print::rows(global.output, &rows, "no client is configured or has registered")
}

async fn remove_client(store: &store::Store, id: &str) -> anyhow::Result<()> {
    let mut ended = 0;
    for session in store.oauth_sessions(now()).await?.iter().filter(|session| session.client == id)
    {
        ended += usize::from(
            store.oauth_session_end(&session.id, "the operator removed the client", now()).await?,
        );
    }
    if store.oauth_client_remove(id).await? || ended > 0 {
        return print::line(&format!(
            "removed {id}, what people had let it do, and {ended} sessions"
        ));
    }
    let clients = store.oauth_clients().await?;
    let mend = match nearest(id, clients.iter().map(|client| client.id.as_str())) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`bartizan clients list` shows all; those of the configuration are removed there"
            .to_owned(),
    };
    Err(Mistake::new(format!("nothing is known of a client `{id}`"), mend).into())
}
