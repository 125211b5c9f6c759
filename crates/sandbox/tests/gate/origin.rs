//! A server that records what it is asked, and answers what the path says.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub version: http::Version,
}

#[derive(Clone)]
pub struct Origin {
    pub plain: SocketAddr,
    pub tls: SocketAddr,
    /// For a client's root store.
    pub authority: rustls::pki_types::CertificateDer<'static>,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// What is below `/repo.git`, for whoever shows credentials.
    files: Arc<Mutex<Option<PathBuf>>>,
}

pub const NAMES: [&str; 4] = ["api.test", "other.test", "a.wild.test", "127.0.0.1"];

impl Origin {
    pub async fn start() -> Origin {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).unwrap();
        let issuer = rcgen::Issuer::new(params, key);
        let key = rcgen::KeyPair::generate().unwrap();
        let names: Vec<String> = NAMES.iter().map(|&name| name.into()).collect();
        let leaf = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = rustls::ServerConfig::builder_with_provider(super::support::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let (plain, tls) = (listener().await, listener().await);
        let origin = Origin {
            plain: plain.local_addr().unwrap(),
            tls: tls.local_addr().unwrap(),
            authority: authority.der().clone(),
            seen: Arc::default(),
            files: Arc::default(),
        };
        tokio::spawn(origin.clone().serve(plain, None));
        tokio::spawn(origin.clone().serve(tls, Some(TlsAcceptor::from(Arc::new(config)))));
        origin
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Serves the files of a repository.
    pub fn serve_files(&self, folder: &Path) {
        *self.files.lock().unwrap() = Some(folder.to_owned());
    }

    fn file(&self, path: &str, told: &str) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
        let full = |bytes: Vec<u8>| Full::new(Bytes::from(bytes)).boxed_unsync();
        if told.is_empty() {
            let unknown =
                Response::builder().status(401).header("www-authenticate", "Basic realm=x");
            return unknown.body(full(vec![])).unwrap();
        }
        let folder = self.files.lock().unwrap().clone();
        let found = folder.and_then(|folder| std::fs::read(folder.join(&path[1..])).ok());
        let status = if found.is_some() { 200 } else { 404 };
        Response::builder().status(status).body(full(found.unwrap_or_default())).unwrap()
    }

    async fn serve(self, listener: TcpListener, tls: Option<TlsAcceptor>) {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (origin, tls) = (self.clone(), tls.clone());
            tokio::spawn(async move {
                match tls {
                    None => origin.http(stream).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            origin.http(stream).await;
                        }
                    }
                }
            });
        }
    }

    async fn http<S>(self, stream: S)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(move |request| {
            let origin = self.clone();
            async move { Ok::<_, Infallible>(origin.answer(request).await) }
        });
        let _ = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
            .serve_connection_with_upgrades(TokioIo::new(stream), service)
            .await;
    }

    async fn answer(
        &self,
        mut request: Request<Incoming>,
    ) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
        let upgrade = hyper::upgrade::on(&mut request);
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let seen = Seen {
            target: parts.uri.to_string(),
            headers: parts.headers,
            body,
            version: parts.version,
        };
        self.seen.lock().unwrap().push(seen.clone());
        let told = seen.headers.get("authorization").cloned();
        let told = told.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        let full = |text: String| Full::new(Bytes::from(text)).boxed_unsync();
        match parts.uri.path() {
            "/ws" => {
                tokio::spawn(async move {
                    let mut stream = TokioIo::new(upgrade.await.unwrap());
                    let mut buffer = [0; 1024];
                    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                        let _ = stream.write_all(&buffer[..length]).await;
                        let _ = stream.write_all(told.as_bytes()).await;
                    }
                });
                let switching = Response::builder()
                    .status(StatusCode::SWITCHING_PROTOCOLS)
                    .header("connection", "upgrade")
                    .header("upgrade", "websocket");
                switching.body(full(String::new())).unwrap()
            }
            // One that a WebSocket client understands (RFC 6455): it is told its credentials in one frame.
            "/websocket" => {
                let key = seen.headers["sec-websocket-key"].as_bytes();
                let whole = [key, b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat();
                let sha1 = &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY;
                let accept = BASE64_STANDARD.encode(aws_lc_rs::digest::digest(sha1, &whole));
                tokio::spawn(async move {
                    let mut stream = TokioIo::new(upgrade.await.unwrap());
                    let frame = [&[0x81, u8::try_from(told.len()).unwrap()], told.as_bytes()];
                    let _ = stream.write_all(&frame.concat()).await;
                    // Its closing frame.
                    let _ = stream.read(&mut [0; 64]).await;
                });
                let switching = Response::builder()
                    .status(StatusCode::SWITCHING_PROTOCOLS)
                    .header("connection", "upgrade")
                    .header("upgrade", "websocket")
                    .header("sec-websocket-accept", accept);
                switching.body(full(String::new())).unwrap()
            }
            // Another protocol than the one that was asked for.
            "/h2c" => {
                let switching = Response::builder()
                    .status(StatusCode::SWITCHING_PROTOCOLS)
                    .header("connection", "upgrade")
                    .header("upgrade", "h2c");
                switching.body(full(String::new())).unwrap()
            }
            path if path.starts_with("/repo.git/") => self.file(path, &told),
            "/grpc.Echo/Say" => {
                let mut frame = vec![0];
                frame.extend_from_slice(&u32::try_from(told.len()).unwrap().to_be_bytes());
                frame.extend_from_slice(told.as_bytes());
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", "0".parse().unwrap());
                let frames = [Frame::data(Bytes::from(frame)), Frame::trailers(trailers)];
                let frames = frames.map(Ok::<_, Infallible>);
                let body = StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync();
                Response::builder().header("content-type", "application/grpc").body(body).unwrap()
            }
            // Said in pieces, each secret cut in two, with trailers behind.
            "/pieces" => {
                let (first, second) = told.split_at(told.len() / 2);
                let mut trailers = HeaderMap::new();
                trailers.insert("x-told", told.parse().unwrap());
                let frames = [
                    Frame::data(Bytes::from(format!("<{first}"))),
                    Frame::data(Bytes::from(format!("{second}>"))),
                    Frame::trailers(trailers),
                ];
                let frames = frames.map(Ok::<_, Infallible>);
                let body = StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync();
                Response::builder().header("trailer", "x-told").body(body).unwrap()
            }
            "/compressed" => {
                let response = Response::builder().header("content-encoding", "gzip");
                response.body(full(told)).unwrap()
            }
            _ => {
                let response = Response::builder().header("x-told", told.as_str());
                response.body(full(format!("{told} {}", seen.body.len()))).unwrap()
            }
        }
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// A way to the recording server for every name of it.
pub async fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    TcpStream::connect(address).await
}
