//! The stream that a handshake client opens with GET for what belongs to no call: a subscription made
//! on its behalf, renewed whenever the session's own subscriptions change.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use identity::Verified;
use mcp::{Json, Method};
use tokio::sync::mpsc;
use upstream::Events;

use super::{
    exchange::{Answered, Exchange, Source, Step, frame, notification_text},
    session::Session,
    stateless::EVENTS,
};
use crate::{
    Gateway,
    call::{Call, Door, Gist},
    listen::listen_params,
};

/// The session's notifications until it ends.
pub fn open(
    gateway: Arc<Gateway>,
    caller: Verified,
    session: Arc<Session>,
    door: Door,
) -> Exchange {
    let (events, received) = mpsc::channel(EVENTS);
    let run = async move {
        watch(&gateway, &caller, &session, door, &events).await;
        Answered::new("null", Ok(Json::EMPTY.into()))
    };
    Exchange::new(run, received)
}

async fn watch(
    gateway: &Gateway,
    caller: &Verified,
    session: &Session,
    door: Door,
    events: &Events,
) {
    while !session.ended() {
        let params = listen_params(&session.uris());
        let call = Call {
            scope: session.scope.clone(),
            method: Method::SubscriptionsListen,
            method_name: "subscriptions/listen".into(),
            gist: Gist::of(Method::SubscriptionsListen, &params),
            params,
            client: session.client(),
            version: session.version,
            door,
            param_headers: None,
        };
        tokio::select! {
            _ = gateway.run(caller, &call, events) => return,
            () = session.changed.notified() => {}
        }
    }
}

/// What of a subscription this era's clients get to see.
pub fn visible(step: Step) -> Option<String> {
    match step {
        Step::Event(event) if event.method != "notifications/subscriptions/acknowledged" => {
            Some(notification_text(&event))
        }
        _ => None,
    }
}

/// The stream over HTTP.
pub struct Standalone(pub Exchange);

impl Source for Standalone {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<String>> {
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
