//! Names of servers, tools and prompts, and how an aggregate joins them.

use std::fmt;
use std::sync::Arc;

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    /// Not a [`Separator`].
    #[error(
        "a separator is 1 to 4 of A-Z a-z 0-9 _ . -, not a single letter, and holds one of A-Z _ . or --"
    )]
    Separator,
    /// Not a [`ServerName`].
    #[error("a server name is 1 to 32 of a-z, 0-9 and single -, beginning with a letter")]
    Server,
    /// Not a [`ToolName`].
    #[error("a tool or prompt name is 1 to 128 characters without control characters")]
    Tool,
}

/// A configured server's name: 1 to 32 of `a-z0-9-`, a letter first, no `--`, no `-` last.
/// So it can stand before a tool's name, in a URL path and as a URI scheme part.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerName(Arc<str>);

impl ServerName {
    /// Checks and keeps.
    pub fn new(name: &str) -> Result<Self, NameFault> {
        if is_server_name(name) { Ok(ServerName(name.into())) } else { Err(NameFault::Server) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether the text could be a [`ServerName`].
pub(crate) fn is_server_name(name: &str) -> bool {
    let alphabet = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    (1..=32).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(alphabet)
        && !name.contains("--")
        && !name.ends_with('-')
}

/// A tool's or prompt's own name on its server: 1 to 128 characters, no control characters
/// (SEP-986 recommends `A-Za-z0-9_.-`; servers in the wild use more).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ToolName(Arc<str>);

impl ToolName {
    /// Checks and keeps.
    pub fn new(name: &str) -> Result<Self, NameFault> {
        let length = name.chars().take(129).count();
        if (1..=128).contains(&length) && !name.contains(char::is_control) {
            Ok(ToolName(name.into()))
        } else {
            Err(NameFault::Tool)
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ToolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What stands between a server's and a tool's name in the aggregate; `__` by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Separator(Arc<str>);

impl Default for Separator {
    fn default() -> Self {
        Separator("__".into())
    }
}

impl Separator {
    /// Checks and keeps. It can't be a part of any server name, so splitting is never ambiguous: it holds a
    /// character that no server name holds, or two `-` in a row.
    pub fn new(text: &str) -> Result<Self, NameFault> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        let single_letter =
            text.len() == 1 && text.starts_with(|only: char| only.is_ascii_alphanumeric());
        let foreign = text.contains(|c: char| c.is_ascii_uppercase() || c == '_' || c == '.')
            || text.contains("--");
        if (1..=4).contains(&text.len()) && text.bytes().all(allowed) && foreign && !single_letter {
            Ok(Separator(text.into()))
        } else {
            Err(NameFault::Separator)
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `server__tool`
    pub fn join(&self, server: &ServerName, name: &str) -> String {
        [server.as_str(), &self.0, name].concat()
    }

    /// At the first separator: (`server`, `tool`). Neither is empty; whether the server exists is for the
    /// caller to find out.
    pub fn split<'a>(&self, joined: &'a str) -> Option<(&'a str, &'a str)> {
        joined.split_once(&*self.0).filter(|(server, tool)| !server.is_empty() && !tool.is_empty())
    }
}
