//! What a server may reach: hosts, ports, methods and path prefixes.

use std::fmt;
use std::net::IpAddr;

use http::Method;
use percent_encoding::percent_decode;

/// A host as a connection names it: a DNS name in lower case, or an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Host {
    Address(IpAddr),
    Name(Box<str>),
}

impl Host {
    /// Reads a name or an address (IPv6 with or without brackets). `None` for what is neither, such as
    /// the forms of IPv4 addresses that only some resolvers read (`127.1`, `0x7f000001`).
    pub fn parse(text: &str) -> Option<Host> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Some(Host::Address(address.to_canonical()));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        // A name whose last label is a number is an address to some.
        let number = |label: &str| {
            label.bytes().all(|byte| byte.is_ascii_digit())
                || label
                    .strip_prefix("0x")
                    .is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
        };
        let known = name.len() <= 253 && name.split('.').all(label);
        let last = name.rsplit('.').next()?;
        (known && !number(last)).then(|| Host::Name(name.into()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Host::Address(address) => address.fmt(f),
            Host::Name(name) => f.write_str(name),
        }
    }
}

/// One host, or all below a name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum HostPattern {
    Exact(Host),
    /// `*.example.com`, kept as `.example.com`: names below it at any depth, not itself.
    Suffix(Box<str>),
}

impl HostPattern {
    /// Reads `host` or `*.suffix`.
    pub fn parse(text: &str) -> Option<HostPattern> {
        let Some(suffix) = text.strip_prefix("*.") else {
            return Host::parse(text).map(HostPattern::Exact);
        };
        match Host::parse(suffix)? {
            Host::Name(name) => Some(HostPattern::Suffix(format!(".{name}").into())),
            Host::Address(_) => None,
        }
    }

    /// Whether the host is meant.
    pub fn matches(&self, host: &Host) -> bool {
        match (self, host) {
            (HostPattern::Exact(exact), host) => exact == host,
            (HostPattern::Suffix(suffix), Host::Name(name)) => {
                name.len() > suffix.len() && name.ends_with(suffix.as_ref())
            }
            (HostPattern::Suffix(_), Host::Address(_)) => false,
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostPattern::Exact(host) => host.fmt(f),
            HostPattern::Suffix(suffix) => write!(f, "*{suffix}"),
        }
    }
}

/// How far the gate looks into a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Tls {
    /// Bytes of any protocol; only host and port are decided.
    Off,
    /// TLS that the gate does not open; it compares the name in its greeting with the host.
    PassThrough,
    /// TLS ends at the gate, which reads HTTP, and begins anew towards the server. Plain HTTP is read as it is.
    #[default]
    Terminate,
}

/// One line of what a server may reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Where to.
    pub host: HostPattern,
    /// On which ports.
    pub ports: Vec<u16>,
    /// With which methods; all of them when empty.
    pub methods: Vec<Method>,
    /// Below which paths; all of them when empty. `/a` means `/a` and what is below it, not `/ab`.
    pub paths: Vec<String>,
    /// How far the gate looks into it.
    pub tls: Tls,
    /// The named loosening: the host may lead to an address that is not public.
    pub allow_private: bool,
}

impl Rule {
    fn reaches(&self, host: &Host, port: u16) -> bool {
        self.ports.contains(&port) && self.host.matches(host)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.host)?;
        if !self.methods.is_empty() {
            let methods: Vec<&str> = self.methods.iter().map(Method::as_str).collect();
            write!(f, " {}", methods.join(","))?;
        }
        if !self.paths.is_empty() {
            write!(f, " {}", self.paths.join(","))?;
        }
        Ok(())
    }
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// In the order of the configuration: the first that reaches a host and port says how TLS is treated.
    pub list: Vec<Rule>,
    /// The named loosening: what no rule reaches is let through to public addresses, and told.
    pub learn: bool,
}

/// Which addresses a connection may lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// All of them: the named loosening.
    Any,
    /// Public ones, and what the operator wrote as an address.
    Named,
    /// Public ones alone, however the host is written: nobody wrote it.
    Public,
}

/// How a connection that may be is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Admission {
    pub tls: Tls,
    pub addresses: Addresses,
}

/// The ports on which a server that is learned from reaches what no rule names.
const LEARNED_PORTS: [u16; 2] = [80, 443];

impl Rules {
    /// Whether the host has any port: then its name has an address.
    pub(super) fn knows(&self, host: &Host) -> bool {
        self.learn || self.list.iter().any(|rule| rule.host.matches(host))
    }

    /// Every port that some rule names.
    pub fn ports(&self) -> Vec<u16> {
        let learned: &[u16] = if self.learn { &LEARNED_PORTS } else { &[] };
        let named = self.list.iter().flat_map(|rule| &rule.ports);
        let mut ports: Vec<u16> = named.chain(learned).copied().collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    /// Whether anything may be sent there at all.
    pub(super) fn connection(&self, host: &Host, port: u16) -> Option<Admission> {
        let found = self.list.iter().find(|rule| rule.reaches(host, port)).map(|rule| Admission {
            tls: rule.tls,
            addresses: if rule.allow_private { Addresses::Any } else { Addresses::Named },
        });
        let learned = Admission { tls: Tls::Terminate, addresses: Addresses::Public };
        found.or_else(|| (self.learn && LEARNED_PORTS.contains(&port)).then_some(learned))
    }

    /// The rule that allows a request, as text; `None` in learning for what no rule reaches.
    pub(super) fn request(
        &self,
        host: &Host,
        port: u16,
        method: &Method,
        path: &str,
    ) -> Result<Option<&Rule>, RequestFault> {
        let mut nearest = None;
        for rule in self.list.iter().filter(|rule| rule.reaches(host, port)) {
            if !rule.methods.is_empty() && !rule.methods.contains(method) {
                nearest.get_or_insert(RequestFault::Method);
            } else if rule.paths.is_empty() {
                return Ok(Some(rule));
            } else if is_ambiguous(path) {
                return Err(RequestFault::PathAmbiguous);
            } else if rule.paths.iter().any(|prefix| is_below(path, prefix)) {
                return Ok(Some(rule));
            } else {
                nearest = Some(RequestFault::Path);
            }
        }
        match nearest {
            _ if self.learn => Ok(None),
            Some(fault) => Err(fault),
            None => Err(RequestFault::Method),
        }
    }
}

/// Why no rule allows a request to a host that is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestFault {
    Method,
    Path,
    PathAmbiguous,
}

