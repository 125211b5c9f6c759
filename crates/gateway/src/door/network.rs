//! Where a client is, and whether anyone is let in from there.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{config::Config, refusal::Refusal};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED: [HeaderName; 2] = [FORWARDED_FOR, http::header::FORWARDED];

/// The client's address: the peer's, unless that is a trusted proxy.
pub fn client(config: &Config, peer: SocketAddr, headers: &HeaderMap) -> Result<IpAddr, Refusal> {
    let forwarded: Vec<&[u8]> =
        headers.get_all(&FORWARDED_FOR).iter().map(HeaderValue::as_bytes).collect();
    let client = config.network.client(peer.ip(), forwarded.into_iter());
    let client = client.map_err(Refusal::Network)?;
    config.network.admit(client).map_err(Refusal::Network)?;
    Ok(client)
}

/// Whether the client is on this machine. A request that passed a proxy which nobody trusts comes
/// from anywhere, whatever its peer.
pub fn is_loopback(config: &Config, peer: SocketAddr, client: IpAddr, headers: &HeaderMap) -> bool {
    let passed = FORWARDED.iter().any(|name| headers.contains_key(name));
    client.is_loopback() && (!passed || config.network.trusts(peer.ip()))
}
