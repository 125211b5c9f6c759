//! Assertions (RFC 7521, RFC 7523): how a client proves itself by a signature, and how another issuer vouches for a person.

use serde_json::json;

use super::{Client, ClientProof, Scopes};
use crate::jwks::{Jwks, KeyUse};
use crate::jwt::{Issuer, Issuers, Jwt, JwtFault, Profile, Purpose, Typ};
use crate::{Algorithm, jwt};

/// `client_assertion_type`.
pub const CLIENT_ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How long an assertion may be valid, in seconds: what is used once must be remembered that long.
const LIFE: u64 = 10 * 60;

const ALGORITHMS: [Algorithm; 4] =
    [Algorithm::ES256, Algorithm::EdDSA, Algorithm::PS256, Algorithm::RS256];

/// What must be remembered, so that an assertion is used once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once {
    /// Issuer and name of the assertion, hashed.
    pub hash: [u8; 32],
    /// Until when.
    pub until: u64,
}

/// Whether an assertion was signed by this client, for this server, just now (`private_key_jwt`).
pub fn verify_client(
    client: &Client,
    assertion: &str,
    audiences: &[String],
    now: u64,
) -> Result<Once, JwtFault> {
    let ClientProof::Keys(keys) = &client.proof else { return Err(JwtFault::UnknownKey) };
    let keys = Jwks::read(keys.as_bytes(), KeyUse::Signature).map_err(|_| JwtFault::UnknownKey)?;
    let profile = profile(client.id.as_str(), audiences, vec![Typ::Absent, Typ::Jwt]);
    let claims = profile.verify(&Jwt::read(assertion)?, &keys, now)?;
    if claims.text("sub") != Some(client.id.as_str()) {
        return Err(JwtFault::Claim("sub"));
    }
    once(&claims, now)
}

/// What an Identity Assertion JWT Authorization Grant says (ID-JAG).
#[derive(Clone, Debug)]
pub struct IdJag {
    /// Its claims, for the provider to say who that is.
    pub claims: jwt::Claims,
    /// What it is for, if it says so.
    pub resource: Option<String>,
    /// What it allows, if it says so.
    pub scopes: Option<Scopes>,
    /// So that it is used once.
    pub once: Once,
}

/// Believes an ID-JAG: issued by `issuer` for this server and for the client that shows it.
pub fn verify_id_jag(
    jwt: &Jwt<'_>,
    issuers: Issuers,
    keys: &Jwks,
    audience: &str,
    client: &Client,
    now: u64,
) -> Result<IdJag, JwtFault> {
    let profile = Profile {
        issuers,
        audiences: vec![audience.to_owned()],
        several_audiences: false,
        algorithms: ALGORITHMS.to_vec(),
        types: vec![Typ::IdJag],
        purpose: Purpose::Assertion,
    };
    let claims = profile.verify(jwt, keys, now)?;
    if claims.text("client_id") != Some(client.id.as_str()) {
        return Err(JwtFault::Claim("client_id"));
    }
    let scopes = claims.text("scope").map(Scopes::parse).transpose();
    let once = once(&claims, now)?;
    Ok(IdJag {
        resource: claims.text("resource").map(str::to_owned),
        scopes: scopes.map_err(|_| JwtFault::Claim("scope"))?,
        once,
        claims,
    })
}

fn profile(issuer: &str, audiences: &[String], types: Vec<Typ>) -> Profile {
    Profile {
        issuers: Issuers::Named(vec![Issuer::plain(issuer)]),
        audiences: audiences.to_vec(),
        several_audiences: false,
        algorithms: ALGORITHMS.to_vec(),
        types,
        purpose: Purpose::Assertion,
    }
}

fn once(claims: &jwt::Claims, now: u64) -> Result<Once, JwtFault> {
    let until = claims.expires();
    if until > now.saturating_add(LIFE) {
        return Err(JwtFault::Claim("exp"));
    }
    let jti = claims.text("jti").filter(|jti| !jti.is_empty()).ok_or(JwtFault::Claim("jti"))?;
    let issuer = claims.text("iss").unwrap_or_default();
    Ok(Once {
        hash: super::opaque::hash(&format!("{issuer} {jti}")),
        until: until.saturating_add(jwt::LEEWAY),
    })
}

/// How this gateway proves itself to the provider: with the key of a certificate (PS256, `x5t#S256`), as Entra asks.
pub struct CertificateKey {
    key: jsonwebtoken::EncodingKey,
    thumbprint: String,
}

impl CertificateKey {
    /// From a private RSA key in PEM form and the SHA-256 of the certificate's DER.
    pub fn new(pem: &[u8], certificate: [u8; 32]) -> Option<CertificateKey> {
        use base64::Engine;
        let key = jsonwebtoken::EncodingKey::from_rsa_pem(pem).ok()?;
        let thumbprint = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(certificate);
        Some(CertificateKey { key, thumbprint })
    }

    /// An assertion for one request: `jti` must be random.
    pub fn assertion(&self, client: &str, audience: &str, jti: &str, now: u64) -> Option<String> {
        let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::PS256);
        header.x5t_s256 = Some(self.thumbprint.clone());
        let claims = json!({
            "iss": client, "sub": client, "aud": audience, "jti": jti,
            "iat": now, "nbf": now, "exp": now + 300,
        });
        jsonwebtoken::encode(&header, &claims, &self.key).ok()
    }
}
