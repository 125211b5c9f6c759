//! What the egress gate costs: connections, requests and bytes through it, against the same without it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::sandbox::GateSockets;
use ::sandbox::gate::{
    DialFault, Gate, GateSpec, Host, HostPattern, Limits, Prepared, Rule, Rules, SecretRule, Shape,
    Tls,
};
use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::{Output, extras::Extra, table};

/// The costs of the egress gate by the clock.
#[derive(Args)]
pub struct Options {
    /// Connections of each kind.
    #[arg(long, default_value_t = 300)]
    connections: usize,
    /// Requests on one connection of each kind.
    #[arg(long, default_value_t = 5000)]
    requests: usize,
    /// MiB that are fetched on one connection of each kind.
    #[arg(long, default_value_t = 512)]
    mebibytes: usize,
    /// A table or JSON.
    #[arg(long, default_value = "table")]
    output: Output,
}

/// The ways to the server, in turning order, so that a noisy moment of the machine hits all.
const WAYS: [&str; 4] = ["no gate", "passed through", "looked into", "with a secret"];

/// Measures and prints.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let rows = runtime.block_on(measure(options))?;
    table::show(options.output, &rows);
    Ok(())
}

async fn measure(options: &Options) -> anyhow::Result<Vec<Extra>> {
    let server = Server::start().await?;
    let mut ways = vec![Way::direct(&server)];
    for (tls, secret) in
        [(Tls::PassThrough, false), (Tls::Terminate, false), (Tls::Terminate, true)]
    {
        ways.push(Way::gated(&server, tls, secret).await?);
    }
    let mut connecting = vec![Vec::new(); ways.len()];
    for _ in 0..options.connections {
        for (way, times) in ways.iter().zip(&mut connecting) {
            let begun = Instant::now();
            fetch(&mut way.connect().await?, "/small").await?;
            times.push(begun.elapsed());
        }
    }
    let mut asking = vec![Vec::new(); ways.len()];
    let mut open = Vec::new();
    for way in &ways {
        open.push(way.connect().await?);
    }
    for _ in 0..options.requests {
        for (sender, times) in open.iter_mut().zip(&mut asking) {
            let begun = Instant::now();
            fetch(sender, "/small").await?;
            times.push(begun.elapsed());
        }
    }
    let mut rows = Vec::new();
    for (way, times) in WAYS.iter().zip(&mut connecting) {
        rows.push(extra(
            format!("first answer on a new connection, {way}"),
            micros(times, 50),
            "µs p50",
        ));
    }
    for (way, times) in WAYS.iter().zip(&mut asking) {
        rows.push(extra(
            format!("request on an open connection, {way}"),
            micros(times, 50),
            "µs p50",
        ));
        rows.push(extra(
            format!("request on an open connection, {way}"),
            micros(times, 99),
            "µs p99",
        ));
    }
    for (way, sender) in WAYS.iter().zip(&mut open) {
        let begun = Instant::now();
        for _ in 0..options.mebibytes.div_ceil(LARGE >> 20) {
            fetch(sender, "/large").await?;
        }
        let seconds = begun.elapsed().as_secs_f64();
        let mebibytes = options.mebibytes.next_multiple_of(LARGE >> 20);
        #[expect(clippy::cast_precision_loss, reason = "a figure for a reader")]
        let rate = mebibytes as f64 / seconds;
        rows.push(extra(format!("bytes on one connection, {way}"), rate, "MiB/s"));
    }
    Ok(rows)
}

fn extra(what: String, figure: f64, unit: &'static str) -> Extra {
    Extra { what, figure, unit, budget: "" }
}

fn micros(times: &mut [Duration], percentile: usize) -> f64 {
    times.sort_unstable();
    times[(times.len() - 1) * percentile / 100].as_secs_f64() * 1e6
}

const LARGE: usize = 64 << 20;
const NAME: &str = "127.0.0.1";

/// A TLS server on loopback.
struct Server {
    address: SocketAddr,
    authority: CertificateDer<'static>,
}

