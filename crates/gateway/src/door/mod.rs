//! The doors: how clients come in, in each era, over HTTP and over standard input and output.

mod approvals;
mod connection;
mod era;
pub(crate) mod exchange;
mod guard;
mod handshake;
pub(crate) mod http;
mod listener;
mod network;
pub(crate) mod oauth;
mod owner;
mod peer;
mod replay;
pub(crate) mod resource;
mod run_token;
mod session;
mod sse_pair;
mod stall;
mod standalone;
mod standing;
mod stateless;
pub(crate) mod streamable;
mod tls;
#[cfg(unix)]
mod unix;

use ::http::HeaderName;
pub(crate) use exchange::Body;
pub use listener::Running;
pub use run_token::path as run_token;
pub use session::Sessions;
pub(crate) use sse_pair::Pairs;
#[cfg(unix)]
pub use unix::{SOCKET, connect, control};

// As names, not texts: a text is parsed again at every look-up.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
const MCP_NAME: HeaderName = HeaderName::from_static("mcp-name");
const MCP_PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const MCP_SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
