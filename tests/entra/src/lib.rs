//! A stand-in for Microsoft Entra ID, in the test's own process: its sign-in endpoints, the part of Graph that
//! knows groups, and the endpoints of managed identities. It has what Entra has, in Entra's form, and lacks what
//! Entra lacks: registration, `code_challenge_methods_supported`, `iss` in responses, revocation.
//!
//! The directory is fixed (see [`directory`]); a test changes what it needs by [`Entra::change`]. MSAL for Python
//! signs in here in the end-to-end tests (`tests/e2e/tests/entra.rs`), so what this crate believes of Entra,
//! Microsoft's own client believes too.
#![forbid(unsafe_code)]

mod authorize;
mod client;
mod device;
mod discovery;
mod fault;
mod graph;
mod keys;
mod machine;
mod mint;
mod page;
mod request;
mod route;
mod scope;
mod server;
mod token;

/// Who and what there is.
pub mod directory;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use directory::Directory;
use serde_json::{Value, json};

pub use directory::{
    ALICE, BOB, CAROL, CONSUMERS, DAEMON, DAVE, ERIN, GATEWAY, GATEWAY_SECRET, GRAPH, MACHINE,
    ORDERS, OTHER_TENANT, PASSWORD, STRANGER, STRANGER_SECRET, TENANT, TERMINAL,
};
pub use keys::Signer;
pub use machine::MACHINE_SECRET;
pub use server::tls;

/// A running stand-in. It ends with the test's runtime.
#[derive(Clone, Debug)]
pub struct Entra {
    /// Where it is, as `https://localhost:PORT`: the authority's host, and Graph's.
    pub url: String,
    /// Where the endpoints of managed identities are, as `http://127.0.0.1:PORT`.
    pub machine_url: String,
    state: Arc<Mutex<State>>,
    folder: Arc<tempfile::TempDir>,
}

/// Everything it knows.
#[derive(Debug)]
pub struct State {
    /// Its own URL.
    pub(crate) origin: String,
    /// Users, groups, applications.
    pub directory: Directory,
    /// Its signing keys.
    pub(crate) keys: keys::Keys,
    /// Codes, refresh tokens and sessions that were given out.
    pub(crate) given: directory::Given,
    /// What is broken.
    pub trouble: Trouble,
    /// Documents at `/documents/NAME`, such as a client's own: not Entra's, but a site with a certificate that the tests trust.
    pub documents: std::collections::BTreeMap<String, Value>,
    /// What it was asked, as `METHOD /path`, oldest first.
    pub asked: Vec<String>,
}

/// What a test can break.
#[derive(Clone, Debug, Default)]
pub struct Trouble {
    /// Sign-in endpoints, discovery and keys answer 503.
    pub login: bool,
    /// Graph answers 500.
    pub graph: bool,
    /// How far its clock is ahead, in seconds.
    pub clock: i64,
    /// How long access tokens live, in seconds, instead of 60 to 90 minutes.
    pub lifetime: Option<i64>,
    /// The resources that Conditional Access asks more for: of a client that showed no second factor.
    pub second_factor: Vec<String>,
}

impl Entra {
    /// Starts one on free ports of the loopback.
    pub async fn start() -> Self {
        server::start().await
    }

    /// The certificate that a client must trust, as PEM.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The gateway's certificate that the application knows, as PEM, and its key.
    pub fn client_certificate(&self) -> (PathBuf, PathBuf) {
        (self.folder.path().join("gateway.crt"), self.folder.path().join("gateway.key"))
    }

    /// The authority of the tenant, as `https://localhost:PORT/TENANT`.
    pub fn authority_url(&self) -> String {
        format!("{}/{TENANT}", self.url)
    }

    /// The issuer of the tenant's v2.0 tokens.
    pub fn issuer(&self) -> String {
        format!("{}/{TENANT}/v2.0", self.url)
    }

    /// Changes the directory or what is broken, or reads from them.
    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }

    /// Lets the gateway's application redirect to this URI.
    pub fn register_redirect(&self, uri: &str) {
        self.change(|state| state.directory.app_mut(GATEWAY).redirect_uris.push(uri.to_owned()));
    }

    /// Disables a user, whose refresh tokens end with that.
    pub fn disable(&self, user: &str) {
        self.change(|state| state.directory.user_mut(user).enabled = false);
    }

    /// Revokes a user's sessions: what was given out before now is no longer taken.
    pub fn revoke(&self, user: &str) {
        self.change(|state| {
            let now = state.now();
            state.directory.user_mut(user).valid_from = now + 1;
        });
    }

    /// Signs with a new key from now on. The old one stays published until [`Entra::forget_old_keys`].
    pub fn rotate_keys(&self) {
        self.change(|state| state.keys.rotate());
    }

    /// Publishes the newest key alone.
    pub fn forget_old_keys(&self) {
        self.change(|state| state.keys.forget_old());
    }

    /// How often it was asked for what begins so, such as `GET /hostile`.
    pub fn asked(&self, beginning: &str) -> usize {
        self.change(|state| state.asked.iter().filter(|line| line.starts_with(beginning)).count())
    }

    /// An access token for a user, as if they had signed in by this client.
    pub fn user_token(&self, user: &str, client: &str, scopes: &[&str]) -> String {
        self.change(|state| mint::for_tests(state, Some(user), client, GATEWAY, scopes))
    }

    /// An access token of an application without a user.
    pub fn app_token(&self, client: &str, resource: &str) -> String {
        self.change(|state| mint::for_tests(state, None, client, resource, &[]))
    }

    /// A token with any claims, signed by one of its keys.
    pub fn sign(&self, signer: Signer, claims: &Value) -> String {
        self.change(|state| state.keys.sign(signer, "2.0", claims))
    }

    /// Has an application take a subject of its own issuer for proof, and gives the subject's token: what a
    /// workload has in a file.
    pub fn federate(&self, app: &str, subject: &str) -> String {
        let issuer = self.issuer();
        let now = self.change(|state| {
            state.directory.app_mut(app).federated = vec![(issuer.clone(), subject.to_owned())];
            state.now()
        });
        self.sign(
            Signer::Current,
            &json!({
                "iss": issuer, "sub": subject, "aud": "api://AzureADTokenExchange", "iat": now,
                "nbf": now, "exp": now + 600,
            }),
        )
    }
}

impl State {
    /// Seconds since 1970, by its own clock.
    pub fn now(&self) -> i64 {
        jiff::Timestamp::now().as_second() + self.trouble.clock
    }
}
