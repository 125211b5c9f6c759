//! The programs that ask for tokens, and the documents in which they describe themselves (RFC 7591, client ID metadata documents).

use std::fmt;

use mcp::{Json, Kind, Limits};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{RedirectFault, RedirectUri, Scopes};

/// What names a client.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientId(String);

/// The text names no client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a client_id is 1 to 1024 visible ASCII characters")]
pub struct ClientIdFault;

impl ClientId {
    /// Bytes of one.
    pub const LENGTH: usize = 1024;

    /// Checks and keeps.
    pub fn parse(text: &str) -> Result<ClientId, ClientIdFault> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.is_empty() || text.len() > Self::LENGTH || !visible {
            return Err(ClientIdFault);
        }
        Ok(ClientId(text.to_owned()))
    }

    /// The document's URL, when the id is one: `https`, with a path, without fragment, user and dot segments.
    pub fn document(&self) -> Option<Url> {
        let url = Url::parse(&self.0).ok().filter(|url| url.scheme() == "https")?;
        let plain = url.as_str() == self.0
            && url.path() != "/"
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        plain.then_some(url)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a client became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provenance {
    /// It stands in the configuration: the operator vouches for it.
    Configured,
    /// Its id is the URL of its document: the holder of that domain vouches for it.
    Document,
    /// It registered itself: nobody vouches for it.
    Registered,
}

/// How a client proves that it is the client, at the token endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientProof {
    /// It can't keep a secret: PKCE alone.
    None,
    /// A secret, known by its SHA-256.
    Secret([u8; 32]),
    /// A signed assertion; the JWK set of its public keys (`private_key_jwt`).
    Keys(String),
}

/// A client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// What names it.
    pub id: ClientId,
    /// How it became known.
    pub provenance: Provenance,
    /// What it calls itself.
    pub name: String,
    /// Its page, `https` only.
    pub uri: Option<String>,
    /// Where browsers may be sent back to.
    pub redirects: Vec<RedirectUri>,
    /// How it proves itself.
    pub proof: ClientProof,
    /// The scopes that it may have or said that it asks for; `None`: whatever is offered.
    pub scopes: Option<Scopes>,
    /// Whether it may act for itself, without a user (`client_credentials`).
    pub workload: bool,
}

impl Client {
    /// The only scopes that it may have, where the operator says so. What a client said of itself when it registered is where it
    /// begins, and no bound: a call that needs more could never be stepped up, and the client could register anew.
    pub fn bound(&self) -> Option<&Scopes> {
        self.scopes.as_ref().filter(|_| self.provenance == Provenance::Configured)
    }

    /// The redirect URI that a request names, if it is registered.
    pub fn redirect(&self, shown: &str) -> Option<RedirectUri> {
        let known = self.redirects.iter().any(|redirect| redirect.matches(shown));
        RedirectUri::parse(shown).ok().filter(|_| known)
    }

    /// Whether every way back leads to the user's own machine: then any program there can pose as this client.
    pub fn is_loopback_only(&self) -> bool {
        !self.redirects.is_empty() && self.redirects.iter().all(RedirectUri::is_loopback)
    }
}

/// Why a document that describes a client is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientFault {
    /// `token_endpoint_auth_method` is none that this server knows.
    #[error("token_endpoint_auth_method must be none or private_key_jwt")]
    AuthMethod,
    /// `grant_types` has none that this server knows.
    #[error("grant_types must name authorization_code")]
    Grants,
    /// `client_id` in the document is not the URL that it was read from.
    #[error("client_id is not the URL of this document")]
    Id,
    /// It is no JSON object, or breaks the bounds.
    #[error("not a JSON object within the bounds: {0}")]
    Json(String),
    /// `private_key_jwt` without usable keys.
    #[error(
        "private_key_jwt needs jwks with 1 to 8 public keys, or in a document jwks_uri on its own host"
    )]
    Keys,
    /// A member has the wrong type or length.
    #[error("{0} is not what it must be")]
    Member(&'static str),
    /// A redirect URI.
    #[error("{0}")]
    Redirect(RedirectFault),
    /// None, or too many.
    #[error("redirect_uris must name 1 to 16 URIs")]
    Redirects,
    /// `response_types` lacks `code`.
    #[error("response_types must be code")]
    Responses,
    /// `application_type` is `web`, and a redirect URI is not `https`.
    #[error("a web application's redirect URIs begin with https://")]
    Web,
}

