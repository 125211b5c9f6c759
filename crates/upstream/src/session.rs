//! Everything that keeps a connection: a handshake session over any transport, and a process of
//! either era.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mcp::{Era, JsonBuf, ServerName};

use crate::call::{Calls, Outcome, Sink, lock};
use crate::listeners::Listeners;
use crate::logs::{self, Threshold};
use crate::pipe::Pipe;
use crate::post::outcome;
use crate::reply::{Refusal, Reply, Stream};
use crate::status::Counters;
use crate::waiting::{Progress, Waiting};
use crate::web::Web;
use crate::{Credential, Events, LinkFault, LogWish, Offer, Outgoing, compose};

/// What carries the messages.
#[derive(Debug)]
pub(crate) enum Wire {
    Pipe(Pipe),
    Web(Box<Web>),
}

/// A connection that many calls share.
#[derive(Debug)]
pub(crate) struct Session {
    pub name: ServerName,
    pub era: Era,
    pub wire: Wire,
    pub calls: Calls,
    /// What the client declared when this session was made.
    pub capabilities: JsonBuf,
    pub listeners: Listeners,
    pub counters: Arc<Counters>,
    /// The longest message.
    pub limit: usize,
    offer: OnceLock<Offer>,
    /// Rank of the log level set last.
    level: Mutex<Option<u8>>,
    used: AtomicU64,
    /// Its end was seen by the pool.
    pub buried: AtomicBool,
}

/// A request that was refused before it became a call.
pub(crate) enum Sent {
    Refused(Refusal),
    Yes(Option<Box<Stream>>),
}

