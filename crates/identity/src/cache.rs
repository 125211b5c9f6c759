//! Tokens that were verified a moment ago.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use crate::{TokenHash, Verified};

/// Bounded; an entry is valid up to its own time and only in the generation it was made in.
#[derive(Debug)]
pub(crate) struct Cache {
    capacity: usize,
    generation: AtomicU64,
    entries: RwLock<HashMap<TokenHash, Entry, BuildHasherDefault<FirstBytes>>>,
}

#[derive(Debug)]
struct Entry {
    verified: Verified,
    until: u64,
    generation: u64,
}

impl Cache {
    pub(crate) fn new(capacity: usize) -> Cache {
        Cache { capacity, generation: AtomicU64::new(0), entries: RwLock::default() }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(crate) fn find(&self, hash: &TokenHash, now: u64) -> Option<Verified> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.get(hash)?;
        (now < entry.until && entry.generation == self.generation()).then(|| entry.verified.clone())
    }

    /// `generation` is the one that was read before the look-up began.
    pub(crate) fn keep(&self, hash: TokenHash, verified: Verified, until: u64, generation: u64) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= self.capacity && !entries.contains_key(&hash) {
            // Rare, and everything here can be looked up again: no order of use is kept.
            entries.clear();
        }
        entries.insert(hash, Entry { verified, until, generation });
    }

    pub(crate) fn forget(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.entries.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Takes the first eight bytes: the keys are SHA-256 of tokens that were verified, so they
/// are uniform and nobody can choose them.
#[derive(Debug, Default)]
pub(crate) struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mint;

    #[test]
    fn it_never_holds_more_than_its_capacity() {
        let cache = Cache::new(8);
        for number in 0..100 {
            let (_, hash) = mint([number; 32]);
            cache.keep(hash, Verified::process_owner(), 10, 0);
            assert!(cache.find(&hash, 9).is_some());
            assert!(cache.entries.read().unwrap().len() <= 8);
        }
    }
}