/// How much a document may hold.
pub const DOCUMENT: Limits = Limits { bytes: 16 << 10, depth: 8, values: 512 };
/// Redirect URIs of one client.
const REDIRECTS: usize = 16;
/// Keys of one client.
const KEYS: usize = 8;
/// Bytes of a name.
const NAME: usize = 128;

/// Where a client's public keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Keys {
    None,
    /// `jwks`
    Here(String),
    /// `jwks_uri`
    At(String),
}

/// What a client says about itself: a registration request, or its metadata document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    name: Option<String>,
    uri: Option<String>,
    redirects: Vec<RedirectUri>,
    keys: Keys,
    asks_for_secret: bool,
    client_id: Option<String>,
    scopes: Option<Scopes>,
}

impl Description {
    /// Reads one, strictly and within bounds.
    pub fn parse(text: &[u8]) -> Result<Description, ClientFault> {
        let json =
            Json::read(text, &DOCUMENT).map_err(|fault| ClientFault::Json(fault.to_string()))?;
        if json.kind() != Kind::Object {
            return Err(ClientFault::Json("it is something else".to_owned()));
        }
        let redirects = redirects(json)?;
        let application = member(json, "application_type", 16)?;
        match application.as_deref() {
            Some("web") if redirects.iter().any(RedirectUri::is_loopback) => {
                return Err(ClientFault::Web);
            }
            None | Some("native" | "web") => {}
            Some(_) => return Err(ClientFault::Member("application_type")),
        }
        if !lists(json, "grant_types", "authorization_code")? {
            return Err(ClientFault::Grants);
        }
        if !lists(json, "response_types", "code")? {
            return Err(ClientFault::Responses);
        }
        let method = member(json, "token_endpoint_auth_method", 64)?;
        let keys = match method.as_deref() {
            Some("private_key_jwt") => match member(json, "jwks_uri", RedirectUri::LENGTH)? {
                Some(uri) if json.get("jwks").is_none() && is_page(&uri) => Keys::At(uri),
                _ => Keys::Here(keys(json.get("jwks").ok_or(ClientFault::Keys)?)?),
            },
            None | Some("none" | "client_secret_basic" | "client_secret_post") => Keys::None,
            Some(_) => return Err(ClientFault::AuthMethod),
        };
        let scope = member(json, "scope", Scopes::COUNT * Scopes::LENGTH)?;
        Ok(Description {
            name: member(json, "client_name", NAME)?.map(|name| shown(&name)),
            uri: member(json, "client_uri", RedirectUri::LENGTH)?.filter(|uri| is_page(uri)),
            redirects,
            keys,
            asks_for_secret: method
                .as_deref()
                .is_some_and(|method| method.starts_with("client_secret")),
            client_id: member(json, "client_id", ClientId::LENGTH)?,
            scopes: scope
                .map(|scope| Scopes::parse(&scope))
                .transpose()
                .map_err(|_| ClientFault::Member("scope"))?,
        })
    }

    /// Where the client's keys have to be read from first, when they are not in here.
    pub fn keys_uri(&self) -> Option<&str> {
        match &self.keys {
            Keys::At(uri) => Some(uri),
            Keys::Here(_) | Keys::None => None,
        }
    }

    /// With the keys that were read from there.
    pub fn with_keys(self, text: &[u8]) -> Result<Description, ClientFault> {
        let json =
            Json::read(text, &DOCUMENT).map_err(|fault| ClientFault::Json(fault.to_string()))?;
        Ok(Description { keys: Keys::Here(keys(json)?), ..self })
    }

    /// The client whose document this is, read from the URL that is its id.
    pub fn of_document(self, id: ClientId) -> Result<Client, ClientFault> {
        if self.client_id.as_deref() != Some(id.as_str()) {
            return Err(ClientFault::Id);
        }
        // Nobody could have told it a secret.
        if self.asks_for_secret {
            return Err(ClientFault::AuthMethod);
        }
        self.into_client(id, Provenance::Document)
    }

    /// The client that registers itself under a new id. One that asks for a secret gets none: it is told `none`, since a secret that
    /// anybody can ask for proves nothing.
    pub fn of_registration(self, id: ClientId) -> Result<Client, ClientFault> {
        self.into_client(id, Provenance::Registered)
    }

