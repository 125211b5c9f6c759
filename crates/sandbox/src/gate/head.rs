//! What a message's head says, and what of it goes on to the other side.

use http::header::{self, HeaderName};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderValue, Method, Uri, Version};

use super::event::Reason;
use super::flow::Target;
use super::rule::Host;

/// Headers by which some servers take another method than the request's own.
const METHOD_HEADERS: [&str; 3] = ["x-http-method", "x-http-method-override", "x-method-override"];
/// Headers by which some servers take another path.
const PATH_HEADERS: [&str; 3] = ["x-forwarded-uri", "x-original-url", "x-rewrite-url"];
/// What concerns one connection alone. RFC 9110, section 7.6.1.
const HOP_BY_HOP: [&str; 5] =
    ["connection", "keep-alive", "proxy-connection", "proxy-authorization", "upgrade"];
/// What a message can't take out of its own head by naming it in `Connection`.
const KEPT: [HeaderName; 4] =
    [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::HOST, header::TE];

/// A request must name the host that its connection was opened to, wherever it names one.
pub(super) fn check_host(target: &Target, secure: bool, parts: &Parts) -> Result<(), Reason> {
    let mut named = false;
    let usual = usual_port(secure);
    let mut check = |authority: &Authority| {
        named = true;
        let same = !authority.as_str().contains('@')
            && Host::parse(authority.host()).as_ref() == Some(&target.host)
            && match authority.port() {
                Some(port) => port.as_u16() == target.port,
                None => !authority.as_str().ends_with(':') && target.port == usual,
            };
        if same { Ok(()) } else { Err(Reason::HostMismatch) }
    };
    if let Some(authority) = parts.uri.authority() {
        check(authority)?;
    }
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    if let Some(host) = hosts.next() {
        let host = Authority::try_from(host.as_bytes()).map_err(|_| Reason::HostMismatch)?;
        check(&host)?;
    }
    if hosts.next().is_some() {
        return Err(Reason::Malformed("two Host headers"));
    }
    if named { Ok(()) } else { Err(Reason::Malformed("a request without a host")) }
}

fn usual_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

/// Methods that the head names beside the request's own: each must be allowed, too.
pub(super) fn other_methods(headers: &HeaderMap) -> Result<Vec<Method>, Reason> {
    let named = METHOD_HEADERS.iter().flat_map(|name| headers.get_all(*name));
    let read = |value: &HeaderValue| {
        let upper = value.as_bytes().trim_ascii().to_ascii_uppercase();
        Method::from_bytes(&upper).map_err(|_| Reason::Malformed("a method"))
    };
    named.map(read).collect()
}

/// Whether the head names a path beside the request's own.
pub(super) fn names_other_path(headers: &HeaderMap) -> bool {
    PATH_HEADERS.iter().any(|name| headers.contains_key(*name))
}

/// Whether a request asks for a WebSocket and for nothing else: a server could take any of several protocols,
/// and in another one nobody looks at the requests.
pub(super) fn is_websocket(parts: &Parts) -> bool {
    parts.version < Version::HTTP_2 && upgrades_to_websocket(&parts.headers)
}

/// Whether a head says that the connection becomes a WebSocket.
pub(super) fn upgrades_to_websocket(headers: &HeaderMap) -> bool {
    let mut upgrades = headers.get_all(header::UPGRADE).iter();
    let first = upgrades.next();
    first.is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"))
        && upgrades.next().is_none()
}

