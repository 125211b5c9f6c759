//! Talking to authorization servers, for the grants of all servers.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::Full;
use store::Store;
use tokio::sync::watch;
use upstream::{Fetch, HttpClient, LinkFault};
use url::Url;
use vault::{
    Secret,
    oauth::{Challenge, Client, DOCUMENT_BYTES, Form, Issuer, OAuthFault, Resource, registration},
};

use super::{OAuth, connect::Connecting};
use crate::{Gateway, seal::Sealer, secrets::Secrets};

/// What a document or a token may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Dynamic registrations that are remembered.
const CLIENTS: usize = 1024;

/// What the grants of all servers stand on.
pub(crate) struct Shared {
    pub store: Store,
    pub sealer: Sealer,
    pub connecting: Connecting,
    /// Counts the grants that were kept.
    pub kept: watch::Sender<u64>,
    /// Where browsers reach this gateway, without a slash at the end; known once it listens.
    pub public_url: OnceLock<String>,
    /// The gateway itself, once it is there.
    pub gateway: OnceLock<Weak<Gateway>>,
    pub client: HttpClient,
    pub secrets: Arc<Secrets>,
    /// By issuer and redirect URI. After a restart Bartizan registers anew; a grant brings its own client.
    clients: Mutex<HashMap<(String, String), Client>>,
}

impl Shared {
    pub fn new(store: Store, sealer: Sealer, client: HttpClient, secrets: Arc<Secrets>) -> Shared {
        Shared {
            store,
            sealer,
            client,
            secrets,
            connecting: Connecting::default(),
            kept: watch::channel(0).0,
            public_url: OnceLock::new(),
            gateway: OnceLock::new(),
            clients: Mutex::default(),
        }
    }

    /// From a server's challenge to the authorization server, as the MCP specification has it. `known`
    /// is the issuer where a client is registered: preferred where the server names several.
    pub async fn discover(
        &self,
        server: &Url,
        challenge: &Challenge,
        known: Option<&str>,
        allow_private: bool,
    ) -> Result<(Resource, Issuer), OAuthFault> {
        let mut resource = Resource::without_metadata(server);
        for place in Resource::places(server, challenge, allow_private) {
            if let Some(document) = self.get(&place, allow_private).await? {
                resource = Resource::read(&document, server, allow_private)?;
                break;
            }
        }
        let named = |issuer: &&Url| Some(issuer.as_str().trim_end_matches('/')) == known;
        let issuer = resource.issuers.iter().find(named).or(resource.issuers.first());
        let Some(issuer) = issuer else {
            return Err(OAuthFault::WithoutIssuer(server.to_string()));
        };
        for place in Issuer::places(issuer) {
            if let Some(document) = self.get(&place, allow_private).await? {
                let issuer = Issuer::read(&document, issuer, allow_private)?;
                return Ok((resource, issuer));
            }
        }
        Err(OAuthFault::WithoutMetadata(issuer.to_string()))
    }

    /// As which client Bartizan is known there: registered beforehand, by its document, or by
    /// registering now.
    pub async fn client(
        &self,
        oauth: &OAuth,
        issuer: &Issuer,
        redirect: Option<&Url>,
        allow_private: bool,
    ) -> Result<Client, OAuthFault> {
        if let Some(registered) = &oauth.client
            && registered.is_known_to(&issuer.issuer)
        {
            let secret = match &registered.secret {
                Some(reference) => Some(self.secrets.resolve(reference).await),
                None => None,
            };
            let secret =
                secret.transpose().map_err(|fault| OAuthFault::Secret(fault.to_string()))?;
            let secret = secret.map(|resolved| resolved.secret);
            return Ok(Client::registered(registered.id.clone(), secret, issuer));
        }
        let none = || OAuthFault::NoRegistration(issuer.issuer.clone());
        let redirect = redirect.ok_or_else(none)?;
        if issuer.client_id_metadata_documents
            && let Some(document) = &oauth.document.clone().or_else(|| own_document(redirect))
        {
            return Ok(Client::by_document(document));
        }
        let endpoint = issuer.registration_endpoint.as_ref().ok_or_else(none)?;
        let key = (issuer.issuer.clone(), redirect.to_string());
        if let Some(client) = self.clients().get(&key) {
            return Ok(client.clone());
        }
        let wishes = registration::Metadata::new(redirect).for_server(issuer);
        let body = serde_json::to_vec(&wishes).unwrap_or_default();
        let request = request(endpoint, "application/json", Bytes::from(body), None)?;
        let answer = self.fetch(request, allow_private).await?;
        if !matches!(answer.status(), StatusCode::CREATED | StatusCode::OK) {
            return Err(OAuthFault::Denied(format!(
                "registration: HTTP {}",
                answer.status().as_u16()
            )));
        }
        let client = registration::read(answer.body(), issuer)?;
        let mut clients = self.clients();
        if clients.len() >= CLIENTS {
            clients.clear();
        }
        clients.insert(key, client.clone());
        Ok(client)
    }