    fn into_client(self, id: ClientId, provenance: Provenance) -> Result<Client, ClientFault> {
        let proof = match self.keys {
            Keys::None => ClientProof::None,
            Keys::Here(keys) => ClientProof::Keys(keys),
            // Not looked at: what says that it proves itself must not become one that need not.
            Keys::At(_) => return Err(ClientFault::Keys),
        };
        let name = self.name.filter(|name| !name.is_empty());
        let name = name.unwrap_or_else(|| {
            id.document()
                .and_then(|url| Some(url.host_str()?.to_owned()))
                .unwrap_or_else(|| "A client without a name".to_owned())
        });
        Ok(Client {
            id,
            provenance,
            name,
            uri: self.uri,
            redirects: self.redirects,
            proof,
            scopes: self.scopes,
            workload: false,
        })
    }
}

/// A text member; `Err` when it is something else or too long.
fn member(json: Json<'_>, name: &'static str, limit: usize) -> Result<Option<String>, ClientFault> {
    let Some(value) = json.get(name).filter(|value| !value.is_null()) else { return Ok(None) };
    let text = value.string().filter(|text| text.len() <= limit);
    text.map(|text| Some(text.into_owned())).ok_or(ClientFault::Member(name))
}

fn redirects(json: Json<'_>) -> Result<Vec<RedirectUri>, ClientFault> {
    let list = json.get("redirect_uris").filter(|list| list.kind() == Kind::Array);
    let mut redirects = Vec::new();
    for item in list.ok_or(ClientFault::Redirects)?.items() {
        if redirects.len() == REDIRECTS {
            return Err(ClientFault::Redirects);
        }
        let text = item.string().ok_or(ClientFault::Redirects)?;
        redirects.push(RedirectUri::parse(&text).map_err(ClientFault::Redirect)?);
    }
    if redirects.is_empty() { Err(ClientFault::Redirects) } else { Ok(redirects) }
}

/// Whether a list is absent or has this item.
fn lists(json: Json<'_>, name: &'static str, item: &str) -> Result<bool, ClientFault> {
    let Some(list) = json.get(name).filter(|list| !list.is_null()) else { return Ok(true) };
    if list.kind() != Kind::Array {
        return Err(ClientFault::Member(name));
    }
    Ok(list.items().any(|held| held.string().as_deref() == Some(item)))
}

fn keys(set: Json<'_>) -> Result<String, ClientFault> {
    let text = set.text();
    let set: jsonwebtoken::jwk::JwkSet =
        serde_json::from_str(text).map_err(|_| ClientFault::Keys)?;
    if set.keys.is_empty() || set.keys.len() > KEYS {
        return Err(ClientFault::Keys);
    }
    Ok(text.to_owned())
}

/// A name that can be shown on a page: no control characters, none that turn the direction of writing.
fn shown(name: &str) -> String {
    let odd = |c: &char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    name.chars().filter(|c| !odd(c)).collect::<String>().trim().to_owned()
}

