//! Who is calling?
//!
//! A caller is proved by a bearer token that Bartizan minted itself, by a token of an identity provider
//! that the configuration trusts, or, by a named loosening, by being on the loopback. Nothing here does I/O
//! or reads a clock: the gateway fetches a token's record or an issuer's keys and passes them in, together
//! with the time.
#![forbid(unsafe_code)]

mod algorithm;
mod attributes;
mod authenticator;
pub mod broker;
mod cache;
mod discovery;
mod fault;
pub mod jwks;
pub mod jwt;
mod principal;
pub mod provider;
mod shown;
mod subject;
mod token;

pub use algorithm::Algorithm;
pub use attributes::{Attributes, Grant};

pub use authenticator::{Authenticator, Credentials, Lookup, Step, Unproven};
pub use discovery::{Discovery, DiscoveryFault};
pub use fault::AuthFault;
pub use principal::{CERTIFICATES, Principal, PrincipalKind, Verified};
pub use shown::Shown;
pub use subject::{EntraId, ProviderName, Subject, SubjectText, is_guid};
pub use token::{Bearer, TokenHash, TokenName, TokenNameFault, TokenRecord, mint};
