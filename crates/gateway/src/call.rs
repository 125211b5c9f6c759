//! One request as the pipeline sees it: the stateless form, whatever the door it came through.

use http::{HeaderName, HeaderValue};
use mcp::{Era, JsonBuf, Method, ServerName, Version};
use upstream::ClientFacts;

/// Which servers a door opens onto.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `/mcp`: all of them, names joined.
    All,
    /// `/mcp/{server}`: one, names untouched.
    One(ServerName),
}

/// Where a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Streamable HTTP, or the older HTTP+SSE pair.
    Http,
    /// A terminal command of this machine's owner.
    Local,
    /// Standard input and output.
    Stdio,
}

impl Door {
    /// Its name in the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            Door::Http => "http",
            Door::Local => "local",
            Door::Stdio => "stdio",
        }
    }
}

/// One request.
#[derive(Clone, Debug)]
pub struct Call {
    /// Onto which servers.
    pub scope: Scope,
    /// What is asked.
    pub method: Method,
    /// The method's name on the wire.
    pub method_name: Box<str>,
    /// Its params, an object, read strictly.
    pub params: JsonBuf,
    /// What the client said of itself.
    pub client: ClientFacts,
    /// The revision the client speaks.
    pub version: Version,
    /// Where it came in.
    pub door: Door,
    /// The request's `Mcp-Param-*` headers, to be held against the arguments; `None` where the
    /// transport has none to hold.
    pub param_headers: Option<Vec<(HeaderName, HeaderValue)>>,
}

/// How a request ended well: a server, or the gateway itself, answered.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The `result`, or the `error` that a server wrote.
    pub outcome: Result<JsonBuf, JsonBuf>,
    /// In which era's form the result is.
    pub era: Era,
}

impl Reply {
    /// A result in the stateless form, made by the gateway.
    pub fn result(body: JsonBuf) -> Reply {
        Reply { outcome: Ok(body), era: Era::Stateless }
    }
}
