//! Hosts, methods and paths that a local server may reach.

use std::fmt;

use sandbox::gate::HostPattern;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ValueFault;

/// `host`, `host:port`, `*.suffix`, `*.suffix:port`, or an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct EgressName {
    pub pattern: HostPattern,
    pub port: Option<u16>,
}

impl std::str::FromStr for EgressName {
    type Err = ValueFault;

    fn from_str(text: &str) -> Result<Self, ValueFault> {
        text.to_owned().try_into()
    }
}

impl TryFrom<String> for EgressName {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        let fault = || {
            let mend = match (text.contains("://"), text.is_ascii()) {
                (true, _) => {
                    "write the host alone, and paths as { host = \"…\", paths = [\"/…\"] }"
                }
                (false, false) => "write the name as DNS has it (xn--…)",
                (false, true) if text == "*" => "name the hosts; learn = true finds out which",
                _ => {
                    "write \"api.example.com\", \"api.example.com:8443\", \"*.example.com\", \"127.0.0.1\" or \"[::1]:8080\""
                }
            };
            ValueFault::new(format!("`{text}` is not a host"), mend)
        };
        // An IPv6 address without brackets has no port.
        let port = text.rsplit_once(':').filter(|(host, _)| {
            !host.contains(':') || (host.starts_with('[') && host.ends_with(']'))
        });
        let (host, port) = match port {
            Some((host, port)) => {
                let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(fault)?;
                (host, Some(port))
            }
            None => (text.as_str(), None),
        };
        let pattern = HostPattern::parse(host).ok_or_else(fault)?;
        Ok(EgressName { pattern, port })
    }
}

impl fmt::Display for EgressName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pattern.fmt(f)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl From<EgressName> for String {
    fn from(name: EgressName) -> String {
        name.to_string()
    }
}

/// An HTTP method.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct MethodText(pub http::Method);

impl TryFrom<String> for MethodText {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        let known = text.parse::<http::Method>().ok();
        known
            .filter(|method| method.as_str() == text.to_ascii_uppercase())
            .map(MethodText)
            .ok_or_else(|| {
                ValueFault::new(
                    format!("`{text}` is not a method"),
                    "write it in capitals, such as \"GET\"",
                )
            })
    }
}

impl From<MethodText> for String {
    fn from(method: MethodText) -> String {
        method.0.to_string()
    }
}

/// The beginning of a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^/"))]
pub struct PathText(pub String);

impl TryFrom<String> for PathText {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        let plain =
            text.bytes().all(|byte| matches!(byte, b'!'..=b'~') && !b"?#*%\\".contains(&byte));
        let dots = text.split('/').any(|segment| segment == "." || segment == "..");
        if text.starts_with('/') && plain && !dots && !text.contains("//") {
            return Ok(PathText(text));
        }
        Err(ValueFault::new(
            format!("`{text}` is not the beginning of a path"),
            "write it as \"/v1/things\": it means that path and what is below it",
        ))
    }
}

impl From<PathText> for String {
    fn from(path: PathText) -> String {
        path.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_with_and_without_ports() {
        for good in [
            "a.example",
            "a.example:8443",
            "*.a.example",
            "*.a.example:1",
            "127.0.0.1:80",
            "[::1]:80",
            "[::1]",
        ] {
            assert_eq!(String::from(EgressName::try_from(good.to_owned()).unwrap()), good);
        }
        assert_eq!(EgressName::try_from("::1".to_owned()).unwrap().to_string(), "[::1]");
        for bad in [
            "",
            "*",
            "https://a.example",
            "a.example/x",
            "a:0",
            "a:x",
            "a:65536",
            "127.1",
            "ü.example",
            "a b",
        ] {
            assert!(EgressName::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn methods_and_paths() {
        assert!(MethodText::try_from("GET".to_owned()).is_ok());
        assert!(MethodText::try_from("get".to_owned()).is_err());
        assert!(MethodText::try_from("G T".to_owned()).is_err());
        for good in ["/", "/v1", "/v1/", "/a-b/c.d"] {
            assert!(PathText::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", "v1", "/a/../b", "/a//b", "/a?b", "/a%2fb", "/a*", "/ a"] {
            assert!(PathText::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
