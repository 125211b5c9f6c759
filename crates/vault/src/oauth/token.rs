//! The token endpoint: what is sent there, and what comes back (RFC 6749 §4.1.3, §4.4, §6).

use base64::{Engine, engine::general_purpose::STANDARD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::{Deserialize, Serialize};
use url::{Url, form_urlencoded};

use super::authorization::{is_code, resource_text};
use super::{ClientAuth, DOCUMENT_BYTES, OAuthFault, Scopes, Terms};
use crate::Secret;

const DOCUMENT: &str = "token answer";
/// How long a client assertion is good for, in seconds.
const ASSERTION: u64 = 300;
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A POST to an authorization server.
pub struct Form {
    /// Where to.
    pub url: Url,
    /// `Authorization`, where the client authenticates that way.
    pub authorization: Option<Secret>,
    /// `application/x-www-form-urlencoded`.
    pub body: Secret,
}

/// What is asked of a token endpoint.
#[derive(Clone, Copy)]
pub enum TokenRequest<'a> {
    /// For a code that an authorization brought.
    Code {
        /// The code.
        code: &'a Secret,
        /// Where the browser brought it.
        redirect: &'a Url,
        /// What PKCE binds it to.
        verifier: &'a Secret,
    },
    /// With a refresh token, for the same scopes.
    Refresh(&'a Secret),
    /// For the client itself.
    ClientCredentials,
}

/// Why a token endpoint gave none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// `invalid_grant`: the code or refresh token is no longer good; only a person can mend it.
    #[error("the grant is not valid any more")]
    Grant,
    /// `invalid_client` or `unauthorized_client`: the registration is not good any more.
    #[error("the authorization server does not know Bartizan as this client any more")]
    Client,
    /// Another error's code, or a status without one.
    #[error("the authorization server refused: {0}")]
    Other(String),
    /// It can't be read.
    #[error(transparent)]
    Fault(#[from] OAuthFault),
}

impl TokenRequest<'_> {
    /// The request. `now` and `id` go into a client assertion.
    pub fn form(self, terms: &Terms, now: u64, id: &str) -> Result<Form, OAuthFault> {
        let mut body = form_urlencoded::Serializer::new(String::with_capacity(4096));
        match self {
            TokenRequest::Code { code, redirect, verifier } => {
                body.append_pair("grant_type", "authorization_code")
                    .append_pair("code", code.expose())
                    .append_pair("redirect_uri", redirect.as_str())
                    .append_pair("code_verifier", verifier.expose());
            }
            TokenRequest::Refresh(token) => {
                body.append_pair("grant_type", "refresh_token")
                    .append_pair("refresh_token", token.expose());
            }
            TokenRequest::ClientCredentials => {
                body.append_pair("grant_type", "client_credentials");
                if !terms.scopes.is_empty() {
                    body.append_pair("scope", &terms.scopes.to_string());
                }
            }
        }
        body.append_pair("resource", resource_text(&terms.resource));
        let authorization = authenticate(&mut body, terms, now, id)?;
        Ok(Form {
            url: terms.issuer.token_endpoint.clone(),
            authorization,
            body: Secret::new(body.finish().into_boxed_str()),
        })
    }
}

/// Giving a token back (RFC 7009 §2.1), where the server takes that.
pub fn revocation(
    terms: &Terms,
    token: &Secret,
    now: u64,
    id: &str,
) -> Result<Option<Form>, OAuthFault> {
    let Some(url) = terms.issuer.revocation_endpoint.clone() else { return Ok(None) };
    let mut body = form_urlencoded::Serializer::new(String::with_capacity(4096));
    body.append_pair("token", token.expose());
    let authorization = authenticate(&mut body, terms, now, id)?;
    Ok(Some(Form { url, authorization, body: Secret::new(body.finish().into_boxed_str()) }))
}

type Body<'a> = form_urlencoded::Serializer<'a, String>;

