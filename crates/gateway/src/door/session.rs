//! Handshake sessions: bound to their principal, sealed, bounded, ended by idleness or DELETE.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use identity::Verified;
use mcp::{JsonBuf, Version};
use tokio::sync::{Notify, oneshot, watch};
use upstream::{ClientFacts, LogWish};

use super::replay::Replay;
use crate::{
    call::Scope,
    config::Limits,
    refusal::Refusal,
    seal::{Purpose, Sealer},
};

/// What a client's answer to one of our questions was: its result, or that it refused.
pub type Response = Result<JsonBuf, JsonBuf>;

/// One client's session.
pub struct Session {
    number: u64,
    /// The principal that began it.
    owner: Box<str>,
    /// As whom that principal came last: with a newer credential, a session lasts longer.
    caller: Mutex<Verified>,
    /// When it was last made sure that the caller still stands.
    checked: AtomicU64,
    /// The servers it began with.
    pub scope: Scope,
    /// The negotiated revision.
    pub version: Version,
    capabilities: JsonBuf,
    info: Option<JsonBuf>,
    state: Mutex<State>,
    /// Wakes the standalone stream when what it should carry changes.
    pub changed: Notify,
    acknowledged: watch::Sender<u64>,
    next: AtomicU64,
    used: AtomicU64,
}

#[derive(Default)]
struct State {
    log: Option<String>,
    uris: BTreeSet<String>,
    /// Counts the changes of `uris`.
    generation: u64,
    asked: HashMap<u64, oneshot::Sender<Response>>,
    running: HashMap<Box<str>, Arc<Notify>>,
    streams: Vec<(u64, Arc<Replay>)>,
    /// Ends the standalone stream that is open.
    standalone: Option<Arc<Notify>>,
    ended: bool,
}

impl Session {
    /// Its name among its principal's conversations. It says nothing that would open the session.
    pub fn conversation(&self, boot: &str) -> Box<str> {
        format!("session {boot}-{}", self.number).into()
    }
}

/// Bounds within one session, beside the per-principal ones.
const STREAMS: usize = 32;
const SUBSCRIPTIONS: usize = 1024;
const ASKED: usize = 64;
const URI_BYTES: usize = 8 << 10;
/// How long a subscription waits for the servers to take it up before it is answered all the same.
const SETTLE: Duration = Duration::from_secs(3);

