//! The HTTP client of all links: one pool, guarded connections, no redirects, no proxies.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::LinkFault;
use crate::connect::{ConnectFault, Connector};

type Inner = Client<HttpsConnector<Connector>, Full<Bytes>>;

/// Connections to servers, shared by all links that are given a clone. HTTP/1.1 keep-alive, HTTP/2 where
/// TLS agrees on it.
#[derive(Clone, Debug)]
pub struct HttpClient {
    public: Inner,
    /// For targets with `allow_private`: its own pool, so that a connection made under looser rules
    /// is never used under stricter ones.
    private: Inner,
}

impl HttpClient {
    /// Trusts what the operating system trusts.
    pub fn new() -> Result<HttpClient, LinkFault> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let make = |allow_private| {
            let builder = HttpsConnectorBuilder::new()
                .with_provider_and_platform_verifier(provider.clone())
                .map_err(|error| LinkFault::Unreachable(format!("TLS: {error}")))?;
            Ok::<Inner, LinkFault>(client(builder.https_or_http(), allow_private))
        };
        Ok(HttpClient { public: make(false)?, private: make(true)? })
    }

    /// With this TLS configuration (a private authority, a client certificate).
    pub fn with_tls(config: &rustls::ClientConfig) -> HttpClient {
        let make = |allow_private| {
            let builder = HttpsConnectorBuilder::new().with_tls_config(config.clone());
            client(builder.https_or_http(), allow_private)
        };
        HttpClient { public: make(false), private: make(true) }
    }

    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        allow_private: bool,
    ) -> Result<Response<Incoming>, LinkFault> {
        let client = if allow_private { &self.private } else { &self.public };
        client.request(request).await.map_err(|error| fault(&error))
    }
}

fn client(
    builder: HttpsConnectorBuilder<hyper_rustls::builderstates::WantsProtocols1>,
    allow_private: bool,
) -> Inner {
    let https = builder.enable_http1().enable_http2().wrap_connector(Connector { allow_private });
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(60))
        .pool_max_idle_per_host(256)
        .build(https)
}

/// A request that failed before its connection stood never ran; after that nobody knows.
fn fault(error: &legacy::Error) -> LinkFault {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    let mut deepest = error.to_string();
    while let Some(inner) = cause {
        if let Some(refused @ ConnectFault::Forbidden { .. }) = inner.downcast_ref() {
            return LinkFault::Forbidden(refused.to_string());
        }
        deepest = inner.to_string();
        cause = inner.source();
    }
    if error.is_connect() { LinkFault::Unreachable(deepest) } else { LinkFault::Lost(deepest) }
}
