//! An MCP server in the test's own process that wants a credential, and tells a test what it was sent.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, request::Parts};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::serve;

/// What a request has to be, to be let in.
type Wanted = Box<dyn Fn(&Parts, &[u8]) -> bool + Send>;

/// A running one, of the stateless era. Its one tool is `echo`.
#[derive(Clone)]
pub struct Guarded {
    /// Its MCP endpoint.
    pub url: String,
    state: Arc<Mutex<State>>,
}

struct State {
    wanted: Wanted,
    calls: Vec<Parts>,
}

impl Guarded {
    /// It lets in what is wanted and answers 401 to everything else.
    pub async fn start(wanted: impl Fn(&Parts, &[u8]) -> bool + Send + 'static) -> Guarded {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State { wanted: Box::new(wanted), calls: Vec::new() }));
        let kept = state.clone();
        serve(listener, service_fn(move |request| answer(request, kept.clone())));
        Guarded { url, state }
    }

    /// The same for a bearer token.
    pub async fn bearer(token: &str) -> Guarded {
        let guarded = Guarded::start(|_, _| false).await;
        guarded.want_bearer(token);
        guarded
    }

    /// Something else is wanted from now on.
    pub fn want(&self, wanted: impl Fn(&Parts, &[u8]) -> bool + Send + 'static) {
        self.state.lock().unwrap().wanted = Box::new(wanted);
    }

    /// Only this token is good from now on.
    pub fn want_bearer(&self, token: &str) {
        let wanted = format!("Bearer {token}");
        self.want(move |head, _| {
            let shown: Vec<_> = head.headers.get_all("authorization").iter().collect();
            shown.len() == 1 && shown[0] == wanted.as_str()
        });
    }

    /// The heads of the calls that were let in.
    pub fn calls(&self) -> Vec<Parts> {
        self.state.lock().unwrap().calls.clone()
    }
}

async fn answer(
    request: Request<Incoming>,
    state: Arc<Mutex<State>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut state = state.lock().unwrap();
    if !(state.wanted)(&head, &body) {
        let refused = Response::builder()
            .status(StatusCode::UNAUTHORIZED)
            .header("www-authenticate", "Bearer error=\"invalid_token\"");
        return Ok(refused.body(Full::default()).unwrap());
    }
    let result = match message["method"].as_str().unwrap_or_default() {
        "server/discover" => json!({
            "resultType": "complete", "supportedVersions": ["2026-07-28"],
            "capabilities": {"tools": {}}, "serverInfo": {"name": "guarded", "version": "1"},
            "ttlMs": 0, "cacheScope": "private",
        }),
        "tools/list" => json!({
            "resultType": "complete",
            "tools": [{"name": "echo", "inputSchema": {"type": "object"}}],
            "ttlMs": 0, "cacheScope": "private",
        }),
        "tools/call" => {
            state.calls.push(head);
            let text = message.pointer("/params/arguments/text").and_then(Value::as_str);
            let block = json!({"type": "text", "text": text.unwrap_or_default()});
            json!({"resultType": "complete", "content": [block], "isError": false})
        }
        _ => Value::Null,
    };
    let reply = if result.is_null() {
        json!({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "Method not found"}})
    } else {
        json!({"jsonrpc": "2.0", "id": message["id"], "result": result})
    };
    let response = Response::builder().header("content-type", "application/json");
    Ok(response.body(Full::from(reply.to_string())).unwrap())
}
