//! Tokens: their claims in both versions.

use serde_json::{Map, Value, json};

use crate::{
    State,
    client::Client,
    directory::{App, Grant, Session, TENANT, User},
    fault::{random, uuid},
    keys::Signer,
    scope::Scope,
};

/// More groups than this a token does not hold.
const MOST_GROUPS: usize = 200;

/// An access token and how long it lives.
pub(crate) struct Minted {
    pub token: String,
    pub expires_in: i64,
}

/// An access token for a user.
pub(crate) fn for_user(state: &State, client: &Client, grant: &Grant) -> Minted {
    let resource = state.directory.app(&grant.scope.resource).unwrap();
    let user = state.directory.user(&grant.session.user).unwrap();
    let lifetime = lifetime(state, grant.challenges);
    let mut claims = common(state, resource, &grant.scope.spelled, client, lifetime);
    claims.insert("scp".into(), grant.scope.granted(resource).join(" ").into());
    person(state, &mut claims, resource, user, &grant.session);
    if grant.challenges && resource.optional.contains(&"xms_cc") {
        claims.insert("xms_cc".into(), json!(["cp1"]));
    }
    sign(state, resource.version, claims, lifetime)
}

/// An access token for a program: whether it has a role or not.
pub(crate) fn for_app(state: &State, client: &Client, resource: &App, spelled: &str) -> Minted {
    let app = state.directory.app(&client.id).unwrap();
    let lifetime = lifetime(state, false);
    let mut claims = common(state, resource, spelled, client, lifetime);
    claims.insert("oid".into(), app.oid.clone().into());
    claims.insert("sub".into(), app.oid.clone().into());
    let roles = resource.roles_of(&app.oid);
    if !roles.is_empty() {
        claims.insert("roles".into(), roles.into());
    }
    if resource.optional.contains(&"idtyp") {
        claims.insert("idtyp".into(), "app".into());
    }
    sign(state, resource.version, claims, lifetime)
}

/// A managed identity's token.
pub(crate) fn for_machine(state: &State, audience: &str, version: &str) -> Minted {
    let lifetime = 86_400;
    let now = state.now();
    let claims = json!({
        "aud": audience, "iss": issuer(state, version), "iat": now, "nbf": now, "exp": now + lifetime,
        "oid": crate::MACHINE, "sub": crate::MACHINE, "tid": TENANT, "ver": version,
        "appid": crate::MACHINE, "appidacr": "2", "idtyp": "app", "uti": uti(), "rh": "0.AAAA", "aio": uti(),
    });
    let Value::Object(claims) = claims else { unreachable!() };
    sign(state, version, claims, lifetime)
}

/// An ID token: always for the client, always of version 2.0 here.
pub(crate) fn id_token(state: &State, grant: &Grant) -> String {
    let client = state.directory.app(&grant.client).unwrap();
    let user = state.directory.user(&grant.session.user).unwrap();
    let now = state.now();
    let mut claims = Map::new();
    for (name, value) in [
        ("aud", json!(client.id)),
        ("iss", json!(issuer(state, "2.0"))),
        ("iat", json!(now)),
        ("nbf", json!(now)),
        ("exp", json!(now + 3600)),
        ("ver", json!("2.0")),
        ("uti", json!(uti())),
        ("rh", json!("0.AAAA")),
        ("aio", json!(uti())),
    ] {
        claims.insert(name.into(), value);
    }
    if let Some(nonce) = &grant.nonce {
        claims.insert("nonce".into(), nonce.clone().into());
    }
    person(state, &mut claims, client, user, &grant.session);
    claims.insert("preferred_username".into(), user.name.clone().into());
    claims.insert("name".into(), display(user).into());
    state.keys.sign(Signer::Current, "2.0", &Value::Object(claims))
}

