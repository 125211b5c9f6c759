//! The part of Microsoft Graph that says which groups somebody is in.

use http::Method;
use serde_json::{Value, json};

use crate::{
    State,
    directory::GRAPH,
    fault::uuid,
    request::{Answer, Asked},
};

pub(crate) fn answer(state: &State, asked: &Asked, path: &[&str]) -> Answer {
    if state.trouble.graph {
        return refuse(500, "InternalServerError", "An internal server error occurred.");
    }
    let caller = match caller(state, asked) {
        Ok(caller) => caller,
        Err(refused) => return *refused,
    };
    match (&asked.method, path) {
        (&Method::GET, ["users", who]) => match state.directory.user(who) {
            Some(user) => Answer::json(
                200,
                &json!({ "id": user.oid, "userPrincipalName": user.name, "accountEnabled": user.enabled }),
            ),
            None => not_found(),
        },
        (&Method::POST, ["users", who, "getMemberObjects" | "getMemberGroups"]) => {
            groups(state, asked, who)
        }
        (&Method::POST, ["me", "getMemberObjects" | "getMemberGroups"]) => {
            groups(state, asked, caller["oid"].as_str().unwrap_or_default())
        }
        (&Method::POST, ["users", who, "checkMemberGroups"]) => {
            let Some(user) = state.directory.user(who) else { return not_found() };
            let asked_for = asked.json["groupIds"].as_array().cloned().unwrap_or_default();
            let held = |id: &Value| user.groups.iter().any(|group| id == group.as_str());
            let found: Vec<_> = asked_for.into_iter().filter(held).collect();
            Answer::json(200, &json!({ "value": found }))
        }
        (&Method::GET, ["groups", group, "transitiveMembers", "microsoft.graph.user"]) => {
            members(state, asked, group)
        }
        (&Method::GET, [application]) => self::application(state, &caller, application),
        _ => refuse(400, "BadRequest", "Resource not found for the segment."),
    }
}

fn groups(state: &State, asked: &Asked, who: &str) -> Answer {
    if !asked.json["securityEnabledOnly"].is_boolean() {
        return refuse(400, "Request_BadRequest", "A value is required for 'securityEnabledOnly'.");
    }
    let Some(user) = state.directory.user(who) else { return not_found() };
    let context = "https://graph.microsoft.com/v1.0/$metadata#Collection(Edm.String)";
    Answer::json(200, &json!({ "@odata.context": context, "value": user.groups }))
}

/// `?$count=true&$filter=id eq '…'`: an advanced query, which must say that it knows it is one.
fn members(state: &State, asked: &Asked, group: &str) -> Answer {
    if asked.header("consistencylevel") != "eventual" || asked.query.find("$count") != Some("true")
    {
        return refuse(400, "Request_UnsupportedQuery", "Unsupported Query.");
    }
    let filter = asked.query.find("$filter").unwrap_or_default();
    let wanted = filter.strip_prefix("id eq '").and_then(|rest| rest.strip_suffix('\''));
    let members = state.directory.users.iter().filter(|user| {
        user.groups.iter().any(|id| id == group) && wanted.is_none_or(|oid| oid == user.oid)
    });
    let members: Vec<_> = members.map(|user| json!({ "id": user.oid })).collect();
    Answer::json(200, &json!({ "@odata.count": members.len(), "value": members }))
}

