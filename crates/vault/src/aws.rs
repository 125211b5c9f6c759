//! Signatures as AWS wants them: Signature Version 4, in the headers of a request.

use std::fmt::Write;

use aws_lc_rs::{
    digest::{SHA256, digest},
    hmac,
};
use http::{HeaderName, HeaderValue, Uri, header, request::Parts};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use zeroize::Zeroizing;

use crate::credential::header_value;
use crate::{Reference, Secret, VaultFault};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const CONTENT: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
/// What stays as it is in a canonical request.
const OTHERS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same in a path.
const SEGMENTS: &AsciiSet = &OTHERS.remove(b'/');

/// With which keys requests to a server are signed, by their references.
#[derive(Clone, Debug, PartialEq)]
pub struct Aws {
    /// The id of the access key.
    pub access_key: Reference,
    /// The secret access key.
    pub secret_key: Reference,
    /// The session token of keys that are lent for a while.
    pub session_token: Option<Reference>,
    /// The region that the server is in.
    pub region: Box<str>,
    /// What AWS calls the service in signatures, such as `execute-api`.
    pub service: Box<str>,
}

impl Aws {
    pub(crate) fn references(&self) -> impl Iterator<Item = &Reference> {
        [&self.access_key, &self.secret_key].into_iter().chain(&self.session_token)
    }

    pub(crate) fn name(&self) -> String {
        format!("aws {}/{} {:?}", self.region, self.service, self.access_key)
    }
}

/// The same with the values.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    access_key: Secret,
    secret_key: Secret,
    session_token: Option<Secret>,
    region: Box<str>,
    service: Box<str>,
}

impl Keys {
    /// From the values of [`Aws::references`].
    pub fn new(aws: &Aws, values: &[Secret]) -> Result<Keys, VaultFault> {
        let plain = |secret: &Secret| secret.expose().bytes().all(|byte| byte.is_ascii_graphic());
        let [access_key, secret_key, rest @ ..] = values else { return Err(VaultFault::Aws) };
        if !values.iter().all(plain) {
            return Err(VaultFault::Aws);
        }
        Ok(Keys {
            access_key: access_key.clone(),
            secret_key: secret_key.clone(),
            session_token: rest.first().cloned(),
            region: aws.region.clone(),
            service: aws.service.clone(),
        })
    }

    /// What must not come back. The id of a key stands in each signature, and is no secret.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        [&self.secret_key].into_iter().chain(&self.session_token)
    }

    /// Signs method, address, body, and of the headers `Host`, `Content-Type` and those of AWS, in place of whatever stood
    /// in the headers that carry the signature.
    pub fn sign(&self, head: &mut Parts, body: &[u8], now: u64) -> Result<(), VaultFault> {
        let time = i64::try_from(now).ok().and_then(|now| jiff::Timestamp::from_second(now).ok());
        let time = time.ok_or(VaultFault::Aws)?.strftime("%Y%m%dT%H%M%SZ").to_string();
        let payload = hex(digest(&SHA256, body).as_ref());
        let unfit = |name: &HeaderName| VaultFault::Value(name.to_string());
        let plain = |text: &str| HeaderValue::from_str(text);
        head.headers.insert(DATE, plain(&time).map_err(|_| unfit(&DATE))?);
        head.headers.insert(CONTENT, plain(&payload).map_err(|_| unfit(&CONTENT))?);
        match &self.session_token {
            Some(token) => drop(head.headers.insert(TOKEN, header_value(&TOKEN, token.clone())?)),
            None => drop(head.headers.remove(TOKEN)),
        }
        let mut signed = vec![("host", host(&head.uri))];
        let names = [
            ("content-type", header::CONTENT_TYPE),
            ("x-amz-content-sha256", CONTENT),
            ("x-amz-date", DATE),
            ("x-amz-security-token", TOKEN),
        ];
        for (text, name) in names {
            let value = head.headers.get(name).and_then(|value| value.to_str().ok());
            signed.extend(value.map(|value| (text, value.to_owned())));
        }
        let request = Request {
            method: head.method.as_str(),
            path: head.uri.path(),
            query: head.uri.query().unwrap_or_default(),
            headers: signed,
            payload: &payload,
        };
        let value = self.authorization(request, &time);
        let value = Secret::new(value.into_boxed_str());
        let value = header_value(&header::AUTHORIZATION, value)?;
        head.headers.insert(header::AUTHORIZATION, value);
        Ok(())
    }

    /// The value of `Authorization`.
    fn authorization(&self, request: Request<'_>, time: &str) -> String {
        let date = time.get(..8).unwrap_or_default();
        let scope = format!("{date}/{}/{}/aws4_request", self.region, self.service);
        let (canonical, names) = request.canonical(&*self.service == "s3");
        let canonical = hex(digest(&SHA256, canonical.as_bytes()).as_ref());
        let signature = self.signature(date, &format!("{ALGORITHM}\n{time}\n{scope}\n{canonical}"));
        let key = self.access_key.expose();
        format!(
            "{ALGORITHM} Credential={key}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
    }

    fn signature(&self, date: &str, text: &str) -> String {
        let mac = |key: &[u8], text: &str| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
        };
        let first = Zeroizing::new(format!("AWS4{}", self.secret_key.expose()));
        let mut key = mac(first.as_bytes(), date);
        for part in [&*self.region, &*self.service, "aws4_request"] {
            key = mac(key.as_ref(), part);
        }
        hex(mac(key.as_ref(), text).as_ref())
    }
}

