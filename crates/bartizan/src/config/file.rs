//! The configuration as it is written: one struct for each section, a doc comment for each key.
//! The JSON Schema, the commented example and the reference page are generated from these comments.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use toml::Spanned;

use super::alerts::Alerts;
use super::audit::Audit;
use super::egress::{Egress, EnvValue};
use super::exchange::Exchange;
use super::export::Export;
use super::flow::{CallStack, Flow, Reads, ToolLabels, Writes};
use super::injection::{Aws, ClientCertificate, Injected};
use super::inspect::Inspect;
use super::leaks::Leaks;
use super::models::Model;
pub use super::provider::{Kind as ProviderKind, Provider};
use super::receiver::ExportKey;
pub use super::roles::{Approvals, LimitOn, Network, Policy, Role, Roles};
use super::sign_in::SignIn;
use super::telemetry::Telemetry;
use super::trust::{OnFirstUse, Trust};
use super::value::{
    Bounded, ByteSize, HeaderText, HostText, Joint, Listen, OriginText, Period, ProviderKey,
    QueryText, RoleKey, ServerKey, ServerUrl, Template, WebUrl,
};
use super::vault::{Secret, SourceKey, Vault};

/// Where the gateway listens unless it is told otherwise.
pub const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8420);

/// The configuration of Bartizan.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schemars(title = "bartizan.toml")]
pub struct File {
    /// The address and port to listen on. The default can be reached from this machine only.
    #[schemars(with = "Listen")]
    pub listen: Spanned<Listen>,
    /// What joins a server's name and a tool's name where all servers are offered together: `github__get_issue`.
    pub separator: Joint,
    /// The names by which clients reach this gateway, as they stand in the `Host` header. IP addresses and `localhost` are always accepted;
    /// any other name is refused, which is what stops DNS rebinding.
    #[schemars(extend("examples" = [json!(["mcp.example.com"])]))]
    pub hosts: Vec<HostText>,
    /// Where clients reach this gateway, without a path: needed where a proxy in front changes the scheme or the name. Tokens are issued for it and its
    /// paths. Without it, the gateway is what clients call it in `Host`.
    #[schemars(with = "Option<WebUrl>", extend("examples" = ["https://mcp.example.com"]))]
    pub public_url: Option<Spanned<WebUrl>>,
    /// Browser origins that may talk to this gateway. A request without an `Origin` does not come from a web page and is not concerned.
    #[schemars(extend("examples" = [json!(["https://chat.example.com"])]))]
    pub origins: Vec<OriginText>,
    /// Encryption of what clients send. Without this section the gateway speaks plain HTTP.
    pub tls: Option<Tls>,
    /// INCOMING authentication: how clients show who they are.
    pub identity: Identity,
    /// Sign-in for people: this gateway as the authorization server of its MCP clients, in front of one identity provider.
    /// Clients need no key and no registration by hand: they find this gateway, a browser opens, the person signs in at the provider and says which
    /// client may act for them. It needs `public-url` and one of `[identity.providers]`; docs/sign-in.md explains it.
    pub sign_in: Option<SignIn>,
    /// Who may call what. Each section is a role: its members and the tools it allows.
    /// What no role of a caller allows is denied, and is not listed either. The role `all` is built in and allows everything: the owner of the state folder
    /// always has it, a token when it was minted with it, and `loopback` callers while no role is configured.
    #[schemars(with = "BTreeMap<RoleKey, Role>")]
    pub roles: Roles,
    /// What roles can't say, in Cedar: docs/policy.md. Forbids win over permits, those of roles included, and nothing is permitted by default.
    pub policy: Policy,
    /// Where callers may come from.
    pub network: Network,
    /// The MCP servers behind this gateway, by name. A server is either remote (`url`) or a command that the gateway starts (`command`).
    /// The name is 1 to 32 of a-z, 0-9 and single `-`, a letter first.
    #[schemars(with = "BTreeMap<ServerKey, Server>")]
    pub servers: BTreeMap<ServerKey, Spanned<Server>>,
    /// Language models behind this gateway, by name: at `/models/NAME/…` it passes their protocols through, with a credential of its own in place of what the client shows.
    /// The name is one that no server has. docs/models.md explains it.
    #[schemars(with = "BTreeMap<ServerKey, Model>")]
    pub models: BTreeMap<ServerKey, Spanned<Model>>,
    /// How secrets are kept and fetched.
    pub vault: Vault,
    /// What is said of single secrets, by what stands in their references: `[secrets."secret:github"]`.
    #[schemars(with = "BTreeMap<SourceKey, Secret>")]
    pub secrets: BTreeMap<SourceKey, Spanned<Secret>>,
    /// Which definitions of the servers may be used.
    pub trust: Trust,
    /// Where data may flow.
    pub flow: Flow,
    /// Which tools may be called while others are under way. Without this section any may.
    pub call_stack: Option<CallStack>,
    /// What one message, one session and one caller may use.
    pub limits: Limits,
    /// Calls that a person must approve: what rules with `ask` lead to.
    pub approvals: Approvals,
    /// The detectors: what they look for, and what their findings lead to.
    pub inspect: Inspect,
    /// Secrets that servers say.
    pub leaks: Leaks,
    /// The record of every call.
    pub audit: Audit,
    /// Who is told when something happens that somebody should look at: docs/alerts.md. Nothing is watched while nobody is named here.
    pub alerts: Alerts,
    /// What is told to monitoring systems: docs/telemetry.md. The metrics can always be had with `bartizan metrics`.
    pub telemetry: Telemetry,
    /// Where the record of every call goes besides: log servers, SIEMs, a file.
    #[schemars(with = "BTreeMap<ExportKey, Export>")]
    pub export: BTreeMap<ExportKey, Spanned<Export>>,
}

