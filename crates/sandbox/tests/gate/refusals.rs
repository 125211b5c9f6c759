//! What a server tries, and what comes of it.

use std::time::Duration;

use http::{Method, Request};
use sandbox::gate::{Limits, Rules, Tls};
use simple_dns::{CLASS, Name, Packet, QCLASS, QTYPE, Question, RCODE, TYPE};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::support::{Bench, LIMITS, rule, send};

async fn bench() -> Bench {
    let mut narrow = rule("api.test", 443);
    narrow.methods = vec![Method::GET];
    narrow.paths = vec!["/v1".into()];
    let rebound = rule("rebound.test", 443);
    let through = sandbox::gate::Rule { tls: Tls::PassThrough, ..rule("other.test", 443) };
    Bench::new(vec![narrow, rebound, through], vec![]).await
}

#[tokio::test]
async fn hosts_that_no_entry_names() {
    let bench = bench().await;
    for to in [
        "evil.test:443",
        "api.test:22",
        "api.test.evil.test:443",
        "127.0.0.1:443",
        "127.1:443",
        "169.254.169.254:443",
        "[::1]:443",
        "[::ffff:169.254.169.254]:443",
        "0x7f000001:443",
    ] {
        let status = bench.tunnel(to).await.unwrap_err();
        assert!(matches!(status, 403 | 400), "{to}: {status}");
    }
    assert_eq!(bench.refused("host").await.subject.host, "evil.test");
    // A connection without a proxy, to an address that no name was given.
    let mut stream = TcpStream::connect(bench.open).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: api.test\r\n\r\n").await.unwrap();
    let _ = stream.read(&mut [0; 16]).await;
    assert!(bench.origin.seen().is_empty());
}

#[tokio::test]
async fn requests_that_no_entry_allows() {
    let bench = bench().await;
    let status = async |method: Method, path: &str| {
        let request = Request::builder().method(method).uri(format!("https://api.test{path}"));
        bench.ask("http/1.1", request.body("").unwrap()).await.status
    };
    assert_eq!(status(Method::GET, "/v1/x").await, 200);
    assert_eq!(status(Method::POST, "/v1/x").await, 403);
    assert_eq!(status(Method::GET, "/v2").await, 403);
    assert_eq!(status(Method::GET, "/v1/../v2").await, 403);
    assert_eq!(status(Method::GET, "/v1/%2e%2e/v2").await, 403);
    assert_eq!(bench.origin.seen().len(), 1);
    for label in ["method", "path", "path_ambiguous"] {
        bench.refused(label).await;
    }
}

/// Headers by which some servers take another method or path than the request's own.
#[tokio::test]
async fn requests_that_say_two_things() {
    let bench = bench().await;
    for (name, value, label) in [
        ("x-http-method-override", "DELETE", "method"),
        ("x-http-method", "post", "method"),
        ("x-original-url", "/v2", "path_ambiguous"),
        ("x-rewrite-url", "/v2", "path_ambiguous"),
    ] {
        assert_eq!(bench.get("/v1", Some((name, value))).await.status, 403, "{name}");
        bench.refused(label).await;
    }
    assert_eq!(bench.get("/v1", Some(("x-http-method-override", "get"))).await.status, 200);
    assert_eq!(bench.origin.seen().len(), 1);
}

/// A server that may choose a protocol could choose one in which nobody looks at the requests.
#[tokio::test]
async fn another_protocol_than_a_websocket() {
    let bench = Bench::new(vec![rule("api.test", 443)], vec![]).await;
    for (path, upgrades) in [
        ("/ws", "Upgrade: websocket\r\nUpgrade: h2c\r\n"),
        ("/ws", "Upgrade: websocket, h2c\r\n"),
        ("/h2c", "Upgrade: h2c\r\n"),
        ("/h2c", "Upgrade: websocket\r\n"),
    ] {
        let stream = bench.tunnel("api.test:443").await.unwrap();
        let mut stream = bench.tls(stream, "api.test", b"http/1.1").await.unwrap();
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: api.test\r\nConnection: Upgrade\r\n{upgrades}\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 400", "{path} {upgrades}");
    }
    let seen = bench.origin.seen();
    let asked: Vec<_> = seen.iter().filter_map(|seen| seen.headers.get("upgrade")).collect();
    assert_eq!(asked, ["websocket"], "what is no WebSocket asks for nothing");
}