impl Server {
    async fn start() -> anyhow::Result<Server> {
        let key = rcgen::KeyPair::generate()?;
        let certificate =
            rcgen::CertificateParams::new(vec![NAME.to_owned()])?.self_signed(&key)?;
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((NAME, 0)).await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let _ = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service_fn(answer))
                        .await;
                });
            }
        });
        Ok(Server { address, authority: certificate.der().clone() })
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = match request.uri().path() {
        "/large" => Bytes::from(vec![b'x'; LARGE]),
        _ => Bytes::from_static(b"{\"small\":true}"),
    };
    Ok(Response::new(Full::new(body)))
}

/// One way to the server.
struct Way {
    to: SocketAddr,
    trust: Arc<rustls::ClientConfig>,
    _gate: Option<Gate>,
}

impl Way {
    fn direct(server: &Server) -> Way {
        Way {
            to: server.address,
            trust: trust(std::slice::from_ref(&server.authority)),
            _gate: None,
        }
    }

    async fn gated(server: &Server, tls: Tls, secret: bool) -> anyhow::Result<Way> {
        let listener = TcpListener::bind((NAME, 0)).await?;
        let to = listener.local_addr()?;
        let host = HostPattern::parse(NAME).context("a host")?;
        let secret = secret.then(|| SecretRule {
            variable: "TOKEN".into(),
            value: zeroize::Zeroizing::new("k".repeat(40).into()),
            hosts: vec![host.clone()],
            headers: vec![hyper::header::AUTHORIZATION],
            query: Vec::new(),
            methods: Vec::new(),
            shape: Shape::Marked,
        });
        let rule = Rule {
            host,
            ports: vec![to.port()],
            methods: Vec::new(),
            paths: Vec::new(),
            tls,
            allow_private: false,
        };
        let address = server.address;
        let prepared = Prepared::new(GateSpec {
            rules: Rules { list: vec![rule], learn: false },
            secrets: secret.into_iter().collect(),
            limits: Limits { connections: 64, sent: u64::MAX, received: u64::MAX },
            dial: Arc::new(move |_: Host, _, _| {
                Box::pin(async move {
                    let stream = TcpStream::connect(address).await;
                    let stream =
                        stream.map_err(|error| DialFault::Unreachable(error.to_string()))?;
                    let _ = stream.set_nodelay(true);
                    Ok(stream)
                })
            }),
            trust: trust(std::slice::from_ref(&server.authority)),
            roots: String::new(),
            record: Arc::new(|_| Box::pin(async { true })),
        })?;
        let own = CertificateDer::from_pem_slice(&prepared.files()[0].1)?;
        let sockets = GateSockets { tcp: vec![listener], proxy: None, dns: None };
        let trust = trust(&[own, server.authority.clone()]);
        Ok(Way { to, trust, _gate: Some(prepared.start(sockets)) })
    }

    async fn connect(&self) -> anyhow::Result<Client> {
        let stream = TcpStream::connect(self.to).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(NAME)?;
        let stream = TlsConnector::from(self.trust.clone()).connect(name, stream).await?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Client { sender, host: self.to.to_string() })
    }
}

/// An open connection.
struct Client {
    sender: SendRequest<Empty<Bytes>>,
    /// As the request names it.
    host: String,
}

fn trust(authorities: &[CertificateDer<'static>]) -> Arc<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(authorities.iter().cloned());
    let mut config =
        rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    // A resumed session would hide what a new one costs.
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

async fn fetch(client: &mut Client, path: &str) -> anyhow::Result<()> {
    let Client { sender, host } = client;
    sender.ready().await?;
    let request = Request::get(path).header("host", host.as_str()).body(Empty::new())?;
    let mut response = sender.send_request(request).await?;
    anyhow::ensure!(response.status().is_success(), "{}", response.status());
    while let Some(frame) = response.frame().await {
        frame?;
    }
    Ok(())
}