impl Default for File {
    fn default() -> Self {
        File {
            listen: Spanned::new(0..0, Listen(DEFAULT_LISTEN)),
            separator: Joint::default(),
            hosts: Vec::new(),
            public_url: None,
            origins: Vec::new(),
            tls: None,
            identity: Identity::default(),
            sign_in: None,
            roles: BTreeMap::new(),
            policy: Policy::default(),
            network: Network::default(),
            servers: BTreeMap::new(),
            models: BTreeMap::new(),
            vault: Vault::default(),
            secrets: BTreeMap::new(),
            trust: Trust::default(),
            flow: Flow::default(),
            call_stack: None,
            limits: Limits::default(),
            approvals: Approvals::default(),
            inspect: Inspect::default(),
            leaks: Leaks::default(),
            audit: Audit::default(),
            alerts: Alerts::default(),
            telemetry: Telemetry::default(),
            export: BTreeMap::new(),
        }
    }
}

/// Encryption of what clients send.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain in PEM form. A relative path begins at this file's folder. A changed file is taken up without a restart.
    #[schemars(with = "PathBuf", extend("examples" = ["/etc/bartizan/cert.pem"]))]
    pub cert: Spanned<PathBuf>,
    /// The certificate's private key in PEM form.
    #[schemars(with = "PathBuf", extend("examples" = ["/etc/bartizan/key.pem"]))]
    pub key: Spanned<PathBuf>,
    /// Authorities in PEM form whose client certificates let programs in without a token, as `workload:tls/NAME`: the certificate's one URI (such as a SPIFFE ID), or else
    /// its one DNS name. Clients without a certificate show a token as ever.
    #[schemars(with = "Option<PathBuf>", extend("examples" = ["/etc/bartizan/clients.pem"]))]
    pub client_ca: Option<Spanned<PathBuf>>,
}

/// INCOMING authentication: how clients show who they are.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Identity {
    /// What a client on this machine needs.
    #[schemars(with = "Loopback")]
    pub loopback: Loopback,
    /// How long what was found out about a caller is believed: within it, sessions, streams and remembered tokens end after their caller would no longer be let in.
    /// At least 5 seconds.
    #[schemars(with = "Period")]
    pub recheck: Spanned<Period>,
    /// The identity providers whose tokens are accepted, by name. The name is 1 to 32 of a-z, 0-9 and `-`, a letter first; it is a part of
    /// its callers' ids: `user:NAME/SUBJECT`, `workload:NAME/SUBJECT`. Entra's people are `user:TENANT/OBJECT`.
    #[schemars(with = "BTreeMap<ProviderKey, Provider>")]
    pub providers: BTreeMap<ProviderKey, Spanned<Provider>>,
}

