//! Why a sign-in at a server's authorization server can't go on.

/// Why a document, an answer or a callback is not used. No variant holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OAuthFault {
    /// An address, or `localhost`, that the operator did not write.
    #[error(
        "`{0}` names an address and no public host; where that is meant, add allow-private = true to the server's section"
    )]
    Address(String),
    /// The authorization server said no.
    #[error("the authorization server refused: {0}")]
    Denied(String),
    /// The document is not JSON, too long, or lacks a member.
    #[error("the {document} is not usable: {reason}")]
    Document {
        /// Which.
        document: &'static str,
        /// Why.
        reason: String,
    },
    /// Not an URL that may be contacted.
    #[error("`{0}` is not an https URL")]
    Endpoint(String),
    /// The metadata names another issuer than the one it was asked for (RFC 8414 §3.3).
    #[error("the metadata of {expected} is of another issuer")]
    IssuerMismatch {
        /// Whose was asked for.
        expected: String,
    },
    /// The callback's `iss` is missing or another's (RFC 9207 §2.4).
    #[error("the answer came from another authorization server than the one that was asked")]
    IssMismatch,
    /// `S256` is not among `code_challenge_methods_supported`.
    #[error("the authorization server does not say that it supports PKCE with S256")]
    NoPkce,
    /// Neither configured, nor by metadata document, nor dynamically.
    #[error(
        "the authorization server {0} takes no registration; register Bartizan there and name client-id in the server's [oauth] section"
    )]
    NoRegistration(String),
    /// The resource metadata is of another resource (RFC 9728 §3.3).
    #[error("the metadata of {server} is of another resource, {resource}")]
    ResourceMismatch {
        /// Which server was asked.
        server: String,
        /// Which resource the document names.
        resource: String,
    },
    /// The client's secret or key can't be had.
    #[error("the client's secret can't be read: {0}")]
    Secret(String),
    /// The callback's `state` is unknown, used or too old.
    #[error("this sign-in is not under way any more; begin again")]
    State,
    /// It did not answer, or not with success.
    #[error("the authorization server could not be reached: {0}")]
    Unreachable(String),
    /// No authorization server is named.
    #[error("{0} names no authorization server")]
    WithoutIssuer(String),
    /// None of the well-known places has a document.
    #[error("{0} publishes no authorization server metadata")]
    WithoutMetadata(String),
}

impl OAuthFault {
    pub(crate) fn document(document: &'static str, reason: impl ToString) -> OAuthFault {
        OAuthFault::Document { document, reason: reason.to_string() }
    }
}
