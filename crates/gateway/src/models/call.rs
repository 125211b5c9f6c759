//! One call of a model, in the order of every other call: authenticate (the door has), resolve, decide, record
//! intent, fetch credential, send, record outcome, reply.

use std::{net::IpAddr, sync::Arc, time::Instant};

use audit::{Intended, Outcome, Payload, Record};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header, request::Parts,
};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use identity::Verified;
use policy::{Action, Context, Decision, Kind};
use upstream::LinkFault;

use super::{
    ModelFault, ModelRoute, ServedModel, list,
    passed::Passed,
    record::Ended,
    refused,
    request::{self, Asked},
    usage::Usage,
};
use crate::{
    Current, Gateway,
    bounds::Slot,
    call::Door,
    decide::view,
    door::{exchange::Body, streamable::status},
    leak,
    limits::Occupied,
    payloads::Kept,
    refusal::Refusal,
};

/// What an answer's headers may say to a client.
const PASSED: [&str; 6] = [
    "apim-request-id",
    "content-type",
    "openai-processing-ms",
    "request-id",
    "retry-after",
    "x-request-id",
];
/// And those that begin so.
const PASSED_PREFIXES: [&str; 2] = ["anthropic-ratelimit-", "x-ratelimit-"];

/// One call, as records and limits know it.
pub(super) struct Known {
    pub gateway: Arc<Gateway>,
    pub caller: Verified,
    pub current: Arc<Current>,
    pub model: Arc<ServedModel>,
    pub id: String,
    pub client: String,
    /// How the caller was authenticated.
    pub amr: String,
    pub address: Option<IpAddr>,
    pub deployment: String,
    pub payload: Payload,
    /// What is kept of the request.
    pub kept: Kept,
    pub rule: String,
    pub began: Instant,
    _slot: Slot,
    _occupied: Occupied,
}

/// Answers one request to a model.
pub(crate) async fn handle(
    gateway: Arc<Gateway>,
    caller: Verified,
    route: ModelRoute,
    network: IpAddr,
    head: &Parts,
    body: Incoming,
) -> Response<Body> {
    let current = gateway.current();
    // The door has looked.
    let Some(model) = current.models.get(route.name.as_str()).cloned() else {
        return status(StatusCode::NOT_FOUND);
    };
    let client = user_agent(&head.headers);
    let context = Context {
        time: crate::now(),
        network: Some(network),
        client: &client,
        ..Context::default()
    };
    if let Some(list) = list::answer(&current, &caller, &model, &route, head, &context) {
        return list;
    }
    let kind = model.entry.kind;
    match call(gateway, current, caller, model, &route, &context, head, body).await {
        Ok(response) => response,
        Err(refusal) => refused(kind, &refusal),
    }
}

#[expect(clippy::too_many_arguments, reason = "each is one thing that the door knows")]
async fn call(
    gateway: Arc<Gateway>,
    current: Arc<Current>,
    caller: Verified,
    model: Arc<ServedModel>,
    route: &ModelRoute,
    context: &Context<'_>,
    head: &Parts,
    body: Incoming,
) -> Result<Response<Body>, Refusal> {
    let began = Instant::now();
    let read = async {
        let slot =
            gateway.in_flight.enter(&caller, current.config.limits.in_flight_per_principal)?;
        Ok((slot, request::read(&model, route, head, body).await?))
    };
    let (slot, asked) = match read.await {
        Ok(read) => read,
        Err(refusal) => return Err(gateway.refuse(Some(&caller), refusal).await),
    };
    let mut known = Known {
        kept: Kept::Nothing,
        id: gateway.next_call_id(),
        client: context.client.to_owned(),
        amr: caller.principal().amr().join(" "),
        address: context.network.and_then(|network| Door::Http(network).address()),
        payload: Payload::of(&asked.body),
        deployment: asked.deployment.clone(),
        rule: String::new(),
        began,
        _slot: slot,
        _occupied: Occupied::default(),
        gateway,
        caller,
        current,
        model,
    };
    known.kept = known.kept_request(&asked.body)?;
    match known.clear(context) {
        Ok(rule) => known.rule = rule,
        Err(refusal) => return Err(known.refuse(refusal).await),
    }
    known._occupied = match known.gateway.occupy(&known.caller, known.counted()).await {
        Ok(occupied) => occupied,
        Err(refusal) => return Err(known.refuse(refusal).await),
    };
    let intent = known.gateway.journal.intent(&known.opening()).await;
    let intent = intent.map_err(crate::pipeline::unavailable)?;
    match known.send(&asked, request::headers(head)).await {
        Ok(response) => known.reply(intent, response).await,
        Err(refusal) => {
            let detail = refusal.to_string();
            let record = Record { refusal: refusal.label(), detail: &detail, ..known.record() };
            known.outcome(intent, Outcome::Refused, &record).await?;
            Err(refusal)
        }
    }
}

impl Known {
    /// Whether the caller may, and by which rule.
    fn clear(&self, context: &Context<'_>) -> Result<String, Refusal> {
        let (view, name) = (view(&self.caller), self.model.entry.name.as_str());
        let action = Action::new(name, Kind::Model, &self.deployment);
        let policy = &self.current.policy;
        match policy.decide(&view, &action, context) {
            Decision::Permit(permit) => Ok(permit.rule().to_owned()),
            Decision::Denied(denied) => {
                let visible = policy.foresee(&view, &action, context).is_possible();
                let rule = denied.rule().to_owned();
                Err(match visible {
                    true => Refusal::Denied { rule },
                    false => Refusal::Model(ModelFault::Unknown(self.deployment.clone())),
                })
            }
            // Nobody's editor waits for that.
            Decision::Ask(ask) => Err(Refusal::Denied {
                rule: format!("{}: no call of a model is asked about", ask.rule()),
            }),
        }
    }

