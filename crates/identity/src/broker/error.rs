//! Errors that a client may see: the registered codes and one plain sentence each (RFC 6749 §4.1.2.1 and §5.2, and their extensions).

/// An error code of OAuth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the registered code")]
pub enum Code {
    AccessDenied,
    AuthorizationPending,
    ExpiredToken,
    InvalidClient,
    InvalidClientMetadata,
    InvalidDpopProof,
    InvalidGrant,
    InvalidRedirectUri,
    InvalidRequest,
    InvalidScope,
    InvalidTarget,
    ServerError,
    SlowDown,
    TemporarilyUnavailable,
    UnauthorizedClient,
    UnsupportedGrantType,
    UnsupportedResponseType,
    UseDpopNonce,
}

impl Code {
    /// As it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Code::AccessDenied => "access_denied",
            Code::AuthorizationPending => "authorization_pending",
            Code::ExpiredToken => "expired_token",
            Code::InvalidClient => "invalid_client",
            Code::InvalidClientMetadata => "invalid_client_metadata",
            Code::InvalidDpopProof => "invalid_dpop_proof",
            Code::InvalidGrant => "invalid_grant",
            Code::InvalidRedirectUri => "invalid_redirect_uri",
            Code::InvalidRequest => "invalid_request",
            Code::InvalidScope => "invalid_scope",
            Code::InvalidTarget => "invalid_target",
            Code::ServerError => "server_error",
            Code::SlowDown => "slow_down",
            Code::TemporarilyUnavailable => "temporarily_unavailable",
            Code::UnauthorizedClient => "unauthorized_client",
            Code::UnsupportedGrantType => "unsupported_grant_type",
            Code::UnsupportedResponseType => "unsupported_response_type",
            Code::UseDpopNonce => "use_dpop_nonce",
        }
    }

    /// The HTTP status at the endpoints that answer with JSON.
    pub fn status(self) -> u16 {
        match self {
            Code::InvalidClient => 401,
            Code::ServerError => 500,
            Code::TemporarilyUnavailable => 503,
            _ => 400,
        }
    }
}

/// An error for the client: a code and a sentence that holds nothing secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {description}", code.as_str())]
pub struct OAuthError {
    /// The registered code.
    pub code: Code,
    /// For the client's developer. ASCII, without quote and backslash, as RFC 6749 asks.
    pub description: String,
}

impl OAuthError {
    /// One with a sentence.
    pub fn new(code: Code, description: impl AsRef<str>) -> OAuthError {
        let allowed = |c: &char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\');
        let description = description.as_ref().chars().filter(allowed).take(256).collect();
        OAuthError { code, description }
    }
}
