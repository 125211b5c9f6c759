//! What the gateway serves: resolved, typed, without a string left to interpret.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use http::Uri;
use mcp::{Separator, ServerName};
use upstream::EraChoice;

/// Everything that [`crate::Gateway::start`] needs.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the HTTP door listens.
    pub listen: SocketAddr,
    /// Certificate and key; plain HTTP when absent.
    pub tls: Option<Tls>,
    /// `Host` values accepted besides the loopback names and the listen address.
    pub hosts: Vec<String>,
    /// Browser origins accepted besides the accepted hosts' own.
    pub origins: Vec<String>,
    /// Between a server's and a tool's name in the aggregate.
    pub separator: Separator,
    /// The named loosening: anyone on the loopback is let in without a token.
    pub loopback_open: bool,
    /// Who may do what.
    pub roles: Vec<policy::Role>,
    /// The servers, in the order of the file.
    pub servers: Vec<Server>,
    /// Bounds.
    pub limits: Limits,
    /// The log.
    pub audit: Audit,
    /// Where tokens, definitions, keys and the log are kept.
    pub state_dir: PathBuf,
}

impl Config {
    /// Everything at its default, no server, state in `state_dir`.
    pub fn bare(state_dir: PathBuf) -> Config {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 8420)),
            tls: None,
            hosts: Vec::new(),
            origins: Vec::new(),
            separator: Separator::default(),
            loopback_open: false,
            roles: Vec::new(),
            servers: Vec::new(),
            limits: Limits::default(),
            audit: Audit { strict: false, sync: true },
            state_dir,
        }
    }
}

/// PEM files; changed files are picked up without a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Certificate chain.
    pub cert: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// One configured server.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Its name in the aggregate and in `/mcp/{server}`.
    pub name: ServerName,
    /// How it is reached.
    pub reach: Reach,
    /// Which era to speak, or find out.
    pub era: EraChoice,
    /// Whether all principals share one process or session.
    pub shared: bool,
    /// Deadline of one call.
    pub timeout: Duration,
    /// The outgoing credentials.
    pub credentials: Vec<vault::Credential>,
}

/// How a server is reached.
#[derive(Clone, Debug, PartialEq)]
pub enum Reach {
    /// Streamable HTTP (or HTTP+SSE).
    Http {
        /// Its endpoint.
        url: Uri,
        /// The named loosening: addresses that are not public are allowed.
        allow_private: bool,
    },
    /// A child process.
    Stdio {
        /// The program.
        command: String,
        /// Its arguments.
        args: Vec<String>,
        /// Its environment beside the allow-list.
        env: Vec<(String, vault::Reference)>,
        /// What it may reach; nothing when absent.
        egress: Option<Egress>,
        /// Its working folder.
        cwd: Option<PathBuf>,
    },
}

/// What a local server may reach.
#[derive(Clone, Debug, PartialEq)]
pub struct Egress {
    /// Hosts, ports, methods, paths.
    pub rules: sandbox::gate::Rules,
    /// What it gets placeholders for.
    pub secrets: Vec<EgressSecret>,
    /// Bounds of one process.
    pub limits: sandbox::gate::Limits,
}

/// A secret that the gate puts in.
#[derive(Clone, Debug, PartialEq)]
pub struct EgressSecret {
    /// The variable that holds the placeholder.
    pub variable: String,
    /// What the secret is made from.
    pub value: vault::Reference,
    /// The hosts that get it.
    pub hosts: Vec<sandbox::gate::HostPattern>,
    /// In which headers.
    pub headers: Vec<http::HeaderName>,
    /// In which parameters of the query.
    pub query: Vec<String>,
    /// With which methods; all when empty.
    pub methods: Vec<http::Method>,
    /// What the placeholder looks like.
    pub shape: sandbox::gate::Shape,
}

/// Bounds on what clients may ask of the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a message, in either direction.
    pub message_bytes: usize,
    /// Bytes of all headers of a request.
    pub header_bytes: usize,
    /// Nesting of JSON.
    pub depth: usize,
    /// Bytes of a call's arguments.
    pub argument_bytes: usize,
    /// Open connections.
    pub connections: usize,
    /// Handshake sessions, all principals together.
    pub sessions: usize,
    /// Handshake sessions of one principal.
    pub sessions_per_principal: usize,
    /// A session unused for this long is ended.
    pub session_idle: Duration,
    /// Calls in flight of one principal, streams included.
    pub in_flight_per_principal: usize,
    /// How long a list waits for its slowest server.
    pub list_deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            message_bytes: 10 << 20,
            header_bytes: 32 << 10,
            depth: 64,
            argument_bytes: 1 << 20,
            connections: 4096,
            sessions: 10_000,
            sessions_per_principal: 2_500,
            session_idle: Duration::from_secs(30 * 60),
            in_flight_per_principal: 256,
            list_deadline: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// The bounds of one strict reading.
    pub fn json(&self) -> mcp::Limits {
        mcp::Limits { bytes: self.message_bytes, depth: self.depth, ..mcp::Limits::default() }
    }
}

/// How the log behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Forward a call only after its intent is durable.
    pub strict: bool,
    /// `fdatasync` each group before replies leave.
    pub sync: bool,
}
