//! Links over TLS: HTTP/2 where the server offers it, and no trust without an authority.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use support::Caller;
use tokio::net::TcpListener;
use upstream::{EraChoice, HttpClient, HttpTarget, Link, LinkFault, LinkLimits};

/// A certificate for `localhost` that is its own authority.
struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

fn identity() -> Identity {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    Identity { certificate: made.cert.der().clone(), key }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Answers every request with `{}`; counts connections and requests by HTTP version.
async fn serve(identity: &Identity, protocols: &[&str]) -> (SocketAddr, Arc<[AtomicUsize; 3]>) {
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![identity.certificate.clone()], identity.key.clone_key())
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let counts: Arc<[AtomicUsize; 3]> = Arc::default();
    let kept = counts.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, counts) = (acceptor.clone(), kept.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                counts[0].fetch_add(1, Ordering::Relaxed);
                let service =
                    hyper::service::service_fn(move |request| answer(request, counts.clone()));
                let _ = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    (address, counts)
}

async fn answer(
    request: Request<Incoming>,
    counts: Arc<[AtomicUsize; 3]>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let place = if request.version() == Version::HTTP_2 { 2 } else { 1 };
    counts[place].fetch_add(1, Ordering::Relaxed);
    let body = request.into_body().collect().await?.to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let reply = serde_json::json!({"jsonrpc": "2.0", "id": body["id"], "result": {}}).to_string();
    let mut response = Response::new(Full::from(reply));
    response.headers_mut().insert("content-type", "application/json".parse().unwrap());
    Ok(response)
}

fn link(address: SocketAddr, client: HttpClient) -> Link {
    let url = format!("https://localhost:{}/mcp", address.port()).parse().unwrap();
    let target = HttpTarget { url, era: EraChoice::Stateless, allow_private: false };
    Link::http(support::name(), target, client, LinkLimits::default())
}

#[tokio::test]
async fn both_http_versions_reuse_their_connection() {
    let identity = identity();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(identity.certificate.clone()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    for (protocols, expected) in [(&["h2", "http/1.1"][..], [1, 0, 5]), (&["http/1.1"], [1, 5, 0])]
    {
        let (address, counts) = serve(&identity, protocols).await;
        let link = link(address, HttpClient::with_tls(&config));
        let caller = Caller::new("{}");
        for _ in 0..5 {
            caller.send(&link, "tools/list", "{}").await.unwrap();
        }
        let counted = [0, 1, 2].map(|at: usize| counts[at].load(Ordering::Relaxed));
        assert_eq!(counted, expected, "connections, HTTP/1.1, HTTP/2");
    }
}

#[tokio::test]
async fn an_unknown_authority_is_refused() {
    let (address, counts) = serve(&identity(), &["h2"]).await;
    let link = link(address, HttpClient::new().unwrap());
    let refused = Caller::new("{}").send(&link, "tools/list", "{}").await.unwrap_err();
    assert!(matches!(refused, LinkFault::Unreachable(_)), "{refused:?}");
    assert_eq!(counts[0].load(Ordering::Relaxed), 0);
}
