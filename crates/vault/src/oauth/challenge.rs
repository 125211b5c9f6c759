//! What a 401 or 403 says (RFC 6750 §3, RFC 9728 §5.1).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use url::Url;

use super::Scopes;
use crate::exchange::is_challenge;

/// The `Bearer` challenge of a `WWW-Authenticate` header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Challenge {
    /// Where the resource's metadata is.
    pub resource_metadata: Option<Url>,
    /// The scopes that this request needs.
    pub scope: Option<Scopes>,
    /// `insufficient_scope`.
    pub step_up: bool,
    /// What the next token must have, as JSON (`insufficient_claims`, Continuous Access Evaluation).
    pub claims: Option<String>,
}

impl Challenge {
    /// Reads it. A header that can't be read, or has no `Bearer` challenge, says nothing.
    pub fn parse(header: &str) -> Challenge {
        let challenges = http_auth::parse_challenges(header).unwrap_or_default();
        let bearer = challenges.iter().find(|one| one.scheme.eq_ignore_ascii_case("bearer"));
        let Some(bearer) = bearer else { return Challenge::default() };
        let param = |name: &str| {
            let found = bearer.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.to_unescaped())
        };
        Challenge {
            resource_metadata: param("resource_metadata").and_then(|url| Url::parse(&url).ok()),
            scope: param("scope").map(|scope| Scopes::parse(&scope)).filter(|s| !s.is_empty()),
            step_up: param("error").as_deref() == Some("insufficient_scope"),
            claims: param("claims").and_then(|claims| claims_request(&claims)),
        }
    }
}

/// It comes in base64, of either alphabet, padded or not.
fn claims_request(encoded: &str) -> Option<String> {
    let text = encoded.trim_end_matches('=').replace('+', "-").replace('/', "_");
    let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    is_challenge(&claims).then_some(claims)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_that_a_server_asks_for() {
        let claims = |text: &str| {
            let header =
                format!(r#"Bearer realm="", error="insufficient_claims", claims="{text}""#);
            Challenge::parse(&header).claims
        };
        let said = r#"{"access_token":{"nbf":{"essential":true}}}"#;
        let encoded = base64::engine::general_purpose::STANDARD.encode(said);
        assert_eq!(claims(&encoded).as_deref(), Some(said));
        assert_eq!(claims(encoded.trim_end_matches('=')).as_deref(), Some(said));
        assert_eq!(claims("W10="), None, "a list");
        assert_eq!(claims("%%%"), None);
    }

    #[test]
    fn the_bearer_challenge_is_found_among_others() {
        let header = r#"Basic realm="x", Bearer realm="y", error="insufficient_scope", scope="a b", resource_metadata="https://h/.well-known/oauth-protected-resource/mcp""#;
        let challenge = Challenge::parse(header);
        assert_eq!(challenge.scope, Some(Scopes::parse("a b")));
        assert!(challenge.step_up);
        let url = challenge.resource_metadata.unwrap();
        assert_eq!(url.as_str(), "https://h/.well-known/oauth-protected-resource/mcp");
    }

    #[test]
    fn what_can_not_be_read_says_nothing() {
        for header in
            ["", "Bearer", "Negotiate abc==", "Bearer scope=\"", "\u{e9}", "Bearer scope=\"\""]
        {
            assert_eq!(Challenge::parse(header), Challenge::default(), "{header}");
        }
    }
}
