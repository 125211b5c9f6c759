//! Credentials of a server: headers for requests, environment for child processes.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::reference::env_name;
use crate::{Reference, Secret, VaultFault};

/// How long what was read is used.
const FRESH: Duration = Duration::from_secs(60);

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
}

impl Credential {
    /// Refuses headers that Bartizan writes itself.
    pub fn new(header: &str, value: Reference) -> Result<Credential, VaultFault> {
        let name: HeaderName = header.parse().map_err(|_| VaultFault::HeaderName(header.into()))?;
        let reserved = ["mcp-", "proxy-"].iter().any(|prefix| name.as_str().starts_with(prefix));
        if reserved || FORBIDDEN.contains(&name.as_str()) {
            return Err(VaultFault::HeaderForbidden(name.to_string()));
        }
        Ok(Credential { header: name, value })
    }

    /// The header's name.
    pub fn header(&self) -> &HeaderName {
        &self.header
    }

    /// What it is filled with.
    pub fn value(&self) -> &Reference {
        &self.value
    }

    fn resolve(&self) -> Result<(HeaderName, HeaderValue), VaultFault> {
        let value = header_value(&self.header, self.value.resolve()?)?;
        Ok((self.header.clone(), value))
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

/// All credentials of one server, read again at most once a minute.
#[derive(Debug)]
pub struct Credentials {
    list: Vec<Credential>,
    read: RwLock<Option<(Instant, Headers)>>,
}

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
            None => Ok(Credentials { list, read: RwLock::new(None) }),
        }
    }

    /// A server that needs none.
    pub fn none() -> Credentials {
        Credentials { list: Vec::new(), read: RwLock::new(None) }
    }

    /// The credentials as configured.
    pub fn list(&self) -> &[Credential] {
        &self.list
    }

    /// What to send now. The environment and files are read when what is at hand is older
    /// than a minute; a reading that fails is a fault, the old value is not used on. That
    /// reading blocks the thread for as long as a small local file takes.
    pub fn fetch(&self) -> Result<Fetched, VaultFault> {
        if self.list.is_empty() {
            return Ok(Fetched(None));
        }
        self.fetch_at(Instant::now()).map(Some).map(Fetched)
    }

    /// Forgets what was read, as after the server refused it.
    pub fn forget(&self) {
        *self.read.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn fetch_at(&self, now: Instant) -> Result<Headers, VaultFault> {
        if let Some((at, headers)) = &*self.read.read().unwrap_or_else(PoisonError::into_inner)
            && now.saturating_duration_since(*at) < FRESH
        {
            return Ok(headers.clone());
        }
        let headers: Headers =
            self.list.iter().map(Credential::resolve).collect::<Result<Vec<_>, _>>()?.into();
        *self.read.write().unwrap_or_else(PoisonError::into_inner) = Some((now, headers.clone()));
        Ok(headers)
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

    /// A bearer token (RFC 6750 §2.1).
    pub(crate) fn bearer(token: &Secret) -> Result<Fetched, VaultFault> {
        let text = Secret::new(format!("Bearer {}", token.expose()).into_boxed_str());
        let header = header_value(&http::header::AUTHORIZATION, text)?;
        Ok(Fetched(Some(Arc::new([(http::header::AUTHORIZATION, header)]))))
    }

    /// Writes them, replacing what was there; the values are marked as sensitive.
    pub fn inject(&self, headers: &mut HeaderMap) {
        for (name, value) in self.0.iter().flat_map(|list| list.iter()) {
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

    /// The values, in their order.
    pub fn resolve(&self) -> Result<Vec<(String, Secret)>, VaultFault> {
        let value = |(name, reference): &(String, Reference)| {
            let secret = reference.resolve()?;
            if secret.expose().contains('\0') {
                Err(VaultFault::Value(name.clone()))
            } else {
                Ok((name.clone(), secret))
            }
        };
        self.0.iter().map(value).collect()
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

    /// A key file that only its owner can read.
    fn key(path: &std::path::Path, content: &str) -> String {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(path, content).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
        format!("Bearer ${{file:{}}}", path.display())
    }

    #[test]
    fn injected_values_replace_and_are_sensitive() {
        let fetched = credentials(&[("Authorization", "Bearer k"), ("X-Api-Key", "j")])
            .unwrap()
            .fetch()
            .unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_static("Bearer of-the-client"));
        fetched.inject(&mut headers);
        assert_eq!(headers.get_all("authorization").iter().collect::<Vec<_>>(), ["Bearer k"]);
        assert!(headers.values().all(HeaderValue::is_sensitive));
        assert_eq!(headers["x-api-key"], "j");
        let shown = format!("{fetched:?} {headers:?}");
        assert!(!shown.contains("Bearer k"), "{shown}");

        let mut none = HeaderMap::new();
        Credentials::none().fetch().unwrap().inject(&mut none);
        assert!(none.is_empty());
    }

    #[test]
    fn what_was_read_is_used_for_a_minute_and_not_past_a_failure() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let reference = key(&path, "one");
        let credentials = credentials(&[("authorization", &reference)]).unwrap();
        let begin = Instant::now();
        let value = |after| {
            credentials
                .fetch_at(begin + Duration::from_secs(after))
                .map(|headers| headers[0].1.clone())
        };
        assert_eq!(value(0).unwrap(), "Bearer one");
        key(&path, "two");
        assert_eq!(value(59).unwrap(), "Bearer one");
        assert_eq!(value(60).unwrap(), "Bearer two");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(value(119).unwrap(), "Bearer two");
        assert!(matches!(value(120), Err(VaultFault::File { .. })));
        key(&path, "three");
        credentials.forget();
        assert_eq!(value(60).unwrap(), "Bearer three");
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
        let fault = credentials(&[("x-key", "hush\nHost: evil")]).unwrap().fetch().unwrap_err();
        assert_eq!(fault.to_string(), "the value for `x-key` holds characters that can't be sent");
    }

    #[test]
    fn environment_of_children() {
        let reference = |text| Reference::parse(text).unwrap();
        let environment =
            Environment::new(vec![("A".into(), reference("x")), ("B".into(), reference("y"))])
                .unwrap();
        let resolved = environment.resolve().unwrap();
        assert_eq!(resolved.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["A", "B"]);
        assert_eq!(resolved[1].1.expose(), "y");
        assert!(matches!(
            Environment::new(vec![("A=B".into(), reference("x"))]),
            Err(VaultFault::EnvName(_))
        ));
        let twice = vec![("A".into(), reference("x")), ("A".into(), reference("y"))];
        assert!(matches!(Environment::new(twice), Err(VaultFault::Duplicate(_))));
        let nul = Environment::new(vec![("A".into(), reference("x\0y"))]).unwrap();
        assert!(matches!(nul.resolve(), Err(VaultFault::Value(_))));
    }
}
