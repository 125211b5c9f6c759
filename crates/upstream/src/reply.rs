//! Reading what an HTTP server sends back: one JSON body, or a stream of events.

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use mcp::{JsonBuf, Limits, SseReader};

use crate::LinkFault;

/// A refusal's body is read this far to find a JSON-RPC error in it.
const REFUSAL_BYTES: usize = 64 << 10;

/// What a POST brought back.
pub(crate) enum Reply {
    /// 202 or another success without a body.
    Empty,
    Json(JsonBuf),
    /// Not a success; the body if it was JSON.
    Refused(Refusal),
    Stream(Box<Stream>),
}

/// An HTTP status other than 2xx.
pub(crate) struct Refusal {
    pub status: StatusCode,
    pub challenge: Option<String>,
    pub body: Option<JsonBuf>,
}

impl Refusal {
    /// The JSON-RPC error in the body.
    pub fn error(&self) -> Option<JsonBuf> {
        let body = self.body.as_ref()?;
        Some(body.share(body.json().get("error")?))
    }

    /// Whether it is about the credential, whatever its body says: 401, or a step-up (RFC 6750 §3.1).
    pub fn is_about_credential(&self) -> bool {
        LinkFault::challenge(self.status.as_u16(), self.challenge.as_deref()).is_some()
    }

    pub fn fault(self) -> LinkFault {
        LinkFault::Http { status: self.status.as_u16(), challenge: self.challenge }
    }
}

pub(crate) fn limits(bytes: usize) -> Limits {
    Limits { bytes, ..Limits::default() }
}

/// Reads the head, and the body unless it is a stream.
pub(crate) async fn read(response: Response<Incoming>, limit: usize) -> Result<Reply, LinkFault> {
    let (head, body) = response.into_parts();
    if !head.status.is_success() {
        let challenge = head.headers.get(WWW_AUTHENTICATE);
        let challenge = challenge.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut json = None;
        if is_type(&head.headers, "application/json") {
            let bytes = collect(body, limit.min(REFUSAL_BYTES)).await.unwrap_or_default();
            json = JsonBuf::read(bytes, &limits(limit)).ok();
        }
        return Ok(Reply::Refused(Refusal { status: head.status, challenge, body: json }));
    }
    if is_type(&head.headers, "text/event-stream") {
        return Ok(Reply::Stream(Box::new(Stream::new(body, limit))));
    }
    let bytes = collect(body, limit).await?;
    if bytes.is_empty() || head.status == StatusCode::ACCEPTED {
        return Ok(Reply::Empty);
    }
    if !is_type(&head.headers, "application/json") {
        return Err(LinkFault::Garbage("neither JSON nor an event stream".into()));
    }
    let json = JsonBuf::read(bytes, &limits(limit));
    json.map(Reply::Json).map_err(|fault| LinkFault::Garbage(fault.to_string()))
}

fn is_type(headers: &HeaderMap, wanted: &str) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(wanted))
}

/// The whole body. What comes in one piece is not copied.
async fn collect(mut body: Incoming, limit: usize) -> Result<Bytes, LinkFault> {
    let too_long = || LinkFault::Garbage(format!("a body longer than {limit} bytes"));
    let hint = body.size_hint();
    if hint.lower() > limit as u64 {
        return Err(too_long());
    }
    let Some(first) = next_chunk(&mut body).await? else { return Ok(Bytes::new()) };
    let whole = hint.exact() == Some(first.len() as u64) || body.is_end_stream();
    if whole && first.len() <= limit {
        return Ok(first);
    }
    let expected = usize::try_from(hint.lower()).unwrap_or(0).max(first.len() * 2);
    let mut all = BytesMut::with_capacity(expected.min(limit));
    all.extend_from_slice(&first);
    while let Some(chunk) = next_chunk(&mut body).await? {
        if all.len() + chunk.len() > limit {
            return Err(too_long());
        }
        all.extend_from_slice(&chunk);
    }
    if all.len() > limit { Err(too_long()) } else { Ok(all.freeze()) }
}

async fn next_chunk(body: &mut Incoming) -> Result<Option<Bytes>, LinkFault> {
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Some(Err(error)) => return Err(LinkFault::Lost(error.to_string())),
        }
    }
}

/// One event of a stream.
pub(crate) struct StreamEvent {
    /// The event's name; empty or `message` for a JSON-RPC message.
    pub name: String,
    pub data: Bytes,
}

/// A stream of server-sent events, and where to go on after it broke.
pub(crate) struct Stream {
    body: Incoming,
    reader: SseReader,
    limit: usize,
    pub last_id: Option<String>,
    /// The server's `retry`, in milliseconds.
    pub retry: Option<u64>,
}

impl Stream {
    pub fn new(body: Incoming, limit: usize) -> Stream {
        Stream { body, reader: SseReader::new(limit), limit, last_id: None, retry: None }
    }

    /// The next event that has data; `None` at the end. Cancel-safe.
    pub async fn event(&mut self) -> Result<Option<StreamEvent>, LinkFault> {
        loop {
            let next = self.reader.next_event();
            let next = next.map_err(|fault| LinkFault::Garbage(fault.to_string()))?;
            if let Some(event) = next {
                if event.retry.is_some() {
                    self.retry = event.retry;
                }
                if event.id.is_some() {
                    self.last_id = event.id;
                }
                if !event.data.is_empty() {
                    return Ok(Some(StreamEvent { name: event.event, data: event.data }));
                }
                continue;
            }
            match next_chunk(&mut self.body).await? {
                Some(chunk) => self.reader.push(chunk),
                None => return Ok(None),
            }
        }
    }

    /// The next JSON message; `None` at the end. Cancel-safe.
    pub async fn message(&mut self) -> Result<Option<JsonBuf>, LinkFault> {
        while let Some(event) = self.event().await? {
            if event.name.is_empty() || event.name == "message" {
                let json = JsonBuf::read(event.data, &limits(self.limit));
                return json.map(Some).map_err(|fault| LinkFault::Garbage(fault.to_string()));
            }
        }
        Ok(None)
    }
}
