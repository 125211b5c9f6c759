//! What the gateway serves: resolved, typed, without a string left to interpret.

mod identity;

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, time::Duration};

use http::Uri;
use mcp::{Separator, ServerName};
use upstream::EraChoice;

pub use self::identity::{GraphAccess, Identity, KeysFrom, Offer, Provider};
pub use crate::door::oauth::config::{Documents, Registration, SignIn};
pub use crate::exchange::ClientProof;
use crate::inspection::Inspection;

/// Everything that [`crate::Gateway::start`] needs.
#[derive(Clone, Debug)]
pub struct Config {
    /// The SHA-256 of the configuration's text, followed by that of each policy file: which rules a record
    /// was decided by. None where there is no configuration, and the defaults hold.
    pub digest: Option<[u8; 32]>,
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
    /// Where clients reach this gateway, without a path or a final `/`, where that is not what they say in
    /// `Host`.
    pub public_url: Option<String>,
    /// Who may come in.
    pub identity: Identity,
    /// How people sign in here; none when nobody does.
    pub sign_in: Option<SignIn>,
    /// Who may do what.
    pub roles: Vec<policy::Role>,
    /// What roles can't say, in Cedar.
    pub policies: Vec<policy::CedarFile>,
    /// Reads roles that the store holds, in the form of a configuration file.
    pub read_roles: fn(&str) -> Result<Vec<policy::Role>, String>,
    /// Where callers may come from.
    pub network: policy::Network,
    /// The servers, in the order of the file.
    pub servers: Vec<Server>,
    /// Language models, in the order of the file.
    pub models: Vec<crate::models::Model>,
    /// Bounds.
    pub limits: Limits,
    /// Limits on what is called, by name.
    pub limits_on: Vec<crate::limits::Limit>,
    /// Calls that a person must approve.
    pub approvals: crate::approval::Approvals,
    /// The detectors, and what their findings lead to.
    pub inspection: Inspection,
    /// What a secret leads to that a server says.
    pub on_leak: crate::leak::OnLeak,
    /// The log.
    pub audit: Audit,
    /// Who is told when something happens.
    pub alerts: crate::alerts::Alerts,
    /// What is told to monitoring systems.
    pub telemetry: crate::telemetry::Telemetry,
    /// Where its records go besides.
    pub exports: Vec<crate::export::Export>,
    /// What is let through without a person.
    pub trust: Trust,
    /// Where data may flow.
    pub flow: Flow,
    /// Which tools may be called while others are under way; `None` for any.
    pub call_stack: Option<trust::StackRules>,
    /// How secrets are kept and fetched.
    pub secrets: crate::secrets::Config,
    /// Where keys, sockets and the log are kept.
    pub state_dir: PathBuf,
    /// The database of tokens, definitions and decisions: `bartizan.db` in the state folder, unless several
    /// gateways share one.
    pub store: PathBuf,
}

impl Config {
    /// Everything at its default, no server, state in `state_dir`.
    pub fn bare(state_dir: PathBuf) -> Config {
        Config {
            digest: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 8420)),
            tls: None,
            hosts: Vec::new(),
            origins: Vec::new(),
            separator: Separator::default(),
            public_url: None,
            identity: Identity::default(),
            sign_in: None,
            roles: Vec::new(),
            policies: Vec::new(),
            read_roles: |_| Err("nothing here reads roles".to_owned()),
            network: policy::Network::default(),
            servers: Vec::new(),
            models: Vec::new(),
            limits: Limits::default(),
            limits_on: Vec::new(),
            approvals: crate::approval::Approvals::default(),
            inspection: Inspection::default(),
            alerts: crate::alerts::Alerts::default(),
            audit: Audit {
                anchors: crate::anchors::Anchors::default(),
                fields: Vec::new(),
                keep: audit::Retention::default(),
                payloads: crate::payloads::Payloads::default(),
                sealed: false,
                strict: false,
                sync: true,
            },
            on_leak: crate::leak::OnLeak::default(),
            telemetry: crate::telemetry::Telemetry::default(),
            exports: Vec::new(),
            trust: Trust::default(),
            flow: Flow::default(),
            call_stack: None,
            secrets: crate::secrets::Config::bare(&state_dir),
            store: state_dir.join(STORE),
            state_dir,
        }
    }
}

impl Config {
    /// The URLs at which this gateway is itself, without a path: those under which tokens for it may be
    /// issued. A client's own idea of a `Host` is not among them.
    pub fn bases(&self) -> Vec<String> {
        if let Some(url) = &self.public_url {
            return vec![url.clone()];
        }
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let port = self.listen.port();
        let usual = if self.tls.is_some() { 443 } else { 80 };
        let mut hosts = self.hosts.clone();
        if !self.listen.ip().is_unspecified() {
            hosts.push(self.listen.ip().to_string());
        }
        if self.listen.ip().is_loopback() {
            hosts.push("localhost".to_owned());
        }
        let with_port = hosts.iter().map(|host| format!("{scheme}://{host}:{port}"));
        let bare = hosts.iter().filter(|host| port == usual || host.contains(':'));
        with_port.chain(bare.map(|host| format!("{scheme}://{host}"))).collect()
    }

