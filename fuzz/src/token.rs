//! A token is believed only as it was signed, and reading one never panics.

use identity::{
    Algorithm,
    jwks::{Jwks, KeyUse},
    jwt::{Issuer, Issuers, Jwt, Profile, Purpose, Typ},
};

/// The public half of a key whose private half nobody kept, and the one token that it signed.
const KEYS: &[u8] = include_bytes!("../corpus/jwks/signed");
const TOKEN: &[u8] = include_bytes!("../corpus/token/signed");

/// A token's text.
pub fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(jwt) = Jwt::read(text) else { return };
    assert!(text.len() <= Jwt::LIMIT);
    assert_eq!(text.bytes().filter(|byte| *byte == b'.').count(), 2);
    let _ = (jwt.kid(), jwt.claims_audience("x"));
    let Ok(keys) = Jwks::read(KEYS, KeyUse::Signature) else { return };
    let profile = Profile {
        issuers: Issuers::Named(vec![Issuer::plain("https://id.example.com")]),
        audiences: vec!["https://mcp.example.com/mcp".to_owned()],
        several_audiences: true,
        algorithms: Algorithm::ALL.to_vec(),
        types: vec![Typ::Absent, Typ::AccessToken, Typ::Jwt, Typ::Jose, Typ::IdJag, Typ::Dpop],
        purpose: Purpose::Assertion,
    };
    if let Ok(claims) = profile.verify(&jwt, &keys, 1_800_000_000) {
        assert_eq!(data, TOKEN, "a token that nobody signed");
        assert_eq!(claims.text("sub"), Some("alice"));
    }
}