/// Adds what proves the client; what goes into the header comes back.
fn authenticate(
    body: &mut Body<'_>,
    terms: &Terms,
    now: u64,
    id: &str,
) -> Result<Option<Secret>, OAuthFault> {
    let Terms { issuer, client, .. } = terms;
    match &client.auth {
        ClientAuth::None => {
            body.append_pair("client_id", &client.id);
        }
        ClientAuth::Post(secret) => {
            body.append_pair("client_id", &client.id).append_pair("client_secret", secret.expose());
        }
        ClientAuth::Basic(secret) => {
            // RFC 6749 §2.3.1: each part form-encoded before they are joined.
            let encode = |text: &str| -> String {
                form_urlencoded::byte_serialize(text.as_bytes()).collect()
            };
            let pair = Secret::new(
                format!("{}:{}", encode(&client.id), encode(secret.expose())).into_boxed_str(),
            );
            let header = format!("Basic {}", STANDARD.encode(pair.expose()));
            return Ok(Some(Secret::new(header.into_boxed_str())));
        }
        ClientAuth::PrivateKeyJwt(key) => {
            let assertion = client_assertion(&client.id, &issuer.issuer, key, now, id)?;
            body.append_pair("client_id", &client.id)
                .append_pair("client_assertion_type", JWT_BEARER)
                .append_pair("client_assertion", &assertion);
        }
    }
    Ok(None)
}

#[derive(Serialize)]
struct Assertion<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    jti: &'a str,
    iat: u64,
    exp: u64,
}

/// What proves a client that has a private key in PEM form (`private_key_jwt`, RFC 7523): signed, for this
/// audience, good for five minutes. `id` must be random.
pub fn client_assertion(
    client: &str,
    audience: &str,
    key: &Secret,
    now: u64,
    id: &str,
) -> Result<String, OAuthFault> {
    let pem = key.expose().as_bytes();
    let unusable =
        |_| OAuthFault::document("client key", "neither an EC nor an RSA key in PEM form");
    let (algorithm, key) = match EncodingKey::from_ec_pem(pem) {
        Ok(key) => (Algorithm::ES256, key),
        Err(_) => (Algorithm::RS256, EncodingKey::from_rsa_pem(pem).map_err(unusable)?),
    };
    let claims = Assertion {
        iss: client,
        sub: client,
        aud: audience,
        jti: id,
        iat: now,
        exp: now + ASSERTION,
    };
    jsonwebtoken::encode(&Header::new(algorithm), &claims, &key).map_err(unusable)
}

#[derive(Deserialize)]
struct Answer {
    access_token: Secret,
    token_type: String,
    expires_in: Option<Seconds>,
    /// Identity endpoints of machines name the end itself, in seconds since 1970.
    expires_on: Option<Seconds>,
    refresh_token: Option<Secret>,
    scope: Option<String>,
}

/// Some servers write their numbers as texts.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(f64),
    Text(String),
}

impl Seconds {
    fn count(&self) -> Option<u64> {
        let seconds = match self {
            Seconds::Number(seconds) => *seconds,
            Seconds::Text(text) => text.parse().ok()?,
        };
        (0.0..1e10).contains(&seconds).then_some(seconds as u64)
    }
}

#[derive(Deserialize)]
struct Failure {
    error: String,
}

/// What a token endpoint gave.
#[derive(Debug)]
pub(crate) struct Tokens {
    pub access: Secret,
    pub refresh: Option<Secret>,
    /// Seconds since 1970.
    pub expires: Option<u64>,
    pub scopes: Option<Scopes>,
}

