//! Who is calling?
//!
//! A caller is proved by a bearer token that Bartizan minted itself, or, by a named
//! loosening, by being on the loopback. Nothing here does I/O or reads a clock: the
//! gateway fetches the token's record and passes it in, together with the time.
#![forbid(unsafe_code)]

mod authenticator;
mod cache;
mod fault;
mod principal;
mod token;

pub use authenticator::{Authenticator, Credentials, Lookup, Step};
pub use fault::AuthFault;
pub use principal::{Principal, PrincipalKind, Verified};
pub use token::{Bearer, TokenHash, TokenName, TokenNameFault, TokenRecord, mint};
