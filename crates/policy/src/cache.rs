//! What was decided before, bounded.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    sync::{PoisonError, RwLock},
};

/// Keyed by two keyed hashes of what was asked: nobody outside can make two questions alike.
#[derive(Debug)]
pub(crate) struct Cache<V> {
    capacity: usize,
    keys: [RandomState; 2],
    entries: RwLock<HashMap<(u64, u64), V>>,
}

impl<V: Clone> Cache<V> {
    pub(crate) fn new(capacity: usize) -> Cache<V> {
        Cache {
            capacity,
            keys: [RandomState::new(), RandomState::new()],
            entries: RwLock::default(),
        }
    }

    pub(crate) fn key(&self, question: &impl Hash) -> (u64, u64) {
        (self.keys[0].hash_one(question), self.keys[1].hash_one(question))
    }

    pub(crate) fn find(&self, key: (u64, u64)) -> Option<V> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
    }

    pub(crate) fn keep(&self, key: (u64, u64), value: V) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= self.capacity && !entries.contains_key(&key) {
            // Rare, and everything here can be decided again: no order of use is kept.
            entries.clear();
        }
        entries.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::Cache;

    #[test]
    fn it_forgets_rather_than_grows() {
        let cache = Cache::new(2);
        for number in 0..100_u32 {
            cache.keep(cache.key(&number), number);
            assert!(cache.entries.read().unwrap().len() <= 2);
            assert_eq!(cache.find(cache.key(&number)), Some(number));
        }
        assert_eq!(cache.find(cache.key(&0_u32)), None);
    }
}
