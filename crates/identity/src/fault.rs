//! Why a caller was not let in.

use crate::broker::dpop::DpopFault;
use crate::provider::ProofFault;

/// Why authentication failed. The texts are safe to show to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthFault {
    /// The token's time is over.
    #[error("the token has expired")]
    Expired,
    /// A token in the query string: it would end in logs and histories (RFC 6750 §5.3).
    #[error("a token belongs into the Authorization header, not into the URL")]
    InQuery,
    /// The header is not one visible ASCII token after the scheme.
    #[error("the Authorization header is malformed")]
    Malformed,
    /// No `Authorization` header, and nothing else lets the caller in.
    #[error("a bearer token is required")]
    Missing,
    /// The token was revoked.
    #[error("the token was revoked")]
    Revoked,
    /// A token that is bound to a key, without a proof that the caller has it, or such a proof for nothing.
    #[error("{0}")]
    Possession(DpopFault),
    /// A provider's token that is not believed.
    #[error("{0}")]
    Proof(ProofFault),
    /// Another scheme than `Bearer`.
    #[error("the Authorization scheme must be Bearer")]
    Scheme,
    /// The header is longer than [`crate::Bearer::LIMIT`].
    #[error("the Authorization header is too long")]
    TooLong,
    /// No such token.
    #[error("the token is not known")]
    Unknown,
}

impl AuthFault {
    /// The value of `WWW-Authenticate` (RFC 6750 §3): no error code when no credential was shown.
    pub fn challenge(self) -> &'static str {
        match self {
            AuthFault::Expired => {
                r#"Bearer realm="bartizan", error="invalid_token", error_description="the token has expired""#
            }
            AuthFault::InQuery | AuthFault::Malformed | AuthFault::TooLong => {
                r#"Bearer realm="bartizan", error="invalid_request""#
            }
            AuthFault::Missing | AuthFault::Scheme => r#"Bearer realm="bartizan""#,
            AuthFault::Revoked => {
                r#"Bearer realm="bartizan", error="invalid_token", error_description="the token was revoked""#
            }
            AuthFault::Possession(_) => {
                r#"DPoP realm="bartizan", error="invalid_dpop_proof", algs="ES256 EdDSA PS256 RS256""#
            }
            AuthFault::Proof(_) | AuthFault::Unknown => {
                r#"Bearer realm="bartizan", error="invalid_token""#
            }
        }
    }

    /// The HTTP status that goes with it: 400 for a malformed header, otherwise 401.
    pub fn status(self) -> u16 {
        match self {
            AuthFault::InQuery | AuthFault::Malformed | AuthFault::TooLong => 400,
            AuthFault::Expired
            | AuthFault::Possession(_)
            | AuthFault::Proof(_)
            | AuthFault::Missing
            | AuthFault::Revoked
            | AuthFault::Scheme
            | AuthFault::Unknown => 401,
        }
    }

    /// A stable code for the audit record, such as `token_expired`.
    pub fn code(self) -> &'static str {
        match self {
            AuthFault::Expired => "token_expired",
            AuthFault::InQuery => "token_in_query",
            AuthFault::Possession(_) => "dpop_proof",
            AuthFault::Proof(fault) => fault.code(),
            AuthFault::Malformed => "authorization_malformed",
            AuthFault::Missing => "token_missing",
            AuthFault::Revoked => "token_revoked",
            AuthFault::Scheme => "authorization_scheme",
            AuthFault::TooLong => "authorization_too_long",
            AuthFault::Unknown => "token_unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::AuthFault::{
        self, Expired, InQuery, Malformed, Missing, Revoked, Scheme, TooLong, Unknown,
    };

    #[test]
    fn a_challenge_names_an_error_only_when_a_token_was_shown() {
        for fault in [Missing, Scheme] {
            assert_eq!(fault.challenge(), r#"Bearer realm="bartizan""#);
            assert_eq!(fault.status(), 401);
        }
        for fault in [Expired, Revoked, Unknown] {
            assert!(fault.challenge().contains(r#"error="invalid_token""#));
            assert_eq!(fault.status(), 401);
        }
        for fault in [InQuery, Malformed, TooLong] {
            assert!(fault.challenge().contains(r#"error="invalid_request""#));
            assert_eq!(fault.status(), 400);
        }
    }

    #[test]
    fn codes_differ() {
        let all = [Expired, InQuery, Malformed, Missing, Revoked, Scheme, TooLong, Unknown];
        let codes: std::collections::BTreeSet<_> = all.into_iter().map(AuthFault::code).collect();
        assert_eq!(codes.len(), all.len());
    }
}
