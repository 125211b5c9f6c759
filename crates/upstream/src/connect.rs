//! The connector: resolves a name itself, checks every address, connects to what it checked.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::guard::Reach;

const RESOLVE: Duration = Duration::from_secs(5);
const CONNECT: Duration = Duration::from_secs(10);
/// For one address when there are others to try.
const CONNECT_ONE: Duration = Duration::from_secs(3);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ConnectFault {
    #[error("{host} leads to {kind}")]
    Forbidden { host: String, kind: &'static str },
    #[error("{host} has no address: {reason}")]
    NoAddress { host: String, reason: String },
    #[error("no connection to {host}: {reason}")]
    NoConnection { host: String, reason: String },
    #[error("the URL has no host")]
    NoHost,
}

/// Opens a connection for someone else. For a host that the operator wrote, [`Reach::of`] gives the rules of a link.
pub async fn dial(host: &str, port: u16, reach: Reach) -> Result<TcpStream, ConnectFault> {
    let addresses = resolve(host, port, reach).await?;
    connect(host, &addresses).await
}

/// Opens TCP connections with `TCP_NODELAY`. Proxy variables of the environment are not looked at.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    pub allow_private: bool,
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectFault;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let host = to.host().ok_or(ConnectFault::NoHost)?;
            let tls = to.scheme_str() == Some("https");
            let port = to.port_u16().unwrap_or(if tls { 443 } else { 80 });
            let reach = Reach::of(host, allow_private);
            let addresses = resolve(host, port, reach).await?;
            connect(host, &addresses).await.map(TokioIo::new)
        })
    }
}

/// The addresses of a host that may be reached. When none may, the first one's kind is the reason.
async fn resolve(host: &str, port: u16, reach: Reach) -> Result<Vec<SocketAddr>, ConnectFault> {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let found: Vec<SocketAddr> = if let Ok(address) = bare.parse::<IpAddr>() {
        vec![SocketAddr::new(address, port)]
    } else {
        let no = |reason: String| ConnectFault::NoAddress { host: host.to_owned(), reason };
        let looking = tokio::net::lookup_host((bare, port));
        match timeout(RESOLVE, looking).await {
            Ok(Ok(found)) => found.collect(),
            Ok(Err(error)) => return Err(no(error.to_string())),
            Err(_) => return Err(no("the name service did not answer".into())),
        }
    };
    let mut kind = None;
    let mut allowed = Vec::with_capacity(found.len());
    for address in found {
        match reach.check(address.ip()) {
            Ok(()) => allowed.push(address),
            Err(what) => {
                kind.get_or_insert(what);
            }
        }
    }
    match (allowed.is_empty(), kind) {
        (false, _) => Ok(allowed),
        (true, Some(kind)) => Err(ConnectFault::Forbidden { host: host.to_owned(), kind }),
        (true, None) => {
            Err(ConnectFault::NoAddress { host: host.to_owned(), reason: "none found".into() })
        }
    }
}

async fn connect(host: &str, addresses: &[SocketAddr]) -> Result<TcpStream, ConnectFault> {
    let patience = if addresses.len() > 1 { CONNECT_ONE } else { CONNECT };
    let mut reason = String::new();
    for address in addresses.iter().take(6) {
        match timeout(patience, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Without it, a small request waits up to 40 ms for the peer's delayed ACK.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => reason = error.to_string(),
            Err(_) => reason = "timed out".into(),
        }
    }
    Err(ConnectFault::NoConnection { host: host.to_owned(), reason })
}