/// `applications(appId='…')`: how an application is registered, for those who may read that.
fn application(state: &State, caller: &Value, path: &str) -> Answer {
    let id = path.strip_prefix("applications(appId='").and_then(|rest| rest.strip_suffix("')"));
    let Some(app) = id.and_then(|id| state.directory.app(id)) else { return not_found() };
    let roles = caller["roles"].as_array().cloned().unwrap_or_default();
    if !roles.iter().any(|role| role == "Application.Read.All") {
        let text = "Insufficient privileges to complete the operation.";
        return refuse(403, "Authorization_RequestDenied", text);
    }
    let version = if app.version == "2.0" { json!(2) } else { Value::Null };
    let assigned = app.assigned.values().flatten();
    let assigned: std::collections::BTreeSet<&String> = assigned.collect();
    let roles: Vec<_> =
        assigned.iter().map(|role| json!({ "value": role, "isEnabled": true })).collect();
    let optional: Vec<_> = app.optional.iter().map(|name| json!({ "name": name })).collect();
    let scopes: Vec<_> =
        app.scopes.iter().map(|scope| json!({ "value": scope, "isEnabled": true })).collect();
    let secrets: Vec<_> = app
        .secrets
        .iter()
        .map(|(_, until)| {
            let until = jiff::Timestamp::from_second((*until).min(253_402_000_000)).unwrap();
            json!({ "endDateTime": until.to_string() })
        })
        .collect();
    Answer::json(
        200,
        &json!({
            "appId": app.id, "displayName": app.name, "signInAudience": "AzureADMyOrg",
            "identifierUris": [app.uri], "api": { "requestedAccessTokenVersion": version, "oauth2PermissionScopes": scopes },
            "appRoles": roles, "groupMembershipClaims": app.groups_claim.then_some("SecurityGroup"),
            "optionalClaims": { "accessToken": optional, "idToken": [], "saml2Token": [] },
            "web": { "redirectUris": app.redirect_uris }, "passwordCredentials": secrets, "keyCredentials": [],
        }),
    )
}

pub(crate) fn userinfo(state: &State, asked: &Asked) -> Answer {
    match caller(state, asked) {
        Ok(claims) => Answer::json(200, &json!({ "sub": claims["sub"], "name": claims["name"] })),
        Err(refused) => *refused,
    }
}

/// The claims of the bearer token, if it is Graph's and its holder may read here.
fn caller(state: &State, asked: &Asked) -> Result<Value, Box<Answer>> {
    let invalid = || {
        refuse(401, "InvalidAuthenticationToken", "Access token validation failure.").header(
            "www-authenticate",
            "Bearer realm=\"\", authorization_uri=\"https://login.microsoftonline.com/common/oauth2/authorize\", client_id=\"00000003-0000-0000-c000-000000000000\"",
        )
    };
    let claims = state.keys.read(asked.bearer()).ok_or_else(|| Box::new(invalid()))?;
    let audience = claims["aud"].as_str().unwrap_or_default();
    let names =
        ["https://graph.microsoft.com", "https://graph.microsoft.com/", GRAPH, &state.origin];
    if !names.contains(&audience) {
        return Err(invalid().into());
    }
    if claims["exp"].as_i64().unwrap_or_default() <= state.now() {
        return Err(invalid().into());
    }
    let issued = claims["iat"].as_i64().unwrap_or_default();
    let user = state.directory.user(claims["oid"].as_str().unwrap_or_default());
    if let Some(user) = user.filter(|user| !user.enabled || user.valid_from > issued) {
        return Err(challenge(user.valid_from.max(issued + 1), &claims).into());
    }
    let held = |name: &str| {
        claims[name].to_string().contains("Member.Read.All")
            || claims[name].to_string().contains("User.Read")
    };
    if !held("roles") && !held("scp") {
        let text = "Insufficient privileges to complete the operation.";
        return Err(refuse(403, "Authorization_RequestDenied", text).into());
    }
    Ok(claims)
}

/// Continuous access evaluation: a client that knows it learns what the next token must be.
fn challenge(not_before: i64, claims: &Value) -> Answer {
    use base64::Engine;
    let answer = refuse(
        401,
        "InvalidAuthenticationToken",
        "Continuous access evaluation resulted in challenge with result: InteractionRequired and code: TokenIssuedBeforeRevocationTimestamp",
    );
    if claims.get("xms_cc").is_none() {
        return answer;
    }
    let wanted = json!({ "access_token": { "nbf": { "essential": true, "value": not_before.to_string() } } });
    let wanted = base64::engine::general_purpose::STANDARD.encode(wanted.to_string());
    answer.header(
        "www-authenticate",
        &format!("Bearer realm=\"\", authorization_uri=\"https://login.microsoftonline.com/common/oauth2/authorize\", error=\"insufficient_claims\", claims=\"{wanted}\""),
    )
}

fn not_found() -> Answer {
    refuse(
        404,
        "Request_ResourceNotFound",
        "Resource does not exist or one of its queried reference-property objects are not present.",
    )
}

fn refuse(status: u16, code: &str, message: &str) -> Answer {
    let inner = json!({ "request-id": uuid(), "client-request-id": uuid() });
    Answer::json(
        status,
        &json!({ "error": { "code": code, "message": message, "innerError": inner } }),
    )
}
