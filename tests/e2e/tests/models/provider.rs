//! A server of language models: OpenAI's protocol with and without Azure's paths, and Anthropic's. It says "hello"
//! and what that took, and remembers everything that it was sent.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, channel::Channel};
use hyper::{body::Incoming, service::service_fn};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};

use crate::spelled;

/// The model that says back as whom it is called.
pub const LEAKY: &str = "claude-leaky";

/// The model that says it letter by letter, in words and in the arguments of a tool.
pub const SPELLER: &str = "claude-speller";

/// What came in.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Path and query.
    pub path: String,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// It, running.
pub struct Provider {
    /// Where it is.
    pub url: String,
    state: Arc<State>,
}

struct State {
    seen: Mutex<Vec<Seen>>,
    /// The only audience that is taken; any key when empty.
    audience: String,
    /// Tokens that are not taken any more.
    refused: Mutex<Vec<String>>,
    /// The parts of a stream after the first wait for these; the stream breaks off when it is closed.
    parts: Semaphore,
    /// Counts the streams whose reader left.
    left: watch::Sender<usize>,
}

impl Provider {
    pub async fn start(audience: &str) -> Provider {
        Provider::holding(audience, Semaphore::MAX_PERMITS).await
    }

    /// Streams stop after the first part until [`Provider::let_go`] or [`Provider::break_off`].
    pub async fn holding(audience: &str, parts: usize) -> Provider {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            seen: Mutex::default(),
            audience: audience.to_owned(),
            refused: Mutex::default(),
            parts: Semaphore::new(parts),
            left: watch::channel(0).0,
        });
        let shared = state.clone();
        e2e::serve(listener, service_fn(move |request| answer(shared.clone(), request)));
        Provider { url, state }
    }

    /// Everything that it was sent, oldest first.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// Takes this token no longer.
    pub fn refuse(&self, token: &str) {
        self.state.refused.lock().unwrap().push(token.to_owned());
    }

    pub fn let_go(&self, parts: usize) {
        self.state.parts.add_permits(parts);
    }

    /// Ends streams in the middle, as a server that dies does.
    pub fn break_off(&self) {
        self.state.parts.close();
    }

    /// How many readers left before the end.
    pub fn left(&self) -> usize {
        *self.state.left.borrow()
    }
}

async fn answer(
    state: Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<Channel<Bytes, std::io::Error>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body: Value = serde_json::from_slice(&body.collect().await?.to_bytes()).unwrap_or_default();
    let path = head.uri.path_and_query().unwrap().as_str().to_owned();
    let seen = Seen { path: path.clone(), headers: head.headers, body };
    state.seen.lock().unwrap().push(seen.clone());
    let shown = seen.header("authorization").trim_start_matches("Bearer ").to_owned();
    let known = state.audience.is_empty() || super::claims(&shown)["aud"] == *state.audience;
    let refused = state.refused.lock().unwrap().contains(&shown);
    if !known || refused {
        let error = json!({"error": {"message": format!("Incorrect API key provided: {shown}")}});
        return Ok(said(401, "application/json", error.to_string()));
    }
    let path = path.split('?').next().unwrap();
    let (mut whole, mut parts) = match path.rsplit('/').next().unwrap() {
        "messages" => (message(), message_events()),
        "responses" => (response(), vec![]),
        _ => (completion(), completion_events(&seen.body)),
    };
    if seen.body["model"] == SPELLER {
        parts = match path.rsplit('/').next().unwrap() {
            "messages" => spelled::message(&shown),
            "responses" => spelled::response(&shown),
            _ => spelled::completion(&shown),
        };
    }
    let leaks = seen.body["model"] == LEAKY;
    if leaks {
        let text = format!("the key is {shown}, of course");
        whole["choices"][0]["message"]["content"] = json!(text);
        // In pieces that know nothing of events.
        let events = format!("{}data: [DONE]\n\n", chunk(delta(&text), Value::Null));
        let pieces = events.as_bytes().chunks(5);
        parts = pieces.map(|piece| String::from_utf8(piece.to_vec()).unwrap()).collect();
    }
    if seen.body["stream"] != true {
        let mut response = said(200, "application/json", whole.to_string());
        if leaks {
            response.headers_mut().insert("x-request-id", shown.parse().unwrap());
        }
        return Ok(response);
    }
    let (mut sender, channel) = Channel::new(1);
    tokio::spawn(async move {
        for (at, part) in parts.into_iter().enumerate() {
            if at > 0 {
                let waits = tokio::select! {
                    permit = state.parts.acquire() => permit,
                    () = closed(&mut sender) => {
                        state.left.send_modify(|count| *count += 1);
                        return;
                    }
                };
                match waits {
                    Ok(permit) => permit.forget(),
                    Err(_) => return sender.abort(std::io::Error::other("it dies")),
                }
            }
            if sender.send_data(part.into()).await.is_err() {
                state.left.send_modify(|count| *count += 1);
                return;
            }
        }
    });
    let mut response = Response::new(channel);
    let headers = response.headers_mut();
    headers.insert("content-type", "text/event-stream".parse().unwrap());
    headers.insert("x-request-id", "req-7".parse().unwrap());
    headers.insert("set-cookie", "session=1".parse().unwrap());
    Ok(response)
}