/// Two servers that read a body's end at different places would see two different requests.
#[tokio::test]
async fn bodies_that_end_in_two_places() {
    let bench = Bench::new(vec![rule("api.test", 443)], vec![]).await;
    let hidden = "GET /hidden HTTP/1.1\r\nHost: api.test\r\n\r\n";
    let chunk = format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len());
    for framing in [
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: xchunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Content-Length: 4\r\nContent-Length: 5\r\n",
        "Content-Length: +4\r\n",
    ] {
        let stream = bench.tunnel("api.test:443").await.unwrap();
        let mut stream = bench.tls(stream, "api.test", b"http/1.1").await.unwrap();
        let head = format!(
            "POST / HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n{framing}\r\n{chunk}"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let _ = timeout(Duration::from_secs(10), stream.read_to_string(&mut answer)).await;
        assert!(answer.matches("HTTP/1.1 ").count() <= 1, "{framing}: {answer}");
    }
    for seen in bench.origin.seen() {
        assert!(!seen.target.contains("hidden"), "{seen:#?}");
        let codings: Vec<_> = seen.headers.get_all("transfer-encoding").iter().collect();
        let framed = codings == ["chunked"] && !seen.headers.contains_key("content-length");
        assert!(framed, "{seen:#?}");
    }
}

#[tokio::test]
async fn names_that_differ_within_one_connection() {
    let bench = bench().await;
    // In the greeting.
    for host in ["api.test", "other.test"] {
        let stream = bench.tunnel(&format!("{host}:443")).await.unwrap();
        assert!(bench.tls(stream, "evil.test", b"h2").await.is_err());
    }
    bench.refused("server_name").await;
    // In the request: by header, by :authority, by the absolute form, by port.
    for version in ["h2", "http/1.1"] {
        let stream = bench.tunnel("api.test:443").await.unwrap();
        let stream = bench.tls(stream, "api.test", version.as_bytes()).await.unwrap();
        let request = Request::get("https://evil.test/v1").body("").unwrap();
        assert_eq!(send(stream, version, request).await.status, 421, "{version}");
    }
    let raw = [
        "GET /v1 HTTP/1.1\r\nHost: api.test\r\nHost: evil.test\r\n\r\n",
        "GET https://evil.test/v1 HTTP/1.1\r\nHost: api.test\r\n\r\n",
        "GET /v1 HTTP/1.1\r\nHost: api.test:8443\r\n\r\n",
        "GET /v1 HTTP/1.1\r\nHost: api.test@evil.test\r\n\r\n",
        "GET /v1 HTTP/1.0\r\n\r\n",
        "CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n",
    ];
    for request in raw {
        let stream = bench.tunnel("api.test:443").await.unwrap();
        let mut stream = bench.tls(stream, "api.test", b"http/1.1").await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        assert!(status.starts_with(b"HTTP/1.") && status[9] == b'4', "{request}: {status:?}");
    }
    assert!(bench.origin.seen().is_empty());
}

#[tokio::test]
async fn a_name_that_leads_elsewhere() {
    let bench = bench().await;
    let stream = bench.tunnel("rebound.test:443").await.unwrap();
    assert!(bench.tls(stream, "rebound.test", b"h2").await.is_err());
    let event = bench.refused("private_address").await;
    assert_eq!(event.subject.host, "rebound.test");
}

#[tokio::test]
async fn a_server_with_another_certificate() {
    let bench = Bench::new(vec![rule("unnamed.test", 443)], vec![]).await;
    let stream = bench.tunnel("unnamed.test:443").await.unwrap();
    assert!(bench.tls(stream, "unnamed.test", b"h2").await.is_err());
    bench.refused("certificate").await;
}

