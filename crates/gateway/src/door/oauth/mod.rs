//! The authorization server for MCP clients: OAuth 2.1 in front of an identity provider, because providers know neither dynamic
//! clients nor the `resource` of MCP.
//!
//! A sign-in goes `authorize` → the consent page → (`state` is made only now) → the provider → `callback` → a code → `token`. Questions
//! and states are sealed for the browser that they were made for (`seal.rs`), so nothing is kept of a sign-in that does not end;
//! consents, sessions and the hashes of codes and refresh tokens are in the store.

pub(crate) mod answer;
mod assertions;
mod authorize;
pub(crate) mod browser;
mod callback;
mod client;
pub mod config;
mod device;
mod guesses;
mod keys;
mod onward;
pub(crate) mod pages;
mod provider;
mod register;
mod revoke;
mod serve;
mod session;
mod step_up;
mod token;

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use config::SignIn;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, request::Parts};
use hyper::body::Incoming;
use identity::broker::{
    Client, ClientId, Code, OAuthError, Offer, Params, dpop,
    metadata::{Features, path},
};
use serve::Event;
pub(crate) use serve::check_possession;
use tokio::sync::broadcast;
use url::Url;

use super::{
    exchange::Body,
    http::{Route, route},
};
use crate::{Gateway, gateway::StartFault};

/// The authorization server's own state.
pub struct Broker {
    pub(crate) config: SignIn,
    /// For clients that name no resource, as those of 2025-03-26.
    default_door: String,
    keys: keys::KeyRing,
    documents: client::Documents,
    challenges: step_up::Challenges,
    replays: Mutex<dpop::Replays>,
    counters: Mutex<HashMap<Counted, (u64, u32)>>,
    guesses: guesses::Guesses,
    /// Sessions that ended, or of whose person something else is known now, by id.
    changed: broadcast::Sender<String>,
    /// Whose turn it is to ask the provider about a session; many share one.
    turns: Vec<tokio::sync::Mutex<()>>,
}

/// What is counted so that it stays within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Counted {
    /// Requests for a device's code.
    Devices,
    /// Client ID metadata documents that were fetched.
    Documents,
    /// Clients that registered.
    Registrations,
    /// Codes of devices that people typed.
    UserCodes,
}

/// DPoP proofs that are remembered at once.
const PROOFS: usize = 100_000;
/// See [`Broker::turns`].
const TURNS: usize = 64;

impl Broker {
    /// Opens the keys.
    pub(crate) async fn open(config: SignIn, gateway: &Gateway) -> Result<Broker, StartFault> {
        let keys = keys::KeyRing::open(&gateway.store, &gateway.sealer, crate::now())
            .await
            .map_err(|fault| StartFault::SignIn(fault.to_string()))?;
        Ok(Broker {
            default_door: format!("{}/mcp", config.public_url),
            config,
            keys,
            documents: client::Documents::default(),
            challenges: step_up::Challenges::default(),
            replays: Mutex::new(dpop::Replays::new(PROOFS)),
            counters: Mutex::default(),
            guesses: guesses::Guesses::default(),
            changed: broadcast::channel(256).0,
            turns: (0..TURNS).map(|_| tokio::sync::Mutex::default()).collect(),
        })
    }

    /// The issuer.
    pub fn issuer(&self) -> &str {
        &self.config.public_url
    }

    /// Whether clients reach us by TLS, ours or a proxy's.
    fn secure(&self) -> bool {
        self.config.public_url.starts_with("https://")
    }

    /// The canonical URL of the door that a `resource` names (RFC 8707); the whole gateway's, if it names none.
    fn door(&self, resource: &str) -> Option<String> {
        let (shown, own) = (Url::parse(resource).ok()?, Url::parse(self.issuer()).ok()?);
        let plain =
            shown.query().is_none() && shown.fragment().is_none() && shown.username().is_empty();
        if shown.origin() != own.origin() || !plain {
            return None;
        }
        let path = shown.path().trim_end_matches('/');
        let known = path.is_empty() || matches!(route(path), Some(Route::Mcp(_) | Route::Sse(_)));
        known.then(|| format!("{}{path}", self.issuer()))
    }

    fn features(&self) -> Features<'_> {
        Features {
            issuer: self.issuer(),
            scopes: &self.config.scopes,
            registration: self.config.registration.is_some(),
            documents: self.config.documents != config::Documents::None,
            id_jag: self.config.id_jag,
        }
    }

    /// Counts one; `false` when there were `limit` in this window of `seconds`.
    fn count(&self, what: Counted, limit: u32, seconds: u64, now: u64) -> bool {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let (window, count) = counters.entry(what).or_default();
        if *window != now / seconds {
            (*window, *count) = (now / seconds, 0);
        }
        *count += 1;
        *count <= limit
    }
}

