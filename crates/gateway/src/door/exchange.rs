//! A call in the making, and the reply bodies it becomes.
//!
//! The reply's form is decided by what comes first: an answer makes a JSON body, a notification an
//! event stream. No task is spawned: whoever reads the body drives the call, so a reader that goes
//! away drops the call, which in the stateless era is what cancels it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Response, StatusCode, header};
use http_body::{Frame, SizeHint};
use mcp::{JsonBuf, sse_comment, sse_data};
use tokio::{sync::mpsc, time::Sleep};
use upstream::Event;

use super::resource;
use crate::refusal::{Refusal, status_of_code};

/// How a request ended, ready to be written under the client's own id.
#[derive(Debug)]
pub struct Answered {
    /// The id as the client wrote it.
    pub id: Box<str>,
    /// `result` or `error`.
    pub outcome: Result<JsonBuf, JsonBuf>,
    /// For a reply that is not a stream.
    pub status: StatusCode,
    /// The same: what the client should come back with.
    challenge: Option<HeaderValue>,
    /// Likewise: in how many seconds it is worth trying again.
    pub retry_after: Option<u64>,
}

impl Answered {
    /// A result, or an error that a server wrote.
    pub fn new(id: &str, outcome: Result<JsonBuf, JsonBuf>) -> Answered {
        let status = match &outcome {
            Ok(_) => StatusCode::OK,
            Err(error) => status_of_code(
                error.json().get("code").and_then(|code| code.integer()).unwrap_or_default(),
            ),
        };
        Answered { id: id.into(), outcome, status, challenge: None, retry_after: None }
    }

    /// A refusal.
    pub fn refused(id: &str, refusal: &Refusal) -> Answered {
        Answered::refused_as(id, refusal, &refusal.error())
    }

    /// The same, with what the owner may know.
    pub fn refused_to_owner(id: &str, refusal: &Refusal) -> Answered {
        Answered::refused_as(id, refusal, &refusal.error_for_owner())
    }

    fn refused_as(id: &str, refusal: &Refusal, error: &mcp::RpcError) -> Answered {
        Answered {
            id: id.into(),
            outcome: Err(crate::made(error.text())),
            status: refusal.status(),
            challenge: resource::challenge(refusal),
            retry_after: refusal.retry_after(),
        }
    }

    /// The message's text before and after its payload.
    fn around(&self) -> (String, &JsonBuf) {
        let (member, payload) = match &self.outcome {
            Ok(result) => ("result", result),
            Err(error) => ("error", error),
        };
        let mut head = String::with_capacity(40 + self.id.len());
        head.push_str("{\"jsonrpc\":\"2.0\",\"id\":");
        head.push_str(&self.id);
        head.push_str(",\"");
        head.push_str(member);
        head.push_str("\":");
        (head, payload)
    }

    /// The whole message as one text.
    pub fn text(&self) -> String {
        let (mut text, payload) = self.around();
        text.push_str(payload.json().text());
        text.push('}');
        text
    }

    /// The message as body chunks: small ones joined, a large payload shared, not copied.
    fn chunks(&self) -> Vec<Bytes> {
        const JOIN: usize = 16 << 10;
        let (head, payload) = self.around();
        let bytes = payload.bytes();
        if bytes.len() <= JOIN {
            let mut whole = BytesMut::with_capacity(head.len() + bytes.len() + 1);
            whole.extend_from_slice(head.as_bytes());
            whole.extend_from_slice(bytes);
            whole.extend_from_slice(b"}");
            return vec![whole.freeze()];
        }
        vec![Bytes::from_static(b"}"), bytes.clone(), Bytes::from(head)]
    }