    /// Sends it, and once more with another credential where the first was refused.
    async fn send(&self, asked: &Asked, headers: HeaderMap) -> Result<Response<Incoming>, Refusal> {
        let (model, source) = (&self.model, &self.model.source);
        let server = |fault| Refusal::Server { server: model.entry.name.clone(), fault };
        let fetched = source.fetch(&self.caller).await?;
        let credential = source.show(&fetched).await?;
        let (principal, limits) = (self.caller.principal().id(), request::limits(model));
        let body = model.guard.asked(principal, &asked.body, &limits).await?;
        let mut request = Request::post(appended(&model.entry.url, &asked.path).map_err(server)?)
            .body(body)
            .map_err(|fault| server(LinkFault::Unreachable(fault.to_string())))?;
        *request.headers_mut() = headers;
        let first = self.send_once(request.clone(), &credential).await.map_err(server)?;
        let (status, challenge) = refused_credential(&first);
        if !matches!(status, 401 | 403) {
            return Ok(first);
        }
        let fault = LinkFault::Http { status, challenge };
        let Some(another) = source.another(&self.caller, &fetched, &fault).await? else {
            return Err(server(fault));
        };
        let another = source.show(&another).await?;
        let second = self.send_once(request, &another).await.map_err(server)?;
        match refused_credential(&second) {
            (status @ (401 | 403), challenge) => Err(server(LinkFault::Http { status, challenge })),
            _ => Ok(second),
        }
    }

    async fn send_once(
        &self,
        request: Request<Bytes>,
        credential: &upstream::Credential,
    ) -> Result<Response<Incoming>, LinkFault> {
        let entry = &self.model.entry;
        let sent = credential.send(&self.gateway.client, request, entry.allow_private);
        tokio::time::timeout(entry.timeout, sent).await.unwrap_or(Err(LinkFault::Deadline))
    }

    /// A stream is passed on as it comes; another answer when it is whole and recorded.
    async fn reply(
        self,
        intent: Intended,
        response: Response<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        let (head, body) = response.into_parts();
        let media = head.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        let streams = media.is_some_and(|media| media.starts_with(b"text/event-stream"));
        let (status, headers) = (head.status, passed_headers(&head.headers));
        let idle = self.model.entry.timeout;
        let body = if streams {
            Body::Passed(Box::pin(Passed::new(self, intent, body, idle)))
        } else {
            Body::text(self.whole(intent, body, status).await?)
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }

    async fn whole(
        self,
        intent: Intended,
        body: Incoming,
        status: StatusCode,
    ) -> Result<Bytes, Refusal> {
        let entry = &self.model.entry;
        let server = |fault| Refusal::Server { server: entry.name.clone(), fault };
        let limited = http_body_util::Limited::new(body, entry.body_bytes).collect();
        let read = match tokio::time::timeout(entry.timeout, limited).await {
            Ok(Ok(body)) => {
                let principal = self.caller.principal().id();
                self.model.guard.answered(principal, body.to_bytes()).await
            }
            Ok(Err(fault)) => Err(server(LinkFault::Lost(fault.to_string()))),
            Err(_) => Err(server(LinkFault::Deadline)),
        };
        let body = match read {
            Ok(body) => body,
            Err(refusal) => {
                let detail = refusal.to_string();
                let record = Record { refusal: refusal.label(), detail: &detail, ..self.record() };
                self.outcome(intent, Outcome::Refused, &record).await?;
                return Err(refusal);
            }
        };
        let (usage, outcome) = match status.is_success() {
            true => (Usage::of(&body, self.payload.bytes), Outcome::Ok),
            false => (Usage::default(), Outcome::Error),
        };
        let kept = self.kept_answer(&body)?;
        let ended = Ended { outcome, usage, bytes: body.len() as u64, kept };
        let recorded = self.end(intent, &ended, &format!("HTTP {}", status.as_u16())).await;
        recorded.map_err(crate::pipeline::unavailable)?;
        Ok(body)
    }
}

/// A status, and a challenge where it has one.
fn refused_credential(response: &Response<Incoming>) -> (u16, Option<String>) {
    let challenge = response.headers().get(header::WWW_AUTHENTICATE);
    let challenge = challenge.and_then(|value| value.to_str().ok()).map(str::to_owned);
    (response.status().as_u16(), challenge)
}

/// The model's URL with a path at its end.
fn appended(base: &Uri, path: &str) -> Result<Uri, LinkFault> {
    let text = base.to_string();
    let whole = format!("{}{path}", text.trim_end_matches('/'));
    whole.parse().map_err(|_| LinkFault::Unreachable(format!("{whole} is not a URL")))
}

/// Without those that say a secret.
fn passed_headers(answer: &HeaderMap) -> HeaderMap {
    let passes = |name: &HeaderName| {
        let name = name.as_str();
        PASSED.contains(&name) || PASSED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    let filter = leak::filter();
    answer
        .iter()
        .filter(|(name, value)| passes(name) && filter.mask(value.as_bytes()).found.is_empty())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// What the client's program calls itself.
fn user_agent(headers: &HeaderMap) -> String {
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    agent.unwrap_or_default().chars().take(128).collect()
}
