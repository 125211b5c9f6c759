//! One listener with TLS, and what can go wrong at it.

use std::{
    convert::Infallible,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use serde_json::Value;
use tokio::net::TcpListener;

/// What is wrong with a vault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    #[default]
    None,
    /// It answers 503.
    Down,
    /// It answers after so long.
    Slow(Duration),
}

/// A request that was read whole.
pub(crate) struct Asked {
    pub method: String,
    pub path: String,
    pub query: String,
    head: http::request::Parts,
    pub body: Value,
}

impl Asked {
    pub fn header(&self, name: &str) -> &str {
        self.head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A listener whose requests `T` answers.
#[derive(Debug)]
pub(crate) struct Server<T> {
    /// As `https://localhost:PORT`.
    pub url: String,
    pub state: Arc<Mutex<(T, Log)>>,
    folder: tempfile::TempDir,
}

#[derive(Debug, Default)]
pub(crate) struct Log {
    pub trouble: Trouble,
    pub asked: Vec<String>,
}

pub(crate) trait Answers: Send + 'static {
    fn answer(&mut self, asked: &Asked) -> Response<String>;
}

impl<T: Answers> Server<T> {
    pub async fn start(answers: impl FnOnce(&str) -> T) -> Server<T> {
        let folder = tempfile::tempdir().unwrap();
        let (acceptor, authority) = entra::tls();
        std::fs::write(folder.path().join("ca.pem"), authority).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let state = Arc::new(Mutex::new((answers(&url), Log::default())));
        let kept = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, state) = (acceptor.clone(), kept.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(move |request| answer(request, state.clone()));
                    let builder = auto::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Server { url, state, folder }
    }

    /// The authority that signed its certificate, in PEM form.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    pub fn with<R>(&self, work: impl FnOnce(&mut T, &mut Log) -> R) -> R {
        let mut state = self.state.lock().unwrap();
        let (answers, log) = &mut *state;
        work(answers, log)
    }
}

async fn answer<T: Answers>(
    request: Request<Incoming>,
    state: Arc<Mutex<(T, Log)>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let asked = Asked {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        head,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    let trouble = {
        let log = &mut state.lock().unwrap().1;
        log.asked.push(format!("{} {}", asked.method, asked.path));
        log.trouble
    };
    match trouble {
        Trouble::Down => return Ok(Response::builder().status(503).body(Full::default()).unwrap()),
        Trouble::Slow(time) => tokio::time::sleep(time).await,
        Trouble::None => {}
    }
    let response = state.lock().unwrap().0.answer(&asked);
    Ok(response.map(|text| Full::new(Bytes::from(text))))
}

/// A response with a JSON body.
pub(crate) fn json(status: u16, body: &Value) -> Response<String> {
    let builder = Response::builder().status(status).header("content-type", "application/json");
    builder.body(body.to_string()).unwrap()
}

/// A key that stays in a vault.
#[derive(Debug)]
pub(crate) struct Wrapping(RandomizedNonceKey);

impl Wrapping {
    pub fn new() -> Wrapping {
        let mut key = [0; 32];
        aws_lc_rs::rand::fill(&mut key).unwrap();
        Wrapping(RandomizedNonceKey::new(&AES_256_GCM, &key).unwrap())
    }

    pub fn wrap(&self, bound: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut sealed = plain.to_vec();
        let nonce = self.0.seal_in_place_append_tag(Aad::from(bound), &mut sealed).unwrap();
        [nonce.as_ref().as_slice(), &sealed].concat()
    }

    pub fn unwrap(&self, bound: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<12>()?;
        let mut plain = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        Some(self.0.open_in_place(nonce, Aad::from(bound), &mut plain).ok()?.to_vec())
    }
}
