//! How often, how much, how many at once.
//!
//! Keys are made of what was verified, so that another session, header or client program changes
//! nothing. Time comes in as milliseconds that only grow.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
};

/// At most so many in any stretch of time of this length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In how many milliseconds.
    pub period: u64,
}

/// A window is counted in this many parts.
const PARTS: usize = 32;

/// What happened lately. A part counts until all of it is out of the window, so that no stretch of the
/// period's length ever sees more than the limit, wherever it begins.
#[derive(Clone, Debug)]
struct Window {
    /// The number of the newest part.
    newest: u64,
    parts: [u32; PARTS + 1],
}

impl Window {
    fn new(part: u64) -> Window {
        Window { newest: part, parts: [0; PARTS + 1] }
    }

    /// Forgets the parts that are out of the window.
    fn advance(&mut self, part: u64) {
        // A clock that went back stays where it was.
        for passed in self.newest + 1..=part.min(self.newest + PARTS as u64 + 1) {
            self.parts[slot(passed)] = 0;
        }
        self.newest = self.newest.max(part);
    }

    fn used(&self) -> u32 {
        self.parts.iter().fold(0, |sum, part| sum.saturating_add(*part))
    }

    /// The number of the part in which enough is forgotten for one more.
    fn free_at(&self, count: u32) -> u64 {
        let mut used = self.used();
        for oldest in self.newest.saturating_sub(PARTS as u64)..=self.newest {
            if used < count {
                return oldest + PARTS as u64;
            }
            used = used.saturating_sub(self.parts[slot(oldest)]);
        }
        self.newest + PARTS as u64 + 1
    }
}

fn slot(part: u64) -> usize {
    (part % (PARTS as u64 + 1)) as usize
}

/// No more for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted {
    /// In how many milliseconds it is worth trying again.
    pub retry_after: u64,
}

/// Keyed by two keyed hashes: nobody outside can make two keys alike.
#[derive(Debug)]
struct Keys([RandomState; 2]);

impl Keys {
    fn new() -> Keys {
        Keys([RandomState::new(), RandomState::new()])
    }

    fn of(&self, key: &impl Hash) -> (u64, u64) {
        (self.0[0].hash_one(key), self.0[1].hash_one(key))
    }
}

/// Rates by key, bounded. What is full forgets only keys that have nothing left to remember; while
/// there are none, a new key is refused rather than an old one forgiven.
#[derive(Debug)]
pub struct Rates {
    rate: Rate,
    capacity: usize,
    keys: Keys,
    windows: HashMap<(u64, u64), Window>,
}

impl Rates {
    /// At most `capacity` keys are remembered.
    pub fn new(rate: Rate, capacity: usize) -> Rates {
        Rates { rate, capacity, keys: Keys::new(), windows: HashMap::new() }
    }

    /// One more, or not now.
    pub fn take(&mut self, key: &impl Hash, now: u64) -> Result<(), Exhausted> {
        let length = self.part_length();
        let part = now / length;
        let key = self.keys.of(key);
        if !self.windows.contains_key(&key) && self.windows.len() >= self.capacity {
            self.windows.retain(|_, window| {
                window.advance(part);
                window.used() > 0
            });
            if self.windows.len() >= self.capacity {
                return Err(Exhausted { retry_after: length });
            }
        }
        let window = self.windows.entry(key).or_insert_with(|| Window::new(part));
        window.advance(part);
        if window.used() >= self.rate.count {
            let free = window.free_at(self.rate.count) * length;
            return Err(Exhausted { retry_after: free.saturating_sub(now).max(1) });
        }
        let newest = slot(window.newest);
        window.parts[newest] = window.parts[newest].saturating_add(1);
        Ok(())
    }

    /// Whether there is room for anything, for what is counted only when it is over.
    pub fn room(&mut self, key: &impl Hash, now: u64) -> Result<(), Exhausted> {
        let length = self.part_length();
        let Some(window) = self.windows.get_mut(&self.keys.of(key)) else { return Ok(()) };
        window.advance(now / length);
        if window.used() < self.rate.count {
            return Ok(());
        }
        let free = window.free_at(self.rate.count) * length;
        Err(Exhausted { retry_after: free.saturating_sub(now).max(1) })
    }

    /// So many more. That is so whether there is room or not; what can't be remembered any more counts for
    /// nobody.
    pub fn add(&mut self, key: &impl Hash, amount: u32, now: u64) {
        let part = now / self.part_length();
        let key = self.keys.of(key);
        if !self.windows.contains_key(&key) && self.windows.len() >= self.capacity {
            self.windows.retain(|_, window| {
                window.advance(part);
                window.used() > 0
            });
            if self.windows.len() >= self.capacity {
                return;
            }
        }
        let window = self.windows.entry(key).or_insert_with(|| Window::new(part));
        window.advance(part);
        let newest = slot(window.newest);
        window.parts[newest] = window.parts[newest].saturating_add(amount);
    }