fn is_below(path: &str, prefix: &str) -> bool {
    let whole = prefix.strip_suffix('/').unwrap_or(prefix);
    path == prefix || path.strip_prefix(whole).is_some_and(|rest| rest.starts_with('/'))
}

/// Whether servers may read the path differently than a comparison of its beginning does: a `.` or `..`
/// between slashes or backslashes, encoded once or several times, or an empty segment.
fn is_ambiguous(path: &str) -> bool {
    let mut now = path.as_bytes().to_vec();
    for _ in 0..4 {
        let mut segments = now.split(|byte| matches!(byte, b'/' | b'\\'));
        segments.next();
        let mut segments = segments.peekable();
        while let Some(segment) = segments.next() {
            // `;` begins parameters of a segment, which some servers cut off.
            let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
            let last = segments.peek().is_none();
            if name == b"." || name == b".." || (name.is_empty() && !last) {
                return true;
            }
        }
        let next: Vec<u8> = percent_decode(&now).collect();
        if next == now {
            // Some read what is not UTF-8 as if it were, `%c0%ae` as a dot.
            return next.contains(&0) || std::str::from_utf8(&next).is_err();
        }
        now = next;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        let name = |text: &str| Some(Host::Name(text.into()));
        assert_eq!(Host::parse("API.Example.com."), name("api.example.com"));
        assert_eq!(Host::parse("_dns.x-y.z"), name("_dns.x-y.z"));
        assert_eq!(Host::parse("[::ffff:10.0.0.1]"), Some(Host::Address([10, 0, 0, 1].into())));
        assert_eq!(Host::parse("::1").unwrap().to_string(), "[::1]");
        let long = "a.".repeat(126);
        for bad in [
            "",
            ".",
            "a..b",
            "127.1",
            "0x7f000001",
            "2130706433",
            "a.0x1",
            "ü.de",
            "a b",
            "a/b",
            "a:1",
            "a@b",
            "*",
        ] {
            assert_eq!(Host::parse(bad), None, "{bad}");
        }
        assert!(Host::parse(&format!("{long}a")).is_some());
        assert!(Host::parse(&format!("{long}aa")).is_none());
    }

    #[test]
    fn patterns() {
        let matches = |pattern: &str, host: &str| {
            HostPattern::parse(pattern).unwrap().matches(&Host::parse(host).unwrap())
        };
        assert!(matches("a.example", "A.example"));
        assert!(!matches("a.example", "b.a.example"));
        assert!(matches("*.a.example", "b.a.example"));
        assert!(matches("*.a.example", "c.b.a.example"));
        assert!(!matches("*.a.example", "a.example"));
        assert!(!matches("*.a.example", "ba.example"));
        assert!(matches("127.0.0.1", "::ffff:127.0.0.1"));
        assert!(HostPattern::parse("*.0.0.1").is_none());
        assert!(HostPattern::parse("a.*.b").is_none());
        assert!(HostPattern::parse("*").is_none());
    }

    fn rules(methods: &[Method], paths: &[&str]) -> Rules {
        let rule = Rule {
            host: HostPattern::parse("a.example").unwrap(),
            ports: vec![443],
            methods: methods.to_vec(),
            paths: paths.iter().map(|&path| path.into()).collect(),
            tls: Tls::Terminate,
            allow_private: false,
        };
        Rules { list: vec![rule], learn: false }
    }

    #[test]
    fn requests() {
        let host = Host::parse("a.example").unwrap();
        let rules = rules(&[Method::GET], &["/repos", "/v1/"]);
        let ask = |method, path| rules.request(&host, 443, &method, path).map(|_| ());
        for good in [
            "/repos",
            "/repos/",
            "/repos/a/b",
            "/v1/",
            "/v1/x",
            "/repos/heads%2Fmain",
            "/repos/a.b/..c",
        ] {
            assert_eq!(ask(Method::GET, good), Ok(()), "{good}");
        }
        for bad in ["/", "/reposx", "/v1", "/x/repos", "*"] {
            assert_eq!(ask(Method::GET, bad), Err(RequestFault::Path), "{bad}");
        }
        for bad in [
            "/repos/../x",
            "/repos/%2e%2e/x",
            "/repos/%2E./x",
            "/repos/..%2fx",
            "/repos/%252e%252e/x",
            "/repos/..\\x",
            "/repos/..",
            "/repos/..;a=b/x",
            "/repos//x",
            "/repos/./x",
            "/repos/%25252525252e",
            "/repos/%c0%ae%c0%ae/x",
        ] {
            assert_eq!(ask(Method::GET, bad), Err(RequestFault::PathAmbiguous), "{bad}");
        }
        assert_eq!(ask(Method::POST, "/repos"), Err(RequestFault::Method));
        assert_eq!(rules.connection(&host, 80), None);
    }
}
