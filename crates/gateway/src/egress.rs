//! What a local server is made of and what it reaches: its checked copy, and its egress gate joined to the
//! resolver, the vault, the journal and the store.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use audit::{Journal, Kind, Outcome, Record};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mcp::ServerName;
use sandbox::gate::{
    Addresses, Dial, DialFault, Event, Gate, GateSpec, Host, Prepared, Recorder, SecretRule, Tls,
    Verdict,
};
use sandbox::package::{Locked, Sealed};
use sandbox::{GateSockets, Profile};
use store::{EgressSeen, Store};
use tokio::runtime::Handle;
use upstream::{ConnectFault, HttpClient, Reach};
use zeroize::Zeroizing;

use crate::config::{Egress, EgressSecret};
use crate::secrets::Secrets;
use crate::telemetry::{Meters, Metrics};

/// What gates tell their decisions to, and whom they trust.
#[derive(Clone)]
pub(crate) struct Witness {
    journal: Journal,
    store: Store,
    metrics: Arc<Metrics>,
    secrets: Arc<Secrets>,
    /// Read on first need: it takes a while.
    trust: Arc<OnceLock<Result<Arc<rustls::ClientConfig>, String>>>,
    /// Where checked copies of packages are while they run.
    runs: PathBuf,
}

/// What a fresh process needs beside its profile.
pub(crate) struct Equipped {
    gate: Option<Prepared>,
    sealed: Option<Sealed>,
}

impl Witness {
    pub fn new(
        journal: &Journal,
        store: &Store,
        metrics: &Arc<Metrics>,
        secrets: &Arc<Secrets>,
        runs: PathBuf,
    ) -> Witness {
        let (journal, store) = (journal.clone(), store.clone());
        let (metrics, secrets) = (metrics.clone(), secrets.clone());
        Witness { journal, store, metrics, secrets, trust: Arc::default(), runs }
    }

    /// Where what is learned is kept.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The handles of a server's metrics.
    pub fn meters(&self, server: &ServerName) -> Arc<Meters> {
        self.metrics.server(server.as_str())
    }

    /// Where secrets come from.
    pub fn secrets(&self) -> &Arc<Secrets> {
        &self.secrets
    }

    /// What no server may be given.
    pub fn state_dir(&self) -> &Path {
        self.runs.parent().unwrap_or(&self.runs)
    }

    /// Where starts are recorded, too.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Puts a checked copy of its package and the way to its gate into a profile. Blocks for as long as a copy
    /// takes. Secrets are read now, so that a rotated one is used by the next process.
    pub fn equip(
        &self,
        server: &ServerName,
        egress: Option<&Egress>,
        package: Option<&Locked>,
        profile: &mut Profile,
    ) -> Result<Equipped, String> {
        let seal = |package: &Locked| {
            let sealed = package.seal(&self.runs, profile);
            sealed.map_err(|fault| format!("it is not started: {fault}"))
        };
        let sealed = package.map(seal).transpose()?;
        let gate = egress.map(|egress| self.prepare(server, egress)).transpose()?;
        if let Some(gate) = &gate {
            profile.env.extend(gate.environment());
            profile.files.extend(gate.files());
            profile.network = gate.network();
        }
        Ok(Equipped { gate, sealed })
    }

    fn prepare(&self, server: &ServerName, egress: &Egress) -> Result<Prepared, String> {
        let trust = self
            .trust
            .get_or_init(|| HttpClient::trust().map(Arc::new).map_err(|fault| fault.to_string()));
        let closed = |rule: &sandbox::gate::Rule| rule.tls != Tls::Terminate;
        let roots =
            if egress.rules.list.iter().any(closed) { system_roots() } else { String::new() };
        let secret = |one: &EgressSecret| secret(one, &self.secrets);
        let secrets: Result<_, _> = egress.secrets.iter().map(secret).collect();
        let spec = GateSpec {
            rules: egress.rules.clone(),
            secrets: secrets?,
            limits: egress.limits,
            dial: dial(),
            trust: trust.clone()?,
            roots,
            record: self.recorder(server),
        };
        Prepared::new(spec).map_err(|fault| fault.to_string())
    }

    fn recorder(&self, server: &ServerName) -> Recorder {
        let (witness, server) = (self.clone(), server.clone());
        Arc::new(move |event| {
            let (witness, server) = (witness.clone(), server.clone());
            Box::pin(async move { witness.record(&server, &event).await })
        })
    }

    /// Whether the decision stands in the journal now.
    async fn record(&self, server: &ServerName, event: &Event) -> bool {
        let Event { subject, verdict, count } = event;
        let name = match subject.method.as_str() {
            "DNS" => subject.host.clone(),
            _ => format!("{}:{}{}", subject.host, subject.port, subject.path),
        };
        let times = if *count > 1 { format!("{count} times") } else { String::new() };
        let mut record = Record {
            kind: Kind::Egress,
            server: server.as_str(),
            method: &subject.method,
            name: &name,
            outcome: Some(Outcome::Ok),
            detail: &times,
            ..Record::default()
        };
        let told;
        match verdict {
            Verdict::Allowed(rule) => record.rule = rule,
            Verdict::Learned => {
                record.rule = "learn = true";
                self.learn(server, event).await;
            }
            Verdict::Refused(reason) => {
                record.outcome = Some(Outcome::Refused);
                record.refusal = reason.label();
                told = [reason.to_string(), times.clone()].join(" ");
                record.detail = told.trim_end();
            }
        }
        let outcome = record.outcome.unwrap_or(Outcome::Ok);
        self.metrics.egress(server.as_str(), outcome, *count);
        let recorded = self.journal.append(&record).await;
        recorded.inspect_err(|fault| tracing::error!(%fault, "egress can't be recorded")).is_ok()
    }