impl Default for Identity {
    fn default() -> Self {
        Identity {
            loopback: Loopback::default(),
            recheck: Spanned::new(0..0, Period(Duration::from_secs(5 * 60))),
            providers: BTreeMap::new(),
        }
    }
}

/// What a client on this machine needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Loopback {
    /// A token (`bartizan token mint NAME`), as everybody else; programs of the gateway's own user may show that of the run instead, which is in `run.token` in the state folder.
    #[default]
    Token,
    /// Nothing: any program of the gateway's own user may call (on Linux; elsewhere any user's). A loosening that `bartizan posture` reports.
    Open,
}

/// One MCP server behind the gateway.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Server {
    /// The URL of a remote server.
    #[schemars(with = "Option<ServerUrl>", extend("x-kind" = "url signed-in exchanged signed", "examples" = ["https://mcp.example.com/mcp"]))]
    pub url: Option<Spanned<ServerUrl>>,
    /// Lets `url` lead to a private address: this machine, a local network, a cloud's metadata service. Otherwise such an address is refused when it is connected to, whatever the name resolved to before.
    #[schemars(extend("x-kind" = "url"))]
    pub allow_private: bool,
    /// OUTGOING authentication: the credential that the gateway adds to each request to `url`. What the client sent never gets there.
    #[schemars(with = "Option<Credential>", extend("x-kind" = "url"))]
    pub credential: Option<Spanned<Credential>>,
    /// More headers that the gateway adds to each request to `url`. Values are as in `credential`.
    #[schemars(with = "BTreeMap<HeaderText, Template>", extend("x-kind" = "url", "examples" = [json!({"X-Org": "acme", "X-Org-Key": "${secret:org}"})]))]
    pub headers: BTreeMap<HeaderText, Spanned<Template>>,
    /// Parameters that it adds to the query of each request, for servers that take their key there. A parameter of this name that is there already is left out.
    #[schemars(with = "BTreeMap<QueryText, Template>", extend("x-kind" = "url", "examples" = [json!({"api_key": "${secret:maps}"})]))]
    pub query: BTreeMap<QueryText, Spanned<Template>>,
    /// OUTGOING authentication by a client certificate (mutual TLS), shown to servers that ask for one. It may stand beside any other credential.
    #[schemars(extend("x-kind" = "exchanged"))]
    pub certificate: Option<ClientCertificate>,
    /// OUTGOING authentication by AWS's Signature Version 4: each request is signed, for servers behind API Gateway, Lambda and the like.
    #[schemars(extend("x-kind" = "signed"))]
    pub aws: Option<Aws>,
    /// OUTGOING authentication at a server that has an authorization server of its own: each caller signs in there once, in a browser, and Bartizan keeps what is granted.
    /// `oauth = {}` is enough for a server that takes registrations.
    #[schemars(with = "Option<OAuth>", extend("x-kind" = "signed-in"))]
    pub oauth: Option<Spanned<OAuth>>,
    /// OUTGOING authentication by a token that a token endpoint gives: on behalf of each caller, or for Bartizan itself. docs/exchange.md explains it.
    #[schemars(with = "Option<Exchange>", extend("x-kind" = "exchanged"))]
    pub exchange: Option<Spanned<Exchange>>,
    /// The program to start, found in PATH or by its path. It speaks MCP on standard input and output. A `server.json` or an MCP bundle (`.mcpb`), by its path or URL, is started from what `bartizan lock` fetched for it.
    #[schemars(with = "Option<String>", extend("x-kind" = "command", "examples" = ["npx"]))]
    pub command: Option<Spanned<String>>,
    /// The program's arguments, each as it is: no shell reads them.
    #[schemars(with = "Vec<String>", extend("x-kind" = "command", "examples" = [json!(["-y", "@modelcontextprotocol/server-filesystem", "/srv/docs"])]))]
    pub args: Vec<Spanned<String>>,
    /// Environment variables for the program. Besides these it gets PATH, HOME, LANG and a few more that are harmless, and nothing else of the gateway's own environment.
    /// `${env:NAME}` and `${file:PATH}` stand for a value that is read when the program starts; `$$` is a dollar sign.
    /// A table keeps a secret out of the program: `{ secret, hosts, headers, query, methods, shape }`. The program gets a placeholder, which becomes the secret at the egress gate, on the way to those hosts and nowhere else.
    /// `{ secret, descriptor = "path" }` lets the program read it, once, from a pipe at the path that the variable then holds (`"number"`: at that descriptor): it stands neither in the environment nor in a file.
    #[schemars(with = "BTreeMap<String, EnvValue>", extend("x-kind" = "command", "examples" = [json!({"API_TOKEN": {"secret": "${env:API_TOKEN}", "hosts": ["api.example.com"]}})]))]
    pub env: BTreeMap<String, Spanned<EnvValue>>,
    /// What the program may reach. Without this section: nothing.
    #[schemars(extend("x-kind" = "command"))]
    pub egress: Option<Egress>,
    /// The folder that the program starts in. A relative path begins at this file's folder.
    #[schemars(with = "Option<PathBuf>", extend("x-kind" = "command", "examples" = ["/srv/docs"]))]
    pub cwd: Option<Spanned<PathBuf>>,
    /// How the program is confined. By default it reads its own files and the system's programs and libraries, writes to a private `/tmp`, and reaches no network.
    #[schemars(extend("x-kind" = "command"))]
    pub sandbox: Sandbox,
    /// `false` keeps the entry and leaves the server out.
    pub enabled: bool,
    /// How the server speaks.
    #[schemars(with = "Era")]
    pub era: Era,
    /// Lets all callers share one process or session. By default each caller has its own, since many servers keep what a caller did in memory. Not with grants or exchanged tokens that are each caller's own.
    pub shared: bool,
    /// Starts the program before anybody calls. Where each caller has a process of their own, one waits for the next of them; it is told to the audit log whose it becomes.
    #[schemars(extend("x-kind" = "command"))]
    pub prewarm: bool,
    /// How long one call may take.
    pub timeout: Period,
    /// What happens to this server's definitions when they were never seen, where that is not as `[trust]` has it.
    #[schemars(with = "Option<String>", extend("examples" = ["approve"]))]
    pub on_first_use: Option<OnFirstUse>,
    /// The provider (of `[trust.keys]`) by whom each of this server's definitions has to be signed. Others are held back, whoever approved them.
    #[schemars(extend("examples" = ["acme"]))]
    pub require_signature: Option<String>,
    /// The provider (of `[trust.keys]`) by whom each call of its tools has to be signed, as ETDI signs invocations: in `params` (`etdi_signature`, `etdi_timestamp`, `etdi_key_id`) or in `X-ETDI-*` headers, within five minutes, and once.
    #[schemars(extend("examples" = ["acme-agents"]))]
    pub require_signed_calls: Option<String>,
    /// Lets a tool be called only with a token of an identity provider that is bound to it, as ETDI has it: its claims `tool_id` and `tool_version` are those of the approved definition, and its scopes those that the definition's `permissions` require.
    pub require_bound_tokens: bool,
    /// What all of its tools, prompts and resources read, where `tools` does not say otherwise: `private` (what not everybody may see), `untrusted` (what strangers can write). `bartizan trust suggest-labels` makes a proposal.
    #[schemars(with = "Vec<String>", extend("examples" = [json!(["private"])]))]
    pub reads: Vec<Reads>,
    /// What they write: `external` (to where others can read), `destructive` (what can't be taken back).
    #[schemars(with = "Vec<String>", extend("examples" = [json!(["external"])]))]
    pub writes: Vec<Writes>,
    /// The same for some of them, by name; `*` stands for any text. Of the patterns that match, the longest counts, and alone.
    pub tools: BTreeMap<String, ToolLabels>,
}

