//! The pair of endpoints of revision 2024-11-05: a stream by GET, messages by POST. Deprecated, and
//! here for clients that know nothing else.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use http::{Response, StatusCode};
use identity::Verified;
use mcp::{JsonBuf, sse_data};
use tokio::sync::mpsc;

use super::{
    exchange::{Body, Source, event_stream},
    peer::{Peer, is_initialize},
    standing::Standing,
    streamable::status,
};
use crate::{
    Gateway,
    call::{Door, Scope},
    refusal::Refusal,
    seal::random_id,
};

/// Open pairs of this process.
#[derive(Default)]
pub struct Pairs(Mutex<HashMap<String, Arc<Peer>>>);

impl Pairs {
    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Peer>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// GET: a stream whose first event names the URL for messages.
pub fn open(
    gateway: &Arc<Gateway>,
    caller: &Verified,
    scope: Scope,
    door: Door,
) -> Result<Response<Body>, Refusal> {
    let limit = gateway.current().config.limits.sessions;
    let Ok(id) = random_id() else { return Ok(status(StatusCode::INTERNAL_SERVER_ERROR)) };
    let (peer, told) = Peer::new(gateway.clone(), caller.clone(), scope, door);
    let mut table = gateway.pairs.table();
    if table.len() >= limit {
        return Err(Refusal::TooMany("sessions"));
    }
    table.insert(id.clone(), Arc::new(peer));
    drop(table);
    let endpoint = sse_data(None, Some("endpoint"), &format!("/messages?session={id}"));
    let held = Held { gateway: gateway.clone(), id };
    let pair = Pair { endpoint: Some(endpoint), told, _held: held };
    Ok(event_stream(Standing::new(gateway.clone(), caller.clone(), pair)))
}

/// POST: a message; the answer goes over the stream.
pub fn post(
    gateway: &Gateway,
    caller: &Verified,
    query: Option<&str>,
    message: JsonBuf,
) -> Result<(), Refusal> {
    let id = query.and_then(|query| query.strip_prefix("session=")).unwrap_or_default();
    let peer = gateway.pairs.table().get(id).cloned();
    // Another principal's pair does not exist.
    let peer = peer
        .filter(|peer| peer.owner() == caller.principal().partition())
        .filter(|peer| gateway.current().offered.opens(caller, peer.scope()))
        .ok_or(Refusal::SessionUnknown)?;
    if !is_initialize(&message) {
        peer.take(message);
    } else if !peer.begin_beside(message) {
        return Err(Refusal::TooMany("requests"));
    }
    Ok(())
}

struct Pair {
    endpoint: Option<String>,
    told: mpsc::Receiver<String>,
    _held: Held,
}

/// The pair ends with its stream.
struct Held {
    gateway: Arc<Gateway>,
    id: String,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gateway.pairs.table().remove(&self.id);
    }
}

impl Source for Pair {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<String>> {
        if let Some(endpoint) = self.endpoint.take() {
            return Poll::Ready(Some(endpoint));
        }
        let told = self.told.poll_recv(cx);
        told.map(|text| Some(sse_data(None, Some("message"), &text?)))
    }
}