impl Session {
    /// Whoever holds it alone: the stdio door has one session and no table.
    pub fn new(
        number: u64,
        caller: Verified,
        scope: Scope,
        version: Version,
        capabilities: JsonBuf,
        info: Option<JsonBuf>,
    ) -> Session {
        Session {
            number,
            owner: caller.principal().partition().into(),
            caller: Mutex::new(caller),
            checked: AtomicU64::new(0),
            scope,
            version,
            capabilities,
            info,
            state: Mutex::default(),
            changed: Notify::new(),
            acknowledged: watch::channel(0).0,
            next: AtomicU64::new(1),
            used: AtomicU64::new(0),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the client said of itself, in the form that every call carries.
    pub fn client(&self) -> ClientFacts {
        let log = match &self.state().log {
            Some(level) => LogWish::Level(level.clone()),
            None => LogWish::Default,
        };
        ClientFacts { capabilities: self.capabilities.clone(), info: self.info.clone(), log }
    }

    /// A capability that the client declared.
    pub fn declares(&self, capability: &str) -> bool {
        self.capabilities.json().get(capability).is_some()
    }

    /// `logging/setLevel`.
    pub fn set_level(&self, level: String) {
        self.state().log = Some(level);
    }

    /// The subscribed URIs, and which state of them this is.
    pub fn uris(&self) -> (u64, Vec<String>) {
        let state = self.state();
        (state.generation, state.uris.iter().cloned().collect())
    }

    /// The standalone stream now listens to this state of the URIs.
    pub fn acknowledge(&self, generation: u64) {
        self.acknowledged.send_if_modified(|held| {
            let newer = generation > *held;
            *held = generation.max(*held);
            newer
        });
    }

    /// Waits until the standalone stream, if one is open, listens to the URIs as they are now.
    pub async fn settled(&self) {
        let generation = {
            let state = self.state();
            if state.standalone.is_none() {
                return;
            }
            state.generation
        };
        let mut acknowledged = self.acknowledged.subscribe();
        let settled = acknowledged.wait_for(|held| *held >= generation);
        let _ = tokio::time::timeout(SETTLE, settled).await;
    }

    /// `resources/subscribe`.
    pub fn subscribe(&self, uri: String) -> Result<(), Refusal> {
        let mut state = self.state();
        if state.uris.len() >= SUBSCRIPTIONS || uri.len() > URI_BYTES {
            return Err(Refusal::TooMany("subscriptions"));
        }
        if state.uris.insert(uri) {
            state.generation += 1;
            self.changed.notify_one();
        }
        Ok(())
    }

    /// `resources/unsubscribe`.
    pub fn unsubscribe(&self, uri: &str) {
        let mut state = self.state();
        if state.uris.remove(uri) {
            state.generation += 1;
            self.changed.notify_one();
        }
    }

    /// A message goes on one stream only: a newer standalone stream ends the older, whose end is
    /// what is given back here.
    pub fn take_over(&self) -> Arc<Notify> {
        let mine = Arc::new(Notify::new());
        if let Some(older) = self.state().standalone.replace(mine.clone()) {
            older.notify_one();
        }
        mine
    }

    /// Registers a question to the client; the answer arrives at the receiver.
    pub fn ask(&self) -> Result<(u64, oneshot::Receiver<Response>), Refusal> {
        let (sender, receiver) = oneshot::channel();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        state.asked.retain(|_, waiting| !waiting.is_closed());
        if state.asked.len() >= ASKED {
            return Err(Refusal::TooMany("questions to the client"));
        }
        state.asked.insert(id, sender);
        Ok((id, receiver))
    }

    /// The client answered question `id`; whether it had been asked.
    pub fn answer(&self, id: &str, response: Response) -> bool {
        let asked = id.parse().ok().and_then(|id: u64| self.state().asked.remove(&id));
        asked.is_some_and(|waiting| waiting.send(response).is_ok())
    }

    /// Marks a request as running until the guard is dropped, so that it can be cancelled by its id.
    pub fn run(self: &Arc<Self>, id: &str) -> Running {
        let cancelled = Arc::new(Notify::new());
        self.state().running.insert(id.into(), cancelled.clone());
        Running { session: self.clone(), id: id.into(), cancelled }
    }

    /// `notifications/cancelled`; whether such a request is running.
    pub fn cancel(&self, id: &str) -> bool {
        let state = self.state();
        let running = state.running.get(id);
        if let Some(cancelled) = running {
            cancelled.notify_one();
        }
        running.is_some()
    }

    /// Keeps a stream for resumption; the oldest finished one makes room.
    pub fn keep(&self, replay: &Arc<Replay>) -> Result<u64, Refusal> {
        let mut state = self.state();
        if state.streams.len() >= STREAMS {
            let finished = state.streams.iter().position(|(_, replay)| replay.finished());
            let Some(finished) = finished else { return Err(Refusal::TooMany("streams")) };
            state.streams.remove(finished);
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        state.streams.push((number, replay.clone()));
        Ok(number)
    }

    /// A kept stream.
    pub fn stream(&self, number: u64) -> Option<Arc<Replay>> {
        self.state().streams.iter().find(|(held, _)| *held == number).map(|(_, r)| r.clone())
    }

    /// As whom its principal came last.
    pub fn caller(&self) -> Verified {
        self.caller.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn came(&self, caller: &Verified) {
        let mut held = self.caller.lock().unwrap_or_else(PoisonError::into_inner);
        if !held.is(caller) {
            *held = caller.clone();
        }
    }

    /// Whether it is time to look whether the caller still stands.
    fn is_due(&self, now: u64, every: u64) -> bool {
        let ended = self.caller().principal().expires().is_some_and(|expires| now >= expires);
        let due = ended || now >= self.checked.load(Ordering::Relaxed).saturating_add(every);
        if due {
            self.checked.store(now, Ordering::Relaxed);
        }
        due
    }

    /// Whether it was ended by DELETE or idleness.
    pub fn ended(&self) -> bool {
        self.state().ended
    }

    fn end(&self) {
        let mut state = self.state();
        state.ended = true;
        for cancelled in state.running.values() {
            cancelled.notify_one();
        }
        state.asked.clear();
        state.streams.clear();
        drop(state);
        self.changed.notify_waiters();
        self.changed.notify_one();
    }

    fn busy(&self) -> bool {
        !self.state().running.is_empty()
    }
}

/// A request of a session while it runs.
pub struct Running {
    session: Arc<Session>,
    id: Box<str>,
    cancelled: Arc<Notify>,
}

impl Running {
    /// Resolves when the client cancels the request or ends the session.
    pub async fn cancelled(&self) {
        self.cancelled.notified().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.session.state().running.remove(&self.id);
    }
}

/// All sessions of this process.
pub struct Sessions {
    table: Mutex<HashMap<u64, Arc<Session>>>,
    sealer: Sealer,
    next: AtomicU64,
}

/// Sessions end with the process, long before this.
const NEVER: u64 = u64::MAX;

impl Sessions {
    /// None yet. `sealer`'s key must end with the process: a restart answers 404.
    pub fn new(sealer: Sealer) -> Sessions {
        Sessions { table: Mutex::default(), sealer, next: AtomicU64::new(1) }
    }

    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Session>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a session and gives its sealed id.
    pub fn begin(
        &self,
        limits: &Limits,
        now: u64,
        make: impl FnOnce(u64) -> Session,
    ) -> Result<(String, Arc<Session>), Refusal> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let session = Arc::new(make(number));
        session.used.store(now, Ordering::Relaxed);
        session.checked.store(now, Ordering::Relaxed);
        let mut table = self.table();
        if table.len() >= limits.sessions {
            sweep(&mut table, limits, now);
        }
        let own = || table.values().filter(|held| held.owner == session.owner).count();
        if table.len() >= limits.sessions
            || (table.len() >= limits.sessions_per_principal
                && own() >= limits.sessions_per_principal)
        {
            return Err(Refusal::TooMany("sessions"));
        }
        table.insert(number, session.clone());
        drop(table);
        let id = self
            .sealer
            .seal(Purpose::Session, &session.owner, NEVER, &number.to_be_bytes())
            .map_err(|_| Refusal::SessionUnknown)?;
        Ok((id, session))
    }

    /// The live session behind `id`, if it is this caller's and began with this scope.
    pub fn find(
        &self,
        id: &str,
        caller: &Verified,
        scope: &Scope,
        limits: &Limits,
        now: u64,
    ) -> Result<Arc<Session>, Refusal> {
        let number = self
            .sealer
            .open(Purpose::Session, caller.principal().partition(), 0, id)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .map(u64::from_be_bytes)
            .ok_or(Refusal::SessionUnknown)?;
        let session = self.table().get(&number).cloned().ok_or(Refusal::SessionUnknown)?;
        let idle = now.saturating_sub(session.used.load(Ordering::Relaxed));
        if session.scope != *scope || (idle > limits.session_idle.as_secs() && !session.busy()) {
            return Err(Refusal::SessionUnknown);
        }
        session.used.store(now, Ordering::Relaxed);
        session.came(caller);
        Ok(session)
    }

    /// DELETE.
    pub fn end(&self, session: &Session) {
        if let Some(session) = self.table().remove(&session.number) {
            session.end();
        }
    }

    /// Those whose caller was not looked at for `every` seconds, or whose credential has ended.
    pub fn due(&self, now: u64, every: u64) -> Vec<Arc<Session>> {
        self.table().values().filter(|session| session.is_due(now, every)).cloned().collect()
    }

    /// Ends what has been idle for too long; called on a timer.
    pub fn sweep(&self, limits: &Limits, now: u64) {
        sweep(&mut self.table(), limits, now);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.table().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.table().is_empty()
    }
}

fn sweep(table: &mut HashMap<u64, Arc<Session>>, limits: &Limits, now: u64) {
    table.retain(|_, session| {
        let idle = now.saturating_sub(session.used.load(Ordering::Relaxed));
        let keep = idle <= limits.session_idle.as_secs() || session.busy();
        if !keep {
            session.end();
        }
        keep
    });
}