/// Makes a request ready for the other side: what concerns one connection alone stays behind, and how its body is
/// framed is said in one way.
pub(super) fn clean_request(parts: &mut Parts, target: &Target, secure: bool, websocket: bool) {
    parts.extensions.clear();
    if websocket {
        parts.headers.remove(header::PROXY_AUTHORIZATION);
    } else {
        clean(&mut parts.headers);
    }
    // Hyper has answered it.
    parts.headers.remove(header::EXPECT);
    let trailers = parts.headers.get(header::TE).is_some_and(|te| {
        te.as_bytes().split(|byte| *byte == b',').any(|part| part.trim_ascii() == b"trailers")
    });
    parts.headers.remove(header::TE);
    if trailers {
        parts.headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if parts.headers.remove(header::TRANSFER_ENCODING).is_some() {
        parts.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    if parts.version < Version::HTTP_2 {
        parts.version = Version::HTTP_11;
        let path = parts.uri.path_and_query().cloned();
        parts.uri = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
        // Without one, the other side would choose among its own.
        if !parts.headers.contains_key(header::HOST)
            && let Ok(host) = HeaderValue::try_from(authority(target, secure))
        {
            parts.headers.insert(header::HOST, host);
        }
    }
}

fn authority(target: &Target, secure: bool) -> String {
    match &target.host {
        host if target.port == usual_port(secure) => host.to_string(),
        host => format!("{host}:{}", target.port),
    }
}

/// The same of an answer. `close` is kept: the client has to know.
pub(super) fn clean_response(headers: &mut HeaderMap) {
    if clean(headers).iter().any(|name| name == "close") {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}

/// Takes out what concerns one connection alone; the names in `Connection`.
fn clean(headers: &mut HeaderMap) -> Vec<String> {
    let listed = headers.get_all(header::CONNECTION).iter();
    let listed: Vec<String> = listed
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    for name in &listed {
        if let Ok(name) = HeaderName::try_from(name.as_str())
            && !KEPT.contains(&name)
        {
            headers.remove(name);
        }
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    listed
}

/// Asks a host that may repeat a secret for answers that can be looked through: as they are, and whole, since
/// a secret that comes in two answers is found in neither.
pub(super) fn ask_for_plain(headers: &mut HeaderMap) {
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    for name in [header::ACCEPT_CHARSET, header::IF_RANGE, header::RANGE] {
        headers.remove(name);
    }
    headers.remove("grpc-accept-encoding");
    headers.remove(header::SEC_WEBSOCKET_EXTENSIONS);
}

/// Whether an answer's body came as it is: `Transfer-Encoding` can compress, too.
pub(super) fn is_sent_plainly(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let mut codings = codings.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    codings.all(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"chunked"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(host: &str, port: u16) -> Target {
        Target { host: Host::parse(host).unwrap(), port }
    }

    fn parts(request: http::request::Builder) -> Parts {
        request.body(()).unwrap().into_parts().0
    }

    fn cleaned(request: http::request::Builder) -> Parts {
        let mut parts = parts(request);
        clean_request(&mut parts, &target("api.test", 443), true, false);
        parts
    }

    #[test]
    fn a_request_goes_on_with_one_host_and_one_framing() {
        let request = http::Request::post("https://api.test/x?y")
            .header("transfer-encoding", "xchunked")
            .header("transfer-encoding", "chunked")
            .header("te", "gzip, trailers")
            .header("connection", "close, x-private, host")
            .header("x-private", "1")
            .header("upgrade", "h2c");
        let parts = cleaned(request);
        assert_eq!(parts.uri, "/x?y");
        let mut names: Vec<&str> = parts.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["host", "te", "transfer-encoding"]);
        assert_eq!(parts.headers["host"], "api.test");
        assert_eq!(parts.headers["te"], "trailers");
        assert_eq!(parts.headers["transfer-encoding"], "chunked");
        assert!(!cleaned(http::Request::get("/").header("te", "gzip")).headers.contains_key("te"));
        assert_eq!(authority(&target("::1", 8443), true), "[::1]:8443");
    }

    #[test]
    fn only_a_websocket_is_one() {
        let asks = |upgrades: &[&str]| {
            let mut request = http::Request::get("/").header("connection", "upgrade");
            for upgrade in upgrades {
                request = request.header("upgrade", *upgrade);
            }
            is_websocket(&parts(request))
        };
        assert!(asks(&["WebSocket"]));
        for other in
            [&[][..], &["h2c"], &["websocket, h2c"], &["websocket", "h2c"], &["h2c", "websocket"]]
        {
            assert!(!asks(other), "{other:?}");
        }
    }

    #[test]
    fn methods_and_paths_beside_the_request() {
        let request = http::Request::post("/").header("X-HTTP-Method-Override", " delete ");
        let headers = parts(request.header("x-method-override", "PUT")).headers;
        assert_eq!(other_methods(&headers).unwrap(), [Method::DELETE, Method::PUT]);
        assert!(!names_other_path(&headers));
        assert!(names_other_path(
            &parts(http::Request::get("/").header("X-Original-URL", "/")).headers
        ));
        let broken = parts(http::Request::post("/").header("x-http-method", "DEL ETE")).headers;
        assert!(other_methods(&broken).is_err());
    }

    #[test]
    fn answers_that_can_be_looked_through() {
        let plain = |value: &str| {
            is_sent_plainly(
                &parts(http::Request::get("/").header("transfer-encoding", value)).headers,
            )
        };
        assert!(plain("chunked") && plain("Chunked") && is_sent_plainly(&HeaderMap::new()));
        assert!(!plain("gzip, chunked") && !plain("gzip"));
        let request = http::Request::get("/").header("range", "bytes=0-3").header("if-range", "x");
        let mut headers = parts(request.header("accept-encoding", "br")).headers;
        ask_for_plain(&mut headers);
        assert_eq!(headers.len(), 1);
        assert_eq!(headers["accept-encoding"], "identity");
    }
}
