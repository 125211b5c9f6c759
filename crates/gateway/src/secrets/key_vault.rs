//! Azure Key Vault: secrets, and root keys wrapped by a key that never leaves it.
//!
//! It answers the first request with 401 and the resource that a token has to be for. That is believed only where
//! the vault is in the resource's own domain: else whoever stands in for a vault could ask for tokens of other services.

use std::collections::HashMap;
use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;
use upstream::HttpClient;
use url::Url;
use vault::{
    Reference, Secret,
    exchange::{ExchangeRequest, Exchanged, Wanted},
};
use zeroize::Zeroizing;

use super::SecretFault;
use super::remote::{self, Remote};
use crate::exchange::{ManagedIdentity, TokenEndpoint, machine_token, prove_with};

/// Where vaults are, and how Bartizan shows itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What follows a vault's name.
    pub suffix: String,
    /// Vaults that are elsewhere, by their name: URLs without a slash at the end.
    pub urls: HashMap<String, String>,
    /// What Bartizan shows.
    pub credential: Credential,
    /// The authority of their certificates, where that is not one of the system's.
    pub ca: Option<PathBuf>,
    /// The named loosening: addresses that are not public are allowed.
    pub allow_private: bool,
    /// The key that wraps, as `https://VAULT/keys/NAME`.
    pub key: Option<String>,
}

/// What yields a bearer token for a vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// Client credentials at a token endpoint, for the resource that the vault names.
    Client(Box<TokenEndpoint>),
    /// The managed identity of the machine, or the one with this client id.
    ManagedIdentity(Option<String>),
    /// A token of this machine, which somebody else keeps fresh.
    Token(Reference),
}

/// A secret, and when it dies.
pub(super) type Found = (Secret, Option<u64>);

/// The way there.
pub(super) struct KeyVault {
    config: Config,
    remote: Remote,
    /// By origin: the resource that its challenge named.
    resources: Mutex<HashMap<String, String>>,
    client: HttpClient,
    /// What was got last, and for which resource.
    held: Mutex<Option<(String, Exchanged)>>,
}

const VERSION: &str = "api-version=7.4";

impl KeyVault {
    pub fn new(config: &Config, client: &HttpClient) -> Result<KeyVault, SecretFault> {
        let remote = Remote::new(client, config.ca.as_deref(), config.allow_private)?;
        Ok(KeyVault {
            config: config.clone(),
            remote,
            resources: Mutex::default(),
            client: client.clone(),
            held: Mutex::default(),
        })
    }

    /// A secret's newest value.
    pub async fn read(&self, vault: &str, name: &str) -> Result<Found, SecretFault> {
        #[derive(Deserialize)]
        struct Answer {
            value: Secret,
            #[serde(default)]
            attributes: Attributes,
        }
        #[derive(Default, Deserialize)]
        struct Attributes {
            exp: Option<u64>,
        }
        let what = format!("keyvault:{vault}/{name}");
        let usual = || format!("https://{vault}.{}", self.config.suffix);
        let base = self.config.urls.get(vault).cloned().unwrap_or_else(usual);
        let url = format!("{base}/secrets/{name}?{VERSION}");
        let body = self.ask(&what, &Method::GET, &url, Bytes::new()).await?;
        let answer: Answer = remote::read(&what, &body)?;
        if answer.value.expose().is_empty() {
            return Err(SecretFault::Answer(what, "it is empty".into()));
        }
        let own = super::expiry::of_value(answer.value.expose());
        Ok((answer.value, [answer.attributes.exp, own].into_iter().flatten().min()))
    }

    /// Wraps a key. Gives what unwraps it, with its version, and the wrapped key.
    pub async fn wrap(&self, key: &str, plain: &[u8]) -> Result<(String, Vec<u8>), SecretFault> {
        let (kid, wrapped) = self.work(key, "wrapkey", plain).await?;
        Ok((kid, wrapped.to_vec()))
    }

    /// Unwraps it.
    pub async fn unwrap(
        &self,
        kid: &str,
        wrapped: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SecretFault> {
        self.work(kid, "unwrapkey", wrapped).await.map(|(_, plain)| plain)
    }

    async fn work(
        &self,
        key: &str,
        work: &str,
        value: &[u8],
    ) -> Result<(String, Zeroizing<Vec<u8>>), SecretFault> {
        #[derive(Deserialize)]
        struct Done {
            kid: String,
            value: Secret,
        }
        let value = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(value));
        let asked = json!({"alg": "RSA-OAEP-256", "value": &*value}).to_string();
        let body = Bytes::from_owner(Zeroizing::new(asked.into_bytes()));
        let url = format!("{key}/{work}?{VERSION}");
        let body = self.ask(key, &Method::POST, &url, body).await?;
        let done: Done = remote::read(key, &body)?;
        let unlike = |_| SecretFault::Answer(key.to_owned(), "it is no key".into());
        let value = BASE64_URL_SAFE_NO_PAD.decode(done.value.expose()).map_err(unlike)?;
        Ok((done.kid, Zeroizing::new(value)))
    }

