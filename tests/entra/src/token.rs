//! The token endpoint: five grants.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{
    Engine,
    engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

use crate::{
    State,
    client::Client,
    device,
    directory::{App, Grant, Refresh, Session, TENANT},
    fault::{Fault, opaque},
    mint,
    request::{Answer, Asked},
    scope::{self, Scope},
};

const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";
const ON_BEHALF: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const NINETY_DAYS: i64 = 90 * 86_400;

pub(crate) fn answer(state: &mut State, tenant: &str, asked: &Asked) -> Result<Answer, Fault> {
    let kind = needed(asked, "grant_type")?;
    let client = Client::authenticate(state, tenant, asked)?;
    match kind {
        "authorization_code" => authorization_code(state, &client, asked),
        "refresh_token" => refresh_token(state, &client, asked),
        "client_credentials" => client_credentials(state, &client, tenant, asked),
        DEVICE => {
            let (session, scope) = device::redeem(state, &client, needed(asked, "device_code")?)?;
            let challenges = knows_challenges(asked.form.find("claims"));
            let grant =
                Grant { client: client.id.clone(), session, scope, nonce: None, challenges };
            granted(state, &client, grant, asked)
        }
        ON_BEHALF => on_behalf_of(state, &client, asked),
        _ => Err(Fault::new(70003)),
    }
}

fn needed<'a>(asked: &'a Asked, name: &str) -> Result<&'a str, Fault> {
    asked.form.find(name).ok_or_else(|| Fault::about(900144, name))
}

/// Whether a `claims` parameter says that the client can answer a claims challenge.
pub(crate) fn knows_challenges(claims: Option<&str>) -> bool {
    let claims: Value = claims.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let values = claims["access_token"]["xms_cc"]["values"].as_array();
    values.is_some_and(|values| values.iter().any(|value| value == "cp1"))
}

fn authorization_code(state: &mut State, client: &Client, asked: &Asked) -> Result<Answer, Fault> {
    let now = state.now();
    let shown = needed(asked, "code")?;
    let code = state.given.codes.get_mut(shown).ok_or_else(|| Fault::new(70000))?;
    if code.grant.client != client.id {
        return Err(Fault::new(70000));
    }
    if code.expires <= now {
        return Err(Fault::new(70008));
    }
    if std::mem::replace(&mut code.used, true) {
        return Err(Fault::new(54005));
    }
    let code = code.clone();
    if asked.form.find("redirect_uri") != Some(&code.redirect_uri) {
        return Err(Fault::about(50011, asked.form.find("redirect_uri").unwrap_or_default()));
    }
    let verifier = asked.form.find("code_verifier").unwrap_or_default();
    let proved = match &code.challenge {
        None => verifier.is_empty(),
        Some((challenge, method)) if method == "S256" => {
            URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes())) == *challenge
        }
        Some((challenge, _)) => verifier == challenge,
    };
    if !proved {
        return Err(Fault::new(501481));
    }
    scope::check_resource(state, asked.form.find("resource"), &code.grant.scope)?;
    let mut grant = code.grant;
    grant.challenges |= knows_challenges(asked.form.find("claims"));
    granted(state, client, grant, asked)
}

fn refresh_token(state: &mut State, client: &Client, asked: &Asked) -> Result<Answer, Fault> {
    let now = state.now();
    let shown = needed(asked, "refresh_token")?;
    let held = state.given.refresh.get(shown).cloned().ok_or_else(|| Fault::new(70000))?;
    if held.grant.client != client.id {
        return Err(Fault::new(70000));
    }
    if held.expires <= now {
        return Err(Fault::new(700082));
    }
    let user = state.directory.user(&held.grant.session.user).ok_or_else(|| Fault::new(50034))?;
    if !user.enabled {
        return Err(Fault::new(50057));
    }
    if user.valid_from > held.issued {
        return Err(Fault::new(50173));
    }
    let mut grant = held.grant;
    if let Some(text) = asked.form.find("scope") {
        let scope = Scope::read(state, text)?;
        grant.scope = Scope { openid: scope.openid || grant.scope.openid, ..scope };
        grant.scope.offline = true;
    }
    scope::check_resource(state, asked.form.find("resource"), &grant.scope)?;
    grant.challenges |= knows_challenges(asked.form.find("claims"));
    granted(state, client, grant, asked)
}

