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
    /// Whose it is; absent for a request of the link's own.
    principal: Option<Box<str>>,
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

    pub fn principal(&self) -> Option<&str> {
        self.principal.as_deref()
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

const NO_ROOM: &str = "too many requests wait for the client";
const AMBIGUOUS: &str = "it can't be told whose request this belongs to";

/// The calls in flight of one process or session.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    next: AtomicU64,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    open: BTreeMap<u64, Arc<Call>>,
    orphans: VecDeque<Orphan>,
    owners: Owners,
    closed: Option<LinkFault>,
}

/// An ask that found no call.
#[derive(Debug)]
struct Orphan {
    until: Instant,
    /// Whose calls may take it; anybody's when it came before the first call.
    principal: Option<Box<str>>,
    ask: Ask,
}

/// Whose calls that can carry an ask there were so far.
#[derive(Debug, Default)]
enum Owners {
    #[default]
    Nobody,
    One(Box<str>),
    Several,
}

impl Owners {
    fn note(&mut self, principal: &str) {
        match self {
            Owners::Nobody => *self = Owners::One(principal.into()),
            Owners::One(known) if **known != *principal => *self = Owners::Several,
            Owners::One(_) | Owners::Several => {}
        }
    }
}

impl Table {
    /// The one principal that an ask without a stream of its own can be for. A call that waits for its
    /// client counts: the server may have one more question in it. `Err`: there are several.
    fn only_owner(&self) -> Result<Option<Box<str>>, ()> {
        let mut open = self.open.values().filter(|call| call.can_ask).map(|call| call.principal());
        match (open.next(), &self.owners) {
            (Some(first), _) => {
                if open.all(|other| other == first) {
                    Ok(first.map(Into::into))
                } else {
                    Err(())
                }
            }
            (None, Owners::Nobody) => Ok(None),
            (None, Owners::One(owner)) => Ok(Some(owner.clone())),
            (None, Owners::Several) => Err(()),
        }
    }

    /// Gives a call the asks that waited for one like it.
    fn adopt(&mut self, call: &Call) {
        let ours = |orphan: &Orphan| {
            orphan.principal.is_none() || orphan.principal.as_deref() == call.principal()
        };
        let (ours, others) = std::mem::take(&mut self.orphans).into_iter().partition(ours);
        self.orphans = others;
        let ours: VecDeque<Orphan> = ours;
        ours.into_iter().for_each(|orphan| call.ask(orphan.ask));
    }
}

impl Calls {
    /// A fresh id and its place. An ask that waited for a call goes to it.
    pub fn open(
        &self,
        method: &str,
        principal: Option<&str>,
    ) -> Result<(u64, Arc<Call>), LinkFault> {
        let can_ask = matches!(
            Method::of(method),
            Method::ToolsCall | Method::PromptsGet | Method::ResourcesRead
        );
        let state = State { outcome: None, asks: Vec::new(), sink: None };
        let call = Arc::new(Call {
            state: Mutex::new(state),
            woken: Notify::new(),
            can_ask,
            principal: principal.map(Into::into),
            parked: AtomicBool::new(false),
        });
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let mut table = lock(&self.table);
        if let Some(fault) = &table.closed {
            return Err(fault.clone());
        }
        if can_ask {
            if let Some(principal) = principal {
                table.owners.note(principal);
            }
            table.adopt(&call);
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

    /// Gives an ask to the oldest call that can carry it, of the principal whose ask it is known to be,
    /// or else of the only one that has calls: nobody's questions are shown to another. Without a
    /// call it waits for the next. `Err`: why it can't.
    pub fn ask_oldest(
        &self,
        ask: Ask,
        known: Option<&str>,
        now: Instant,
    ) -> Result<(), (Ask, &'static str)> {
        let mut table = lock(&self.table);
        let owner = match known {
            Some(known) => Ok(Some(known.into())),
            None => table.only_owner(),
        };
        let Ok(owner) = owner else { return Err((ask, AMBIGUOUS)) };
        let free = |call: &&Arc<Call>| {
            call.can_ask && !call.parked.load(Ordering::Relaxed) && call.principal == owner
        };
        if let Some(call) = table.open.values().find(free) {
            return ask_call(call, ask).map_err(|ask| (ask, NO_ROOM));
        }
        if matches!(table.owners, Owners::Several) {
            return Err((ask, AMBIGUOUS));
        }
        if table.orphans.len() >= ORPHANS || table.closed.is_some() {
            return Err((ask, NO_ROOM));
        }
        table.orphans.push_back(Orphan { until: now + ORPHAN_WAIT, principal: owner, ask });
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
            table.adopt(call);
        }
    }

    /// The server took an ask back.
    pub fn withdraw(&self, id: &str) {
        let mut table = lock(&self.table);
        table.orphans.retain(|orphan| &*orphan.ask.id != id);
        table.open.values().any(|call| call.withdraw(id));
    }

    /// Asks that waited too long.
    pub fn expired_asks(&self, now: Instant) -> Vec<Ask> {
        let mut table = lock(&self.table);
        let due = table.orphans.iter().take_while(|orphan| orphan.until <= now).count();
        table.orphans.drain(..due).map(|orphan| orphan.ask).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use mcp::Json;

    fn ask(id: &str) -> Ask {
        Ask { id: id.into(), method: "roots/list".into(), params: JsonBuf::from(Json::EMPTY) }
    }

    fn ids(call: &Call) -> Vec<Box<str>> {
        call.take_asks().into_iter().map(|ask| ask.id).collect()
    }

    #[test]
    fn an_orphan_waits_for_its_own_principal() {
        let (calls, now) = (Calls::default(), Instant::now());
        let place = |id: &str, known| calls.ask_oldest(ask(id), known, now).map_err(|(_, why)| why);
        assert_eq!(place("first", None), Ok(()), "before any call");
        let (at, one) = calls.open("tools/call", Some("one")).unwrap();
        assert_eq!(ids(&one), ["first".into()]);
        calls.remove(at);
        assert_eq!(place("late", None), Ok(()));
        let (two_at, two) = calls.open("tools/call", Some("two")).unwrap();
        assert!(ids(&two).is_empty(), "it is not two's");
        let (_, one) = calls.open("tools/call", Some("one")).unwrap();
        assert_eq!(ids(&one), ["late".into()]);

        assert_eq!(place("whose", None), Err(AMBIGUOUS));
        assert_eq!(place("two's", Some("two")), Ok(()));
        assert_eq!((ids(&one).len(), ids(&two)), (0, vec!["two's".into()]));
        calls.set_parked(&one, true);
        assert_eq!(place("whose", None), Err(AMBIGUOUS), "a parked call counts");
        calls.remove(two_at);
        assert_eq!(place("again", None), Err(AMBIGUOUS), "no queue after several");
        calls.set_parked(&one, false);
        assert_eq!(place("one's", None), Ok(()));
        assert_eq!(ids(&one), ["one's".into()]);
    }
}