fn is_page(uri: &str) -> bool {
    Url::parse(uri).is_ok_and(|url| url.scheme() == "https" && url.username().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Description, ClientFault> {
        Description::parse(text.as_bytes())
    }

    #[test]
    fn a_registration_becomes_a_public_client() {
        let text = r#"{"client_name":"Inspector\u202e","redirect_uris":["http://localhost:6274/cb"],"token_endpoint_auth_method":"client_secret_post",
            "grant_types":["authorization_code","refresh_token"],"response_types":["code"],"application_type":"native","scope":"mcp","unknown":[1]}"#;
        let client = parsed(text).unwrap().of_registration(ClientId::parse("c1").unwrap());
        let client = client.unwrap();
        assert_eq!(client.name, "Inspector");
        assert_eq!(client.proof, ClientProof::None);
        assert!(client.is_loopback_only());
        assert!(client.redirect("http://localhost:9/cb").is_some());
        assert!(client.redirect("http://localhost:9/other").is_none());
    }

    #[test]
    fn a_document_names_its_own_url() {
        let id = ClientId::parse("https://app.example.com/client.json").unwrap();
        assert!(id.document().is_some());
        let text =
            format!(r#"{{"client_id":"{id}","redirect_uris":["https://app.example.com/cb"]}}"#);
        let client = parsed(&text).unwrap().of_document(id.clone()).unwrap();
        assert_eq!(
            (client.name.as_str(), client.provenance),
            ("app.example.com", Provenance::Document)
        );
        let other = text.replace("client.json", "other.json");
        assert_eq!(parsed(&other).unwrap().of_document(id.clone()), Err(ClientFault::Id));
        let secret = text.replace(
            "{\"client_id\"",
            "{\"token_endpoint_auth_method\":\"client_secret_basic\",\"client_id\"",
        );
        assert_eq!(parsed(&secret).unwrap().of_document(id), Err(ClientFault::AuthMethod));
        for bad in [
            "https://app.example.com/",
            "http://a.example/c",
            "https://a.example/c#f",
            "https://u@a.example/c",
            "https://a.example/../c",
            "urn:x",
            "c1",
        ] {
            assert!(ClientId::parse(bad).unwrap().document().is_none(), "{bad}");
        }
    }

    #[test]
    fn keys_elsewhere_are_read_before_there_is_a_client() {
        let text = r#"{"client_id":"https://a.example/c","redirect_uris":["https://a.example/b"],"token_endpoint_auth_method":"private_key_jwt","jwks_uri":"https://a.example/keys"}"#;
        let id = || ClientId::parse("https://a.example/c").unwrap();
        let described = parsed(text).unwrap();
        assert_eq!(described.keys_uri(), Some("https://a.example/keys"));
        assert_eq!(described.clone().of_document(id()), Err(ClientFault::Keys));
        assert_eq!(described.clone().of_registration(id()), Err(ClientFault::Keys));
        let keys = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
        let client = described.clone().with_keys(keys).unwrap().of_document(id()).unwrap();
        assert!(matches!(client.proof, ClientProof::Keys(_)));
        for bad in [&b"{}"[..], b"[]", br#"{"keys":[]}"#] {
            assert!(described.clone().with_keys(bad).is_err());
        }
        let plain = text.replace("https://a.example/keys", "http://a.example/keys");
        assert_eq!(parsed(&plain), Err(ClientFault::Keys));
    }

    #[test]
    fn what_breaks_the_rules_is_refused() {
        let redirect = |uri: &str| format!(r#"{{"redirect_uris":["{uri}"]}}"#);
        let many = vec!["\"https://a/b\""; 17].join(",");
        for (text, fault) in [
            ("[]".to_owned(), ClientFault::Json("it is something else".into())),
            ("{}".to_owned(), ClientFault::Redirects),
            (r#"{"redirect_uris":[]}"#.to_owned(), ClientFault::Redirects),
            (r#"{"redirect_uris":[1]}"#.to_owned(), ClientFault::Redirects),
            (format!(r#"{{"redirect_uris":[{many}]}}"#), ClientFault::Redirects),
            (redirect("javascript:alert(1)"), ClientFault::Redirect(RedirectFault::Scheme)),
            (r#"{"redirect_uris":["http://localhost/cb"],"application_type":"web"}"#.to_owned(), ClientFault::Web),
            (r#"{"redirect_uris":["https://a/b"],"application_type":"x"}"#.to_owned(), ClientFault::Member("application_type")),
            (r#"{"redirect_uris":["https://a/b"],"grant_types":["implicit"]}"#.to_owned(), ClientFault::Grants),
            (r#"{"redirect_uris":["https://a/b"],"response_types":["token"]}"#.to_owned(), ClientFault::Responses),
            (r#"{"redirect_uris":["https://a/b"],"token_endpoint_auth_method":"tls_client_auth"}"#.to_owned(), ClientFault::AuthMethod),
            (r#"{"redirect_uris":["https://a/b"],"token_endpoint_auth_method":"private_key_jwt"}"#.to_owned(), ClientFault::Keys),
            (format!(r#"{{"redirect_uris":["https://a/b"],"client_name":"{}"}}"#, "x".repeat(129)), ClientFault::Member("client_name")),
            (r#"{"redirect_uris":["https://a/b"],"client_name":{}}"#.to_owned(), ClientFault::Member("client_name")),
        ] {
            assert_eq!(parsed(&text), Err(fault), "{text}");
        }
        for text in [
            "",
            "nul",
            r#"{"redirect_uris":["https://a/b"],"redirect_uris":["https://evil/b"]}"#,
            &" ".repeat(17 << 10),
        ] {
            assert!(matches!(parsed(text), Err(ClientFault::Json(_))));
        }
    }
}
