//! Calls that wait for their client: a handshake server asked something in the middle of them.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use mcp::{Json, JsonBuf, Kind, Limits, meta};

use crate::call::{Ask, Sink, lock};
use crate::logs::Threshold;
use crate::waiting::{Progress, Waiting};
use crate::{Events, LinkFault, Outgoing, Partition};

/// One parked call. Dropping it cancels the call and answers its asks with an error.
#[derive(Debug)]
struct Parked {
    waiting: Waiting,
    asks: Vec<(String, Ask)>,
    partition: Partition,
    principal: Box<str>,
    method: String,
    /// The `input_required` result that the client was given.
    result: JsonBuf,
    until: Instant,
}

/// Calls that one principal may have parked on a link.
const SHARE: usize = 64;

/// The parked calls of a link, by the `requestState` that was given out.
#[derive(Debug)]
pub(crate) struct Lot {
    parked: Mutex<HashMap<String, Parked>>,
    bound: usize,
    ttl: Duration,
}

impl Lot {
    pub fn new(bound: usize, ttl: Duration) -> Lot {
        Lot { parked: Mutex::default(), bound, ttl }
    }

    pub fn len(&self) -> usize {
        lock(&self.parked).len()
    }

    /// Whether this state was given out and not used up.
    pub fn knows(&self, state: &str) -> bool {
        lock(&self.parked).contains_key(state)
    }

    /// Parks a call; gives its state and the `input_required` result for its client.
    pub fn park(
        &self,
        out: &Outgoing<'_>,
        waiting: Waiting,
        asks: Vec<Ask>,
    ) -> Result<(String, JsonBuf), LinkFault> {
        let state = random_state()?;
        let asks = keyed(asks);
        let result = input_required(&state, &asks)?;
        waiting.session.calls.set_parked(&waiting.call, true);
        let parked = Parked {
            waiting,
            asks,
            partition: out.partition.clone(),
            principal: out.principal.into(),
            method: out.method.to_owned(),
            result: result.clone(),
            until: Instant::now() + self.ttl,
        };
        let mut all = lock(&self.parked);
        let own = all.values().filter(|other| other.principal == parked.principal).count();
        if all.len() >= self.bound || own >= SHARE {
            drop(all); // before the call that is dropped with `parked` says so to its server
            return Err(LinkFault::Full);
        }
        all.insert(state.clone(), parked);
        Ok((state, result))
    }

    /// Whether a first request already holds the answers to all that `result` asks for.
    pub fn is_answered_early(&self, out: &Outgoing<'_>, result: &JsonBuf) -> bool {
        let Some(responses) = out.params.get("inputResponses") else { return false };
        let asked = result.json().get("inputRequests").unwrap_or(Json::EMPTY);
        out.params.get("requestState").is_none()
            && asked.members().all(|(key, _)| {
                responses.get(&key).is_some_and(|response| response.kind() == Kind::Object)
            })
    }

    /// Goes on with a parked call: answers the server, and waits again. The state must be shown by the
    /// partition and for the method that it was made for; shown by another it does not exist.
    pub async fn resume(
        &self,
        out: &Outgoing<'_>,
        events: &Events,
        state: &str,
    ) -> Result<Progress, LinkFault> {
        let responses = out.params.get("inputResponses").unwrap_or(Json::EMPTY);
        let mut parked = {
            let mut all = lock(&self.parked);
            let parked = all
                .get_mut(state)
                .filter(|parked| parked.partition == *out.partition && parked.method == out.method);
            let parked = parked.ok_or(LinkFault::Parked)?;
            let answered = parked.asks.iter().all(|(key, _)| {
                responses.get(key).is_some_and(|response| response.kind() == Kind::Object)
            });
            // Asked again, unless the server did not wait for the answers.
            if !answered && !parked.waiting.call.is_done() {
                parked.until = Instant::now() + self.ttl;
                return Ok(Progress::Done(Ok(parked.result.clone())));
            }
            all.remove(state).ok_or(LinkFault::Parked)?
        };
        let token = out.params.get(meta::META).and_then(|m| m.get(meta::PROGRESS_TOKEN));
        parked.waiting.call.set_sink(Sink {
            events: events.clone(),
            token: token.map(|token| token.text().into()),
            threshold: Threshold::of(&out.client.log),
            listens: false,
        });
        let session = parked.waiting.session.clone();
        session.refresh(&out.credential);
        parked.waiting.credential = Some(out.credential.clone());
        session.calls.set_parked(&parked.waiting.call, false);
        for (key, ask) in &parked.asks {
            if let Some(response) = responses.get(key) {
                let answer = mcp::result_reply(&ask.id, response.text());
                session.say(answer, Some(&out.credential)).await?;
                parked.waiting.answered(&ask.id);
            }
        }
        parked.waiting.wait().await
    }

