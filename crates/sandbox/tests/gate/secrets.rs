//! Placeholders become secrets on the way out, and secrets placeholders on the way in.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::Request;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{Bench, SECRET, rule, secret};

async fn bench() -> Bench {
    let rules = vec![rule("api.test", 443), rule("other.test", 443), rule("api.test", 80)];
    Bench::new(rules, vec![secret("api.test")]).await
}

#[tokio::test]
async fn out_and_back_in_both_versions() {
    let bench = bench().await;
    let bearer = format!("Bearer {}", bench.placeholder);
    for version in ["http/1.1", "h2"] {
        for path in ["/", "/pieces"] {
            let request = Request::get(format!("https://api.test{path}?key={}", bench.placeholder));
            let request = request.header("authorization", &bearer).header("te", "trailers");
            let request = request.header("accept-encoding", "gzip, br").body("").unwrap();
            let answer = bench.ask(version, request).await;
            let seen = bench.origin.seen().pop().unwrap();
            assert_eq!(seen.headers["authorization"], format!("Bearer {SECRET}"));
            assert_eq!(seen.headers["accept-encoding"], "identity");
            assert!(seen.target.ends_with(&format!("?key={SECRET}")), "{}", seen.target);
            assert!(answer.body.contains(&bearer), "{version} {path}: {}", answer.body);
            let shown = format!("{answer:?}");
            assert!(!shown.contains(SECRET), "{version} {path}: {shown}");
            let told = answer.headers.get("x-told").or(answer.trailers.get("x-told")).unwrap();
            assert_eq!(told, &bearer);
        }
    }
}

#[tokio::test]
async fn basic_credentials_and_their_echo() {
    let bench = bench().await;
    let sent = BASE64_STANDARD.encode(format!("git:{}", bench.placeholder));
    let real = BASE64_STANDARD.encode(format!("git:{SECRET}"));
    let answer = bench.get("/", Some(("authorization", &format!("Basic {sent}")))).await;
    assert_eq!(bench.origin.seen()[0].headers["authorization"], format!("Basic {real}"));
    assert!(answer.body.contains(&sent) && !answer.body.contains(&real), "{}", answer.body);
}

#[tokio::test]
async fn a_placeholder_goes_nowhere_else() {
    let bench = bench().await;
    let bearer = format!("Bearer {}", bench.placeholder);
    let elsewhere = Request::get("https://other.test/").header("authorization", &bearer);
    assert_eq!(bench.ask("h2", elsewhere.body("").unwrap()).await.status, 403);
    let event = bench.refused("placeholder").await;
    assert_eq!(event.subject.host, "other.test");
    assert_eq!(bench.get("/", Some(("x-api-key", &bearer))).await.status, 403);
    let stream = bench.tunnel("api.test:80").await.unwrap();
    let plain = Request::get("http://api.test/").header("authorization", &bearer);
    let answer = crate::support::send(stream, "http/1.1", plain.body("").unwrap()).await;
    assert_eq!(answer.status, 403);
    bench.refused("plaintext").await;
    assert!(bench.origin.seen().is_empty());
}

#[tokio::test]
async fn an_answer_that_cannot_be_looked_through_is_refused() {
    let bench = bench().await;
    let answer = bench.get("/compressed", Some(("authorization", &bench.placeholder))).await;
    assert_eq!(answer.status, 502);
    bench.refused("encoding").await;
}

/// What the server in the sandbox chooses must not hide the secret from the search.
#[tokio::test]
async fn an_answer_is_asked_for_whole_and_as_it_is() {
    let bench = bench().await;
    let request = Request::get("https://api.test/")
        .header("authorization", &bench.placeholder)
        .header("range", "bytes=0-9")
        .header("if-range", "x")
        .header("accept-charset", "utf-16")
        .header("te", "gzip, trailers")
        .header("connection", "te");
    let answer = bench.ask("http/1.1", request.body("").unwrap()).await;
    assert_eq!(answer.status, 200);
    let seen = bench.origin.seen().pop().unwrap();
    for name in ["range", "if-range", "accept-charset"] {
        assert!(!seen.headers.contains_key(name), "{name}");
    }
    assert_eq!(seen.headers["te"], "trailers");
}

#[tokio::test]
async fn a_method_beside_the_request_gets_no_secret() {
    let rules = vec![rule("api.test", 443)];
    let mut read_only = secret("api.test");
    read_only.methods = vec![http::Method::POST];
    let bench = Bench::new(rules, vec![read_only]).await;
    let request = Request::post("https://api.test/").header("authorization", &bench.placeholder);
    let request = request.header("x-http-method-override", "DELETE");
    assert_eq!(bench.ask("http/1.1", request.body("").unwrap()).await.status, 403);
    bench.refused("placeholder").await;
    assert!(bench.origin.seen().is_empty());
}

#[tokio::test]
async fn websockets_are_looked_through() {
    let bench = bench().await;
    let stream = bench.tunnel("api.test:443").await.unwrap();
    let mut stream = bench.tls(stream, "api.test", b"http/1.1").await.unwrap();
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: api.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Extensions: permessage-deflate\r\nAuthorization: {}\r\n\r\n",
        bench.placeholder
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    stream.write_all(b"frame").await.unwrap();
    let mut echo = vec![0; 5 + SECRET.len()];
    stream.read_exact(&mut echo).await.unwrap();
    assert_eq!(String::from_utf8(echo).unwrap(), format!("frame{}", bench.placeholder));
    let seen = bench.origin.seen().pop().unwrap();
    assert_eq!(seen.headers["authorization"], SECRET);
    assert!(!seen.headers.contains_key("sec-websocket-extensions"));
}
