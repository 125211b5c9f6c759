//! One call on a session, from its request to its reply: asks, streams that break, and cancellation.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mcp::JsonBuf;
use tokio::time::sleep;

use crate::call::{Ask, Call, Outcome, Wake};
use crate::post::outcome;
use crate::reply::{Reply, Stream};
use crate::session::{Sent, Session, Wire};
use crate::{Credential, LinkFault, compose, web};

/// After a first ask, how long to wait for others that the server sends along with it.
const GRACE: Duration = Duration::from_millis(10);
/// Reconnections of one call without a message in between.
const RESUMPTIONS: u32 = 5;

/// A call's way onward.
pub(crate) enum Progress {
    Done(Outcome),
    /// The server asked something: the call is to be parked.
    Asked(Waiting, Vec<Ask>),
}

/// A call in flight on a session. Dropping it cancels the call at the server and answers what the
/// server asked in it with an error.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub session: Arc<Session>,
    pub id: u64,
    pub call: Arc<Call>,
    /// Over HTTP: the caller's. None for a request of the session's own.
    pub credential: Option<Credential>,
    /// The reply's own stream, over HTTP.
    stream: Option<StreamState>,
    /// Ids of asks that were not answered yet.
    asked: Vec<Box<str>>,
    /// What to say when it is dropped: `initialize` must not be cancelled.
    cancels: bool,
}

struct StreamState {
    stream: Box<Stream>,
    resumptions: u32,
}

impl std::fmt::Debug for StreamState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamState")
            .field("resumptions", &self.resumptions)
            .finish_non_exhaustive()
    }
}

impl Waiting {
    /// `principal`: whose call it is; none for a request of the link's own.
    pub fn open(
        session: &Arc<Session>,
        method: &str,
        principal: Option<&str>,
    ) -> Result<Waiting, LinkFault> {
        let (id, call) = session.calls.open(method, principal)?;
        let cancels = method != "initialize";
        Ok(Waiting {
            session: session.clone(),
            id,
            call,
            credential: None,
            stream: None,
            asked: Vec::new(),
            cancels,
        })
    }

    /// Sends the request and waits. A refusal with a JSON-RPC error is an answer.
    pub async fn start(mut self, body: Bytes) -> Result<Progress, LinkFault> {
        match self.session.send(self.id, body, self.credential.as_ref()).await {
            Ok(Sent::Yes(stream)) => self.follow(stream),
            Ok(Sent::Refused(refusal)) => {
                let error = refusal.body.as_ref().and_then(|b| outcome(b, self.id).ok()?.err());
                self.close();
                return match error {
                    // What is about the credential, or about a session that is gone, is so whatever the
                    // body says.
                    Some(error) if !refusal.is_about_credential() && self.session.is_alive() => {
                        Ok(Progress::Done(Err(error)))
                    }
                    _ => Err(refusal.fault()),
                };
            }
            Err(fault) => {
                self.close();
                return Err(fault);
            }
        }
        self.wait().await
    }

    /// Reads the reply from this stream.
    pub fn follow(&mut self, stream: Option<Box<Stream>>) {
        self.stream = stream.map(|stream| StreamState { stream, resumptions: 0 });
    }

    /// Waits for the reply or for asks.
    pub async fn wait(mut self) -> Result<Progress, LinkFault> {
        let mut asks: Vec<Ask> = Vec::new();
        loop {
            let collecting = !asks.is_empty();
            tokio::select! {
                biased;
                wake = self.call.next() => match wake {
                    Wake::Done(outcome) => {
                        self.hand_on(asks);
                        self.close();
                        return outcome.map(Progress::Done);
                    }
                    Wake::Asked(more) => {
                        self.asked.extend(more.iter().map(|ask| ask.id.clone()));
                        asks.extend(more);
                    }
                },
                message = next_message(&mut self.stream) => match message {
                    Ok(Some(message)) => {
                        if let Some(state) = &mut self.stream {
                            state.resumptions = 0;
                        }
                        let own = Some((self.id, &*self.call));
                        if let Some((events, event)) = self.session.route(&message, own) {
                            let _ = events.send(event).await;
                        }
                    }
                    Ok(None) => self.resume(LinkFault::Lost("the stream ended".into())).await?,
                    Err(LinkFault::Lost(why)) => self.resume(LinkFault::Lost(why)).await?,
                    Err(fault) => return Err(fault),
                },
                () = sleep(GRACE), if collecting => return Ok(Progress::Asked(self, asks)),
            }
        }
    }

    /// In this era a broken stream is no cancellation: its events can be asked for again.
    async fn resume(&mut self, why: LinkFault) -> Result<(), LinkFault> {
        let (Some(mut state), Wire::Web(web)) = (self.stream.take(), &self.session.wire) else {
            return Err(why);
        };
        // The reply may have come another way just before.
        if let Some(Wake::Done(outcome)) = self.call.take() {
            self.call.finish(outcome);
            return Ok(());
        }
        let Some(last) = state.stream.last_id.clone() else { return Err(why) };
        while state.resumptions < RESUMPTIONS {
            state.resumptions += 1;
            sleep(web::retry_pause(state.stream.retry)).await;
            match web.get(Some(&last), self.credential.as_ref()).await {
                Ok(Reply::Stream(mut stream)) => {
                    stream.last_id = Some(last);
                    stream.retry = state.stream.retry;
                    state.stream = stream;
                    self.stream = Some(state);
                    return Ok(());
                }
                Ok(_) => return Err(why),
                Err(LinkFault::Lost(_) | LinkFault::Unreachable(_)) => {}
                Err(fault) => return Err(fault),
            }
        }
        Err(why)
    }

    /// The reply came though its client was not asked yet. On a pipe the asks were somebody else's, and
    /// go to the next call of the same principal.
    fn hand_on(&mut self, mut asks: Vec<Ask>) {
        if !matches!(self.session.wire, Wire::Pipe(_)) {
            return;
        }
        self.session.calls.remove(self.id);
        asks.extend(self.call.take_asks());
        for ask in asks {
            self.answered(&ask.id);
            self.session.place_ask(ask, self.call.principal());
        }
    }

    /// An ask was answered.
    pub fn answered(&mut self, id: &str) {
        self.asked.retain(|asked| &**asked != id);
    }

    /// The call is over: nothing to cancel.
    fn close(&mut self) {
        self.session.calls.remove(self.id);
        self.cancels = false;
    }
}

async fn next_message(stream: &mut Option<StreamState>) -> Result<Option<JsonBuf>, LinkFault> {
    match stream {
        Some(state) => state.stream.message().await,
        None => std::future::pending().await,
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let was_open = self.session.calls.remove(self.id).is_some();
        if self.session.calls.is_closed() {
            return;
        }
        if was_open && self.cancels {
            let why = "the client gave up or the time is over";
            self.session.tell(compose::cancelled(self.id, why), self.credential.as_ref());
        }
        let unseen = self.call.take_asks().into_iter().map(|ask| ask.id);
        for id in std::mem::take(&mut self.asked).into_iter().chain(unseen) {
            self.session.refuse_ask(&id, "nobody answered", self.credential.as_ref());
        }
    }
}
