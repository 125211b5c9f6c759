//! A client on one two-way channel: standard input and output, the owner's socket, or the 2024-11-05
//! HTTP+SSE pair. Both eras, message by message.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use identity::Verified;
use mcp::{Era, Id, JsonBuf, Message, Method, Notification, Request};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    sync::{Semaphore, mpsc},
    task::{AbortHandle, JoinSet},
};

use super::{
    era,
    exchange::{Answered, Exchange, Step, notification_text},
    handshake,
    session::Session,
    standalone, stateless,
};
use crate::{
    Gateway,
    call::{Door, Scope, Shown},
    refusal::Refusal,
};

/// How long calls may go on after the client closed its sending side.
const FINISH: std::time::Duration = std::time::Duration::from_secs(5);
/// Messages that may wait for the client to read them.
const WAITING: usize = 64;
/// Requests of one client that are being answered, or whose answers wait to be read.
const REQUESTS: usize = 128;
/// A client that reads nothing for so long is taken for gone.
const STALL: std::time::Duration = std::time::Duration::from_secs(60);

/// The client.
pub struct Peer {
    gateway: Arc<Gateway>,
    caller: Verified,
    scope: Scope,
    door: Door,
    out: mpsc::Sender<String>,
    session: OnceLock<Arc<Session>>,
    running: Arc<Mutex<HashMap<Box<str>, AbortHandle>>>,
    room: Arc<Semaphore>,
    /// Calls. Dropped with the peer: all that runs for it ends.
    tasks: Mutex<JoinSet<()>>,
    /// Subscriptions, which end with the channel and not by themselves.
    watchers: Mutex<JoinSet<()>>,
}

impl Peer {
    /// A client, and what it must be told.
    pub fn new(
        gateway: Arc<Gateway>,
        caller: Verified,
        scope: Scope,
        door: Door,
    ) -> (Peer, mpsc::Receiver<String>) {
        let (out, told) = mpsc::channel(WAITING);
        let peer = Peer {
            gateway,
            caller,
            scope,
            door,
            out,
            session: OnceLock::new(),
            running: Arc::default(),
            room: Arc::new(Semaphore::new(REQUESTS)),
            tasks: Mutex::default(),
            watchers: Mutex::default(),
        };
        (peer, told)
    }

    /// Who it is.
    pub fn owner(&self) -> &str {
        self.caller.principal().partition()
    }

