//! What the end-to-end tests share: the real `bartizan` binary in a folder of its own, servers to
//! put behind it, and a client that says exactly what a test wants said.
//!
//! Nothing here knows more of MCP than it must: the tests look at the wire, not at a library's
//! reading of it.
#![forbid(unsafe_code)]

mod client;
mod gateway;
mod guarded;
mod http;
mod inspector;
mod keyring;
mod place;
mod provider;
mod served;
mod signin;
mod suite;
mod tools;
mod upstream;

pub use client::{Client, Era, VERSION_KEY};
pub use gateway::Gateway;
pub use guarded::Guarded;
pub use http::{Reply, Request};
pub use inspector::Inspector;
pub use keyring::Keyring;
pub use place::Place;
pub use provider::{OidcProvider, PROVIDER_SECRET};
pub use served::serve;
pub use signin::{Person, Sdk, SigningClient};
pub use suite::{Verdict, authorization_suite, client_suite, server_suite};
pub use tools::{binary, environment, node, node_module, python, run, source};
pub use upstream::Upstream;

use std::time::{Duration, Instant};

/// How long anything may take that takes a moment.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A URL of this machine at which nobody listens yet.
pub fn free_url() -> String {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://localhost:{}", free.local_addr().unwrap().port())
}

/// Waits until something is so, and fails the test when it never is.
pub async fn eventually<F: AsyncFnMut() -> bool>(what: &str, mut so: F) {
    let start = Instant::now();
    while !so().await {
        assert!(start.elapsed() < PATIENCE, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
