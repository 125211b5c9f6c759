//! How often, how much and how many at once: counted by what was verified, after the decision and
//! before anything leaves.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use identity::Verified;
use policy::{Kind, Pattern, Rate, Rates, Running, Slot, quota_period};

use crate::{Gateway, refusal::Refusal, resolve::Target};

/// What is counted.
#[derive(Clone, Copy)]
pub(crate) struct Counted<'a> {
    /// The server, or the entry in `[models]`.
    pub server: &'a str,
    pub kind: Kind,
    pub name: &'a str,
}

impl<'a> Counted<'a> {
    pub fn of(target: &'a Target) -> Counted<'a> {
        Counted { server: target.served.name().as_str(), kind: target.kind, name: &target.name }
    }
}

/// What a limit counts apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// Each OAuth client.
    Client,
    /// Each verified caller.
    Principal,
    /// Each server.
    Server,
    /// Each tenant.
    Tenant,
    /// Each tool, prompt or resource.
    Tool,
}

/// So many in each period; periods begin at multiples of their length since 1970, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// How many.
    pub count: u64,
    /// The period's length in seconds.
    pub period: u64,
}

/// A limit as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Its name.
    pub name: String,
    /// On what.
    pub patterns: Vec<Pattern>,
    /// Counted apart by these; together when empty.
    pub per: Vec<Per>,
    /// At most so many in any stretch of time.
    pub rate: Option<Rate>,
    /// At most so many in each period, restarts included.
    pub quota: Option<Quota>,
    /// At most so many at once.
    pub concurrency: Option<u32>,
    /// At most so many tokens of language models in any stretch of time.
    pub tokens: Option<Rate>,
}

/// A limit at work.
pub(crate) struct Limiter {
    limit: Limit,
    state: Mutex<State>,
}

struct State {
    rates: Option<Rates>,
    tokens: Option<Rates>,
    running: Running,
    parts: HashMap<String, Part>,
}

/// A part of a quota that was taken from the store.
struct Part {
    period: u64,
    left: u64,
}

/// Keys that one limit remembers.
const KEYS: usize = 100_000;

/// All limits, in the order of their names.
#[derive(Default)]
pub struct Limiters(Vec<Arc<Limiter>>);

impl Limiters {
    /// Those that did not change keep what they counted.
    pub(crate) fn new(limits: &[Limit], old: Option<&Limiters>) -> Limiters {
        let kept = |limit: &Limit| old?.0.iter().find(|limiter| limiter.limit == *limit).cloned();
        let fresh = |limit: &Limit| {
            Arc::new(Limiter {
                state: Mutex::new(State {
                    rates: limit.rate.map(|rate| Rates::new(rate, KEYS)),
                    tokens: limit.tokens.map(|rate| Rates::new(rate, KEYS)),
                    running: Running::default(),
                    parts: HashMap::new(),
                }),
                limit: limit.clone(),
            })
        };
        Limiters(limits.iter().map(|limit| kept(limit).unwrap_or_else(|| fresh(limit))).collect())
    }
}

/// What a running call occupies; given back when dropped.
#[derive(Default)]
pub(crate) struct Occupied(Vec<(Arc<Limiter>, Option<Slot>)>);

impl Drop for Occupied {
    fn drop(&mut self) {
        for (limiter, slot) in &mut self.0 {
            if let Some(slot) = slot.take() {
                limiter.state().running.leave(slot);
            }
        }
    }
}

impl Limiter {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn covers(&self, counted: Counted<'_>) -> bool {
        let Counted { server, kind, name } = counted;
        self.limit.patterns.iter().any(|pattern| pattern.matches(server, kind, name))
    }

    /// Made of what was verified and of what was resolved, never of what the client says.
    fn key(&self, caller: &Verified, counted: Counted<'_>) -> String {
        let view = crate::decide::view(caller);
        let mut key = String::new();
        for per in &self.limit.per {
            let part = match per {
                Per::Client => view.client.to_owned(),
                Per::Principal => view.id.to_owned(),
                Per::Server => counted.server.to_owned(),
                Per::Tenant => view.tenant.to_owned(),
                Per::Tool => thing(counted),
            };
            // With its length: no part can pass for two.
            key.push_str(&format!("{}:{part} ", part.len()));
        }
        key
    }

    fn refusal(&self, what: &'static str, retry_after: Duration) -> Refusal {
        Refusal::Limited { limit: self.limit.name.clone(), what, retry_after }
    }

