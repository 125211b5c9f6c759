//! The sessions and processes of a link, by partition and by what the client can do.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::breaker::Breaker;
use crate::call::lock;
use crate::session::{Session, Wire};
use crate::status::Counters;
use crate::{LinkFault, Partition};

/// What a start brought: `Ok(None)` when the era turned out otherwise and the caller is to look again.
pub(crate) type Started = Option<Result<Option<Arc<Session>>, LinkFault>>;

/// Sessions that one partition may have at once: clients of one principal differ in few ways.
const SHARE: usize = 8;

#[derive(Debug)]
pub(crate) struct Pool {
    families: Mutex<HashMap<Partition, Family>>,
    bound: usize,
    closed: AtomicBool,
    counters: Arc<Counters>,
}

/// A partition's sessions. Its breaker is its own: one principal's crashing process delays no other's.
#[derive(Debug, Default)]
struct Family {
    breaker: Breaker,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    key: Box<str>,
    session: watch::Receiver<Started>,
}

/// What the pool has for a call.
pub(crate) enum Found {
    /// Somebody else starts it already.
    Coming(watch::Receiver<Started>),
    /// Its processes die quickly: not yet.
    Paused(Duration),
    Ready(Arc<Session>),
    /// The caller is to start it and tell the others.
    Start(watch::Sender<Started>, watch::Receiver<Started>),
}

impl Pool {
    pub fn new(bound: usize, counters: Arc<Counters>) -> Pool {
        Pool { families: Mutex::default(), bound, closed: AtomicBool::new(false), counters }
    }

    pub fn find(&self, partition: &Partition, key: &str, now: Instant) -> Result<Found, LinkFault> {
        let mut families = lock(&self.families);
        if self.closed.load(Ordering::Relaxed) {
            return Err(shut());
        }
        if let Some(family) = families.get_mut(partition)
            && let Some(at) = family.entries.iter().position(|entry| &*entry.key == key)
        {
            match &*family.entries[at].session.borrow() {
                // A start whose task is gone will never end.
                None if family.entries[at].session.has_changed().is_err() => {}
                None => return Ok(Found::Coming(family.entries[at].session.clone())),
                Some(Ok(Some(session))) if session.is_alive() => {
                    return Ok(Found::Ready(session.clone()));
                }
                Some(_) => {}
            }
            let entry = family.entries.swap_remove(at);
            self.bury(&mut family.breaker, &entry, now);
        }
        if let Some(pause) = families.get(partition).and_then(|f| f.breaker.pause(now)) {
            return Ok(Found::Paused(pause));
        }
        let own = families.get(partition).map_or(0, |family| family.entries.len());
        let count: usize = families.values().map(|family| family.entries.len()).sum();
        let full = count >= self.bound;
        // A partition makes room among its own first, and beyond its share nowhere else.
        if (own >= SHARE || full)
            && !evict(&mut families, Some(partition))
            && (own >= SHARE || !evict(&mut families, None))
        {
            return Err(LinkFault::Full);
        }
        let (tell, session) = watch::channel(None);
        let family = families.entry(partition.clone()).or_default();
        family.entries.push(Entry { key: key.into(), session: session.clone() });
        Ok(Found::Start(tell, session))
    }

    /// Adds a session that was started under another key.
    pub fn add(&self, partition: &Partition, key: &str, session: &Arc<Session>) {
        let (_, receiver) = watch::channel(Some(Ok(Some(session.clone()))));
        let mut families = lock(&self.families);
        let family = families.entry(partition.clone()).or_default();
        if !family.entries.iter().any(|entry| &*entry.key == key) {
            family.entries.push(Entry { key: key.into(), session: receiver });
        }
    }

    /// A process did not start, or did.
    pub fn report(&self, partition: &Partition, well: bool, now: Instant) {
        let mut families = lock(&self.families);
        let family = families.entry(partition.clone()).or_default();
        if well {
            family.breaker.started();
        } else {
            family.breaker.failed(Duration::ZERO, now);
        }
    }

    /// Counts an end once.
    fn bury(&self, breaker: &mut Breaker, entry: &Entry, now: Instant) {
        let Some(Ok(Some(session))) = &*entry.session.borrow() else { return };
        if session.buried.swap(true, Ordering::Relaxed) {
            return;
        }
        match &session.wire {
            Wire::Pipe(pipe) => {
                let (lived, asked) = pipe.life();
                if !asked {
                    breaker.failed(lived, now);
                    self.counters.restarted();
                }
            }
            Wire::Web(_) => self.counters.restarted(),
        }
        session.end();
    }

