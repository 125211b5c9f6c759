//! Where does it run? Starting local servers, confined as far as this machine and this version can.
//!
//! What is confined now: the environment, the descriptors, core dumps, and the life of the process
//! (its group ends with it, and it ends with the gateway). What is not, [`posture`] says.

mod launcher;
mod posture;
mod profile;
mod resolve;
#[cfg(unix)]
mod signal;
mod spawn;

pub use posture::{Protection, State, posture};
pub use profile::Profile;
#[cfg(unix)]
pub use signal::{Signal, terminate};
pub use spawn::spawn;
