//! The conformance suite, through the gateway: each required scenario of both revisions, in front of
//! each kind of upstream, without a single expected failure.

use e2e::{Gateway, Upstream, binary, client_suite, server_suite};

const REVISIONS: [&str; 2] = ["2025-11-25", "2026-07-28"];

async fn in_front_of_stdio(era: &str) -> Gateway {
    let command = binary("everything");
    Gateway::start(&format!(
        "[servers.one]\ncommand = {command:?}\nargs = [\"stdio\", \"--era\", \"{era}\"]\n"
    ))
    .await
}

async fn in_front_of_http(upstream: &Upstream) -> Gateway {
    let url = &upstream.url;
    Gateway::start(&format!("[servers.one]\nurl = \"{url}\"\nallow-private = true\n")).await
}

async fn stdio(era: &str, revision: &str) {
    let gateway = in_front_of_stdio(era).await;
    let verdict = server_suite(&gateway.url("/mcp/one"), revision).await;
    verdict.assert_perfect(&format!("{revision} in front of stdio, {era}"));
}

async fn http(era: &str, revision: &str) {
    let upstream = Upstream::fixture("everything", &["--era", era]).await;
    let gateway = in_front_of_http(&upstream).await;
    let verdict = server_suite(&gateway.url("/mcp/one"), revision).await;
    verdict.assert_perfect(&format!("{revision} in front of HTTP, {era}"));
}

#[tokio::test]
async fn handshake_clients_of_handshake_http() {
    http("handshake", REVISIONS[0]).await;
}

#[tokio::test]
async fn handshake_clients_of_handshake_stdio() {
    stdio("handshake", REVISIONS[0]).await;
}

#[tokio::test]
async fn handshake_clients_of_stateless_http() {
    http("stateless", REVISIONS[0]).await;
}

#[tokio::test]
async fn handshake_clients_of_stateless_stdio() {
    stdio("stateless", REVISIONS[0]).await;
}

#[tokio::test]
async fn stateless_clients_of_handshake_http() {
    http("handshake", REVISIONS[1]).await;
}

#[tokio::test]
async fn stateless_clients_of_handshake_stdio() {
    stdio("handshake", REVISIONS[1]).await;
}

#[tokio::test]
async fn stateless_clients_of_stateless_http() {
    http("stateless", REVISIONS[1]).await;
}

#[tokio::test]
async fn stateless_clients_of_stateless_stdio() {
    stdio("stateless", REVISIONS[1]).await;
}

/// The fixture must be beyond reproach itself.
#[tokio::test]
async fn the_fixture_alone() {
    let upstream = Upstream::fixture("everything", &[]).await;
    for revision in REVISIONS {
        server_suite(&upstream.url, revision).await.assert_perfect(&format!("{revision}, direct"));
    }
}

#[tokio::test]
async fn towards_upstreams_of_2025_11_25() {
    let verdict = client_suite(env!("CARGO_BIN_EXE_through"), REVISIONS[0]).await;
    verdict.assert_perfect("client mode, 2025-11-25");
}

#[tokio::test]
async fn towards_upstreams_of_2026_07_28() {
    let verdict = client_suite(env!("CARGO_BIN_EXE_through"), REVISIONS[1]).await;
    verdict.assert_perfect("client mode, 2026-07-28");
}
