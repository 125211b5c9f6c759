//! Bartizan as an OAuth client towards servers that have an authorization server of their own (MCP
//! 2026-07-28, "Authorization").
//!
//! Documents, requests and answers as values: what is fetched comes in as bytes, what is to be sent
//! goes out as a [`Form`]. Nothing here does I/O; time and randomness are arguments.
//!
//! In the order of a sign-in: a 401 carries a [`Challenge`]; it leads to the server's [`Resource`]
//! metadata (RFC 9728), that to the [`Issuer`]'s (RFC 8414); there Bartizan is a [`Client`], by
//! [`registration`]; [`Authorization`] is the road of one person's browser, whose code a
//! [`TokenRequest`] turns into a [`Grant`]; [`Terms`] are what is asked for.

mod authorization;
mod challenge;
mod fault;
mod grant;
mod issuer;
pub mod registration;
mod resource;
mod scopes;
mod token;

pub(crate) use authorization::is_code;
pub use authorization::{Authorization, Callback};
pub use challenge::Challenge;
pub use fault::OAuthFault;
pub use grant::{Grant, Terms};
pub use issuer::Issuer;
pub use registration::{Client, ClientAuth};
pub use resource::Resource;
pub use scopes::Scopes;
pub(crate) use token::read as read_tokens;
pub use token::{Form, TokenError, TokenRequest, client_assertion, revocation};

use url::{Host, Url};

/// The longest document or answer that is read, in bytes.
pub const DOCUMENT_BYTES: usize = 64 << 10;

/// An endpoint that a document of `base` names: `https`, or `http` where the operator allowed private addresses. Without
/// credentials and fragment. The guard of connections takes an address or `localhost` in an URL for the operator's own
/// word; here it is a stranger's, so that without `allow_private` it may name none but where it comes from itself.
fn endpoint(text: &str, base: &Url, allow_private: bool) -> Result<Url, OAuthFault> {
    let shown = || text.chars().take(200).collect();
    let url = Url::parse(text).map_err(|_| OAuthFault::Endpoint(shown()))?;
    let scheme = url.scheme() == "https" || (allow_private && url.scheme() == "http");
    let bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    if !(scheme && bare && url.has_host()) {
        return Err(OAuthFault::Endpoint(shown()));
    }
    if !allow_private && url.origin() != base.origin() && is_address(&url) {
        return Err(OAuthFault::Address(shown()));
    }
    Ok(url)
}

fn is_address(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        Some(Host::Ipv4(_) | Host::Ipv6(_)) | None => true,
    }
}

/// `url` with the well-known name put between its host and its path (RFC 8615, RFC 8414 §3.1).
fn well_known(url: &Url, name: &str) -> Url {
    let mut well_known = url.clone();
    let path = url.path().trim_end_matches('/');
    well_known.set_path(&format!("/.well-known/{name}{path}"));
    well_known.set_query(None);
    well_known.set_fragment(None);
    well_known
}
