//! Demonstrating Proof of Possession (RFC 9449): a token that is of no use without its key.

use std::collections::HashMap;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use mcp::Json;
use serde_json::Value;
use url::Url;

use super::opaque;
use crate::Algorithm;
use crate::jwks::Jwks;
use crate::jwt::Jwt;

/// Seconds by which a proof's `iat` may lie before or behind our clock.
pub const WINDOW: u64 = 60;

/// What a proof's key may sign with.
pub const ALGORITHMS: [Algorithm; 4] =
    [Algorithm::ES256, Algorithm::EdDSA, Algorithm::PS256, Algorithm::RS256];

/// The request that a proof must be for.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The HTTP method.
    pub method: &'a str,
    /// The URL as the client knows it; query and fragment do not count.
    pub url: &'a str,
    /// The access token that is shown with it.
    pub token: Option<&'a str>,
}

/// A proof that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The thumbprint of its key (RFC 7638).
    pub jkt: String,
    /// Its own name, hashed together with its key.
    pub id: [u8; 32],
    /// When it was made.
    pub iat: u64,
    /// The server's nonce, if it holds one.
    pub nonce: Option<String>,
}

/// Why a proof does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DpopFault {
    /// `ath` is not the token's hash.
    #[error("the proof is for another token")]
    Token,
    /// The header has no public key of a kind that is accepted.
    #[error("the proof's header must hold a public key")]
    Key,
    /// There is none, or several, or one with a token that is bound to no key.
    #[error("a token that is bound to a key needs one DPoP proof, and any other none")]
    Absent,
    /// Its own key, and not the token's.
    #[error("the proof is of another key")]
    OtherKey,
    /// Shown before.
    #[error("the proof was used before")]
    Replayed,
    /// It is no proof, or a claim is missing.
    #[error("the proof is malformed")]
    Malformed,
    /// `htm` or `htu` is another request's.
    #[error("the proof is for another request")]
    Request,
    /// The signature is not the key's.
    #[error("the proof's signature is wrong")]
    Signature,
    /// Made too long ago, or in the future.
    #[error("the proof was made at another time")]
    Time,
}

/// Checks a proof (§4.3). Whether it was used before is [`Replays`]' to say.
pub fn verify(text: &str, expected: &Expected<'_>, now: u64) -> Result<Proof, DpopFault> {
    let jwt = Jwt::read(text).map_err(|_| DpopFault::Malformed)?;
    if jwt.header("typ").and_then(Value::as_str) != Some("dpop+jwt") {
        return Err(DpopFault::Malformed);
    }
    let jwk = jwt.header("jwk").filter(|jwk| jwk.get("d").is_none() && jwk.get("k").is_none());
    let jwk = jwk.ok_or(DpopFault::Key)?.to_string();
    let json = Json::read(jwk.as_bytes(), &super::DOCUMENT).map_err(|_| DpopFault::Key)?;
    let keys = Jwks::single(json).ok_or(DpopFault::Key)?;
    jwt.signed_by(&keys, &ALGORITHMS, None).map_err(|_| DpopFault::Signature)?;
    let claim = |name| jwt.claim(name).and_then(Value::as_str);
    let url = claim("htu").and_then(same_form).ok_or(DpopFault::Malformed)?;
    if claim("htm") != Some(expected.method) || Some(url) != same_form(expected.url) {
        return Err(DpopFault::Request);
    }
    if let Some(token) = expected.token
        && claim("ath") != Some(BASE64_URL_SAFE_NO_PAD.encode(opaque::hash(token)).as_str())
    {
        return Err(DpopFault::Token);
    }
    let iat = jwt.claim("iat").and_then(Value::as_u64).ok_or(DpopFault::Malformed)?;
    if iat.abs_diff(now) > WINDOW {
        return Err(DpopFault::Time);
    }
    let jti =
        claim("jti").filter(|jti| (1..=256).contains(&jti.len())).ok_or(DpopFault::Malformed)?;
    let jkt = thumbprint(&jwk).ok_or(DpopFault::Key)?;
    let id = opaque::hash(&format!("{jkt} {jti}"));
    Ok(Proof { id, jkt, iat, nonce: claim("nonce").map(str::to_owned) })
}

fn thumbprint(jwk: &str) -> Option<String> {
    let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_str(jwk).ok()?;
    jwk.thumbprint(jsonwebtoken::jwk::ThumbprintHash::SHA256).ok()
}

/// Without query and fragment, normalised (§4.3).
fn same_form(url: &str) -> Option<String> {
    let mut url = Url::parse(url).ok()?;
    url.set_query(None);
    url.set_fragment(None);
    Some(url.into())
}

/// Proofs that were used, as long as they could be used again.
#[derive(Debug)]
pub struct Replays {
    seen: HashMap<[u8; 32], u64>,
    capacity: usize,
}

impl Replays {
    /// Remembers up to `capacity` proofs.
    pub fn new(capacity: usize) -> Replays {
        Replays { seen: HashMap::new(), capacity }
    }

    /// Notes a proof; `false` when it was used before, or when nothing more can be remembered, since then nobody could tell.
    pub fn first(&mut self, proof: &Proof, now: u64) -> bool {
        if self.seen.len() >= self.capacity {
            self.seen.retain(|_, iat| iat.saturating_add(WINDOW) >= now);
        }
        if self.seen.len() >= self.capacity || self.seen.contains_key(&proof.id) {
            return false;
        }
        self.seen.insert(proof.id, proof.iat);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_counts_once_and_the_memory_is_bounded() {
        let proof = |id: u8, iat| Proof { jkt: "k".into(), id: [id; 32], iat, nonce: None };
        let mut replays = Replays::new(2);
        assert!(replays.first(&proof(1, 100), 100));
        assert!(!replays.first(&proof(1, 100), 100));
        assert!(replays.first(&proof(2, 100), 100));
        assert!(!replays.first(&proof(3, 100), 100), "full: nobody could tell");
        assert!(replays.first(&proof(3, 200), 100 + WINDOW + 1), "the old ones have expired");
    }

    #[test]
    fn what_is_no_proof_is_refused() {
        let expected = Expected { method: "POST", url: "https://gw/mcp", token: None };
        for text in ["", "x", "a.b.c", "e30.e30.", "eyJ0eXAiOiJkcG9wK2p3dCJ9.e30.AA"] {
            assert!(verify(text, &expected, 0).is_err(), "{text}");
        }
        assert_eq!(same_form("https://gw:443/mcp?x#y"), same_form("HTTPS://GW/mcp"));
    }
}
