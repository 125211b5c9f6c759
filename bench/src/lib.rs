//! The tools that measure a gateway: a native echo upstream, a closed-loop load generator and readings of processes.
//!
//! Nothing here is shipped. Everything talks over the loopback, and every run is bounded in calls and in time.
#![forbid(unsafe_code)]

pub mod callgrind;
pub mod client;
pub mod echo;
pub mod load;
pub mod payload;
pub mod process;
pub mod target;
pub mod wire;
