//! The authorization server's own rules: who may ask for what, and what the answer is. OAuth 2.1 for MCP clients, in front of a
//! provider that does the signing in.
//!
//! Pure, as all of this crate: requests, documents, time and randomness come in, decisions and texts go out.

mod access;
pub mod assertion;
mod client;
pub mod dpop;
mod error;
pub mod metadata;
mod opaque;
mod params;
mod pkce;
mod redirect;
mod request;
mod scope;

pub use access::{AccessFault, Claims, Confirmation, SignedIn, SigningFault, SigningKey, jwks};
pub use client::{
    Client, ClientFault, ClientId, ClientIdFault, ClientProof, DOCUMENT, Description, Provenance,
};
pub use error::{Code, OAuthError};
pub use opaque::{Opaque, UserCode, hash};
pub use params::{Params, ParamsFault, encode};
pub use pkce::Challenge;
pub use redirect::{RedirectFault, RedirectUri};
pub use request::{Authorization, Doors, Offer, request_resource, request_scopes};
pub use scope::{ScopeFault, Scopes};
