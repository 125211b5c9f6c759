//! Where each message of a server goes.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use mcp::{Code, Era, Json, JsonBuf, Kind, Message, Notification, Patch, Request, RpcError, meta};

use crate::call::{Ask, Call, Sink};
use crate::session::Session;
use crate::{Credential, Event, Events, asks, reply};

/// The event that a notification on a call's own stream becomes, if the call wants it.
pub(crate) fn for_call(
    note: &Notification<'_>,
    id: u64,
    sink: &Sink,
    message: &JsonBuf,
) -> Option<Event> {
    let params = match &*note.method {
        "notifications/progress" => {
            let theirs = note.params.get(meta::PROGRESS_TOKEN).and_then(Json::integer)?;
            let token = sink.token.as_deref().filter(|_| u64::try_from(theirs) == Ok(id))?;
            Patch::of(note.params).set(meta::PROGRESS_TOKEN, token).build()
        }
        "notifications/message" if sink.threshold.passes(note.params) => message.share(note.params),
        // Whatever else a server puts there (changes of resources, cancellations, ...) is no part of
        // this call, and its client must not take it for one of ours.
        _ => return None,
    };
    Some(Event { method: note.method.clone().into_owned(), params })
}

impl Session {
    /// A line that a process wrote.
    pub(crate) fn receive(self: &Arc<Self>, line: Bytes) {
        match JsonBuf::read(line, &reply::limits(self.limit)) {
            Ok(message) => drop(self.route(&message, None)),
            Err(fault) => {
                self.counters.garbage();
                tracing::debug!(server = %self.name, %fault, "a line that is not JSON");
            }
        }
    }

    /// Routes one message. `own`: the call on whose own stream it came; then an event for that call is
    /// given back, to be delivered with back-pressure. Everything else is delivered without
    /// waiting: on a pipe one slow reader must not stop the calls of the others, so what does not
    /// fit into its queue is dropped and counted.
    pub(crate) fn route(
        self: &Arc<Self>,
        message: &JsonBuf,
        own: Option<(u64, &Call)>,
    ) -> Option<(Events, Event)> {
        match Message::of(message.json()) {
            Ok(Message::Response(response)) => {
                let id = response.id.and_then(|id| id.raw().parse().ok());
                match id.and_then(|id| self.calls.remove(id)) {
                    Some(call) => {
                        let share = |part| message.share(part);
                        call.finish(Ok(response.outcome.map(share).map_err(share)));
                    }
                    None => self.counters.unknown(),
                }
                None
            }
            Ok(Message::Notification(note)) => self.notified(&note, message, own),
            Ok(Message::Request(request)) => {
                self.requested(&request, message, own);
                None
            }
            Err(fault) => {
                self.counters.garbage();
                tracing::debug!(server = %self.name, %fault, "not a message");
                None
            }
        }
    }

    fn notified(
        &self,
        note: &Notification<'_>,
        message: &JsonBuf,
        own: Option<(u64, &Call)>,
    ) -> Option<(Events, Event)> {
        match &*note.method {
            "notifications/cancelled" => {
                if let Some(id) = note.params.get("requestId") {
                    self.calls.withdraw(id.text());
                }
                return None;
            }
            "notifications/progress" => {
                let id = note.params.get(meta::PROGRESS_TOKEN).and_then(Json::integer);
                let id = id.and_then(|id| u64::try_from(id).ok());
                let call = id.and_then(|id| Some((id, self.calls.get(id)?)));
                let event = call.and_then(|(id, call)| {
                    call.with_sink(|sink| {
                        let event = for_call(note, id, sink, message)?;
                        Some((sink.events.clone(), event))
                    })?
                });
                let Some((events, event)) = event else {
                    self.counters.dropped();
                    return None;
                };
                if own.is_some() {
                    return Some((events, event));
                }
                self.offer_event(&events, event);
            }
            "notifications/subscriptions/acknowledged" => self.subscribed(note, message),
            name if name.ends_with("list_changed")
                || name == "notifications/resources/updated"
                || name == "notifications/tasks" =>
            {
                if self.era == Era::Stateless {
                    self.subscribed(note, message);
                } else {
                    self.listened(note, message);
                }
            }
            "notifications/message" => {
                let event = |id: u64, call: &Call| {
                    call.with_sink(|sink| {
                        let event = (!sink.listens).then(|| for_call(note, id, sink, message))?;
                        Some((sink.events.clone(), event?))
                    })?
                };
                if let Some((id, call)) = own {
                    return event(id, call);
                }
                // On a pipe nothing says whose it is: each call in flight that wants it gets it.
                self.calls.each(|call| {
                    if let Some((events, event)) = event(0, call) {
                        self.offer_event(&events, event);
                    }
                });
            }
            _ => self.counters.dropped(),
        }
        None
    }

