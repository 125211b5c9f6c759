//! How a client shows who it is: a secret, a certificate's signature, or somebody else's token.

use base64::{Engine, engine::general_purpose::STANDARD};
use jsonwebtoken::{Algorithm, decode_header};
use serde_json::Value;

use crate::{
    State,
    directory::{App, MACHINE, TENANT},
    fault::Fault,
    keys,
    request::Asked,
};

/// A client that has shown who it is.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub id: String,
    /// `azpacr`: 0 public, 1 secret, 2 certificate or federated credential.
    pub method: &'static str,
}

const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

impl Client {
    pub fn authenticate(state: &State, tenant: &str, asked: &Asked) -> Result<Client, Fault> {
        let basic = basic(asked.header("authorization"));
        let id = asked.form.find("client_id").or(basic.as_ref().map(|(id, _)| id.as_str()));
        let id = id.ok_or_else(|| Fault::about(900144, "client_id"))?;
        let app = state.directory.app(id).ok_or_else(|| Fault::about(700016, id))?;
        let secret = asked.form.find("client_secret").or(basic.as_ref().map(|(_, s)| s.as_str()));
        let assertion = asked.form.find("client_assertion");
        let client = |method| Client { id: app.id.clone(), method };
        match (secret, assertion) {
            (None, None) if app.public => Ok(client("0")),
            _ if app.public => Err(Fault::new(700025)),
            (None, None) => Err(Fault::new(7000218)),
            (_, Some(assertion)) => {
                if asked.form.find("client_assertion_type") != Some(ASSERTION) {
                    return Err(Fault::about(900144, "client_assertion_type"));
                }
                check_assertion(state, app, tenant, assertion)?;
                Ok(client("2"))
            }
            (Some(secret), None) => {
                let known = app.secrets.iter().find(|(known, _)| known == secret);
                let (_, expires) = known.ok_or_else(|| Fault::about(7000215, id))?;
                if *expires <= state.now() {
                    return Err(Fault::about(7000222, id));
                }
                Ok(client("1"))
            }
        }
    }
}

/// RFC 6749 §2.3.1: both halves are form-encoded before they are joined.
fn basic(header: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(header.strip_prefix("Basic ")?).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    let decode = |text: &str| {
        let mut pairs = url::form_urlencoded::parse(text.as_bytes());
        pairs.next().map(|(name, _)| name.into_owned()).unwrap_or_default()
    };
    Some((decode(id), decode(secret)))
}

fn check_assertion(state: &State, app: &App, tenant: &str, assertion: &str) -> Result<(), Fault> {
    let header = decode_header(assertion).map_err(|_| Fault::new(50013))?;
    let claims = jsonwebtoken::dangerous::insecure_decode_claims::<Value>(assertion)
        .map_err(|_| Fault::new(50013))?;
    if claims["iss"] != app.id.as_str() {
        return check_federated(state, app, assertion, &claims);
    }
    let key = app.certificate.as_ref().ok_or_else(|| Fault::new(700027))?;
    // MSAL pads its thumbprints, and Entra lets it.
    let is = |shown: &Option<String>, known: &str| {
        shown.as_ref().is_some_and(|shown| shown.trim_end_matches('=') == known)
    };
    let ours = match header.alg {
        Algorithm::PS256 => is(&header.x5t_s256, &key.sha256()),
        Algorithm::RS256 => is(&header.x5t, &key.sha1()) || is(&header.x5t_s256, &key.sha256()),
        _ => false,
    };
    if !ours || keys::verify(assertion, &key.public, &[header.alg]).is_none() {
        return Err(Fault::new(700027));
    }
    let endpoint = format!("{}/{tenant}/oauth2/v2.0/token", state.origin);
    let issuer = format!("{}/{TENANT}/v2.0", state.origin);
    let audience = claims["aud"].as_str().unwrap_or_default();
    if claims["sub"] != app.id.as_str() || (audience != endpoint && audience != issuer) {
        return Err(Fault::new(500131));
    }
    in_time(state, &claims)
}

/// A federated identity credential: the token's issuer and subject are written down with the application.
fn check_federated(state: &State, app: &App, token: &str, claims: &Value) -> Result<(), Fault> {
    let claim = |name: &str| claims[name].as_str().unwrap_or_default();
    let (issuer, subject) = (claim("iss"), claim("sub"));
    let own = format!("{}/{TENANT}/v2.0", state.origin);
    if issuer == own && subject != MACHINE {
        return Err(Fault::new(700229));
    }
    if claim("aud") != "api://AzureADTokenExchange" {
        return Err(Fault::about(700212, claim("aud")));
    }
    let of_issuer: Vec<_> = app.federated.iter().filter(|(known, _)| known == issuer).collect();
    if of_issuer.is_empty() {
        return Err(Fault::about(700211, issuer));
    }
    if !of_issuer.iter().any(|(_, known)| known == subject) {
        let in_other_case = of_issuer.iter().any(|(_, known)| known.eq_ignore_ascii_case(subject));
        return Err(Fault::about(if in_other_case { 7002138 } else { 700213 }, subject));
    }
    // The only issuer whose keys are known here is this directory, for its managed identities.
    state.keys.read(token).ok_or_else(|| Fault::new(50013))?;
    in_time(state, claims)
}

fn in_time(state: &State, claims: &Value) -> Result<(), Fault> {
    // NumericDate may have a fraction: MSAL's has.
    let (now, skew) = (state.now() as f64, 300.0);
    let expires = claims["exp"].as_f64().unwrap_or_default();
    let begins = claims["nbf"].as_f64().unwrap_or_default();
    if expires + skew < now || begins - skew > now {
        return Err(Fault::new(500133));
    }
    Ok(())
}