    fn part_length(&self) -> u64 {
        self.rate.period.div_ceil(PARTS as u64).max(1)
    }

    /// How many keys are remembered.
    pub fn len(&self) -> usize {
        self.windows.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }
}

/// How many at once, by key. What is counted is bounded by what runs.
#[derive(Debug)]
pub struct Running {
    keys: Keys,
    counts: HashMap<(u64, u64), u32>,
}

/// One that runs.
#[derive(Debug)]
pub struct Slot((u64, u64));

impl Default for Running {
    fn default() -> Running {
        Running { keys: Keys::new(), counts: HashMap::new() }
    }
}

impl Running {
    /// One more, unless `most` run.
    pub fn enter(&mut self, key: &impl Hash, most: u32) -> Option<Slot> {
        let key = self.keys.of(key);
        let count = self.counts.entry(key).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Slot(key))
    }

    /// One less.
    pub fn leave(&mut self, slot: Slot) {
        if let Some(count) = self.counts.get_mut(&slot.0) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.counts.remove(&slot.0);
            }
        }
    }
}

/// The period of a quota that a moment is in, by its number, and its end; in seconds since 1970. A day
/// begins at midnight UTC.
pub fn quota_period(period: u64, now: u64) -> (u64, u64) {
    let number = now / period.max(1);
    (number, (number + 1).saturating_mul(period.max(1)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_over_a_boundary_is_no_more_than_the_limit() {
        let mut rates = Rates::new(Rate { count: 10, period: 1000 }, 8);
        let taken =
            |rates: &mut Rates, now| (0..20).filter(|_| rates.take(&"a", now).is_ok()).count();
        assert_eq!(taken(&mut rates, 999), 10);
        assert_eq!(taken(&mut rates, 1001), 0);
        assert_eq!(taken(&mut rates, 1900), 0);
        assert_eq!(taken(&mut rates, 2100), 10);
    }

    #[test]
    fn a_full_map_refuses_new_keys_and_forgives_none() {
        let mut rates = Rates::new(Rate { count: 1, period: 1000 }, 2);
        assert!(rates.take(&1, 0).is_ok() && rates.take(&2, 0).is_ok());
        assert!(rates.take(&3, 500).is_err());
        assert!(rates.take(&1, 500).is_err(), "remembered");
        assert!(rates.take(&3, 1100).is_ok());
        assert!(rates.len() <= 2);
    }

    #[test]
    fn what_is_counted_afterwards_closes_the_door_until_it_is_forgotten() {
        let mut rates = Rates::new(Rate { count: 100, period: 1000 }, 2);
        assert!(rates.room(&"a", 0).is_ok());
        rates.add(&"a", 99, 0);
        assert!(rates.room(&"a", 10).is_ok(), "one is left");
        rates.add(&"a", 500, 10);
        let refused = rates.room(&"a", 20).unwrap_err();
        assert!(rates.room(&"b", 20).is_ok(), "another's");
        assert!(rates.room(&"a", 20 + refused.retry_after - 1).is_err());
        assert!(rates.room(&"a", 20 + refused.retry_after).is_ok());
    }

    #[test]
    fn running_ones_are_counted_until_they_leave() {
        let mut running = Running::default();
        let first = running.enter(&"a", 1).unwrap();
        assert!(running.enter(&"a", 1).is_none());
        let other = running.enter(&"b", 1).unwrap();
        running.leave(first);
        assert!(running.enter(&"a", 1).is_some());
        running.leave(other);
        assert_eq!(running.counts.len(), 1);
    }

    #[test]
    fn periods_of_a_day_begin_at_midnight() {
        assert_eq!(quota_period(86_400, 86_399), (0, 86_400));
        assert_eq!(quota_period(86_400, 86_400), (1, 172_800));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        /// Whatever the moments: no stretch of the period's length sees more than the limit, and what
        /// is refused may be taken when it was said to be. A clock that goes back stands still.
        #[test]
        fn no_stretch_of_time_sees_more(
            count in 1_u32..6,
            period in 1_u64..500,
            steps in proptest::collection::vec(-40_i64..120, 1..120),
        ) {
            let mut rates = Rates::new(Rate { count, period }, 4);
            let (mut now, mut latest, mut taken) = (1000_u64, 0_u64, Vec::new());
            for step in steps {
                now = now.saturating_add_signed(step);
                latest = latest.max(now);
                match rates.take(&(), now) {
                    Ok(()) => taken.push(latest),
                    Err(exhausted) => {
                        prop_assert!(exhausted.retry_after > 0);
                        let mut later = Rates { windows: rates.windows.clone(), keys: Keys::new(), ..Rates::new(Rate { count, period }, 4) };
                        later.keys = Keys(rates.keys.0.clone());
                        prop_assert!(later.take(&(), latest.max(now + exhausted.retry_after)).is_ok());
                    }
                }
            }
            for start in &taken {
                let within = taken.iter().filter(|at| **at >= *start && **at < start + period).count();
                prop_assert!(within <= count as usize, "{within} from {start}");
            }
        }
    }
}
