//! What somebody whom nobody knows can make of the sign-in: a client that registered itself, guesses, links that were sent on, and
//! servers that name other authorization servers than theirs.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use e2e::{Client, Era, Gateway, Request, run};
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use serde_json::{Value, json};

use crate::place::{Browser, Place, text};

/// A client that registered itself, with this way back.
async fn registered(place: &Place, redirect: &str) -> crate::place::Client {
    let (status, answer) = place.register(json!({ "redirect_uris": [redirect] })).await;
    assert_eq!(status, 201, "{answer}");
    let (id, redirect) = (text(&answer, "client_id").to_owned(), redirect.to_owned());
    crate::place::Client { id, redirect, ..place.client().await }
}

#[tokio::test]
async fn a_link_to_the_sign_in_leads_nowhere_else_before_somebody_wants_it() {
    let place = Place::open("").await;
    for hidden in [
        "https:/evil.example/cb?u=://claude.ai/",
        "https:evil.example/cb",
        "https:///evil.example/cb",
        "HTTP://127.0.0.1/cb",
    ] {
        let (status, answer) = place.register(json!({ "redirect_uris": [hidden] })).await;
        assert_eq!((status, text(&answer, "error")), (400, "invalid_redirect_uri"), "{hidden}");
    }
    let client = registered(&place, "https://evil.example/cb").await;
    let wrong = [("response_type", "x")];
    let mut reply = Browser::default().get(&place, &client.authorize(&wrong)).await;
    assert_eq!((reply.status, reply.header("location")), (StatusCode::BAD_REQUEST, ""));
    let page = reply.text().await;
    assert!(page.contains("Back to evil.example") && page.contains("Request <code>"), "{page}");
    assert!(page.contains("error=unsupported_response_type"), "the way back is a link: {page}");
    assert!(!page.contains("http-equiv"), "{page}");
    // A program on the person's own machine hears of it at once.
    let native = registered(&place, "http://127.0.0.1:4711/cb").await;
    let reply = Browser::default().get(&place, &native.authorize(&wrong)).await;
    assert!(reply.header("location").starts_with("http://127.0.0.1:4711/cb?error="));
}

/// The records of refusals: who, what, and why.
async fn refusals(gateway: &Gateway) -> Vec<[String; 4]> {
    let mut search = gateway.command();
    let found = run(search.args(["audit", "search", "--output", "json"])).await;
    let found: Vec<Value> = serde_json::from_str(&found).unwrap();
    let refused = found.iter().filter(|record| record["outcome"] == "refused");
    let of = |record: &Value, name: &str| record[name].as_str().unwrap_or_default().to_owned();
    refused
        .map(|record| ["kind", "method", "client", "refusal"].map(|name| of(record, name)))
        .collect()
}