/// Whether a path is one of ours.
pub(crate) fn is_ours(path: &str) -> bool {
    path.starts_with("/oauth/") || well_known(path).is_some()
}

/// Which of the two documents a path means, in any of the forms in which clients look for it.
fn well_known(path: &str) -> Option<&'static str> {
    ["oauth-authorization-server", "openid-configuration"].into_iter().find(|name| {
        let whole = format!("/.well-known/{name}");
        path.strip_prefix(&whole).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            || (*name == "openid-configuration" && path.ends_with(&whole))
    })
}

/// Answers one request for one of our paths.
pub(crate) async fn handle(
    gateway: Arc<Gateway>,
    from: IpAddr,
    head: &Parts,
    body: Incoming,
) -> Response<Body> {
    let Some(broker) = gateway.broker() else { return answer::plain(StatusCode::NOT_FOUND) };
    let path = head.uri.path();
    let open_to_all = well_known(path).is_some()
        || matches!(
            path,
            path::JWKS | path::TOKEN | path::REGISTER | path::REVOKE | path::DEVICE_AUTHORIZATION
        );
    if head.method == Method::OPTIONS && open_to_all {
        return with_cors(answer::plain(StatusCode::NO_CONTENT));
    }
    let asked = Asked { gateway, broker, head, from, named: OnceLock::new() };
    let response = match asked.dispatch(path, body).await {
        Ok(response) => response,
        Err(error) => {
            asked.note(step(path), &error).await;
            asked.told(&error)
        }
    };
    if open_to_all { with_cors(response) } else { response }
}

/// What a request to a path is called in the record.
fn step(path: &str) -> &'static str {
    match path {
        path::TOKEN => "token",
        path::REGISTER => "register",
        path::REVOKE => "revoke",
        path::INTROSPECT => "introspect",
        path::DEVICE_AUTHORIZATION => "device",
        path::CONSENT => "consent",
        _ => "sign-in",
    }
}

/// Nothing here rests on cookies or on where a request comes from, so that clients in browsers may call it too.
fn with_cors(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "Authorization, Content-Type, DPoP, MCP-Protocol-Version",
        ),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "DPoP-Nonce, WWW-Authenticate"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// One request to the authorization server.
struct Asked<'a> {
    gateway: Arc<Gateway>,
    broker: Arc<Broker>,
    head: &'a Parts,
    /// Where the client is.
    from: IpAddr,
    /// The client that it names, once that is known to exist; whether it is that client, is another question.
    named: OnceLock<ClientId>,
}

/// The longest body of a form.
const FORM: usize = Params::LENGTH;
/// A body that takes longer is given up.
const BODY: Duration = Duration::from_secs(10);

