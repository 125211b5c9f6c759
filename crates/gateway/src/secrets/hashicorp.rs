//! HashiCorp Vault and OpenBao: secrets of KV version 2, and root keys wrapped by transit.

use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Method, Request};
use http_body_util::Full;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use upstream::HttpClient;
use vault::{Reference, Secret};
use zeroize::Zeroizing;

use super::SecretFault;
use super::remote::{self, Remote};

/// Where it is, and how Bartizan shows itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Without a slash at the end.
    pub url: String,
    /// Which namespace, where there are several.
    pub namespace: Option<String>,
    /// The token, in a file or a variable of this machine.
    pub token: Reference,
    /// The authority of its certificate, where that is not one of the system's.
    pub ca: Option<PathBuf>,
    /// The named loosening: addresses that are not public are allowed.
    pub allow_private: bool,
    /// The key that wraps, as `MOUNT/NAME`.
    pub transit_key: Option<String>,
}

/// The way there.
pub(super) struct HashiCorp {
    config: Config,
    remote: Remote,
}

#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

impl HashiCorp {
    pub fn new(config: &Config, client: &HttpClient) -> Result<HashiCorp, SecretFault> {
        let remote = Remote::new(client, config.ca.as_deref(), config.allow_private)?;
        Ok(HashiCorp { config: config.clone(), remote })
    }

    /// One field of a secret.
    pub async fn read(&self, mount: &str, path: &str, field: &str) -> Result<Secret, SecretFault> {
        #[derive(Deserialize)]
        struct Fields {
            data: Option<Map<String, Value>>,
        }
        let what = format!("vault:{mount}/{path}#{field}");
        let place = format!("{mount}/data/{path}");
        let body = self.ask(&what, Method::GET, &place, Bytes::new()).await?;
        let answer: Answer<Fields> = remote::read(&what, &body)?;
        // A deleted version has no data.
        let mut fields = answer.data.data.ok_or_else(|| SecretFault::Missing(what.clone()))?;
        match fields.remove(field) {
            Some(Value::String(text)) if !text.is_empty() => Ok(Secret::new(text.into_boxed_str())),
            Some(Value::Number(number)) => Ok(Secret::new(number.to_string().into_boxed_str())),
            Some(_) => Err(SecretFault::Answer(what, "the field holds no text".into())),
            None => Err(SecretFault::Missing(what)),
        }
    }

    /// Wraps a key; `bound` has to be the same when it is unwrapped.
    pub async fn wrap(&self, key: &str, bound: &str, plain: &[u8]) -> Result<String, SecretFault> {
        #[derive(Deserialize)]
        struct Wrapped {
            ciphertext: String,
        }
        let plain = Zeroizing::new(BASE64_STANDARD.encode(plain));
        let asked = json!({"plaintext": &*plain, "associated_data": BASE64_STANDARD.encode(bound)});
        let answer: Answer<Wrapped> = self.transit("encrypt", key, &asked).await?;
        Ok(answer.data.ciphertext)
    }

    /// Unwraps it.
    pub async fn unwrap(
        &self,
        key: &str,
        bound: &str,
        wrapped: &str,
    ) -> Result<Zeroizing<Vec<u8>>, SecretFault> {
        #[derive(Deserialize)]
        struct Unwrapped {
            plaintext: Secret,
        }
        let asked =
            json!({"ciphertext": wrapped, "associated_data": BASE64_STANDARD.encode(bound)});
        let answer: Answer<Unwrapped> = self.transit("decrypt", key, &asked).await?;
        let plain = BASE64_STANDARD.decode(answer.data.plaintext.expose());
        plain
            .map(Zeroizing::new)
            .map_err(|_| SecretFault::Answer(key.to_owned(), "it is no key".into()))
    }

    async fn transit<T: serde::de::DeserializeOwned>(
        &self,
        work: &str,
        key: &str,
        asked: &Value,
    ) -> Result<T, SecretFault> {
        let malformed = || SecretFault::Answer(key.to_owned(), "it is no MOUNT/NAME".into());
        let (mount, name) = key.rsplit_once('/').ok_or_else(malformed)?;
        let what = format!("transit {key}");
        let place = format!("{mount}/{work}/{name}");
        let body = Bytes::from_owner(Zeroizing::new(asked.to_string().into_bytes()));
        let body = self.ask(&what, Method::POST, &place, body).await?;
        remote::read(&what, &body)
    }

    async fn ask(
        &self,
        what: &str,
        method: Method,
        place: &str,
        body: Bytes,
    ) -> Result<Bytes, SecretFault> {
        let token = remote::token(what, &self.config.token).await?;
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}/v1/{place}", self.config.url))
            .header("x-vault-token", remote::sensitive(what, token.expose())?)
            .header("x-vault-request", HeaderValue::from_static("true"));
        if let Some(namespace) = &self.config.namespace {
            request = request.header("x-vault-namespace", namespace);
        }
        let request = request.body(Full::from(body));
        remote::body(what, self.remote.send(what, request).await?)
    }
}
