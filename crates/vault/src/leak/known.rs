//! The values that are known, as they become so.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use base64::{Engine, prelude::BASE64_STANDARD};

use super::encodings::{Form, forms};
use super::filter::Filter;

/// Shorter values are not looked for: they stand in harmless texts too.
pub const SHORTEST: usize = 8;
/// Values that are kept in mind. Beyond that, the one that was learnt first is forgotten.
const MOST: usize = 1024;

/// Learns values, and makes filters of them.
pub struct Known {
    values: Mutex<VecDeque<Value>>,
    room: usize,
    current: ArcSwap<Current>,
    hasher: RandomState,
}

struct Value {
    name: Arc<str>,
    hash: u64,
    forms: Vec<Form>,
}

struct Current {
    /// A hash of each value under a key of this process: what is known is not learnt again.
    hashes: HashSet<u64>,
    filter: Arc<Filter>,
}

impl Default for Known {
    fn default() -> Known {
        Known::with_room(MOST)
    }
}

impl Known {
    /// Keeps this many values in mind.
    pub fn with_room(room: usize) -> Known {
        Known {
            values: Mutex::default(),
            room,
            current: ArcSwap::from_pointee(Current {
                hashes: HashSet::new(),
                filter: Arc::new(Filter::new([])),
            }),
            hasher: RandomState::new(),
        }
    }

    /// Looks for this value from now on. Cheap where it is known.
    pub fn learn(&self, name: &str, value: &str) {
        let hash = self.hasher.hash_one(value);
        if value.len() < SHORTEST || self.current.load().hashes.contains(&hash) {
            return;
        }
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        if values.iter().any(|value| value.hash == hash) {
            return;
        }
        values.push_back(Value { name: name.into(), hash, forms: forms(value) });
        if values.len() > self.room {
            values.pop_front();
        }
        let hashes = values.iter().map(|value| value.hash).collect();
        let filter = Filter::new(values.iter().map(|value| (&value.name, &*value.forms)));
        self.current.store(Arc::new(Current { hashes, filter: Arc::new(filter) }));
    }

    /// The same for the value of a header: without its scheme, and what `Basic` encodes.
    pub fn learn_header(&self, name: &str, value: &str) {
        let Some((scheme, rest)) = value.split_once(' ') else { return self.learn(name, value) };
        let schemes = ["basic", "bearer", "token", "apikey", "dpop"];
        if !schemes.iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return self.learn(name, value);
        }
        self.learn(name, rest);
        if scheme.eq_ignore_ascii_case("basic")
            && let Ok(plain) = BASE64_STANDARD.decode(rest)
            && let Ok(plain) = String::from_utf8(plain)
            && let Some((_, password)) = plain.split_once(':')
        {
            self.learn(name, password);
        }
    }

    /// What finds all values that are known now.
    pub fn filter(&self) -> Arc<Filter> {
        self.current.load().filter.clone()
    }
}
