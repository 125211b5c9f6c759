//! What the gate reads of a hostile server, for the fuzzer and for the replay of its corpus.

use std::convert::Infallible;
use std::future::ready;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{Method, Request, Response, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::server::Acceptor;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use zeroize::Zeroizing;

use super::flow::Target;
use super::forward::{self, Way};
use super::meter::Activity;
use super::names::Names;
use super::{
    Addresses, DialFault, GateSpec, Host, HostPattern, Limits, Prepared, Rule, Rules, SecretRule,
    Shape, Shared, Tls, dns as names, greeting as begin,
};

const HOST: &str = "api.example";
const SECRET: &str = "the-very-secret-0123456789-of-this-host";

fn rule(host: &str, methods: &[Method], paths: &[&str]) -> Option<Rule> {
    Some(Rule {
        host: HostPattern::parse(host)?,
        ports: vec![443],
        methods: methods.to_vec(),
        paths: paths.iter().map(|&path| path.into()).collect(),
        tls: Tls::Terminate,
        allow_private: false,
    })
}

fn rules() -> Rules {
    let list =
        [rule(HOST, &[Method::GET, Method::POST], &["/v1"]), rule("*.cdn.example", &[], &[])];
    Rules { list: list.into_iter().flatten().collect(), learn: false }
}

/// A question to the name service.
pub fn dns(data: &[u8]) {
    let (rules, known) = (rules(), Names::default());
    let Some(answer) = names::answer(data, &rules, &known) else { return };
    let Ok(reply) = simple_dns::Packet::parse(&answer.reply) else {
        panic!("an answer that can't be read: {:?}", answer.reply)
    };
    assert_eq!(&answer.reply[..2], &data[..2], "it is to its question");
    for record in &reply.answers {
        let host = Host::parse(&record.name.to_string());
        assert!(host.is_some_and(|host| rules.knows(&host)) && answer.refused.is_none());
    }
}

/// The beginning of a connection. The first byte says in which pieces it comes.
pub fn greeting(data: &[u8]) {
    let Some((size, bytes)) = data.split_first() else { return };
    let size = usize::from(*size).max(1);
    let seen = |size: usize| {
        let mut acceptor = Acceptor::default();
        for before in (0..bytes.len()).step_by(size) {
            let until = bytes.len().min(before + size);
            match begin::recognise(&bytes[..until], before, &mut acceptor) {
                Ok(None) => {}
                Ok(found) => return Some(found),
                Err(_) => return None,
            }
        }
        None
    };
    // In pieces it may be refused or known earlier, never as something else.
    if let (Some(Some(whole)), Some(Some(pieces))) = (seen(bytes.len().max(1)), seen(size)) {
        assert_eq!(whole, pieces);
    }
}

/// What an entry names and a request asks for: a pattern, a host, a beginning of a path, a path, each in a line.
pub fn rule_text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.splitn(4, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (pattern, host, prefix, path) = (line(), line(), line(), line());
    for text in [pattern, host] {
        if let Some(host) = Host::parse(text) {
            assert_eq!(Host::parse(&host.to_string()), Some(host), "it reads what it writes");
        }
    }
    let (Some(host), Some(mut rule)) = (Host::parse(host), rule(pattern, &[], &[])) else { return };
    if let HostPattern::Suffix(suffix) = &rule.host
        && rule.host.matches(&host)
    {
        let below = host.to_string();
        assert!(below.len() > suffix.len() && below.ends_with(&**suffix), "{below} {suffix}");
    }
    if !prefix.starts_with('/') {
        return;
    }
    rule.paths = vec![prefix.to_owned()];
    let reaches = rule.host.matches(&host);
    let rules = Rules { list: vec![rule], learn: false };
    if rules.request(&host, 443, &Method::GET, path).is_ok() {
        assert!(reaches);
        assert!(path.starts_with(prefix.trim_end_matches('/')), "{path} is not below {prefix}");
        let read = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
        assert!(!read.split(['/', '\\']).any(|part| part == ".."), "{path} leads out of {prefix}");
    }
}

/// A gate that records nothing and reaches nobody.
fn shared() -> Option<Arc<Shared>> {
    static SHARED: OnceLock<Option<Arc<Shared>>> = OnceLock::new();
    let make = || {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let trust = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .ok()?
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let secret = SecretRule {
            variable: "TOKEN".into(),
            value: Zeroizing::new(SECRET.into()),
            hosts: vec![HostPattern::parse(HOST)?],
            headers: vec![header::AUTHORIZATION],
            query: vec![],
            methods: vec![Method::GET],
            shape: Shape::Marked,
        };
        let nowhere = |_: Host, _: u16, _: Addresses| {
            let fault = DialFault::Unreachable(String::new());
            Box::pin(ready(Err(fault))) as std::pin::Pin<Box<dyn Future<Output = _> + Send>>
        };
        let spec = GateSpec {
            rules: rules(),
            secrets: vec![secret],
            limits: Limits { connections: 1024, sent: u64::MAX, received: u64::MAX },
            dial: Arc::new(nowhere),
            trust: Arc::new(trust),
            roots: String::new(),
            record: Arc::new(|_| Box::pin(ready(true))),
        };
        let Prepared { shared, runner, .. } = Prepared::new(spec).ok()?;
        // It is at work for as long as this process.
        std::mem::forget(runner);
        Some(Arc::new(shared))
    };
    SHARED.get_or_init(make).clone()
}

/// What a server sends on a connection to an allowed host: whatever arrives there was allowed. `$TOKEN` stands for
/// the placeholder.
pub fn head(data: &[u8]) {
    let Some(gate) = shared() else { panic!("no gate") };
    let placeholder = gate.secrets.environment().next().map(|(_, value)| value);
    let placeholder = placeholder.unwrap_or_default();
    let mut bytes = Vec::with_capacity(data.len());
    let mut rest = data;
    while let Some(at) = memchr::memmem::find(rest, b"$TOKEN") {
        bytes.extend_from_slice(&rest[..at]);
        bytes.extend_from_slice(placeholder.as_bytes());
        rest = &rest[at + 6..];
    }
    bytes.extend_from_slice(rest);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let Ok(runtime) = runtime else { panic!("no runtime") };
    runtime.block_on(async move {
        let (mut client, to_gate) = tokio::io::duplex(1 << 16);
        let (from_gate, server) = tokio::io::duplex(1 << 16);
        let Some(host) = Host::parse(HOST) else { return };
        let way = Way::new(gate, Target { host, port: 443 }, true, Activity::new());
        let there_and_back = async move {
            let _ = client.write_all(&bytes).await;
            let _ = client.shutdown().await;
            let mut answers = Vec::new();
            let _ = client.read_to_end(&mut answers).await;
            assert!(memchr::memmem::find(&answers, SECRET.as_bytes()).is_none(), "it came back");
        };
        let arrive = service_fn(arrived);
        let there = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(server), arrive)
            .with_upgrades();
        let here = forward::http1(way, to_gate, from_gate);
        let _ = tokio::time::timeout(Duration::from_secs(5), async {
            let _ = tokio::join!(there_and_back, here, there);
        })
        .await;
    });
}

