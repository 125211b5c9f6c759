//! The gateway as a protected resource: metadata, challenges, tokens for another door, and what one
//! principal may not do with another's session.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use gateway::{config::Config, door::Running};
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use crate::{Gate, issuer::Issuer};

const HOUR: Duration = Duration::from_secs(3600);

/// A gateway that listens, known as `https://mcp.example.com`.
pub struct Open {
    pub gate: Gate,
    pub issuer: Issuer,
    pub running: Running,
}

impl Open {
    pub async fn new(recheck: Duration) -> Open {
        Open::with(recheck, |config| config.public_url = Some("https://mcp.example.com".into()))
            .await
    }

    pub async fn with(recheck: Duration, change: impl FnOnce(&mut Config)) -> Open {
        let issuer = Issuer::start().await;
        let gate = Gate::with(recheck, vec![issuer.provider(HOUR, HOUR)], |config| {
            config.hosts = vec!["mcp.example.com".into()];
            change(config);
        })
        .await;
        let running = gate.gateway.listen_on_doors().await.unwrap();
        Open { gate, issuer, running }
    }

    pub fn address(&self) -> SocketAddr {
        self.running.address()
    }

    /// One request; a token is shown where there is one.
    pub async fn asks(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        more: &[(&str, &str)],
        body: Value,
    ) -> Response<Incoming> {
        let stream = tokio::net::TcpStream::connect(self.address()).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "mcp.example.com")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, text/event-stream");
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        sender.send_request(request.body(Full::new(body)).unwrap()).await.unwrap()
    }

    pub async fn gets(&self, path: &str) -> Response<Incoming> {
        self.asks("GET", path, None, &[], Value::Null).await
    }

    pub async fn initialize(&self, token: &str) -> Response<Incoming> {
        let hello = json!({"jsonrpc":"2.0","id":1,"method":"initialize","params":{
            "protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}});
        self.asks("POST", "/mcp", Some(token), &[], hello).await
    }
}

pub async fn text(response: Response<Incoming>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn challenge(headers: &HeaderMap) -> &str {
    headers[header::WWW_AUTHENTICATE].to_str().unwrap()
}

#[tokio::test]
async fn each_door_says_where_its_tokens_are_given_out() {
    let open = Open::new(HOUR).await;
    for (path, resource) in [
        ("/.well-known/oauth-protected-resource", "https://mcp.example.com/mcp"),
        ("/.well-known/oauth-protected-resource/mcp", "https://mcp.example.com/mcp"),
        ("/.well-known/oauth-protected-resource/mcp/demo", "https://mcp.example.com/mcp/demo"),
        ("/.well-known/oauth-protected-resource/sse", "https://mcp.example.com/sse"),
    ] {
        let response = open.gets(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let document: Value = serde_json::from_str(&text(response).await).unwrap();
        assert_eq!(document["resource"], resource, "{path}");
        assert_eq!(document["authorization_servers"], json!([open.issuer.url]));
        assert_eq!(document["scopes_supported"], json!(["mcp"]));
        assert_eq!(document["bearer_methods_supported"], json!(["header"]));
    }
    for path in ["/other", "/mcp/a/b", "/mcp/UPPER", "/healthz", "/messages", "/../mcp"] {
        let path = format!("/.well-known/oauth-protected-resource{path}");
        assert_eq!(open.gets(&path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn without_a_public_url_the_resource_is_what_the_client_called() {
    let open = Open::with(HOUR, |_| {}).await;
    let document = text(open.gets("/.well-known/oauth-protected-resource/mcp").await).await;
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["resource"], "http://mcp.example.com/mcp");
}

#[tokio::test]
async fn challenges_lead_to_the_metadata() {
    let open = Open::new(HOUR).await;
    let metadata =
        "resource_metadata=\"https://mcp.example.com/.well-known/oauth-protected-resource";
    let missing = open.gets("/mcp/demo").await;
    assert_eq!(missing.status(), StatusCode::UNAUTHORIZED);
    let said = challenge(missing.headers());
    assert!(said.starts_with("Bearer ") && !said.contains("error="), "{said}");
    assert!(
        said.contains(&format!("{metadata}/mcp/demo\"")) && said.contains("scope=\"mcp\""),
        "{said}"
    );

    let expired = open.issuer.token("alice", 0, json!({"exp": 7}));
    let refused = open.asks("POST", "/mcp", Some(&expired), &[], json!({})).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let said = challenge(refused.headers()).to_owned();
    assert!(said.contains("error=\"invalid_token\"") && said.contains(metadata), "{said}");

    let good = open.issuer.token("alice", 600, json!({}));
    let in_query = open.gets(&format!("/mcp?access_token={good}")).await;
    assert_eq!(in_query.status(), StatusCode::BAD_REQUEST);
    assert!(challenge(in_query.headers()).contains("error=\"invalid_request\""));
    let twice = [("authorization", format!("Bearer {good}"))];
    let twice: Vec<_> = twice.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let several = open.asks("GET", "/mcp", Some(&good), &twice, Value::Null).await;
    assert_eq!(several.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_token_opens_the_door_that_it_was_issued_for() {
    let open = Open::new(HOUR).await;
    let token = |audience: &str| {
        open.issuer.token("alice", 600, json!({"aud":format!("https://mcp.example.com{audience}")}))
    };
    let status = async |path: &str, token: String| {
        open.asks("GET", path, Some(&token), &[], Value::Null).await.status()
    };
    // 400: in, and asked for a session. 404: in, and there is no such server.
    assert_eq!(status("/mcp", token("/mcp")).await, StatusCode::BAD_REQUEST);
    assert_eq!(status("/mcp/demo", token("/mcp")).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status("/mcp/demo", token("/mcp/demo")).await, StatusCode::NOT_FOUND);
    assert_eq!(status("/mcp", token("/mcp/demo")).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status("/sse/demo", token("/mcp")).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status("/mcp/demo", token("")).await, StatusCode::NOT_FOUND);
    assert_eq!(status("/mcp", token("")).await, StatusCode::BAD_REQUEST);
    assert_eq!(status("/mcp", token("/other")).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn what_more_scopes_would_permit_is_asked_for_with_all_of_them() {
    let open = Open::with(HOUR, |config| {
        config.public_url = Some("https://mcp.example.com".into());
        config.servers = vec![gateway::config::Server {
            name: mcp::ServerName::new("docs").unwrap(),
            reach: gateway::config::Reach::Http {
                url: "http://127.0.0.1:1/mcp".parse().unwrap(),
                allow_private: true,
            },
            era: upstream::EraChoice::Stateless,
            shared: false,
            prewarm: false,
            timeout: Duration::from_secs(5),
            credentials: vault::Credentials::default(),
            oauth: None,
            exchange: None,
            first_use: trust::FirstUse::Approve,
            proofs: gateway::config::Proofs::default(),
            labels: policy::Labelled::default(),
        }];
        config.roles = vec![policy::Role {
            name: "readers".into(),
            members: vec!["scope:docs.read".parse().unwrap()],
            allow: vec![policy::Rule::plain("docs/*".parse().unwrap())],
            ..policy::Role::default()
        }];
    })
    .await;
    let uri = mcp::ServerName::new("docs").unwrap().wrap_uri("file:///a");
    let read = json!({"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":uri,
    "_meta":{
        "io.modelcontextprotocol/protocolVersion":"2026-07-28",
        "io.modelcontextprotocol/clientCapabilities":{},
    }}});
    let headers = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "resources/read"),
        ("mcp-name", uri.as_str()),
    ];
    let asks = async |scopes: &str| {
        let token = open.issuer.token("alice", 600, json!({"scope":scopes}));
        open.asks("POST", "/mcp", Some(&token), &headers, read.clone()).await
    };
    let refused = asks("mcp").await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let said = challenge(refused.headers());
    assert!(said.contains("error=\"insufficient_scope\", scope=\"mcp docs.read\""), "{said}");
    assert!(said.contains("resource_metadata=\"https://mcp.example.com/.well-known/"), "{said}");
    // Let through: that the server does not answer is told in band.
    assert_eq!(asks("mcp docs.read").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_session_shown_by_another_principal_does_not_exist() {
    let open = Open::new(HOUR).await;
    let alice = open.issuer.token("alice", 600, json!({}));
    let bob = open.issuer.token("bob", 600, json!({}));
    let begun = open.initialize(&alice).await;
    assert_eq!(begun.status(), StatusCode::OK);
    let session = begun.headers()["mcp-session-id"].to_str().unwrap().to_owned();
    let with = [("mcp-session-id", session.as_str())];
    let ping = json!({"jsonrpc":"2.0","id":2,"method":"ping"});
    for (token, status) in [(&alice, StatusCode::OK), (&bob, StatusCode::NOT_FOUND)] {
        let answer = open.asks("POST", "/mcp", Some(token), &with, ping.clone()).await;
        assert_eq!(answer.status(), status);
    }
    // Another token of the same person is the same person.
    let again = open.issuer.token("alice", 900, json!({}));
    let answer = open.asks("POST", "/mcp", Some(&again), &with, ping).await;
    assert_eq!(answer.status(), StatusCode::OK);
    for method in ["GET", "DELETE"] {
        let answer = open.asks(method, "/mcp", Some(&bob), &with, Value::Null).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{method}");
    }
}
