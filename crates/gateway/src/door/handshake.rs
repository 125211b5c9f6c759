//! The door of the handshake era (up to 2025-11-25): `initialize`, sessions, and questions to the
//! client in the middle of a call.

use std::{sync::Arc, time::Duration};

use futures_util::future::try_join_all;
use http::{HeaderMap, StatusCode};
use identity::Verified;
use mcp::{
    Era, Id, Json, JsonBuf, Kind, Method, Notification, Patch, Request, Version, meta, quote,
};
use tokio::sync::mpsc;
use upstream::{ClientFacts, Events, LogWish};

use super::{
    exchange::{Answered, Exchange},
    session::Session,
    stateless::{EVENTS, KEPT},
};
use crate::{
    Gateway,
    call::{Call, Door, Gist, Reply, ResultKind, Scope},
    mrtr::Waiting,
    refusal::Refusal,
    signed::CallSignature,
};

/// Rounds of questions that one call may take; as many as other implementations allow.
const ROUNDS: usize = 10;
/// How long a person may take to answer one question.
const ANSWER: Duration = Duration::from_secs(600);

/// What `initialize` agreed on.
pub struct Initialized {
    /// The revision.
    pub version: Version,
    /// The client's capabilities, in the form that every call carries.
    pub capabilities: JsonBuf,
    /// `clientInfo`.
    pub info: Option<JsonBuf>,
    /// The reply's result.
    pub result: JsonBuf,
}

/// Answers `initialize`.
pub async fn initialize(
    gateway: &Gateway,
    caller: &Verified,
    scope: &Scope,
    door: Door,
    message: &JsonBuf,
    request: &Request<'_>,
) -> Result<Initialized, Refusal> {
    let params = request.params;
    let asked = params.get("protocolVersion").and_then(Json::string);
    let asked = asked.ok_or(Refusal::NameMissing("protocolVersion"))?;
    let version = Version::parse(&asked)
        .filter(|version| version.era() == Era::Handshake)
        .unwrap_or(Version::LAST_HANDSHAKE);
    let capabilities = declared(params.get("capabilities").unwrap_or(Json::EMPTY));
    // Copied, not shared: the session must not keep the whole message.
    let info = params.get("clientInfo").filter(|info| info.text().len() <= KEPT);
    let info = info.map(JsonBuf::from);
    let client = ClientFacts {
        capabilities: capabilities.clone(),
        info: info.clone(),
        log: LogWish::Default,
    };
    let params = message.share(params);
    let call = Call {
        scope: scope.clone(),
        method: Method::Initialize,
        method_name: "initialize".into(),
        gist: Gist::of(Method::Initialize, &params),
        params,
        client,
        version,
        door,
        param_headers: None,
        signature: None,
    };
    let limit = gateway.current().config.limits.in_flight_per_principal;
    let _slot = gateway.in_flight.enter(caller, limit)?;
    let said = gateway.introduced(caller, &call).await?;
    let mut text = format!(
        "{{\"protocolVersion\":{},\"capabilities\":{},\"serverInfo\":{}",
        quote(version.as_str()),
        without_tasks(crate::made(said.capabilities).json()),
        said.info
    );
    if let Some(instructions) = &said.instructions {
        text.push_str(",\"instructions\":");
        text.push_str(&quote(instructions));
    }
    text.push('}');
    Ok(Initialized { version, capabilities, info, result: crate::made(text) })
}

/// Tasks mean different things in the two eras and are not translated: neither side is told of them.
fn without_tasks(capabilities: Json<'_>) -> String {
    let mut patch = Patch::of(capabilities).remove("tasks");
    if let Some(extensions) = capabilities.get("extensions") {
        let extensions = Patch::of(extensions).remove("io.modelcontextprotocol/tasks").text();
        patch = patch.set("extensions", extensions);
    }
    patch.text()
}

fn declared(capabilities: Json<'_>) -> JsonBuf {
    if capabilities.kind() != Kind::Object || capabilities.text().len() > KEPT {
        return Json::EMPTY.into();
    }
    crate::made(without_tasks(capabilities))
}

/// Takes a notification. Those that Bartizan has no use for are accepted, as the protocol asks.
pub fn notified(
    gateway: &Gateway,
    caller: &Verified,
    session: &Session,
    notification: &Notification<'_>,
) {
    match &*notification.method {
        "notifications/cancelled" => {
            if let Some(id) = notification.params.get("requestId").and_then(Id::of) {
                session.cancel(id.raw());
            }
        }
        "notifications/roots/list_changed" => {
            gateway.roots_changed(caller, &session.scope);
        }
        _ => {}
    }
}

