//! Microsoft Graph, asked for one thing: the groups of somebody who is in too many for a token. The host
//! is the cloud's, whatever a token says.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use identity::EntraId;
use serde::Deserialize;
use tokio::sync::Semaphore;
use upstream::HttpClient;
use vault::{
    Secret,
    exchange::{ExchangeRequest, Exchanged},
};

use super::fetch;
use crate::{config::GraphAccess, secrets::Secrets};

/// People whose groups are remembered.
const REMEMBERED: usize = 10_000;
/// An answer serves for so many seconds, for the sake of those who come with several tokens and streams at
/// once. What is remembered longer is the token that it let in.
const FRESH: u64 = 15;
/// Groups of one person.
const GROUPS: usize = 10_000;
/// Requests at the same time.
const AT_ONCE: usize = 8;

/// Somebody's groups, as object ids.
pub(super) type Groups = Arc<Vec<String>>;

/// The way to Graph for one application.
pub(super) struct Graph {
    access: GraphAccess,
    client: HttpClient,
    secrets: Arc<Secrets>,
    room: Semaphore,
    /// By tenant: the application's own token.
    tokens: tokio::sync::Mutex<HashMap<String, Exchanged>>,
    /// By tenant and object: the groups, and until when they are believed.
    groups: Mutex<HashMap<String, (Groups, u64)>>,
}

impl Graph {
    pub(super) fn new(access: GraphAccess, client: HttpClient, secrets: Arc<Secrets>) -> Graph {
        Graph {
            access,
            client,
            secrets,
            room: Semaphore::new(AT_ONCE),
            tokens: tokio::sync::Mutex::default(),
            groups: Mutex::default(),
        }
    }

    /// The groups that somebody is in, directly or through others, as object ids. `None`: the account is
    /// disabled or gone.
    pub(super) async fn groups_of(&self, id: &EntraId, now: u64) -> Result<Option<Groups>, String> {
        let key = format!("{}/{}", id.tenant(), id.object());
        if let Some(groups) = self.remembered(&key, now) {
            return Ok(Some(groups));
        }
        let _turn = self.room.acquire().await.map_err(|fault| fault.to_string())?;
        let token = self.token(id.tenant(), now).await?;
        let groups = match self.is_enabled(id, &token).await? {
            true => self.ask(id, &token).await?,
            false => None,
        };
        if let Some(groups) = &groups {
            let mut held = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
            if held.len() >= REMEMBERED {
                held.retain(|_, (_, until)| now < *until);
            }
            if held.len() < REMEMBERED {
                held.insert(key, (groups.clone(), now + FRESH));
            }
        }
        Ok(groups)
    }

    fn remembered(&self, key: &str, now: u64) -> Option<Groups> {
        let held = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(key).filter(|(_, until)| now < *until).map(|(groups, _)| groups.clone())
    }

    async fn is_enabled(&self, id: &EntraId, token: &Secret) -> Result<bool, String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Account {
            account_enabled: bool,
        }
        let url = self.access.cloud.account(id.object());
        let request = Request::get(&url)
            .header(header::AUTHORIZATION, format!("Bearer {}", token.expose()))
            .body(Full::default());
        let account: Option<Account> = self.json(&url, request).await?;
        Ok(account.is_some_and(|account| account.account_enabled))
    }

    async fn ask(&self, id: &EntraId, token: &Secret) -> Result<Option<Groups>, String> {
        #[derive(Deserialize)]
        struct Found {
            value: Vec<String>,
        }
        let url = self.access.cloud.member_objects(id.object());
        let request = Request::post(&url)
            .header(header::AUTHORIZATION, format!("Bearer {}", token.expose()))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(r#"{"securityEnabledOnly":false}"#));
        match self.json::<Found>(&url, request).await? {
            Some(found) if found.value.len() > GROUPS => {
                Err(format!("{url} named more than {GROUPS} groups"))
            }
            found => Ok(found.map(|found| Arc::new(found.value))),
        }
    }

    /// The application's own token, by client credentials.
    async fn token(&self, tenant: &str, now: u64) -> Result<Secret, String> {
        let mut tokens = self.tokens.lock().await;
        if let Some(token) = tokens.get(tenant).filter(|token| !token.is_due(now)) {
            return Ok(token.access.clone());
        }
        let at = self.access.token_endpoint(tenant).ok_or("the cloud's host is no host")?;
        let request = ExchangeRequest::ClientCredentials;
        let token = at.ask(request, &self.client, &self.secrets, now).await;
        let token = token.map_err(|fault| fault.to_string())?;
        let access = token.access.clone();
        tokens.insert(tenant.to_owned(), token);
        Ok(access)
    }

    /// `None`: there is no such thing.
    async fn json<T: for<'de> Deserialize<'de>>(
        &self,
        url: &str,
        request: Result<Request<Full<Bytes>>, http::Error>,
    ) -> Result<Option<T>, String> {
        let answer =
            match fetch::send(&self.client, url, request, self.access.allow_private).await? {
                (StatusCode::OK, answer) => answer,
                (StatusCode::NOT_FOUND, _) => return Ok(None),
                (status, _) => return Err(fetch::refused(url, status)),
            };
        let limits = mcp::Limits { bytes: answer.len(), depth: 8, values: 2 * GROUPS };
        let json = mcp::Json::read(&answer, &limits).map_err(|fault| format!("{url}: {fault}"))?;
        // What it says may hold a token: it is not quoted.
        serde_json::from_str(json.text())
            .map(Some)
            .map_err(|_| format!("{url} answered with something else than it should"))
    }
}