/// What is signed of a request.
struct Request<'a> {
    method: &'a str,
    /// As it is sent.
    path: &'a str,
    query: &'a str,
    /// In any order, names in lower case.
    headers: Vec<(&'a str, String)>,
    /// The body's SHA-256 in hexadecimal digits.
    payload: &'a str,
}

impl Request<'_> {
    /// The canonical request, and the names of the headers in it. S3 alone takes paths as they are.
    fn canonical(self, as_is: bool) -> (String, String) {
        let path = match as_is {
            true => self.path.to_owned(),
            false => percent_encode(normal(self.path).as_bytes(), SEGMENTS).to_string(),
        };
        let mut pairs: Vec<(String, String)> = (self.query.split('&'))
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (again(name), again(value)))
            .collect();
        pairs.sort();
        let pairs: Vec<String> =
            pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut headers = self.headers;
        headers.sort();
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let mut text = format!("{}\n{path}\n{}\n", self.method, pairs.join("&"));
        for (name, value) in &headers {
            let words: Vec<&str> = value.split_ascii_whitespace().collect();
            let _ = writeln!(text, "{name}:{}", words.join(" "));
        }
        let _ = write!(text, "\n{names}\n{}", self.payload);
        (text, names)
    }
}

/// The authority, with its port where that is not the scheme's own: what the connection sends as `Host`.
fn host(uri: &Uri) -> String {
    let host = uri.host().unwrap_or_default();
    let own = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    match uri.port_u16().filter(|port| *port != own) {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// A path without empty segments, `.` and `..` (RFC 3986 §5.2.4).
fn normal(path: &str) -> String {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let end = if path.ends_with('/') && !segments.is_empty() { "/" } else { "" };
    format!("/{}{end}", segments.join("/"))
}

/// What was encoded in whatever way, in the canonical one.
fn again(text: &str) -> String {
    let plain: Vec<u8> = percent_decode_str(text).collect();
    percent_encode(&plain, OTHERS).to_string()
}

/// A text as it stands in a query.
pub(crate) fn encoded(text: &str) -> String {
    percent_encode(text.as_bytes(), OTHERS).to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const TIME: &str = "20150830T123600Z";

    fn keys(token: Option<&str>) -> Keys {
        let secret = |text: &str| Secret::new(text.into());
        Keys {
            access_key: secret("AKIDEXAMPLE"),
            secret_key: secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session_token: token.map(secret),
            region: "us-east-1".into(),
            service: "service".into(),
        }
    }

    fn signature(method: &str, target: &str, more: &[(&str, &str)], payload: &str) -> String {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut headers = vec![("host", "example.amazonaws.com".to_owned())];
        headers.push(("x-amz-date", TIME.to_owned()));
        headers.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let request = Request { method, path, query, headers, payload };
        let text = keys(None).authorization(request, TIME);
        let start =
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, ";
        assert!(text.starts_with(start), "{text}");
        text.rsplit('=').next().unwrap().to_owned()
    }

    /// AWS's own examples (its signing test suite for version 4), by their names there.
    #[test]
    fn the_published_examples() {
        let vanilla = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
        let plain = [
            ("get-vanilla", "GET", "/", vanilla),
            (
                "get-vanilla-query-order-encoded",
                "GET",
                "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
                "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
            ),
            (
                "get-vanilla-query-order-key-case",
                "GET",
                "/?Param2=value2&Param1=value1",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "get-vanilla-utf8-query",
                "GET",
                "/?ሴ=bar",
                "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
            ),
            (
                "get-space-normalized",
                "GET",
                "/example space/",
                "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741",
            ),
            (
                "get-utf8",
                "GET",
                "/ሴ",
                "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
            ),
            (
                "get-unreserved",
                "GET",
                "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
                "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
            ),
            ("get-slash-dot-slash-normalized", "GET", "/./", vanilla),
            ("get-relative-relative-normalized", "GET", "/example1/example2/../..", vanilla),
            (
                "get-slashes-normalized",
                "GET",
                "//example//",
                "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
            ),
            (
                "post-vanilla-query",
                "POST",
                "/?Param1=value1",
                "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
            ),
            (
                "post-sts-header-after",
                "POST",
                "/",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
        ];
        for (name, method, target, expected) in plain {
            assert_eq!(signature(method, target, &[], EMPTY), expected, "{name}");
        }
        let body = "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e";
        let form = [
            ("content-length", "13"),
            ("content-type", "application/x-www-form-urlencoded"),
            ("x-amz-content-sha256", body),
        ];
        assert_eq!(hex(digest(&SHA256, b"Param1=value1").as_ref()), body);
        assert_eq!(
            signature("POST", "/", &form, body),
            "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b",
            "post-x-www-form-urlencoded"
        );
        let token = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267";
        assert_eq!(
            signature("GET", "/", &[("x-amz-security-token", token)], EMPTY),
            "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
            "get-vanilla-with-session-token"
        );
        let spaced = [("my-header1", " value1"), ("my-header2", " \"a   b   c\"")];
        assert_eq!(
            signature("GET", "/", &spaced, EMPTY),
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
            "get-header-value-trim"
        );
    }

    #[test]
    fn a_request_is_signed_in_place_of_what_it_had() {
        let request = http::Request::post("https://Mcp.Example.com:443/a%20b?q=1")
            .header("authorization", "Bearer of-the-client")
            .header("x-amz-security-token", "of-the-client")
            .header("content-type", "application/json");
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        keys(None).sign(&mut head, b"{}", 1_440_938_160).unwrap();
        assert_eq!(head.headers["x-amz-date"], TIME);
        assert!(!head.headers.contains_key("x-amz-security-token"));
        let value = head.headers["authorization"].to_str().unwrap();
        let names = "SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date";
        assert!(value.contains(names), "{value}");
        assert!(head.headers["authorization"].is_sensitive());
        // Of a path that is encoded already, the canonical form is encoded once more; a port of the scheme's own is left out.
        assert_eq!(host(&head.uri), "Mcp.Example.com");
        let payload = head.headers["x-amz-content-sha256"].to_str().unwrap().to_owned();
        let (path, query) = (head.uri.path(), "q=1");
        let made = Request { method: "POST", path, query, headers: Vec::new(), payload: &payload };
        assert!(made.canonical(false).0.starts_with("POST\n/a%2520b\nq=1\n"));

        keys(Some("lent")).sign(&mut head, b"{}", 1_440_938_160).unwrap();
        assert_eq!(head.headers["x-amz-security-token"], "lent");
    }
}
