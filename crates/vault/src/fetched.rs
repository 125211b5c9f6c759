//! Credentials that were fetched, on their way into a request.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header, request::Parts, uri::PathAndQuery};
use percent_encoding::percent_decode_str;

use crate::aws::{self, Keys};
use crate::certificate::ClientIdentity;
use crate::credential::{Scheme, header_value};
use crate::{Secret, VaultFault};

/// Credentials that were fetched: only this crate makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched(Option<Arc<Ready>>);

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Ready {
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub query: Vec<(Box<str>, Secret)>,
    pub aws: Option<Keys>,
    pub certificate: Option<Arc<ClientIdentity>>,
}

impl Fetched {
    /// None: the server is asked without a credential.
    pub fn none() -> Fetched {
        Fetched(None)
    }

    pub(crate) fn ready(ready: Ready) -> Fetched {
        Fetched(Some(Arc::new(ready)))
    }

    /// Whether there is any.
    pub fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// A bearer token (RFC 6750 §2.1).
    pub(crate) fn bearer(token: &Secret) -> Result<Fetched, VaultFault> {
        let header = header_value(&header::AUTHORIZATION, Scheme::Bearer.dress(token))?;
        let headers = vec![(header::AUTHORIZATION, header)];
        Ok(Fetched::ready(Ready { headers, ..Ready::default() }))
    }

    /// The headers.
    pub fn headers(&self) -> impl Iterator<Item = &(HeaderName, HeaderValue)> {
        self.0.iter().flat_map(|ready| &ready.headers)
    }

    /// Everything else that is sent or signed with, and must not come back.
    pub fn others(&self) -> impl Iterator<Item = &Secret> {
        self.0.iter().flat_map(|ready| {
            let query = ready.query.iter().map(|(_, value)| value);
            query.chain(ready.aws.iter().flat_map(Keys::secrets))
        })
    }

    /// Writes the headers, replacing what was there; the values are marked as sensitive.
    pub fn inject(&self, headers: &mut HeaderMap) {
        for (name, value) in self.headers() {
            headers.insert(name.clone(), value.clone());
        }
    }

    /// Whether a request has to go through [`Fetched::finish`].
    pub fn finishes(&self) -> bool {
        self.0.as_ref().is_some_and(|ready| !ready.query.is_empty() || ready.aws.is_some())
    }

    /// Adds the query parameters, in place of those of the same name, and signs what is going to be sent. `now`: in
    /// seconds since 1970.
    pub fn finish(&self, head: &mut Parts, body: &[u8], now: u64) -> Result<(), VaultFault> {
        let Some(ready) = &self.0 else { return Ok(()) };
        if !ready.query.is_empty() {
            head.uri = with_query(&head.uri, &ready.query)?;
        }
        match &ready.aws {
            Some(keys) => keys.sign(head, body, now),
            None => Ok(()),
        }
    }

    /// What is shown when the connection is made.
    pub fn certificate(&self) -> Option<&Arc<ClientIdentity>> {
        self.0.as_ref()?.certificate.as_ref()
    }
}

fn with_query(uri: &Uri, ours: &[(Box<str>, Secret)]) -> Result<Uri, VaultFault> {
    // Whatever a server would take for one of ours is left out.
    let is_ours = |pair: &str| {
        let name = pair.split('=').next().unwrap_or_default().replace('+', " ");
        let name = percent_decode_str(&name).decode_utf8_lossy();
        ours.iter().any(|(own, _)| own.eq_ignore_ascii_case(&name))
    };
    let theirs = uri.query().unwrap_or_default().split('&');
    let mut pairs: Vec<String> =
        theirs.filter(|pair| !pair.is_empty() && !is_ours(pair)).map(str::to_owned).collect();
    for (name, value) in ours {
        pairs.push(format!("{}={}", aws::encoded(name), aws::encoded(value.expose())));
    }
    let unfit = || VaultFault::Value("the query".to_owned());
    let path: PathAndQuery =
        format!("{}?{}", uri.path(), pairs.join("&")).parse().map_err(|_| unfit())?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).map_err(|_| unfit())
}
