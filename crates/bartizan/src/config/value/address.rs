//! Where something is: addresses, URLs, hosts and origins.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ValueFault;

/// An address and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Listen(pub SocketAddr);

impl std::str::FromStr for Listen {
    type Err = ValueFault;

    fn from_str(text: &str) -> Result<Self, ValueFault> {
        text.parse().map(Listen).map_err(|_| {
            let port = text.rsplit(':').next().filter(|p| p.parse::<u16>().is_ok()).unwrap_or("8420");
            ValueFault::new(
                format!("`{text}` is not an IP address with a port"),
                format!("write \"127.0.0.1:{port}\" for this machine only, or \"0.0.0.0:{port}\" for every network"),
            )
        })
    }
}

impl TryFrom<String> for Listen {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        text.parse()
    }
}

impl From<Listen> for String {
    fn from(listen: Listen) -> String {
        listen.0.to_string()
    }
}

/// The URL of a remote server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("format" = "uri", "pattern" = "^https?://"))]
pub struct ServerUrl(pub http::Uri);

impl std::str::FromStr for ServerUrl {
    type Err = ValueFault;

    fn from_str(text: &str) -> Result<Self, ValueFault> {
        let fault = |why: &str| {
            ValueFault::new(
                format!("`{text}` is not a server's URL: {why}"),
                "write a whole URL such as \"https://mcp.example.com/mcp\"",
            )
        };
        let url: http::Uri = text.parse().map_err(|_| fault("it can't be read"))?;
        match url.scheme_str() {
            Some("http" | "https") => {}
            Some(_) => return Err(fault("only http and https are spoken")),
            None => return Err(fault("it does not begin with https:// or http://")),
        }
        if text.contains('#') {
            return Err(fault("a fragment is never sent"));
        }
        match url.authority() {
            Some(authority) if authority.as_str().contains('@') => Err(ValueFault::new(
                "a URL must not hold a user name or password",
                "put the credential into [servers.NAME.credential], such as value = \"Bearer ${env:TOKEN}\"",
            )),
            Some(authority) if !authority.host().is_empty() => Ok(ServerUrl(url)),
            _ => Err(fault("it names no host")),
        }
    }
}

impl TryFrom<String> for ServerUrl {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        text.parse()
    }
}

impl From<ServerUrl> for String {
    fn from(url: ServerUrl) -> String {
        url.0.to_string()
    }
}

/// A host, with or without a port, as it stands in `Host`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct HostText(pub String);

impl TryFrom<String> for HostText {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        match text.parse::<http::uri::Authority>() {
            Ok(authority) if !text.contains('@') && !authority.host().is_empty() && text != "*" => {
                Ok(HostText(text.to_ascii_lowercase()))
            }
            _ => Err(ValueFault::new(
                format!("`{text}` is not a host"),
                "write a name with or without a port, such as \"mcp.example.com\"; patterns are not possible",
            )),
        }
    }
}

impl From<HostText> for String {
    fn from(host: HostText) -> String {
        host.0
    }
}

/// A browser's origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct OriginText(pub String);

impl TryFrom<String> for OriginText {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        let rest =
            text.split_once("://").filter(|(scheme, _)| !scheme.is_empty()).map(|(_, rest)| rest);
        match rest.map(str::parse::<http::uri::Authority>) {
            Some(Ok(authority))
                if !authority.as_str().contains('@') && !authority.host().contains('*') =>
            {
                Ok(OriginText(text))
            }
            _ => Err(ValueFault::new(
                format!("`{text}` is not an origin"),
                "write scheme, host and port without a path, such as \"https://chat.example.com\"; patterns are not possible",
            )),
        }
    }
}

impl From<OriginText> for String {
    fn from(origin: OriginText) -> String {
        origin.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_whole_and_hold_no_credential() {
        assert!("https://mcp.example.com/mcp".parse::<ServerUrl>().is_ok());
        assert!("http://[::1]:80/mcp?x=1".parse::<ServerUrl>().is_ok());
        for bad in [
            "mcp.example.com/mcp",
            "ftp://x/y",
            "https://",
            "https://a:b@c/d",
            "https://c/d#e",
            "/mcp",
            "http://a b/",
        ] {
            assert!(bad.parse::<ServerUrl>().is_err(), "{bad}");
        }
    }
}
