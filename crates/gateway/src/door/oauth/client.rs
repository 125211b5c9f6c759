//! Who a `client_id` is: a client of the configuration, one whose document is read from the web, or one that registered itself.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::Full;
use identity::broker::{Client, ClientId, Code, DOCUMENT, Description, OAuthError};
use upstream::Fetch;
use url::{Host, Url};

use super::{Asked, Counted, unavailable};

/// Client ID metadata documents that were read, good and bad, for a while.
#[derive(Default)]
pub struct Documents(Mutex<HashMap<String, Kept>>);

struct Kept {
    client: Result<Client, String>,
    until: u64,
}

/// Documents that are kept.
const KEPT: usize = 1024;
/// A document is asked for again after at least and at most so many seconds, whatever its server says.
const FRESH: std::ops::RangeInclusive<u64> = 60..=24 * 60 * 60;
/// Where its server says nothing.
const USUAL: u64 = 60 * 60;
/// What failed is not tried again for so many seconds.
const FAILED: u64 = 30;
/// Documents that are fetched in a minute.
const MINUTELY: u32 = 60;

impl Documents {
    fn find(&self, url: &str, now: u64) -> Option<Result<Client, String>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(url).filter(|kept| now < kept.until).map(|kept| kept.client.clone())
    }

    fn keep(&self, url: &str, client: Result<Client, String>, until: u64, now: u64) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.retain(|_, kept| now < kept.until);
        }
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(url.to_owned(), Kept { client, until });
    }
}

impl Asked<'_> {
    /// The client that a request names.
    pub(super) async fn client(&self, shown: Option<&str>) -> Result<Client, OAuthError> {
        let client = self.known_client(shown).await?;
        let _ = self.named.set(client.id.clone());
        Ok(client)
    }

    async fn known_client(&self, shown: Option<&str>) -> Result<Client, OAuthError> {
        let unknown = |text: &str| OAuthError::new(Code::InvalidClient, text);
        let shown = shown.ok_or_else(|| unknown("client_id is missing"))?;
        let id = ClientId::parse(shown).map_err(|fault| unknown(&fault.to_string()))?;
        if let Some(client) = self.broker.config.clients.iter().find(|client| client.id == id) {
            return Ok(client.clone());
        }
        if let Some(url) = id.document() {
            return self.document(id, &url).await.map_err(|text| unknown(&text));
        }
        let found = self.gateway.store.oauth_client(id.as_str()).await.map_err(unavailable)?;
        let found = found.filter(|_| self.broker.config.registration.is_some());
        let found = found.ok_or_else(|| {
            unknown("the client is not known here; it may have to register again")
        })?;
        serde_json::from_str(&found.document).map_err(unavailable)
    }

    /// The client whose document is at `url`.
    async fn document(&self, id: ClientId, url: &Url) -> Result<Client, String> {
        let host = match url.host() {
            Some(Host::Domain(host)) => host.to_ascii_lowercase(),
            // Addresses are for machines, and most of them for private ones.
            _ => return Err("a client_id with an address for a host is not accepted".to_owned()),
        };
        if !self.broker.config.documents.trusts(&host) {
            return Err("clients of this domain are not accepted here".to_owned());
        }
        let now = crate::now();
        if let Some(kept) = self.broker.documents.find(id.as_str(), now) {
            return kept;
        }
        if !self.broker.count(Counted::Documents, MINUTELY, 60, now) {
            return Err("too many new clients at once; try again in a minute".to_owned());
        }
        let fetched = self.fetch_document(&id, url, &host).await;
        let (client, fresh) = match fetched {
            Ok((client, fresh)) => (Ok(client), fresh),
            Err(text) => (Err(text), FAILED),
        };
        self.broker.documents.keep(id.as_str(), client.clone(), now.saturating_add(fresh), now);
        client
    }

    async fn fetch_document(
        &self,
        id: &ClientId,
        url: &Url,
        host: &str,
    ) -> Result<(Client, u64), String> {
        let allow_private = self.broker.config.documents_private;
        // The guard lets `localhost` pass, as for a server that the operator wrote; here it is a stranger's text.
        if !allow_private && (host == "localhost" || host.ends_with(".localhost")) {
            return Err("the client's document can't be fetched from there".to_owned());
        }
        let (fresh, text) = self.fetch_json(id, url, "the client's document").await?;
        let mut description = Description::parse(&text).map_err(|fault| fault.to_string())?;
        if let Some(uri) = description.keys_uri() {
            // Whoever may write the document may write the keys: nobody else's host has a say.
            let uri = Url::parse(uri).ok().filter(|uri| uri.origin() == url.origin());
            let uri = uri.ok_or("the client's jwks_uri is on another host than its document")?;
            let (_, keys) = self.fetch_json(id, &uri, "the client's jwks_uri").await?;
            description = description.with_keys(&keys).map_err(|fault| fault.to_string())?;
        }
        let client = description.of_document(id.clone()).map_err(|fault| fault.to_string())?;
        Ok((client, fresh))
    }

    /// What is at a URL of a client's, and for how long it may be kept. `what` is what the client is told of.
    async fn fetch_json(
        &self,
        id: &ClientId,
        url: &Url,
        what: &str,
    ) -> Result<(u64, Bytes), String> {
        let allow_private = self.broker.config.documents_private;
        let rules =
            Fetch { bytes: DOCUMENT.bytes, deadline: Duration::from_secs(5), allow_private };
        let request = Request::get(url.as_str())
            .header(header::ACCEPT, "application/json")
            .body(Full::new(Bytes::new()))
            .map_err(|_| format!("{what} has no URL"))?;
        let response = self.gateway.client.fetch(request, rules).await.map_err(|fault| {
            // Which address it led to, and what listens there, is not the client's to know.
            tracing::info!(client = id.as_str(), %fault, "a client's document could not be fetched");
            format!("{what} can't be fetched")
        })?;
        if response.status() != StatusCode::OK {
            return Err(format!("{what} is answered with {}", response.status().as_u16()));
        }
        let media =
            response.headers().get(header::CONTENT_TYPE).and_then(|media| media.to_str().ok());
        let media = media.unwrap_or_default().to_ascii_lowercase();
        let media = media.split(';').next().unwrap_or_default().trim();
        if media != "application/json"
            && !(media.starts_with("application/") && media.ends_with("+json"))
        {
            return Err(format!("{what} is not application/json"));
        }
        Ok((freshness(response.headers()), response.into_body()))
    }
}

/// For how many seconds a document may be kept.
fn freshness(headers: &HeaderMap) -> u64 {
    let control = headers
        .get(header::CACHE_CONTROL)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let mut fresh = USUAL;
    for directive in control.split(',').map(str::trim) {
        if let Some(seconds) = directive.strip_prefix("max-age=").and_then(|text| text.parse().ok())
        {
            fresh = seconds;
        }
        if matches!(directive, "no-store" | "no-cache") {
            fresh = 0;
            break;
        }
    }
    fresh.clamp(*FRESH.start(), *FRESH.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_kept_within_bounds() {
        let fresh = |control: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CACHE_CONTROL, control.parse().unwrap());
            freshness(&headers)
        };
        assert_eq!(freshness(&HeaderMap::new()), USUAL);
        assert_eq!(fresh("public, max-age=600"), 600);
        assert_eq!(fresh("max-age=0"), 60);
        assert_eq!(fresh("no-store, max-age=600"), 60);
        assert_eq!(fresh("max-age=99999999"), 86_400);
    }
}
