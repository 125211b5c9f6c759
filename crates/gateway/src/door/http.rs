//! One HTTP request: checked, authenticated, read within bounds, handed to its door.

use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use identity::{AuthFault, Verified, jwt::JwtFault};
use mcp::{JsonBuf, ServerName};

use super::{
    approvals,
    connection::Connection,
    exchange::Body,
    guard, network, oauth, resource, sse_pair,
    streamable::{self, refused, status},
};
use crate::{
    Gateway,
    call::{Door, Scope},
    grants,
    models::{self, ModelRoute},
    refusal::Refusal,
    telemetry::{self, Context},
};

/// A body that takes longer than this to arrive is given up.
const BODY: Duration = Duration::from_secs(30);

/// Answers one request. What is large and not a call is boxed: the future is copied for each request.
pub async fn handle(
    gateway: Arc<Gateway>,
    connection: &Connection,
    request: Request<Incoming>,
) -> Response<Body> {
    let peer = connection.peer;
    let (head, body) = request.into_parts();
    let current = gateway.current();
    if oauth::is_ours(head.uri.path()) {
        let admitted = network::client(&current.config, peer, &head.headers).and_then(|from| {
            guard::check_host(&current.config, &head.headers, &head.uri).map(|_| from)
        });
        return match admitted {
            Ok(from) => Box::pin(oauth::handle(gateway, from, &head, body)).await,
            Err(refusal) => refused(None, &refuse(&gateway, &head, None, refusal).await),
        };
    }
    let host = match guard::check(&current.config, &head.headers, &head.uri) {
        Ok(host) => host,
        Err(refusal) => return refused(None, &refuse(&gateway, &head, None, refusal).await),
    };
    let cors = head
        .headers
        .get(header::ORIGIN)
        .filter(|origin| origin.to_str().is_ok_and(|text| guard::listed(&current.config, text)))
        .cloned();
    if let (Some(origin), &Method::OPTIONS) = (&cors, &head.method) {
        return with_cors(status(StatusCode::NO_CONTENT), origin);
    }
    let path = head.uri.path();
    let response = match route(path) {
        None if grants::is_ours(path) => {
            match network::client(&current.config, peer, &head.headers) {
                Ok(client) => {
                    // A proxy of another user's that names no client does not bring its own machine's user.
                    let near = network::is_loopback(&current.config, peer, client, &head.headers)
                        && connection.is_own();
                    Box::pin(grants::handle(&gateway, near, &head, body)).await
                }
                Err(refusal) => refused(None, &refuse(&gateway, &head, None, refusal).await),
            }
        }
        Some(Route::Live) => telemetry::is_alive(),
        Some(Route::Ready) => telemetry::is_ready(&gateway),
        Some(Route::Approval(id)) if is_browser(&head) => {
            match network::client(&current.config, peer, &head.headers) {
                Ok(_) => approvals::page(&gateway, &id).await,
                Err(refusal) => refused(None, &refuse(&gateway, &head, None, refusal).await),
            }
        }
        Some(Route::Grants) if grants::own::is_browser(&head) => {
            match network::client(&current.config, peer, &head.headers) {
                Ok(_) => Box::pin(grants::own::page(&gateway, &head, body)).await,
                Err(refusal) => refused(None, &gateway.refuse(None, refusal).await),
            }
        }
        Some(route) => match enter(&gateway, connection, &head, &route).await {
            Ok((caller, client)) => match route {
                Route::Model(model) => {
                    Box::pin(models::handle(gateway, caller, model, client, &head, body)).await
                }
                route => served(gateway, caller, route, Door::Http(client), &head, body).await,
            },
            Err(refusal) => match &route {
                Route::Model(model) => models::refused(current.model_kind(model), &refusal),
                _ => refused(None, &refusal),
            },
        },
        None => resource::metadata(&current, host, head.uri.path())
            .unwrap_or_else(|| status(StatusCode::NOT_FOUND)),
    };
    let response = resource::complete(&current, host, head.uri.path(), response);
    match &cors {
        Some(origin) => with_cors(response, origin),
        None => response,
    }
}

pub(super) enum Route {
    /// `/livez`
    Live,
    /// `/readyz`, `/healthz`
    Ready,
    /// `/approvals/{id}`
    Approval(String),
    /// `/grants`
    Grants,
    /// `/mcp`, `/mcp/{server}`
    Mcp(Scope),
    /// `/sse`, `/sse/{server}`: the 2024-11-05 pair's stream.
    Sse(Scope),
    /// `/messages`: the 2024-11-05 pair's other half.
    Messages,
    /// `/models/{name}/…`
    Model(ModelRoute),
}