    /// The URLs for which tokens are issued: this gateway as a whole, everything it offers, each server.
    pub fn resources(&self) -> Vec<String> {
        let doors = ["", "/", "/mcp", "/sse"].map(str::to_owned).into_iter();
        let server =
            |server: &Server| ["mcp", "sse"].map(|door| format!("/{door}/{}", server.name));
        let models = self.models.iter().map(|model| format!("/models/{}", model.name));
        let paths: Vec<String> =
            doors.chain(self.servers.iter().flat_map(server)).chain(models).collect();
        let under =
            |base: &String| paths.iter().map(|path| format!("{base}{path}")).collect::<Vec<_>>();
        self.bases().iter().flat_map(under).collect()
    }
}

/// The database's usual name.
pub const STORE: &str = "bartizan.db";

/// What of the servers' definitions is let through without a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// Changes of these classes.
    pub pass: BTreeSet<trust::Class>,
    /// A call is held against definitions that the server showed at most this long ago.
    pub recheck: Duration,
    /// Whose signatures count.
    pub keys: trust::KeyRing,
}

impl Default for Trust {
    fn default() -> Self {
        Trust {
            pass: BTreeSet::from([trust::Class::Cosmetic]),
            recheck: Duration::from_secs(60),
            keys: trust::KeyRing::default(),
        }
    }
}

/// Where data may flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The rules.
    pub rules: Vec<policy::FlowRule>,
    /// What is one conversation.
    pub conversations: Conversations,
    /// A conversation that read nothing new for so long begins anew.
    pub forget_after: Duration,
}

impl Default for Flow {
    fn default() -> Self {
        Flow {
            rules: policy::FlowRule::DEFAULT.to_vec(),
            conversations: Conversations::Session,
            forget_after: Duration::from_secs(24 * 3600),
        }
    }
}

/// What is one conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conversations {
    /// All that a principal does.
    Principal,
    /// A handshake session; in the stateless era what carries one handle, else all that a principal does.
    Session,
}

/// PEM files; changed files are picked up without a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Certificate chain.
    pub cert: PathBuf,
    /// Private key.
    pub key: PathBuf,
    /// The authorities whose client certificates are believed.
    pub client_ca: Option<PathBuf>,
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
    /// Whether a process is started before anybody calls.
    pub prewarm: bool,
    /// Deadline of one call.
    pub timeout: Duration,
    /// The outgoing credentials that the configuration names.
    pub credentials: vault::Credentials,
    /// How grants are got, where the server has an authorization server of its own.
    pub oauth: Option<crate::grants::OAuth>,
    /// How its credential is got from a token endpoint, where it is.
    pub exchange: Option<crate::exchange::Exchange>,
    /// What happens to definitions that were never seen.
    pub first_use: trust::FirstUse,
    /// What its definitions and calls have to show.
    pub proofs: Proofs,
    /// What its tools read and write.
    pub labels: policy::Labelled,
}

/// What a server's definitions and calls have to show, beside approval and leave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proofs {
    /// The provider whose signature each definition has to have.
    pub definitions: Option<String>,
    /// The provider whose signature each call of a tool has to have, as ETDI makes it.
    pub calls: Option<String>,
    /// Whether the caller's token has to be bound to the tool and its version, as ETDI has it.
    pub bound_tokens: bool,
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
        /// What it reads from descriptors.
        descriptors: Vec<Descriptor>,
        /// What it may reach; nothing when absent.
        egress: Option<Box<Egress>>,
        /// The bytes that it starts from, when they are locked.
        package: Option<Box<sandbox::package::Locked>>,
        /// Its working folder.
        cwd: Option<PathBuf>,
        /// How it is confined.
        sandbox: Box<Sandbox>,
    },
}

/// A secret that a local server reads from a descriptor, once.
#[derive(Clone, Debug, PartialEq)]
pub struct Descriptor {
    /// The variable that says where.
    pub variable: String,
    /// What the secret is made from.
    pub value: vault::Reference,
    /// What stands in the variable.
    pub said: DescriptorSaid,
}

/// How a variable names a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DescriptorSaid {
    /// As its number.
    Number,
    /// As a path under which it can be opened.
    Path,
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

/// How a child process is confined; by default strictly, with nothing to read, write or reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sandbox {
    /// How strictly.
    pub level: sandbox::Level,
    /// Paths that it may read.
    pub read: Vec<PathBuf>,
    /// Paths that it may read and change.
    pub write: Vec<PathBuf>,
    /// What it may use up.
    pub limits: sandbox::Limits,
    /// Which system calls it may make.
    pub calls: sandbox::Calls,
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// What others keep of it.
    pub anchors: crate::anchors::Anchors,
    /// Arguments that are recorded in clear.
    pub fields: Vec<crate::payloads::Fields>,
    /// How much of it is kept.
    pub keep: audit::Retention,
    /// What calls say, sealed.
    pub payloads: crate::payloads::Payloads,
    /// Forward a call only after its intent is durable.
    pub strict: bool,
    /// Seal what names people.
    pub sealed: bool,
    /// `fdatasync` each group before replies leave.
    pub sync: bool,
}
