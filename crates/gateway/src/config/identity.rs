//! Who may come in, and how it is found out.

use std::{path::PathBuf, time::Duration};

use identity::provider::{self, Cloud};

use crate::exchange::{ClientProof, TokenEndpoint};

/// Incoming authentication.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// The named loosening: anyone on the loopback is let in without a token.
    pub loopback_open: bool,
    /// How long what was verified is believed: within it a session, a stream and a remembered token end
    /// after whoever they belong to is no longer let in.
    pub recheck: Duration,
    /// Whose tokens are believed.
    pub providers: Vec<Provider>,
}

impl Default for Identity {
    fn default() -> Self {
        let recheck = Duration::from_secs(5 * 60);
        Identity { loopback_open: false, recheck, providers: Vec::new() }
    }
}

/// One identity provider.
#[derive(Clone, Debug, PartialEq)]
pub struct Provider {
    /// Whose tokens, and what they say.
    pub provider: provider::Provider,
    /// Where its keys are.
    pub keys: KeysFrom,
    /// After so long they are fetched anew.
    pub refresh: Duration,
    /// For so long after that they are still used when they can't be.
    pub stale: Duration,
    /// The named loosening: addresses that are not public are allowed.
    pub allow_private: bool,
    /// The authorities that its servers' certificates are of, instead of the system's: a file in PEM form.
    pub ca: Option<PathBuf>,
    /// The way to Graph, for Entra.
    pub graph: Option<GraphAccess>,
    /// What clients are told about it.
    pub offer: Offer,
}

/// Where a provider's keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysFrom {
    /// Where its metadata says.
    Discovery {
        /// The metadata.
        url: String,
        /// Which issuer they must be of.
        issuer: String,
        /// Whether the keys must be at the metadata's own origin.
        same_origin: bool,
    },
    /// A file in the form of a JSON Web Key Set.
    File(PathBuf),
    /// Nowhere: the API server of a Kubernetes cluster is asked about each token.
    Review {
        /// Its URL.
        server: String,
        /// A file with the token as which it is asked. It is read each time.
        token: PathBuf,
    },
    /// At this URL.
    Url(String),
}

/// How the gateway asks Graph.
#[derive(Clone, Debug, PartialEq)]
pub struct GraphAccess {
    /// Where Graph and its tokens are.
    pub cloud: Cloud,
    /// The application as which it asks.
    pub client_id: String,
    /// The application's secret.
    pub secret: vault::Reference,
    /// The named loosening: addresses that are not public are allowed.
    pub allow_private: bool,
}

impl GraphAccess {
    /// Where the application gets a token for Graph in a tenant. `None` where the cloud's host is none.
    pub fn token_endpoint(&self, tenant: &str) -> Option<TokenEndpoint> {
        Some(TokenEndpoint {
            url: self.cloud.token_endpoint(tenant).parse().ok()?,
            client_id: self.client_id.clone(),
            proof: ClientProof::Secret(self.secret.clone()),
            wanted: vault::exchange::Wanted {
                scope: format!("{}/.default", self.cloud.graph_audience),
                ..Default::default()
            },
            allow_private: self.allow_private,
        })
    }
}

/// What clients are told about a provider (RFC 9728).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// The authorization servers at which clients get its tokens. None for workloads' providers.
    pub authorization_servers: Vec<String>,
    /// The scopes that they ask for.
    pub scopes: Vec<String>,
}
