//! Multi round-trip requests: a server's `requestState` travels through the client inside our own
//! sealed one, bound to the principal, the server, and the request it belongs to.

use aws_lc_rs::digest::{Context, SHA256};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use identity::Verified;
use mcp::{Json, JsonBuf, Kind, Method, Patch, quote};

use crate::{
    Gateway,
    call::{Call, Scope},
    refusal::Refusal,
    resolve::Target,
    seal::{Purpose, Sealer},
};

/// How long a person may take to answer, in seconds.
const TTL: u64 = 600;

/// The state that goes to the server.
pub(crate) enum State {
    /// The client sent none.
    Absent,
    /// The client sent ours, the server had given none.
    Dropped,
    /// The question was ours, and so are the answers.
    Own,
    /// The server's own, byte for byte.
    Server(String),
}

/// What the client sent with a retry, opened.
pub(crate) struct Opened {
    /// The state that goes to the server.
    pub state: State,
    /// What a person approved in an earlier round of this very call.
    pub approved: Option<Approved>,
}

/// A person's approval of a call, which goes on over the rounds of that call.
#[derive(Clone, Debug)]
pub(crate) struct Approved {
    /// Of the request for it.
    pub id: String,
    /// The rule that asked.
    pub rule: String,
    /// Until when it is good, in seconds since the epoch.
    pub until: u64,
    /// The state that it came back with, hashed: each is good once.
    pub state: [u8; 32],
}

impl Approved {
    /// One that was just given.
    pub fn now(id: String, rule: &str) -> Approved {
        Approved { id, rule: rule.to_owned(), until: crate::now() + TTL, state: [0; 32] }
    }

    fn read(json: Json<'_>, sealed: &str, target: &Target) -> Option<Approved> {
        let [id, rule, until, definition] = json.pick(["id", "rule", "until", "definition"]);
        let text = |member: Option<Json<'_>>| Some(member?.string()?.into_owned());
        // Another definition than the approver saw was not approved.
        if text(definition)? != target.definition() {
            return None;
        }
        let mut state = [0; 32];
        state.copy_from_slice(aws_lc_rs::digest::digest(&SHA256, sealed.as_bytes()).as_ref());
        let until = u64::try_from(until?.integer()?).ok()?;
        Some(Approved { id: text(id)?, rule: text(rule)?, until, state })
    }

    fn written(&self, target: &Target) -> String {
        format!(
            "{{\"id\":{},\"rule\":{},\"until\":{},\"definition\":{}}}",
            quote(&self.id),
            quote(&self.rule),
            self.until,
            quote(&target.definition())
        )
    }
}

impl Opened {
    /// Whether the client has answered a question of ours.
    pub fn is_own(&self) -> bool {
        matches!(self.state, State::Own)
    }
}

impl From<State> for Opened {
    fn from(state: State) -> Opened {
        Opened { state, approved: None }
    }
}

/// A link that a person shall open.
pub(crate) struct Link<'a> {
    /// Of the question among `inputRequests`.
    pub key: &'a str,
    /// `elicitationId`
    pub id: &'a str,
    pub url: &'a str,
    pub message: &'a str,
}

/// A result that asks the client to show a link and to come back. `None`: the client can't, or this request is
/// none that may be asked about.
pub(crate) fn ask_to_open(
    sealer: &Sealer,
    caller: &Verified,
    call: &Call,
    target: &Target,
    link: Link<'_>,
) -> Option<JsonBuf> {
    call.client.capabilities.json().get("elicitation")?.get("url")?;
    if !may_ask(call.method) {
        return None;
    }
    let params = format!(
        "{{\"mode\":\"url\",\"elicitationId\":{},\"url\":{},\"message\":{}}}",
        quote(link.id),
        quote(link.url),
        quote(link.message)
    );
    let state = own_state(sealer, caller, call, target).ok()?;
    Some(crate::made(format!(
        "{{\"resultType\":\"input_required\",\"inputRequests\":{{{}:{{\"method\":\"elicitation/create\",\"params\":{params}}}}},\"requestState\":{}}}",
        quote(link.key),
        quote(&state)
    )))
}

