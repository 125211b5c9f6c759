//! Credentials of a server: what is added to each request to it.

use std::fmt;
use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use zeroize::Zeroizing;

use crate::aws::{Aws, Keys};
use crate::certificate::ClientCertificate;
use crate::fetched::{Fetched, Ready};
use crate::{Reference, Secret, VaultFault};

/// Headers that Bartizan, the protocol or the connection writes: a credential in one of them
/// would change what is sent, not who sends it. All `mcp-` and `proxy-` ones come on top.
const FORBIDDEN: [&str; 20] = [
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
    "user-agent",
    "via",
    "x-forwarded-for",
];

/// The longest name of a query parameter.
const NAME: usize = 128;

/// One header or query parameter that is added to each request to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    place: Place,
    value: Reference,
    scheme: Scheme,
}

/// Where in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Header(HeaderName),
    Query(Box<str>),
}

impl Place {
    /// Whether a request has room for one of them only.
    fn is_as(&self, other: &Place) -> bool {
        match (self, other) {
            (Place::Query(one), Place::Query(other)) => one.eq_ignore_ascii_case(other),
            _ => self == other,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Header(name) => f.write_str(name.as_str()),
            Place::Query(name) => write!(f, "?{name}"),
        }
    }
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
    pub(crate) fn dress(self, value: &Secret) -> Secret {
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
        Ok(Credential { place: Place::Header(name), value, scheme: Scheme::AsIs })
    }

    /// A parameter of the query: 1 to 128 printable ASCII characters.
    pub fn query(name: &str, value: Reference) -> Result<Credential, VaultFault> {
        if !(1..=NAME).contains(&name.len()) || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(VaultFault::QueryName(name.into()));
        }
        Ok(Credential { place: Place::Query(name.into()), value, scheme: Scheme::AsIs })
    }

    /// The same in this scheme.
    pub fn scheme(self, scheme: Scheme) -> Credential {
        Credential { scheme, ..self }
    }
}

pub(crate) fn header_value(name: &HeaderName, secret: Secret) -> Result<HeaderValue, VaultFault> {
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

/// All credentials of one server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Credentials {
    list: Vec<Credential>,
    aws: Option<Aws>,
    certificate: Option<ClientCertificate>,
}

impl Credentials {
    /// No header and no parameter twice.
    pub fn new(list: Vec<Credential>) -> Result<Credentials, VaultFault> {
        let twice = |(at, one): (usize, &Credential)| {
            let is_there = list[..at].iter().any(|other| other.place.is_as(&one.place));
            is_there.then(|| one.place.to_string())
        };
        match list.iter().enumerate().find_map(twice) {
            Some(place) => Err(VaultFault::Duplicate(place)),
            None => Ok(Credentials { list, aws: None, certificate: None }),
        }
    }

    /// And a signature, for which `Authorization` and the `x-amz-` headers have to be free.
    pub fn signed(self, aws: Aws) -> Result<Credentials, VaultFault> {
        let taken = |one: &Credential| match &one.place {
            Place::Header(name) => {
                name == header::AUTHORIZATION || name.as_str().starts_with("x-amz-")
            }
            Place::Query(name) => name.to_ascii_lowercase().starts_with("x-amz-"),
        };
        match self.list.iter().find(|one| taken(one)) {
            Some(one) => Err(VaultFault::Duplicate(one.place.to_string())),
            None => Ok(Credentials { aws: Some(aws), ..self }),
        }
    }

    /// And a certificate, shown when the connection is made.
    pub fn certified(self, certificate: ClientCertificate) -> Credentials {
        Credentials { certificate: Some(certificate), ..self }
    }