    /// Gives up one call of this partition.
    pub fn abandon(&self, partition: &Partition, state: &str) {
        let mut all = lock(&self.parked);
        if all.get(state).is_some_and(|parked| parked.partition == *partition) {
            let dropped = all.remove(state);
            drop(all); // before the call says so to its server
            drop(dropped);
        }
    }

    /// Gives up the calls whose time is over.
    pub fn sweep(&self, now: Instant) {
        let mut all = lock(&self.parked);
        let due: Vec<String> =
            all.iter().filter(|(_, p)| p.until <= now).map(|(state, _)| state.clone()).collect();
        let dropped: Vec<Parked> = due.iter().filter_map(|state| all.remove(state)).collect();
        drop(all);
        drop(dropped);
    }

    /// Gives up all of them.
    pub fn clear(&self) {
        let all = std::mem::take(&mut *lock(&self.parked));
        drop(all);
    }
}

/// The member of an ask's `_meta` by which a handshake server names its question, as a stateless one
/// does by the key in `inputRequests`: a server of both eras can keep one set of names.
const KEY_HINT: &str = "dev.bartizan/inputKey";

/// Each ask under a key of its own: the server's, where it gives a usable one.
fn keyed(asks: Vec<Ask>) -> Vec<(String, Ask)> {
    let mut keyed: Vec<(String, Ask)> = Vec::with_capacity(asks.len());
    for (at, ask) in asks.into_iter().enumerate() {
        let hint = ask.params.json().get(meta::META).and_then(|held| held.get(KEY_HINT));
        let usable = |key: &String| {
            (1..=64).contains(&key.len())
                && !key.starts_with("ask-")
                && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
                && keyed.iter().all(|(other, _)| other != key)
        };
        let hint = hint.and_then(Json::string).map(|key| key.into_owned()).filter(usable);
        keyed.push((hint.unwrap_or_else(|| format!("ask-{}", at + 1)), ask));
    }
    keyed
}

fn random_state() -> Result<String, LinkFault> {
    let mut bytes = [0u8; 16];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| LinkFault::Lost("the system gave no randomness".into()))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// The stateless form of what the server asked.
fn input_required(state: &str, asks: &[(String, Ask)]) -> Result<JsonBuf, LinkFault> {
    let mut text = String::from("{\"resultType\":\"input_required\",\"inputRequests\":{");
    for (at, (key, ask)) in asks.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let (method, params) = (mcp::quote(&ask.method), ask.params.json().text());
        let _ = write!(text, "{comma}\"{key}\":{{\"method\":{method},\"params\":{params}}}");
    }
    let _ = write!(text, "}},\"requestState\":\"{state}\"}}");
    // Made of values that were read strictly, three levels deeper: read again for the bounds.
    let limits = Limits { bytes: text.len(), depth: 72, ..Limits::default() };
    JsonBuf::read(Bytes::from(text), &limits).map_err(|fault| LinkFault::Garbage(fault.to_string()))
}