/// Starts one request of a session.
pub fn start(
    gateway: Arc<Gateway>,
    caller: Verified,
    session: Arc<Session>,
    door: Door,
    message: &JsonBuf,
    request: &Request<'_>,
    headers: Option<&HeaderMap>,
) -> Exchange {
    let (events, received) = mpsc::channel(EVENTS);
    let (questions, asked) = mpsc::channel(EVENTS);
    let id: Box<str> = request.id.raw().into();
    let (method, params) = (Method::of(&request.method), message.share(request.params));
    let conversation = Some(session.conversation(gateway.boot()));
    let call = Call {
        scope: session.scope.clone(),
        method,
        method_name: request.method.as_ref().into(),
        gist: Gist { conversation, ..Gist::of(method, &params) }.in_trace_of(headers),
        params,
        client: session.client(),
        version: session.version,
        door,
        param_headers: None,
        signature: headers.and_then(CallSignature::in_headers),
    };
    let run = Box::pin(async move {
        let running = session.run(&id);
        let turn = Turn { gateway: &gateway, caller: &caller, session: &session, questions };
        let answer = tokio::select! {
            answer = turn.answer(call, &events) => answer,
            () = running.cancelled() => Err(Refusal::Cancelled),
        };
        let mut answered = match answer {
            Ok(outcome) => Answered::new(&id, outcome),
            Err(refusal) => Answered::refused(&id, &refusal),
        };
        // In this era 404 says that the session is gone, and 400 that the request made no sense.
        if matches!(answered.status, StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST) {
            answered.status = StatusCode::OK;
        }
        answered
    });
    Exchange::new(run, received).asking(asked)
}

struct Turn<'a> {
    gateway: &'a Gateway,
    caller: &'a Verified,
    session: &'a Arc<Session>,
    questions: mpsc::Sender<String>,
}

impl Turn<'_> {
    async fn answer(
        &self,
        call: Call,
        events: &Events,
    ) -> Result<Result<JsonBuf, JsonBuf>, Refusal> {
        let done = || Ok(Ok(Json::EMPTY.into()));
        let text = |member| {
            let text = call.params.json().get(member).and_then(Json::string);
            text.map(|text| text.into_owned()).ok_or(Refusal::NameMissing(member))
        };
        match call.method {
            Method::Ping => done(),
            Method::LoggingSetLevel => {
                self.session.set_level(level(text("level")?)?);
                self.gateway.note(self.caller, &call).await?;
                done()
            }
            Method::ResourcesSubscribe => {
                let uri = text("uri")?;
                if !self.gateway.may_subscribe(self.caller, &call, &uri) {
                    let refusal = Refusal::UnknownResource { uri, rule: None };
                    return Err(self.gateway.refuse(Some(self.caller), refusal).await);
                }
                self.session.subscribe(uri)?;
                self.session.settled().await;
                self.gateway.note(self.caller, &call).await?;
                done()
            }
            Method::ResourcesUnsubscribe => {
                self.session.unsubscribe(&text("uri")?);
                self.gateway.note(self.caller, &call).await?;
                done()
            }
            Method::ServerDiscover
            | Method::SubscriptionsListen
            | Method::TasksCancel
            | Method::TasksGet
            | Method::TasksUpdate => {
                let refusal = Refusal::MethodNotFound(call.method_name.to_string());
                Err(self.gateway.refuse(Some(self.caller), refusal).await)
            }
            _ => self.rounds(call, events).await,
        }
    }

    /// Runs the call; when the server asks something, asks the client and runs it again.
    async fn rounds(
        &self,
        mut call: Call,
        events: &Events,
    ) -> Result<Result<JsonBuf, JsonBuf>, Refusal> {
        let original = call.params.clone();
        for _ in 0..ROUNDS {
            let reply = self.gateway.run(self.caller, &call, events).await?;
            let Some(wanted) = input_required(&reply) else {
                return Ok(handshake_form(call.method, reply));
            };
            let json = wanted.json();
            let waiting = Waiting::of(self.gateway, self.caller, json);
            let responses = self.ask(json.get("inputRequests").unwrap_or(Json::EMPTY)).await?;
            waiting.answered();
            let mut patch = Patch::of(original.json()).set("inputResponses", responses);
            if let Some(state) = json.get("requestState") {
                patch = patch.set("requestState", state.text());
            }
            call.params = patch.build();
            call.gist.retry = true;
        }
        Err(Refusal::InputUnsupported("the server asks without end"))
    }

    /// Puts all questions to the client and waits for all answers.
    async fn ask(&self, questions: Json<'_>) -> Result<String, Refusal> {
        let asked = questions.members().map(|(key, question)| async move {
            let response = self.ask_one(question).await?;
            Ok::<_, Refusal>(format!("{}:{}", quote(&key), response.json().text()))
        });
        Ok(format!("{{{}}}", try_join_all(asked).await?.join(",")))
    }

    async fn ask_one(&self, question: Json<'_>) -> Result<JsonBuf, Refusal> {
        let method = question.get("method").and_then(Json::string).unwrap_or_default();
        let params = question.get("params").unwrap_or(Json::EMPTY);
        let elicits = method == "elicitation/create";
        let by_url = params.get("mode").is_some_and(|mode| mode.text() == "\"url\"");
        let mut patch = Patch::of(params);
        if elicits && by_url {
            if self.session.version < Version::V2025_11_25 {
                return Err(Refusal::InputUnsupported(
                    "it must open a link, which this client's protocol version does not know",
                ));
            }
            if params.get("elicitationId").is_none() {
                let id = crate::seal::random_id().map_err(|_| Refusal::RequestState)?;
                patch = patch.set("elicitationId", quote(&id));
            }
        }
        let (id, answer) = self.session.ask()?;
        let params = patch.text();
        let message = mcp::request(&id.to_string(), &method, &params);
        let gone = || Refusal::InputUnsupported("it is gone");
        self.questions.send(message).await.map_err(|_| gone())?;
        match tokio::time::timeout(ANSWER, answer).await {
            Ok(Ok(Ok(result))) if result.json().kind() == Kind::Object => Ok(result),
            Ok(Ok(_)) if elicits => Ok(crate::made("{\"action\":\"cancel\"}".into())),
            Ok(Ok(_)) => Err(Refusal::InputUnsupported("it refused the question")),
            Ok(Err(_)) => Err(gone()),
            Err(_) => Err(Refusal::InputUnsupported("nobody answered in time")),
        }
    }
}

