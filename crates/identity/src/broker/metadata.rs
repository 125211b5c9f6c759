//! What this server says about itself (RFC 8414, and OpenID Connect Discovery for clients that ask only for that).

use serde_json::{Value, json};

use super::Scopes;

/// Paths of the endpoints, below the issuer.
pub mod path {
    #![expect(missing_docs, reason = "each is an endpoint's path")]
    pub const AUTHORIZE: &str = "/oauth/authorize";
    pub const CALLBACK: &str = "/oauth/callback";
    pub const CONSENT: &str = "/oauth/consent";
    pub const DEVICE: &str = "/oauth/device";
    pub const DEVICE_AUTHORIZATION: &str = "/oauth/device_authorization";
    pub const INTROSPECT: &str = "/oauth/introspect";
    pub const JWKS: &str = "/oauth/jwks";
    pub const REGISTER: &str = "/oauth/register";
    pub const REVOKE: &str = "/oauth/revoke";
    pub const TOKEN: &str = "/oauth/token";
}

/// `grant_type` values.
pub mod grant {
    #![expect(missing_docs, reason = "each is a registered value")]
    pub const AUTHORIZATION_CODE: &str = "authorization_code";
    pub const CLIENT_CREDENTIALS: &str = "client_credentials";
    pub const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";
    pub const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    pub const REFRESH_TOKEN: &str = "refresh_token";
}

/// The profile of JWT assertions that is understood.
pub const ID_JAG_PROFILE: &str = "urn:ietf:params:oauth:grant-profile:id-jag";

/// What of the optional parts is on.
#[derive(Clone, Copy, Debug)]
pub struct Features<'a> {
    /// The issuer, which is also where the endpoints are.
    pub issuer: &'a str,
    /// The scopes that exist.
    pub scopes: &'a Scopes,
    /// Whether clients may register themselves.
    pub registration: bool,
    /// Whether an `https` URL may be a client's id.
    pub documents: bool,
    /// Whether some issuer's ID-JAGs are accepted.
    pub id_jag: bool,
}

impl Features<'_> {
    /// The document.
    pub fn document(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.issuer);
        let mut grants = vec![
            grant::AUTHORIZATION_CODE,
            grant::REFRESH_TOKEN,
            grant::DEVICE_CODE,
            grant::CLIENT_CREDENTIALS,
        ];
        if self.id_jag {
            grants.push(grant::JWT_BEARER);
        }
        let mut document = json!({
            "issuer": self.issuer,
            "authorization_endpoint": at(path::AUTHORIZE),
            "token_endpoint": at(path::TOKEN),
            "jwks_uri": at(path::JWKS),
            "revocation_endpoint": at(path::REVOKE),
            "introspection_endpoint": at(path::INTROSPECT),
            "device_authorization_endpoint": at(path::DEVICE_AUTHORIZATION),
            "scopes_supported": self.scopes.iter().collect::<Vec<_>>(),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": grants,
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["ES256", "EdDSA", "PS256", "RS256"],
            "revocation_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"],
            "introspection_endpoint_auth_methods_supported": ["bearer"],
            "dpop_signing_alg_values_supported": ["ES256", "EdDSA", "PS256", "RS256"],
            "authorization_response_iss_parameter_supported": true,
            "client_id_metadata_document_supported": self.documents,
        });
        if self.registration {
            document["registration_endpoint"] = at(path::REGISTER).into();
        }
        if self.id_jag {
            document["authorization_grant_profiles_supported"] = json!([ID_JAG_PROFILE]);
        }
        document
    }

    /// The same for clients that know only OpenID Connect Discovery. No ID token is ever issued here; the members that
    /// its form demands say so as far as they can.
    pub fn openid_document(&self) -> Value {
        let mut document = self.document();
        document["subject_types_supported"] = json!(["public"]);
        document["id_token_signing_alg_values_supported"] = json!(["ES256"]);
        document
    }
}
