//! One connection: where it goes, whether it may, and how far it is looked into.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::event::{At, Reason};
use super::forward::{self, Way};
use super::greeting::{self, Greeting};
use super::meter::{Activity, Metered};
use super::rule::{Admission, Host, Tls};
use super::{DialFault, Shared, tls};

const HANDSHAKE: Duration = Duration::from_secs(10);

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub host: Host,
    pub port: u16,
}

impl Target {
    pub fn at(&self) -> At<'_> {
        At { host: &self.host, port: self.port, method: None, path: "" }
    }
}

/// A connection that the sandbox opened to an address: the name that it stands for is the target.
pub(super) async fn transparent(gate: Arc<Shared>, stream: TcpStream) {
    let Ok(local) = stream.local_addr() else { return };
    let host = match gate.names.name(local.ip()) {
        Some(name) => Host::Name(name),
        None => Host::Address(local.ip().to_canonical()),
    };
    let activity = Activity::new();
    let stream = Metered::new(stream, gate.budget.clone(), activity.clone());
    connection(&gate, Target { host, port: local.port() }, stream, activity).await;
}

/// Serves a connection to a target to its end. The stream marks the activity.
pub(super) async fn connection<S>(
    gate: &Arc<Shared>,
    target: Target,
    stream: S,
    activity: Arc<Activity>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let serving = async {
        let admission = admit(gate, &target)?;
        match admission.tls {
            Tls::Off => raw(gate, &target, admission, stream).await,
            Tls::PassThrough => pass_through(gate, &target, admission, stream).await,
            Tls::Terminate => terminate(gate, &target, admission, stream, &activity).await,
        }
    };
    let served = tokio::select! {
        served = serving => served,
        () = activity.idle() => Err(Reason::Timeout),
    };
    if let Err(reason) = served {
        gate.tally.refused(reason, &target.at().subject()).await;
    }
}

/// Whether a connection to the target may be opened.
pub(super) fn admit(gate: &Shared, target: &Target) -> Result<Admission, Reason> {
    gate.budget.check()?;
    gate.rules.connection(&target.host, target.port).ok_or(Reason::Host)
}

/// Opens the way to the target's real address.
pub(super) async fn dial(
    gate: &Shared,
    target: &Target,
    admission: Admission,
) -> Result<TcpStream, Reason> {
    let dialled = (gate.dial)(target.host.clone(), target.port, admission.addresses).await;
    dialled.map_err(|fault| match fault {
        DialFault::PrivateAddress(text) => Reason::PrivateAddress(text),
        DialFault::Unreachable(text) => Reason::Unreachable(text),
    })
}

async fn raw<S>(
    gate: &Shared,
    target: &Target,
    admission: Admission,
    mut stream: S,
) -> Result<(), Reason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let rule = gate
        .rules
        .list
        .iter()
        .find(|rule| rule.host.matches(&target.host) && rule.ports.contains(&target.port));
    gate.tally.allowed(rule, &target.at()).await?;
    let mut server = dial(gate, target, admission).await?;
    // How it ends is between the two ends.
    let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
    Ok(())
}

async fn pass_through<S>(
    gate: &Shared,
    target: &Target,
    admission: Admission,
    stream: S,
) -> Result<(), Reason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (greeting, stream) = greeting::read(stream).await?;
    match greeting {
        Greeting::Tls { server_name, .. } if is_named(&target.host, server_name.as_deref()) => {
            raw(gate, target, admission, stream).await
        }
        Greeting::Tls { .. } => Err(Reason::ServerName),
        Greeting::Http1 | Greeting::Http2 => Err(Reason::Greeting),
    }
}

/// Whether a TLS greeting's name is the target's. Only connections to an address may have none.
fn is_named(host: &Host, server_name: Option<&str>) -> bool {
    match (host, server_name) {
        (Host::Address(_), None) => true,
        (host, Some(name)) => Host::parse(name).as_ref() == Some(host),
        (Host::Name(_), None) => false,
    }
}

async fn terminate<S>(
    gate: &Arc<Shared>,
    target: &Target,
    admission: Admission,
    stream: S,
    activity: &Arc<Activity>,
) -> Result<(), Reason>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (greeting, stream) = greeting::read(stream).await?;
    let way = |secure| Way::new(gate.clone(), target.clone(), secure, activity.clone());
    match greeting {
        Greeting::Http1 => {
            let server = dial(gate, target, admission).await?;
            forward::http1(way(false), stream, server).await
        }
        Greeting::Http2 => {
            let server = dial(gate, target, admission).await?;
            forward::http2(way(false), stream, server).await
        }
        Greeting::Tls { server_name, protocols } => {
            if server_name.is_some_and(|name| !is_named(&target.host, Some(&name))) {
                return Err(Reason::ServerName);
            }
            let server = dial(gate, target, admission).await?;
            // Both sides speak the same protocol, so that nothing of it has to be translated.
            let spoken = |name: &Vec<u8>| name == b"h2" || name == b"http/1.1";
            let offered: Vec<Vec<u8>> = protocols.into_iter().filter(spoken).collect();
            let server = connect(gate, target, offered, server).await?;
            let agreed = server.get_ref().1.alpn_protocol().unwrap_or_default().to_vec();
            let config = gate.authority.server(&target.host, &agreed);
            let config = config.map_err(|fault| Reason::Certificate(fault.to_string()))?;
            let accepting = TlsAcceptor::from(config).accept(stream);
            let client = timeout(HANDSHAKE, accepting).await.map_err(|_| Reason::Timeout)?;
            let client = client.map_err(|_| Reason::Malformed("the TLS handshake failed"))?;
            if agreed == b"h2" {
                forward::http2(way(true), client, server).await
            } else {
                forward::http1(way(true), client, server).await
            }
        }
    }
}

/// TLS towards the real server, with its certificate checked.
async fn connect(
    gate: &Shared,
    target: &Target,
    offered: Vec<Vec<u8>>,
    server: TcpStream,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Reason> {
    let name = match &target.host {
        Host::Address(address) => ServerName::IpAddress((*address).into()),
        Host::Name(name) => ServerName::try_from(name.to_string())
            .map_err(|_| Reason::Malformed("a name that no certificate can have"))?,
    };
    let connector = TlsConnector::from(tls::client(&gate.trust, offered));
    let connected = timeout(HANDSHAKE, connector.connect(name, server)).await;
    connected.map_err(|_| Reason::Timeout)?.map_err(|error| {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(rustls::Error::InvalidCertificate(_)) => Reason::Certificate(error.to_string()),
            _ => Reason::Unreachable(format!("TLS with {}: {error}", target.host)),
        }
    })
}
