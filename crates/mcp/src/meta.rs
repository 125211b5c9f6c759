//! Keys of `_meta` (specification 2026-07-28, basic/index).
#![expect(missing_docs, reason = "the names are the specification's own")]
pub const META: &str = "_meta";
pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
pub const PROGRESS_TOKEN: &str = "progressToken";
/// A handle that a stateless client chooses for one conversation.
pub const CONVERSATION: &str = "dev.bartizan/conversation";
/// What Bartizan itself adds: warnings about servers left out of a list.
pub const WARNINGS: &str = "dev.bartizan/warnings";