    /// Forgets a dynamic registration that its server does not know any more.
    pub fn forget_client(&self, issuer: &str) {
        self.clients().retain(|(known, _), _| known != issuer);
    }

    fn clients(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String), Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a form; its status and body.
    pub async fn post(&self, form: Form, allow_private: bool) -> Result<(u16, Bytes), OAuthFault> {
        send(&self.client, form, allow_private).await
    }

    /// A document; `None` where there is none.
    async fn get(&self, url: &Url, allow_private: bool) -> Result<Option<Bytes>, OAuthFault> {
        let request = Request::get(url.as_str())
            .header(header::ACCEPT, "application/json")
            .body(Full::default())
            .map_err(|_| OAuthFault::Endpoint(url.to_string()))?;
        let answer = self.fetch(request, allow_private).await?;
        match answer.status() {
            StatusCode::OK => Ok(Some(answer.into_body())),
            status if status.is_client_error() => Ok(None),
            status => Err(OAuthFault::Unreachable(format!("{url}: HTTP {}", status.as_u16()))),
        }
    }

    async fn fetch(
        &self,
        request: Request<Full<Bytes>>,
        allow_private: bool,
    ) -> Result<http::Response<Bytes>, OAuthFault> {
        fetch(&self.client, request, allow_private).await
    }
}

/// Sends a form; its status and body.
pub(crate) async fn send(
    client: &HttpClient,
    form: Form,
    allow_private: bool,
) -> Result<(u16, Bytes), OAuthFault> {
    let body = Bytes::copy_from_slice(form.body.expose().as_bytes());
    // Nobody may say back what proves who asks.
    for (name, value) in url::form_urlencoded::parse(&body) {
        if matches!(&*name, "client_assertion" | "client_secret" | "refresh_token") {
            crate::leak::learn(&format!("{name} at {}", form.url.authority()), &value);
        }
    }
    let kind = "application/x-www-form-urlencoded";
    let request = request(&form.url, kind, body, form.authorization.as_ref())?;
    let answer = fetch(client, request, allow_private).await?;
    Ok((answer.status().as_u16(), answer.into_body()))
}

async fn fetch(
    client: &HttpClient,
    request: Request<Full<Bytes>>,
    allow_private: bool,
) -> Result<http::Response<Bytes>, OAuthFault> {
    let rules = Fetch { bytes: DOCUMENT_BYTES, deadline: PATIENCE, allow_private };
    client.fetch(request, rules).await.map_err(unreachable)
}

fn unreachable(fault: LinkFault) -> OAuthFault {
    OAuthFault::Unreachable(fault.to_string())
}

/// The document about Bartizan itself, where its address is one that others can read it from.
fn own_document(redirect: &Url) -> Option<Url> {
    (redirect.scheme() == "https").then(|| redirect.join("/connect/client.json").ok())?
}

fn request(
    url: &Url,
    kind: &'static str,
    body: Bytes,
    authorization: Option<&Secret>,
) -> Result<Request<Full<Bytes>>, OAuthFault> {
    let bad = || OAuthFault::Endpoint(url.to_string());
    let mut request = Request::post(url.as_str())
        .header(header::CONTENT_TYPE, kind)
        .header(header::ACCEPT, "application/json")
        .body(Full::new(body))
        .map_err(|_| bad())?;
    if let Some(secret) = authorization {
        let mut value = HeaderValue::from_str(secret.expose()).map_err(|_| bad())?;
        value.set_sensitive(true);
        request.headers_mut().insert(header::AUTHORIZATION, value);
    }
    Ok(request)
}
