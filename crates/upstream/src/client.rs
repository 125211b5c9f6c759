//! The HTTP client of all links: one pool, guarded connections, no redirects, no proxies.

use std::error::Error;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use crate::LinkFault;
use crate::connect::{ConnectFault, Connector};

type Inner = Client<HttpsConnector<Connector>, Full<Bytes>>;

/// Connections to servers, shared by all links that are given a clone. HTTP/1.1 keep-alive, HTTP/2 where
/// TLS agrees on it.
#[derive(Clone, Debug)]
pub struct HttpClient(Arc<Pools>);

#[derive(Debug)]
struct Pools {
    /// For `http` URLs: it trusts no certificate.
    plain: Pair,
    /// For `https` URLs: made on first use, since reading the system's certificates takes a while.
    tls: OnceLock<Option<Pair>>,
    /// Instead of the system's certificates.
    config: Option<rustls::ClientConfig>,
}

#[derive(Debug)]
struct Pair {
    public: Inner,
    /// For targets with `allow_private`: its own pool, so that a connection made under looser rules
    /// is never used under stricter ones.
    private: Inner,
}

impl Pair {
    fn new(config: &rustls::ClientConfig) -> Pair {
        let make = |allow_private| {
            let builder = HttpsConnectorBuilder::new().with_tls_config(config.clone());
            client(builder.https_or_http(), allow_private)
        };
        Pair { public: make(false), private: make(true) }
    }
}

impl HttpClient {
    /// Trusts what the operating system trusts. On a machine without any root certificates it trusts
    /// nobody: plain HTTP still works, every TLS handshake fails.
    pub fn new() -> Result<HttpClient, LinkFault> {
        let nobody = builder()?.with_root_certificates(rustls::RootCertStore::empty());
        let plain = Pair::new(&nobody.with_no_client_auth());
        Ok(HttpClient(Arc::new(Pools { plain, tls: OnceLock::new(), config: None })))
    }

    /// With this TLS configuration (a private authority, a client certificate).
    pub fn with_tls(config: &rustls::ClientConfig) -> HttpClient {
        let plain = Pair::new(config);
        let config = Some(config.clone());
        HttpClient(Arc::new(Pools { plain, tls: OnceLock::new(), config }))
    }

    /// Whom links trust: for connections that others make.
    pub fn trust() -> Result<rustls::ClientConfig, LinkFault> {
        let system = builder()?.try_with_platform_verifier().map_err(|error| unusable(&error))?;
        Ok(system.with_no_client_auth())
    }

    /// Trusts the authorities in this file in PEM form, and nobody else.
    pub fn trusting(authorities: &Path) -> Result<HttpClient, LinkFault> {
        HttpClient::trust_in(Some(authorities)).map(|config| HttpClient::with_tls(&config))
    }

    /// Whom a connection trusts that others make: the authorities in this file, or those of the system.
    pub fn trust_in(authorities: Option<&Path>) -> Result<rustls::ClientConfig, LinkFault> {
        let Some(authorities) = authorities else { return HttpClient::trust() };
        Ok(builder()?.with_root_certificates(roots(authorities)?).with_no_client_auth())
    }

    /// Connections that show this certificate (a chain and its key, in PEM form) to servers that ask for one. They trust the
    /// authorities in a file in PEM form and nobody else, or what the operating system trusts.
    pub fn showing(
        cert: &str,
        key: &str,
        authorities: Option<&Path>,
    ) -> Result<HttpClient, LinkFault> {
        let unfit = |what: &str, fault: &dyn std::fmt::Display| {
            LinkFault::Unreachable(format!("the client {what} can't be used: {fault}"))
        };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(cert.as_bytes()).collect();
        let chain = chain.map_err(|fault| unfit("certificate", &fault))?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes());
        let key = key.map_err(|fault| unfit("certificate's key", &fault))?;
        let trusting = match authorities {
            Some(authorities) => builder()?.with_root_certificates(roots(authorities)?),
            None => builder()?.try_with_platform_verifier().map_err(|error| unusable(&error))?,
        };
        let config = trusting.with_client_auth_cert(chain, key);
        Ok(HttpClient::with_tls(&config.map_err(|fault| unfit("certificate", &fault))?))
    }

    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        allow_private: bool,
    ) -> Result<Response<Incoming>, LinkFault> {
        let pair = match request.uri().scheme_str() {
            Some("https") => self.0.tls.get_or_init(|| self.0.tls()).as_ref(),
            _ => None,
        };
        let pair = pair.unwrap_or(&self.0.plain);
        let client = if allow_private { &pair.private } else { &pair.public };
        client.request(request).await.map_err(|error| fault(&error))
    }
}

impl Pools {
    /// `None` where the system has no certificates.
    fn tls(&self) -> Option<Pair> {
        if let Some(config) = &self.config {
            return Some(Pair::new(config));
        }
        match HttpClient::trust() {
            Ok(system) => Some(Pair::new(&system)),
            Err(error) => {
                tracing::warn!(%error, "no root certificates: no TLS server will be trusted");
                None
            }
        }
    }
}

/// The authorities in this file in PEM form.
fn roots(file: &Path) -> Result<rustls::RootCertStore, LinkFault> {
    let fault = |fault: &dyn std::fmt::Display| {
        LinkFault::Unreachable(format!("{}: {fault}", file.display()))
    };
    let mut roots = rustls::RootCertStore::empty();
    for authority in CertificateDer::pem_file_iter(file).map_err(|f| fault(&f))? {
        roots.add(authority.map_err(|f| fault(&f))?).map_err(|f| fault(&f))?;
    }
    Ok(roots)
}

type Builder = rustls::ConfigBuilder<rustls::ClientConfig, rustls::WantsVerifier>;

fn builder() -> Result<Builder, LinkFault> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))
}

fn unusable(error: &rustls::Error) -> LinkFault {
    LinkFault::Unreachable(format!("TLS: {error}"))
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