    /// Rate and concurrency, which need nobody else.
    fn enter(&self, key: &str, now: u64) -> Result<Option<Slot>, Refusal> {
        let mut state = self.state();
        let slot = match self.limit.concurrency {
            None => None,
            Some(most) => match state.running.enter(&key, most) {
                Some(slot) => Some(slot),
                None => return Err(self.refusal("at once", Duration::from_secs(1))),
            },
        };
        let room = state.tokens.as_mut().map_or(Ok(()), |tokens| tokens.room(&key, now));
        let taken = room.map_err(|exhausted| ("tokens in this time", exhausted)).and_then(|()| {
            let taken = state.rates.as_mut().map_or(Ok(()), |rates| rates.take(&key, now));
            taken.map_err(|exhausted| ("in this time", exhausted))
        });
        if let Err((what, exhausted)) = taken {
            if let Some(slot) = slot {
                state.running.leave(slot);
            }
            return Err(self.refusal(what, Duration::from_millis(exhausted.retry_after)));
        }
        Ok(slot)
    }

    /// One of the part that is held, if there is one for now.
    fn take_held(&self, key: &str, period: u64) -> bool {
        let mut state = self.state();
        let Some(part) = state.parts.get_mut(key) else { return false };
        // A clock that went back stays in the period it was in.
        if part.period < period || part.left == 0 {
            return false;
        }
        part.left -= 1;
        true
    }

    fn hold(&self, key: String, part: store::QuotaPart) {
        let mut state = self.state();
        if state.parts.len() >= KEYS && !state.parts.contains_key(&key) {
            // What was taken in advance counts as used: nothing is forgiven.
            state.parts.clear();
        }
        let held = state.parts.entry(key).or_insert(Part { period: part.period, left: 0 });
        if held.period != part.period {
            *held = Part { period: part.period, left: 0 };
        }
        held.left += part.granted;
    }
}

/// A tool or prompt of a server. A server's resources count together: their URIs are the client's to
/// choose, and so without number.
fn thing(counted: Counted<'_>) -> String {
    let Counted { server, kind, name } = counted;
    match kind {
        Kind::Method => format!("method:{server}/{name}"),
        Kind::Model => format!("model:{server}/{name}"),
        Kind::Prompt => format!("prompt:{server}/{name}"),
        Kind::Resource => format!("resource:{server}"),
        Kind::Tool => format!("tool:{server}/{name}"),
    }
}

impl Gateway {
    /// Counts a request against every limit that covers it, or refuses it.
    pub(crate) async fn occupy(
        &self,
        caller: &Verified,
        counted: Counted<'_>,
    ) -> Result<Occupied, Refusal> {
        let current = self.current();
        let mut occupied = Occupied::default();
        for limiter in current.limiters.0.iter().filter(|limiter| limiter.covers(counted)) {
            let key = limiter.key(caller, counted);
            let slot = limiter.enter(&key, self.uptime())?;
            occupied.0.push((limiter.clone(), slot));
            if let Some(quota) = limiter.limit.quota {
                Box::pin(self.use_quota(limiter, key, quota)).await?;
            }
        }
        Ok(occupied)
    }

    /// Counts the tokens that a call of a language model took.
    pub(crate) fn spend(&self, caller: &Verified, counted: Counted<'_>, tokens: u64) {
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        for limiter in self.current().limiters.0.iter().filter(|limiter| limiter.covers(counted)) {
            let key = limiter.key(caller, counted);
            if let Some(rates) = &mut limiter.state().tokens {
                rates.add(&key, tokens, self.uptime());
            }
        }
    }

    /// In milliseconds.
    fn uptime(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    async fn use_quota(&self, limiter: &Limiter, key: String, quota: Quota) -> Result<(), Refusal> {
        let now = crate::now();
        let (period, ends) = quota_period(quota.period, now);
        if limiter.take_held(&key, period) {
            return Ok(());
        }
        // In parts, so that most calls need not wait for the disk.
        let want = (quota.count / 50).max(1);
        let part = self
            .store
            .quota_take(&limiter.limit.name, &key, period, want, quota.count)
            .await
            .map_err(|fault| Refusal::StoreUnavailable(fault.to_string()))?;
        if part.granted == 0 {
            // Others may hold a part that was granted before.
            if limiter.take_held(&key, period) {
                return Ok(());
            }
            let after = Duration::from_secs(ends.saturating_sub(now).max(1));
            return Err(limiter.refusal("in this period", after));
        }
        limiter.hold(key, store::QuotaPart { granted: part.granted - 1, ..part });
        Ok(())
    }
}
