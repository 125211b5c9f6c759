//! Where does it run? Starting local servers, confined.
//!
//! [`spawn`] starts this very program once more, as a *jail* ([`jail_main`]): a short-lived process that
//! closes itself in, layer by layer, and then becomes the server. What a server may touch is its
//! [`Profile`]; a layer that the machine lacks is a fault, never a weaker jail. [`posture`] tries on this
//! machine what each layer is to forbid.
//!
//! Reading order: `profile.rs`, `spawn.rs`, `confined.rs` (outside), `jail/mod.rs` (inside).

#[cfg(target_os = "linux")]
pub mod calls;
#[cfg(target_os = "linux")]
mod confined;
mod fault;
pub mod gate;
#[cfg(target_os = "linux")]
mod jail;
mod launcher;
pub mod package;
mod posture;
#[cfg(target_os = "linux")]
mod probe;
mod profile;
mod resolve;
#[cfg(target_os = "linux")]
mod runtime;
#[cfg(any(target_os = "macos", all(test, unix)))]
mod seatbelt;
#[cfg(unix)]
mod signal;
mod sockets;
mod spawn;
#[cfg(target_os = "linux")]
mod spec;
#[cfg(target_os = "linux")]
mod watch;

#[cfg(target_os = "linux")]
pub use confined::Visible;
pub use fault::{Layer, LayerFault, SpawnFault};
#[cfg(target_os = "linux")]
pub use jail::jail_main;
pub use posture::{Protection, State, posture};
#[cfg(target_os = "linux")]
pub use probe::{PROBE, probe_main};
pub use profile::{
    Calls, DESCRIPTORS, FIRST_DESCRIPTOR, Level, Limits, Network, OwnedDescriptor, Profile, Request,
};
#[cfg(unix)]
pub use signal::{Signal, terminate};
pub use sockets::{GateSockets, PROXY_PORT};
pub use spawn::{Spawned, spawn};
#[cfg(target_os = "linux")]
pub use watch::{Want, Watch};

/// The first argument of a program that is to become a jail.
pub const JAIL: &str = "__jail";
