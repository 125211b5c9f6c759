//! One HTTP request on a connection of its own, with every header as the test wants it.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, task::JoinHandle};

use crate::PATIENCE;

/// A request to be sent.
#[derive(Clone, Debug)]
pub struct Request {
    method: Method,
    address: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Request {
    /// A POST with the headers that every MCP client sends.
    pub fn post(address: &str, path: &str, body: impl Into<Bytes>) -> Self {
        let mut request = Self::new(Method::POST, address, path);
        request.body = body.into();
        request
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
    }

    /// A request without a body.
    pub fn new(method: Method, address: &str, path: &str) -> Self {
        let (address, path) = (address.to_owned(), path.to_owned());
        let headers = vec![("host".to_owned(), address.clone())];
        Self { method, address, path, headers, body: Bytes::new() }
    }

    /// Sets a header, in place of what it was.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self.also_header(name, value)
    }

    /// Adds a header beside those of the same name.
    pub fn also_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Leaves a header out.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self
    }

    /// Sends it and returns when the response's head is here.
    pub async fn send(self) -> Reply {
        tokio::time::timeout(PATIENCE, self.exchange()).await.expect("a response in time")
    }

    async fn exchange(self) -> Reply {
        let stream = TcpStream::connect(&self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(async move {
            let _ = connection.await;
        });
        let mut request =
            hyper::Request::builder().method(self.method).uri(self.path.parse::<Uri>().unwrap());
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(self.body)).unwrap();
        let response = sender.send_request(request).await.unwrap();
        let (head, body) = response.into_parts();
        Reply { status: head.status, headers: head.headers, body, rest: Vec::new(), connection }
    }
}

/// A response, whose body is read as it comes. Dropping it closes the connection.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    body: Incoming,
    rest: Vec<u8>,
    connection: JoinHandle<()>,
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Reply {
    /// A header's text, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Whether it is a stream of events.
    pub fn is_stream(&self) -> bool {
        self.header("content-type").starts_with("text/event-stream")
    }

    /// The next message of the response as it was written, or none at the end.
    pub async fn next_text(&mut self) -> Option<String> {
        tokio::time::timeout(PATIENCE, self.read_message()).await.expect("a message in time")
    }

    /// The next message of the response, or none at the end.
    pub async fn next(&mut self) -> Option<Value> {
        let text = self.next_text().await?;
        Some(serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}")))
    }

    /// The next message, or none when nothing comes for a while.
    pub async fn next_within(&mut self, time: Duration) -> Option<Value> {
        let text = tokio::time::timeout(time, self.read_message()).await.ok()??;
        serde_json::from_str(&text).ok()
    }

    /// The whole rest of the body.
    pub async fn text(&mut self) -> String {
        let read = async { while self.more().await {} };
        tokio::time::timeout(PATIENCE, read).await.expect("a body in time");
        String::from_utf8(std::mem::take(&mut self.rest)).unwrap()
    }

    /// One SSE event with its fields, or none at the end.
    pub async fn event(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.rest.windows(2).position(|pair| pair == b"\n\n") {
                let event: Vec<u8> = self.rest.drain(..end + 2).collect();
                return Some(String::from_utf8(event).unwrap());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    async fn read_message(&mut self) -> Option<String> {
        if !self.is_stream() {
            while self.more().await {}
            let body = std::mem::take(&mut self.rest);
            return (!body.is_empty()).then(|| String::from_utf8(body).unwrap());
        }
        loop {
            let event = self.event().await?;
            let data: Vec<&str> =
                event.lines().filter_map(|line| line.strip_prefix("data:")).collect();
            let data = data.iter().map(|line| line.trim_start()).collect::<Vec<_>>().join("\n");
            if !data.is_empty() {
                return Some(data);
            }
        }
    }

    async fn more(&mut self) -> bool {
        while let Some(Ok(frame)) = self.body.frame().await {
            if let Ok(data) = frame.into_data() {
                self.rest.extend_from_slice(&data);
                return true;
            }
        }
        false
    }
}
