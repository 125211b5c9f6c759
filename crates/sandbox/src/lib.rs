//! Where does it run? Starting local servers, confined as far as this machine and this version can.
//!
//! What is confined now: the environment, the descriptors, core dumps, and the life of the process
//! (its group ends with it, and it ends with the gateway). What is not, [`posture`] says.

mod fault;
pub mod gate;
mod launcher;
pub mod package;
mod posture;
mod profile;
mod resolve;
#[cfg(unix)]
mod signal;
mod sockets;
mod spawn;

pub use fault::{Layer, LayerFault, SpawnFault};
pub use posture::{Protection, State, posture};
pub use profile::{Level, Limits, Network, Profile, Request};
#[cfg(unix)]
pub use signal::{Signal, terminate};
pub use sockets::{GateSockets, PROXY_PORT};
pub use spawn::{Spawned, spawn};

/// The first argument of a program that is to become a jail.
pub const JAIL: &str = "__jail";