/// Opens what the client sent with a retry.
pub(crate) fn open(
    sealer: &Sealer,
    caller: &Verified,
    call: &Call,
    target: &Target,
) -> Result<Opened, Refusal> {
    if !call.gist.retry {
        return Ok(State::Absent.into());
    }
    let params = call.params.json();
    if let Some(responses) = params.get("inputResponses")
        && (responses.kind() != Kind::Object
            || responses.members().any(|(_, response)| response.kind() != Kind::Object))
    {
        return Err(Refusal::InputResponses);
    }
    let Some(sealed) = params.get("requestState") else { return Ok(State::Absent.into()) };
    let sealed = sealed.string().ok_or(Refusal::RequestState)?;
    let owner = caller.principal().partition();
    let plain = sealer
        .open(Purpose::RequestState, owner, crate::now(), &sealed)
        .map_err(|_| Refusal::RequestState)?;
    let plain = Json::read(&plain, &mcp::Limits::default()).map_err(|_| Refusal::RequestState)?;
    let holds =
        |name, value: &str| plain.get(name).and_then(Json::string).as_deref() == Some(value);
    if !holds("server", target.served.name().as_str()) || !holds("request", &digest(call, target)) {
        return Err(Refusal::RequestState);
    }
    let [state, own, approved] = plain.pick(["state", "own", "approved"]);
    let state = match state.and_then(Json::string) {
        Some(state) => State::Server(state.into_owned()),
        None if own.is_some() => State::Own,
        None => State::Dropped,
    };
    let approved = approved.and_then(|json| Approved::read(json, &sealed, target));
    Ok(Opened { state, approved })
}

/// Whether a request with this method may be answered with questions.
pub(crate) fn may_ask(method: Method) -> bool {
    matches!(method, Method::ToolsCall | Method::PromptsGet | Method::ResourcesRead)
}

/// The state that goes with a question of ours.
pub(crate) fn own_state(
    sealer: &Sealer,
    caller: &Verified,
    call: &Call,
    target: &Target,
) -> Result<String, Refusal> {
    let plain = format!("{},\"own\":true}}", bound(call, target));
    seal_state(sealer, caller, crate::now() + TTL, &plain)
}

/// The beginning of a state: the server and the request that it is bound to.
fn bound(call: &Call, target: &Target) -> String {
    format!(
        "{{\"server\":{},\"request\":{}",
        quote(target.served.name().as_str()),
        quote(&digest(call, target))
    )
}

fn seal_state(
    sealer: &Sealer,
    caller: &Verified,
    until: u64,
    plain: &str,
) -> Result<String, Refusal> {
    let owner = caller.principal().partition();
    sealer
        .seal(Purpose::RequestState, owner, until, plain.as_bytes())
        .map_err(|_| Refusal::RequestState)
}

/// A call that waits at its server for answers; dropped before they are given, the server is told that
/// none will come.
pub(crate) struct Waiting<'a> {
    gateway: &'a Gateway,
    caller: &'a Verified,
    sealed: Option<String>,
}

