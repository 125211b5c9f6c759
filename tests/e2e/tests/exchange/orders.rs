//! A server behind the gateway that takes Entra's tokens for `api://orders`, and says whose it got.

use std::sync::{Arc, Mutex};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use serde_json::{Value, json};

/// It, running.
pub struct Orders {
    /// Its endpoint.
    pub url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// The tokens of calls, oldest first.
    shown: Vec<String>,
    /// Tokens that are not taken any more, and with which challenge.
    refused: Vec<(String, String)>,
}

impl Orders {
    pub async fn start() -> Orders {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        e2e::serve(listener, service_fn(move |request| answer(shared.clone(), request)));
        Orders { url, state }
    }

    /// The tokens of all calls, oldest first.
    pub fn shown(&self) -> Vec<String> {
        self.state.lock().unwrap().shown.clone()
    }

    /// Takes this token no longer.
    pub fn refuse(&self, token: &str, challenge: &str) {
        self.state.lock().unwrap().refused.push((token.to_owned(), challenge.to_owned()));
    }
}

async fn answer(
    state: Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body: Value = serde_json::from_slice(&body.collect().await?.to_bytes()).unwrap_or_default();
    let shown = head.headers.get("authorization").and_then(|value| value.to_str().ok());
    let token = shown.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    let claims = claims(token);
    let mut state = state.lock().unwrap();
    let refused = state.refused.iter().find(|(known, _)| known == token);
    if claims["aud"] != "api://orders" || refused.is_some() {
        let challenge = refused.map_or("Bearer", |(_, challenge)| challenge);
        let response = Response::builder().status(401).header("www-authenticate", challenge);
        return Ok(response.body(Full::default()).unwrap());
    }
    let result = match body["method"].as_str().unwrap_or_default() {
        "server/discover" => json!({
            "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}},
            "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "orders", "version": "1"}},
            "ttlMs": 60000, "cacheScope": "private",
        }),
        "tools/list" => {
            let tool = json!({"name": "whoami", "description": "Says who you are.", "inputSchema": {"type": "object"}});
            json!({"resultType": "complete", "tools": [tool], "ttlMs": 60000, "cacheScope": "private"})
        }
        _ => {
            state.shown.push(token.to_owned());
            let who = claims["upn"].as_str().or(claims["appid"].as_str()).unwrap_or_default();
            json!({"resultType": "complete", "content": [{"type": "text", "text": who}]})
        }
    };
    let reply = json!({"jsonrpc": "2.0", "id": body["id"], "result": result});
    let response = Response::builder().header("content-type", "application/json");
    Ok(response.body(Full::from(reply.to_string())).unwrap())
}

/// What a token says.
pub fn claims(token: &str) -> Value {
    let body = token.split('.').nth(1).and_then(|body| URL_SAFE_NO_PAD.decode(body).ok());
    body.and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or_default()
}
