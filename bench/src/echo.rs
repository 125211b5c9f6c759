//! A minimal MCP server, both eras, two tools: `echo {text}` and `size {bytes, sse}`. Replies are written by hand.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::payload::Texts;

pub mod http;
pub mod stdio;

/// The stateless era's only version.
pub const STATELESS: &str = "2026-07-28";
/// The version of the handshake era that is answered.
pub const HANDSHAKE: &str = "2025-11-25";

const SERVER: &str = r#"{"name":"echo-upstream","version":"1"}"#;
const TOOLS: &str = concat!(
    r#""tools":[{"name":"echo","description":"Answers with its argument.","inputSchema":{"type":"object","#,
    r#""properties":{"text":{"type":"string"}},"required":["text"]}},"#,
    r#"{"name":"size","description":"Answers with a text of the given size.","inputSchema":{"type":"object","#,
    r#""properties":{"bytes":{"type":"integer"},"sse":{"type":"boolean"}},"required":["bytes"]}}]"#
);

/// What a reply needs beside its text and its id.
const OVERHEAD: usize = 320;

/// Which lifecycle a message belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// `initialize`, sessions.
    Handshake,
    /// Everything in `_meta`.
    Stateless,
}

/// Which eras the server admits to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Speaks {
    /// Both on one address.
    Both,
    /// Only the handshake era.
    Handshake,
    /// Only 2026-07-28.
    Stateless,
}

impl Speaks {
    fn admits(self, era: Era) -> bool {
        match self {
            Self::Both => true,
            Self::Handshake => era == Era::Handshake,
            Self::Stateless => era == Era::Stateless,
        }
    }
}

/// What a message is answered with.
#[derive(Debug)]
pub enum Reply {
    /// A notification or a response: nothing to say.
    Accepted,
    /// A JSON-RPC error that the HTTP binding gives a status of its own.
    Failed(u16, Bytes),
    /// The answer to `initialize`: the HTTP binding adds a session id.
    Initialized(Bytes),
    /// One JSON document.
    Json(Bytes),
    /// One event with one JSON document.
    Sse(Bytes),
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<Params<'a>>,
}

#[derive(Default, Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    arguments: Option<Arguments<'a>>,
    #[serde(borrow, rename = "_meta")]
    meta: Option<Meta<'a>>,
}

#[derive(Default, Deserialize)]
struct Arguments<'a> {
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    bytes: Option<usize>,
    #[serde(default)]
    sse: bool,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow, rename = "io.modelcontextprotocol/protocolVersion")]
    version: Option<Cow<'a, str>>,
}

/// The server behind both bindings.
#[derive(Clone, Debug)]
pub struct Echo {
    speaks: Speaks,
    /// Whether the binding can carry events.
    events: bool,
    texts: Texts,
}

impl Echo {
    /// A server of the given eras, for a binding that can carry events or not.
    #[must_use]
    pub fn new(speaks: Speaks, events: bool) -> Self {
        Self { speaks, events, texts: Texts::default() }
    }

    /// Answers one JSON-RPC message.
    #[must_use]
    pub fn answer(&self, message: &[u8]) -> Reply {
        let Ok(message) = serde_json::from_slice::<Message<'_>>(message) else {
            return Reply::Failed(400, error("null", -32700, "parse error"));
        };
        let (Some(id), Some(method)) = (message.id, message.method) else { return Reply::Accepted };
        let (id, params) = (id.get(), message.params.unwrap_or_default());
        let stateless =
            params.meta.as_ref().and_then(|meta| meta.version.as_deref()) == Some(STATELESS);
        let era = if stateless { Era::Stateless } else { Era::Handshake };
        if !self.speaks.admits(era)
            || method == "server/discover" && self.speaks == Speaks::Handshake
        {
            return Reply::Failed(
                if stateless { 400 } else { 404 },
                error(id, -32601, "not this era"),
            );
        }
        match (&*method, era) {
            ("server/discover", _) => Reply::Json(result(id, Era::Stateless, &self.discovery())),
            ("initialize", Era::Handshake) => {
                Reply::Initialized(result(id, era, &initialization()))
            }
            ("ping", Era::Handshake) => Reply::Json(result(id, era, "")),
            ("tools/list", Era::Handshake) => Reply::Json(result(id, era, TOOLS)),
            ("tools/list", Era::Stateless) => Reply::Json(result(
                id,
                era,
                &format!(r#"{TOOLS},"ttlMs":60000,"cacheScope":"public""#),
            )),
            ("tools/call", _) => self.call(id, era, &params),
            _ => Reply::Failed(404, error(id, -32601, "unknown method")),
        }
    }

    fn call(&self, id: &str, era: Era, params: &Params<'_>) -> Reply {
        match (params.name.as_deref(), &params.arguments) {
            (Some("echo"), Some(Arguments { text: Some(text), .. }))
                if text.get().starts_with('"') =>
            {
                let text = text.get().as_bytes();
                let mut to = BytesMut::with_capacity(text.len() + OVERHEAD);
                text_result(&mut to, id, era, |to| to.put_slice(&text[1..text.len() - 1]));
                Reply::Json(to.freeze())
            }
            (Some("size"), Some(Arguments { bytes: Some(bytes), sse, .. })) => {
                let text = self.texts.of(*bytes);
                let mut to = BytesMut::with_capacity(text.escaped_len() + OVERHEAD);
                if *sse && self.events {
                    to.put_slice(b"event: message\ndata: ");
                    text_result(&mut to, id, era, |to| text.write(to));
                    to.put_slice(b"\n\n");
                    return Reply::Sse(to.freeze());
                }
                text_result(&mut to, id, era, |to| text.write(to));
                Reply::Json(to.freeze())
            }
            _ => Reply::Json(error(id, -32602, "unknown tool or wrong arguments")),
        }
    }

    fn discovery(&self) -> String {
        let handshake =
            if self.speaks == Speaks::Both { format!(r#","{HANDSHAKE}""#) } else { String::new() };
        format!(
            r#""supportedVersions":["{STATELESS}"{handshake}],"capabilities":{{"tools":{{}}}},"serverInfo":{SERVER},"ttlMs":60000,"cacheScope":"public""#
        )
    }
}

fn initialization() -> String {
    format!(
        r#""protocolVersion":"{HANDSHAKE}","capabilities":{{"tools":{{}}}},"serverInfo":{SERVER}"#
    )
}

fn result(id: &str, era: Era, members: &str) -> Bytes {
    let comma = if members.is_empty() { "" } else { "," };
    match era {
        Era::Handshake => format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{{members}}}}}"#),
        Era::Stateless => format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete"{comma}{members},"_meta":{{"io.modelcontextprotocol/serverInfo":{SERVER}}}}}}}"#
        ),
    }
    .into()
}

fn text_result(to: &mut BytesMut, id: &str, era: Era, write: impl FnOnce(&mut BytesMut)) {
    to.put_slice(br#"{"jsonrpc":"2.0","id":"#);
    to.put_slice(id.as_bytes());
    to.put_slice(br#","result":{"content":[{"type":"text","text":""#);
    write(to);
    to.put_slice(br#""}]"#);
    if era == Era::Stateless {
        to.put_slice(br#","resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":"#);
        to.put_slice(SERVER.as_bytes());
        to.put_u8(b'}');
    }
    to.put_slice(b"}}");
}

fn error(id: &str, code: i32, message: &str) -> Bytes {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"{message}"}}}}"#)
        .into()
}
