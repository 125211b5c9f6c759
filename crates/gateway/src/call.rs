//! One request as the pipeline sees it: the stateless form, whatever the door it came through.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};
use mcp::{Era, Json, JsonBuf, Method, ServerName, Version, meta};
use upstream::ClientFacts;

use crate::{refusal::Refusal, signed::CallSignature, telemetry::Context};

/// Which servers a door opens onto.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `/mcp`: all of them, names joined.
    All,
    /// `/mcp/{server}`: one, names untouched.
    One(ServerName),
}

/// Where a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Streamable HTTP, or the older HTTP+SSE pair, and where the client is.
    Http(std::net::IpAddr),
    /// A terminal command of this machine's owner.
    Local,
    /// Standard input and output.
    Stdio,
}

impl Door {
    /// Where the client is, when that is not this machine.
    pub fn address(self) -> Option<std::net::IpAddr> {
        match self {
            Door::Http(address) if !address.to_canonical().is_loopback() => Some(address),
            _ => None,
        }
    }

    /// Its name in the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            Door::Http(_) => "http",
            Door::Local => "local",
            Door::Stdio => "stdio",
        }
    }
}

/// One request.
#[derive(Clone, Debug)]
pub struct Call {
    /// Onto which servers.
    pub scope: Scope,
    /// What is asked.
    pub method: Method,
    /// The method's name on the wire.
    pub method_name: Box<str>,
    /// Its params, an object, read strictly.
    pub params: JsonBuf,
    /// What the client said of itself.
    pub client: ClientFacts,
    /// The revision the client speaks.
    pub version: Version,
    /// Where it came in.
    pub door: Door,
    /// The request's `Mcp-Param-*` headers, to be held against the arguments; `None` where the
    /// transport has none to hold.
    pub param_headers: Option<Vec<(HeaderName, HeaderValue)>>,
    /// A signature over it that came beside it, where the transport has such a place.
    pub signature: Option<Box<CallSignature>>,
    /// What most steps look at, read once.
    pub gist: Gist,
}

/// What most steps look at in a call's params.
#[derive(Clone, Debug)]
pub struct Gist {
    /// What it is about: the member that [`Method::name_member`] names.
    pub name: Option<Box<str>>,
    /// `arguments`.
    pub arguments: Option<JsonBuf>,
    /// Whether it carries `inputResponses` or `requestState`.
    pub retry: bool,
    /// The trace that it belongs to.
    pub(crate) trace: Option<Context>,
    /// The conversation it belongs to, among its principal's: a session, or a handle that the client chose.
    pub conversation: Option<Box<str>>,
}

/// A request's params and `_meta`, walked once each.
pub struct Shown<'a> {
    /// What it is about: the member that [`Method::name_member`] names.
    pub name: Option<Cow<'a, str>>,
    arguments: Option<Json<'a>>,
    retry: bool,
    /// The revision that `_meta` claims, which only the stateless era has.
    pub version: Option<Cow<'a, str>>,
    /// `clientCapabilities`.
    pub capabilities: Option<Json<'a>>,
    /// `clientInfo`.
    pub info: Option<Json<'a>>,
    /// `logLevel`.
    pub level: Option<Json<'a>>,
    trace: Option<Json<'a>>,
    conversation: Option<Json<'a>>,
}

impl<'a> Shown<'a> {
    /// Reads it.
    pub fn of(method: Method, params: Json<'a>) -> Shown<'a> {
        let name = method.name_member().unwrap_or_default();
        let [name, arguments, held, responses, state] =
            params.pick([name, "arguments", meta::META, "inputResponses", "requestState"]);
        let [version, capabilities, info, level, trace, conversation] =
            held.unwrap_or(Json::EMPTY).pick([
                meta::PROTOCOL_VERSION,
                meta::CLIENT_CAPABILITIES,
                meta::CLIENT_INFO,
                meta::LOG_LEVEL,
                "traceparent",
                meta::CONVERSATION,
            ]);
        Shown {
            name: name.and_then(Json::string),
            arguments,
            retry: responses.is_some() || state.is_some(),
            version: version.and_then(Json::string),
            capabilities,
            info,
            level,
            trace,
            conversation,
        }
    }

    /// What the later steps need of it; `message` is where it was read from.
    pub fn gist(&self, message: &JsonBuf) -> Gist {
        Gist {
            name: self.name.as_deref().map(Into::into),
            arguments: self.arguments.map(|json| message.share(json)),
            retry: self.retry,
            trace: Context::of_meta(self.trace),
            conversation: self.conversation.and_then(Json::string).map(|name| (&*name).into()),
        }
    }
}

impl Gist {
    /// With the trace that the request's headers name, where `_meta` names none.
    pub fn in_trace_of(mut self, headers: Option<&HeaderMap>) -> Gist {
        self.trace = self.trace.or_else(|| Context::of_headers(headers?));
        self
    }

