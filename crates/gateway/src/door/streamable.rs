//! Streamable HTTP: one URL, all eras but the oldest.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Response, StatusCode};
use identity::Verified;
use mcp::{Era, JsonBuf, Message, Method, Version};

use super::{
    LAST_EVENT_ID, MCP_SESSION_ID, era,
    exchange::{Answered, Body, Exchange, Step, event_stream, notification_text},
    handshake,
    replay::{Reader, Replay, parse_event_id},
    resource,
    session::Session,
    standalone::{self, Standalone},
    standing::Standing,
    stateless,
};
use crate::{
    Gateway,
    call::{Door, Scope, Shown},
    refusal::Refusal,
    telemetry::Context,
    who::Who,
};

/// One message from a client.
pub async fn post(
    gateway: Arc<Gateway>,
    caller: Verified,
    scope: Scope,
    door: Door,
    headers: &HeaderMap,
    message: JsonBuf,
) -> Response<Body> {
    let parsed = match Message::of(message.json()) {
        Ok(parsed) => parsed,
        Err(fault) => {
            let id = message.json().get("id").and_then(mcp::Id::of);
            let refusal = refuse(&gateway, headers, &caller, Refusal::Message(fault)).await;
            return refused(id.map(mcp::Id::raw), &refusal);
        }
    };
    let (id, shown) = match &parsed {
        Message::Request(request) => {
            let shown = Shown::of(Method::of(&request.method), request.params);
            (Some(request.id.raw()), Some(shown))
        }
        _ => (None, None),
    };
    let era = match era::of_http(headers, &parsed, shown.as_ref()) {
        Ok(era) => era,
        Err(refusal) => return refused(id, &refuse(&gateway, headers, &caller, refusal).await),
    };
    match (era, &parsed) {
        (Era::Stateless, Message::Request(request)) => match &shown {
            Some(shown) => {
                let asked = stateless::Asked { message: &message, request, shown };
                stateless::post(gateway, caller, scope, door, headers, asked).await
            }
            None => accepted(),
        },
        // Closing the stream is what cancels here; other notifications have no meaning either.
        (Era::Stateless, _) => accepted(),
        (Era::Handshake, Message::Request(request))
            if Method::of(&request.method) == Method::Initialize =>
        {
            Box::pin(initialize(gateway, caller, scope, door, &message, request)).await
        }
        (Era::Handshake, _) => match find(&gateway, &caller, &scope, headers) {
            Ok(session) => {
                in_session(gateway, caller, session, door, headers, &message, parsed).await
            }
            Err(refusal) => refused(id, &refuse(&gateway, headers, &caller, refusal).await),
        },
    }
}

async fn initialize(
    gateway: Arc<Gateway>,
    caller: Verified,
    scope: Scope,
    door: Door,
    message: &JsonBuf,
    request: &mcp::Request<'_>,
) -> Response<Body> {
    let id = request.id.raw();
    let begun = async {
        let agreed =
            handshake::initialize(&gateway, &caller, &scope, door, message, request).await?;
        let limits = &gateway.current().config.limits;
        let make = |number| {
            let (capabilities, info) = (agreed.capabilities.clone(), agreed.info.clone());
            Session::new(number, caller.clone(), scope.clone(), agreed.version, capabilities, info)
        };
        let (session, _) = gateway.sessions.begin(limits, crate::now(), make)?;
        Ok::<_, Refusal>((session, agreed.result))
    };
    match begun.await {
        Ok((session, result)) => {
            let mut response = Answered::new(id, Ok(result)).response();
            if let Ok(session) = HeaderValue::from_str(&session) {
                response.headers_mut().insert(MCP_SESSION_ID, session);
            }
            response
        }
        Err(refusal) => refused(Some(id), &gateway.refuse(Some(&caller), refusal).await),
    }
}

/// The session that the request names: this principal's, of this door.
fn find(
    gateway: &Gateway,
    caller: &Verified,
    scope: &Scope,
    headers: &HeaderMap,
) -> Result<Arc<Session>, Refusal> {
    let id = headers.get(&MCP_SESSION_ID).ok_or(Refusal::SessionMissing)?;
    let id = id.to_str().map_err(|_| Refusal::SessionUnknown)?;
    let limits = &gateway.current().config.limits;
    gateway.sessions.find(id, caller, scope, limits, crate::now())
}

async fn in_session(
    gateway: Arc<Gateway>,
    caller: Verified,
    session: Arc<Session>,
    door: Door,
    headers: &HeaderMap,
    message: &JsonBuf,
    parsed: Message<'_>,
) -> Response<Body> {
    match parsed {
        Message::Notification(notification) => {
            handshake::notified(&gateway, &caller, &session, &notification);
            accepted()
        }
        Message::Response(response) => {
            if let Some(id) = response.id {
                let share = |json| message.share(json);
                session.answer(id.raw(), response.outcome.map(share).map_err(share));
            }
            accepted()
        }
        Message::Request(request) => {
            let id: Box<str> = request.id.raw().into();
            let headers = Some(headers);
            let kept = session.clone();
            let exchange =
                handshake::start(gateway, caller, kept, door, message, &request, headers);
            reply(session, exchange, &id).await
        }
    }
}

