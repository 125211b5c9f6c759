//! The door of the stateless era (2026-07-28): each POST says everything about itself.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use identity::Verified;
use mcp::{
    Code, Era, HeaderFault, Json, JsonBuf, Method, Patch, Request, Version, decode_header, meta,
};
use tokio::sync::mpsc;
use upstream::{ClientFacts, LogWish};

use super::{
    MCP_METHOD, MCP_NAME,
    exchange::{Answered, Body, Exchange, Source, Step, event_stream, frame, notification_text},
    standing::Standing,
};
use crate::{
    Gateway,
    call::{Call, Door, Reply, ResultKind, Scope, Shown},
    refusal::Refusal,
    signed::CallSignature,
    telemetry,
};

/// What is kept of what a client says of itself, in bytes each.
pub const KEPT: usize = 8 << 10;
/// Notifications of one call that may wait for a slow reader.
pub const EVENTS: usize = 64;

/// A request, and the message it borrows from.
pub struct Asked<'a> {
    /// The whole message.
    pub message: &'a JsonBuf,
    /// The request in it.
    pub request: &'a Request<'a>,
    /// Its params, walked.
    pub shown: &'a Shown<'a>,
}

/// Answers one request over HTTP.
pub async fn post(
    gateway: Arc<Gateway>,
    caller: Verified,
    scope: Scope,
    door: Door,
    headers: &HeaderMap,
    asked: Asked<'_>,
) -> Response<Body> {
    let Asked { message, request, shown } = asked;
    let id = request.id.raw();
    let call = mirrored(headers, request, shown)
        .and_then(|()| read(message, request, shown, scope, door, Some(headers)));
    let call = match call {
        Ok(call) => call,
        Err(refusal) => {
            let trace = telemetry::Context::of_headers(headers);
            let refusal = gateway.refuse_in(trace.as_ref(), Some(&caller), refusal).await;
            return Answered::refused(id, &refusal).response();
        }
    };
    let listens = call.method == Method::SubscriptionsListen;
    let mut exchange = start(gateway.clone(), caller.clone(), call, id.into());
    match exchange.step().await {
        Some(Step::Answered(answered)) => answered.response(),
        Some(Step::Event(event)) => {
            let first = tagged(&event, listens.then_some(id));
            let subscription = listens.then(|| id.into());
            let stream = Replying { first: Some(frame(&first)), exchange, subscription };
            event_stream(Standing::new(gateway, caller, stream))
        }
        Some(Step::Question(_)) | None => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}

/// Starts a call; whoever polls the exchange drives it.
pub fn start(gateway: Arc<Gateway>, caller: Verified, call: Call, id: Box<str>) -> Exchange {
    let (events, received) = mpsc::channel(EVENTS);
    let run = Box::pin(async move {
        match gateway.run(&caller, &call, &events).await {
            Ok(reply) => Answered::new(&id, stateless_form(call.method, reply)),
            Err(refusal) if call.door == Door::Local => Answered::refused_to_owner(&id, &refusal),
            Err(refusal) => Answered::refused(&id, &refusal),
        }
    });
    Exchange::new(run, received)
}

struct Replying {
    first: Option<String>,
    exchange: Exchange,
    subscription: Option<Box<str>>,
}

impl Source for Replying {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<String>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        self.exchange.poll_step(cx).map(|step| match step? {
            Step::Event(event) => Some(frame(&tagged(&event, self.subscription.as_deref()))),
            Step::Answered(answered) => {
                let answered = match &self.subscription {
                    Some(id) => closing(answered, id),
                    None => answered,
                };
                Some(frame(&answered.text()))
            }
            Step::Question(question) => Some(frame(&question)),
        })
    }
}

/// A notification; on a subscription's stream it carries the subscription's id.
pub fn tagged(event: &upstream::Event, subscription: Option<&str>) -> String {
    match subscription {
        None => notification_text(event),
        Some(id) => {
            let params = tag(event.params.json(), id);
            mcp::notification(&event.method, params.json().text())
        }
    }
}

/// The result that ends a subscription carries its id too.
pub fn closing(mut answered: Answered, subscription: &str) -> Answered {
    if let Ok(result) = &answered.outcome {
        answered.outcome = Ok(tag(result.json(), subscription));
    }
    answered
}

fn tag(object: Json<'_>, subscription: &str) -> JsonBuf {
    let held = object.get(meta::META).unwrap_or(Json::EMPTY);
    let held = Patch::of(held).set(meta::SUBSCRIPTION_ID, subscription).text();
    Patch::of(object).set(meta::META, held).build()
}

