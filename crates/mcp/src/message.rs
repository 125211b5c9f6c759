//! The JSON-RPC 2.0 envelope.

use std::borrow::Cow;

use crate::json::quote_onto;
use crate::{Json, Kind, RpcError};

/// A request id: the exact JSON text of a string or an integer. Never null.
///
/// Equality is that of the text, so `"a"` and `"\u0061"` differ: ids that are compared must be one's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id<'a>(&'a str);

impl<'a> Id<'a> {
    /// The id's JSON text (`7`, `"a"`).
    pub fn raw(self) -> &'a str {
        self.0
    }

    /// Reads an id: a string or an integer (without fraction or exponent, of any size).
    pub fn of(json: Json<'a>) -> Option<Id<'a>> {
        let text = json.text();
        match json.kind() {
            Kind::String => Some(Id(text)),
            Kind::Number if !text.contains(['.', 'e', 'E']) => Some(Id(text)),
            _ => None,
        }
    }
}

/// Why a strictly read value is not a JSON-RPC message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageFault {
    /// The value is an array.
    #[error("batches are not part of this protocol version")]
    Batch,
    /// A member is named like one of the envelope's, but for case: some peers would read it as that one.
    #[error("a member name differs from a known one only in case")]
    CaseVariant,
    /// The id is missing where one is needed, or is null, a fraction or a container.
    #[error("id must be a string or an integer")]
    Id,
    /// The version member is missing or another.
    #[error("jsonrpc must be \"2.0\"")]
    JsonRpc,
    /// The members contradict each other, are of the wrong kind, or too few.
    #[error("neither a request, a notification nor a response")]
    Shape,
    /// The parameters are there but not an object.
    #[error("params must be an object")]
    Params,
}

/// One message.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names are JSON-RPC's own")]
pub enum Message<'a> {
    Notification(Notification<'a>),
    Request(Request<'a>),
    Response(Response<'a>),
}

/// A request; `params` is an object ([`Json::EMPTY`] when absent).
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names are JSON-RPC's own")]
pub struct Request<'a> {
    pub id: Id<'a>,
    pub method: Cow<'a, str>,
    pub params: Json<'a>,
}

/// A notification; `params` is an object ([`Json::EMPTY`] when absent).
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names are JSON-RPC's own")]
pub struct Notification<'a> {
    pub method: Cow<'a, str>,
    pub params: Json<'a>,
}

/// A response; the id is absent or null only in an error about an unreadable request.
#[derive(Clone, Debug)]
pub struct Response<'a> {
    /// The id of the request that is answered.
    pub id: Option<Id<'a>>,
    /// The `result` or the `error`; an object in either case.
    pub outcome: Result<Json<'a>, Json<'a>>,
}

impl<'a> Message<'a> {
    /// Tells what a value is. `jsonrpc` must be "2.0"; unknown members are allowed unless they differ from
    /// a known one only in case; `result` and `error` together, or with `method`, are refused. In MCP a
    /// result is always an object, so any other kind is refused too: nothing could inspect it.
    pub fn of(json: Json<'a>) -> Result<Message<'a>, MessageFault> {
        match json.kind() {
            Kind::Object => {}
            Kind::Array => return Err(MessageFault::Batch),
            _ => return Err(MessageFault::Shape),
        }
        let envelope = Envelope::of(json)?;
        if envelope.jsonrpc.and_then(Json::string).as_deref() != Some("2.0") {
            return Err(MessageFault::JsonRpc);
        }
        match (envelope.method, envelope.result, envelope.error) {
            (Some(method), None, None) => envelope.call(method),
            (None, Some(result), None) if result.kind() == Kind::Object => {
                let id = envelope.id.and_then(Id::of).ok_or(MessageFault::Id)?;
                Ok(Message::Response(Response { id: Some(id), outcome: Ok(result) }))
            }
            (None, None, Some(error)) if error.kind() == Kind::Object => {
                let id = match envelope.id {
                    Some(id) if !id.is_null() => Some(Id::of(id).ok_or(MessageFault::Id)?),
                    _ => None,
                };
                Ok(Message::Response(Response { id, outcome: Err(error) }))
            }
            _ => Err(MessageFault::Shape),
        }
    }
}

/// The known members, found in one pass.
#[derive(Default)]
struct Envelope<'a> {
    error: Option<Json<'a>>,
    id: Option<Json<'a>>,
    jsonrpc: Option<Json<'a>>,
    method: Option<Json<'a>>,
    params: Option<Json<'a>>,
    result: Option<Json<'a>>,
}

