//! What a provider says about itself (OpenID Connect Discovery 1.0 §3, RFC 8414 §2).

use mcp::Json;
use url::Url;

/// Why a provider's metadata is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryFault {
    /// Not strict JSON, or beyond the bounds.
    #[error("the metadata is not usable JSON: {0}")]
    Json(#[from] mcp::Fault),
    /// It speaks for another issuer than the one asked for.
    #[error("the metadata is of another issuer: {0}")]
    Issuer(String),
    /// A member that must be there is missing or of the wrong type.
    #[error("the metadata's `{0}` is missing or no URL")]
    Member(&'static str),
}

/// The parts of a provider's metadata that are of use here, each an `http` or `https` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    jwks_uri: String,
    authorization: Option<String>,
    token: Option<String>,
    device_authorization: Option<String>,
}

impl Discovery {
    /// The longest document that is read, in bytes.
    pub const BYTES: usize = 256 << 10;

    const LIMITS: mcp::Limits = mcp::Limits { bytes: Self::BYTES, depth: 16, values: 8192 };

    /// Reads the metadata of the provider that is called exactly `issuer` (for several of Entra's tenants,
    /// the template with `{tenantid}`).
    pub fn read(bytes: &[u8], issuer: &str) -> Result<Discovery, DiscoveryFault> {
        let document = Json::read(bytes, &Self::LIMITS)?;
        let named = document.get("issuer").and_then(Json::string);
        let named = named.ok_or(DiscoveryFault::Member("issuer"))?;
        if named != issuer {
            return Err(DiscoveryFault::Issuer(named.chars().take(256).collect()));
        }
        let url = |name: &'static str| match document.get(name) {
            None => Ok(None),
            Some(value) => {
                let text = value.string().filter(|text| is_web(text));
                text.map(|text| Some(text.into_owned())).ok_or(DiscoveryFault::Member(name))
            }
        };
        Ok(Discovery {
            jwks_uri: url("jwks_uri")?.ok_or(DiscoveryFault::Member("jwks_uri"))?,
            authorization: url("authorization_endpoint")?,
            token: url("token_endpoint")?,
            device_authorization: url("device_authorization_endpoint")?,
        })
    }

    /// Where the keys are.
    pub fn jwks_uri(&self) -> &str {
        &self.jwks_uri
    }

    /// Where people sign in.
    pub fn authorization_endpoint(&self) -> Option<&str> {
        self.authorization.as_deref()
    }

    /// Where tokens are given out.
    pub fn token_endpoint(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Where a device asks for somebody to sign in for it (RFC 8628).
    pub fn device_authorization_endpoint(&self) -> Option<&str> {
        self.device_authorization.as_deref()
    }

    /// Whether the keys are at the origin of this URL.
    pub fn keys_at_origin_of(&self, url: &str) -> bool {
        match (Url::parse(&self.jwks_uri), Url::parse(url)) {
            (Ok(keys), Ok(own)) => keys.origin() == own.origin(),
            _ => false,
        }
    }
}

fn is_web(text: &str) -> bool {
    text.len() <= 2048
        && Url::parse(text).is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://id.example.com";

    fn read(text: &str) -> Result<Discovery, DiscoveryFault> {
        Discovery::read(text.as_bytes(), ISSUER)
    }

    #[test]
    fn a_document_speaks_for_its_own_issuer_only() {
        let good =
            r#"{"issuer":"https://id.example.com","jwks_uri":"https://id.example.com/keys"}"#;
        let found = read(good).unwrap();
        assert_eq!(found.jwks_uri(), "https://id.example.com/keys");
        assert!(found.keys_at_origin_of("https://id.example.com:443/x"));
        assert!(!found.keys_at_origin_of("https://evil.example.com/x"));
        for other in
            ["https://id.example.com/", "https://ID.example.com", "https://evil.example.com"]
        {
            let text = good.replacen(ISSUER, other, 1);
            assert!(matches!(read(&text), Err(DiscoveryFault::Issuer(_))), "{text}");
        }
    }

    #[test]
    fn what_is_no_web_address_is_refused() {
        for uri in [
            "7",
            r#""file:///etc/passwd""#,
            r#""javascript:alert(1)""#,
            r#""//id.example.com/keys""#,
            r#""https://user:pass@id.example.com/keys""#,
            r#""gopher://id.example.com""#,
            "null",
        ] {
            let text = format!(r#"{{"issuer":"{ISSUER}","jwks_uri":{uri}}}"#);
            assert_eq!(read(&text), Err(DiscoveryFault::Member("jwks_uri")), "{text}");
            let text = format!(
                r#"{{"issuer":"{ISSUER}","jwks_uri":"https://id.example.com/keys","token_endpoint":{uri}}}"#
            );
            assert_eq!(read(&text), Err(DiscoveryFault::Member("token_endpoint")), "{text}");
        }
        for text in ["", "[]", "{}", r#"{"issuer":7}"#, r#"{"issuer":"a","issuer":"b"}"#] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(Discovery::read(&vec![b' '; Discovery::BYTES + 1], ISSUER).is_err());
    }
}