impl Default for Server {
    fn default() -> Self {
        Server {
            url: None,
            allow_private: false,
            credential: None,
            headers: BTreeMap::new(),
            query: BTreeMap::new(),
            certificate: None,
            aws: None,
            oauth: None,
            exchange: None,
            command: None,
            args: Vec::new(),
            env: BTreeMap::new(),
            egress: None,
            cwd: None,
            sandbox: Sandbox::default(),
            enabled: true,
            era: Era::Auto,
            shared: false,
            prewarm: false,
            timeout: Period(Duration::from_secs(60)),
            on_first_use: None,
            require_signature: None,
            require_signed_calls: None,
            require_bound_tokens: false,
            reads: Vec::new(),
            writes: Vec::new(),
            tools: BTreeMap::new(),
        }
    }
}

impl Server {
    /// What is added to each request to it.
    pub fn injected(&self, name: &str) -> Injected<'_> {
        let url = self.url.as_ref().map(|url| &url.get_ref().0);
        Injected {
            section: format!("servers.{name}"),
            credential: self.credential.as_ref(),
            headers: &self.headers,
            query: &self.query,
            certificate: self.certificate.as_ref(),
            aws: self.aws.as_ref(),
            has_token: self.oauth.is_some() || self.exchange.is_some(),
            is_plain: url.is_some_and(|url| url.scheme_str() == Some("http")),
        }
    }
}

