//! The stateless era over HTTP: one POST, one answer. The hot road.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use hyper::body::Incoming;
use mcp::{JsonBuf, Message, Version};

use crate::call::{Outcome, Sink};
use crate::logs::Threshold;
use crate::reply::{self, Refusal, Reply};
use crate::route;
use crate::status::Counters;
use crate::{Credential, Events, HttpClient, HttpTarget, LinkFault, Outgoing, compose};

pub(crate) const MCP_PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
pub(crate) const MCP_SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
const MCP_NAME: HeaderName = HeaderName::from_static("mcp-name");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
const EITHER: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("bartizan/", env!("CARGO_PKG_VERSION")));

/// An HTTP server and the way to it.
#[derive(Debug)]
pub(crate) struct Http {
    pub client: HttpClient,
    pub target: HttpTarget,
    /// The longest message.
    pub limit: usize,
    ids: AtomicU64,
}

/// A server's answer to a stateless POST.
pub(crate) enum Posted {
    Answered(Outcome),
    /// An HTTP refusal with a JSON-RPC error: an answer, but maybe of the other era.
    Refused {
        status: u16,
        error: JsonBuf,
    },
}

impl Http {
    pub fn new(client: HttpClient, target: HttpTarget, limit: usize) -> Http {
        Http { client, target, limit, ids: AtomicU64::new(0) }
    }

    /// Sends one request in the stateless form and reads its answer. Dropping it closes the
    /// response stream, which is how this era cancels.
    pub async fn call(
        &self,
        out: &Outgoing<'_>,
        events: &Events,
        counters: &Counters,
    ) -> Result<Posted, LinkFault> {
        let (id, token, reply) = self.post(out).await?;
        let mut stream = match reply {
            Reply::Json(body) => return outcome(&body, id).map(Posted::Answered),
            Reply::Refused(refusal) => return refused(refusal, id),
            Reply::Empty => return Err(LinkFault::Garbage("an empty answer".into())),
            Reply::Stream(stream) => stream,
        };
        let threshold = Threshold::of(&out.client.log);
        let sink = Sink { events: events.clone(), token, threshold, listens: false };
        while let Some(message) = stream.message().await? {
            match Message::of(message.json()) {
                Ok(Message::Response(_)) => return outcome(&message, id).map(Posted::Answered),
                Ok(Message::Notification(note)) => {
                    match route::for_call(&note, id, &sink, &message) {
                        // One stream, one call: its slow reader may slow its own server down.
                        Some(event) => drop(sink.events.send(event).await),
                        None => counters.dropped(),
                    }
                }
                // A stateless server must not ask; what it sends is ignored.
                Ok(Message::Request(_)) => counters.garbage(),
                Err(fault) => return Err(LinkFault::Garbage(fault.to_string())),
            }
        }
        Err(LinkFault::Lost("the stream ended before the answer".into()))
    }

    /// Opens what is to become a stream that stays: `subscriptions/listen`. Gives the request's id with it.
    pub async fn open(&self, out: &Outgoing<'_>) -> Result<(u64, Reply), LinkFault> {
        self.post(out).await.map(|(id, _, reply)| (id, reply))
    }

    async fn post(&self, out: &Outgoing<'_>) -> Result<(u64, Option<Box<str>>, Reply), LinkFault> {
        let id = self.ids.fetch_add(1, Ordering::Relaxed) + 1;
        let composed = compose::stateless(id, out.method, out.params, out.client);
        let mut headers =
            HeaderMap::with_capacity(8 + out.param_headers.len() + out.credential.headers.len());
        headers.insert(
            MCP_PROTOCOL_VERSION,
            HeaderValue::from_static(Version::LAST_STATELESS.as_str()),
        );
        headers.insert(MCP_METHOD, method_value(out.method)?);
        let name = mcp::Method::of(out.method).name_member();
        if let Some(name) = name.and_then(|member| out.params.get(member)).and_then(|n| n.string())
        {
            headers.insert(MCP_NAME, header_text(&name)?);
        }
        for (name, value) in &out.param_headers {
            headers.append(name, value.clone());
        }
        let request = self.request(Method::POST, &self.target.url, headers, composed.body);
        let response = self.send(request, &out.credential).await?;
        Ok((id, composed.token, reply::read(response, self.limit).await?))
    }

    /// Sends a request with this credential.
    pub async fn send(
        &self,
        request: Request<Bytes>,
        credential: &Credential,
    ) -> Result<Response<Incoming>, LinkFault> {
        credential.send(&self.client, request, self.target.allow_private).await
    }

    /// A request with the headers that every POST or GET has.
    pub fn request(
        &self,
        method: Method,
        to: &Uri,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Request<Bytes> {
        headers.insert(USER_AGENT, AGENT);
        if method == Method::POST {
            headers.insert(CONTENT_TYPE, JSON);
            headers.insert(ACCEPT, EITHER);
        } else if method == Method::GET {
            headers.insert(ACCEPT, EVENTS);
        }
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = to.clone();
        *request.headers_mut() = headers;
        request
    }

    /// A GET that goes on after this event.
    pub fn get(&self, to: &Uri, mut headers: HeaderMap, last: Option<&str>) -> Request<Bytes> {
        if let Some(last) = last.and_then(|id| HeaderValue::from_str(id).ok()) {
            headers.insert(LAST_EVENT_ID, last);
        }
        self.request(Method::GET, to, headers, Bytes::new())
    }
}

/// The common ones without a copy.
fn method_value(method: &str) -> Result<HeaderValue, LinkFault> {
    Ok(match method {
        "tools/call" => HeaderValue::from_static("tools/call"),
        "tools/list" => HeaderValue::from_static("tools/list"),
        "resources/read" => HeaderValue::from_static("resources/read"),
        "prompts/get" => HeaderValue::from_static("prompts/get"),
        other => header_text(other)?,
    })
}

fn header_text(text: &str) -> Result<HeaderValue, LinkFault> {
    HeaderValue::from_str(&mcp::encode_header(text))
        .map_err(|_| LinkFault::Garbage("a name that fits no header".into()))
}

/// The outcome in a reply to `id`. An error may come without an id: the server could not read the request.
pub(crate) fn outcome(body: &JsonBuf, id: u64) -> Result<Outcome, LinkFault> {
    let garbage = |text: String| LinkFault::Garbage(text);
    let message = Message::of(body.json()).map_err(|fault| garbage(fault.to_string()))?;
    let Message::Response(response) = message else {
        return Err(garbage("not a response".into()));
    };
    let ours = response.id.is_some_and(|theirs| theirs.raw().parse() == Ok(id));
    match response.outcome {
        Ok(result) if ours => Ok(Ok(body.share(result))),
        Err(error) if ours || response.id.is_none() => Ok(Err(body.share(error))),
        _ => Err(garbage("a reply with a foreign id".into())),
    }
}

/// What is about the credential is so whatever its body says; else a JSON-RPC error in the body wins.
fn refused(refusal: Refusal, id: u64) -> Result<Posted, LinkFault> {
    let status = refusal.status.as_u16();
    let error = refusal.body.as_ref().and_then(|body| outcome(body, id).ok()?.err());
    match error {
        Some(error) if !refusal.is_about_credential() => Ok(Posted::Refused { status, error }),
        _ => Err(refusal.fault()),
    }
}