fn client_credentials(
    state: &State,
    client: &Client,
    tenant: &str,
    asked: &Asked,
) -> Result<Answer, Fault> {
    if matches!(tenant, "common" | "consumers") {
        return Err(Fault::new(9001023));
    }
    if client.method == "0" {
        return Err(Fault::new(7000218));
    }
    let text = needed(asked, "scope")?;
    let spelled = text.strip_suffix("/.default").ok_or_else(|| Fault::about(1002012, text))?;
    let app = scope::resource(state, spelled).ok_or_else(|| Fault::about(500011, spelled))?;
    if asked.form.find("resource").is_some_and(|named| named != app.uri && named != app.id) {
        return Err(Fault::new(9010010));
    }
    let minted = mint::for_app(state, client, app, spelled);
    Ok(Answer::json(
        200,
        &json!({
            "token_type": "Bearer", "expires_in": minted.expires_in, "ext_expires_in": minted.expires_in,
            "access_token": minted.token,
        }),
    ))
}

fn on_behalf_of(state: &mut State, client: &Client, asked: &Asked) -> Result<Answer, Fault> {
    if asked.form.find("requested_token_use") != Some("on_behalf_of") {
        return Err(Fault::about(900144, "requested_token_use"));
    }
    let assertion = needed(asked, "assertion")?;
    let scope = Scope::read(state, needed(asked, "scope")?)?;
    let claims = state.keys.read(assertion).ok_or_else(|| Fault::new(50013))?;
    let app = state.directory.app(&client.id).unwrap();
    if claims["aud"] != app.id.as_str() && claims["aud"] != app.uri.as_str() {
        return Err(Fault::new(500131));
    }
    if claims["exp"].as_i64().unwrap_or_default() <= state.now() {
        return Err(Fault::new(500133));
    }
    if claims.get("scp").is_none() {
        return Err(Fault::new(7000114));
    }
    let oid = claims["oid"].as_str().unwrap_or_default();
    let user = state.directory.user(oid).ok_or_else(|| Fault::new(50034))?;
    if user.valid_from > claims["iat"].as_i64().unwrap_or_default() {
        return Err(Fault::new(50173));
    }
    let session = Session { user: user.name.clone(), second_factor: false, since: state.now() };
    let challenges =
        claims["xms_cc"].as_array().is_some_and(|all| all.iter().any(|cc| cc == "cp1"));
    let grant = Grant { client: client.id.clone(), session, scope, nonce: None, challenges };
    granted(state, client, grant, asked)
}

/// The answer to a grant that stands, once the user and Conditional Access let it.
fn granted(
    state: &mut State,
    client: &Client,
    grant: Grant,
    asked: &Asked,
) -> Result<Answer, Fault> {
    allowed(state, &grant)?;
    let resource = state.directory.app(&grant.scope.resource).unwrap();
    let minted = mint::for_user(state, client, &grant);
    let mut body = json!({
        "token_type": "Bearer", "scope": grant.scope.spelled(resource), "expires_in": minted.expires_in,
        "ext_expires_in": minted.expires_in, "access_token": minted.token,
    });
    if grant.scope.openid {
        body["id_token"] = mint::id_token(state, &grant).into();
    }
    if asked.form.find("client_info") == Some("1") {
        let oid = &state.directory.user(&grant.session.user).unwrap().oid;
        let info = json!({ "uid": oid, "utid": TENANT }).to_string();
        body["client_info"] = URL_SAFE.encode(info).into();
    }
    if grant.scope.offline {
        let token = opaque("1.AUEB");
        body["refresh_token"] = token.clone().into();
        let now = state.now();
        state
            .given
            .refresh
            .insert(token, Refresh { grant, issued: now, expires: now + NINETY_DAYS });
    }
    Ok(Answer::json(200, &body))
}

/// What stands between a user and a token.
pub(crate) fn allowed(state: &State, grant: &Grant) -> Result<(), Fault> {
    let user = state.directory.user(&grant.session.user).ok_or_else(|| Fault::new(50034))?;
    let resource = state.directory.app(&grant.scope.resource).unwrap();
    if !user.enabled {
        return Err(Fault::new(50057));
    }
    let client = state.directory.app(&grant.client).unwrap();
    let closed = |app: &&App| app.assignment_required && !app.assigned.contains_key(&user.oid);
    if let Some(app) = [client, resource].iter().find(|app| closed(app)) {
        return Err(Fault::about(50105, &app.name));
    }
    if !resource.consented.contains(&grant.client) && grant.client != resource.id {
        return Err(Fault::about(65001, &grant.client).suberror("consent_required"));
    }
    if state.trouble.second_factor.contains(&resource.id) && !grant.session.second_factor {
        let policy = "d4f2a1c0-6b0e-4e3e-9a53-f0a1b2c3d4e5";
        let claims =
            json!({ "access_token": { "capolids": { "essential": true, "values": [policy] } } });
        return Err(Fault::new(50076).suberror("basic_action").claims(&claims));
    }
    Ok(())
}
