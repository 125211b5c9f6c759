//! Processes that were started before anybody needs one.
//!
//! A spare has no partition yet: whoever takes it is its first and only one, and is told to whoever started it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::call::lock;
use crate::{Launch, Launched, Partition};

/// The processes that wait. How many there are to be is known once they are wanted.
#[derive(Default)]
pub(crate) struct Spares {
    ready: Mutex<VecDeque<Spare>>,
    coming: AtomicUsize,
    /// Whether another one follows each that is taken.
    again: AtomicBool,
    closed: AtomicBool,
}

struct Spare {
    launched: Launched,
    since: Instant,
}

impl Spares {
    /// Starts what is missing, in the background. `count`: how many there are to be.
    pub fn fill(self: &Arc<Self>, launch: &Launch, count: usize) {
        let waiting = lock(&self.ready).len() + self.coming.load(Ordering::Relaxed);
        for _ in waiting..count {
            self.coming.fetch_add(1, Ordering::Relaxed);
            let (spares, launch) = (self.clone(), launch.clone());
            tokio::task::spawn_blocking(move || {
                let launched = launch(&Partition::nobody());
                match launched {
                    // A link that was shut down meanwhile drops it, which ends it.
                    Ok(launched) if !spares.closed.load(Ordering::Relaxed) => {
                        let spare = Spare { launched, since: Instant::now() };
                        lock(&spares.ready).push_back(spare);
                    }
                    Ok(_) => {}
                    Err(fault) => tracing::warn!(%fault, "no process could be started beforehand"),
                }
                spares.coming.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }

    /// Another one follows each that is taken, from now on.
    pub fn keep(&self) {
        self.again.store(true, Ordering::Relaxed);
    }

    pub fn is_kept(&self) -> bool {
        self.again.load(Ordering::Relaxed)
    }

    /// The oldest that lives.
    pub fn take(&self) -> Option<Launched> {
        let mut ready = lock(&self.ready);
        while let Some(mut spare) = ready.pop_front() {
            if matches!(spare.launched.child.try_wait(), Ok(None)) {
                return Some(spare.launched);
            }
        }
        None
    }

    /// Ends those that have waited for long: what they were given may have changed since. How many they were.
    pub fn expire(&self, age: Duration, now: Instant) -> usize {
        let mut ready = lock(&self.ready);
        let before = ready.len();
        ready.retain(|spare| now.saturating_duration_since(spare.since) < age);
        before - ready.len()
    }

    /// Their process ids, and how long they have waited.
    pub fn waiting(&self, now: Instant) -> Vec<(Option<u32>, Duration)> {
        let ready = lock(&self.ready);
        let each = ready.iter();
        each.map(|spare| (spare.launched.child.id(), now.saturating_duration_since(spare.since)))
            .collect()
    }

    /// Ends them all, and returns when they are reaped.
    pub async fn end(&self) {
        let all: Vec<Spare> = lock(&self.ready).drain(..).collect();
        for mut spare in all {
            let _ = spare.launched.child.kill().await;
        }
    }

    /// Lets none follow.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}