impl Asked<'_> {
    async fn dispatch(&self, path: &str, body: Incoming) -> Result<Response<Body>, OAuthError> {
        let features = self.broker.features();
        match (well_known(path), path, &self.head.method) {
            (Some("oauth-authorization-server"), _, &Method::GET) => {
                Ok(cacheable(answer::json(StatusCode::OK, &features.document())))
            }
            (Some(_), _, &Method::GET) => {
                Ok(cacheable(answer::json(StatusCode::OK, &features.openid_document())))
            }
            (_, path::JWKS, &Method::GET) => Ok(cacheable(self.jwks())),
            (_, path::AUTHORIZE, &Method::GET) => Ok(self.authorize().await),
            (_, path::CONSENT, &Method::POST) => Ok(self.consent(self.form(body).await?).await),
            (_, path::CALLBACK, &Method::GET) => Ok(self.callback().await),
            (_, path::TOKEN, &Method::POST) => self.token(self.form(body).await?).await,
            (_, path::REGISTER, &Method::POST) => self.register(self.bytes(body).await?).await,
            (_, path::REVOKE, &Method::POST) => self.revoke(self.form(body).await?).await,
            (_, path::INTROSPECT, &Method::POST) => {
                Ok(self.introspect(self.form(body).await?).await)
            }
            (_, path::DEVICE_AUTHORIZATION, &Method::POST) => {
                self.device_authorization(self.form(body).await?).await
            }
            (_, path::DEVICE, &Method::GET) => Ok(self.device_page()),
            (_, path::DEVICE, &Method::POST) => Ok(self.device_code(self.form(body).await?).await),
            (Some(_), ..) | (_, path::JWKS | path::AUTHORIZE | path::CALLBACK, _) => {
                Ok(not_allowed("GET"))
            }
            (_, path::DEVICE, _) => Ok(not_allowed("GET, POST")),
            (
                _,
                path::CONSENT
                | path::TOKEN
                | path::REGISTER
                | path::REVOKE
                | path::INTROSPECT
                | path::DEVICE_AUTHORIZATION,
                _,
            ) => Ok(not_allowed("POST")),
            _ => Ok(answer::plain(StatusCode::NOT_FOUND)),
        }
    }

    fn told(&self, error: &OAuthError) -> Response<Body> {
        let mut response = answer::error(error);
        if error.code == Code::UseDpopNonce
            && let Some(nonce) = self.nonce().and_then(|nonce| HeaderValue::from_str(&nonce).ok())
        {
            response.headers_mut().insert("dpop-nonce", nonce);
        }
        response
    }

    fn jwks(&self) -> Response<Body> {
        let mut response = Response::new(Body::text(self.broker.keys.now().document.clone()));
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
        response
    }

    async fn bytes(&self, body: Incoming) -> Result<Bytes, OAuthError> {
        let read = tokio::time::timeout(BODY, super::http::collect(body, FORM)).await;
        let lost =
            || OAuthError::new(Code::InvalidRequest, "the body did not arrive, or is too long");
        read.map_err(|_| lost())?.map_err(|_| lost())
    }

    async fn form(&self, body: Incoming) -> Result<Params, OAuthError> {
        let media =
            self.header(header::CONTENT_TYPE.as_str()).unwrap_or_default().to_ascii_lowercase();
        if media.split(';').next().map(str::trim) != Some("application/x-www-form-urlencoded") {
            let text = "the body must be application/x-www-form-urlencoded";
            return Err(OAuthError::new(Code::InvalidRequest, text));
        }
        let bytes = self.bytes(body).await?;
        Params::parse(&bytes)
            .map_err(|fault| OAuthError::new(Code::InvalidRequest, fault.to_string()))
    }

    fn query(&self) -> Result<Params, OAuthError> {
        Params::parse(self.head.uri.query().unwrap_or_default().as_bytes())
            .map_err(|fault| OAuthError::new(Code::InvalidRequest, fault.to_string()))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    fn secure(&self) -> bool {
        self.broker.secure()
    }

    /// What there is for a client; it begins with what it said of itself.
    fn offer(&self, client: &Client) -> Offer<'_> {
        let initial = &self.broker.config.initial_scopes;
        let said = client.scopes.as_ref().map(|scopes| initial.within(scopes));
        Offer {
            scopes: &self.broker.config.scopes,
            initial: said.filter(|said| !said.is_empty()).unwrap_or_else(|| initial.clone()),
            resource: Box::new(|resource| self.broker.door(resource)),
            default_resource: &self.broker.default_door,
        }
    }

    /// Our own URL of a path.
    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.broker.issuer())
    }

    /// Records what the authorization server did. What can't be recorded does not happen.
    async fn record(&self, event: &Event<'_>) -> Result<(), OAuthError> {
        self.gateway.record_grant(event).await.map_err(|fault| {
            tracing::error!(%fault, "an authorization could not be recorded");
            OAuthError::new(Code::ServerError, "this can not be recorded")
        })
    }

    /// Records that a step was refused, and gives the record's id. Waiting for a person, or being told a nonce, is no refusal.
    async fn note(&self, what: &str, error: &OAuthError) -> String {
        let id = self.gateway.next_call_id();
        if matches!(error.code, Code::AuthorizationPending | Code::SlowDown | Code::UseDpopNonce) {
            return id;
        }
        self.gateway.metrics.refused("", error.code.as_str());
        let Some(detail) = self.gateway.admit_refusal(false, error.description.clone()) else {
            return id;
        };
        let event = Event {
            id: &id,
            what,
            client: self.named.get(),
            refused: error.code.as_str(),
            detail: &detail,
            ..Event::default()
        };
        if let Err(fault) = self.gateway.record_grant(&event).await {
            tracing::warn!(%error, %fault, "a refused authorization could not be recorded");
        }
        id
    }
}

/// Public documents may be kept for a few minutes.
fn cacheable(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    headers.remove(header::PRAGMA);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}

fn not_allowed(allow: &'static str) -> Response<Body> {
    let mut response = answer::plain(StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

/// What a failing store or a lack of randomness is to a client.
fn unavailable(fault: impl std::fmt::Display) -> OAuthError {
    tracing::error!(%fault, "the authorization server can't answer");
    OAuthError::new(Code::ServerError, "the server can not answer now")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_found_wherever_clients_look() {
        for (path, name) in [
            ("/.well-known/oauth-authorization-server", "oauth-authorization-server"),
            ("/.well-known/oauth-authorization-server/mcp", "oauth-authorization-server"),
            ("/.well-known/openid-configuration", "openid-configuration"),
            ("/.well-known/openid-configuration/mcp/github", "openid-configuration"),
            ("/mcp/.well-known/openid-configuration", "openid-configuration"),
        ] {
            assert_eq!(well_known(path), Some(name), "{path}");
        }
        for path in [
            "/.well-known/oauth-authorization-serverx",
            "/.well-known/other",
            "/mcp",
            "/oauth/token",
        ] {
            assert_eq!(well_known(path), None, "{path}");
        }
    }
}
