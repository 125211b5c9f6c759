//! JSON Web Tokens (RFC 7519) signed by others or by ourselves: read within bounds, verified under a
//! profile that leaves nothing to the token, and only then looked into.
//!
//! The signature is the library's work; everything that its defaults let through (a missing `aud` or
//! `iss`, a future `nbf`, an unknown `crit`, any `typ`) is refused here.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use mcp::Json;
use serde_json::{Map, Value};

use crate::Algorithm;
use crate::jwks::Jwks;

mod claims;
mod profile;

pub use claims::Claims;
pub use profile::{Issuer, Issuers, LEEWAY, Profile, Purpose, Typ};

/// Why a token was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwtFault {
    /// The header's `alg` is not the key's, or the profile does not allow the key's.
    #[error("the token's signature algorithm is not accepted")]
    Algorithm,
    /// `aud` is missing, another's, or several.
    #[error("the token was issued for another audience")]
    Audience,
    /// A claim that must be there is missing or of the wrong type.
    #[error("the token's claim `{0}` is missing or malformed")]
    Claim(&'static str),
    /// The header demands an extension. None is known here.
    #[error("the token's header has `crit`")]
    Critical,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// An ID token: it tells a client who signed in, and opens no door.
    #[error("an ID token is not an access token")]
    IdToken,
    /// `iss` is none of those trusted.
    #[error("the token's issuer is not accepted")]
    Issuer,
    /// The key belongs to another issuer.
    #[error("the token's key is not its issuer's")]
    KeyIssuer,
    /// Not three parts of base64url with strict JSON in the first two.
    #[error("the token is malformed")]
    Malformed,
    /// `nbf` or `iat` lies ahead.
    #[error("the token is not valid yet")]
    NotYet,
    /// The signature is not the key's.
    #[error("the token's signature is wrong")]
    Signature,
    /// Longer than [`Jwt::LIMIT`].
    #[error("the token is too long")]
    TooLong,
    /// The header's `typ` is not one that the profile takes.
    #[error("the token's type is not accepted")]
    Type,
    /// No key of this name; the keys may be old.
    #[error("the token's key is not known")]
    UnknownKey,
}

impl JwtFault {
    /// A stable code for the audit record, such as `token_audience`.
    pub fn code(self) -> &'static str {
        match self {
            JwtFault::Algorithm => "token_algorithm",
            JwtFault::Audience => "token_audience",
            JwtFault::Claim(_) => "token_claim",
            JwtFault::Critical => "token_critical",
            JwtFault::Expired => "token_expired",
            JwtFault::IdToken => "token_id_token",
            JwtFault::Issuer => "token_issuer",
            JwtFault::KeyIssuer => "token_key_issuer",
            JwtFault::Malformed => "token_malformed",
            JwtFault::NotYet => "token_not_yet",
            JwtFault::Signature => "token_signature",
            JwtFault::TooLong => "token_too_long",
            JwtFault::Type => "token_type",
            JwtFault::UnknownKey => "token_unknown_key",
        }
    }
}

/// A token that was read, and is not believed yet.
pub struct Jwt<'a> {
    signed: &'a str,
    signature: &'a str,
    header: Map<String, Value>,
    claims: Map<String, Value>,
}

impl<'a> Jwt<'a> {
    /// The longest token that is looked at, in bytes.
    pub const LIMIT: usize = 16 << 10;

    const JSON: mcp::Limits = mcp::Limits { bytes: Self::LIMIT, depth: 16, values: 4096 };

    /// Takes a token apart; proves nothing.
    pub fn read(token: &'a str) -> Result<Jwt<'a>, JwtFault> {
        if token.len() > Self::LIMIT {
            return Err(JwtFault::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(JwtFault::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(JwtFault::Malformed)?;
        let header = object(header)?;
        if header.contains_key("crit") {
            return Err(JwtFault::Critical);
        }
        Ok(Jwt { signed, signature, header, claims: object(claims)? })
    }

    /// Whether a text has the form of a token: cheap, and wrong only in ways that [`Jwt::read`] finds.
    pub fn resembles(token: &str) -> bool {
        token.starts_with("eyJ") && token.bytes().filter(|byte| *byte == b'.').count() == 2
    }

    /// Who is said to have issued it. Good for choosing a profile, and for nothing else.
    pub fn claimed_issuer(&self) -> Option<&str> {
        self.claims.get("iss")?.as_str()
    }

    /// Whom it is said to be for. Good for choosing a profile, and for nothing else.
    pub fn claims_audience(&self, audience: &str) -> bool {
        audiences(&self.claims).any(|one| one == audience)
    }

    /// A claim of a token whose signature is all that is needed, as of a DPoP proof. Anybody can write one into any other.
    pub(crate) fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.get(name)
    }

    /// The name of the key that is said to have signed it.
    pub fn kid(&self) -> Result<Option<&str>, JwtFault> {
        text(&self.header, "kid")
    }

    /// A member of the header, such as a DPoP proof's `jwk`.
    pub fn header(&self, name: &str) -> Option<&Value> {
        self.header.get(name)
    }

    /// Checks the signature alone, with the key that the header names.
    pub fn signed_by(
        &self,
        keys: &Jwks,
        algorithms: &[Algorithm],
        issuer: Option<&Issuer>,
    ) -> Result<(), JwtFault> {
        let alg = text(&self.header, "alg")?.ok_or(JwtFault::Algorithm)?;
        let kid = self.kid()?;
        let mut fault = JwtFault::UnknownKey;
        for key in keys.named(kid) {
            if !key.issuer().is_none_or(|own| issuer.is_some_and(|issuer| issuer.owns(own))) {
                fault = JwtFault::KeyIssuer;
                continue;
            }
            let algorithm = key.algorithm(algorithms).ok_or(JwtFault::Algorithm)?;
            if Algorithm::named(alg) != Some(algorithm) {
                return Err(JwtFault::Algorithm);
            }
            let (signed, signature) = (self.signed.as_bytes(), self.signature);
            let verified = jsonwebtoken::crypto::verify(
                signature,
                signed,
                key.decoding(),
                algorithm.signature(),
            );
            return match verified {
                Ok(true) => Ok(()),
                Ok(false) | Err(_) => Err(JwtFault::Signature),
            };
        }
        Err(fault)
    }
}

/// Never what the token says: it is a secret.
impl std::fmt::Debug for Jwt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[token]")
    }
}

/// Strict JSON: what is read twice is read alike.
fn object(part: &str) -> Result<Map<String, Value>, JwtFault> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| JwtFault::Malformed)?;
    let json = Json::read(&bytes, &Jwt::JSON).map_err(|_| JwtFault::Malformed)?;
    serde_json::from_str(json.text()).map_err(|_| JwtFault::Malformed)
}

fn text<'m>(members: &'m Map<String, Value>, name: &str) -> Result<Option<&'m str>, JwtFault> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(JwtFault::Malformed),
    }
}

fn audiences(claims: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let (one, many) = match claims.get("aud") {
        Some(Value::Array(many)) => (None, Some(many)),
        one => (one, None),
    };
    one.into_iter().chain(many.into_iter().flatten()).filter_map(Value::as_str)
}
