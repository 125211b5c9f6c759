//! The stream that a handshake client opens with GET for what belongs to no call: a subscription made
//! on its behalf, renewed whenever the session's own subscriptions change.

use std::{
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
};

use identity::Verified;
use mcp::{Json, Method};
use tokio::sync::mpsc;
use upstream::{Event, Events};

use super::{
    exchange::{Answered, Exchange, Source, Step, frame, notification_text},
    session::Session,
    stateless::EVENTS,
};
use crate::{
    Gateway,
    call::{Call, Door, Gist},
    listen::listen_params,
    telemetry::Context,
};

/// The session's notifications until it ends.
pub fn open(
    gateway: Arc<Gateway>,
    caller: Verified,
    session: Arc<Session>,
    door: Door,
    trace: Option<Context>,
) -> Exchange {
    let (events, received) = mpsc::channel(EVENTS);
    let run = Box::pin(async move {
        let opener = Opener { gateway: &gateway, caller: &caller, session: &session, door, trace };
        watch(&opener, &events).await;
        Answered::new("null", Ok(Json::EMPTY.into()))
    });
    Exchange::new(run, received)
}

/// Who opened it, and where.
struct Opener<'a> {
    gateway: &'a Gateway,
    caller: &'a Verified,
    session: &'a Session,
    door: Door,
    /// The trace that the client is in, where it says so.
    trace: Option<Context>,
}

async fn watch(opener: &Opener<'_>, events: &Events) {
    let Opener { gateway, session, .. } = opener;
    let taken_over = session.take_over();
    let mut now = Listening::start(opener);
    // What the session listened to before: kept until the new subscription stands, so that nothing
    // that happens in between is lost.
    let mut before: Option<Listening<'_>> = None;
    while !session.ended() {
        let event = tokio::select! {
            event = now.next() => match event {
                Some(event) if event.method == ACKNOWLEDGED => {
                    before = None;
                    session.acknowledge(now.generation);
                    continue;
                }
                Some(event) => event,
                // It ends well when the configuration changed: then it is opened again.
                None if now.ended_well && !events.is_closed() && !*gateway.ending.borrow() => {
                    now = Listening::start(opener);
                    continue;
                }
                None => return,
            },
            Some(event) = async { before.as_mut()?.next().await }, if before.is_some() => event,
            () = session.changed.notified() => {
                let new = Listening::start(opener);
                before = Some(std::mem::replace(&mut now, new));
                continue;
            }
            () = taken_over.notified() => return,
        };
        if event.method != ACKNOWLEDGED && events.send(event).await.is_err() {
            return;
        }
    }
}

const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";

/// A subscription made for a session, and which of the session's wishes it holds.
struct Listening<'a> {
    run: Pin<Box<dyn Future<Output = bool> + Send + 'a>>,
    events: mpsc::Receiver<Event>,
    generation: u64,
    ended_well: bool,
    ended: bool,
}

impl<'a> Listening<'a> {
    fn start(opener: &Opener<'a>) -> Listening<'a> {
        let Opener { gateway, caller, session, door, .. } = *opener;
        let (generation, uris) = session.uris();
        let params = listen_params(&uris);
        let call = Call {
            scope: session.scope.clone(),
            method: Method::SubscriptionsListen,
            method_name: "subscriptions/listen".into(),
            gist: Gist {
                trace: opener.trace.clone(),
                ..Gist::of(Method::SubscriptionsListen, &params)
            },
            params,
            client: session.client(),
            version: session.version,
            door,
            param_headers: None,
            signature: None,
        };
        let (sender, events) = mpsc::channel(EVENTS);
        let run = Box::pin(async move { gateway.run(caller, &call, &sender).await.is_ok() });
        Listening { run, events, generation, ended_well: false, ended: false }
    }

    /// The next event; `None` when it has ended.
    async fn next(&mut self) -> Option<Event> {
        if !self.ended {
            tokio::select! {
                biased;
                Some(event) = self.events.recv() => return Some(event),
                well = &mut self.run => (self.ended, self.ended_well) = (true, well),
            }
        }
        self.events.try_recv().ok()
    }
}

/// What of a subscription this era's clients get to see.
pub fn visible(step: Step) -> Option<String> {
    match step {
        Step::Event(event) if event.method != ACKNOWLEDGED => Some(notification_text(&event)),
        _ => None,
    }
}

/// The stream over HTTP.
pub struct Standalone(pub Exchange);

impl Source for Standalone {
    fn poll_frame(&mut self, cx: &mut task::Context<'_>) -> Poll<Option<String>> {
        loop {
            match self.0.poll_step(cx) {
                Poll::Ready(Some(Step::Answered(_)) | None) => return Poll::Ready(None),
                Poll::Ready(Some(step)) => {
                    if let Some(text) = visible(step) {
                        return Poll::Ready(Some(frame(&text)));
                    }
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
