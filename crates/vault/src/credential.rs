//! Credentials of a server: headers for requests, environment for child processes.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use zeroize::Zeroizing;

use crate::source::env_name;
use crate::{Reference, Secret, VaultFault};

/// Headers that Bartizan, the protocol or the connection writes: a credential in one of them
/// would change what is sent, not who sends it. All `mcp-` and `proxy-` ones come on top.
const FORBIDDEN: [&str; 19] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "last-event-id",
    "origin",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-for",
];

/// One header that is added to each request to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    header: HeaderName,
    value: Reference,
    scheme: Scheme,
}

/// What stands around the value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheme {
    /// Nothing.
    #[default]
    AsIs,
    /// It is `user:password` (RFC 7617).
    Basic,
    /// It is a token (RFC 6750).
    Bearer,
}

impl Scheme {
    fn dress(self, value: &Secret) -> Secret {
        match self {
            Scheme::AsIs => value.clone(),
            Scheme::Basic => {
                let pair = Zeroizing::new(BASE64_STANDARD.encode(value.expose()));
                Secret::new(format!("Basic {}", &*pair).into_boxed_str())
            }
            Scheme::Bearer => Secret::new(format!("Bearer {}", value.expose()).into_boxed_str()),
        }
    }
}

impl Credential {
    /// Refuses headers that Bartizan writes itself.
    pub fn new(header: &str, value: Reference) -> Result<Credential, VaultFault> {
        let name: HeaderName = header.parse().map_err(|_| VaultFault::HeaderName(header.into()))?;
        let reserved = ["mcp-", "proxy-"].iter().any(|prefix| name.as_str().starts_with(prefix));
        if reserved || FORBIDDEN.contains(&name.as_str()) {
            return Err(VaultFault::HeaderForbidden(name.to_string()));
        }
        Ok(Credential { header: name, value, scheme: Scheme::AsIs })
    }

    /// The same in this scheme.
    pub fn scheme(self, scheme: Scheme) -> Credential {
        Credential { scheme, ..self }
    }

    /// The header's name.
    pub fn header(&self) -> &HeaderName {
        &self.header
    }

    /// What it is filled with.
    pub fn value(&self) -> &Reference {
        &self.value
    }
}

