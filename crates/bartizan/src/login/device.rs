//! Signing in from a terminal without a browser: the person types a code into one elsewhere (RFC 8628).

use std::time::Duration;

use serde::Deserialize;
use upstream::HttpClient;

use super::{
    Login, Server, now,
    oauth::{Refused, Tokens, login, post},
};

#[derive(Deserialize)]
struct Begun {
    device_code: String,
    user_code: String,
    verification_uri: String,
    expires_in: u64,
    #[serde(default = "usual")]
    interval: u64,
}

fn usual() -> u64 {
    5
}

/// Signs in.
pub async fn by_device(
    client: &HttpClient,
    server: &Server,
    url: &str,
    client_id: &str,
) -> anyhow::Result<Login> {
    let endpoint = server.device_authorization_endpoint.as_deref();
    let endpoint =
        endpoint.ok_or_else(|| anyhow::anyhow!("{} has no device sign-in", server.issuer))?;
    let begun: Begun =
        post(client, endpoint, &[("client_id", client_id), ("resource", url)]).await?;
    eprintln!(
        "Open {} in any browser and type the code\n\n  {}\n",
        begun.verification_uri, begun.user_code
    );
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("device_code", &begun.device_code),
        ("client_id", client_id),
        ("resource", url),
    ];
    let (until, mut pause) = (now().saturating_add(begun.expires_in), begun.interval.clamp(1, 60));
    while now() < until {
        tokio::time::sleep(Duration::from_secs(pause)).await;
        match post::<Tokens>(client, &server.token_endpoint, &form).await {
            Ok(tokens) => return Ok(login(server, url, client_id, tokens)),
            Err(fault) => {
                match fault.downcast_ref::<Refused>().map(|refused| refused.error.as_str()) {
                    Some("authorization_pending") => {}
                    Some("slow_down") => pause += 5,
                    _ => return Err(fault),
                }
            }
        }
    }
    anyhow::bail!("the code has expired; begin again")
}