    /// Ends what is idle, and forgets what is dead.
    pub fn sweep(&self, idle: Duration, now: Instant) {
        let mut families = lock(&self.families);
        for family in families.values_mut() {
            let mut at = 0;
            while at < family.entries.len() {
                match verdict(&family.entries[at], idle) {
                    Verdict::Keep => at += 1,
                    Verdict::Idle(session) => {
                        session.buried.store(true, Ordering::Relaxed);
                        session.end();
                        family.entries.swap_remove(at);
                    }
                    Verdict::Dead => {
                        let entry = family.entries.swap_remove(at);
                        self.bury(&mut family.breaker, &entry, now);
                    }
                }
            }
        }
        families.retain(|_, family| !family.entries.is_empty() || !family.breaker.is_quiet(now));
    }

    /// Every session that is there.
    pub fn sessions(&self) -> Vec<Arc<Session>> {
        let families = lock(&self.families);
        let entries = families.values().flat_map(|family| &family.entries);
        entries
            .filter_map(|entry| entry.session.borrow().as_ref()?.as_ref().ok()?.clone())
            .collect()
    }

    /// Every session that is there, with its partition.
    pub fn partitioned(&self) -> Vec<(Partition, Arc<Session>)> {
        let families = lock(&self.families);
        let each = families.iter().flat_map(|(partition, family)| {
            family.entries.iter().map(move |entry| (partition, entry))
        });
        each.filter_map(|(partition, entry)| {
            Some((partition.clone(), entry.session.borrow().as_ref()?.as_ref().ok()?.clone()?))
        })
        .collect()
    }

    /// Forgets every session, and how often processes died. What comes next starts anew.
    pub fn clear(&self) -> Vec<Arc<Session>> {
        let sessions = self.sessions();
        lock(&self.families).clear();
        sessions
    }

    /// Those of one partition.
    pub fn of(&self, partition: &Partition) -> Vec<Arc<Session>> {
        let families = lock(&self.families);
        let entries = families.get(partition).into_iter().flat_map(|family| &family.entries);
        entries
            .filter_map(|entry| entry.session.borrow().as_ref()?.as_ref().ok()?.clone())
            .collect()
    }

    /// How long the youngest living process of a partition has lived; zero when there is none.
    pub fn age(&self, partition: &Partition) -> Duration {
        let families = lock(&self.families);
        let entries = families.get(partition).into_iter().flat_map(|family| &family.entries);
        let age = |entry: &Entry| match &*entry.session.borrow() {
            Some(Ok(Some(session))) if session.is_alive() => match &session.wire {
                Wire::Pipe(pipe) => Some(pipe.life().0),
                Wire::Web(_) => None,
            },
            _ => None,
        };
        entries.filter_map(age).min().unwrap_or_default()
    }

    /// The longest pause of any partition.
    pub fn paused(&self, now: Instant) -> Option<Duration> {
        lock(&self.families).values().filter_map(|family| family.breaker.pause(now)).max()
    }

    /// Lets nothing new in, and gives what is there.
    pub fn close(&self) -> Vec<Arc<Session>> {
        self.closed.store(true, Ordering::Relaxed);
        self.clear()
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}

pub(crate) fn shut() -> LinkFault {
    LinkFault::Lost("the link is shut down".into())
}

enum Verdict {
    Dead,
    Idle(Arc<Session>),
    Keep,
}

fn verdict(entry: &Entry, idle: Duration) -> Verdict {
    match &*entry.session.borrow() {
        // A start whose task is gone will never end.
        None if entry.session.has_changed().is_err() => Verdict::Dead,
        None => Verdict::Keep,
        Some(Ok(Some(session))) if session.is_alive() => {
            if session.idle() >= idle {
                Verdict::Idle(session.clone())
            } else {
                Verdict::Keep
            }
        }
        Some(_) => Verdict::Dead,
    }
}

/// Makes room by ending the session that has been idle longest, of this partition or of all.
fn evict(families: &mut HashMap<Partition, Family>, of: Option<&Partition>) -> bool {
    let idle = |entry: &Entry| match &*entry.session.borrow() {
        Some(Ok(Some(session))) => Some(session.idle()),
        Some(_) => Some(Duration::MAX),
        None => None,
    };
    let longest = families
        .iter()
        .filter(|(partition, _)| of.is_none_or(|of| of == *partition))
        .flat_map(|(partition, family)| {
            family.entries.iter().enumerate().map(move |(at, entry)| (partition, at, entry))
        })
        .filter_map(|(partition, at, entry)| Some((idle(entry)?, partition.clone(), at)))
        .filter(|(idle, ..)| !idle.is_zero())
        .max_by_key(|(idle, ..)| *idle);
    let Some((_, partition, at)) = longest else { return false };
    if let Some(family) = families.get_mut(&partition) {
        let entry = family.entries.swap_remove(at);
        if let Some(Ok(Some(session))) = &*entry.session.borrow() {
            session.buried.store(true, Ordering::Relaxed);
            session.end();
        }
    }
    true
}
