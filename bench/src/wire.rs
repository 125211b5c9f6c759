//! What the load generator sends, and how it judges every reply.

use std::{borrow::Cow, fmt::Write};

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::{
    echo::{Era, HANDSHAKE, STATELESS},
    payload::Texts,
};

const ECHOED: &str = "0123456789abcdef0123456789abcdef";
const CLIENT: &str = r#"{"name":"bench","version":"1"}"#;

/// What one call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// `echo` with a text of 32 bytes.
    Echo,
    /// `size`: a text of so many bytes, as JSON or as an event.
    Size {
        /// Decoded length of the text.
        bytes: usize,
        /// Whether the upstream answers with an event stream.
        sse: bool,
    },
}

/// Where a call goes and in which form.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `host:port`.
    pub authority: String,
    /// The path of the MCP endpoint.
    pub path: String,
    /// What stands before the tool's own name, as `echo__` in an aggregate.
    pub prefix: String,
    /// A bearer token, if the door asks for one.
    pub token: Option<String>,
    /// The era the client speaks.
    pub era: Era,
}

impl Endpoint {
    fn head(&self, session: Option<&str>) -> String {
        let mut head = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\n",
            self.path, self.authority
        );
        let version = if self.era == Era::Stateless { STATELESS } else { HANDSHAKE };
        let _ = write!(head, "mcp-protocol-version: {version}\r\n");
        if let Some(token) = &self.token {
            let _ = write!(head, "authorization: Bearer {token}\r\n");
        }
        if let Some(session) = session {
            let _ = write!(head, "mcp-session-id: {session}\r\n");
        }
        head
    }

    /// `initialize`, for the handshake era.
    #[must_use]
    pub fn initialize(&self) -> Template {
        let params = format!(
            r#"{{"protocolVersion":"{HANDSHAKE}","capabilities":{{}},"clientInfo":{CLIENT}}}"#
        );
        Template::new(self.head(None), "initialize", &params)
    }

    /// `notifications/initialized`, complete.
    #[must_use]
    pub fn initialized(&self, session: &str) -> String {
        let body = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        format!("{}content-length: {}\r\n\r\n{body}", self.head(Some(session)), body.len())
    }

    /// The first request of a client in its era, which a cold start is timed by.
    #[must_use]
    pub fn first(&self) -> Template {
        match self.era {
            Era::Handshake => self.initialize(),
            Era::Stateless => self.stateless("tools/list", None, "{"),
        }
    }

    /// `tools/call`.
    #[must_use]
    pub fn call(&self, payload: Payload, session: Option<&str>) -> Template {
        let (tool, arguments) = match payload {
            Payload::Echo => ("echo", format!(r#"{{"text":"{ECHOED}"}}"#)),
            Payload::Size { bytes, sse } => ("size", format!(r#"{{"bytes":{bytes},"sse":{sse}}}"#)),
        };
        let name = format!("{}{tool}", self.prefix);
        let params = format!(r#"{{"name":"{name}","arguments":{arguments}"#);
        match self.era {
            Era::Handshake => {
                Template::new(self.head(session), "tools/call", &format!("{params}}}"))
            }
            Era::Stateless => self.stateless("tools/call", Some(&name), &format!("{params},")),
        }
    }

    fn stateless(&self, method: &str, name: Option<&str>, params: &str) -> Template {
        let mut head = self.head(None);
        let _ = write!(head, "mcp-method: {method}\r\n");
        if let Some(name) = name {
            let _ = write!(head, "mcp-name: {name}\r\n");
        }
        let meta = format!(
            r#""_meta":{{"io.modelcontextprotocol/protocolVersion":"{STATELESS}","io.modelcontextprotocol/clientInfo":{CLIENT},"io.modelcontextprotocol/clientCapabilities":{{}}}}}}"#
        );
        Template::new(head, method, &format!("{params}{meta}"))
    }
}

/// A request that lacks only its id.
#[derive(Clone, Debug)]
pub struct Template {
    head: String,
    rest: String,
}

const BEFORE_ID: &str = r#"{"jsonrpc":"2.0","id":"#;

impl Template {
    fn new(head: String, method: &str, params: &str) -> Self {
        Self { head, rest: format!(r#","method":"{method}","params":{params}}}"#) }
    }

    /// Writes the whole HTTP request.
    pub fn write(&self, id: u64, to: &mut String) {
        let digits = id.checked_ilog10().unwrap_or(0) as usize + 1;
        let length = BEFORE_ID.len() + digits + self.rest.len();
        to.clear();
        let _ =
            write!(to, "{}content-length: {length}\r\n\r\n{BEFORE_ID}{id}{}", self.head, self.rest);
    }

    /// The JSON-RPC message alone.
    #[must_use]
    pub fn message(&self, id: u64) -> String {
        format!("{BEFORE_ID}{id}{}", self.rest)
    }
}

#[derive(Deserialize)]
struct Reply<'a> {
    id: u64,
    error: Option<IgnoredAny>,
    #[serde(borrow)]
    result: Option<CallResult<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CallResult<'a> {
    #[serde(borrow)]
    content: Vec<Content<'a>>,
    #[serde(default)]
    is_error: bool,
    #[serde(borrow)]
    result_type: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    text: Cow<'a, str>,
}

/// Judges replies.
#[derive(Clone, Debug)]
pub struct Judge {
    era: Era,
    escaped: Bytes,
    length: usize,
}

impl Judge {
    /// For calls of one kind.
    #[must_use]
    pub fn new(era: Era, payload: Payload) -> Self {
        match payload {
            Payload::Echo => {
                Self { era, escaped: Bytes::from_static(ECHOED.as_bytes()), length: ECHOED.len() }
            }
            Payload::Size { bytes, .. } => {
                Self { era, escaped: Texts::default().of(bytes).escaped(), length: bytes }
            }
        }
    }

    /// Checks the id, the absence of an error and the text of one reply.
    ///
    /// # Errors
    /// With what was wrong.
    pub fn check(&self, id: u64, body: &[u8], sse: bool) -> anyhow::Result<()> {
        let document = if sse { last_event(body)? } else { body };
        // The text is compared as bytes and cut out, so that judging a megabyte does not cost a parse of it.
        let cut = memchr::memmem::find(document, br#""text":""#).map(|at| at + 8);
        let (shortened, expected) = match cut {
            Some(at) if document[at..].starts_with(&self.escaped) => {
                let mut shortened = document[..at].to_vec();
                shortened.extend_from_slice(&document[at + self.escaped.len()..]);
                (Cow::Owned(shortened), 0)
            }
            _ => (Cow::Borrowed(document), self.length),
        };
        let reply: Reply<'_> = serde_json::from_slice(&shortened)
            .map_err(|fault| anyhow::anyhow!("{fault} in {}", excerpt(document)))?;
        let right = reply.id == id
            && reply.error.is_none()
            && reply.result.as_ref().is_some_and(|result| {
                !result.is_error
                    && matches!(&result.content[..], [content] if content.text.len() == expected)
                    && (self.era == Era::Handshake
                        || result.result_type.as_deref() == Some("complete"))
            });
        anyhow::ensure!(right, "the reply to {id} is wrong: {}", excerpt(document));
        Ok(())
    }
}

/// The data of the last event that has any: a stream ends with the response.
fn last_event(body: &[u8]) -> anyhow::Result<&[u8]> {
    let (mut data, mut start) = (None, 0);
    for end in memchr::memchr_iter(b'\n', body).chain([body.len()]) {
        let line = &body[start..end];
        start = end + 1;
        if let Some(value) =
            line.strip_prefix(b"data:").map(<[u8]>::trim_ascii).filter(|value| !value.is_empty())
        {
            data = Some(value);
        }
    }
    data.ok_or_else(|| anyhow::anyhow!("a stream without an answer: {}", excerpt(body)))
}

/// The beginning of a body, for an error message.
#[must_use]
pub fn excerpt(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::echo::{Echo, Reply as Answer, Speaks};

    fn endpoint(era: Era) -> Endpoint {
        Endpoint {
            authority: "h:1".into(),
            path: "/mcp".into(),
            prefix: String::new(),
            token: None,
            era,
        }
    }

    #[test]
    fn the_upstream_answers_what_the_judge_expects() {
        let echo = Echo::new(Speaks::Both, true);
        for era in [Era::Handshake, Era::Stateless] {
            for payload in [Payload::Echo, Payload::Size { bytes: 70_001, sse: false }] {
                let message = endpoint(era).call(payload, Some("s")).message(7);
                let Answer::Json(body) = echo.answer(message.as_bytes()) else { panic!("no JSON") };
                let judge = Judge::new(era, payload);
                judge.check(7, &body, false).unwrap();
                let event =
                    [b"id: 1\ndata: \n\nevent: message\ndata: ", &body[..], b"\n\n"].concat();
                judge.check(7, &event, true).unwrap();
            }
        }
    }

    #[test]
    fn wrong_replies_are_noticed() {
        let judge = Judge::new(Era::Handshake, Payload::Echo);
        let reply = |id: u64, text: &str, more: &str| {
            format!(
                r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":"{text}"}}]{more}}}}}"#
            )
        };
        judge.check(1, reply(1, ECHOED, "").as_bytes(), false).unwrap();
        judge.check(2, reply(1, ECHOED, "").as_bytes(), false).unwrap_err();
        judge.check(1, reply(1, &ECHOED[1..], "").as_bytes(), false).unwrap_err();
        judge.check(1, reply(1, &format!("{ECHOED}x"), "").as_bytes(), false).unwrap_err();
        judge.check(1, reply(1, ECHOED, r#","isError":true"#).as_bytes(), false).unwrap_err();
        judge
            .check(1, br#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}"#, false)
            .unwrap_err();
    }
}