pub(super) fn route(path: &str) -> Option<Route> {
    match path {
        "/livez" => return Some(Route::Live),
        "/healthz" | "/readyz" => return Some(Route::Ready),
        "/grants" => return Some(Route::Grants),
        "/messages" => return Some(Route::Messages),
        _ => {}
    }
    if let Some(id) = path.strip_prefix("/approvals/") {
        return Some(Route::Approval(id.to_owned()));
    }
    if path.starts_with("/models/") {
        return ModelRoute::of(path).map(Route::Model);
    }
    let (door, rest) = if let Some(rest) = path.strip_prefix("/mcp") {
        (Route::Mcp as fn(Scope) -> Route, rest)
    } else {
        (Route::Sse as fn(Scope) -> Route, path.strip_prefix("/sse")?)
    };
    match rest {
        "" | "/" => Some(door(Scope::All)),
        _ => Some(door(Scope::One(ServerName::new(rest.strip_prefix('/')?).ok()?))),
    }
}

/// Authentication, and that the server exists.
async fn enter(
    gateway: &Gateway,
    connection: &Connection,
    head: &http::request::Parts,
    route: &Route,
) -> Result<(Verified, IpAddr), Refusal> {
    let (current, peer) = (gateway.current(), connection.peer);
    let client = match network::client(&current.config, peer, &head.headers) {
        Ok(client) => client,
        Err(refusal) => return Err(refuse(gateway, head, None, refusal).await),
    };
    let mut shown = head.headers.get_all(header::AUTHORIZATION).iter();
    let authorization = shown.next().map(HeaderValue::as_bytes);
    if shown.next().is_some() {
        let refusal = Refusal::Authentication(AuthFault::Malformed);
        return Err(refuse(gateway, head, None, refusal).await);
    }
    if head.uri.query().is_some_and(holds_token) {
        let refusal = Refusal::Authentication(AuthFault::InQuery);
        return Err(refuse(gateway, head, None, refusal).await);
    }
    let loopback = network::is_loopback(&current.config, peer, client, &head.headers);
    let meant = matches!(route, Route::Model(_)).then(|| models::shown(&head.headers));
    let authorization = match &meant {
        None => authorization,
        Some(shown) => shown.as_ref().map(|shown| shown.as_bytes()),
    };
    // Whoever has nothing to show is let in as a program of this gateway's own user or not at all.
    let open = current.config.identity.loopback_open;
    let loopback = loopback && (authorization.is_some() || open && connection.is_own());
    let certificate = connection.certificate.as_ref();
    let caller = match gateway.authenticate(authorization, loopback, certificate).await {
        Ok(caller) => caller,
        Err(refusal) => return Err(refuse(gateway, head, None, refusal).await),
    };
    if let Err(refusal) = oauth::check_possession(gateway, &caller, head) {
        return Err(refuse(gateway, head, Some(&caller), refusal).await);
    }
    let opens = match route {
        Route::Mcp(scope) | Route::Sse(scope) => gateway.glance().offered.opens(&caller, scope),
        Route::Model(model) => gateway.glance().offered.opens_model(&caller, model),
        Route::Approval(_) => gateway.glance().offered.opens_approvals(&caller),
        Route::Grants | Route::Live | Route::Messages | Route::Ready => true,
    };
    if !opens {
        let refusal = Refusal::Authentication(AuthFault::Proof(JwtFault::Audience.into()));
        return Err(refuse(gateway, head, Some(&caller), refusal).await);
    }
    if let Route::Mcp(Scope::One(name)) | Route::Sse(Scope::One(name)) = route
        && gateway.served_to(&caller, name.as_str()).is_none()
    {
        let refusal = Refusal::UnknownServer(name.to_string());
        return Err(refuse(gateway, head, Some(&caller), refusal).await);
    }
    if let Route::Model(model) = route
        && !current.offers_model(&caller, model)
    {
        let refusal = Refusal::UnknownServer(model.name.to_string());
        return Err(refuse(gateway, head, Some(&caller), refusal).await);
    }
    Ok((caller, client))
}

/// A refusal of a request, in the trace that its headers name.
async fn refuse(
    gateway: &Gateway,
    head: &http::request::Parts,
    caller: Option<&Verified>,
    refusal: Refusal,
) -> Refusal {
    gateway.refuse_in(Context::of_headers(&head.headers).as_ref(), caller, refusal).await
}

/// RFC 6750 §2.3 is not offered: what stands in a URL ends in logs and histories.
fn holds_token(query: &str) -> bool {
    query.split('&').any(|pair| pair.split('=').next() == Some("access_token"))
}