#[tokio::test]
async fn neither_tls_nor_http() {
    let bench = bench().await;
    for (host, bytes, label) in [
        ("api.test", &b"\0\0\0\x08"[..], "greeting"),
        ("other.test", b"GET / HTTP/1.1\r\n\r\n", "greeting"),
        ("api.test", b"\x16\x03\x01\xff\xff", "malformed"),
    ] {
        let mut stream = bench.tunnel(&format!("{host}:443")).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(stream.read(&mut [0; 16]).await.unwrap_or(0), 0);
        bench.refused(label).await;
    }
}

#[tokio::test]
async fn headers_without_end() {
    let bench = bench().await;
    let stream = bench.tunnel("api.test:443").await.unwrap();
    let mut stream = bench.tls(stream, "api.test", b"http/1.1").await.unwrap();
    stream.write_all(b"GET /v1 HTTP/1.1\r\nHost: api.test\r\n").await.unwrap();
    let line = format!("x-more: {}\r\n", "x".repeat(1000));
    let flood = async { while stream.write_all(line.as_bytes()).await.is_ok() {} };
    // The gate hangs up, so the flood ends.
    timeout(Duration::from_secs(20), flood).await.unwrap();
    assert!(bench.origin.seen().is_empty());
}

#[tokio::test]
async fn more_connections_or_bytes_than_allowed() {
    let rules = || Rules { list: vec![rule("api.test", 443)], learn: false };
    let few = Bench::with(rules(), vec![], Limits { connections: 2, ..LIMITS }).await;
    let first = TcpStream::connect(few.proxy).await.unwrap();
    let _second = TcpStream::connect(few.proxy).await.unwrap();
    let mut third = TcpStream::connect(few.proxy).await.unwrap();
    assert_eq!(third.read(&mut [0; 1]).await.unwrap_or(0), 0);
    few.refused("connections").await;
    drop(first);

    let little = Bench::with(rules(), vec![], Limits { sent: 10_000, ..LIMITS }).await;
    let stream = little.tunnel("api.test:443").await.unwrap();
    let mut stream = little.tls(stream, "api.test", b"http/1.1").await.unwrap();
    let head = "POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 1000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let flood = async { while stream.write_all(&[b'x'; 4096]).await.is_ok() {} };
    timeout(Duration::from_secs(20), flood).await.unwrap();
    let mut next = TcpStream::connect(little.proxy).await.unwrap();
    assert_eq!(next.read(&mut [0; 1]).await.unwrap_or(0), 0);
    little.refused("budget").await;
}

#[tokio::test]
async fn names_that_carry_data() {
    let bench = bench().await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for (name, kind, expected) in [
        ("api.test", TYPE::A, RCODE::NoError),
        ("c2VjcmV0LWRhdGE.evil.test", TYPE::A, RCODE::NameError),
        ("c2VjcmV0LWRhdGE.evil.test", TYPE::TXT, RCODE::NameError),
        ("c2VjcmV0LWRhdGE.api.test", TYPE::TXT, RCODE::NameError),
    ] {
        let mut packet = Packet::new_query(9);
        let name = Name::new_unchecked(name);
        let class = QCLASS::CLASS(CLASS::IN);
        packet.questions.push(Question::new(name, QTYPE::TYPE(kind), class, false));
        socket.send_to(&packet.build_bytes_vec().unwrap(), bench.dns).await.unwrap();
        let mut buffer = [0; 512];
        let length = timeout(Duration::from_secs(10), socket.recv(&mut buffer)).await.unwrap();
        let reply = Packet::parse(&buffer[..length.unwrap()]).unwrap();
        assert_eq!(reply.rcode(), expected);
    }
    assert_eq!(bench.refused("name").await.subject.host, "c2VjcmV0LWRhdGE.evil.test");
}