impl<'a> Envelope<'a> {
    fn of(json: Json<'a>) -> Result<Self, MessageFault> {
        let mut envelope = Envelope::default();
        for (name, value) in json.members() {
            let place = match &*name {
                "error" => &mut envelope.error,
                "id" => &mut envelope.id,
                "jsonrpc" => &mut envelope.jsonrpc,
                "method" => &mut envelope.method,
                "params" => &mut envelope.params,
                "result" => &mut envelope.result,
                other if is_case_variant(other) => return Err(MessageFault::CaseVariant),
                _ => continue,
            };
            *place = Some(value);
        }
        Ok(envelope)
    }

    fn call(&self, method: Json<'a>) -> Result<Message<'a>, MessageFault> {
        let method = method.string().ok_or(MessageFault::Shape)?;
        let params = self.params.unwrap_or(Json::EMPTY);
        if params.kind() != Kind::Object {
            return Err(MessageFault::Params);
        }
        match self.id {
            None => Ok(Message::Notification(Notification { method, params })),
            Some(id) => {
                let id = Id::of(id).ok_or(MessageFault::Id)?;
                Ok(Message::Request(Request { id, method, params }))
            }
        }
    }
}

/// Whether a name that is not a known one would be taken for one by a reader that ignores case.
fn is_case_variant(name: &str) -> bool {
    ["error", "id", "jsonrpc", "method", "params", "result"].into_iter().any(|known| {
        name.eq_ignore_ascii_case(known)
            || (!name.is_ascii() && name.chars().map(fold).eq(known.chars()))
    })
}

/// Simple case folding as far as it ends in ASCII: besides the letters, U+017F is an `s` and U+212A a `k` to the
/// readers that fold (Go's standard library is one).
fn fold(character: char) -> char {
    match character {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    }
}

/// `{"jsonrpc":"2.0","id":…,"method":…,"params":…}`; `id` and `params` are JSON text.
pub fn request(id: &str, method: &str, params: &str) -> String {
    let mut out = String::with_capacity(56 + id.len() + method.len() + params.len());
    out.push_str("{\"jsonrpc\":\"2.0\",\"id\":");
    out.push_str(id);
    out.push_str(",\"method\":");
    quote_onto(&mut out, method);
    out.push_str(",\"params\":");
    out.push_str(params);
    out.push('}');
    out
}

/// `{"jsonrpc":"2.0","method":…,"params":…}`; `params` is JSON text.
pub fn notification(method: &str, params: &str) -> String {
    let mut out = String::with_capacity(48 + method.len() + params.len());
    out.push_str("{\"jsonrpc\":\"2.0\",\"method\":");
    quote_onto(&mut out, method);
    out.push_str(",\"params\":");
    out.push_str(params);
    out.push('}');
    out
}

/// `{"jsonrpc":"2.0","id":…,"result":…}`; `id` and `result` are JSON text.
pub fn result_reply(id: &str, result: &str) -> String {
    let mut out = String::with_capacity(40 + id.len() + result.len());
    out.push_str("{\"jsonrpc\":\"2.0\",\"id\":");
    out.push_str(id);
    out.push_str(",\"result\":");
    out.push_str(result);
    out.push('}');
    out
}

/// `{"jsonrpc":"2.0","id":…,"error":…}`; `id` is JSON text, left out when `None` (an unreadable request).
pub fn error_reply(id: Option<&str>, error: &RpcError) -> String {
    let mut out = String::from("{\"jsonrpc\":\"2.0\"");
    if let Some(id) = id {
        out.push_str(",\"id\":");
        out.push_str(id);
    }
    out.push_str(",\"error\":");
    out.push_str(&error.text());
    out.push('}');
    out
}
