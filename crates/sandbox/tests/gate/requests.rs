//! What is allowed arrives as it was sent, and comes back as it was answered.

use http::Request;
use sandbox::gate::{Rules, Tls, Verdict};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Bench, LIMITS, rule, send};

#[tokio::test]
async fn both_versions_of_http_with_bodies_and_trailers() {
    let bench = Bench::new(vec![rule("api.test", 443), rule("*.wild.test", 443)], vec![]).await;
    for version in ["http/1.1", "h2"] {
        let body = "x".repeat(300_000);
        let request = Request::post("https://api.test/a/b?c=d").header("x-mine", "1");
        let answer = bench.ask(version, request.body(body.as_str()).unwrap()).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, " 300000"), "{version}");
        let seen = bench.origin.seen().pop().unwrap();
        assert_eq!(seen.body.len(), body.len());
        assert!(seen.target.ends_with("/a/b?c=d"));
        assert_eq!(seen.headers["x-mine"], "1");
        let expected = if version == "h2" { http::Version::HTTP_2 } else { http::Version::HTTP_11 };
        assert_eq!(seen.version, expected);

        let request = Request::get("https://a.wild.test/pieces").header("te", "trailers");
        let request = request.header("authorization", "told").body("").unwrap();
        let answer = bench.ask(version, request).await;
        assert_eq!(answer.body, "<told>");
        assert_eq!(answer.trailers["x-told"], "told", "{version}");
    }
    let posts: Vec<_> = bench.allowed();
    assert_eq!(
        posts,
        [("POST".to_owned(), "api.test".to_owned()), ("GET".to_owned(), "*.wild.test".to_owned())],
        "told once for each rule"
    );
}

#[tokio::test]
async fn plain_http_directly_and_through_the_proxy() {
    let bench = Bench::new(vec![rule("api.test", 80)], vec![]).await;
    let mut stream = TcpStream::connect(bench.proxy).await.unwrap();
    let request = "GET http://api.test/x HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // A server must never choose for itself which of its hosts is meant.
    let mut stream = TcpStream::connect(bench.proxy).await.unwrap();
    stream.write_all(b"GET http://api.test/x HTTP/1.0\r\n\r\n").await.unwrap();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(bench.origin.seen()[1].headers["host"], "api.test");
    let stream = bench.tunnel("api.test:80").await.unwrap();
    let request = Request::get("http://api.test/y").body("").unwrap();
    assert_eq!(send(stream, "http/1.1", request).await.status, 200);
    let stream = bench.tunnel("api.test:80").await.unwrap();
    let request = Request::get("http://api.test/z").body("").unwrap();
    assert_eq!(send(stream, "h2", request).await.status, 200);
    assert_eq!(bench.origin.seen().len(), 4);
}

#[tokio::test]
async fn a_named_address_is_reached_without_a_name() {
    let named = sandbox::gate::Rule { methods: vec![http::Method::GET], ..rule("127.0.0.1", 0) };
    let bench = Bench::new(vec![named], vec![]).await;
    for (method, status) in [("GET", 200), ("POST", 403)] {
        let stream = TcpStream::connect(bench.open).await.unwrap();
        let request = Request::builder().method(method).uri(format!("http://{}/", bench.open));
        assert_eq!(send(stream, "http/1.1", request.body("").unwrap()).await.status, status);
    }
    assert_eq!(bench.origin.seen().len(), 1);
}

#[tokio::test]
async fn websockets_are_joined() {
    let bench = Bench::new(vec![rule("api.test", 443)], vec![]).await;
    let stream = bench.tunnel("api.test:443").await.unwrap();
    let mut stream = bench.tls(stream, "api.test", b"http/1.1").await.unwrap();
    let request =
        "GET /ws HTTP/1.1\r\nHost: api.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    stream.write_all(b"frame").await.unwrap();
    let mut echo = [0; 5];
    stream.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"frame");
}

#[tokio::test]
async fn what_is_passed_through_is_not_opened() {
    let through = |host, tls| sandbox::gate::Rule { tls, ..rule(host, 443) };
    let rules = vec![through("api.test", Tls::PassThrough), through("other.test", Tls::Off)];
    let bench = Bench::new(rules, vec![]).await;
    for host in ["api.test", "other.test"] {
        let stream = bench.tunnel(&format!("{host}:443")).await.unwrap();
        let stream = bench.tls(stream, host, b"h2").await.unwrap();
        let shown = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
        let request = Request::get(format!("https://{host}/")).body("").unwrap();
        assert_eq!(send(stream, "h2", request).await.status, 200);
        // The origin's certificate has all its names, the gate's would have one.
        assert!(memchr::memmem::find(&shown, b"a.wild.test").is_some());
    }
}

#[tokio::test]
async fn learning_lets_through_and_tells() {
    let bench = Bench::with(Rules { list: vec![], learn: true }, vec![], LIMITS).await;
    let answer = bench.get("/v1/things?key=hush", None).await;
    assert_eq!(answer.status, 200);
    let event = bench.told(|event| event.verdict == Verdict::Learned).await;
    assert_eq!(
        (event.subject.host.as_str(), event.subject.path.as_str()),
        ("api.test", "/v1/things")
    );
    // Public hosts are let through, on the ports of the web.
    for to in ["api.test:8443", "api.test:22"] {
        assert_eq!(bench.tunnel(to).await.unwrap_err(), 403, "{to}");
    }
    let stream = bench.tunnel("127.0.0.1:443").await.unwrap();
    assert!(bench.tls(stream, "127.0.0.1", b"h2").await.is_err());
    bench.refused("private_address").await;
}