/// How a server that is started here is confined.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Sandbox {
    /// How strictly. What this machine can't do is an error that names the missing layer; nothing weaker is ever chosen by itself.
    #[schemars(with = "Level")]
    pub level: Level,
    /// Files and folders that the program may read. A relative path begins at this file's folder.
    #[schemars(with = "Vec<PathBuf>", extend("examples" = [json!(["/srv/docs"])]))]
    pub read: Vec<Spanned<PathBuf>>,
    /// Files and folders that it may read and change.
    #[schemars(with = "Vec<PathBuf>", extend("examples" = [json!(["/srv/docs"])]))]
    pub write: Vec<Spanned<PathBuf>>,
    /// How much memory all its processes may use together; where there are no control groups, each of them.
    pub memory: ByteSize,
    /// How many processes and threads it may have.
    pub processes: Bounded<8, 32_768>,
    /// How many files each of its processes may have open.
    pub descriptors: Bounded<16, 1_000_000>,
    /// The longest file that it may write, and the size of its private `/tmp`.
    pub disk: ByteSize,
    /// How much processor time it may use, in percent of one core; without it, whatever is free. Needs control groups.
    #[schemars(extend("examples" = [50]))]
    pub cpu: Option<Bounded<1, 100_000>>,
    /// The system calls that it may make, by their names, and besides them only the few that every program needs. Without a list: all but some 70 that no server needs, which no list gives back.
    #[schemars(with = "Vec<String>", extend("examples" = [json!(["openat", "read"])]))]
    pub calls: Vec<Spanned<String>>,
    /// Records which system calls it makes and which files it asks for, for `bartizan sandbox suggest NAME`. What it may is as always, but for `calls`, which does not hold meanwhile; each call takes some microseconds more.
    pub learn: bool,
}

impl Default for Sandbox {
    fn default() -> Self {
        Sandbox {
            level: Level::Strong,
            read: Vec::new(),
            write: Vec::new(),
            memory: ByteSize(1 << 30),
            processes: Bounded(128),
            descriptors: Bounded(1024),
            disk: ByteSize(256 << 20),
            cpu: None,
            calls: Vec::new(),
            learn: false,
        }
    }
}

/// How strictly a server is confined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Namespaces with a file system, a network and processes of its own; Landlock, seccomp and limits on top.
    #[default]
    Strong,
    /// Landlock, seccomp and limits only, for machines without user namespaces. No network at all. A loosening that `bartizan posture` reports.
    Basic,
    /// Unconfined: whatever the gateway's user may. A loosening that `bartizan posture` reports.
    Off,
}

/// How a server speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Era {
    /// Found out by asking, and remembered.
    #[default]
    Auto,
    /// Revisions up to 2025-11-25: `initialize` and sessions.
    Handshake,
    /// Revision 2026-07-28: each request stands alone.
    Stateless,
}

impl Era {
    pub fn as_str(self) -> &'static str {
        match self {
            Era::Auto => "auto",
            Era::Handshake => "handshake",
            Era::Stateless => "stateless",
        }
    }
}

/// OUTGOING authentication towards one server.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Credential {
    /// The header that carries the credential.
    #[serde(default = "authorization")]
    pub header: HeaderText,
    /// The header's value. `${secret:NAME}` stands for a value that `bartizan secret set` keeps, `${env:NAME}` and `${file:PATH}` for others that are read when they are used,
    /// so that no secret has to be in this file; docs/vault.md names all. `$$` is a dollar sign.
    #[schemars(with = "Template", extend("examples" = ["Bearer ${secret:github}"]))]
    pub value: Spanned<Template>,
    /// What stands around the value.
    #[serde(default)]
    #[schemars(with = "Scheme")]
    pub scheme: Scheme,
}

