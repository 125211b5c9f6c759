//! A gate on loopback sockets, and a client that goes through it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject as _;
use sandbox::GateSockets;
use sandbox::gate::{
    Addresses, DialFault, Event, Gate, GateSpec, Host, HostPattern, Limits, Prepared, Rule, Rules,
    SecretRule, Shape, Tls, Verdict,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use zeroize::Zeroizing;

use crate::origin::{self, Origin};

pub const SECRET: &str = "ghp_realrealrealreal0123456789realREAL00";

pub fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

pub fn rule(host: &str, port: u16) -> Rule {
    Rule {
        host: HostPattern::parse(host).unwrap(),
        ports: vec![port],
        methods: vec![],
        paths: vec![],
        tls: Tls::Terminate,
        allow_private: false,
    }
}

pub fn secret(host: &str) -> SecretRule {
    SecretRule {
        variable: "TOKEN".into(),
        value: Zeroizing::new(SECRET.into()),
        hosts: vec![HostPattern::parse(host).unwrap()],
        headers: vec![http::header::AUTHORIZATION],
        query: vec!["key".into()],
        methods: vec![],
        shape: Shape::Marked,
    }
}

pub struct Bench {
    pub origin: Origin,
    pub proxy: SocketAddr,
    pub open: SocketAddr,
    pub dns: SocketAddr,
    pub placeholder: String,
    events: Events,
    authority: Vec<u8>,
    _gate: Gate,
}

pub const LIMITS: Limits = Limits { connections: 32, sent: 1 << 30, received: 1 << 30 };

/// What a gate told.
#[derive(Clone, Default)]
pub struct Events(Arc<Mutex<Vec<Event>>>);

impl Events {
    pub fn all(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }

    /// Waits for an event.
    pub async fn told(&self, what: impl Fn(&Event) -> bool) -> Event {
        for _ in 0..500 {
            if let Some(event) = self.all().into_iter().find(|event| what(event)) {
                return event;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("not told; but: {:#?}", self.all());
    }

    /// Waits for a refusal with this label.
    pub async fn refused(&self, label: &str) -> Event {
        let is = |event: &Event| matches!(&event.verdict, Verdict::Refused(reason) if reason.label() == label);
        self.told(is).await
    }
}

/// A gate to the recording server under all its names; `rebound.*` leads inside.
pub fn prepare(
    origin: &Origin,
    events: &Events,
    rules: Rules,
    secrets: Vec<SecretRule>,
    limits: Limits,
) -> Prepared {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(origin.authority.clone()).unwrap();
    let trust = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (plain, tls) = (origin.plain, origin.tls);
    let record = events.clone();
    let spec = GateSpec {
        rules,
        secrets,
        limits,
        dial: Arc::new(move |host, port, addresses| {
            Box::pin(async move {
                let rebound = matches!(&host, Host::Name(name) if name.starts_with("rebound."));
                let local = matches!(host, Host::Address(_)) && addresses == Addresses::Public;
                if rebound && addresses != Addresses::Any || local {
                    let text = format!("{host} leads to a loopback address");
                    return Err(DialFault::PrivateAddress(text));
                }
                let named = matches!(host, Host::Name(_));
                let address = if named && port != 80 { tls } else { plain };
                let connected = origin::connect(address).await;
                connected.map_err(|error| DialFault::Unreachable(error.to_string()))
            })
        }),
        trust: Arc::new(trust),
        roots: String::new(),
        record: Arc::new(move |event| {
            record.0.lock().unwrap().push(event);
            Box::pin(async { true })
        }),
    };
    Prepared::new(spec).unwrap()
}

impl Bench {
    pub async fn new(rules: Vec<Rule>, secrets: Vec<SecretRule>) -> Bench {
        let rules = Rules { list: rules, learn: false };
        Bench::with(rules, secrets, LIMITS).await
    }

    /// A rule's port 0 stands for the gate's own open port.
    pub async fn with(mut rules: Rules, secrets: Vec<SecretRule>, limits: Limits) -> Bench {
        let origin = Origin::start().await;
        let bind = async || TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (open, proxy, dns_tcp) = (bind().await, bind().await, bind().await);
        let at = |listener: &TcpListener| listener.local_addr().unwrap();
        for port in rules.list.iter_mut().flat_map(|rule| &mut rule.ports) {
            *port = if *port == 0 { at(&open).port() } else { *port };
        }
        let events = Events::default();
        let prepared = prepare(&origin, &events, rules, secrets, limits);
        let environment = prepared.environment();
        let placeholder = environment.into_iter().find(|(name, _)| name == "TOKEN");
        let authority = prepared.files().remove(0).1;
        let dns = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        Bench {
            origin,
            proxy: at(&proxy),
            open: at(&open),
            dns: dns.local_addr().unwrap(),
            placeholder: placeholder.map(|(_, value)| value).unwrap_or_default(),
            events,
            authority,
            _gate: prepared.start(GateSockets {
                tcp: vec![open],
                proxy: Some(proxy),
                dns: Some((dns, dns_tcp)),
            }),
        }
    }

    /// Waits for an event.
    pub async fn told(&self, what: impl Fn(&Event) -> bool) -> Event {
        self.events.told(what).await
    }

    /// Waits for a refusal with this label.
    pub async fn refused(&self, label: &str) -> Event {
        self.events.refused(label).await
    }

    pub fn allowed(&self) -> Vec<(String, String)> {
        let events = self.events.all().into_iter();
        let allowed = events.filter_map(|event| match event.verdict {
            Verdict::Allowed(rule) => Some((event.subject.method, rule)),
            _ => None,
        });
        allowed.collect()
    }

    /// A tunnel through the proxy, or the status that refused it.
    pub async fn tunnel(&self, to: &str) -> Result<TcpStream, u16> {
        let mut stream = TcpStream::connect(self.proxy).await.unwrap();
        let request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let status = std::str::from_utf8(&head[9..12]).unwrap().parse().unwrap();
        if status == 200 { Ok(stream) } else { Err(status) }
    }

    /// TLS inside, trusting the gate's authority alone.
    pub async fn tls(
        &self,
        stream: TcpStream,
        name: &str,
        protocol: &[u8],
    ) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let mut roots = rustls::RootCertStore::empty();
        let authority = rustls::pki_types::CertificateDer::from_pem_slice(&self.authority);
        roots.add(authority.unwrap()).unwrap();
        roots.add(self.origin.authority.clone()).unwrap();
        let mut config = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let name = ServerName::try_from(name.to_owned()).unwrap();
        tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// One request over a tunnel with TLS.
    pub async fn ask(&self, version: &str, request: Request<&str>) -> Answer {
        let host = request.uri().host().unwrap().to_owned();
        let stream = self.tunnel(&format!("{host}:443")).await.unwrap();
        let stream = self.tls(stream, &host, version.as_bytes()).await.unwrap();
        send(stream, version, request).await
    }

    /// The same in HTTP/1.1.
    pub async fn get(&self, path: &str, header: Option<(&str, &str)>) -> Answer {
        let mut request = Request::get(format!("https://api.test{path}"));
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        self.ask("http/1.1", request.body("").unwrap()).await
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: String,
    pub trailers: http::HeaderMap,
}

/// One request over an open stream.
pub async fn send<S>(stream: S, version: &str, request: Request<&str>) -> Answer
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut parts, body) = request.into_parts();
    let body = Full::new(Bytes::from(body.to_owned()));
    let io = TokioIo::new(stream);
    let response = if version == "h2" {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(Request::from_parts(parts, body)).await.unwrap()
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        let host = parts.uri.authority().unwrap().to_string();
        parts.headers.entry("host").or_insert(host.parse().unwrap());
        parts.uri = parts.uri.path_and_query().unwrap().to_string().parse().unwrap();
        sender.send_request(Request::from_parts(parts, body)).await.unwrap()
    };
    read(response).await
}

async fn read(response: Response<hyper::body::Incoming>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    let body = String::from_utf8(body.to_bytes().to_vec()).unwrap();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body, trailers }
}
