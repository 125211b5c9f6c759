//! With which credential?
//!
//! Secrets are sealed in the store, or come from the environment, from files or from vaults elsewhere, named by
//! references in the configuration, and go out with requests or as environment of child processes.
//! On the way back they are found and masked ([`leak`]).
#![forbid(unsafe_code)]

mod aws;
mod certificate;
mod credential;
mod environment;
pub mod exchange;
mod fault;
mod fetched;
pub mod leak;
mod name;
pub mod oauth;
mod prompt;
mod reference;
pub mod sealed;
mod secret;
mod source;

pub use aws::Aws;
pub use certificate::{ClientCertificate, ClientIdentity};
pub use credential::{Credential, Credentials, Scheme};
pub use environment::Environment;
pub use fault::VaultFault;
pub use fetched::Fetched;
pub use name::SecretName;
pub use prompt::{prompt, read_secret};
pub use reference::Reference;
pub use sealed::VALUE_LIMIT;
pub use secret::Secret;
pub use source::{Source, read_file};