async fn served(
    gateway: Arc<Gateway>,
    caller: Verified,
    route: Route,
    door: Door,
    head: &http::request::Parts,
    body: Incoming,
) -> Response<Body> {
    match (route, &head.method) {
        (Route::Mcp(scope), &Method::POST) => match message(&gateway, head, body).await {
            Ok(message) => {
                streamable::post(gateway, caller, scope, door, &head.headers, message).await
            }
            Err(refusal) => refused(None, &refuse(&gateway, head, Some(&caller), refusal).await),
        },
        (Route::Mcp(scope), &Method::GET) => {
            streamable::get(gateway, caller, scope, door, &head.headers).await
        }
        (Route::Mcp(scope), &Method::DELETE) => {
            streamable::delete(gateway, caller, scope, door, &head.headers).await
        }
        (Route::Sse(scope), &Method::GET) => match sse_pair::open(&gateway, &caller, scope, door) {
            Ok(stream) => stream,
            Err(refusal) => refused(None, &refuse(&gateway, head, Some(&caller), refusal).await),
        },
        (Route::Messages, &Method::POST) => match message(&gateway, head, body).await {
            Ok(message) => match sse_pair::post(&gateway, &caller, head.uri.query(), message) {
                Ok(()) => status(StatusCode::ACCEPTED),
                Err(refusal) => {
                    refused(None, &refuse(&gateway, head, Some(&caller), refusal).await)
                }
            },
            Err(refusal) => refused(None, &refuse(&gateway, head, Some(&caller), refusal).await),
        },
        (Route::Approval(id), &Method::GET) => approvals::show(&gateway, &caller, &id).await,
        (Route::Approval(id), &Method::POST) => match message(&gateway, head, body).await {
            Ok(message) => Box::pin(approvals::decide(gateway, caller, &id, &message)).await,
            Err(refusal) => refused(None, &refuse(&gateway, head, Some(&caller), refusal).await),
        },
        (Route::Grants, &Method::GET) => grants::own::list(&gateway, &caller).await,
        (Route::Grants, &Method::POST) => match message(&gateway, head, body).await {
            Ok(message) => Box::pin(grants::own::revoke(&gateway, &caller, &message)).await,
            Err(refusal) => refused(None, &refuse(&gateway, head, Some(&caller), refusal).await),
        },
        (Route::Approval(_) | Route::Grants, _) => not_allowed("GET, POST"),
        (Route::Mcp(_), _) => not_allowed("GET, POST, DELETE"),
        (Route::Sse(_) | Route::Live | Route::Ready, _) => not_allowed("GET"),
        (Route::Messages | Route::Model(_), _) => not_allowed("POST"),
    }
}

/// Whether somebody looks at a link, without a credential.
fn is_browser(head: &http::request::Parts) -> bool {
    head.method == Method::GET && !head.headers.contains_key(header::AUTHORIZATION)
}

fn not_allowed(allow: &'static str) -> Response<Body> {
    let mut response = status(StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

/// Reads the body as one strict JSON value.
async fn message(
    gateway: &Gateway,
    head: &http::request::Parts,
    body: Incoming,
) -> Result<JsonBuf, Refusal> {
    let limits = gateway.current().config.limits.json();
    let media = head.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if !media.is_some_and(|media| media.to_ascii_lowercase().starts_with(b"application/json")) {
        return Err(Refusal::MediaType);
    }
    let read = tokio::time::timeout(BODY, collect(body, limits.bytes));
    let bytes = read.await.map_err(|_| Refusal::BodyLost)??;
    JsonBuf::read(bytes, &limits).map_err(Refusal::Json)
}

/// The whole body. One chunk, the usual case, is not copied.
pub(crate) async fn collect(mut body: Incoming, limit: usize) -> Result<Bytes, Refusal> {
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::BodyLost)?;
        let Ok(data) = frame.into_data() else { continue };
        let held = first.as_ref().map_or(0, Bytes::len).max(rest.len());
        if held + data.len() > limit {
            return Err(Refusal::BodyTooLong { limit });
        }
        match first.take() {
            None if rest.is_empty() => first = Some(data),
            held => {
                if let Some(held) = held {
                    rest.extend_from_slice(&held);
                }
                rest.extend_from_slice(&data);
            }
        }
    }
    Ok(first.unwrap_or_else(|| rest.freeze()))
}

/// For pages of origins that the configuration names.
fn with_cors(mut response: Response<Body>, origin: &HeaderValue) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, DELETE"),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "Authorization, Content-Type, Last-Event-ID, MCP-Protocol-Version, Mcp-Method, Mcp-Name, Mcp-Session-Id",
        ),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Mcp-Session-Id, WWW-Authenticate"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