fn level(level: String) -> Result<String, Refusal> {
    const LEVELS: [&str; 8] =
        ["alert", "critical", "debug", "emergency", "error", "info", "notice", "warning"];
    if LEVELS.contains(&level.as_str()) { Ok(level) } else { Err(Refusal::NameMissing("level")) }
}

fn input_required(reply: &Reply) -> Option<JsonBuf> {
    let result = reply.outcome.as_ref().ok()?;
    (reply.kind == ResultKind::InputRequired).then(|| result.clone())
}

/// The reply as this era knows it: without what only the stateless era has.
pub fn handshake_form(method: Method, reply: Reply) -> Result<JsonBuf, JsonBuf> {
    let result = match reply.outcome {
        Ok(result) => result,
        Err(error) => return Err(handshake_error(method, error)),
    };
    if reply.era == Era::Handshake {
        return Ok(result);
    }
    let json = result.json();
    const STATELESS: [&str; 3] = ["resultType", "ttlMs", "cacheScope"];
    let [kind, ttl, scope, structured, held] =
        json.pick([STATELESS[0], STATELESS[1], STATELESS[2], "structuredContent", meta::META]);
    let mut patch = Patch::of(json);
    for (member, held) in STATELESS.iter().zip([kind, ttl, scope]) {
        if held.is_some() {
            patch = patch.remove(member);
        }
    }
    if structured.is_some_and(|content| content.kind() != Kind::Object) {
        patch = patch.remove("structuredContent");
    }
    if let Some(held) = held
        && held.get(meta::SERVER_INFO).is_some()
    {
        let rest = Patch::of(held).remove(meta::SERVER_INFO).text();
        patch = match rest.trim() {
            "{}" => patch.remove(meta::META),
            _ => patch.set(meta::META, rest),
        };
    }
    if patch.is_empty() { Ok(result) } else { Ok(patch.build()) }
}

/// Codes that only the stateless era has become ones that this era knows.
fn handshake_error(method: Method, error: JsonBuf) -> JsonBuf {
    let json = error.json();
    let code = json.get("code").and_then(Json::integer).unwrap_or_default();
    let known = match code {
        -32099..=-32020 => mcp::Code::InvalidRequest,
        -32602 if method == Method::ResourcesRead => mcp::Code::LegacyResourceNotFound,
        _ => return error,
    };
    Patch::of(json).set("code", (known as i32).to_string()).build()
}