/// JSON when the answer comes first, otherwise a stream that can be resumed. In this era a client
/// that goes away has not cancelled: the call runs on.
async fn reply(session: Arc<Session>, exchange: Exchange, id: &str) -> Response<Body> {
    let mut unfinished = Unfinished(Some(exchange));
    let Some(exchange) = &mut unfinished.0 else { return accepted() };
    let first = match exchange.step().await {
        Some(Step::Answered(answered)) => {
            unfinished.0 = None;
            return answered.response();
        }
        Some(step) => text(step),
        None => return accepted(),
    };
    let replay = Arc::new(Replay::default());
    let number = match session.keep(&replay) {
        Ok(number) => number,
        Err(refusal) => return Answered::refused(id, &refusal).response(),
    };
    replay.push(first);
    if let Some(exchange) = unfinished.0.take() {
        tokio::spawn(pump(exchange, replay.clone()));
    }
    let priming = session.version >= Version::V2025_11_25;
    event_stream(Reader::new(replay, number, priming))
}

/// A call whose client has not been answered yet; dropped, it runs on by itself.
struct Unfinished(Option<Exchange>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(mut exchange) = self.0.take() {
            tokio::spawn(async move { while exchange.step().await.is_some() {} });
        }
    }
}

async fn pump(mut exchange: Exchange, replay: Arc<Replay>) {
    while let Some(step) = exchange.step().await {
        replay.push(text(step));
        replay.room().await;
    }
    replay.finish();
}

fn text(step: Step) -> String {
    match step {
        Step::Event(event) => notification_text(&event),
        Step::Question(question) => question,
        Step::Answered(answered) => answered.text(),
    }
}

/// GET: a stream for what belongs to no call, or the rest of one that was lost.
pub async fn get(
    gateway: Arc<Gateway>,
    caller: Verified,
    scope: Scope,
    door: Door,
    headers: &HeaderMap,
) -> Response<Body> {
    let session = match find(&gateway, &caller, &scope, headers) {
        Ok(session) => session,
        Err(refusal) => return refused(None, &refuse(&gateway, headers, &caller, refusal).await),
    };
    if let Some(last) = headers.get(&LAST_EVENT_ID) {
        let event = last.to_str().ok().and_then(parse_event_id);
        let kept = event.and_then(|(number, event)| {
            session.stream(number).map(|replay| Reader::after(replay, number, event))
        });
        if let Some(reader) = kept {
            return event_stream(Standing::new(gateway, caller, reader));
        }
    }
    let trace = Context::of_headers(headers);
    let stream = standalone::open(gateway.clone(), caller.clone(), session, door, trace);
    let stream = Standalone(stream);
    event_stream(Standing::new(gateway, caller, stream))
}

/// DELETE: the session ends.
pub async fn delete(
    gateway: Arc<Gateway>,
    caller: Verified,
    scope: Scope,
    door: Door,
    headers: &HeaderMap,
) -> Response<Body> {
    match find(&gateway, &caller, &scope, headers) {
        Ok(session) => {
            gateway.sessions.end(&session);
            let who = Who::new(&caller);
            let record = audit::Record {
                door: door.as_str(),
                era: session.version.as_str(),
                detail: "a session was ended by its client",
                address: door.address(),
                ..who.record()
            };
            match gateway.append(&record).await {
                Ok(()) => status(StatusCode::NO_CONTENT),
                Err(refusal) => refused(None, &refusal),
            }
        }
        Err(refusal) => refused(None, &refuse(&gateway, headers, &caller, refusal).await),
    }
}

/// A refusal of a request, in the trace that its headers name.
async fn refuse(
    gateway: &Gateway,
    headers: &HeaderMap,
    caller: &Verified,
    refusal: Refusal,
) -> Refusal {
    gateway.refuse_in(Context::of_headers(headers).as_ref(), Some(caller), refusal).await
}

fn accepted() -> Response<Body> {
    status(StatusCode::ACCEPTED)
}

/// An empty response.
pub fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// A refusal, under the request's id where it could be read.
pub fn refused(id: Option<&str>, refusal: &Refusal) -> Response<Body> {
    let text = mcp::error_reply(id, &refusal.error());
    let mut response = Response::new(Body::text(text));
    *response.status_mut() = refusal.status();
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(challenge) = resource::challenge(refusal) {
        headers.insert(http::header::WWW_AUTHENTICATE, challenge);
    }
    if let Some(seconds) = refusal.retry_after() {
        headers.insert(http::header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
