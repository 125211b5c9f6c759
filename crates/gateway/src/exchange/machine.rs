//! Managed identities: tokens that Azure gives to the machine that this runs on, without any secret. The
//! endpoints are those of the platform, so their private addresses are meant.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};
use http_body_util::Full;
use upstream::{Fetch, HttpClient};
use url::Url;
use vault::{
    exchange::{ExchangeFault, Exchanged},
    oauth::DOCUMENT_BYTES,
};

/// Virtual machines, scale sets, AKS: the instance metadata service.
const METADATA_SERVICE: &str = "http://169.254.169.254";
/// Azure's own libraries let it be found elsewhere by this variable.
const METADATA_SERVICE_AT: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";
const PATIENCE: Duration = Duration::from_secs(10);

/// Which identity of the machine, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagedIdentity {
    /// The resource that the token is for, such as `https://cognitiveservices.azure.com`.
    pub resource: String,
    /// The client id of a user-assigned identity; the machine's own when absent.
    pub client_id: Option<String>,
}

/// Asks for a token.
pub(crate) async fn token(
    client: &HttpClient,
    identity: &ManagedIdentity,
    now: u64,
) -> Result<Exchanged, ExchangeFault> {
    let request = request(identity)?;
    let rules = Fetch { bytes: DOCUMENT_BYTES, deadline: PATIENCE, allow_private: true };
    let answer = client.fetch(request, rules).await;
    let answer = answer.map_err(|fault| unavailable(&fault))?;
    Exchanged::read(answer.status().as_u16(), answer.body(), now)
}

/// App Service, Functions and Container Apps say in the environment where to ask, and with which header.
fn request(identity: &ManagedIdentity) -> Result<Request<Full<Bytes>>, ExchangeFault> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (url, version, name, value) =
        match (variable("IDENTITY_ENDPOINT"), variable("IDENTITY_HEADER")) {
            (Some(url), Some(header)) => (url, "2019-08-01", "x-identity-header", header),
            _ => {
                let host = variable(METADATA_SERVICE_AT).unwrap_or(METADATA_SERVICE.to_owned());
                let url = format!("{}/metadata/identity/oauth2/token", host.trim_end_matches('/'));
                (url, "2018-02-01", "metadata", "true".to_owned())
            }
        };
    let mut url = Url::parse(&url).map_err(|fault| unavailable(&fault))?;
    url.query_pairs_mut()
        .append_pair("api-version", version)
        .append_pair("resource", &identity.resource)
        .extend_pairs(identity.client_id.iter().map(|id| ("client_id", id)));
    let mut value = HeaderValue::from_str(&value).map_err(|fault| unavailable(&fault))?;
    value.set_sensitive(true);
    Request::get(url.as_str())
        .header(HeaderName::from_static(name), value)
        .body(Full::default())
        .map_err(|fault| unavailable(&fault))
}

fn unavailable(fault: &dyn std::fmt::Display) -> ExchangeFault {
    ExchangeFault::Unavailable(format!("the machine's identity endpoint: {fault}"))
}
