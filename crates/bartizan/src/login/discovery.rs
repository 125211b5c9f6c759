//! Where a gateway's tokens are given out, as every MCP client finds it (RFC 9728, RFC 8414).

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use serde::Deserialize;
use upstream::{Fetch, HttpClient};
use url::Url;

use crate::outcome::Mistake;

/// What a gateway's authorization server offers.
#[derive(Clone, Debug, Deserialize)]
pub struct Server {
    pub issuer: String,
    pub authorization_endpoint: String,
    pub token_endpoint: String,
    pub registration_endpoint: Option<String>,
    pub device_authorization_endpoint: Option<String>,
    pub revocation_endpoint: Option<String>,
    #[serde(default)]
    code_challenge_methods_supported: Vec<String>,
}

#[derive(Deserialize)]
struct Resource {
    resource: String,
    authorization_servers: Vec<String>,
}

/// Finds the authorization server of the gateway at `url`, and the resource's own name.
pub async fn discover(client: &HttpClient, url: &str) -> anyhow::Result<(Server, String)> {
    let parsed = Url::parse(url).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.username().is_empty()
    });
    let parsed = parsed.ok_or_else(|| {
        Mistake::new(
            format!("`{url}` is not a gateway's URL"),
            "write such as https://mcp.example.com/mcp",
        )
    })?;
    let origin = parsed.origin().ascii_serialization();
    let path = parsed.path().trim_end_matches('/');
    let about: Resource =
        document(client, &format!("{origin}/.well-known/oauth-protected-resource{path}"))
            .await?
            .ok_or_else(|| {
                anyhow::anyhow!("{url} does not say where to sign in; is sign-in configured there?")
            })?;
    let wanted = format!("{origin}{path}");
    let named = about.resource.trim_end_matches('/');
    if named != wanted && !(path.is_empty() && named.starts_with(&format!("{origin}/"))) {
        return Err(Mistake::new(
            format!("the gateway calls itself {}, not {url}", about.resource),
            format!("sign in by its own name: bartizan login {}", about.resource),
        )
        .into());
    }
    let issuer = about.authorization_servers.first();
    let issuer = issuer.ok_or_else(|| anyhow::anyhow!("{url} names no authorization server"))?;
    let server = metadata(client, issuer).await?;
    // RFC 8414 §3.3, RFC 9207 and the MCP specification: otherwise somebody is mixed up, or does not know PKCE.
    anyhow::ensure!(server.issuer == *issuer, "{issuer} calls itself {}", server.issuer);
    anyhow::ensure!(
        server.code_challenge_methods_supported.iter().any(|method| method == "S256"),
        "{issuer} does not support PKCE with S256"
    );
    Ok((server, about.resource))
}

/// Wherever the metadata may be.
async fn metadata(client: &HttpClient, issuer: &str) -> anyhow::Result<Server> {
    let url = Url::parse(issuer)?;
    let (origin, path) = (url.origin().ascii_serialization(), url.path().trim_end_matches('/'));
    for place in [
        format!("{origin}/.well-known/oauth-authorization-server{path}"),
        format!("{origin}/.well-known/openid-configuration{path}"),
        format!("{origin}{path}/.well-known/openid-configuration"),
    ] {
        if let Some(server) = document(client, &place).await? {
            return Ok(server);
        }
    }
    anyhow::bail!("{issuer} publishes no metadata")
}

/// What the user's own request may reach: whatever they named.
pub const RULES: Fetch =
    Fetch { bytes: 256 << 10, deadline: Duration::from_secs(15), allow_private: true };

/// A JSON document; `None` when it is not there.
async fn document<T: for<'de> Deserialize<'de>>(
    client: &HttpClient,
    url: &str,
) -> anyhow::Result<Option<T>> {
    let request = Request::get(url)
        .header(header::ACCEPT, "application/json")
        .body(Full::new(Bytes::new()))?;
    let response =
        client.fetch(request, RULES).await.map_err(|fault| anyhow::anyhow!("{url}: {fault}"))?;
    match response.status() {
        StatusCode::OK => Ok(Some(serde_json::from_slice(response.body())?)),
        StatusCode::NOT_FOUND => Ok(None),
        status => anyhow::bail!("{url} answered {status}"),
    }
}
