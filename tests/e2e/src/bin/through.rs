//! `through URL`: starts a gateway in front of an upstream, and runs the reference client through it.
//! The conformance suite's client mode takes this for the client.
#![forbid(unsafe_code)]

use e2e::{Gateway, node, source};

#[tokio::main]
async fn main() {
    let url = std::env::args().next_back().unwrap();
    let configuration = format!("[servers.upstream]\nurl = {url:?}\nallow-private = true\n");
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
