//! Requests to a gateway's authorization server.

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use identity::broker::encode;
use serde::Deserialize;
use serde_json::json;
use upstream::HttpClient;

use super::{Login, Server, discovery::RULES, now};

/// An error that the authorization server names.
#[derive(Debug, Deserialize, thiserror::Error)]
#[error("{error}: {error_description}")]
pub struct Refused {
    pub error: String,
    #[serde(default)]
    pub error_description: String,
}

/// The tokens that it gives out.
#[derive(Deserialize)]
pub struct Tokens {
    pub access_token: String,
    pub expires_in: u64,
    pub refresh_token: Option<String>,
}

/// Posts a form and reads the answer, or the error that is named.
pub async fn post<T: for<'de> Deserialize<'de>>(
    client: &HttpClient,
    url: &str,
    form: &[(&str, &str)],
) -> anyhow::Result<T> {
    let body = encode(form.iter().map(|(name, value)| (*name, Some((*value).into()))));
    send(client, url, "application/x-www-form-urlencoded", body).await
}

async fn send<T: for<'de> Deserialize<'de>>(
    client: &HttpClient,
    url: &str,
    media: &str,
    body: String,
) -> anyhow::Result<T> {
    let request = Request::post(url)
        .header(header::CONTENT_TYPE, media)
        .header(header::ACCEPT, "application/json")
        .body(Full::new(Bytes::from(body)))?;
    let response =
        client.fetch(request, RULES).await.map_err(|fault| anyhow::anyhow!("{url}: {fault}"))?;
    if response.status().is_success() {
        return Ok(serde_json::from_slice(response.body())?);
    }
    match serde_json::from_slice::<Refused>(response.body()) {
        Ok(refused) => Err(refused.into()),
        Err(_) => anyhow::bail!("{url} answered {}", response.status()),
    }
}

/// Registers this program as a client.
pub async fn registered(client: &HttpClient, server: &Server) -> anyhow::Result<String> {
    #[derive(Deserialize)]
    struct Registered {
        client_id: String,
    }
    let url = server.registration_endpoint.as_deref().ok_or_else(|| {
        crate::outcome::Mistake::new(
            format!("{} lets no client register itself", server.issuer),
            "ask its operator for a client_id, and name it with --client-id",
        )
    })?;
    let body = json!({
        "client_name": "Bartizan command line",
        "redirect_uris": ["http://127.0.0.1/callback"],
        "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "application_type": "native",
    });
    let registered: Registered = send(client, url, "application/json", body.to_string()).await?;
    Ok(registered.client_id)
}

/// A sign-in with the tokens that came of it.
pub fn login(server: &Server, url: &str, client_id: &str, tokens: Tokens) -> Login {
    Login {
        url: url.to_owned(),
        issuer: server.issuer.clone(),
        client_id: client_id.to_owned(),
        token_endpoint: server.token_endpoint.clone(),
        revocation_endpoint: server.revocation_endpoint.clone(),
        access_token: tokens.access_token,
        expires: now().saturating_add(tokens.expires_in),
        refresh_token: tokens.refresh_token,
    }
}

/// Renewed when it ends within this many seconds.
const EARLY: u64 = 60;

/// The sign-in with an access token that is still good for a while; `None` when it is as it was.
pub async fn fresh(client: &HttpClient, login: &Login) -> anyhow::Result<Option<Login>> {
    if now().saturating_add(EARLY) < login.expires {
        return Ok(None);
    }
    let again = || {
        crate::outcome::Mistake::new(
            format!("the sign-in at {} is over", login.url),
            format!("sign in again: bartizan login {}", login.url),
        )
    };
    let refresh = login.refresh_token.as_deref().ok_or_else(again)?;
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh),
        ("client_id", &login.client_id),
        ("resource", &login.url),
    ];
    let tokens: Tokens = match post(client, &login.token_endpoint, &form).await {
        Ok(tokens) => tokens,
        Err(fault) => match fault.downcast_ref::<Refused>() {
            Some(refused)
                if refused.error == "invalid_grant" || refused.error == "invalid_client" =>
            {
                return Err(again().into());
            }
            _ => return Err(fault),
        },
    };
    Ok(Some(Login {
        access_token: tokens.access_token,
        expires: now().saturating_add(tokens.expires_in),
        refresh_token: tokens.refresh_token.or_else(|| login.refresh_token.clone()),
        ..login.clone()
    }))
}

/// Ends a sign-in at the gateway.
pub async fn ended(client: &HttpClient, login: &Login) -> anyhow::Result<()> {
    let Some(url) = &login.revocation_endpoint else { return Ok(()) };
    let token = login.refresh_token.as_deref().unwrap_or(&login.access_token);
    let form = [("token", token), ("client_id", login.client_id.as_str())];
    post::<serde_json::Value>(client, url, &form).await.map(drop)
}
