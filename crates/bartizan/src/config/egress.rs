//! `[servers.NAME.egress]` and secrets that do not enter the process.

use std::collections::BTreeSet;

use sandbox::gate::{Host, HostPattern, Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::json;
use toml::Spanned;

use super::fault::Finding;
use super::file::Server;
use super::value::{
    Bounded, ByteSize, EgressName, HeaderText, MethodText, PathText, Template, ValueFault,
};

/// What a local server may reach. Without this section: nothing.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Egress {
    /// The hosts, each as a name (`"api.example.com"`: port 443), a name with a port, `"*.example.com"` for all names below one, an address, or a table that says more:
    /// `{ host, ports, methods, paths, tls, allow-private }`.
    #[schemars(with = "Vec<EgressHost>", extend("examples" = [json!(["api.github.com", {"host": "api.example.com", "methods": ["GET"], "paths": ["/v1/"]}])]))]
    pub hosts: Vec<Spanned<EgressHost>>,
    /// Lets the server reach every public host on the ports 80 and 443, and records what it reaches: for `bartizan sandbox suggest NAME`. A loosening that `bartizan posture` reports.
    pub learn: bool,
    /// How many connections it may have open at once.
    pub connections: Bounded<1, 4096>,
    /// How much one process may send before it is cut off.
    pub sent: ByteSize,
    /// How much one process may receive.
    pub received: ByteSize,
}

impl Default for Egress {
    fn default() -> Self {
        Egress {
            hosts: Vec::new(),
            learn: false,
            connections: Bounded(128),
            sent: ByteSize(1 << 30),
            received: ByteSize(16 << 30),
        }
    }
}

/// One host, briefly or with what may be done there.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum EgressHost {
    /// `name`, `name:port` or `*.suffix`.
    Brief(EgressName),
    /// With its bounds.
    Table(HostTable),
}

/// One host and what may be done there.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HostTable {
    /// The host, as in the brief form.
    pub host: EgressName,
    /// The ports. 443 when nothing is said.
    #[serde(default)]
    pub ports: Vec<Bounded<1, 65535>>,
    /// The HTTP methods. All when nothing is said.
    #[serde(default)]
    pub methods: Vec<MethodText>,
    /// Beginnings of paths: `/v1` means `/v1` and what is below it. All when nothing is said.
    #[serde(default)]
    pub paths: Vec<PathText>,
    /// How far the gate looks into the connection.
    #[serde(default)]
    pub tls: TlsMode,
    /// Lets the name lead to an address that is not public.
    #[serde(default)]
    pub allow_private: bool,
}

/// How far the gate looks into a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// TLS ends at the gate, which decides each request, and begins anew towards the host. HTTP is the only protocol.
    #[default]
    Terminate,
    /// TLS stays closed, for programs that pin their host's certificate: the gate only compares the host's name. Neither methods nor paths nor placeholders are possible.
    PassThrough,
    /// Any protocol, such as a database's: only host and port are decided.
    Off,
}

impl From<TlsMode> for sandbox::gate::Tls {
    fn from(mode: TlsMode) -> Self {
        match mode {
            TlsMode::Terminate => sandbox::gate::Tls::Terminate,
            TlsMode::PassThrough => sandbox::gate::Tls::PassThrough,
            TlsMode::Off => sandbox::gate::Tls::Off,
        }
    }
}

impl EgressHost {
    /// As the gate knows it.
    pub fn rule(&self) -> Rule {
        let brief = |name: &EgressName| Rule {
            host: name.pattern.clone(),
            ports: vec![name.port.unwrap_or(443)],
            methods: Vec::new(),
            paths: Vec::new(),
            tls: sandbox::gate::Tls::Terminate,
            allow_private: false,
        };
        match self {
            EgressHost::Brief(name) => brief(name),
            EgressHost::Table(table) => {
                let mut rule = brief(&table.host);
                if !table.ports.is_empty() {
                    let ports = table.ports.iter().filter_map(|port| u16::try_from(port.0).ok());
                    rule.ports = ports.chain(table.host.port).collect();
                }
                rule.methods = table.methods.iter().map(|method| method.0.clone()).collect();
                rule.paths = table.paths.iter().map(|path| path.0.clone()).collect();
                rule.tls = table.tls.into();
                rule.allow_private = table.allow_private;
                rule
            }
        }
    }
}

