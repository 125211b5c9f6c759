//! The doors and the pipeline: the one crate that knows all others.
//!
//! Read [`pipeline`] first: it is the sentence that every call goes through.
#![forbid(unsafe_code)]

pub mod alerts;
pub mod anchors;
mod applied;
pub mod approval;
mod approvals;
mod approved;
mod bounds;
pub mod call;
mod catalogue;
pub mod config;
mod control;
mod credential;
mod decide;
pub mod detector;
mod discover;
pub mod door;
pub mod egress;
pub mod exchange;
pub mod export;
mod facts;
mod flow;
mod gateway;
pub mod grants;
mod hearing;
pub mod inspection;
mod launch;
pub mod leak;
pub mod limits;
mod list;
mod listen;
pub mod models;
mod mrtr;
pub mod payloads;
pub mod pipeline;
mod providers;
mod refusal;
mod resolve;
mod retention;
mod rewrite;
pub mod seal;
pub mod secrets;
mod send;
mod served;
mod signed;
mod slots;
mod stack;
mod standing;
mod stored;
mod task;
pub mod telemetry;
mod who;

use std::time::{SystemTime, UNIX_EPOCH};

pub use approved::{identity, read as pin};
use bytes::Bytes;
use config::Config;
pub use control::Control;
pub use flow::FlowRefusal;
pub use gateway::{Current, Gateway, StartFault};
use mcp::{Json, JsonBuf};
pub use refusal::{Blame, Refusal};
pub use served::Served;
pub use stored::{SharedRoles, Stored, StoredFault};

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// JSON that the gateway itself put together. It is read back strictly, so that a mistake in putting
/// it together can't reach a peer.
pub(crate) fn made(text: String) -> JsonBuf {
    let limits = mcp::Limits { bytes: usize::MAX, depth: 256, values: usize::MAX };
    JsonBuf::read(Bytes::from(text), &limits).unwrap_or_else(|fault| {
        tracing::error!(%fault, "the gateway made text that is not JSON");
        Json::EMPTY.into()
    })
}
