//! `through URL`: starts a gateway in front of an upstream, and runs the reference client through it.
//! The conformance suite's client mode takes this for the client.
#![forbid(unsafe_code)]

use e2e::{Gateway, node, source};
use serde_json::Value;

#[tokio::main]
async fn main() {
    let url = std::env::args().next_back().unwrap();
    let configuration =
        format!("[servers.upstream]\nurl = {url:?}\nallow-private = true\n{}", oauth());
    let gateway = Gateway::start(&configuration).await;
    let mut client = tokio::process::Command::new(node());
    client.arg(source("clients/conformance.mjs")).arg(gateway.url("/mcp/upstream"));
    let status = client.status().await.unwrap();
    if !status.success() {
        eprintln!("{}", gateway.log());
    }
    drop(gateway);
    std::process::exit(status.code().unwrap_or(1));
}

/// The document that the suite expects as the client's id.
const DOCUMENT: &str = "https://conformance-test.local/client-metadata.json";

/// How the gateway is known to the scenario's authorization server.
fn oauth() -> String {
    let text = |name| std::env::var(name).unwrap_or_default();
    if !text("MCP_CONFORMANCE_SCENARIO").starts_with("auth/") {
        return String::new();
    }
    let context: Value = serde_json::from_str(&text("MCP_CONFORMANCE_CONTEXT")).unwrap_or_default();
    let mut oauth = format!("[servers.upstream.oauth]\nclient-document = {DOCUMENT:?}\n");
    for (key, member) in
        [("client-id", "client_id"), ("client-secret", "client_secret"), ("issuer", "issuer")]
    {
        if let Some(value) = context[member].as_str() {
            oauth += &format!("{key} = {value:?}\n");
        }
    }
    oauth
}
