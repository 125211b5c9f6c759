//! Where a caller is, and whether anyone may come from there.

use std::net::IpAddr;

use ipnet::IpNet;

/// Rules on addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Proxies whose word on where a client is counts.
    pub trusted_proxies: Vec<IpNet>,
    /// Only from here; from anywhere when empty.
    pub allow: Vec<IpNet>,
    /// Never from here.
    pub deny: Vec<IpNet>,
}

/// Why a request is not let in because of its address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkFault {
    /// Denied, or not allowed.
    #[error("address {0} is not let in")]
    Address(IpAddr),
    /// A trusted proxy said something that is not an address.
    #[error("a trusted proxy's X-Forwarded-For can't be read")]
    Forwarded,
}

/// The most hops of a forwarded header that are looked at.
const HOPS: usize = 32;

impl Network {
    /// Where the client is: the peer, or, when the peer is a trusted proxy, the nearest address in
    /// `X-Forwarded-For` (all its header lines, in order) that is none. What the client itself wrote
    /// there is never reached: it stands before the first hop that is not trusted.
    pub fn client<'a>(
        &self,
        peer: IpAddr,
        forwarded: impl DoubleEndedIterator<Item = &'a [u8]>,
    ) -> Result<IpAddr, NetworkFault> {
        let mut client = peer.to_canonical();
        let hops = forwarded.rev().flat_map(|line| line.rsplit(|byte| *byte == b','));
        for hop in hops.take(HOPS) {
            if !self.trusts(client) {
                return Ok(client);
            }
            client = address(hop).ok_or(NetworkFault::Forwarded)?;
        }
        Ok(client)
    }

    /// Whether an address is a trusted proxy's.
    pub fn trusts(&self, address: IpAddr) -> bool {
        holds(&self.trusted_proxies, address)
    }

    /// Whether anyone may come from there.
    pub fn admit(&self, address: IpAddr) -> Result<(), NetworkFault> {
        let allowed = self.allow.is_empty() || holds(&self.allow, address);
        match allowed && !holds(&self.deny, address) {
            true => Ok(()),
            false => Err(NetworkFault::Address(address)),
        }
    }
}

fn holds(nets: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    nets.iter().any(|net| net.contains(&address))
}

/// `192.0.2.1`, `192.0.2.1:443`, `2001:db8::1`, `[2001:db8::1]:443`. Nothing with a zone: its meaning
/// ends at the machine that wrote it.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim();
    let address = match text.parse::<IpAddr>() {
        Ok(address) => address,
        Err(_) => match text.parse::<std::net::SocketAddr>() {
            Ok(std::net::SocketAddr::V6(v6)) if v6.scope_id() != 0 => return None,
            Ok(socket) => socket.ip(),
            Err(_) => text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()?,
        },
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(proxies: &[&str], allow: &[&str], deny: &[&str]) -> Network {
        let nets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        Network { trusted_proxies: nets(proxies), allow: nets(allow), deny: nets(deny) }
    }

    #[test]
    fn only_trusted_proxies_say_where_a_client_is() {
        let network = network(&["10.0.0.0/8", "fd00::/8"], &[], &[]);
        let client = |peer: &str, forwarded: &[&str]| {
            let lines = forwarded.iter().map(|line| line.as_bytes());
            network.client(peer.parse().unwrap(), lines).map(|ip| ip.to_string()).ok()
        };
        let some = |text: &str| Some(text.to_owned());
        // Spoofed by the client itself.
        assert_eq!(client("192.0.2.9", &["198.51.100.1"]), some("192.0.2.9"));
        assert_eq!(client("10.0.0.1", &["198.51.100.1"]), some("198.51.100.1"));
        assert_eq!(client("10.0.0.1", &["127.0.0.1, 198.51.100.1"]), some("198.51.100.1"));
        assert_eq!(
            client("10.0.0.1", &["127.0.0.1", "198.51.100.1,10.0.0.2"]),
            some("198.51.100.1")
        );
        assert_eq!(client("::ffff:10.0.0.1", &["::ffff:198.51.100.1"]), some("198.51.100.1"));
        assert_eq!(client("fd00::1", &["[2001:db8::1]:8443"]), some("2001:db8::1"));
        assert_eq!(client("10.0.0.1", &["198.51.100.1:443"]), some("198.51.100.1"));
        assert_eq!(client("10.0.0.1", &[]), some("10.0.0.1"));
        // Not an address: nothing is guessed.
        assert_eq!(client("10.0.0.1", &["unknown"]), None);
        assert_eq!(client("10.0.0.1", &["fe80::1%eth0"]), None);
        assert_eq!(client("10.0.0.1", &["198.51.100.1, "]), None);
        // What stands before an address that is not trusted is not even read.
        assert_eq!(client("10.0.0.1", &["nonsense, 198.51.100.1"]), some("198.51.100.1"));
    }

    #[test]
    fn denied_addresses_are_denied_in_every_notation() {
        let network = network(&[], &["192.0.2.0/24", "2001:db8::/32"], &["192.0.2.66/32"]);
        let admits = |text: &str| network.admit(text.parse().unwrap()).is_ok();
        assert!(admits("192.0.2.1") && admits("::ffff:192.0.2.1") && admits("2001:db8::1"));
        assert!(!admits("192.0.2.66") && !admits("::ffff:192.0.2.66") && !admits("203.0.113.1"));
    }
}
