//! A request as the endpoints look at it, and what they answer.

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::Full;
use serde_json::Value;
use url::form_urlencoded;

/// A request, read to its end.
#[derive(Debug)]
pub(crate) struct Asked {
    pub method: Method,
    pub path: String,
    pub query: Form,
    pub headers: HeaderMap,
    pub form: Form,
    pub json: Value,
}

impl Asked {
    pub fn new(head: &http::request::Parts, body: &Bytes) -> Asked {
        Asked {
            method: head.method.clone(),
            path: head.uri.path().to_owned(),
            query: Form::read(head.uri.query().unwrap_or_default().as_bytes()),
            headers: head.headers.clone(),
            form: Form::read(body),
            json: serde_json::from_slice(body).unwrap_or_default(),
        }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub fn bearer(&self) -> &str {
        self.header("authorization").strip_prefix("Bearer ").unwrap_or_default()
    }

    pub fn cookie(&self, name: &str) -> Option<&str> {
        let pairs = self.headers.get_all("cookie").iter().filter_map(|value| value.to_str().ok());
        pairs.flat_map(|line| line.split("; ")).find_map(|pair| {
            pair.split_once('=').filter(|(key, _)| *key == name).map(|(_, value)| value)
        })
    }
}

/// Names and values of a query or a form.
#[derive(Clone, Debug, Default)]
pub(crate) struct Form(pub Vec<(String, String)>);

impl Form {
    fn read(text: &[u8]) -> Form {
        Form(form_urlencoded::parse(text).into_owned().collect())
    }

    /// The value of that name, unless it is empty.
    pub fn find(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }
}

/// A response.
#[derive(Debug)]
pub(crate) struct Answer(pub Response<Full<Bytes>>);

impl Answer {
    fn new(status: u16, kind: &str, body: String) -> Answer {
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        Answer(response).header("content-type", kind).header("cache-control", "no-store, no-cache")
    }

    pub fn json(status: u16, body: &Value) -> Answer {
        Answer::new(status, "application/json; charset=utf-8", body.to_string())
    }

    pub fn page(status: u16, body: String) -> Answer {
        Answer::new(status, "text/html; charset=utf-8", body)
    }

    pub fn redirect(url: &str) -> Answer {
        Answer::new(302, "text/html", String::new()).header("location", url)
    }

    pub fn empty(status: u16) -> Answer {
        Answer::new(status, "text/plain", String::new())
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Answer {
        self.0.headers_mut().append(name, value.parse().unwrap());
        self
    }
}