/// The mirrored headers must say what the body says (SEP-2243).
fn mirrored(headers: &HeaderMap, request: &Request<'_>, shown: &Shown<'_>) -> Result<(), Refusal> {
    match header(headers, &MCP_METHOD, "Mcp-Method")? {
        None => Err(Refusal::HeaderMismatch(HeaderFault::Missing("Mcp-Method".into()))),
        Some(value) if value != request.method.as_bytes() => Err(mismatch("Mcp-Method")),
        Some(_) => Ok(()),
    }?;
    let Some(member) = Method::of(&request.method).name_member() else { return Ok(()) };
    let named = shown.name.as_deref().ok_or(Refusal::NameMissing(member))?;
    let Some(value) = header(headers, &MCP_NAME, "Mcp-Name")? else {
        return Err(Refusal::HeaderMismatch(HeaderFault::Missing("Mcp-Name".into())));
    };
    if decode_header(value).map_err(Refusal::HeaderMismatch)? != named {
        return Err(mismatch("Mcp-Name"));
    }
    Ok(())
}

/// The one value of a header; several would be read differently by different readers.
pub fn header<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    shown: &'static str,
) -> Result<Option<&'a [u8]>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().map(|value| value.as_bytes().trim_ascii());
    if values.next().is_some() { Err(mismatch(shown)) } else { Ok(value) }
}

fn mismatch(name: &str) -> Refusal {
    Refusal::HeaderMismatch(HeaderFault::Mismatch(name.into()))
}

/// Reads a stateless request: what it asks and what its `_meta` says of the client.
pub fn read(
    message: &JsonBuf,
    request: &Request<'_>,
    shown: &Shown<'_>,
    scope: Scope,
    door: Door,
    headers: Option<&HeaderMap>,
) -> Result<Call, Refusal> {
    let method = Method::of(&request.method);
    let missing = Refusal::MetaMissing(meta::PROTOCOL_VERSION);
    let version = shown.version.as_deref().ok_or(missing)?;
    let version = match Version::parse(version) {
        Some(version) if version.era() == Era::Stateless => version,
        _ => return Err(Refusal::Version(version.to_owned())),
    };
    let capabilities = shown
        .capabilities
        .filter(|value| value.kind() == mcp::Kind::Object)
        .ok_or(Refusal::MetaMissing(meta::CLIENT_CAPABILITIES))?;
    if matches!(
        method,
        Method::Initialize
            | Method::Ping
            | Method::LoggingSetLevel
            | Method::ResourcesSubscribe
            | Method::ResourcesUnsubscribe
    ) {
        return Err(Refusal::MethodNotFound(request.method.to_string()));
    }
    // Copied and bounded: sessions with servers keep them for longer than this message lives.
    if capabilities.text().len() > KEPT {
        return Err(Refusal::TooMany("client capabilities"));
    }
    let client = ClientFacts {
        capabilities: JsonBuf::from(capabilities),
        info: shown.info.filter(|info| info.text().len() <= KEPT).map(JsonBuf::from),
        log: shown
            .level
            .and_then(Json::string)
            .map_or(LogWish::None, |level| LogWish::Level(level.into_owned())),
    };
    let params = message.share(request.params);
    Ok(Call {
        scope,
        method,
        method_name: request.method.as_ref().into(),
        gist: shown.gist(message).in_trace_of(headers),
        params,
        client,
        version,
        door,
        param_headers: headers.map(param_headers),
        signature: headers.and_then(CallSignature::in_headers),
    })
}

fn param_headers(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let named = |name: &HeaderName| name.as_str().starts_with("mcp-param-");
    headers
        .iter()
        .filter(|(name, _)| named(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The result as this era wants it: with its type, and with cache hints where they are due.
pub fn stateless_form(method: Method, reply: Reply) -> Result<JsonBuf, JsonBuf> {
    let result = reply.outcome.map_err(|error| stateless_error(method, error))?;
    let json = result.json();
    let mut patch = Patch::of(json);
    if reply.kind == ResultKind::Absent {
        patch = patch.set("resultType", "\"complete\"");
    }
    if cacheable(method) && matches!(reply.kind, ResultKind::Absent | ResultKind::Complete) {
        let [ttl, scope] = json.pick(["ttlMs", "cacheScope"]);
        if ttl.is_none() {
            patch = patch.set("ttlMs", "0");
        }
        // What policy filtered for one principal must not be shared with another.
        if scope.is_none_or(|scope| scope.text() != "\"private\"") {
            patch = patch.set("cacheScope", "\"private\"");
        }
    }
    if patch.is_empty() { Ok(result) } else { Ok(patch.build()) }
}

/// "Resource not found" has had a code of its own until this era, which must not see it.
fn stateless_error(method: Method, error: JsonBuf) -> JsonBuf {
    let json = error.json();
    let code = json.get("code").and_then(Json::integer);
    if method != Method::ResourcesRead || code != Some(Code::LegacyResourceNotFound as i64) {
        return error;
    }
    Patch::of(json).set("code", (Code::InvalidParams as i32).to_string()).build()
}

fn cacheable(method: Method) -> bool {
    matches!(
        method,
        Method::ServerDiscover
            | Method::ToolsList
            | Method::PromptsList
            | Method::ResourcesList
            | Method::ResourcesTemplatesList
            | Method::ResourcesRead
    )
}