/// Reads what a token endpoint answered.
pub(crate) fn read(status: u16, bytes: &[u8], now: u64) -> Result<Tokens, TokenError> {
    if bytes.len() > DOCUMENT_BYTES {
        return Err(OAuthFault::document(DOCUMENT, "too long").into());
    }
    if status != 200 {
        let failure: Option<Failure> = serde_json::from_slice(bytes).ok();
        return Err(match failure.as_ref().map(|failure| failure.error.as_str()) {
            Some("invalid_grant") => TokenError::Grant,
            Some("invalid_client" | "unauthorized_client") => TokenError::Client,
            Some(code) if is_code(code) => TokenError::Other(code.to_owned()),
            _ => TokenError::Other(format!("HTTP {status}")),
        });
    }
    let answer: Answer = serde_json::from_slice(bytes)
        // serde's messages may quote values.
        .map_err(|_| OAuthFault::document(DOCUMENT, "not a token answer"))?;
    if !answer.token_type.eq_ignore_ascii_case("bearer") {
        return Err(OAuthFault::document(DOCUMENT, "not a bearer token").into());
    }
    let visible = |secret: &Secret| {
        let text = secret.expose();
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if !visible(&answer.access_token) {
        return Err(OAuthFault::document(DOCUMENT, "a token with unprintable characters").into());
    }
    let lifetime = answer.expires_in.as_ref().and_then(Seconds::count);
    let end = answer.expires_on.as_ref().and_then(Seconds::count);
    Ok(Tokens {
        access: answer.access_token,
        refresh: answer.refresh_token.filter(visible),
        expires: lifetime.map(|seconds| now.saturating_add(seconds)).or(end),
        scopes: answer.scope.as_deref().map(Scopes::parse),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::{Client, authorization::tests::begun};

    fn pairs(form: &Form) -> Vec<(String, String)> {
        form_urlencoded::parse(form.body.expose().as_bytes()).into_owned().collect()
    }

    fn get<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
        pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn form(auth: ClientAuth) -> Form {
        let mut authorization = begun(serde_json::json!({}), "");
        authorization.terms.client = Client { id: "my id".into(), auth };
        let code = Secret::new("the-code".into());
        authorization.request(&code).form(&authorization.terms, 1000, "jti-1").unwrap()
    }

    #[test]
    fn each_way_of_authenticating() {
        let open = form(ClientAuth::None);
        let sent = pairs(&open);
        assert_eq!(get(&sent, "client_id"), Some("my id"));
        assert_eq!(get(&sent, "code_verifier").map(str::len), Some(43));
        assert_eq!(get(&sent, "resource"), Some("https://h.example/mcp"));

        let basic = form(ClientAuth::Basic(Secret::new("a:b".into())));
        assert_eq!(get(&pairs(&basic), "client_id"), None);
        let header = basic.authorization.unwrap();
        let pair = STANDARD.decode(header.expose().strip_prefix("Basic ").unwrap()).unwrap();
        assert_eq!(pair, b"my+id:a%3Ab");

        let post = form(ClientAuth::Post(Secret::new("s".into())));
        assert_eq!(get(&pairs(&post), "client_secret"), Some("s"));
    }

    #[test]
    fn a_signed_assertion_is_for_this_issuer_and_short() {
        let key = rcgen::KeyPair::generate().unwrap();
        let sent = pairs(&form(ClientAuth::PrivateKeyJwt(Secret::new(
            key.serialize_pem().into_boxed_str(),
        ))));
        assert_eq!(get(&sent, "client_assertion_type"), Some(JWT_BEARER));
        let public =
            jsonwebtoken::DecodingKey::from_ec_pem(key.public_key_pem().as_bytes()).unwrap();
        let mut validation = jsonwebtoken::Validation::new(Algorithm::ES256);
        validation.set_audience(&["https://as.example"]);
        validation.validate_exp = false;
        let claims: serde_json::Value =
            jsonwebtoken::decode(get(&sent, "client_assertion").unwrap(), &public, &validation)
                .unwrap()
                .claims;
        assert_eq!(claims["iss"], "my id");
        assert_eq!(claims["exp"], 1300);
        assert_eq!(claims["jti"], "jti-1");
    }

    #[test]
    fn answers() {
        let good = br#"{"access_token":"t","token_type":"Bearer","expires_in":60,"refresh_token":"r","scope":"a"}"#;
        let tokens = read(200, good, 100).unwrap();
        assert_eq!((tokens.access.expose(), tokens.expires), ("t", Some(160)));
        assert_eq!(tokens.refresh.unwrap().expose(), "r");
        for (status, body, expected) in [
            (400, r#"{"error":"invalid_grant"}"#, TokenError::Grant),
            (401, r#"{"error":"invalid_client"}"#, TokenError::Client),
            (400, r#"{"error":"slow_down"}"#, TokenError::Other("slow_down".into())),
            (400, r#"{"error":"<b>"}"#, TokenError::Other("HTTP 400".into())),
            (500, "oops", TokenError::Other("HTTP 500".into())),
        ] {
            assert_eq!(read(status, body.as_bytes(), 0).unwrap_err(), expected, "{body}");
        }
        for bad in [
            r#"{"access_token":"t","token_type":"mac"}"#,
            r#"{"access_token":"t\n","token_type":"bearer"}"#,
            r#"{"access_token":"","token_type":"bearer"}"#,
            r#"{"access_token":"secret-value","token_type":7}"#,
            "[]",
        ] {
            let fault = read(200, bad.as_bytes(), 0).unwrap_err();
            assert!(!fault.to_string().contains("secret-value"), "{fault}");
        }
    }
}
