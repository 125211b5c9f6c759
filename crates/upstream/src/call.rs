//! Calls in flight on a connection that many share: who waits for which id.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mcp::{JsonBuf, Method};
use tokio::sync::Notify;

use crate::logs::Threshold;
use crate::{Events, LinkFault};

/// The `result` or `error` member of a reply.
pub(crate) type Outcome = Result<JsonBuf, JsonBuf>;

/// Something a handshake server asked in the middle of a call.
#[derive(Debug)]
pub(crate) struct Ask {
    /// The server's request id, raw JSON text.
    pub id: Box<str>,
    pub method: String,
    pub params: JsonBuf,
}

/// Where a call's notifications go, and under which progress token the client knows it.
#[derive(Debug)]
pub(crate) struct Sink {
    pub events: Events,
    pub token: Option<Box<str>>,
    pub threshold: Threshold,
    /// A `subscriptions/listen`: gets what carries its id, and neither progress nor messages.
    pub listens: bool,
}

/// What happened to a call.
pub(crate) enum Wake {
    Asked(Vec<Ask>),
    Done(Result<Outcome, LinkFault>),
}

/// One call in flight. A reader fills it, one waiter empties it; nothing runs while it is parked.
#[derive(Debug)]
pub(crate) struct Call {
    state: Mutex<State>,
    woken: Notify,
    can_ask: bool,
    /// Its client has been asked something: what others on the connection ask is not for it.
    parked: AtomicBool,
}

#[derive(Debug)]
struct State {
    outcome: Option<Result<Outcome, LinkFault>>,
    asks: Vec<Ask>,
    sink: Option<Sink>,
}

impl Call {
    /// Waits for the reply or for something that the server asks.
    pub async fn next(&self) -> Wake {
        loop {
            let woken = self.woken.notified();
            if let Some(wake) = self.take() {
                return wake;
            }
            woken.await;
        }
    }

    /// What is there already.
    pub fn take(&self) -> Option<Wake> {
        let mut state = lock(&self.state);
        if let Some(outcome) = state.outcome.take() {
            return Some(Wake::Done(outcome));
        }
        (!state.asks.is_empty()).then(|| Wake::Asked(std::mem::take(&mut state.asks)))
    }

    pub fn is_done(&self) -> bool {
        lock(&self.state).outcome.is_some()
    }

    /// Asks that nobody has taken yet.
    pub fn take_asks(&self) -> Vec<Ask> {
        std::mem::take(&mut lock(&self.state).asks)
    }

    pub fn finish(&self, outcome: Result<Outcome, LinkFault>) {
        lock(&self.state).outcome = Some(outcome);
        self.woken.notify_one();
    }

    pub fn ask(&self, ask: Ask) {
        lock(&self.state).asks.push(ask);
        self.woken.notify_one();
    }

    /// Drops an ask that the server took back.
    fn withdraw(&self, id: &str) -> bool {
        let mut state = lock(&self.state);
        let before = state.asks.len();
        state.asks.retain(|ask| &*ask.id != id);
        state.asks.len() != before
    }

    pub fn set_sink(&self, sink: Sink) {
        lock(&self.state).sink = Some(sink);
    }

    pub fn with_sink<R>(&self, read: impl FnOnce(&Sink) -> R) -> Option<R> {
        lock(&self.state).sink.as_ref().map(read)
    }
}

/// How long an ask may wait for a call that can carry it, and how many may.
const ORPHAN_WAIT: Duration = Duration::from_secs(30);
const ORPHANS: usize = 16;
/// Asks that one call may have open: more is a server gone wild.
const ASKS: usize = 64;

/// The calls in flight of one process or session.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    next: AtomicU64,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    open: BTreeMap<u64, Arc<Call>>,
    orphans: VecDeque<(Instant, Ask)>,
    closed: Option<LinkFault>,
}