static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Session {
    pub fn new(
        name: ServerName,
        era: Era,
        wire: Wire,
        capabilities: JsonBuf,
        counters: Arc<Counters>,
        limit: usize,
    ) -> Arc<Session> {
        Arc::new(Session {
            name,
            era,
            wire,
            calls: Calls::default(),
            capabilities,
            listeners: Listeners::default(),
            counters,
            limit,
            offer: OnceLock::new(),
            level: Mutex::new(None),
            used: AtomicU64::new(EPOCH.elapsed().as_millis() as u64),
            buried: AtomicBool::new(false),
        })
    }

    /// What `initialize` brought; absent before, and for a stateless process.
    pub fn offer(&self) -> Option<&Offer> {
        self.offer.get()
    }

    pub fn set_offer(&self, offer: Offer) {
        let _ = self.offer.set(offer);
    }

    pub fn is_alive(&self) -> bool {
        let wire = match &self.wire {
            Wire::Pipe(pipe) => pipe.ended().is_none(),
            Wire::Web(web) => !web.is_gone(),
        };
        wire && !self.calls.is_closed()
    }

    /// How long nobody has used it; zero while somebody does.
    pub fn idle(&self) -> Duration {
        if self.calls.len() > 0 || !self.listeners.is_empty() {
            return Duration::ZERO;
        }
        let used = Duration::from_millis(self.used.load(Ordering::Relaxed));
        EPOCH.elapsed().saturating_sub(used)
    }

    /// The newest credential is the one that the session's own requests use.
    pub fn refresh(&self, credential: &Credential) {
        if let Wire::Web(web) = &self.wire {
            web.set_credential(credential);
        }
    }

    /// Ends its calls and its listeners with this fault; nothing new starts on it.
    pub fn close(&self, fault: &LinkFault) {
        self.calls.close(fault);
        self.listeners.close();
    }

    /// Ends the connection itself.
    pub fn end(&self) {
        self.close(&LinkFault::Lost("the session was ended".into()));
        match &self.wire {
            Wire::Pipe(pipe) => pipe.stop(),
            Wire::Web(web) => web.end(),
        }
    }

    fn touch(&self) {
        self.used.store(EPOCH.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// Sends a client's request and waits for the reply or the first ask.
    pub async fn call(
        self: &Arc<Self>,
        out: &Outgoing<'_>,
        events: &Events,
    ) -> Result<Progress, LinkFault> {
        self.refresh(&out.credential);
        if self.era == Era::Handshake {
            self.match_level(&out.client.log).await?;
        }
        let mut waiting = Waiting::open(self, out.method, Some(out.principal))?;
        waiting.credential = Some(out.credential.clone());
        let composed = match self.era {
            Era::Handshake => compose::handshake(waiting.id, out.method, out.params),
            Era::Stateless => compose::stateless(waiting.id, out.method, out.params, out.client),
        };
        let threshold = Threshold::of(&out.client.log);
        let sink =
            Sink { events: events.clone(), token: composed.token, threshold, listens: false };
        waiting.call.set_sink(sink);
        waiting.start(composed.body).await
    }

    /// A request of the link's own.
    pub async fn ask_server(
        self: &Arc<Self>,
        method: &str,
        params: &str,
    ) -> Result<Outcome, LinkFault> {
        let waiting = Waiting::open(self, method, None)?;
        let body = Bytes::from(mcp::request(&waiting.id.to_string(), method, params));
        match waiting.start(body).await? {
            Progress::Done(outcome) => Ok(outcome),
            // `open` lets only calls, prompts and reads carry asks.
            Progress::Asked(..) => Err(LinkFault::Garbage("an unexpected request".into())),
        }
    }

    /// Puts a request on the wire, over HTTP with this credential or with the session's own.
    pub async fn send(
        &self,
        id: u64,
        body: Bytes,
        credential: Option<&Credential>,
    ) -> Result<Sent, LinkFault> {
        self.touch();
        let web = match &self.wire {
            Wire::Pipe(pipe) => return pipe.write(body).map(|()| Sent::Yes(None)),
            Wire::Web(web) => web,
        };
        let reply = web.post(body, credential).await?;
        if web.is_gone() {
            self.close(&LinkFault::Lost("the server forgot the session".into()));
        }
        match reply {
            Reply::Stream(stream) => Ok(Sent::Yes(Some(stream))),
            Reply::Refused(refusal) => Ok(Sent::Refused(refusal)),
            // Over HTTP+SSE the answer comes on the other stream.
            Reply::Empty if web.answers_elsewhere() => Ok(Sent::Yes(None)),
            Reply::Empty => Err(LinkFault::Garbage("an empty answer".into())),
            Reply::Json(body) => {
                let outcome = outcome(&body, id)?;
                if let Some(call) = self.calls.remove(id) {
                    call.finish(Ok(outcome));
                }
                Ok(Sent::Yes(None))
            }
        }
    }

    /// Sends a notification or a response and waits until the server has it.
    pub async fn say(
        &self,
        message: String,
        credential: Option<&Credential>,
    ) -> Result<(), LinkFault> {
        match &self.wire {
            Wire::Pipe(pipe) => pipe.write(message.into()),
            Wire::Web(web) => web.say(message.into(), credential).await,
        }
    }

    /// The same without waiting; what can't be sent is lost.
    pub fn tell(&self, message: impl Into<Bytes>, credential: Option<&Credential>) {
        match &self.wire {
            Wire::Pipe(pipe) => drop(pipe.write(message.into())),
            Wire::Web(web) => web.tell(message.into(), credential),
        }
    }

    /// Sees to the log level that a call wishes, if the server has levels.
    async fn match_level(self: &Arc<Self>, wish: &LogWish) -> Result<(), LinkFault> {
        let LogWish::Level(level) = wish else { return Ok(()) };
        let (Some(rank), Some(offer)) = (Threshold::rank(level), self.offer()) else {
            return Ok(());
        };
        if offer.capabilities.json().get("logging").is_none() {
            return Ok(());
        }
        let alone = self.calls.len() == 0;
        if !logs::must_set(*lock(&self.level), rank, alone) {
            return Ok(());
        }
        let params = format!("{{\"level\":\"{}\"}}", logs::name(rank));
        // A server that refuses its own capability only logs differently: no reason to fail a call.
        if self.ask_server("logging/setLevel", &params).await?.is_ok() {
            *lock(&self.level) = Some(rank);
        }
        Ok(())
    }
}
