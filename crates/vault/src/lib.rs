//! With which credential?
//!
//! Secrets come from the environment or from files, named by references in the
//! configuration, and go out as headers of requests or as environment of child processes. On the
//! way back they are found and masked ([`leak`]).
#![forbid(unsafe_code)]

mod credential;
mod fault;
pub mod leak;
pub mod oauth;
mod reference;
mod secret;

pub use credential::{Credential, Credentials, Environment, Fetched};
pub use fault::VaultFault;
pub use reference::Reference;
pub use secret::Secret;