    /// As a response with a JSON body.
    pub fn response(self) -> Response<Body> {
        let mut response = Response::new(Body::chunks(self.chunks()));
        *response.status_mut() = self.status;
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(challenge) = self.challenge {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// What a call gives next.
#[derive(Debug)]
pub enum Step {
    /// A notification.
    Event(Event),
    /// A request to the client, a whole message (handshake era).
    Question(String),
    /// The end.
    Answered(Answered),
}

/// A call under way. Boxed where it is made: it is large, and moved about otherwise.
pub type Calling = Pin<Box<dyn Future<Output = Answered> + Send>>;

/// A running call and its notifications.
pub struct Exchange {
    call: Calling,
    events: mpsc::Receiver<Event>,
    questions: Option<mpsc::Receiver<String>>,
    answered: Option<Answered>,
    ended: bool,
}

impl Exchange {
    /// `call` writes its notifications to the sender of `events`.
    pub fn new(call: Calling, events: mpsc::Receiver<Event>) -> Exchange {
        Exchange { call, events, questions: None, answered: None, ended: false }
    }

    /// The call may also ask the client something.
    pub fn asking(mut self, questions: mpsc::Receiver<String>) -> Exchange {
        self.questions = Some(questions);
        self
    }

    /// The next step; `None` after the answer. Notifications sent before the answer come before it.
    pub fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Option<Step>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if self.answered.is_none()
            && let Poll::Ready(answered) = self.call.as_mut().poll(cx)
        {
            self.answered = Some(answered);
        }
        match self.events.poll_recv(cx) {
            Poll::Ready(Some(event)) => return Poll::Ready(Some(Step::Event(event))),
            Poll::Ready(None) | Poll::Pending => {}
        }
        if let Some(questions) = &mut self.questions
            && let Poll::Ready(Some(question)) = questions.poll_recv(cx)
        {
            return Poll::Ready(Some(Step::Question(question)));
        }
        // A channel can say `Pending` although it holds something, to let other tasks run: it wakes us.
        let waiting = self.questions.as_ref().is_some_and(|questions| !questions.is_empty());
        if waiting || !self.events.is_empty() {
            return Poll::Pending;
        }
        match self.answered.take() {
            Some(answered) => {
                self.ended = true;
                Poll::Ready(Some(Step::Answered(answered)))
            }
            None => Poll::Pending,
        }
    }

    /// As a future.
    pub async fn step(&mut self) -> Option<Step> {
        std::future::poll_fn(|cx| self.poll_step(cx)).await
    }
}

/// A response body.
pub enum Body {
    /// Ready bytes, last chunk first.
    Chunks(Vec<Bytes>),
    /// Another server's bytes as they come, which may break off.
    Passed(Pin<Box<dyn http_body::Body<Data = Bytes, Error = io::Error> + Send>>),
    /// An event stream.
    Stream(Box<Stream>),
}

impl Body {
    /// Nothing.
    pub fn empty() -> Body {
        Body::Chunks(Vec::new())
    }

    fn chunks(chunks: Vec<Bytes>) -> Body {
        Body::Chunks(chunks)
    }

    /// A short text.
    pub fn text(text: impl Into<Bytes>) -> Body {
        Body::Chunks(vec![text.into()])
    }
}

/// What feeds an event stream.
pub trait Source: Send {
    /// The next event, already framed; `None` ends the stream.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<String>>;
}

/// An event stream with keep-alive comments.
pub struct Stream {
    source: Box<dyn Source>,
    quiet: Pin<Box<Sleep>>,
}

const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A `text/event-stream` response.
pub fn event_stream(source: impl Source + 'static) -> Response<Body> {
    let stream =
        Stream { source: Box::new(source), quiet: Box::pin(tokio::time::sleep(KEEP_ALIVE)) };
    let mut response = Response::new(Body::Stream(Box::new(stream)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Body::Chunks(chunks) => Poll::Ready(chunks.pop().map(|chunk| Ok(Frame::data(chunk)))),
            Body::Passed(body) => body.as_mut().poll_frame(cx),
            Body::Stream(stream) => {
                if let Poll::Ready(frame) = stream.source.poll_frame(cx) {
                    stream.quiet.as_mut().reset(tokio::time::Instant::now() + KEEP_ALIVE);
                    return Poll::Ready(frame.map(|text| Ok(Frame::data(Bytes::from(text)))));
                }
                if stream.quiet.as_mut().poll(cx).is_ready() {
                    stream.quiet.as_mut().reset(tokio::time::Instant::now() + KEEP_ALIVE);
                    // Polled once more so that the new deadline has a waker.
                    let _ = stream.quiet.as_mut().poll(cx);
                    return Poll::Ready(Some(Ok(Frame::data(Bytes::from(sse_comment(""))))));
                }
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Body::Chunks(chunks) if chunks.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Chunks(chunks) => {
                SizeHint::with_exact(chunks.iter().map(|chunk| chunk.len() as u64).sum())
            }
            Body::Passed(_) | Body::Stream(_) => SizeHint::default(),
        }
    }
}

/// A notification as a whole message.
pub fn notification_text(event: &Event) -> String {
    mcp::notification(&event.method, event.params.json().text())
}

/// One event of a stream without resumption.
pub fn frame(data: &str) -> String {
    sse_data(None, None, data)
}