impl Calls {
    /// A fresh id and its place. An ask that waited for a call goes to it.
    pub fn open(&self, method: &str, sink: Option<Sink>) -> Result<(u64, Arc<Call>), LinkFault> {
        let can_ask = matches!(
            Method::of(method),
            Method::ToolsCall | Method::PromptsGet | Method::ResourcesRead
        );
        let state = State { outcome: None, asks: Vec::new(), sink };
        let call = Arc::new(Call {
            state: Mutex::new(state),
            woken: Notify::new(),
            can_ask,
            parked: AtomicBool::new(false),
        });
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let mut table = lock(&self.table);
        if let Some(fault) = &table.closed {
            return Err(fault.clone());
        }
        if can_ask {
            for (_, ask) in table.orphans.drain(..) {
                call.ask(ask);
            }
        }
        table.open.insert(id, call.clone());
        Ok((id, call))
    }

    pub fn remove(&self, id: u64) -> Option<Arc<Call>> {
        lock(&self.table).open.remove(&id)
    }

    pub fn get(&self, id: u64) -> Option<Arc<Call>> {
        lock(&self.table).open.get(&id).cloned()
    }

    pub fn len(&self) -> usize {
        lock(&self.table).open.len()
    }

    /// Calls each open call; used for what can't be attributed to one.
    pub fn each(&self, mut visit: impl FnMut(&Call)) {
        lock(&self.table).open.values().for_each(|call| visit(call));
    }

    /// Gives an ask to the oldest call that can carry it; without one it waits for the next.
    /// `Err`: no room.
    pub fn ask_oldest(&self, ask: Ask, now: Instant) -> Result<(), Ask> {
        let mut table = lock(&self.table);
        let free = |call: &&Arc<Call>| call.can_ask && !call.parked.load(Ordering::Relaxed);
        if let Some(call) = table.open.values().find(free) {
            return ask_call(call, ask);
        }
        if table.orphans.len() >= ORPHANS || table.closed.is_some() {
            return Err(ask);
        }
        table.orphans.push_back((now + ORPHAN_WAIT, ask));
        Ok(())
    }

    /// Gives an ask to one call. `Err`: it can't carry one, or has too many.
    pub fn ask_one(&self, id: u64, ask: Ask) -> Result<(), Ask> {
        match lock(&self.table).open.get(&id) {
            Some(call) if call.can_ask => ask_call(call, ask),
            _ => Err(ask),
        }
    }

    /// Marks a call as waiting for its client, or as running again: then it also gets the asks
    /// that found no call.
    pub fn set_parked(&self, call: &Call, parked: bool) {
        let mut table = lock(&self.table);
        call.parked.store(parked, Ordering::Relaxed);
        if !parked {
            for (_, ask) in table.orphans.drain(..) {
                call.ask(ask);
            }
        }
    }

    /// The server took an ask back.
    pub fn withdraw(&self, id: &str) {
        let mut table = lock(&self.table);
        table.orphans.retain(|(_, ask)| &*ask.id != id);
        table.open.values().any(|call| call.withdraw(id));
    }

    /// Asks that waited too long.
    pub fn expired_asks(&self, now: Instant) -> Vec<Ask> {
        let mut table = lock(&self.table);
        let due = table.orphans.iter().take_while(|(until, _)| *until <= now).count();
        table.orphans.drain(..due).map(|(_, ask)| ask).collect()
    }

    /// Ends every call, and every later one, with this fault. The first fault stays.
    pub fn close(&self, fault: &LinkFault) {
        let mut table = lock(&self.table);
        table.closed.get_or_insert_with(|| fault.clone());
        table.orphans.clear();
        for call in std::mem::take(&mut table.open).into_values() {
            call.finish(Err(fault.clone()));
        }
    }

    pub fn is_closed(&self) -> bool {
        lock(&self.table).closed.is_some()
    }
}

fn ask_call(call: &Call, ask: Ask) -> Result<(), Ask> {
    if lock(&call.state).asks.len() >= ASKS {
        return Err(ask);
    }
    call.ask(ask);
    Ok(())
}

/// A poisoned lock means a panic elsewhere; the data behind these locks is valid at every step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
