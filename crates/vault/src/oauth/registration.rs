//! As which client Bartizan is known to an authorization server: registered beforehand, by a document
//! at its own URL (CIMD), or dynamically (RFC 7591), in this order.

use serde::{Deserialize, Serialize};
use url::Url;

use super::{DOCUMENT_BYTES, Issuer, OAuthFault};
use crate::Secret;

const DOCUMENT: &str = "registration";

/// A client of one authorization server. Credentials are never shown to another one.
#[derive(Clone, Debug)]
pub struct Client {
    /// `client_id`.
    pub id: String,
    /// How it proves to be that client.
    pub auth: ClientAuth,
}

/// How a client authenticates at the token endpoint (RFC 6749 §2.3, RFC 7523 §2.2).
#[derive(Clone, Debug)]
pub enum ClientAuth {
    /// It doesn't: a public client.
    None,
    /// In the `Authorization` header.
    Basic(Secret),
    /// In the form.
    Post(Secret),
    /// By a signed assertion; the key is a PEM text (ES256 for an EC key, RS256 for an RSA one).
    PrivateKeyJwt(Secret),
}

impl Client {
    /// One that was registered beforehand: with a private key in PEM form, or a secret that is sent as the
    /// server prefers.
    pub fn registered(id: String, secret: Option<Secret>, issuer: &Issuer) -> Client {
        let Some(secret) = secret else { return Client { id, auth: ClientAuth::None } };
        if secret.expose().starts_with("-----BEGIN") {
            return Client { id, auth: ClientAuth::PrivateKeyJwt(secret) };
        }
        let methods = &issuer.token_auth_methods;
        let says = |method: &str| methods.iter().any(|one| one == method);
        // RFC 8414 §2: `client_secret_basic` is the default.
        let auth = if says("client_secret_post") && !says("client_secret_basic") {
            ClientAuth::Post(secret)
        } else {
            ClientAuth::Basic(secret)
        };
        Client { id, auth }
    }

    /// One whose id is the URL of the document about it; a public client.
    pub fn by_document(url: &Url) -> Client {
        Client { id: url.to_string(), auth: ClientAuth::None }
    }
}