fn header_value(name: &HeaderName, secret: Secret) -> Result<HeaderValue, VaultFault> {
    let secret = Bytes::from_owner(Zeroed(secret));
    let mut value =
        HeaderValue::from_maybe_shared(secret).map_err(|_| VaultFault::Value(name.to_string()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Lets a header value share the secret's own memory, which is zeroed when the last share goes.
struct Zeroed(Secret);

impl AsRef<[u8]> for Zeroed {
    fn as_ref(&self) -> &[u8] {
        self.0.expose().as_bytes()
    }
}

type Headers = Arc<[(HeaderName, HeaderValue)]>;

/// All credentials of one server.
#[derive(Debug)]
pub struct Credentials(Vec<Credential>);

impl Credentials {
    /// No header twice.
    pub fn new(list: Vec<Credential>) -> Result<Credentials, VaultFault> {
        let twice = |(at, one): (usize, &Credential)| {
            list[..at]
                .iter()
                .any(|other| other.header == one.header)
                .then(|| one.header.to_string())
        };
        match list.iter().enumerate().find_map(twice) {
            Some(header) => Err(VaultFault::Duplicate(header)),
            None => Ok(Credentials(list)),
        }
    }

    /// Whether the server needs none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What they are made from, in this order.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.0.iter().map(Credential::value)
    }

    /// Ready to be sent, from the values of [`Credentials::references`].
    pub fn assemble(&self, values: &[Secret]) -> Result<Fetched, VaultFault> {
        let header = |(credential, value): (&Credential, &Secret)| {
            let value = header_value(&credential.header, credential.scheme.dress(value))?;
            Ok((credential.header.clone(), value))
        };
        let headers: Vec<_> =
            self.0.iter().zip(values).map(header).collect::<Result<_, VaultFault>>()?;
        Ok(Fetched(Some(headers.into())))
    }
}

/// Credentials that were fetched: only this crate makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched(Option<Headers>);

impl Fetched {
    /// None: the server is asked without a credential.
    pub fn none() -> Fetched {
        Fetched(None)
    }

    /// Whether there is any.
    pub fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// A bearer token (RFC 6750 §2.1).
    pub(crate) fn bearer(token: &Secret) -> Result<Fetched, VaultFault> {
        let header = header_value(&http::header::AUTHORIZATION, Scheme::Bearer.dress(token))?;
        Ok(Fetched(Some(Arc::new([(http::header::AUTHORIZATION, header)]))))
    }

    /// The headers.
    pub fn headers(&self) -> impl Iterator<Item = &(HeaderName, HeaderValue)> {
        self.0.iter().flat_map(|list| list.iter())
    }

    /// Writes them, replacing what was there; the values are marked as sensitive.
    pub fn inject(&self, headers: &mut HeaderMap) {
        for (name, value) in self.headers() {
            headers.insert(name.clone(), value.clone());
        }
    }
}

/// What a child process gets as environment.
#[derive(Clone, Debug)]
pub struct Environment(Vec<(String, Reference)>);

impl Environment {
    /// No name twice.
    pub fn new(variables: Vec<(String, Reference)>) -> Result<Environment, VaultFault> {
        for (at, (name, _)) in variables.iter().enumerate() {
            env_name(name)?;
            if variables[..at].iter().any(|(other, _)| other == name) {
                return Err(VaultFault::Duplicate(name.clone()));
            }
        }
        Ok(Environment(variables))
    }

    /// The variables as configured.
    pub fn list(&self) -> &[(String, Reference)] {
        &self.0
    }

    /// The variables with these values, one for each of [`Environment::list`].
    pub fn fill(&self, values: Vec<Secret>) -> Result<Vec<(String, Secret)>, VaultFault> {
        let fit = |((name, _), secret): (&(String, Reference), Secret)| {
            if secret.expose().contains('\0') {
                Err(VaultFault::Value(name.clone()))
            } else {
                Ok((name.clone(), secret))
            }
        };
        self.0.iter().zip(values).map(fit).collect()
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    fn credential(header: &str, value: &str) -> Result<Credential, VaultFault> {
        Credential::new(header, Reference::parse(value).unwrap())
    }

    fn credentials(list: &[(&str, &str)]) -> Result<Credentials, VaultFault> {
        Credentials::new(
            list.iter().map(|(header, value)| credential(header, value).unwrap()).collect(),
        )
    }

    fn assembled(list: &[(&str, &str)]) -> Result<Fetched, VaultFault> {
        let credentials = credentials(list)?;
        let values: Vec<Secret> = credentials.references().map(|value| value.fill(&[])).collect();
        credentials.assemble(&values)
    }

    #[test]
    fn injected_values_replace_and_are_sensitive() {
        let fetched = assembled(&[("Authorization", "Bearer k"), ("X-Api-Key", "j")]).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_static("Bearer of-the-client"));
        fetched.inject(&mut headers);
        assert_eq!(headers.get_all("authorization").iter().collect::<Vec<_>>(), ["Bearer k"]);
        assert!(headers.values().all(HeaderValue::is_sensitive));
        assert_eq!(headers["x-api-key"], "j");
        let shown = format!("{fetched:?} {headers:?}");
        assert!(!shown.contains("Bearer k"), "{shown}");

        let mut none = HeaderMap::new();
        Fetched::none().inject(&mut none);
        assert!(none.is_empty());
    }

    #[test]
    fn a_scheme_stands_around_the_value() {
        let sent = |scheme, text: &str| {
            let credential = credential("authorization", "x").unwrap().scheme(scheme);
            let credentials = Credentials::new(vec![credential]).unwrap();
            let mut headers = HeaderMap::new();
            credentials.assemble(&[Secret::new(text.into())]).unwrap().inject(&mut headers);
            headers["authorization"].to_str().unwrap().to_owned()
        };
        // The example of RFC 7617 §2.
        let basic = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
        assert_eq!(sent(Scheme::Basic, "Aladdin:open sesame"), basic);
        assert_eq!(sent(Scheme::Bearer, "t"), "Bearer t");
        assert_eq!(sent(Scheme::AsIs, "Token t"), "Token t");
    }

    #[test]
    fn headers_that_are_no_credentials() {
        for header in [
            "Host",
            "content-length",
            "Connection",
            "Mcp-Session-Id",
            "mcp-anything",
            "Proxy-Authorization",
        ] {
            assert!(
                matches!(credential(header, "x"), Err(VaultFault::HeaderForbidden(_))),
                "{header}"
            );
        }
        assert!(matches!(credential("a b", "x"), Err(VaultFault::HeaderName(_))));
        let twice = credentials(&[("x-key", "a"), ("X-Key", "b")]);
        assert!(matches!(twice, Err(VaultFault::Duplicate(name)) if name == "x-key"));
    }

    #[test]
    fn a_value_that_a_header_can_not_carry_is_a_fault_without_the_value() {
        let fault = assembled(&[("x-key", "hush\nHost: evil")]).unwrap_err();
        assert_eq!(fault.to_string(), "the value for `x-key` holds characters that can't be sent");
    }

    #[test]
    fn environment_of_children() {
        let reference = |text| Reference::parse(text).unwrap();
        let environment =
            Environment::new(vec![("A".into(), reference("x")), ("B".into(), reference("y"))])
                .unwrap();
        let secret = |text: &str| Secret::new(text.into());
        let resolved = environment.fill(vec![secret("x"), secret("y")]).unwrap();
        assert_eq!(resolved.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["A", "B"]);
        assert_eq!(resolved[1].1.expose(), "y");
        assert!(matches!(
            Environment::new(vec![("A=B".into(), reference("x"))]),
            Err(VaultFault::EnvName(_))
        ));
        let twice = vec![("A".into(), reference("x")), ("A".into(), reference("y"))];
        assert!(matches!(Environment::new(twice), Err(VaultFault::Duplicate(_))));
        let nul = environment.fill(vec![secret("x"), secret("x\0y")]);
        assert!(matches!(nul, Err(VaultFault::Value(name)) if name == "B"));
    }
}