impl Credential {
    /// What the gateway sends.
    pub fn resolve(&self) -> Result<vault::Credential, vault::VaultFault> {
        let value = self.value.get_ref().reference.clone();
        Ok(vault::Credential::new(&self.header.0, value)?.scheme(match self.scheme {
            Scheme::AsIs => vault::Scheme::AsIs,
            Scheme::Basic => vault::Scheme::Basic,
            Scheme::Bearer => vault::Scheme::Bearer,
        }))
    }
}

/// What stands around a credential's value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// Nothing: the header is the value.
    #[default]
    AsIs,
    /// The value is `user:password`, and is sent as `Basic`.
    Basic,
    /// The value is a token, and is sent as `Bearer`.
    Bearer,
}

/// OUTGOING authentication by OAuth 2.1, as the MCP specification has it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct OAuth {
    /// Whose grant is used.
    pub grant: GrantKind,
    /// The client's id, where Bartizan was registered by hand. Without it Bartizan registers itself: by a document at its own URL where the server takes that, else dynamically.
    #[schemars(extend("examples" = ["bartizan"]))]
    pub client_id: Option<String>,
    /// The client's secret, or its private key in PEM form (`private_key_jwt`). `${env:NAME}` and `${file:PATH}` stand for a value that is read when it is used.
    #[schemars(with = "Option<Template>", extend("examples" = ["${env:TRACKER_CLIENT_SECRET}"]))]
    pub client_secret: Option<Spanned<Template>>,
    /// Which authorization server knows that client. Needed with `client-secret`, which goes nowhere else, and where the server names more than one.
    #[schemars(extend("examples" = ["https://login.example.com"]))]
    pub issuer: Option<String>,
    /// The https URL of a document about the client, where another than Bartizan's own is to be used.
    #[schemars(with = "Option<ServerUrl>", extend("examples" = ["https://example.com/client.json"]))]
    pub client_document: Option<Spanned<ServerUrl>>,
    /// Scopes to ask for besides those that the server asks for.
    pub scopes: Vec<String>,
}

/// Whose grant is used at a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GrantKind {
    /// Each caller's own: the first call answers with a link to sign in.
    #[default]
    User,
    /// Bartizan's own, for all callers (client credentials). Needs `client-id`, `client-secret` and `issuer`.
    Client,
}

fn authorization() -> HeaderText {
    HeaderText("Authorization".to_owned())
}

/// What one message, one session and one caller may use.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Limits {
    /// The longest message, in either direction.
    pub body: ByteSize,
    /// The longest header of an HTTP request, all its fields together.
    pub header: ByteSize,
    /// How deep the arrays and objects of a message may nest.
    pub depth: Bounded<8, 512>,
    /// The longest arguments of one call.
    pub arguments: ByteSize,
    /// How many connections may be open at once.
    pub connections: Bounded<1, 1_000_000>,
    /// How many sessions may exist at once. Clients of the older revisions have one each; revision 2026-07-28 has none.
    pub sessions: Bounded<1, 1_000_000>,
    /// How many of them one caller may have.
    pub sessions_per_principal: Bounded<1, 1_000_000>,
    /// How long a session may be silent before it ends.
    pub session_idle: Period,
    /// How many requests one caller may have under way, open streams included.
    pub in_flight_per_principal: Bounded<1, 1_000_000>,
    /// How long a list of everything waits for its slowest server; after that it comes without that server, and with a warning.
    pub list_deadline: Period,
    /// Limits on what is called, each under a name of its own. They count verified callers: another session, header or client program changes nothing.
    /// What is over a limit is refused with HTTP status 429, a `Retry-After`, and the error code -31003.
    #[schemars(with = "BTreeMap<RoleKey, LimitOn>")]
    pub on: BTreeMap<RoleKey, LimitOn>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            body: ByteSize(10 << 20),
            header: ByteSize(32 << 10),
            depth: Bounded(64),
            arguments: ByteSize(1 << 20),
            connections: Bounded(4096),
            sessions: Bounded(10_000),
            sessions_per_principal: Bounded(2_500),
            session_idle: Period(Duration::from_secs(30 * 60)),
            in_flight_per_principal: Bounded(256),
            list_deadline: Period(Duration::from_secs(10)),
            on: BTreeMap::new(),
        }
    }
}