    /// Reads it, where nothing else of the params is needed.
    pub fn of(method: Method, params: &JsonBuf) -> Gist {
        Shown::of(method, params.json()).gist(params)
    }
}

impl Call {
    /// What it is about, where that is required.
    pub fn name(&self) -> Result<&str, Refusal> {
        let member = self.method.name_member().unwrap_or("name");
        self.gist.name.as_deref().ok_or(Refusal::NameMissing(member))
    }

    /// What its params have beside what it is about, its arguments, and what belongs to the protocol: answers to
    /// a server's questions, and all that methods have which are not known here.
    pub fn others(&self) -> impl Iterator<Item = (Cow<'_, str>, Json<'_>)> {
        let name = self.method.name_member();
        let known = ["arguments", meta::META, "requestState"];
        let params = self.params.json().members();
        params.filter(move |(member, _)| {
            !known.contains(&&**member) && name.is_none_or(|name| name != &**member)
        })
    }

    /// The same as an object, without the answers to a server's questions unless `answers` says so.
    pub fn rest(&self, answers: bool) -> String {
        let others = self.others().filter(|(name, _)| answers || name != "inputResponses");
        let members: Vec<_> =
            others.map(|(name, value)| format!("{}:{}", mcp::quote(&name), value.text())).collect();
        format!("{{{}}}", members.join(","))
    }

    /// The arguments; `{}` where there are none.
    pub fn arguments(&self) -> Json<'_> {
        self.gist.arguments.as_ref().map_or(Json::EMPTY, JsonBuf::json)
    }
}

/// What a result is (`resultType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultKind {
    /// Not said: a handshake server's, or an error.
    Absent,
    /// `complete`
    Complete,
    /// `input_required`
    InputRequired,
    /// Any other: extensions have their own.
    Other,
    /// `task`
    Task,
}

impl ResultKind {
    fn of(kind: Option<Json<'_>>) -> ResultKind {
        match kind.map(Json::text) {
            None => ResultKind::Absent,
            Some("\"complete\"") => ResultKind::Complete,
            Some("\"input_required\"") => ResultKind::InputRequired,
            Some("\"task\"") => ResultKind::Task,
            Some(_) => ResultKind::Other,
        }
    }
}

/// How a request ended well: a server, or the gateway itself, answered.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The `result`, or the `error` that a server wrote.
    pub outcome: Result<JsonBuf, JsonBuf>,
    /// In which era's form the result is.
    pub era: Era,
    /// What the result is.
    pub kind: ResultKind,
    /// `isError`: the tool says that it failed.
    pub failed: bool,
}

impl Reply {
    /// What a server answered.
    pub fn of(outcome: Result<JsonBuf, JsonBuf>, era: Era) -> Reply {
        let [kind, failed] = match &outcome {
            Ok(result) => result.json().pick(["resultType", "isError"]),
            Err(_) => [None, None],
        };
        let failed = failed.and_then(Json::boolean) == Some(true);
        Reply { kind: ResultKind::of(kind), failed, outcome, era }
    }

    /// The same with another body, if there is one.
    pub fn with(self, body: Option<JsonBuf>) -> Reply {
        let outcome = match (body, self.outcome) {
            (Some(body), Ok(_)) => Ok(body),
            (Some(body), Err(_)) => Err(body),
            (None, outcome) => outcome,
        };
        Reply { outcome, ..self }
    }

    /// A complete result in the stateless form, made by the gateway.
    pub fn result(body: JsonBuf) -> Reply {
        Reply { outcome: Ok(body), era: Era::Stateless, kind: ResultKind::Complete, failed: false }
    }
}