    /// Asks with a token; the first time without, to be told what for.
    async fn ask(
        &self,
        what: &str,
        method: &Method,
        url: &str,
        body: Bytes,
    ) -> Result<Bytes, SecretFault> {
        let origin = Url::parse(url)
            .map_err(|fault| SecretFault::Unreachable(what.to_owned(), fault.to_string()))?;
        let origin = origin.origin().ascii_serialization();
        let known = self.resources.lock().await.get(&origin).cloned();
        let resource = match known {
            Some(resource) => resource,
            None => {
                // Without the body: nothing is shown to whoever has not said what it is.
                let refused = self.send(what, method, url, None, Bytes::new()).await?;
                if refused.status() != StatusCode::UNAUTHORIZED {
                    return remote::body(what, refused);
                }
                let resource = challenged(what, &origin, &refused)?;
                self.resources.lock().await.insert(origin.clone(), resource.clone());
                resource
            }
        };
        let token = self.bearer(what, &resource).await?;
        let answer = self.send(what, method, url, Some(&token), body).await?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            self.resources.lock().await.remove(&origin);
            *self.held.lock().await = None;
        }
        remote::body(what, answer)
    }

    async fn bearer(&self, what: &str, resource: &str) -> Result<Secret, SecretFault> {
        if let Credential::Token(reference) = &self.config.credential {
            return remote::token(what, reference).await;
        }
        let (mut held, now) = (self.held.lock().await, crate::now());
        if let Some((of, token)) = &*held
            && of == resource
            && !token.is_due(now)
        {
            return Ok(token.access.clone());
        }
        let token = self.obtain(resource, now).await;
        let token = token.map_err(|fault| SecretFault::Token(what.to_owned(), fault))?;
        let access = token.access.clone();
        // A vault that says it back would say it to servers.
        crate::leak::learn("token for key vaults", access.expose());
        *held = Some((resource.to_owned(), token));
        Ok(access)
    }

    /// A token for a resource; or why there is none.
    async fn obtain(&self, resource: &str, now: u64) -> Result<Exchanged, String> {
        let at = match &self.config.credential {
            Credential::Client(at) => at,
            Credential::ManagedIdentity(client_id) => {
                let (resource, client_id) = (resource.to_owned(), client_id.clone());
                let identity = ManagedIdentity { resource, client_id };
                let token = machine_token(&self.client, &identity, now).await;
                return token.map_err(|fault| fault.to_string());
            }
            Credential::Token(_) => return Err("it is kept elsewhere".to_owned()),
        };
        // What proves Bartizan here can't be in a vault, which would ask for the proof again.
        let (id, url) = (at.client_id.as_str(), at.url.as_str());
        let proof = prove_with(id, &at.proof, url, &self.client, None).await?;
        let wanted = Wanted { scope: format!("{resource}/.default"), ..Wanted::default() };
        let form = ExchangeRequest::ClientCredentials.form(&at.url, &wanted, &proof);
        let sent = crate::grants::send(&self.client, form, at.allow_private).await;
        let (status, body) = sent.map_err(|fault| fault.to_string())?;
        Exchanged::read(status, &body, now).map_err(|fault| fault.to_string())
    }

    async fn send(
        &self,
        what: &str,
        method: &Method,
        url: &str,
        token: Option<&Secret>,
        body: Bytes,
    ) -> Result<Response<Bytes>, SecretFault> {
        let mut request = Request::builder().method(method).uri(url);
        if let Some(token) = token {
            let text = Zeroizing::new(format!("Bearer {}", token.expose()));
            request = request.header(AUTHORIZATION, remote::sensitive(what, &text)?);
        }
        if method == Method::POST {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        self.remote.send(what, request.body(Full::from(body))).await
    }
}

/// The resource that a challenge names, if this vault may name it.
fn challenged(what: &str, origin: &str, refused: &Response<Bytes>) -> Result<String, SecretFault> {
    let header = refused.headers().get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
    let challenges = http_auth::parse_challenges(header.unwrap_or_default()).unwrap_or_default();
    let bearer = challenges.iter().find(|one| one.scheme.eq_ignore_ascii_case("bearer"));
    let named = |wanted: &str| {
        let found = bearer?.params.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.to_unescaped())
    };
    // Newer ones say `scope`, which is the resource and `/.default`.
    let of_scope = || named("scope")?.strip_suffix("/.default").map(str::to_owned);
    let resource = named("resource").or_else(of_scope);
    let resource = resource.ok_or_else(|| {
        SecretFault::Answer(what.to_owned(), "its challenge names no resource".into())
    })?;
    let of = |url: &str| {
        Url::parse(url).ok().filter(|url| url.scheme() == "https")?.host_str().map(str::to_owned)
    };
    match (of(origin), of(&resource)) {
        (Some(vault), Some(domain))
            if vault == domain
                || vault.strip_suffix(&domain).is_some_and(|name| name.ends_with('.')) =>
        {
            Ok(resource)
        }
        _ => Err(SecretFault::Challenge(what.to_owned(), resource)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(origin: &str, header: &str) -> Result<String, SecretFault> {
        let refused = Response::builder().header(WWW_AUTHENTICATE, header).body(Bytes::new());
        challenged("keyvault:prod/x", origin, &refused.unwrap())
    }

    #[test]
    fn a_vault_names_its_own_domain_or_nothing() {
        let vault = "https://prod.vault.azure.net";
        let named = |resource: &str| {
            challenge(
                vault,
                &format!(
                    "Bearer authorization=\"https://login.microsoftonline.com/t\", resource=\"{resource}\""
                ),
            )
        };
        assert_eq!(named("https://vault.azure.net").unwrap(), "https://vault.azure.net");
        let scope = challenge(
            vault,
            "Bearer authorization=\"https://l\", scope=\"https://vault.azure.net/.default\"",
        );
        assert_eq!(scope.unwrap(), "https://vault.azure.net");
        for foreign in [
            "https://graph.microsoft.com",
            "https://management.azure.com",
            "https://evil.example",
            "https://od.vault.azure.net",
            "http://vault.azure.net",
            "vault.azure.net",
            "",
        ] {
            assert!(matches!(named(foreign), Err(SecretFault::Challenge(..))), "{foreign}");
        }
        for silent in ["", "Basic realm=\"x\"", "Bearer realm=\"x\""] {
            assert!(challenge(vault, silent).is_err(), "{silent}");
        }
    }
}
