//! A scripted HTTP server: each request goes to a closure that says what to answer.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::BodyExt as _;
use http_body_util::channel::{Channel, Sender};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use upstream::{EraChoice, HttpClient, HttpTarget, Link, LinkLimits};

/// What came in.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    pub path: String,
    pub headers: HeaderMap,
    /// `null` when there is no JSON body.
    pub body: Value,
}

impl Seen {
    pub fn rpc(&self) -> &str {
        self.body["method"].as_str().unwrap_or_default()
    }

    pub fn id(&self) -> &Value {
        &self.body["id"]
    }

    pub fn tool(&self) -> &str {
        self.body["params"]["name"].as_str().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// The answer: a status, headers, and what is done with the body's stream.
pub struct Say {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Body,
}

pub enum Body {
    Text(String),
    /// Open for as long as the task keeps the sender.
    Stream(Box<dyn FnOnce(Events) + Send>),
}

/// The sending half of an event stream.
pub struct Events(pub Sender<Bytes>);

impl Events {
    /// Sends raw text; false when the client is gone.
    pub async fn raw(&mut self, text: impl Into<String>) -> bool {
        self.0.send_data(Bytes::from(text.into())).await.is_ok()
    }

    pub async fn data(&mut self, message: &Value) -> bool {
        self.raw(format!("data: {message}\n\n")).await
    }

    /// Waits until the client closes the stream.
    pub async fn closed(mut self) {
        while self.raw(":\n\n").await {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
}

impl Say {
    pub fn status(status: u16) -> Say {
        Say { status, headers: Vec::new(), body: Body::Text(String::new()) }
    }

    pub fn json(status: u16, body: &Value) -> Say {
        Say {
            status,
            headers: vec![("content-type", "application/json; charset=utf-8".into())],
            body: Body::Text(body.to_string()),
        }
    }

    pub fn result(seen: &Seen, result: Value) -> Say {
        Say::json(200, &json!({"jsonrpc": "2.0", "id": seen.id(), "result": result}))
    }

    pub fn error(status: u16, seen: &Seen, code: i32) -> Say {
        let error = json!({"code": code, "message": "no"});
        Say::json(status, &json!({"jsonrpc": "2.0", "id": seen.id(), "error": error}))
    }

    /// An event stream that a task of the test's writes.
    pub fn stream<F: Future<Output = ()> + Send + 'static>(
        write: impl FnOnce(Events) -> F + Send + 'static,
    ) -> Say {
        Say {
            status: 200,
            headers: vec![("content-type", "text/event-stream".into())],
            body: Body::Stream(Box::new(|events| {
                tokio::spawn(write(events));
            })),
        }
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Say {
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// A running server and everything that it was sent.
pub struct Server {
    pub address: SocketAddr,
    pub seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    pub async fn start(script: impl Fn(&Seen) -> Say + Send + Sync + 'static) -> Server {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (script, kept) = (Arc::new(script), seen.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, kept) = (script.clone(), kept.clone());
                let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                    let (script, kept) = (script.clone(), kept.clone());
                    async move {
                        let seen = read(request).await;
                        kept.lock().unwrap().push(seen.clone());
                        Ok::<_, std::convert::Infallible>(answer(script(&seen)).await)
                    }
                });
                let _ = stream.set_nodelay(true);
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        Server { address, seen }
    }

    pub fn link(&self, era: EraChoice, limits: LinkLimits) -> Link {
        let url = format!("http://{}/mcp", self.address).parse().unwrap();
        let target = HttpTarget { url, era, allow_private: false };
        Link::http(super::name(), target, client(), limits)
    }

    /// What was sent with this JSON-RPC method.
    pub fn rpc(&self, method: &str) -> Vec<Seen> {
        self.seen.lock().unwrap().iter().filter(|seen| seen.rpc() == method).cloned().collect()
    }

    pub fn with(&self, method: &Method) -> Vec<Seen> {
        self.seen.lock().unwrap().iter().filter(|seen| seen.method == *method).cloned().collect()
    }
}

/// A client that trusts nobody: these tests speak plain HTTP.
pub fn client() -> HttpClient {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    HttpClient::with_tls(&config)
}

async fn read(request: Request<Incoming>) -> Seen {
    let (head, body) = request.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Seen {
        method: head.method,
        path: head.uri.path().to_owned(),
        headers: head.headers,
        body: serde_json::from_slice(&bytes).unwrap_or_default(),
    }
}

async fn answer(say: Say) -> Response<Channel<Bytes>> {
    let (mut sender, body) = Channel::new(16);
    let mut response = Response::new(body);
    *response.status_mut() = say.status.try_into().unwrap();
    for (name, value) in say.headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    match say.body {
        Body::Text(text) => {
            let _ = sender.send_data(Bytes::from(text)).await;
        }
        Body::Stream(write) => write(Events(sender)),
    }
    response
}

/// The answer to `initialize`.
pub fn initialized(seen: &Seen, version: &str) -> Say {
    let capabilities =
        json!({"tools": {"listChanged": true}, "resources": {"subscribe": true}, "logging": {}});
    let info = json!({"name": "old", "version": "1"});
    let result =
        json!({"protocolVersion": version, "capabilities": capabilities, "serverInfo": info});
    Say::result(seen, result)
}

/// A handshake server: refuses the probe, counts its sessions, and asks the script for the rest.
pub async fn old(script: impl Fn(&Seen) -> Say + Send + Sync + 'static) -> Server {
    let sessions = AtomicUsize::new(0);
    let answer = move |seen: &Seen| match (&seen.method, seen.rpc()) {
        (_, "initialize") => {
            let id = format!("session-{}", sessions.fetch_add(1, Ordering::Relaxed) + 1);
            initialized(seen, "2025-06-18").with("mcp-session-id", &id)
        }
        (_, "server/discover") => Say::error(400, seen, -32000),
        (_, method) if method.starts_with("notifications/") => Say::status(202),
        (&Method::DELETE, _) => Say::status(204),
        _ => script(seen),
    };
    Server::start(answer).await
}