    /// Whether the server needs none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty() && self.aws.is_none() && self.certificate.is_none()
    }

    /// What they are made from, in this order.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        let aws = self.aws.iter().flat_map(Aws::references);
        let certificate = self.certificate.iter().flat_map(ClientCertificate::references);
        self.list.iter().map(|one| &one.value).chain(aws).chain(certificate)
    }

    /// What records call them. A reference's own form hides what stands in the configuration itself.
    pub fn names(&self) -> String {
        let list = self.list.iter().map(|one| format!("{} {:?}", one.place, one.value));
        let aws = self.aws.iter().map(Aws::name);
        let certificate = self.certificate.iter().map(ClientCertificate::name);
        list.chain(aws).chain(certificate).collect::<Vec<_>>().join(", ")
    }

    /// Ready to be sent, from the values of [`Credentials::references`].
    pub fn assemble(&self, values: &[Secret]) -> Result<Fetched, VaultFault> {
        let (own, rest) = values.split_at(self.list.len().min(values.len()));
        let (aws, certificate) = rest.split_at(self.aws.iter().flat_map(Aws::references).count());
        let mut ready = Ready::default();
        for (credential, value) in self.list.iter().zip(own) {
            let value = credential.scheme.dress(value);
            match &credential.place {
                Place::Header(name) => {
                    ready.headers.push((name.clone(), header_value(name, value)?));
                }
                Place::Query(name) => ready.query.push((name.clone(), value)),
            }
        }
        ready.aws = self.aws.as_ref().map(|made| Keys::new(made, aws)).transpose()?;
        let certificate = self.certificate.as_ref().map(|made| made.identity(certificate));
        ready.certificate = certificate.transpose()?.map(Arc::new);
        Ok(Fetched::ready(ready))
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use http::HeaderMap;

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

    /// What becomes of a request to this address.
    fn finished(credentials: &Credentials, address: &str) -> http::request::Parts {
        let values: Vec<Secret> = credentials.references().map(|value| value.fill(&[])).collect();
        let fetched = credentials.assemble(&values).unwrap();
        let (mut head, ()) = http::Request::post(address).body(()).unwrap().into_parts();
        assert!(fetched.finishes());
        fetched.finish(&mut head, b"{}", 1_440_938_160).unwrap();
        head
    }

    #[test]
    fn parameters_of_the_query_replace_those_of_their_name() {
        let query =
            |name: &str, value: &str| Credential::query(name, Reference::parse(value).unwrap());
        let credentials = Credentials::new(vec![query("api_key", "a b&c").unwrap()]).unwrap();
        for (address, expected) in [
            ("https://x.example/mcp", "https://x.example/mcp?api_key=a%20b%26c"),
            ("https://x.example/mcp?", "https://x.example/mcp?api_key=a%20b%26c"),
            (
                "https://x.example/mcp?api_key=z&a=1&API_KEY=z&api%5Fkey=z&api_key&b",
                "https://x.example/mcp?a=1&b&api_key=a%20b%26c",
            ),
        ] {
            assert_eq!(finished(&credentials, address).uri, expected);
        }
        for name in ["", "a b", "ä", &"x".repeat(129)] {
            assert!(matches!(query(name, "x"), Err(VaultFault::QueryName(_))), "{name}");
        }
        let twice = vec![query("key", "a").unwrap(), query("Key", "b").unwrap()];
        assert!(
            matches!(Credentials::new(twice), Err(VaultFault::Duplicate(name)) if name == "?Key")
        );
    }

    #[test]
    fn a_signature_covers_the_query_and_takes_no_second_credential() {
        let reference = |text| Reference::parse(text).unwrap();
        let aws = Aws {
            access_key: reference("AKIDEXAMPLE"),
            secret_key: reference("hush"),
            session_token: None,
            region: "eu-west-1".into(),
            service: "execute-api".into(),
        };
        let signed = Credentials::default().signed(aws.clone()).unwrap();
        let sent = |address| finished(&signed, address).headers["authorization"].clone();
        assert_ne!(sent("https://x.example/mcp?a=1"), sent("https://x.example/mcp?a=2"));
        assert_eq!(signed.names(), "aws eu-west-1/execute-api [text]");
        for header in ["authorization", "x-amz-date"] {
            let list = vec![credential(header, "x").unwrap()];
            let both = Credentials::new(list).unwrap().signed(aws.clone());
            assert!(matches!(both, Err(VaultFault::Duplicate(name)) if name == header));
        }
        let values = ["AKID", "with space"].map(|text| Secret::new(text.into()));
        assert!(matches!(signed.assemble(&values), Err(VaultFault::Aws)));
    }

    #[test]
    fn a_client_certificate_is_one() {
        let reference = |text| Reference::parse(text).unwrap();
        let certificate = ClientCertificate {
            cert: reference("${env:C}"),
            key: reference("${secret:k}"),
            ca: None,
        };
        let credentials = Credentials::default().certified(certificate);
        assert_eq!(credentials.names(), "client certificate ${env:C} ${secret:k}");
        let with = |cert: &str, key: &str| {
            credentials.assemble(&[cert, key].map(|text| Secret::new(text.into())))
        };
        let (cert, key) = ("-----BEGIN CERTIFICATE-----\nx", "-----BEGIN PRIVATE KEY-----\ny");
        let fetched = with(cert, key).unwrap();
        assert_eq!(fetched.certificate().unwrap().key().expose(), key);
        assert!(!fetched.finishes() && !format!("{fetched:?}").contains("PRIVATE"));
        assert_eq!(fetched, with(cert, key).unwrap());
        assert_ne!(fetched, with(cert, "-----BEGIN PRIVATE KEY-----\nz").unwrap());
        assert!(matches!(with(key, cert), Err(VaultFault::Certificate)));
    }
}
