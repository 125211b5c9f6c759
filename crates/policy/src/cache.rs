//! What was decided before, bounded.

use std::{
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState},
    sync::{LazyLock, PoisonError, RwLock},
};

use siphasher::sip128::{Hasher128, SipHasher13};

/// Keyed anew in each process.
static KEYED: LazyLock<SipHasher13> = LazyLock::new(|| {
    let random = || RandomState::new().hash_one(());
    SipHasher13::new_with_keys(random(), random())
});

/// A hash of 128 bits under a key of this process: nobody outside can make two things alike, so that what has the same
/// key is taken for the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(u128);

impl Key {
    pub(crate) fn of(what: &impl Hash) -> Key {
        let mut hasher = *KEYED;
        what.hash(&mut hasher);
        Key(hasher.finish128().as_u128())
    }

    pub(crate) fn number(self) -> u128 {
        self.0
    }
}

impl Hash for Key {
    #[expect(clippy::cast_possible_truncation, reason = "half of a hash is one")]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0 as u64);
    }
}

/// Of what is a hash already.
#[derive(Default)]
pub(crate) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[derive(Debug)]
pub(crate) struct Cache<V> {
    capacity: usize,
    entries: RwLock<HashMap<Key, V, BuildHasherDefault<AsItIs>>>,
}

impl<V: Clone> Cache<V> {
    pub(crate) fn new(capacity: usize) -> Cache<V> {
        Cache { capacity, entries: RwLock::default() }
    }

    pub(crate) fn find(&self, key: Key) -> Option<V> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
    }

    pub(crate) fn keep(&self, key: Key, value: V) {
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
    use super::{Cache, Key};

    #[test]
    fn it_forgets_rather_than_grows() {
        let cache = Cache::new(2);
        for number in 0..100_u32 {
            cache.keep(Key::of(&number), number);
            assert!(cache.entries.read().unwrap().len() <= 2);
            assert_eq!(cache.find(Key::of(&number)), Some(number));
        }
        assert_eq!(cache.find(Key::of(&0_u32)), None);
    }
}
