//! What was said: the wire of the Model Context Protocol, in every era.
//!
//! Nothing here does I/O, knows a runtime, or reads a clock. Bytes come in, typed
//! readings of them go out, and what was checked is what is sent: values are borrowed
//! slices of the original text, changed only by [`Patch`].
#![forbid(unsafe_code)]

mod error;
mod header;
mod json;
mod message;
pub mod meta;
mod method;
mod name;
mod patch;
mod sse;
mod trace;
mod uri;
mod version;

pub use error::{Code, RpcError};
pub use header::{HeaderFault, HeaderParam, decode_header, encode_header, header_params};
pub use json::{Fault, Items, Json, JsonBuf, Kind, Limits, Members, quote};
pub use message::{
    Id, Message, MessageFault, Notification, Request, Response, error_reply, notification, request,
    result_reply,
};
pub use method::Method;
pub use name::{NameFault, Separator, ServerName, ToolName};
pub use patch::Patch;
pub use sse::{SseEvent, SseFault, SseReader, sse_comment, sse_data};
pub use trace::TraceParent;
pub use version::{Era, Version};