    /// What it is about.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Runs `task` for this client; `None` when so much runs already that the message is dropped.
    fn spawn(
        &self,
        set: &Mutex<JoinSet<()>>,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Option<AbortHandle> {
        let permit = self.room.clone().try_acquire_owned().ok()?;
        let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
        while set.try_join_next().is_some() {}
        Some(set.spawn(async move {
            task.await;
            drop(permit);
        }))
    }

    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<Box<str>, AbortHandle>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one message; replies go out as they are ready.
    pub fn take(&self, message: JsonBuf) {
        let parsed = match Message::of(message.json()) {
            Ok(parsed) => parsed,
            Err(fault) => {
                let id = message.json().get("id").and_then(Id::of).map(|id| id.raw().into());
                return self.refuse(id, Refusal::Message(fault));
            }
        };
        match (era::of_line(&parsed), parsed) {
            (Era::Stateless, Message::Request(request)) => self.stateless(&message, &request),
            (_, Message::Request(request)) => self.in_session(&message, &request),
            (_, Message::Notification(notification)) => self.notified(&notification),
            (_, Message::Response(response)) => {
                if let (Some(session), Some(id)) = (self.session.get(), response.id) {
                    let share = |json| message.share(json);
                    session.answer(id.raw(), response.outcome.map(share).map_err(share));
                }
            }
        }
    }

    /// Tells the client that a message was refused.
    pub fn refuse(&self, id: Option<Box<str>>, refusal: Refusal) {
        let (gateway, caller, out) = (self.gateway.clone(), self.caller.clone(), self.out.clone());
        self.spawn(&self.tasks, async move {
            let refusal = gateway.refuse(Some(&caller), refusal).await;
            tell(&out, mcp::error_reply(id.as_deref(), &refusal.error())).await;
        });
    }

    fn stateless(&self, message: &JsonBuf, request: &Request<'_>) {
        let id = request.id.raw();
        let shown = Shown::of(Method::of(&request.method), request.params);
        match stateless::read(message, request, &shown, self.scope.clone(), self.door, None) {
            Ok(call) => {
                let tag = call.method == Method::SubscriptionsListen;
                let (gateway, caller) = (self.gateway.clone(), self.caller.clone());
                self.run(id, stateless::start(gateway, caller, call, id.into()), tag);
            }
            Err(refusal) => self.refuse(Some(id.into()), refusal),
        }
    }

    fn in_session(&self, message: &JsonBuf, request: &Request<'_>) {
        let id = request.id.raw();
        // A ping is allowed before `initialize`.
        let Some(session) = self.session.get().cloned() else {
            let reply = match Method::of(&request.method) {
                Method::Ping => Answered::new(id, Ok(mcp::Json::EMPTY.into())),
                // A client that probes for the stateless era must not take this for an outage.
                _ => Answered::refused(id, &Refusal::MetaMissing(mcp::meta::PROTOCOL_VERSION)),
            };
            let out = self.out.clone();
            self.spawn(&self.tasks, async move {
                tell(&out, reply.text()).await;
            });
            return;
        };
        let (gateway, caller) = (self.gateway.clone(), self.caller.clone());
        let exchange =
            handshake::start(gateway, caller, session, self.door, message, request, None);
        self.run(id, exchange, false);
    }

    /// Drives an exchange, writing each step to the client; a subscription's carry its id.
    fn run(&self, id: &str, mut exchange: Exchange, subscription: bool) {
        let (out, running, id) = (self.out.clone(), self.running.clone(), Box::<str>::from(id));
        let key = id.clone();
        let task = async move {
            while let Some(step) = exchange.step().await {
                let text = match step {
                    Step::Event(event) if subscription => stateless::tagged(&event, Some(&id)),
                    Step::Event(event) => notification_text(&event),
                    Step::Question(question) => question,
                    Step::Answered(answered) if subscription => {
                        stateless::closing(answered, &id).text()
                    }
                    Step::Answered(answered) => answered.text(),
                };
                if !tell(&out, text).await {
                    break;
                }
            }
            running.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        };
        // Held across the spawn, so that the task can't end before it is known.
        let mut running = self.running();
        let set = if subscription { &self.watchers } else { &self.tasks };
        match self.spawn(set, task) {
            Some(handle) => drop(running.insert(key, handle)),
            None => {
                let busy = Answered::refused(&key, &Refusal::TooMany("requests"));
                // A client that reads nothing is not told either.
                let _ = self.out.try_send(busy.text());
            }
        }
    }

    fn notified(&self, notification: &Notification<'_>) {
        let session = self.session.get().cloned();
        match (&*notification.method, session) {
            ("notifications/cancelled", session) => {
                let Some(id) = notification.params.get("requestId").and_then(Id::of) else {
                    return;
                };
                let told = session.is_some_and(|session| session.cancel(id.raw()));
                // A stateless request has no session to be cancelled by.
                if !told && let Some(running) = self.running().remove(id.raw()) {
                    running.abort();
                }
            }
            ("notifications/initialized", Some(session)) => {
                let (gateway, caller) = (self.gateway.clone(), self.caller.clone());
                let exchange = standalone::open(gateway, caller, session, self.door, None);
                self.watch(exchange);
            }
            ("notifications/roots/list_changed", Some(session)) => {
                self.gateway.roots_changed(&self.caller, &session.scope);
            }
            _ => {}
        }
    }

    /// What belongs to no call.
    fn watch(&self, mut exchange: Exchange) {
        let out = self.out.clone();
        self.spawn(&self.watchers, async move {
            while let Some(step) = exchange.step().await {
                if let Some(text) = standalone::visible(step)
                    && !tell(&out, text).await
                {
                    return;
                }
            }
        });
    }

    /// Answers `initialize` beside other messages; `false` when too much runs already.
    pub fn begin_beside(self: &Arc<Self>, message: JsonBuf) -> bool {
        let peer = self.clone();
        self.spawn(&self.tasks, async move { peer.begin(&message).await }).is_some()
    }

    /// Answers `initialize` before anything after it is read.
    pub async fn begin(&self, message: &JsonBuf) {
        let Ok(Message::Request(request)) = Message::of(message.json()) else { return };
        let id = request.id.raw();
        let (gateway, caller) = (&self.gateway, &self.caller);
        let begun =
            handshake::initialize(gateway, caller, &self.scope, self.door, message, &request);
        let reply = match begun.await {
            Ok(agreed) => {
                let session = Session::new(
                    0,
                    self.caller.clone(),
                    self.scope.clone(),
                    agreed.version,
                    agreed.capabilities,
                    agreed.info,
                );
                // A second `initialize` on one channel changes nothing.
                let _ = self.session.set(Arc::new(session));
                Answered::new(id, Ok(agreed.result))
            }
            Err(refusal) => Answered::refused(id, &gateway.refuse(Some(caller), refusal).await),
        };
        tell(&self.out, reply.text()).await;
    }
}

/// Whether the client took it in time.
async fn tell(out: &mpsc::Sender<String>, text: String) -> bool {
    matches!(tokio::time::timeout(STALL, out.send(text)).await, Ok(Ok(())))
}

/// Whether a message is a handshake's first.
pub fn is_initialize(message: &JsonBuf) -> bool {
    matches!(
        Message::of(message.json()),
        Ok(parsed @ Message::Request(_))
            if era::of_line(&parsed) == Era::Handshake
                && matches!(&parsed, Message::Request(request) if request.method == "initialize")
    )
}

impl Gateway {
    /// Serves one client over lines of JSON, until it closes its side.
    pub async fn serve_lines(
        self: &Arc<Self>,
        caller: Verified,
        scope: Scope,
        door: Door,
        read: impl AsyncBufRead + Unpin + Send,
        write: impl AsyncWrite + Unpin + Send + 'static,
    ) {
        let (peer, told) = Peer::new(self.clone(), caller, scope, door);
        let writer = tokio::spawn(write_lines(told, write));
        read_lines(self, &peer, read).await;
        // What is still running gets to answer; a client that only closed its sending side hears it.
        let mut tasks =
            std::mem::take(&mut *peer.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        let answered = async { while tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(FINISH, answered).await;
        drop(tasks);
        drop(peer);
        let _ = writer.await;
    }
}

async fn read_lines(gateway: &Gateway, peer: &Peer, read: impl AsyncBufRead + Unpin) {
    let limits = gateway.current().config.limits.json();
    let mut read = BufReader::new(read);
    loop {
        let mut line = Vec::new();
        // One byte more than allowed tells a line that is too long from one that just fits.
        let bound = limits.bytes as u64 + 1;
        match (&mut read).take(bound).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) if line.len() > limits.bytes => {
                return peer.refuse(None, Refusal::BodyTooLong { limit: limits.bytes });
            }
            Ok(_) if line.trim_ascii().is_empty() => continue,
            Ok(_) => {}
        }
        match JsonBuf::read(line.into(), &limits) {
            Ok(message) if is_initialize(&message) => peer.begin(&message).await,
            Ok(message) => peer.take(message),
            Err(fault) => peer.refuse(None, Refusal::Json(fault)),
        }
    }
}

async fn write_lines(mut told: mpsc::Receiver<String>, mut write: impl AsyncWrite + Unpin) {
    while let Some(mut text) = told.recv().await {
        // A strict reading allows line feeds between tokens; a line may hold none.
        if text.contains(['\n', '\r']) {
            text = text.replace(['\n', '\r'], " ");
        }
        text.push('\n');
        if write.write_all(text.as_bytes()).await.is_err() || write.flush().await.is_err() {
            return;
        }
    }
}
