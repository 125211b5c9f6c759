//! Key sets and metadata of issuers: bounded, and never more than they say.

use identity::{
    Discovery,
    jwks::{Jwks, KeyUse},
};

/// A document: read as each kind.
pub fn target(data: &[u8]) {
    for usage in [KeyUse::Signature, KeyUse::JwtSvid] {
        if let Ok(keys) = Jwks::read(data, usage) {
            assert!((1..=Jwks::LIMIT).contains(&keys.len()) && data.len() <= Jwks::BYTES);
            assert_eq!(keys.knows(None), keys.len() == 1);
        }
    }
    if let Ok(found) = Discovery::read(data, "https://id.example.com") {
        let urls = [Some(found.jwks_uri()), found.authorization_endpoint(), found.token_endpoint()];
        for url in urls.into_iter().flatten() {
            assert!(url.len() <= 2048 && url.to_ascii_lowercase().trim_start().starts_with("http"));
        }
        // What speaks for one issuer speaks for no other.
        assert!(Discovery::read(data, "https://id.example.com/").is_err());
    }
}
