//! A client of either era that hides nothing of the wire.

use std::sync::atomic::{AtomicU64, Ordering};

use http::Method;
use serde_json::{Value, json};

use crate::{Reply, Request};

/// The member of `_meta` that names the protocol version.
pub const VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES_KEY: &str = "io.modelcontextprotocol/clientCapabilities";
const STATELESS: &str = "2026-07-28";
const HANDSHAKE: &str = "2025-11-25";
/// More rounds of questions than any tool of the tests needs.
const MOST_ROUNDS: usize = 8;

/// The era that a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// 2025-11-25.
    Handshake,
    /// 2026-07-28.
    Stateless,
}

impl Era {
    /// Both of them.
    pub const ALL: [Era; 2] = [Era::Handshake, Era::Stateless];
}

/// A client of one door.
#[derive(Debug)]
pub struct Client {
    /// Which era it speaks.
    pub era: Era,
    /// The session, after a handshake.
    pub session: Option<String>,
    address: String,
    path: String,
    token: Option<String>,
    capabilities: Value,
    next_id: AtomicU64,
}

impl Client {
    /// A client that can be asked everything.
    pub async fn connect(address: &str, path: &str, era: Era) -> Self {
        Self::connect_as(address, path, era, None).await
    }

    /// A client that can be asked nothing.
    pub async fn plain(address: &str, path: &str, era: Era) -> Self {
        Self::able(address, path, era, None, json!({})).await
    }

    /// A client that can be asked everything, who shows a token.
    pub async fn connect_as(address: &str, path: &str, era: Era, token: Option<&str>) -> Self {
        let capabilities = json!({ "elicitation": {}, "roots": {}, "sampling": {} });
        Self::able(address, path, era, token, capabilities).await
    }

    /// A client that can do exactly this.
    pub async fn able(
        address: &str,
        path: &str,
        era: Era,
        token: Option<&str>,
        capabilities: Value,
    ) -> Self {
        let mut client = Self {
            era,
            session: None,
            address: address.into(),
            path: path.into(),
            token: token.map(Into::into),
            capabilities,
            next_id: AtomicU64::new(1),
        };
        if era == Era::Handshake {
            client.initialize().await;
        }
        client
    }

    async fn initialize(&mut self) {
        let client = json!({ "name": "e2e", "version": "1" });
        let params = json!({
            "protocolVersion": HANDSHAKE, "capabilities": self.capabilities, "clientInfo": client,
        });
        let message =
            json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
        let mut reply =
            self.post(&message.to_string()).without("mcp-protocol-version").send().await;
        let session = reply.header("mcp-session-id").to_owned();
        let answer = reply.next().await.expect("an answer to initialize");
        assert_eq!(answer["result"]["protocolVersion"], HANDSHAKE, "{answer}");
        self.session = Some(session);
        let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        let reply = self.post(&initialized.to_string()).send().await;
        assert_eq!(reply.status, 202);
    }

    /// A POST of this client with any body, ready to be changed and sent.
    pub fn post(&self, body: &str) -> Request {
        self.dress(Request::post(&self.address, &self.path, body.to_owned()))
    }

    /// A GET of the stream for what belongs to no request.
    pub fn get(&self) -> Request {
        let request = Request::new(Method::GET, &self.address, &self.path);
        self.dress(request.header("accept", "text/event-stream"))
    }

    /// The end of the session.
    pub fn delete(&self) -> Request {
        self.dress(Request::new(Method::DELETE, &self.address, &self.path))
    }

    fn dress(&self, mut request: Request) -> Request {
        let version = if self.era == Era::Stateless { STATELESS } else { HANDSHAKE };
        request = request.header("mcp-protocol-version", version);
        if let Some(session) = self.session.as_ref().filter(|session| !session.is_empty()) {
            request = request.header("mcp-session-id", session);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", &format!("Bearer {token}"));
        }
        request
    }

    /// A request in this client's era, with its headers, ready to be changed and sent.
    pub fn prepare(&self, method: &str, params: Value) -> Request {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        self.prepare_raw(&id.to_string(), method, &self.with_meta(params).to_string())
    }

    /// A request whose id and params are written as given.
    pub fn prepare_raw(&self, id: &str, method: &str, params: &str) -> Request {
        let body =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
        let mut request = self.post(&body);
        if self.era == Era::Stateless {
            request = request.header("mcp-method", method);
            let params: Value = serde_json::from_str(params).unwrap_or_default();
            let name =
                params["name"].as_str().or(params["uri"].as_str()).or(params["taskId"].as_str());
            if let Some(name) = name {
                request = request.header("mcp-name", name);
            }
        }
        request
    }

    /// Adds what every stateless request must say about its client.
    pub fn with_meta(&self, mut params: Value) -> Value {
        if self.era == Era::Stateless {
            let meta = &mut params["_meta"];
            meta[VERSION_KEY] = json!(STATELESS);
            meta[CAPABILITIES_KEY] = self.capabilities.clone();
        }
        params
    }