#[tokio::test]
async fn each_refused_step_is_recorded_and_guessing_ends() {
    let place = Place::open(
        "[sign-in.clients.build]\nsecret = \"the right secret of this client\"\nworkload = true\n",
    )
    .await;
    let try_secret = async |secret: &str| {
        let form = [("grant_type", "client_credentials"), ("client_id", "build")];
        place.token(&[form[0], form[1], ("client_secret", secret)]).await
    };
    assert_eq!(try_secret("the right secret of this client").await.0, 200);
    for count in 0..20 {
        let (status, answer) = try_secret(&format!("guess {count}")).await;
        assert_eq!((status, text(&answer, "error")), (401, "invalid_client"), "{count}");
    }
    let (status, answer) = try_secret("the right secret of this client").await;
    assert_eq!((status, text(&answer, "error")), (503, "temporarily_unavailable"));

    let client = place.client().await;
    assert_eq!(client.redeem(&place, "unknown").await.0, 400);
    assert_eq!(client.refresh(&place, "unknown").await.0, 400);
    assert_eq!(place.register(json!({})).await.0, 400);
    let stranger = [("client_id", "nobody"), ("token", "x")];
    assert_eq!(place.post("/oauth/revoke", &stranger, &[]).await.0, 401);
    assert_eq!(place.post("/oauth/device_authorization", &stranger, &[]).await.0, 401);
    let bearer = [("authorization", "Bearer bzt_wrong")];
    assert_eq!(place.post("/oauth/introspect", &stranger, &bearer).await.0, 401);
    let token = place.gateway.token("ci").await;
    let bearer = format!("Bearer {token}");
    let known = [("authorization", bearer.as_str())];
    assert_eq!(place.post("/oauth/introspect", &stranger, &known).await.0, 401, "not its to see");
    let mut stray = Request::post(&place.gateway.address, "/messages?session=x", "{}");
    stray = stray.header("authorization", &bearer);
    assert_eq!(stray.send().await.status, StatusCode::NOT_FOUND);

    let refusals = refusals(&place.gateway).await;
    let count = |wanted: [&str; 4]| refusals.iter().filter(|record| **record == wanted).count();
    assert_eq!(count(["grant", "token", "build", "invalid_client"]), 20, "{refusals:?}");
    for wanted in [
        ["grant", "token", "build", "temporarily_unavailable"],
        ["grant", "register", "", "invalid_redirect_uri"],
        ["grant", "revoke", "", "invalid_client"],
        ["grant", "device", "", "invalid_client"],
        ["auth", "", "", "authentication"],
        ["refusal", "", "", "denied"],
        ["refusal", "", "", "session-unknown"],
    ] {
        assert_eq!(count(wanted), 1, "{wanted:?}: {refusals:?}");
    }
    assert_eq!(count(["grant", "token", &client.id, "invalid_grant"]), 2, "{refusals:?}");
}

