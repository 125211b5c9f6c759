//! Places for what is held for one owner each: made when first asked for, bounded in number.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Owners whose places are kept; the others' are made again.
const KEPT: usize = 10_000;

/// By owner.
pub(crate) struct Slots<T>(Mutex<HashMap<Arc<str>, Arc<T>>>);

impl<T> Default for Slots<T> {
    fn default() -> Slots<T> {
        Slots(Mutex::default())
    }
}

impl<T: Default> Slots<T> {
    /// The owner's.
    pub fn of(&self, owner: &str) -> Arc<T> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(owner) {
            return slot.clone();
        }
        if slots.len() >= KEPT {
            // Those that nobody uses right now.
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        slots.entry(owner.into()).or_default().clone()
    }
}