async fn arrived(request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let shown = format!("{parts:?}");
    assert!([Method::GET, Method::POST].contains(&parts.method), "{shown}");
    let path = parts.uri.path();
    assert!(parts.uri.authority().is_none() && path.starts_with("/v1"), "{shown}");
    let hosts: Vec<_> = parts.headers.get_all(header::HOST).iter().collect();
    let named = hosts.len() == 1 && hosts[0].to_str().ok().and_then(read_host).is_some();
    assert!(named, "{shown}");
    let codings: Vec<_> = parts.headers.get_all(header::TRANSFER_ENCODING).iter().collect();
    assert!(codings.is_empty() || codings == ["chunked"], "{shown}");
    let lengths = parts.headers.get_all(header::CONTENT_LENGTH).iter().count();
    assert!(lengths + codings.len() <= 1, "{shown}");
    let upgrades: Vec<_> = parts.headers.get_all(header::UPGRADE).iter().collect();
    let websocket = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"websocket");
    assert!(upgrades.is_empty() || upgrades.len() == 1 && websocket(upgrades[0]), "{shown}");
    for (name, value) in &parts.headers {
        let secret = memchr::memmem::find(value.as_bytes(), SECRET.as_bytes()).is_some();
        let meant = *name == header::AUTHORIZATION && parts.method == Method::GET;
        assert!(!secret || meant, "{shown}");
    }
    let _ = body.collect().await;
    Ok(Response::new(Empty::new()))
}

/// The host that is meant, with or without its port.
fn read_host(text: &str) -> Option<Host> {
    let authority: http::uri::Authority = text.parse().ok()?;
    let port = authority.port_u16().unwrap_or(443);
    Host::parse(authority.host())
        .filter(|host| port == 443 && Host::parse(HOST).as_ref() == Some(host))
}

#[cfg(test)]
#[path = "../../../../fuzz/src/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::replay::replay;

    #[test]
    fn questions() {
        replay("gate_dns", 1, &[0, 0x3f, 0xc0, 0xff], super::dns);
    }

    #[test]
    fn beginnings() {
        replay("gate_greeting", 3, &[0, 1, 0x16, 0xff], super::greeting);
    }

    #[test]
    fn heads() {
        replay("gate_head", 3, b"\r\n: ,0", super::head);
    }

    #[test]
    fn rules_and_paths() {
        replay("gate_rule", 1, b"/.%\\*\n", super::rule_text);
    }
}
