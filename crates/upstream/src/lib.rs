//! How is it reached? Links to MCP servers: Streamable HTTP and child processes, in both eras.
//!
//! A [`Link`] hides the era of its server: what goes in and comes out is always the stateless form.
//! A handshake server that asks something in the middle of a call becomes an `input_required`
//! result whose `requestState` this link minted; the retry that carries it answers the server and
//! goes on waiting.
//!
//! Reading order: [`Link`] (`link.rs`, `inner.rs`) picks the road; `post.rs` is the stateless HTTP road, the hot
//! one; `session.rs` is everything that keeps a connection (`pipe.rs`: a child process, `web.rs`: a
//! handshake session over HTTP); `route.rs` says where each incoming message goes.
#![forbid(unsafe_code)]

mod asks;
mod breaker;
mod call;
mod client;
mod compose;
mod connect;
mod credential;
mod detect;
mod fault;
mod fetch;
mod guard;
mod inner;
mod lines;
mod link;
mod listen;
mod listeners;
mod logs;
mod offers;
mod parked;
mod pipe;
mod places;
mod pool;
mod post;
mod reply;
mod route;
mod session;
mod settings;
mod spare;
mod start;
mod status;
mod stderr;
mod waiting;
mod web;

pub use client::HttpClient;
pub use connect::{ConnectFault, dial};
pub use credential::{Credential, Finish};
pub use fault::LinkFault;
pub use fetch::Fetch;
pub use guard::Reach;
pub use link::Link;
pub use listen::Subscription;
pub use settings::{Assign, EraChoice, HttpTarget, Launch, Launched, LinkLimits};
pub use status::{Process, Status};

use std::sync::Arc;
use std::time::Instant;

use http::{HeaderName, HeaderValue};
use mcp::{Era, Json, JsonBuf, Version};
use tokio::sync::mpsc;

/// Whose calls share a process or a session: one string for each principal (or one for all, when
/// the server's entry says shared).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Partition(pub Arc<str>);

impl Partition {
    /// Of a process that waits for its first caller.
    pub fn nobody() -> Partition {
        Partition(Arc::from(""))
    }
}

/// What the client in front said of itself on this request.
#[derive(Clone, Debug)]
pub struct ClientFacts {
    /// `clientCapabilities`, an object, already cut down to what policy allows.
    pub capabilities: JsonBuf,
    /// `clientInfo`, if it was given.
    pub info: Option<JsonBuf>,
    /// Log messages wanted.
    pub log: LogWish,
}

/// Which `notifications/message` a request wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogWish {
    /// A handshake client that never set a level: whatever the server sends (a stateless upstream
    /// is asked for `info`).
    Default,
    /// At this level and above (`debug` … `emergency`).
    Level(String),
    /// A stateless client that asked for none.
    None,
}

/// One request on its way out, in the stateless form, with the server's own names.
#[derive(Clone)]
pub struct Outgoing<'a> {
    /// Whose process or session serves it.
    pub partition: &'a Partition,
    /// Whose call it is: the partition's own principal, or one of all those that share it.
    pub principal: &'a str,
    /// The method.
    pub method: &'a str,
    /// The params, names already the server's own. Reserved `_meta` keys in it are overwritten by
    /// the link (protocolVersion, clientCapabilities, clientInfo, logLevel for a stateless server;
    /// removed for a handshake one). `_meta.progressToken`, when there, is replaced by the link's
    /// own and restored in the notifications.
    pub params: Json<'a>,
    /// The client.
    pub client: &'a ClientFacts,
    /// `Mcp-Param-*` for a stateless HTTP server.
    pub param_headers: Vec<(HeaderName, HeaderValue)>,
    /// The credential, and nothing that the client sent. HTTP only.
    pub credential: Credential,
    /// When to give up.
    pub deadline: Instant,
}

/// Without the params and the credential: neither belongs into a log.
impl std::fmt::Debug for Outgoing<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outgoing").field("method", &self.method).finish_non_exhaustive()
    }
}

/// A notification on the way back.
#[derive(Clone, Debug)]
pub struct Event {
    /// The method.
    pub method: String,
    /// The params.
    pub params: JsonBuf,
}

/// Where a call's notifications (progress, message) go. Bounded: over HTTP a slow client slows its
/// own call's stream down; on a pipe that many calls share, what does not fit is dropped and counted.
pub type Events = mpsc::Sender<Event>;

/// How a server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// `Ok`: the `result` member; `Err`: the `error` member. Byte for byte what the server wrote,
    /// but for `input_required` results made by the link.
    pub outcome: Result<JsonBuf, JsonBuf>,
    /// The server's era (a handshake server's results lack `resultType`, `ttlMs`, …: the door adds
    /// them).
    pub era: Era,
}

/// What a server says of itself (`server/discover` or `initialize`).
#[derive(Clone, Debug)]
pub struct Offer {
    /// Revision in use towards it.
    pub version: Version,
    /// `capabilities` object, byte for byte.
    pub capabilities: JsonBuf,
    /// `serverInfo` object.
    pub info: JsonBuf,
    /// `instructions`.
    pub instructions: Option<String>,
}

/// Which notifications a subscription wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the specification's own")]
pub struct Wanted {
    pub tools_list_changed: bool,
    pub prompts_list_changed: bool,
    pub resources_list_changed: bool,
    pub resource_uris: Vec<String>,
    pub task_ids: Vec<String>,
}
