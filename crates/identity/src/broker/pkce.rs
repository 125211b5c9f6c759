//! Proof Key for Code Exchange, method S256 alone (RFC 7636).

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// A `code_challenge` of method S256.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge(String);

impl Challenge {
    /// Reads the two parameters. `plain`, also by leaving the method out, is no method here.
    pub fn parse(challenge: &str, method: Option<&str>) -> Option<Challenge> {
        let whole = challenge.len() == 43
            && BASE64_URL_SAFE_NO_PAD.decode(challenge).is_ok_and(|bytes| bytes.len() == 32);
        (whole && method == Some("S256")).then(|| Challenge(challenge.to_owned()))
    }

    /// The challenge of a verifier.
    pub fn of(verifier: &str) -> Challenge {
        Challenge(BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes())))
    }

    /// Whether `verifier` is what the challenge was made of.
    pub fn verify(&self, verifier: &str) -> bool {
        let unreserved =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        (43..=128).contains(&verifier.len())
            && verifier.bytes().all(unreserved)
            && verify_slices_are_equal(Self::of(verifier).0.as_bytes(), self.0.as_bytes()).is_ok()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 7636, appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    #[test]
    fn the_example_of_the_rfc() {
        let challenge = Challenge::parse(CHALLENGE, Some("S256")).unwrap();
        assert!(challenge.verify(VERIFIER));
        assert!(!challenge.verify(CHALLENGE));
        assert!(!challenge.verify(&VERIFIER[1..]));
        assert_eq!(Challenge::of(VERIFIER), challenge);
    }

    #[test]
    fn plain_is_no_method() {
        for method in [None, Some("plain"), Some("s256"), Some("")] {
            assert_eq!(Challenge::parse(CHALLENGE, method), None);
        }
        for challenge in ["", "x", &CHALLENGE[1..], &"=".repeat(43)] {
            assert_eq!(Challenge::parse(challenge, Some("S256")), None);
        }
    }
}