impl<'de> Deserialize<'de> for EgressHost {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        either(deserializer, "a host, or a table with `host`", EgressHost::Brief, EgressHost::Table)
    }
}

/// The value of an environment variable.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum EnvValue {
    /// A text that the process gets.
    Plain(Template),
    /// A secret that it does not get.
    Secret(SecretEnv),
}

/// A secret that stays out of the environment: the process gets a placeholder, and the gate puts the secret in its place on the way to these hosts;
/// or it reads the secret, once, from a descriptor that the variable names.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SecretEnv {
    /// The secret, as `${env:NAME}` or `${file:PATH}`.
    pub secret: Template,
    /// The hosts that get it. Each must be one that `egress` allows, with `tls = "terminate"`.
    #[serde(default)]
    pub hosts: Vec<EgressName>,
    /// Instead of a placeholder: how the variable names the descriptor from which the process reads it.
    #[serde(default)]
    pub descriptor: Option<DescriptorText>,
    /// The headers in which it may be, by itself, behind a word such as `Bearer`, or inside `Basic` credentials.
    #[serde(default = "authorization")]
    pub headers: Vec<HeaderText>,
    /// The parameters of a URL's query in which it may be.
    #[serde(default)]
    pub query: Vec<String>,
    /// The HTTP methods with which it may go. All when nothing is said.
    #[serde(default)]
    pub methods: Vec<MethodText>,
    /// What the placeholder looks like.
    #[serde(default)]
    pub shape: ShapeText,
}

/// How a variable names a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DescriptorText {
    /// As a path to open: `/dev/fd/10`.
    Path,
    /// As its number: `10`.
    Number,
}

fn authorization() -> Vec<HeaderText> {
    vec![HeaderText("Authorization".to_owned())]
}

/// What a placeholder looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ShapeText {
    /// `bzn_placeholder_…`
    #[default]
    Marked,
    /// The secret's own prefix, length and kinds of characters, for programs that check what their key looks like.
    Same,
}

impl EnvValue {
    /// What it is made from.
    pub fn template(&self) -> &Template {
        match self {
            EnvValue::Plain(template) => template,
            EnvValue::Secret(secret) => &secret.secret,
        }
    }
}

impl<'de> Deserialize<'de> for EnvValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        either(deserializer, "a text, or a table with `secret`", EnvValue::Plain, EnvValue::Secret)
    }
}

/// Reads a text in one way and a table in another, each with its own faults.
fn either<'de, D, T, B, F>(
    deserializer: D,
    expected: &'static str,
    brief: fn(B) -> T,
    full: fn(F) -> T,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    B: TryFrom<String, Error = ValueFault>,
    F: Deserialize<'de>,
{
    struct Either<T, B, F>(&'static str, fn(B) -> T, fn(F) -> T);

    impl<'de, T, B, F> de::Visitor<'de> for Either<T, B, F>
    where
        B: TryFrom<String, Error = ValueFault>,
        F: Deserialize<'de>,
    {
        type Value = T;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            B::try_from(text.to_owned()).map(self.1).map_err(E::custom)
        }

        fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            F::deserialize(de::value::MapAccessDeserializer::new(map)).map(self.2)
        }
    }

    deserializer.deserialize_any(Either(expected, brief, full))
}

/// Listening sockets that a gate may have.
const PORTS: usize = 64;
/// Ports of the gate itself.
const TAKEN: [u16; 2] = [53, 3128];