    /// Sends a request and returns the response, of which nothing has been read.
    pub async fn send(&self, method: &str, params: Value) -> Reply {
        self.prepare(method, params).send().await
    }

    /// Sends a request and returns the whole answer to it, past any notifications.
    pub async fn request(&self, method: &str, params: Value) -> Value {
        let mut reply = self.send(method, params).await;
        let mut seen = Vec::new();
        while let Some(message) = reply.next().await {
            if message.get("result").is_some() || message.get("error").is_some() {
                return message;
            }
            seen.push(message);
        }
        panic!("no answer to {method}: {} {seen:?}", reply.status);
    }

    /// Calls a tool and returns the whole answer.
    pub async fn call(&self, tool: &str, arguments: Value) -> Value {
        self.request("tools/call", json!({ "name": tool, "arguments": arguments })).await
    }

    /// Calls a tool and returns the text of its result.
    pub async fn call_text(&self, tool: &str, arguments: Value) -> String {
        let answer = self.call(tool, arguments).await;
        let text = answer["result"]["content"][0]["text"].as_str();
        text.unwrap_or_else(|| panic!("no text: {answer}")).to_owned()
    }

    /// The names of what a list method lists.
    pub async fn names(&self, method: &str, list: &str) -> Vec<String> {
        let answer = self.request(method, json!({})).await;
        let items =
            answer["result"][list].as_array().unwrap_or_else(|| panic!("no list: {answer}"));
        items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    }

    /// The names of all tools.
    pub async fn tools(&self) -> Vec<String> {
        self.names("tools/list", "tools").await
    }

    /// Makes a request, answers whatever the server asks in between, and returns the final answer.
    /// Each question comes with its method and its params.
    pub async fn request_answering(
        &self,
        method: &str,
        mut params: Value,
        answer: impl Fn(&str, &Value) -> Value,
    ) -> Value {
        if self.era == Era::Handshake {
            return self.answer_requests(method, params, answer).await;
        }
        for _ in 0..MOST_ROUNDS {
            let reply = self.request(method, params.clone()).await;
            let result = &reply["result"];
            if result["resultType"] != "input_required" {
                return reply;
            }
            let asked = result["inputRequests"].as_object().cloned().unwrap_or_default();
            let answers = asked.iter().map(|(key, question)| {
                let method = question["method"].as_str().unwrap();
                (key.clone(), answer(method, &question["params"]))
            });
            params["inputResponses"] = answers.collect();
            params["requestState"] = result["requestState"].clone();
        }
        panic!("{method} asks for ever");
    }

    async fn answer_requests(
        &self,
        method: &str,
        params: Value,
        answer: impl Fn(&str, &Value) -> Value,
    ) -> Value {
        let mut reply = self.send(method, params).await;
        while let Some(message) = reply.next().await {
            match message["method"].as_str() {
                None => return message,
                Some(method) if message.get("id").is_some() => {
                    let result = answer(method, &message["params"]);
                    let answer = json!({ "jsonrpc": "2.0", "id": message["id"], "result": result });
                    assert_eq!(self.post(&answer.to_string()).send().await.status, 202);
                }
                Some(_) => {}
            }
        }
        panic!("no answer to {method}");
    }

    /// Calls a tool, answers whatever it asks, and returns the text of its result.
    pub async fn call_answering(
        &self,
        tool: &str,
        arguments: Value,
        answer: impl Fn(&str, &Value) -> Value,
    ) -> String {
        let params = json!({ "name": tool, "arguments": arguments });
        let reply = self.request_answering("tools/call", params, answer).await;
        let text = reply["result"]["content"][0]["text"].as_str();
        text.unwrap_or_else(|| panic!("no text: {reply}")).to_owned()
    }

    /// Sends a notification.
    pub async fn notify(&self, method: &str, params: Value) {
        let message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        let reply = self.post(&message.to_string()).send().await;
        assert_eq!(reply.status, 202, "{method}");
    }

    /// Opens the stream of changes: of all lists, and of these resources.
    pub async fn listen(&self, uris: &[&str]) -> Reply {
        if self.era == Era::Stateless {
            let notifications = json!({
                "toolsListChanged": true,
                "promptsListChanged": true,
                "resourcesListChanged": true,
                "resourceSubscriptions": uris,
            });
            let params = json!({ "notifications": notifications });
            let mut reply = self.send("subscriptions/listen", params).await;
            let first = reply.next().await.unwrap();
            assert_eq!(first["method"], "notifications/subscriptions/acknowledged", "{first}");
            return reply;
        }
        let reply = self.get().send().await;
        assert_eq!(reply.status, 200);
        for uri in uris {
            let answer = self.request("resources/subscribe", json!({ "uri": uri })).await;
            assert!(answer.get("result").is_some(), "{answer}");
        }
        reply
    }
}
