//! Back-off for processes that die quickly.

use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_millis(100);
const LAST: Duration = Duration::from_secs(30);
/// A process that lived this long did not crash quickly.
const LONG_LIFE: Duration = Duration::from_secs(30);

/// When the next start may be tried.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Breaker {
    failures: u32,
    until: Option<Instant>,
}

impl Breaker {
    /// A process ended by itself after `lived`, or did not start at all (zero).
    pub fn failed(&mut self, lived: Duration, now: Instant) {
        if lived >= LONG_LIFE {
            *self = Breaker::default();
            return;
        }
        let delay = FIRST.saturating_mul(1 << self.failures.min(16)).min(LAST);
        self.failures += 1;
        self.until = Some(now + delay);
    }

    /// A start went well. The count stays until a process has lived long: one that starts and
    /// then crashes at its first call is no healthier.
    pub fn started(&mut self) {
        self.until = None;
    }

    /// What is left of the pause.
    pub fn pause(&self, now: Instant) -> Option<Duration> {
        self.until.map(|until| until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }

    /// Whether there is nothing to remember.
    pub fn is_quiet(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now > until + LONG_LIFE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backs_off_exponentially() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        assert_eq!(breaker.pause(now), None);
        let mut pauses = Vec::new();
        for _ in 0..12 {
            breaker.failed(Duration::ZERO, now);
            pauses.push(breaker.pause(now).unwrap().as_millis());
        }
        assert_eq!(pauses[..4], [100, 200, 400, 800]);
        assert_eq!(pauses[11], 30_000);
        assert_eq!(breaker.pause(now + LAST), None);
        breaker.failed(LONG_LIFE, now);
        assert_eq!(breaker.pause(now), None);
    }
}