impl<'a> Waiting<'a> {
    /// Of an `input_required` result as its client sees it.
    pub fn of(gateway: &'a Gateway, caller: &'a Verified, result: Json<'_>) -> Waiting<'a> {
        let sealed = result.get("requestState").and_then(Json::string);
        Waiting { gateway, caller, sealed: sealed.map(|sealed| sealed.into_owned()) }
    }

    /// The answers are there.
    pub fn answered(mut self) {
        self.sealed = None;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some(sealed) = self.sealed.take() else { return };
        let owner = self.caller.principal().partition();
        let opened = self.gateway.sealer.open(Purpose::RequestState, owner, crate::now(), &sealed);
        let Ok(plain) = opened else { return };
        let Ok(plain) = Json::read(&plain, &mcp::Limits::default()) else { return };
        let [server, state] =
            plain.pick(["server", "state"]).map(|text| text.and_then(Json::string));
        if let (Some(server), Some(state)) = (server, state)
            && let Some(served) = self.gateway.served(&server)
        {
            served.link().abandon(&served.partition(self.caller), &state);
        }
    }
}

/// Seals the state of an `input_required` result, and holds the questions in it against what the
/// client declared. `approved`: a person's approval goes on for the rounds of this call.
pub(crate) fn seal(
    sealer: &Sealer,
    caller: &Verified,
    call: &Call,
    target: &Target,
    approved: Option<&Approved>,
    result: JsonBuf,
) -> Result<JsonBuf, Refusal> {
    let json = result.json();
    let questions = json.get("inputRequests").unwrap_or(Json::EMPTY);
    if !may_ask(call.method) {
        return Err(asked(target, "an answer to a method that can't have one"));
    }
    check(call, target, questions)?;
    let mut plain = bound(call, target);
    let mut until = crate::now() + TTL;
    if let Some(approved) = approved {
        plain.push_str(&format!(",\"approved\":{}", approved.written(target)));
        until = until.min(approved.until);
    }
    if let Some(state) = json.get("requestState") {
        plain.push_str(",\"state\":");
        plain.push_str(state.text());
    }
    plain.push('}');
    let sealed = seal_state(sealer, caller, until, &plain)?;
    let mut patch = Patch::of(json).set("requestState", quote(&sealed));
    if call.scope == Scope::All && questions.members().next().is_some() {
        patch = patch.set("inputRequests", signed(target, questions));
    }
    Ok(patch.build())
}

/// The questions of a task, under the same rules.
pub(crate) fn ask_for_task(
    call: &Call,
    target: &Target,
    result: JsonBuf,
) -> Result<JsonBuf, Refusal> {
    let Some(questions) = result.json().get("inputRequests") else { return Ok(result) };
    check(call, target, questions)?;
    if call.scope != Scope::All {
        return Ok(result);
    }
    Ok(Patch::of(result.json()).set("inputRequests", signed(target, questions)).build())
}

/// A server may only ask what this request's client said that it can answer.
fn check(call: &Call, target: &Target, questions: Json<'_>) -> Result<(), Refusal> {
    for (_, question) in questions.members() {
        let [method, params] = question.pick(["method", "params"]);
        let method = method.and_then(Json::string).unwrap_or_default();
        if !declared(call, &method, params.unwrap_or(Json::EMPTY)) {
            return Err(asked(target, &method));
        }
    }
    Ok(())
}

fn asked(target: &Target, method: &str) -> Refusal {
    Refusal::ServerAsked { server: target.served.name().clone(), method: method.to_owned() }
}

/// Whether this request's client said that it can answer this.
fn declared(call: &Call, method: &str, params: Json<'_>) -> bool {
    let (capability, part) = match method {
        "elicitation/create" => {
            let by_url = params.get("mode").is_some_and(|mode| mode.text() == "\"url\"");
            ("elicitation", by_url.then_some("url"))
        }
        "roots/list" => ("roots", None),
        "sampling/createMessage" => ("sampling", params.get("tools").map(|_| "tools")),
        _ => return false,
    };
    let declared = call.client.capabilities.json().get(capability);
    declared.is_some_and(|declared| part.is_none_or(|part| declared.get(part).is_some()))
}

/// In the aggregate the person who is asked is told which server asks.
fn signed(target: &Target, questions: Json<'_>) -> String {
    let mut text = String::from("{");
    for (key, question) in questions.members() {
        let params = question.get("params").unwrap_or(Json::EMPTY);
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&quote(&key));
        text.push(':');
        match params.get("message").and_then(Json::string) {
            Some(message) => {
                let message = quote(&format!("[{}] {message}", target.served.name()));
                let params = Patch::of(params).set("message", message).text();
                text.push_str(&Patch::of(question).set("params", params).text());
            }
            None => text.push_str(question.text()),
        }
    }
    text.push('}');
    text
}

/// What a retry must repeat: the method, the name, the arguments, and what else there was.
fn digest(call: &Call, target: &Target) -> String {
    let mut context = Context::new(&SHA256);
    for part in [&*call.method_name, &target.name, call.arguments().text(), &call.rest(false)] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    URL_SAFE_NO_PAD.encode(context.finish())
}
