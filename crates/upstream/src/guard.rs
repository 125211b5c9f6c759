//! Which addresses a link may connect to: a server's name must not lead into the private network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How much an URL may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Anything: the operator said `allow_private`.
    Any,
    /// What the operator wrote as an address or as `localhost`: anything but metadata services.
    Literal,
    /// A name: public addresses only.
    Public,
}

impl Reach {
    /// For the host of an URL that the operator wrote.
    pub fn of(host: &str, allow_private: bool) -> Reach {
        if allow_private {
            return Reach::Any;
        }
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let local = bare.eq_ignore_ascii_case("localhost");
        if local || bare.parse::<IpAddr>().is_ok() { Reach::Literal } else { Reach::Public }
    }

    /// `Err`: what kind of address it is that may not be reached.
    pub fn check(self, address: IpAddr) -> Result<(), &'static str> {
        match self {
            Reach::Any => Ok(()),
            Reach::Literal => metadata(address).map_or(Ok(()), Err),
            Reach::Public => metadata(address).or_else(|| private(address)).map_or(Ok(()), Err),
        }
    }
}

const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(169, 254, 169, 254), // AWS, Azure, Google, and most others
    Ipv4Addr::new(169, 254, 170, 2),   // AWS ECS task credentials
    Ipv4Addr::new(100, 100, 100, 200), // Alibaba
];
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

fn metadata(address: IpAddr) -> Option<&'static str> {
    let found = match address {
        IpAddr::V4(v4) => METADATA_V4.contains(&v4),
        IpAddr::V6(v6) => {
            METADATA_V6.contains(&v6) || embedded(v6).any(|v4| METADATA_V4.contains(&v4))
        }
    };
    found.then_some("a cloud metadata service")
}

fn private(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => private_v4(v4),
        IpAddr::V6(v6) => private_v6(v6),
    }
}

fn private_v4(address: Ipv4Addr) -> Option<&'static str> {
    match address.octets() {
        [0, ..] => Some("an unspecified address"),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Some("a private address"),
        [100, 64..=127, ..] => Some("a carrier-grade NAT address"),
        [127, ..] => Some("a loopback address"),
        [169, 254, ..] => Some("a link-local address"),
        [192, 0, 0, _] | [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => {
            Some("a reserved address")
        }
        [192, 88, 99, _] => Some("a 6to4 relay address"),
        [198, 18..=19, ..] => Some("a benchmarking address"),
        [224..=239, ..] => Some("a multicast address"),
        [240..=255, ..] => Some("a reserved address"),
        _ => None,
    }
}

fn private_v6(address: Ipv6Addr) -> Option<&'static str> {
    let segments = address.segments();
    let direct = match segments {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("an unspecified address"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("a loopback address"),
        [0xfc00..=0xfdff, ..] => Some("a unique local address"),
        [0xfe80..=0xfebf, ..] => Some("a link-local address"),
        [0xfec0..=0xfeff, ..] => Some("a site-local address"),
        [0xff00..=0xffff, ..] => Some("a multicast address"),
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Some("a documentation address"),
        [0x100, 0, 0, 0, ..] => Some("a discard address"),
        [0x64, 0xff9b, 1, ..] => Some("a local NAT64 address"),
        _ => None,
    };
    if direct.is_some() {
        return direct;
    }
    if let Some(kind) = embedded(address).find_map(private_v4) {
        return Some(kind);
    }
    // Only 2000::/3 is handed out, and 64:ff9b::/96 and the mapped forms were looked into above.
    let known = matches!(segments[0], 0x2000..=0x3fff) || embedded(address).next().is_some();
    (!known).then_some("an address outside the public range")
}

/// IPv4 addresses that an IPv6 address carries: mapped, compatible, translated, NAT64, 6to4, Teredo, ISATAP.
fn embedded(address: Ipv6Addr) -> impl Iterator<Item = Ipv4Addr> {
    let s = address.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    let found = match s {
        [0, 0, 0, 0, 0, 0xffff, h, l]
        | [0, 0, 0, 0, 0xffff, 0, h, l]
        | [0, 0, 0, 0, 0, 0, h, l]
        | [0x64, 0xff9b, 0, 0, 0, 0, h, l] => [Some(v4(h, l)), None],
        [0x2002, h, l, ..] => [Some(v4(h, l)), None],
        // Teredo: the server, and the client with its bits turned.
        [0x2001, 0, sh, sl, _, _, h, l] => [Some(v4(sh, sl)), Some(v4(!h, !l))],
        [_, _, _, _, 0 | 0x200, 0x5efe, h, l] => [Some(v4(h, l)), None],
        _ => [None, None],
    };
    found.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let refused = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.1.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fc00::1",
            "fd12:3456::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "::ffff:0:10.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "2001:0:a00:1::",
            "2001::f5ff:fffe",
            "2001:db8::1",
            "100::1",
            "2606:4700::5efe:10.0.0.1",
            "4000::1",
            "5f00::1",
        ];
        for text in refused {
            assert!(Reach::Public.check(text.parse().unwrap()).is_err(), "{text}");
            assert!(Reach::Any.check(text.parse().unwrap()).is_ok(), "{text}");
        }
        let allowed = [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2a00:1450::1",
            "64:ff9b::8.8.8.8",
            "::ffff:8.8.8.8",
            "2002:808:808::1",
        ];
        for text in allowed {
            assert_eq!(Reach::Public.check(text.parse().unwrap()), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_the_operator_wrote() {
        for host in ["localhost", "LocalHost", "127.0.0.1", "[::1]", "10.1.2.3"] {
            assert_eq!(Reach::of(host, false), Reach::Literal, "{host}");
        }
        for host in ["example.com", "localhost.example.com", "127.1", "0x7f000001", "2130706433"] {
            assert_eq!(Reach::of(host, false), Reach::Public, "{host}");
        }
        assert_eq!(Reach::of("example.com", true), Reach::Any);
        let literal = |text: &str| Reach::Literal.check(text.parse().unwrap());
        assert!(literal("127.0.0.1").is_ok() && literal("10.0.0.1").is_ok());
        for text in ["169.254.169.254", "fd00:ec2::254", "::ffff:169.254.169.254"] {
            assert!(literal(text).is_err(), "{text}");
        }
    }
}