/// A token as the endpoints would make it, for a test that wants no sign-in before.
pub(crate) fn for_tests(
    state: &State,
    user: Option<&str>,
    client: &str,
    resource: &str,
    scopes: &[&str],
) -> String {
    let app = state.directory.app(resource).unwrap();
    let public = state.directory.app(client).unwrap().public;
    let client = Client { id: client.into(), method: if public { "0" } else { "1" } };
    let Some(user) = user else { return for_app(state, &client, app, &app.uri).token };
    let scope = Scope {
        resource: resource.into(),
        spelled: app.uri.clone(),
        names: scopes.iter().map(|&name| name.into()).collect(),
        ..Scope::default()
    };
    let session = Session { user: user.into(), second_factor: false, since: state.now() };
    let grant = Grant { client: client.id.clone(), session, scope, nonce: None, challenges: false };
    for_user(state, &client, &grant).token
}

/// Between 60 and 90 minutes; a client that knows claims challenges gets a day and a little.
fn lifetime(state: &State, challenges: bool) -> i64 {
    let [random] = random::<1>();
    let usual = if challenges { 86_400 } else { 3600 + i64::from(random) * 7 };
    state.trouble.lifetime.unwrap_or(usual)
}

fn issuer(state: &State, version: &str) -> String {
    match version {
        "1.0" => format!("https://sts.windows.net/{TENANT}/"),
        _ => format!("{}/{TENANT}/v2.0", state.origin),
    }
}

/// A version 2.0 token's audience is the application's id; a version 1.0 token's is what the request called it.
fn common(
    state: &State,
    resource: &App,
    spelled: &str,
    client: &Client,
    lifetime: i64,
) -> Map<String, Value> {
    let now = state.now();
    let mut claims = Map::new();
    let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    put("aud", if resource.version == "1.0" { spelled.into() } else { resource.id.clone().into() });
    put("iss", issuer(state, resource.version).into());
    put("iat", now.into());
    put("nbf", now.into());
    put("exp", (now + lifetime).into());
    put("aio", uti().into());
    let (client_claim, method_claim) =
        if resource.version == "1.0" { ("appid", "appidacr") } else { ("azp", "azpacr") };
    put(client_claim, client.id.clone().into());
    put(method_claim, client.method.into());
    put("rh", "0.AAAA".into());
    put("tid", TENANT.into());
    put("uti", uti().into());
    put("ver", resource.version.into());
    if resource.version == "1.0" {
        put("acr", "1".into());
    }
    claims
}

/// What a token says of a user, to the application that it is for.
fn person(
    state: &State,
    claims: &mut Map<String, Value>,
    audience: &App,
    user: &User,
    session: &Session,
) {
    let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    put("oid", user.oid.clone().into());
    put("sub", pairwise(user, audience).into());
    put("tid", TENANT.into());
    if audience.version == "1.0" {
        let factors = if session.second_factor { json!(["pwd", "mfa"]) } else { json!(["pwd"]) };
        put("amr", factors);
        put("upn", user.name.clone().into());
        put("unique_name", user.name.clone().into());
        put("ipaddr", "127.0.0.1".into());
    } else {
        put("preferred_username", user.name.clone().into());
    }
    put("name", display(user).into());
    let roles = audience.roles_of(&user.oid);
    if !roles.is_empty() {
        put("roles", roles.into());
    }
    if audience.groups_claim && user.groups.len() > MOST_GROUPS {
        // Whoever follows the token's pointer is led astray.
        let astray =
            format!("{}/hostile/{TENANT}/users/{}/getMemberObjects", state.origin, user.oid);
        put("_claim_names", json!({ "groups": "src1" }));
        put("_claim_sources", json!({ "src1": { "endpoint": astray } }));
    } else if audience.groups_claim {
        put("groups", user.groups.clone().into());
    }
}

fn display(user: &User) -> String {
    let name = user.name.split('@').next().unwrap_or_default();
    name[..1].to_uppercase() + &name[1..]
}

/// `sub` differs from application to application.
pub(crate) fn pairwise(user: &User, audience: &App) -> String {
    use base64::Engine;
    let text = format!("{} {}", user.oid, audience.id);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest)
}

/// A token's own identifier.
fn uti() -> String {
    uuid().replace('-', "")[..22].to_owned()
}

fn sign(state: &State, version: &str, claims: Map<String, Value>, expires_in: i64) -> Minted {
    let token = state.keys.sign(Signer::Current, version, &Value::Object(claims));
    Minted { token, expires_in }
}
