//! What only Entra has: Graph, and a registration that can be read.

use gateway::config::GraphAccess;
use jiff::Timestamp;
use serde_json::Value;
use vault::exchange::ExchangeRequest;

use super::{
    finding::Finding,
    registration::{self, Needed},
    web::{Reply, Unreached, Web},
};

/// Nobody's object id.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

/// Asks as the gateway would ask for somebody's groups.
pub async fn graph(access: &GraphAccess, tenant: &str, web: &Web) -> (Option<String>, Finding) {
    let check = "graph: client credentials";
    let token = match token(access, tenant, web).await {
        Ok(token) => token,
        Err(finding) => return (None, finding),
    };
    let url = access.cloud.member_objects(NOBODY);
    let body = r#"{"securityEnabledOnly":false}"#.to_owned();
    let finding = match web.post_as(&url, &token, body).await {
        Err(unreached) => Finding::unreached(check, &unreached),
        // Nobody is of that name, which only somebody who may ask is told.
        Ok(reply) if reply.status == 404 => Finding::ok(check, "groups can be asked for"),
        Ok(reply) if reply.status == 403 => Finding::fault(
            check,
            format!("the application may not read groups: {}", reply.complaint()),
            "API permissions > Microsoft Graph > Application permissions: User.Read.All and GroupMember.Read.All; then Grant admin consent",
        ),
        Ok(reply) => Finding::refused(check, &reply),
    };
    (Some(token), finding)
}

async fn token(access: &GraphAccess, tenant: &str, web: &Web) -> Result<String, Finding> {
    let check = "graph: client credentials";
    let at = access.token_endpoint(tenant).ok_or_else(|| {
        Finding::fault(check, "the cloud's host is no host", "mend `cloud` or `login-url`")
    })?;
    let proof = web.prove(&at.client_id, &at.proof, at.url.as_str()).await.map_err(|fault| {
        Finding::fault(check, fault, "the gateway must be able to read graph-secret")
    })?;
    let form = ExchangeRequest::ClientCredentials.form(&at.url, &at.wanted, &proof);
    let reply = web.send_form(form).await;
    let reply = reply.map_err(|unreached| Finding::unreached(check, &unreached))?;
    let token = reply.json()["access_token"].as_str().map(str::to_owned);
    token.ok_or_else(|| Finding::refused(check, &reply))
}

/// Looks at the registration, if Graph shows it to the application itself.
pub async fn registration(
    access: &GraphAccess,
    token: &str,
    web: &Web,
    needed: &Needed<'_>,
    now: Timestamp,
) -> Vec<Finding> {
    let check = "registration";
    let url = format!("{}/v1.0/applications(appId='{}')", access.cloud.graph, access.client_id);
    match web.get_as(&url, token).await {
        Ok(reply) if reply.status == 200 => registration::examine(&reply.json(), needed, now),
        Ok(reply) => vec![unreadable(check, &access.client_id, &reply)],
        Err(unreached) => vec![lost(check, &unreached)],
    }
}

fn unreadable(check: &str, client_id: &str, reply: &Reply) -> Finding {
    Finding::unknown(
        check,
        format!("the application may not read its own registration (HTTP {})", reply.status),
        format!("az ad app show --id {client_id} | bartizan doctor --application -"),
    )
}

fn lost(check: &str, unreached: &Unreached) -> Finding {
    Finding::unreached(check, unreached)
}

/// The same from what `az ad app show` printed.
pub fn shown(text: &str, needed: &Needed<'_>, now: Timestamp) -> Vec<Finding> {
    match serde_json::from_str::<Value>(text) {
        Ok(application) => registration::examine(&application, needed, now),
        Err(fault) => vec![Finding::fault(
            "registration",
            format!("what --application names is not JSON: {fault}"),
            "show what `az ad app show --id CLIENT-ID` prints",
        )],
    }
}