    fn offer_event(&self, events: &Events, event: Event) {
        if events.try_send(event).is_err() {
            self.counters.dropped();
        }
    }

    /// To the subscription whose id it carries (stateless era).
    fn subscribed(&self, note: &Notification<'_>, message: &JsonBuf) {
        let tag = note.params.get(meta::META).and_then(|m| m.get(meta::SUBSCRIPTION_ID));
        let id = tag.and_then(Json::integer).and_then(|id| u64::try_from(id).ok());
        let sent = id.and_then(|id| self.calls.get(id)).and_then(|call| {
            call.with_sink(|sink| {
                let event = Event {
                    method: note.method.clone().into_owned(),
                    params: message.share(note.params),
                };
                sink.listens.then(|| self.offer_event(&sink.events, event))
            })?
        });
        if sent.is_none() {
            self.counters.dropped();
        }
    }

    /// To every listener that wants it (handshake era).
    fn listened(&self, note: &Notification<'_>, message: &JsonBuf) {
        let event =
            Event { method: note.method.clone().into_owned(), params: message.share(note.params) };
        self.listeners.each(|events| self.offer_event(events, event.clone()), note);
    }

    fn requested(&self, request: &Request<'_>, message: &JsonBuf, own: Option<(u64, &Call)>) {
        let id = request.id.raw();
        if self.era == Era::Stateless {
            // Servers of this era must not send requests, nor clients responses.
            self.counters.garbage();
            return;
        }
        if request.method == "ping" {
            self.tell(mcp::result_reply(id, "{}"), None);
            return;
        }
        if let Err(error) = asks::covered(self.capabilities.json(), &request.method, request.params)
        {
            self.tell(mcp::error_reply(Some(id), &error), None);
            return;
        }
        let ask = Ask {
            id: id.into(),
            method: request.method.clone().into_owned(),
            params: without_reserved(message.share(request.params)),
        };
        let placed = match own {
            Some((id, _)) => self.calls.ask_one(id, ask),
            None => Err(ask),
        };
        if let Err(ask) = placed {
            self.place_ask(ask, own.and_then(|(_, call)| call.principal()));
        }
    }

    /// Gives an ask to a call of this principal, or of the only one that it can be for.
    pub(crate) fn place_ask(&self, ask: Ask, principal: Option<&str>) {
        if let Err((ask, why)) = self.calls.ask_oldest(ask, principal, Instant::now()) {
            self.refuse_ask(&ask.id, why, None);
        }
    }

    /// Answers an ask that will never reach a client.
    pub(crate) fn refuse_ask(&self, id: &str, why: &str, credential: Option<&Credential>) {
        let error = RpcError::new(Code::Internal, why);
        self.tell(mcp::error_reply(Some(id), &error), credential);
    }
}

/// An ask's params without what speaks of a session that the client does not have: reserved `_meta`
/// keys, and the token of progress reports that could never reach the server.
fn without_reserved(params: JsonBuf) -> JsonBuf {
    let Some(theirs) = params.json().get(meta::META).filter(|m| m.kind() == Kind::Object) else {
        return params;
    };
    let ours =
        |name: &str| name.starts_with("io.modelcontextprotocol/") || name == meta::PROGRESS_TOKEN;
    let names: Vec<_> = theirs.members().map(|(name, _)| name).filter(|name| ours(name)).collect();
    if names.is_empty() {
        return params;
    }
    let stripped = names.iter().fold(Patch::of(theirs), |patch, name| patch.remove(name));
    Patch::of(params.json()).set(meta::META, stripped.text()).build()
}
