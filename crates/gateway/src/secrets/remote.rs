//! What the ways to vaults elsewhere share: bounded, guarded requests, and what their answers mean.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use upstream::{Fetch, HttpClient};
use vault::{Reference, Secret};
use zeroize::Zeroizing;

use super::hashicorp::HashiCorp;
use super::key_vault::KeyVault;
use super::{Config, SecretFault};

/// The ways to all vaults that are configured.
pub(super) struct Remotes {
    hashicorp: Option<Result<HashiCorp, SecretFault>>,
    key_vault: Option<Result<KeyVault, SecretFault>>,
}

impl Remotes {
    /// Nothing is contacted yet.
    pub fn new(config: &Config, client: &HttpClient) -> Remotes {
        Remotes {
            hashicorp: config.hashicorp.as_ref().map(|config| HashiCorp::new(config, client)),
            key_vault: config.key_vault.as_ref().map(|config| KeyVault::new(config, client)),
        }
    }

    /// The way to HashiCorp Vault, which `what` needs.
    pub fn hashicorp(&self, what: &str) -> Result<&HashiCorp, SecretFault> {
        way(&self.hashicorp, what, "vault.hashicorp")
    }

    /// The way to Azure's vaults.
    pub fn key_vault(&self, what: &str) -> Result<&KeyVault, SecretFault> {
        way(&self.key_vault, what, "vault.key-vault")
    }
}

fn way<'a, T>(
    way: &'a Option<Result<T, SecretFault>>,
    what: &str,
    section: &'static str,
) -> Result<&'a T, SecretFault> {
    match way {
        Some(Ok(way)) => Ok(way),
        Some(Err(fault)) => Err(fault.clone()),
        None => Err(SecretFault::NotConfigured(what.to_owned(), section)),
    }
}

/// How long a vault may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer: a secret of 64 KiB, escaped, and what stands around it.
const BYTES: usize = 512 << 10;

/// The way to one vault.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    client: HttpClient,
    allow_private: bool,
}

impl Remote {
    /// With an authority of its own, or trusting what everything here trusts.
    pub fn new(
        client: &HttpClient,
        ca: Option<&Path>,
        allow_private: bool,
    ) -> Result<Remote, SecretFault> {
        let client = match ca {
            None => client.clone(),
            Some(ca) => HttpClient::trusting(ca).map_err(|fault| {
                SecretFault::Unreachable(ca.display().to_string(), fault.to_string())
            })?,
        };
        Ok(Remote { client, allow_private })
    }

    /// Sends it. `what` is asked for; whatever the status, this is the answer.
    pub async fn send(
        &self,
        what: &str,
        request: Result<Request<Full<Bytes>>, http::Error>,
    ) -> Result<Response<Bytes>, SecretFault> {
        let fault = |fault: &dyn std::fmt::Display| {
            SecretFault::Unreachable(what.to_owned(), fault.to_string())
        };
        let request = request.map_err(|error| fault(&error))?;
        let rules = Fetch { bytes: BYTES, deadline: PATIENCE, allow_private: self.allow_private };
        self.client.fetch(request, rules).await.map_err(|error| fault(&error))
    }
}

/// The body of an answer that is good, or what the status means.
pub(super) fn body(what: &str, answer: Response<Bytes>) -> Result<Bytes, SecretFault> {
    let status = answer.status();
    match status {
        StatusCode::OK => Ok(answer.into_body()),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Err(SecretFault::Denied(what.to_owned(), status.as_u16()))
        }
        StatusCode::NOT_FOUND => Err(SecretFault::Missing(what.to_owned())),
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            Err(SecretFault::Unreachable(what.to_owned(), format!("it answered {status}")))
        }
        status => Err(SecretFault::Answer(what.to_owned(), format!("it answered {status}"))),
    }
}

/// Reads an answer strictly. What it says is never quoted: it may hold secrets.
pub(super) fn read<T: serde::de::DeserializeOwned>(
    what: &str,
    body: &Bytes,
) -> Result<T, SecretFault> {
    let unlike = || SecretFault::Answer(what.to_owned(), "it is not what a vault says".into());
    let limits = mcp::Limits { bytes: BYTES, depth: 16, values: 10_000 };
    let json = mcp::Json::read(body, &limits).map_err(|_| unlike())?;
    serde_json::from_str(json.text()).map_err(|_| unlike())
}

/// A token from this machine, read anew each time: whoever rotates it need not tell anybody.
pub(super) async fn token(what: &str, reference: &Reference) -> Result<Secret, SecretFault> {
    let reference = reference.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let values = reference.sources().filter_map(|source| source.read());
        values.collect::<Result<Vec<_>, _>>().map(|values| reference.fill(&values))
    });
    let fault =
        |fault: &dyn std::fmt::Display| SecretFault::Token(what.to_owned(), fault.to_string());
    reading.await.map_err(|error| fault(&error))?.map_err(|error| fault(&error))
}

/// A header's value that no log shows.
pub(super) fn sensitive(what: &str, text: &str) -> Result<HeaderValue, SecretFault> {
    let text = Zeroizing::new(text.to_owned());
    let unfit = |_| SecretFault::Token(what.to_owned(), "it can't be sent in a header".into());
    let mut value = HeaderValue::from_str(&text).map_err(unfit)?;
    value.set_sensitive(true);
    Ok(value)
}
