//! Which protocol eras the server admits to knowing.

use std::{borrow::Cow, str::FromStr};

use rmcp::model::ProtocolVersion;
use serde_json::{Value, json};

const VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";
pub const STATELESS: &str = "2026-07-28";

/// The eras that the server serves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// What a current SDK does: each request in the era it is written in.
    Both,
    /// A server from before 2026-07-28, which has never heard of it.
    Handshake,
    /// A server that refuses `initialize`.
    Stateless,
}

impl FromStr for Era {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "both" => Ok(Self::Both),
            "handshake" => Ok(Self::Handshake),
            "stateless" => Ok(Self::Stateless),
            _ => Err(format!("unknown era {name}: both, handshake or stateless")),
        }
    }
}

impl Era {
    /// The versions to negotiate from.
    pub fn versions(self) -> Cow<'static, [ProtocolVersion]> {
        match self {
            Self::Both => Cow::Borrowed(ProtocolVersion::KNOWN_VERSIONS),
            Self::Handshake => {
                Cow::Borrowed(ProtocolVersion::known_up_to(&ProtocolVersion::V_2025_11_25))
            }
            Self::Stateless => Cow::Owned(vec![ProtocolVersion::V_2026_07_28]),
        }
    }

    /// The error object with which a server of this era meets a message of the other one.
    /// The SDK below knows both, so this must be decided before it reads the message.
    pub fn refuse(self, message: &Value) -> Option<Value> {
        let method = message.get("method").and_then(Value::as_str).unwrap_or_default();
        let stateless =
            message.pointer("/params/_meta").is_some_and(|m| m.get(VERSION_KEY).is_some());
        match self {
            Self::Handshake if method == "server/discover" => {
                Some(json!({ "code": -32601, "message": "Method not found" }))
            }
            Self::Handshake if stateless => {
                Some(json!({ "code": -32602, "message": "Invalid request parameters" }))
            }
            Self::Stateless if method == "initialize" && !stateless => Some(json!({
                "code": -32022,
                "message": "Unsupported protocol version",
                "data": {
                    "supported": [STATELESS],
                    "requested": message.pointer("/params/protocolVersion"),
                },
            })),
            _ => None,
        }
    }
}
