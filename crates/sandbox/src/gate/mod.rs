//! The egress gate: the one way out of a server's network namespace, one for each process tree.
//!
//! The sandbox has only a loopback device on which every address is local. Its sockets are the gate's: the
//! name service answers allowed names with addresses that stand for them, a connection to such an address
//! arrives here, and the name that it stands for decides. The gate resolves that name by itself, connects
//! to an address that it has checked, and looks into what passes as far as the rule says.

mod dns;
mod event;
mod flow;
mod forward;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
mod greeting;
mod head;
mod meter;
mod names;
mod placeholder;
mod proxy;
mod replace;
mod rule;
mod tls;

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use rustls::ClientConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

pub use event::{Event, Reason, Recorder, Subject, Verdict};
pub use placeholder::{PlaceholderFault, SecretRule, Shape};
pub use rule::{Addresses, Host, HostPattern, Rule, Rules, Tls};
pub use tls::TlsFault;

use crate::{GateSockets, Network, Request};
use event::Tally;
use meter::Budget;
use names::Names;
use placeholder::Secrets;

/// Opens a connection to a host, after its addresses were checked.
pub type Dial = Arc<
    dyn Fn(
            Host,
            u16,
            Addresses,
        ) -> Pin<Box<dyn Future<Output = Result<TcpStream, DialFault>> + Send>>
        + Send
        + Sync,
>;

/// Why there is no connection. The texts name the host.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum DialFault {
    PrivateAddress(String),
    Unreachable(String),
}

/// What one server may move and open, all its processes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once.
    pub connections: u32,
    /// Bytes out of the sandbox, in the life of a process.
    pub sent: u64,
    /// Bytes into it.
    pub received: u64,
}

/// What a gate is made of.
pub struct GateSpec {
    /// What may be reached.
    pub rules: Rules,
    /// What the process gets placeholders for.
    pub secrets: Vec<SecretRule>,
    /// Bounds.
    pub limits: Limits,
    /// The way out.
    pub dial: Dial,
    /// Whom the gate trusts.
    pub trust: Arc<ClientConfig>,
    /// Certificates (PEM) that the sandbox trusts besides the gate's: needed where TLS passes through.
    pub roots: String,
    /// Takes what is decided.
    pub record: Recorder,
}

/// Why a gate can't be made.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the inner errors say it")]
pub enum GateFault {
    #[error(transparent)]
    Placeholder(#[from] PlaceholderFault),
    #[error(transparent)]
    Tls(#[from] TlsFault),
}

/// Where the sandbox finds the certificates that it trusts.
const BUNDLE: &str = "/etc/bartizan/ca.pem";
/// What programs and libraries look at for it.
const BUNDLE_VARIABLES: [&str; 13] = [
    "AWS_CA_BUNDLE",
    "CARGO_HTTP_CAINFO",
    "CURL_CA_BUNDLE",
    "DENO_CERT",
    "GIT_SSL_CAINFO",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "HTTPLIB2_CA_CERTS",
    "NIX_SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "NPM_CONFIG_CAFILE",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
];

/// A gate before its process exists: it knows what the process has to be given.
pub struct Prepared {
    shared: Shared,
    runner: watch::Sender<()>,
    roots: String,
}

/// A gate at work. It ends, with all its connections, when this is dropped.
pub struct Gate {
    shared: Arc<Shared>,
    _running: watch::Sender<()>,
}

/// What all connections share.
struct Shared {
    rules: Rules,
    names: Names,
    secrets: Secrets,
    authority: tls::Authority,
    trust: Arc<ClientConfig>,
    dial: Dial,
    tally: Tally,
    budget: Arc<Budget>,
    slots: Arc<Semaphore>,
    /// Closed when the gate ends.
    running: watch::Receiver<()>,
}

impl Prepared {
    /// Makes the authority and the placeholders.
    pub fn new(spec: GateSpec) -> Result<Prepared, GateFault> {
        let GateSpec { rules, secrets, limits, dial, trust, roots, record } = spec;
        let (runner, running) = watch::channel(());
        let shared = Shared {
            rules,
            names: Names::default(),
            secrets: Secrets::new(secrets)?,
            authority: tls::Authority::new()?,
            trust,
            dial,
            tally: Tally::new(record),
            budget: Arc::new(Budget::new(limits.sent, limits.received)),
            slots: Arc::new(Semaphore::new(limits.connections as usize)),
            running,
        };
        Ok(Prepared { shared, runner, roots })
    }

    /// Variables for the process: placeholders, and where the certificates are.
    pub fn environment(&self) -> Vec<(String, String)> {
        let bundle = BUNDLE_VARIABLES.iter().map(|&name| (name.to_owned(), BUNDLE.to_owned()));
        bundle.chain(self.shared.secrets.environment()).collect()
    }

    /// Files for the process.
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let bundle = format!("{}{}", self.shared.authority.pem(), self.roots);
        vec![(BUNDLE.into(), bundle.into_bytes())]
    }

    /// The sockets that the gate needs inside.
    pub fn network(&self) -> Network {
        Network::Gate(Request { tcp: self.shared.rules.ports(), proxy: true, dns: true })
    }

    /// Begins to serve. Must be called inside a tokio runtime.
    pub fn start(self, sockets: GateSockets) -> Gate {
        let GateSockets { tcp, proxy, dns } = sockets;
        let Prepared { shared, runner, .. } = self;
        let shared = Arc::new(shared);
        for socket in tcp {
            shared.spawn(accept(shared.clone(), socket, flow::transparent));
        }
        if let Some(socket) = proxy {
            shared.spawn(accept(shared.clone(), socket, proxy::serve));
        }
        if let Some((datagrams, socket)) = dns {
            shared.spawn(dns::serve_udp(shared.clone(), datagrams));
            shared.spawn(accept(shared.clone(), socket, dns::serve_tcp));
        }
        Gate { shared, _running: runner }
    }
}

impl Gate {
    /// Tells what was counted and not told yet. For the end of the process.
    pub async fn finish(self) {
        self.shared.tally.finish().await;
    }
}

impl Shared {
    /// Runs a task that ends with the gate.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut running = self.running.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = task => {}
                // Nothing is ever sent: it only ends.
                _ = running.changed() => {}
            }
        });
    }
}

/// Accepts until the gate ends. Beyond the limit connections are closed at once.
async fn accept<F, T>(gate: Arc<Shared>, socket: TcpListener, serve: F)
where
    F: Fn(Arc<Shared>, TcpStream) -> T,
    T: Future<Output = ()> + Send + 'static,
{
    loop {
        let Ok((stream, _)) = socket.accept().await else {
            // Out of descriptors, most likely: others have to end first.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        let slot = gate.slots.clone().try_acquire_owned().map_err(|_| Reason::Connections);
        let slot = slot.and_then(|slot| gate.budget.check().map(|()| slot));
        let slot = match slot {
            Ok(slot) => slot,
            Err(reason) => {
                let port = stream.local_addr().map_or(0, |address| address.port());
                gate.tally.refused(reason, &Subject { port, ..Subject::default() }).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let served = serve(gate.clone(), stream);
        gate.spawn(async move {
            served.await;
            drop(slot);
        });
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("rules", &self.shared.rules).finish_non_exhaustive()
    }
}
