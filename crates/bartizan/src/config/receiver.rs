//! Values of `[export.NAME]`: names and addresses.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::ValueFault;

/// The name of an export.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[a-z][a-z0-9-]{0,31}$"))]
pub struct ExportKey(pub String);

impl TryFrom<String> for ExportKey {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let fine = (1..=32).contains(&text.len())
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.bytes().all(plain);
        if fine {
            return Ok(ExportKey(text));
        }
        Err(ValueFault::new(
            format!("`{text}` can't be an export's name"),
            "a name is 1 to 32 of a-z, 0-9 and '-', a letter first, such as `siem`",
        ))
    }
}

impl From<ExportKey> for String {
    fn from(key: ExportKey) -> String {
        key.0
    }
}

/// A piece of a URL's path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PathSegment(pub String);

impl TryFrom<String> for PathSegment {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !text.is_empty() && text.bytes().all(plain) {
            return Ok(PathSegment(text));
        }
        Err(ValueFault::new(
            format!("`{text}` is not a name that Azure gives"),
            "copy it as the portal shows it: letters, digits, '-' and '_'",
        ))
    }
}

impl From<PathSegment> for String {
    fn from(segment: PathSegment) -> String {
        segment.0
    }
}

/// The address of a receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^(https?|tls|tcp)://"))]
pub struct ReceiverUrl(pub url::Url);

impl TryFrom<String> for ReceiverUrl {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        let fault = |why: &str| {
            ValueFault::new(
                format!("`{text}` is not a receiver's address: {why}"),
                "write such as \"https://logs.example.com\", or \"tls://logs.example.com:6514\" for syslog",
            )
        };
        let url = url::Url::parse(&text).map_err(|_| fault("it can't be read"))?;
        match url.scheme() {
            "http" | "https" => {}
            "tls" | "tcp" if url.port().is_none() => return Err(fault("it has no port")),
            "tls" | "tcp" => {}
            _ => return Err(fault("it begins with none of https, http, tls, tcp")),
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(fault("it names no host"));
        }
        let bare = url.username().is_empty() && url.password().is_none();
        if !bare || url.query().is_some() || url.fragment().is_some() {
            return Err(fault("it has more than scheme, host, port and path"));
        }
        Ok(ReceiverUrl(url))
    }
}

impl From<ReceiverUrl> for String {
    fn from(url: ReceiverUrl) -> String {
        url.0.into()
    }
}

impl ReceiverUrl {
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    pub fn is_syslog(&self) -> bool {
        matches!(self.0.scheme(), "tcp" | "tls")
    }

    pub fn is_plain(&self) -> bool {
        matches!(self.0.scheme(), "http" | "tcp")
    }
}