/// What Bartizan says of itself: the CIMD document, and the body of a dynamic registration.
#[derive(Debug, Serialize)]
pub struct Metadata<'a> {
    /// In a document only: its own URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<&'a str>,
    /// What a consent page shows.
    pub client_name: &'a str,
    /// Exactly one.
    pub redirect_uris: [&'a str; 1],
    /// `authorization_code` and `refresh_token`.
    pub grant_types: [&'static str; 2],
    /// `code`.
    pub response_types: [&'static str; 1],
    /// `none`: PKCE is what binds the code.
    pub token_endpoint_auth_method: &'static str,
    /// `web`, or `native` where the redirect leads to the loopback (OpenID Connect Registration 1.0 §2).
    pub application_type: &'static str,
}

impl<'a> Metadata<'a> {
    /// For this redirect URI.
    pub fn new(redirect: &'a Url) -> Metadata<'a> {
        let native = redirect.scheme() == "http";
        Metadata {
            client_id: None,
            client_name: "Bartizan",
            redirect_uris: [redirect.as_str()],
            grant_types: ["authorization_code", "refresh_token"],
            response_types: ["code"],
            token_endpoint_auth_method: "none",
            application_type: if native { "native" } else { "web" },
        }
    }

    /// How a dynamic registration asks this server to authenticate the client: without a secret where
    /// the server takes that, else as it prefers.
    pub fn for_server(mut self, issuer: &Issuer) -> Metadata<'a> {
        let methods = &issuer.token_auth_methods;
        let known = ["none", "client_secret_basic", "client_secret_post"];
        let says = |method: &&'static str| methods.iter().any(|one| one == method);
        if let Some(method) = known.into_iter().find(says) {
            self.token_endpoint_auth_method = method;
        }
        self
    }
}

#[derive(Deserialize)]
struct Registered {
    client_id: String,
    client_secret: Option<String>,
    token_endpoint_auth_method: Option<String>,
}

/// Reads the answer to a dynamic registration that asked for `Metadata`.
pub fn read(bytes: &[u8], issuer: &Issuer) -> Result<Client, OAuthFault> {
    if bytes.len() > DOCUMENT_BYTES {
        return Err(OAuthFault::document(DOCUMENT, "too long"));
    }
    let registered: Registered =
        serde_json::from_slice(bytes).map_err(|fault| OAuthFault::document(DOCUMENT, fault))?;
    if registered.client_id.is_empty() || registered.client_id.len() > 2048 {
        return Err(OAuthFault::document(DOCUMENT, "no client_id"));
    }
    let secret = registered.client_secret.filter(|secret| !secret.is_empty());
    let secret = secret.map(|secret| Secret::new(secret.into_boxed_str()));
    let id = registered.client_id;
    let auth = match (registered.token_endpoint_auth_method.as_deref(), secret) {
        (Some("none"), _) | (_, None) => ClientAuth::None,
        (Some("client_secret_post"), Some(secret)) => ClientAuth::Post(secret),
        (Some("client_secret_basic"), Some(secret)) => ClientAuth::Basic(secret),
        (_, secret) => return Ok(Client::registered(id, secret, issuer)),
    };
    Ok(Client { id, auth })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::issuer::tests::document;

    fn issuer(methods: &[&str]) -> Issuer {
        let bytes =
            document(serde_json::json!({ "token_endpoint_auth_methods_supported": methods }));
        Issuer::read(&bytes, &Url::parse("https://as.example").unwrap(), false).unwrap()
    }

    fn form(auth: &ClientAuth) -> &'static str {
        match auth {
            ClientAuth::None => "none",
            ClientAuth::Basic(_) => "basic",
            ClientAuth::Post(_) => "post",
            ClientAuth::PrivateKeyJwt(_) => "jwt",
        }
    }

    #[test]
    fn a_secret_goes_where_the_server_wants_it() {
        for (methods, expected) in [
            (&[][..], "basic"),
            (&["client_secret_post"], "post"),
            (&["client_secret_post", "client_secret_basic"], "basic"),
            (&["private_key_jwt"], "basic"),
        ] {
            let secret = Some(Secret::new("s".into()));
            let client = Client::registered("id".into(), secret, &issuer(methods));
            assert_eq!(form(&client.auth), expected, "{methods:?}");
        }
        assert_eq!(form(&Client::registered("id".into(), None, &issuer(&[])).auth), "none");
        let key = Some(Secret::new("-----BEGIN PRIVATE KEY-----\n…".into()));
        assert_eq!(form(&Client::registered("id".into(), key, &issuer(&[])).auth), "jwt");
    }

    #[test]
    fn what_a_registration_answers() {
        for (answer, expected) in [
            (r#"{"client_id":"a"}"#, "none"),
            (r#"{"client_id":"a","client_secret":""}"#, "none"),
            (r#"{"client_id":"a","client_secret":"s"}"#, "basic"),
            (
                r#"{"client_id":"a","client_secret":"s","token_endpoint_auth_method":"none"}"#,
                "none",
            ),
            (
                r#"{"client_id":"a","client_secret":"s","token_endpoint_auth_method":"client_secret_post"}"#,
                "post",
            ),
        ] {
            assert_eq!(form(&read(answer.as_bytes(), &issuer(&[])).unwrap().auth), expected);
        }
        for bad in ["", "[]", "{}", r#"{"client_id":""}"#] {
            assert!(read(bad.as_bytes(), &issuer(&[])).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_it_says_of_itself() {
        let web = Url::parse("https://gw.example/connect/callback").unwrap();
        let text = serde_json::to_value(Metadata::new(&web)).unwrap();
        assert_eq!(text["application_type"], "web");
        assert!(text.get("client_id").is_none());
        let native = Url::parse("http://127.0.0.1:8420/connect/callback").unwrap();
        let wishes = Metadata::new(&native).for_server(&issuer(&["client_secret_post"]));
        assert_eq!(wishes.application_type, "native");
        assert_eq!(wishes.token_endpoint_auth_method, "client_secret_post");
    }
}
