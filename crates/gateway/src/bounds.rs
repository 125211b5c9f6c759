//! Bounds that are counted, not configured into a parser: calls in flight, and refusals written to the log.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use identity::Verified;

use crate::refusal::Refusal;

/// Bounds what callers who were not let in can make the log write.
#[derive(Default)]
pub(crate) struct Noise(Mutex<(u64, u32, u64)>);

/// Lines a second for refusals before authentication.
const NOISE: u32 = 50;

impl Noise {
    /// `None`: not to be written. Otherwise how many were left unwritten before this one.
    pub fn admit(&self, known: bool, now: u64) -> Option<u64> {
        if known {
            return Some(0);
        }
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (second, written, unwritten) = &mut *state;
        if *second != now {
            (*second, *written) = (now, 0);
        }
        if *written >= NOISE {
            *unwritten += 1;
            return None;
        }
        *written += 1;
        Some(std::mem::take(unwritten))
    }
}

/// Calls in flight, by principal.
#[derive(Default)]
pub(crate) struct InFlight {
    counts: Arc<Mutex<BTreeMap<Box<str>, usize>>>,
}

/// One call in flight.
pub(crate) struct Slot {
    counts: Arc<Mutex<BTreeMap<Box<str>, usize>>>,
    caller: Verified,
}

/// Principals whose count is kept although it is zero.
const RESTING: usize = 1024;

impl InFlight {
    /// A slot, unless the caller has `limit` already.
    pub fn enter(&self, caller: &Verified, limit: usize) -> Result<Slot, Refusal> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let owner = caller.principal().partition();
        match counts.get_mut(owner) {
            Some(count) if *count >= limit => return Err(Refusal::TooMany("calls in flight")),
            Some(count) => *count += 1,
            None => {
                if counts.len() >= RESTING {
                    counts.retain(|_, count| *count > 0);
                }
                counts.insert(owner.into(), 1);
            }
        }
        Ok(Slot { counts: self.counts.clone(), caller: caller.clone() })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(self.caller.principal().partition()) {
            *count -= 1;
        }
    }
}
