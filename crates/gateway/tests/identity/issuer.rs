//! A plain issuer: its metadata and keys over HTTP, a count of what it was asked, and a way to break it.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use gateway::config::{KeysFrom, Offer, Provider};
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use identity::{
    Algorithm, ProviderName,
    provider::{self, Callers, ClaimNames, Oidc},
};
use serde_json::{Value, json};

use crate::signer::Signer;

#[derive(Clone)]
pub struct Issuer {
    pub url: String,
    state: Arc<State>,
}

struct State {
    keys: Mutex<Vec<Arc<Signer>>>,
    broken: AtomicBool,
    /// Requests for keys.
    asked: AtomicUsize,
    /// Requests for anything.
    requests: AtomicUsize,
}

impl Issuer {
    pub async fn start() -> Issuer {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            keys: Mutex::new(vec![Arc::new(Signer::ed("first"))]),
            broken: AtomicBool::new(false),
            asked: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
        });
        let issuer = Issuer { url, state };
        let served = issuer.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let issuer = served.clone();
                let service = service_fn(move |request| {
                    let issuer = issuer.clone();
                    async move { Ok::<_, Infallible>(issuer.answer(&request)) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        issuer
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let keys = request.uri().path() == "/keys";
        self.state.requests.fetch_add(1, Ordering::SeqCst);
        if keys {
            self.state.asked.fetch_add(1, Ordering::SeqCst);
        }
        if self.state.broken.load(Ordering::SeqCst) {
            return Response::builder().status(503).body(Full::default()).unwrap();
        }
        let body = if keys {
            let keys = self.state.keys.lock().unwrap();
            json!({ "keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>() })
        } else {
            json!({ "issuer": self.url, "jwks_uri": format!("{}/keys", self.url) })
        };
        Response::new(Full::from(body.to_string()))
    }

    pub fn break_down(&self, broken: bool) {
        self.state.broken.store(broken, Ordering::SeqCst);
    }

    /// How often it was asked for its keys.
    pub fn asked(&self) -> usize {
        self.state.asked.load(Ordering::SeqCst)
    }

    /// How often it was asked for anything.
    pub fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// Signs with a new key from now on; the old one is no longer published.
    pub fn rotate(&self, kid: &str) {
        *self.state.keys.lock().unwrap() = vec![Arc::new(Signer::ed(kid))];
    }

    pub fn jwk(&self) -> Value {
        self.state.keys.lock().unwrap()[0].jwk()
    }

    pub fn token(&self, subject: &str, seconds: u64, more: Value) -> String {
        let mut claims = json!({
            "iss": self.url, "sub": subject, "aud": "https://mcp.example.com/mcp",
            "exp": now() + seconds, "client_id": "cli",
        });
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        self.state.keys.lock().unwrap()[0].sign(&claims)
    }

    pub fn provider(&self, refresh: Duration, stale: Duration) -> Provider {
        Provider {
            provider: provider::Provider::oidc(
                ProviderName::new("plain").unwrap(),
                Oidc {
                    issuer: self.url.clone(),
                    audiences: ["", "/mcp", "/mcp/demo"]
                        .map(|path| format!("https://mcp.example.com{path}"))
                        .to_vec(),
                    several_audiences: false,
                    algorithms: vec![Algorithm::EdDSA],
                    clients: vec![],
                    claims: ClaimNames::default(),
                    callers: Callers::UsersAndClients,
                },
            ),
            keys: KeysFrom::Discovery {
                url: format!("{}/.well-known/openid-configuration", self.url),
                issuer: self.url.clone(),
                same_origin: false,
            },
            refresh,
            stale,
            allow_private: true,
            ca: None,
            graph: None,
            offer: Offer {
                authorization_servers: vec![self.url.clone()],
                scopes: vec!["mcp".into()],
            },
        }
    }
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
