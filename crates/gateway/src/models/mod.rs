//! Language models behind this gateway: at `/models/{name}/…` it passes OpenAI's and Anthropic's protocols
//! through, with Bartizan's own credential in place of whatever the client showed.
//!
//! What it takes part in is little: who calls which deployment, whether they may, how many tokens it took. Prompts
//! and answers are not read for more than that, and kept for nobody but an auditor whom the configuration names.
//! [`call`] is the way of one call.

mod call;
mod cleaned;
mod events;
mod list;
mod passed;
mod record;
mod refusal;
mod request;
mod spelled;
mod usage;

use std::{sync::Arc, time::Duration};

use audit::Journal;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use mcp::ServerName;
use policy::{Kind, Pattern};

pub(crate) use call::handle;
pub use refusal::ModelFault;
pub(crate) use refusal::refused;

use crate::{
    credential::Source,
    exchange::Exchange,
    grants::Shared,
    leak::{Guard, OnLeak},
};

/// An entry of `[models]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Its name in `/models/{name}`.
    pub name: ServerName,
    /// Which protocol it speaks.
    pub kind: ModelKind,
    /// Where it is; what stands behind `/models/{name}` is appended.
    pub url: Uri,
    /// The named loosening: addresses that are not public are allowed.
    pub allow_private: bool,
    /// The deployments that can be called, as patterns of this entry; all when empty.
    pub deployments: Vec<Pattern>,
    /// Those that are listed.
    pub listed: Vec<String>,
    /// The paths that are passed on, beginning with a slash; `{deployment}` stands for one segment.
    pub paths: Vec<String>,
    /// As whom Bartizan calls it.
    pub credential: ModelCredential,
    /// The longest request, and the longest answer that is no stream.
    pub body_bytes: usize,
    /// How long it may be silent.
    pub timeout: Duration,
}

/// As whom Bartizan calls a model.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelCredential {
    /// With what the configuration names; none for a server that needs none.
    Configured(vault::Credentials),
    /// With a token that a token endpoint gives, and what the configuration names besides.
    Exchanged(Box<Exchange>, vault::Credentials),
}

/// Which protocol a model speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelKind {
    /// Anthropic's.
    Anthropic,
    /// OpenAI's, with Azure's paths.
    AzureOpenAi,
    /// OpenAI's, which many local servers speak too.
    OpenAi,
}

impl Model {
    /// How its credential is got from a token endpoint, where it is.
    pub(crate) fn exchange(&self) -> Option<&Exchange> {
        match &self.credential {
            ModelCredential::Exchanged(exchange, _) => Some(exchange),
            ModelCredential::Configured(_) => None,
        }
    }
}

impl ModelKind {
    /// The paths that are passed on where the configuration names none.
    pub fn paths(self) -> &'static [&'static str] {
        match self {
            ModelKind::Anthropic => &["/v1/messages", "/v1/messages/count_tokens"],
            ModelKind::AzureOpenAi => &[
                "/openai/deployments/{deployment}/chat/completions",
                "/openai/deployments/{deployment}/completions",
                "/openai/deployments/{deployment}/embeddings",
                "/openai/v1/chat/completions",
                "/openai/v1/embeddings",
                "/openai/v1/responses",
            ],
            ModelKind::OpenAi => {
                &["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"]
            }
        }
    }
}

/// A model that is being served.
pub(crate) struct ServedModel {
    pub entry: Model,
    /// What its credential is called in records.
    credential_name: String,
    source: Source,
    /// What keeps secrets from going to it, and from coming back.
    pub(crate) guard: Guard,
}

impl ServedModel {
    pub fn new(entry: Model, on_leak: OnLeak, journal: &Journal, shared: &Arc<Shared>) -> Self {
        let (credential_name, source) = match &entry.credential {
            ModelCredential::Configured(named) => {
                (named.names(), Source::configured(&entry.name, named.clone(), shared))
            }
            ModelCredential::Exchanged(exchange, besides) => {
                let (how, besides) = ((**exchange).clone(), besides.clone());
                (exchange.name(), Source::exchanged(("model", &entry.name), how, besides, shared))
            }
        };
        let guard = Guard::new(&entry.name, on_leak, journal);
        ServedModel { entry, credential_name, source, guard }
    }

    /// Whether the entry lets this deployment be called at all.
    fn offers(&self, deployment: &str) -> bool {
        let covers =
            |pattern: &Pattern| pattern.matches(self.entry.name.as_str(), Kind::Model, deployment);
        self.entry.deployments.is_empty() || self.entry.deployments.iter().any(covers)
    }
}

/// `/models/{name}/…`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ModelRoute {
    pub name: ServerName,
    /// What stands behind the name, with its slash.
    pub rest: String,
}

impl ModelRoute {
    pub fn of(path: &str) -> Option<ModelRoute> {
        let (name, rest) = path.strip_prefix("/models/")?.split_once('/')?;
        Some(ModelRoute { name: ServerName::new(name).ok()?, rest: format!("/{rest}") })
    }
}

const API_KEY: HeaderName = HeaderName::from_static("api-key");
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The credential for this gateway in a request to a model, in the form of `Authorization`: clients of models
/// put it where they put a model's key. What has the form of neither a token of ours nor of a provider's is a
/// key that a client had to be given for want of a better: nobody's credential here, and dropped with the others.
pub(crate) fn shown(headers: &HeaderMap) -> Option<HeaderValue> {
    let bearer = |value: &HeaderValue| {
        let mut header = HeaderValue::try_from([b"Bearer ", value.as_bytes()].concat()).ok()?;
        header.set_sensitive(true);
        Some(header)
    };
    let authorization = headers.get(header::AUTHORIZATION).cloned();
    let keys = [X_API_KEY, API_KEY].into_iter().filter_map(|name| headers.get(name)).map(bearer);
    let meant = |value: &HeaderValue| {
        let text = value.to_str().unwrap_or_default();
        let token = text.split_once(' ').map_or("", |(_, token)| token.trim());
        identity::Bearer::parse(value.as_bytes()).is_ok_and(|bearer| bearer.is_ours())
            || identity::jwt::Jwt::resembles(token)
    };
    authorization.into_iter().chain(keys.flatten()).find(meant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_credential_and_what_only_a_placeholder() {
        let (ours, _) = identity::mint([7; 32]);
        let read = |pairs: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, value.parse().unwrap());
            }
            shown(&headers).map(|value| value.to_str().unwrap().to_owned())
        };
        let bearer = format!("Bearer {ours}");
        assert_eq!(read(&[("authorization", &bearer)]), Some(bearer.clone()));
        assert_eq!(read(&[("x-api-key", &ours)]), Some(bearer.clone()));
        assert_eq!(read(&[("api-key", &ours), ("authorization", "Bearer unused")]), Some(bearer));
        assert_eq!(read(&[("api-key", "eyJ.eyJ.x")]), Some("Bearer eyJ.eyJ.x".into()));
        for placeholder in ["sk-proj-123", "unused", ""] {
            assert_eq!(read(&[("x-api-key", placeholder)]), None);
            assert_eq!(read(&[("authorization", &format!("Bearer {placeholder}"))]), None);
        }
    }

    #[test]
    fn paths_under_a_name() {
        let route = ModelRoute::of("/models/azure/openai/v1/responses").unwrap();
        assert_eq!((route.name.as_str(), route.rest.as_str()), ("azure", "/openai/v1/responses"));
        for path in ["/models/", "/models/azure", "/models//x", "/models/A/x", "/model/a/x"] {
            assert_eq!(ModelRoute::of(path), None, "{path}");
        }
    }
}
