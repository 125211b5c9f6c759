//! What identity providers are called by.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::ValueFault;

/// The name of an identity provider: a part of its callers' ids.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = "^[a-z][a-z0-9-]{0,31}$"))]
pub struct ProviderKey(pub identity::ProviderName);

impl TryFrom<String> for ProviderKey {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        identity::ProviderName::new(&text).map(ProviderKey).ok_or_else(|| {
            ValueFault::new(
                format!("`{text}` can't be a provider's name"),
                "a name is 1 to 32 of a-z, 0-9 and '-', a letter first, such as `entra`",
            )
        })
    }
}

impl From<ProviderKey> for String {
    fn from(key: ProviderKey) -> String {
        key.0.as_str().to_owned()
    }
}

/// An id as Entra writes it, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"))]
pub struct Guid(String);

impl Guid {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Guid {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        if identity::is_guid(&text) {
            return Ok(Guid(text.to_ascii_lowercase()));
        }
        let mend = match text.as_str() {
            "common" | "organizations" | "consumers" | "*" => {
                "name each tenant by its id: tokens of all tenants are never accepted"
            }
            _ => "write the id as Entra shows it, such as \"11111111-2222-3333-4444-555555555555\"",
        };
        Err(ValueFault::new(format!("`{text}` is not an id"), mend))
    }
}

impl From<Guid> for String {
    fn from(guid: Guid) -> String {
        guid.0
    }
}

/// A URL of the web, kept exactly as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("format" = "uri", "pattern" = "^https?://"))]
pub struct WebUrl {
    text: String,
    url: Url,
}

impl WebUrl {
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its host, without brackets.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Whether it is not encrypted.
    pub fn is_plain(&self) -> bool {
        self.url.scheme() == "http"
    }

    /// Whether it is an origin: without a path, a query or a final `/`.
    pub fn is_origin(&self) -> bool {
        self.url.path() == "/" && self.url.query().is_none() && !self.text.ends_with('/')
    }
}

impl TryFrom<String> for WebUrl {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        let plain = |url: &Url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
                && url.fragment().is_none()
        };
        match Url::parse(&text) {
            Ok(url) if plain(&url) => Ok(WebUrl { text, url }),
            _ => Err(ValueFault::new(
                format!("`{text}` is not a URL of the web"),
                "write a whole URL without a user's name or a fragment, such as \"https://id.example.com\"",
            )),
        }
    }
}

impl From<WebUrl> for String {
    fn from(url: WebUrl) -> String {
        url.text
    }
}

/// A signature algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = "^(EdDSA|ES256|ES384|PS256|PS384|PS512|RS256|RS384|RS512)$"))]
pub struct AlgorithmText(pub identity::Algorithm);

impl TryFrom<String> for AlgorithmText {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        identity::Algorithm::named(&text).map(AlgorithmText).ok_or_else(|| {
            let all = identity::Algorithm::ALL.map(identity::Algorithm::name).join(", ");
            ValueFault::new(
                format!("`{text}` is not an algorithm that is accepted"),
                format!("the algorithms are {all}"),
            )
        })
    }
}

impl From<AlgorithmText> for String {
    fn from(algorithm: AlgorithmText) -> String {
        algorithm.0.name().to_owned()
    }
}

/// The name of a SPIFFE trust domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[a-z0-9._-]+$"))]
pub struct TrustDomain(String);

impl TrustDomain {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TrustDomain {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        if identity::provider::is_trust_domain(&text) {
            return Ok(TrustDomain(text));
        }
        let mend = match text.strip_prefix("spiffe://") {
            Some(rest) => format!("write \"{}\"", rest.split('/').next().unwrap_or_default()),
            None => "write a name such as \"prod.example.org\"".to_owned(),
        };
        Err(ValueFault::new(format!("`{text}` is not a trust domain"), mend))
    }
}

impl From<TrustDomain> for String {
    fn from(domain: TrustDomain) -> String {
        domain.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_kept_as_they_are_written() {
        let url = WebUrl::try_from("https://id.example.com".to_owned()).unwrap();
        assert_eq!(
            (url.as_str(), url.host(), url.is_origin()),
            ("https://id.example.com", "id.example.com", true)
        );
        for text in ["https://id.example.com/", "https://id.example.com/realms/a"] {
            let url = WebUrl::try_from(text.to_owned()).unwrap();
            assert_eq!((url.as_str(), url.is_origin()), (text, false));
        }
        for text in
            ["id.example.com", "file:///x", "https://a:b@c", "https://c#d", "javascript:x", ""]
        {
            assert!(WebUrl::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn no_word_stands_for_every_tenant() {
        for text in [
            "common",
            "organizations",
            "*",
            "",
            "{tenantid}",
            "11111111-2222-3333-4444-55555555555",
        ] {
            assert!(Guid::try_from(text.to_owned()).is_err(), "{text}");
        }
        let upper = "AAAAAAAA-2222-3333-4444-555555555555";
        assert_eq!(Guid::try_from(upper.to_owned()).unwrap().as_str(), upper.to_ascii_lowercase());
    }

    #[test]
    fn shared_secrets_are_no_algorithm() {
        for text in ["HS256", "none", "rs256", "RS1"] {
            assert!(AlgorithmText::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
