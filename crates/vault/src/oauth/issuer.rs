//! Metadata of an authorization server (RFC 8414, OpenID Connect Discovery 1.0).

use serde::{Deserialize, Serialize};
use url::Url;

use super::{DOCUMENT_BYTES, OAuthFault, Scopes, endpoint, well_known};

const DOCUMENT: &str = "authorization server metadata";

/// An authorization server that can be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issuer {
    /// Its identifier, byte for byte: `iss` is compared with it (RFC 9207).
    pub issuer: String,
    /// Where the browser goes.
    pub authorization_endpoint: Url,
    /// Where codes become tokens.
    pub token_endpoint: Url,
    /// Where clients register themselves (RFC 7591).
    pub registration_endpoint: Option<Url>,
    /// Where tokens are given back (RFC 7009).
    pub revocation_endpoint: Option<Url>,
    /// Whether a client id may be the URL of a document about the client.
    pub client_id_metadata_documents: bool,
    /// Whether every callback carries `iss`.
    pub iss_in_callback: bool,
    /// How clients may authenticate at the token endpoint; empty when it does not say.
    pub token_auth_methods: Vec<String>,
    /// The scopes of which it says that they exist.
    pub scopes: Scopes,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    registration_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    #[serde(default)]
    code_challenge_methods_supported: Vec<String>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
    #[serde(default)]
    scopes_supported: Vec<String>,
    #[serde(default)]
    client_id_metadata_document_supported: bool,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

impl Issuer {
    /// Where an issuer's metadata may be, in the order of trying.
    pub fn places(issuer: &Url) -> Vec<Url> {
        let mut appended = issuer.clone();
        let path = issuer.path().trim_end_matches('/');
        appended.set_path(&format!("{path}/.well-known/openid-configuration"));
        let mut places = vec![
            well_known(issuer, "oauth-authorization-server"),
            well_known(issuer, "openid-configuration"),
        ];
        if !places.contains(&appended) {
            places.push(appended);
        }
        places
    }

    /// Reads what was found at one of the places of `issuer`.
    pub fn read(bytes: &[u8], issuer: &Url, allow_private: bool) -> Result<Issuer, OAuthFault> {
        if bytes.len() > DOCUMENT_BYTES {
            return Err(OAuthFault::document(DOCUMENT, "too long"));
        }
        let document: Document =
            serde_json::from_slice(bytes).map_err(|fault| OAuthFault::document(DOCUMENT, fault))?;
        if !names(&document.issuer, issuer) {
            return Err(OAuthFault::IssuerMismatch { expected: issuer.to_string() });
        }
        if !document.code_challenge_methods_supported.iter().any(|method| method == "S256") {
            return Err(OAuthFault::NoPkce);
        }
        let endpoint = |text: &str| endpoint(text, issuer, allow_private);
        let optional = |text: &Option<String>| text.as_deref().map(endpoint).transpose();
        Ok(Issuer {
            authorization_endpoint: endpoint(&document.authorization_endpoint)?,
            token_endpoint: endpoint(&document.token_endpoint)?,
            registration_endpoint: optional(&document.registration_endpoint)?,
            revocation_endpoint: optional(&document.revocation_endpoint)?,
            client_id_metadata_documents: document.client_id_metadata_document_supported,
            iss_in_callback: document.authorization_response_iss_parameter_supported,
            token_auth_methods: document
                .token_endpoint_auth_methods_supported
                .into_iter()
                .take(32)
                .collect(),
            scopes: document.scopes_supported.iter().map(String::as_str).collect(),
            issuer: document.issuer,
        })
    }
}

/// Whether the text is this issuer: `Url` writes an empty path as `/`, which no one has to.
fn names(text: &str, issuer: &Url) -> bool {
    let issuer = issuer.as_str();
    text == issuer || (issuer.strip_suffix('/') == Some(text) && issuer.matches('/').count() == 3)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    /// A document like most, with some members instead of its own.
    pub fn document(instead: serde_json::Value) -> Vec<u8> {
        let mut document = serde_json::json!({
            "issuer": "https://as.example",
            "authorization_endpoint": "https://as.example/authorize",
            "token_endpoint": "https://as.example/token",
            "registration_endpoint": "https://as.example/register",
            "code_challenge_methods_supported": ["plain", "S256"],
            "authorization_response_iss_parameter_supported": true,
        });
        for (name, value) in instead.as_object().unwrap() {
            document[name] = value.clone();
        }
        serde_json::to_vec(&document).unwrap()
    }

    #[test]
    fn places() {
        let at = |issuer: &str| -> Vec<String> {
            Issuer::places(&url(issuer)).iter().map(Url::to_string).collect()
        };
        assert_eq!(
            at("https://as.example"),
            [
                "https://as.example/.well-known/oauth-authorization-server",
                "https://as.example/.well-known/openid-configuration",
            ]
        );
        assert_eq!(
            at("https://as.example/t/1"),
            [
                "https://as.example/.well-known/oauth-authorization-server/t/1",
                "https://as.example/.well-known/openid-configuration/t/1",
                "https://as.example/t/1/.well-known/openid-configuration",
            ]
        );
    }

    #[test]
    fn only_the_issuer_itself_is_believed() {
        let read = |issuer: &str, asked: &str| {
            let bytes = document(serde_json::json!({ "issuer": issuer }));
            Issuer::read(&bytes, &url(asked), false).map(|issuer| issuer.issuer)
        };
        assert_eq!(read("https://as.example", "https://as.example").unwrap(), "https://as.example");
        assert_eq!(
            read("https://as.example/", "https://as.example").unwrap(),
            "https://as.example/"
        );
        assert_eq!(
            read("https://as.example/t", "https://as.example/t").unwrap(),
            "https://as.example/t"
        );
        for (issuer, asked) in [
            ("https://evil.example", "https://as.example"),
            ("https://as.example/t/", "https://as.example/t"),
            ("https://as.example/t", "https://as.example/t/"),
            ("https://AS.example", "https://as.example"),
            ("https://as.example:443", "https://as.example"),
        ] {
            assert!(
                matches!(read(issuer, asked), Err(OAuthFault::IssuerMismatch { .. })),
                "{issuer} for {asked}"
            );
        }
    }

    #[test]
    fn without_pkce_or_with_bad_endpoints_it_is_not_used() {
        let read = |instead| Issuer::read(&document(instead), &url("https://as.example"), false);
        for methods in [serde_json::json!([]), serde_json::json!(["plain"])] {
            let instead = serde_json::json!({ "code_challenge_methods_supported": methods });
            assert_eq!(read(instead), Err(OAuthFault::NoPkce));
        }
        for member in ["authorization_endpoint", "token_endpoint", "registration_endpoint"] {
            for bad in ["http://as.example/x", "javascript:alert(1)", "file:///etc", "x"] {
                let fault = read(serde_json::json!({ member: bad })).unwrap_err();
                assert!(matches!(fault, OAuthFault::Endpoint(_)), "{member} {bad}");
            }
        }
        for member in ["token_endpoint", "registration_endpoint", "revocation_endpoint"] {
            for within in ["https://10.0.0.5/x", "https://[::1]/x", "https://localhost:6443/x"] {
                let instead = || serde_json::json!({ member: within });
                let fault = read(instead()).unwrap_err();
                assert!(matches!(fault, OAuthFault::Address(_)), "{member} {within}");
                let (issuer, private) = (url("https://as.example"), true);
                assert!(Issuer::read(&document(instead()), &issuer, private).is_ok());
            }
        }
    }
}