/// A server that lets nobody in, and what it says of itself.
struct Closed {
    /// Its origin.
    url: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Closed {
    /// `challenge` is what its 401 says; `documents` are what it has at which paths. `SELF` stands for its origin.
    async fn start(challenge: &str, documents: Vec<(&'static str, Value)>) -> Closed {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (challenge, own, kept) = (challenge.to_owned(), url.clone(), seen.clone());
        let service = service_fn(move |request: http::Request<Incoming>| {
            let (challenge, own, kept) = (challenge.clone(), own.clone(), kept.clone());
            let path = request.uri().path().to_owned();
            let document = documents.iter().find(|(at, _)| *at == path);
            let document = document.map(|(_, document)| document.to_string().replace("SELF", &own));
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await?.to_bytes();
                let body = String::from_utf8_lossy(&body).into_owned();
                kept.lock().unwrap().push(format!("{path} {:?} {body}", head.headers));
                let response = match document {
                    Some(document) => Response::builder()
                        .header("content-type", "application/json")
                        .body(Full::new(Bytes::from(document))),
                    None if path == "/mcp" => Response::builder()
                        .status(401)
                        .header("www-authenticate", challenge)
                        .body(Full::default()),
                    None => Response::builder().status(404).body(Full::default()),
                };
                Ok::<_, hyper::Error>(response.unwrap())
            }
        });
        e2e::serve(listener, service);
        Closed { url, seen }
    }

    /// Everything that it was sent.
    fn seen(&self) -> String {
        self.seen.lock().unwrap().join("\n")
    }

    /// An authorization server, which gives no tokens.
    async fn issuer() -> Closed {
        let about = json!({
            "issuer": "SELF", "authorization_endpoint": "SELF/authorize", "token_endpoint": "SELF/token",
            "code_challenge_methods_supported": ["S256"],
        });
        Closed::start("Bearer", vec![("/.well-known/oauth-authorization-server", about)]).await
    }
}

#[tokio::test]
async fn links_open_for_whom_they_were_made() {
    let server = Closed::start("Bearer", vec![]).await;
    let configuration = |network: &str| {
        let url = &server.url;
        format!(
            "[network]\n{network}\n[servers.b]\nurl = \"{url}/mcp\"\nallow-private = true\noauth = {{}}\n"
        )
    };
    let gateway = Gateway::start(&configuration("trusted-proxies = [\"127.0.0.1/32\"]")).await;
    let link = async || {
        let client = Client::plain(&gateway.address, "/mcp/b", Era::Stateless).await;
        let refused = client.call("echo", json!({})).await;
        let link = refused["error"]["data"]["elicitations"][0]["url"].as_str();
        let link = link.unwrap_or_else(|| panic!("{refused}")).to_owned();
        link.strip_prefix(&format!("http://{}", gateway.address)).unwrap().to_owned()
    };
    let path = link().await;
    let open = async |forwarded: &str| {
        let mut request = Request::new(Method::GET, &gateway.address, &path);
        if !forwarded.is_empty() {
            request = request.header("x-forwarded-for", forwarded);
        }
        request.send().await.status
    };
    assert_eq!(open("").await, StatusCode::OK);
    assert_eq!(open("127.0.0.1").await, StatusCode::OK, "the trusted proxy says so");
    assert_eq!(open("203.0.113.9").await, StatusCode::FORBIDDEN, "somebody elsewhere");
    let refusals = refusals(&gateway).await;
    let wanted = ["grant", "connect", "", "not-yours"];
    assert!(refusals.iter().any(|record| *record == wanted), "{refusals:?}");

    // A proxy that nobody trusts: whoever comes through it is elsewhere, whatever it says.
    gateway.configure(&configuration(""));
    e2e::eventually("the proxy is not trusted", async || {
        open("127.0.0.1").await == StatusCode::FORBIDDEN
    })
    .await;
    gateway.configure(&configuration("deny = [\"127.0.0.1/32\"]"));
    e2e::eventually("nobody is let in from there", async || {
        open("").await == StatusCode::FORBIDDEN
    })
    .await;
}

#[tokio::test]
async fn a_secret_goes_to_the_issuer_that_the_operator_named() {
    let (theirs, evil) = (Closed::issuer().await, Closed::issuer().await);
    let about = json!({ "resource": "SELF/mcp", "authorization_servers": [evil.url] });
    let documents = vec![("/.well-known/oauth-protected-resource/mcp", about)];
    let server = Closed::start("Bearer", documents).await;
    for (issuer, receives) in [(&theirs, false), (&evil, true)] {
        let gateway = Gateway::start(&format!(
            "[servers.b]\nurl = \"{}/mcp\"\nallow-private = true\n[servers.b.oauth]\ngrant = \"client\"\n\
             client-id = \"bartizan\"\nclient-secret = \"s3cret-of-the-client\"\nissuer = \"{}\"\n",
            server.url, issuer.url
        ))
        .await;
        let client = Client::plain(&gateway.address, "/mcp/b", Era::Stateless).await;
        let refused = client.call("echo", json!({})).await;
        assert!(refused.get("error").is_some(), "{refused}");
        assert!(evil.seen().contains("/.well-known/"), "{}", evil.seen());
        assert_eq!(evil.seen().contains("/token "), receives, "{}", evil.seen());
        assert_eq!(theirs.seen(), "");
    }
}

#[tokio::test]
async fn a_server_sends_bartizan_to_no_address_within() {
    let within = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = within.local_addr().unwrap().port();
    for host in ["127.0.0.1", "localhost"] {
        let challenge = format!("Bearer resource_metadata=\"https://{host}:{port}/meta\"");
        let server = Closed::start(&challenge, vec![]).await;
        let gateway = Gateway::start(&format!(
            "[servers.b]\nurl = \"{}/mcp\"\n[servers.b.oauth]\ngrant = \"client\"\nclient-id = \"bartizan\"\n\
             client-secret = \"s3cret-of-the-client\"\nissuer = \"https://as.example\"\n",
            server.url
        ))
        .await;
        let client = Client::plain(&gateway.address, "/mcp/b", Era::Stateless).await;
        let refused = client.call("echo", json!({})).await;
        assert!(refused.get("error").is_some(), "{refused}");
        assert!(server.seen().contains("/.well-known/"), "its own documents were looked for");
        let called = std::future::poll_fn(|cx| std::task::Poll::Ready(within.poll_accept(cx)));
        assert!(called.await.is_pending(), "{host}: nobody was sent there");
    }
}