/// Resolves when nobody reads any more: found out by writing what means nothing.
async fn closed(sender: &mut http_body_util::channel::Sender<Bytes, std::io::Error>) {
    loop {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        if sender.send_data(Bytes::from_static(b":\n\n")).await.is_err() {
            return;
        }
    }
}

fn said(status: u16, media: &str, text: String) -> Response<Channel<Bytes, std::io::Error>> {
    let (mut sender, channel) = Channel::new(1);
    tokio::spawn(async move {
        let _ = sender.send_data(text.into()).await;
    });
    let response = Response::builder().status(status).header("content-type", media);
    response.header("x-ratelimit-remaining-tokens", "9").body(channel).unwrap()
}

pub fn completion() -> Value {
    json!({
        "id": "c-1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}],
        "usage": {"prompt_tokens": 12, "completion_tokens": 8, "total_tokens": 20},
    })
}

pub fn chunk(choices: Value, usage: Value) -> String {
    let chunk = json!({
        "id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices, "usage": usage,
    });
    format!("data: {chunk}\n\n")
}

pub fn delta(text: &str) -> Value {
    json!([{"index": 0, "delta": {"content": text}, "finish_reason": null}])
}

fn completion_events(asked: &Value) -> Vec<String> {
    let mut parts = vec![chunk(delta("hel"), Value::Null), chunk(delta("lo"), Value::Null)];
    if asked["stream_options"]["include_usage"] == true {
        let usage = json!({"prompt_tokens": 12, "completion_tokens": 8, "total_tokens": 20});
        parts.push(chunk(json!([]), usage));
    }
    parts.push("data: [DONE]\n\n".to_owned());
    parts
}

pub fn response() -> Value {
    let text = json!({"type": "output_text", "text": "hello", "annotations": []});
    json!({
        "id": "r-1", "object": "response", "created_at": 1, "model": "m", "status": "completed", "tools": [],
        "parallel_tool_calls": false, "tool_choice": "auto",
        "output": [{"type": "message", "id": "m-1", "role": "assistant", "status": "completed", "content": [text]}],
        "usage": {
            "input_tokens": 12, "output_tokens": 8, "total_tokens": 20,
            "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0},
        },
    })
}

pub fn message() -> Value {
    json!({
        "id": "m-1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn", "stop_sequence": null,
        "content": [{"type": "text", "text": "hello"}], "usage": {"input_tokens": 12, "output_tokens": 8},
    })
}

fn message_events() -> Vec<String> {
    let mut begun = message();
    begun["content"] = json!([]);
    begun["stop_reason"] = Value::Null;
    begun["usage"]["output_tokens"] = json!(1);
    let delta = |text: &str| json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}});
    let events = [
        json!({"type": "message_start", "message": begun}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        delta("hel"),
        delta("lo"),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null}, "usage": {"output_tokens": 8}}),
        json!({"type": "message_stop"}),
    ];
    events.iter().map(event).collect()
}

/// An event that has its name in itself.
pub fn event(event: &Value) -> String {
    format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap())
}
