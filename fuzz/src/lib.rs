//! What must hold for any input, one function for each parser.
//!
//! libFuzzer runs them (`fuzz_targets`), and so does an ordinary test of crate `mcp` (`tests/corpus.rs`), which
//! replays the corpus and mutations of it on any toolchain. A broken property is a panic.

pub mod header;
pub mod json;
pub mod message;
pub mod name_uri;
pub mod oracle;
pub mod patch;
pub mod sse;
pub mod trace;
