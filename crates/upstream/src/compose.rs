//! Requests on their way out: one pass, one allocation, everything unknown left byte for byte.

use std::fmt::Write as _;

use bytes::Bytes;
use mcp::{Json, Kind, meta};

use crate::logs::Threshold;
use crate::{ClientFacts, LogWish};

/// [`mcp::Version::LAST_STATELESS`] as JSON text.
const VERSION: &str = "\"2026-07-28\"";
const RESERVED: &str = "io.modelcontextprotocol/";

/// A request's bytes, and the client's own progress token (raw JSON text) that it replaced.
pub(crate) struct Composed {
    pub body: Bytes,
    pub token: Option<Box<str>>,
}

/// A request in the stateless form: reserved `_meta` keys are ours, the others stay.
pub(crate) fn stateless(id: u64, method: &str, params: Json<'_>, client: &ClientFacts) -> Composed {
    let extra = client.capabilities.bytes().len()
        + client.info.as_ref().map_or(0, |info| info.bytes().len())
        + 256;
    compose(id, method, params, extra, |out| {
        let mut member = |name: &str, value: &str| {
            out.push('"');
            out.push_str(name);
            out.push_str("\":");
            out.push_str(value);
            out.push(',');
        };
        member(meta::PROTOCOL_VERSION, VERSION);
        member(meta::CLIENT_CAPABILITIES, client.capabilities.json().text());
        if let Some(info) = &client.info {
            member(meta::CLIENT_INFO, info.json().text());
        }
        match &client.log {
            LogWish::Default => member(meta::LOG_LEVEL, "\"info\""),
            // A level that is not one of the eight can't be asked for: the server would refuse the call.
            LogWish::Level(level) if Threshold::rank(level).is_some() => {
                member(meta::LOG_LEVEL, &mcp::quote(level));
            }
            LogWish::Level(_) | LogWish::None => {}
        }
    })
}

/// A request in the handshake form: reserved `_meta` keys are removed.
pub(crate) fn handshake(id: u64, method: &str, params: Json<'_>) -> Composed {
    compose(id, method, params, 64, |_| {})
}

fn compose(
    id: u64,
    method: &str,
    params: Json<'_>,
    extra: usize,
    ours: impl FnOnce(&mut String),
) -> Composed {
    let params = if params.kind() == Kind::Object { params } else { Json::EMPTY };
    let text = params.text();
    let mut out = String::with_capacity(text.len() + method.len() + extra + 96);
    let _ = write!(out, "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":");
    push_name(&mut out, method);
    out.push_str(",\"params\":");
    let token = splice_meta(&mut out, id, params, ours);
    out.push('}');
    Composed { body: Bytes::from(out), token }
}

/// Writes `params` with its `_meta` rewritten where it stands (or put first when it has none).
fn splice_meta(
    out: &mut String,
    id: u64,
    params: Json<'_>,
    ours: impl FnOnce(&mut String),
) -> Option<Box<str>> {
    let text = params.text();
    if let Some(theirs) = params.get(meta::META) {
        let at = theirs.text().as_ptr() as usize - text.as_ptr() as usize;
        out.push_str(&text[..at]);
        let token = write_meta(out, id, theirs, ours);
        out.push_str(&text[at + theirs.text().len()..]);
        return token;
    }
    let before = out.len();
    out.push_str("{\"_meta\":");
    let start = out.len();
    let token = write_meta(out, id, Json::EMPTY, ours);
    if &out[start..] == "{}" {
        out.truncate(before);
        out.push_str(text);
        return token;
    }
    let rest = &text[1..];
    if !rest.trim_start().starts_with('}') {
        out.push(',');
    }
    out.push_str(rest);
    token
}

fn write_meta(
    out: &mut String,
    id: u64,
    theirs: Json<'_>,
    ours: impl FnOnce(&mut String),
) -> Option<Box<str>> {
    let mut token = None;
    out.push('{');
    ours(out);
    for (name, value) in theirs.members() {
        if name.starts_with(RESERVED) {
            continue;
        }
        push_name(out, &name);
        out.push(':');
        if name == meta::PROGRESS_TOKEN {
            token = Some(value.text().into());
            let _ = write!(out, "{id},");
        } else {
            out.push_str(value.text());
            out.push(',');
        }
    }
    if out.ends_with(',') {
        out.pop();
    }
    out.push('}');
    token
}

/// A JSON string, without a detour when nothing in it needs an escape.
fn push_name(out: &mut String, name: &str) {
    if name.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'"' && b != b'\\') {
        out.push('"');
        out.push_str(name);
        out.push('"');
    } else {
        out.push_str(&mcp::quote(name));
    }
}

/// `notifications/cancelled` for one of our ids.
pub(crate) fn cancelled(id: u64, reason: &str) -> Bytes {
    let params = format!("{{\"requestId\":{id},\"reason\":{}}}", mcp::quote(reason));
    Bytes::from(mcp::notification("notifications/cancelled", &params))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcp::{JsonBuf, Limits};

    fn json(text: &str) -> JsonBuf {
        JsonBuf::read(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).unwrap()
    }

    fn facts(log: LogWish) -> ClientFacts {
        ClientFacts { capabilities: json(r#"{"roots":{}}"#), info: None, log }
    }

    #[test]
    fn stateless_meta_is_overwritten_in_place() {
        let params = json(
            r#"{"name":"t","_meta":{"progressToken":"tok","io.modelcontextprotocol/protocolVersion":"x","traceparent":"00-1"},"arguments":{"n":1.10}}"#,
        );
        let made = stateless(7, "tools/call", params.json(), &facts(LogWish::Default));
        assert_eq!(made.token.as_deref(), Some("\"tok\""));
        assert_eq!(
            std::str::from_utf8(&made.body).unwrap(),
            r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"t","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"roots":{}},"io.modelcontextprotocol/logLevel":"info","progressToken":7,"traceparent":"00-1"},"arguments":{"n":1.10}}}"#
        );
    }

    #[test]
    fn stateless_meta_is_added() {
        for (params, rest) in [("{}", "}"), ("{ }", " }"), (r#"{"a":1}"#, r#","a":1}"#)] {
            let made = stateless(1, "x/\"y", json(params).json(), &facts(LogWish::None));
            assert_eq!(
                std::str::from_utf8(&made.body).unwrap(),
                format!(
                    r#"{{"jsonrpc":"2.0","id":1,"method":"x/\"y","params":{{"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{{"roots":{{}}}}}}{rest}}}"#
                )
            );
        }
    }

    #[test]
    fn handshake_drops_reserved_keys_only() {
        let params = json(
            r#"{"_meta":{"io.modelcontextprotocol/clientCapabilities":{},"progressToken":3,"dev.x/y":[1]}}"#,
        );
        let made = handshake(9, "tools/list", params.json());
        assert_eq!(made.token.as_deref(), Some("3"));
        assert_eq!(
            std::str::from_utf8(&made.body).unwrap(),
            r#"{"jsonrpc":"2.0","id":9,"method":"tools/list","params":{"_meta":{"progressToken":9,"dev.x/y":[1]}}}"#
        );
        let made = handshake(9, "ping", json(r#"{"cursor":"a"}"#).json());
        assert_eq!(
            std::str::from_utf8(&made.body).unwrap(),
            r#"{"jsonrpc":"2.0","id":9,"method":"ping","params":{"cursor":"a"}}"#
        );
    }
}