/// What the types alone can't tell.
pub fn check(name: &str, server: &Server, findings: &mut Vec<Finding>) {
    let rules: Vec<Rule> = server
        .egress
        .iter()
        .flat_map(|egress| &egress.hosts)
        .map(|host| host.get_ref().rule())
        .collect();
    if let Some(egress) = &server.egress {
        check_hosts(name, egress, findings);
    }
    let mut descriptors = 0;
    for (variable, value) in &server.env {
        match value.get_ref() {
            EnvValue::Secret(secret) if secret.descriptor.is_some() => {
                descriptors += 1;
                check_descriptor(variable, secret, descriptors, value.span(), findings);
            }
            EnvValue::Secret(secret) => {
                for host in &secret.hosts {
                    if let Err((title, mend)) = covers(&rules, &host.pattern) {
                        findings.push(Finding::error(
                            format!("`{variable}` is meant for `{host}`, and {title}"),
                            value.span(),
                            mend,
                        ));
                    }
                }
                if secret.hosts.is_empty() {
                    findings.push(Finding::error(
                        format!("the secret `{variable}` is meant for no host"),
                        value.span(),
                        "name them, such as hosts = [\"api.example.com\"]; or say that the process reads it itself: descriptor = \"path\"",
                    ));
                }
            }
            EnvValue::Plain(template) if !template.reference.is_literal() && !rules.is_empty() => {
                findings.push(Finding::warning(
                    format!("the value of `{variable}` enters the process of `{name}`, which may send it to any host that it reaches"),
                    value.span(),
                    format!("{variable} = {{ secret = \"{}\", hosts = [\"{}\"] }} keeps it outside", template.text(), rules[0].host),
                ));
            }
            EnvValue::Plain(_) => {}
        }
    }
}

fn check_descriptor(
    variable: &str,
    secret: &SecretEnv,
    count: usize,
    place: std::ops::Range<usize>,
    findings: &mut Vec<Finding>,
) {
    let goes_to_hosts = !secret.hosts.is_empty() || !secret.query.is_empty();
    if goes_to_hosts || !secret.methods.is_empty() {
        findings.push(Finding::error(
            format!("`{variable}` has both a descriptor and hosts"),
            place.clone(),
            "keep one of them: hosts keeps the secret out of the process, descriptor gives it to the process",
        ));
    }
    if count > sandbox::DESCRIPTORS {
        findings.push(Finding::error(
            format!("a server is given {} descriptors at most", sandbox::DESCRIPTORS),
            place,
            "put several secrets into one, as the program reads them, or into variables",
        ));
    }
}

fn check_hosts(name: &str, egress: &Egress, findings: &mut Vec<Finding>) {
    let mut ports: BTreeSet<u16> = BTreeSet::new();
    for host in &egress.hosts {
        let rule = host.get_ref().rule();
        ports.extend(&rule.ports);
        if let Some(port) = rule.ports.iter().find(|port| TAKEN.contains(port)) {
            findings.push(Finding::error(
                format!("port {port} is the gate's own"),
                host.span(),
                "name another port; names are looked up at the gate itself",
            ));
        }
        if rule.tls != sandbox::gate::Tls::Terminate
            && !(rule.methods.is_empty() && rule.paths.is_empty())
        {
            findings.push(Finding::error(
                format!(
                    "the gate can't see methods and paths of `{}`: it does not open the connection",
                    rule.host
                ),
                host.span(),
                "take out methods and paths, or tls",
            ));
        }
        if rule.host == HostPattern::Exact(Host::Name("localhost".into())) {
            findings.push(Finding::warning(
                format!("inside its sandbox, `localhost` is `{name}` itself"),
                host.span(),
                "name the address: 127.0.0.1",
            ));
        }
    }
    if ports.len() > PORTS
        && let Some(host) = egress.hosts.last()
    {
        findings.push(Finding::error(
            format!("`{name}` has {} ports, and {PORTS} are possible", ports.len()),
            host.span(),
            "name fewer",
        ));
    }
}

/// Whether a secret can be put in on the way to a host.
fn covers(rules: &[Rule], host: &HostPattern) -> Result<(), (&'static str, String)> {
    let reaches = |rule: &&Rule| {
        rule.host == *host || matches!(host, HostPattern::Exact(exact) if rule.host.matches(exact))
    };
    match rules.iter().find(reaches) {
        None => Err((
            "`egress` does not allow that host",
            format!("add it: [servers.NAME.egress] hosts = [\"{host}\"]"),
        )),
        Some(rule) if rule.tls != sandbox::gate::Tls::Terminate => Err((
            "the gate does not open connections to it",
            "take tls out of its entry, or give the process the value itself: a text instead of the table".to_owned(),
        )),
        Some(_) => Ok(()),
    }
}
