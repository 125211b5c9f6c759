//! Nothing outlives the credential it began with: streams close, sessions end, remembered tokens are forgotten.

use std::time::Duration;

use http::{Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::{doors::Open, until};

const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);

/// Reads a stream to its end; whether it came within half a minute.
async fn ends(response: Response<Incoming>) -> bool {
    let mut body = response.into_body();
    let read = async { while body.frame().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(30), read).await.is_ok()
}

fn listen() -> Value {
    json!({"jsonrpc":"2.0","id":"s","method":"subscriptions/listen","params":{
    "notifications":{"toolsListChanged":true},
    "_meta":{
        "io.modelcontextprotocol/protocolVersion":"2026-07-28",
        "io.modelcontextprotocol/clientCapabilities":{},
    }}})
}

const STATELESS: [(&str, &str); 2] =
    [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "subscriptions/listen")];

#[tokio::test]
async fn a_subscription_ends_with_its_token() {
    let open = Open::new(HOUR).await;
    let short = open.issuer.token("alice", 2, json!({}));
    let stream = open.asks("POST", "/mcp", Some(&short), &STATELESS, listen()).await;
    assert_eq!(stream.status(), StatusCode::OK);
    assert!(ends(stream).await, "the stream outlived its token");
}

#[tokio::test]
async fn a_sessions_stream_ends_with_its_token_and_so_does_the_pair_of_the_oldest_revision() {
    let open = Open::new(HOUR).await;
    let short = open.issuer.token("alice", 3, json!({}));
    let begun = open.initialize(&short).await;
    let session = begun.headers()["mcp-session-id"].to_str().unwrap().to_owned();
    let with = [("mcp-session-id", session.as_str())];
    let stream = open.asks("GET", "/mcp", Some(&short), &with, Value::Null).await;
    assert_eq!(stream.status(), StatusCode::OK);
    let old = open.issuer.token("alice", 3, json!({"aud":"https://mcp.example.com"}));
    let pair = open.asks("GET", "/sse", Some(&old), &[], Value::Null).await;
    assert_eq!(pair.status(), StatusCode::OK);
    assert!(ends(stream).await, "the session's stream outlived its token");
    assert!(ends(pair).await, "the pair outlived its token");
}

#[tokio::test]
async fn a_session_lasts_as_long_as_the_newest_token_and_then_ends() {
    let open = Open::new(HOUR).await;
    let short = open.issuer.token("alice", 2, json!({}));
    let begun = open.initialize(&short).await;
    let session = begun.headers()["mcp-session-id"].to_str().unwrap().to_owned();
    let with = [("mcp-session-id", session.as_str())];
    let ping = || json!({"jsonrpc":"2.0","id":2,"method":"ping"});
    let longer = open.issuer.token("alice", 600, json!({}));
    let status = async || open.asks("POST", "/mcp", Some(&longer), &with, ping()).await.status();
    assert_eq!(status().await, StatusCode::OK);
    let end = crate::issuer::now() + 2;
    until("time stands still", async || crate::issuer::now() > end).await;
    open.gate.gateway.end_outlived_sessions().await;
    assert_eq!(status().await, StatusCode::OK, "a newer token was shown since");
    let begun = open.initialize(&open.issuer.token("bob", 2, json!({}))).await;
    let session = begun.headers()["mcp-session-id"].to_str().unwrap().to_owned();
    let sessions = open.gate.gateway.sessions();
    until("bob's session outlived his token", async || {
        open.gate.gateway.end_outlived_sessions().await;
        open.gate.gateway.sessions() < sessions
    })
    .await;
    let with = [("mcp-session-id", session.as_str())];
    let again = open.issuer.token("bob", 600, json!({}));
    let gone = open.asks("POST", "/mcp", Some(&again), &with, ping()).await;
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_revoked_token_ends_its_stream_and_session_within_the_interval() {
    let open = Open::new(SECOND).await;
    let (text, hash) = identity::mint([7; 32]);
    // As the command line does it, beside the running gateway.
    let store = store::Store::open(&open.gate.config.state_dir.join("bartizan.db")).await.unwrap();
    let token = store::Token {
        name: "ci".into(),
        roles: vec![],
        hash: *hash.as_bytes(),
        created: 1,
        expires: None,
        revoked: None,
    };
    store.token_insert(&token).await.unwrap();
    let begun = open.initialize(&text).await;
    let session = begun.headers()["mcp-session-id"].to_str().unwrap().to_owned();
    let stream = open.asks("POST", "/mcp", Some(&text), &STATELESS, listen()).await;
    assert_eq!(stream.status(), StatusCode::OK);
    store.token_revoke("ci", 2).await.unwrap();
    assert!(ends(stream).await, "the stream outlived the revocation");
    let with = [("mcp-session-id", session.as_str())];
    let ping = json!({"jsonrpc":"2.0","id":2,"method":"ping"});
    until("the revoked token is still believed", async || {
        open.asks("POST", "/mcp", Some(&text), &with, ping.clone()).await.status()
            == StatusCode::UNAUTHORIZED
    })
    .await;
}

#[tokio::test]
async fn a_provider_that_is_taken_out_takes_its_callers_along() {
    let open = Open::new(SECOND).await;
    let token = open.issuer.token("alice", 600, json!({}));
    let stream = open.asks("POST", "/mcp", Some(&token), &STATELESS, listen()).await;
    assert_eq!(stream.status(), StatusCode::OK);
    let mut config = open.gate.config.clone();
    config.identity.providers.clear();
    open.gate.gateway.apply(config).await.unwrap();
    assert!(ends(stream).await);
    assert_eq!(open.gate.refuses(&token).await, "token_issuer");
}