    async fn learn(&self, server: &ServerName, event: &Event) {
        let seen = EgressSeen {
            host: event.subject.host.clone(),
            port: event.subject.port,
            method: event.subject.method.clone(),
            path: event.subject.path.clone(),
        };
        // What is not learned is asked again at the next use.
        if let Err(fault) = self.store.egress_record(server.as_str(), &seen, crate::now()).await {
            tracing::warn!(%fault, "what the server reached can't be kept");
        }
    }
}

impl Equipped {
    /// Opens the gate of a process that was started. What comes back is kept until the process has ended.
    pub fn run(self, sockets: Option<GateSockets>) -> Result<Box<dyn Send + Sync>, String> {
        let gate = match (self.gate, sockets) {
            (Some(gate), Some(sockets)) => Some(gate.start(sockets)),
            (None, _) => None,
            (Some(_), None) => return Err("the sandbox gave the gate no sockets".into()),
        };
        Ok(Box::new(Running { gate, sealed: self.sealed }))
    }
}

/// A gate at work, and the copy that runs. When it is dropped, what the gate counted is told, and the copy goes.
struct Running {
    gate: Option<Gate>,
    sealed: Option<Sealed>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let Ok(runtime) = Handle::try_current() else { return };
        if let Some(gate) = self.gate.take() {
            runtime.spawn(gate.finish());
        }
        if let Some(sealed) = self.sealed.take() {
            runtime.spawn_blocking(|| drop(sealed));
        }
    }
}

/// The way out: by the rules of links to remote servers.
pub fn dial() -> Dial {
    Arc::new(|host, port, addresses| {
        Box::pin(async move {
            let text = match &host {
                Host::Address(address) => address.to_string(),
                Host::Name(name) => name.to_string(),
            };
            let reach = match addresses {
                Addresses::Any => Reach::Any,
                Addresses::Named => Reach::of(&text, false),
                Addresses::Public => Reach::Public,
            };
            upstream::dial(&text, port, reach).await.map_err(|fault| match fault {
                ConnectFault::Forbidden { .. } => DialFault::PrivateAddress(fault.to_string()),
                _ => DialFault::Unreachable(fault.to_string()),
            })
        })
    })
}

/// For a thread that may block.
fn secret(secret: &EgressSecret, secrets: &Secrets) -> Result<SecretRule, String> {
    let value = Handle::current().block_on(secrets.resolve(&secret.value));
    let value = value.map_err(|fault| fault.to_string())?.secret;
    Ok(SecretRule {
        variable: secret.variable.clone(),
        value: Zeroizing::new(value.expose().into()),
        hosts: secret.hosts.clone(),
        headers: secret.headers.clone(),
        query: secret.query.clone(),
        methods: secret.methods.clone(),
        shape: secret.shape,
    })
}

/// What this machine trusts, for a program whose TLS the gate does not open.
fn system_roots() -> String {
    let mut text = String::new();
    for certificate in rustls_native_certs::load_native_certs().certs {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let encoded = BASE64_STANDARD.encode(&certificate);
        for line in encoded.as_bytes().chunks(64) {
            text.push_str(&String::from_utf8_lossy(line));
            text.push('\n');
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn dialled(host: &str, port: u16, addresses: Addresses) -> Result<(), DialFault> {
        dial()(Host::parse(host).unwrap(), port, addresses).await.map(drop)
    }

    #[tokio::test]
    async fn names_lead_to_public_addresses_only() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        // What the operator wrote as an address, or loosened by name.
        assert_eq!(dialled("127.0.0.1", port, Addresses::Named).await, Ok(()));
        assert_eq!(dialled("localhost", port, Addresses::Any).await, Ok(()));
        // What nobody wrote: a server that is learned from names whatever it wants.
        for host in ["127.0.0.1", "localhost", "::1", "10.0.0.1"] {
            let refused = dialled(host, port, Addresses::Public).await;
            assert!(matches!(refused, Err(DialFault::PrivateAddress(_))), "{host}: {refused:?}");
        }
        // A name that leads to a metadata service would be refused like any name that leads inside.
        let refused = dialled("169.254.169.254", 80, Addresses::Named).await;
        assert!(matches!(refused, Err(DialFault::PrivateAddress(_))), "{refused:?}");
        let own = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
        if let Some(host) = Host::parse(own.trim())
            && tokio::net::lookup_host((own.trim(), port)).await.is_ok()
        {
            let inside = dial()(host, port, Addresses::Named).await.map(drop);
            assert!(matches!(inside, Err(DialFault::PrivateAddress(_))), "{inside:?}");
        }
    }

    #[test]
    fn roots_are_pem() {
        use rustls::pki_types::{CertificateDer, pem::PemObject as _};
        let text = system_roots();
        let read = CertificateDer::pem_slice_iter(text.as_bytes()).count();
        assert_eq!(read, rustls_native_certs::load_native_certs().certs.len());
    }
}
