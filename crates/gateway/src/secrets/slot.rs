//! What was read of one secret: used on for a while, read once however many ask, and used longer in an outage only
//! where the configuration says so.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use tokio::sync::Mutex;
use tokio::time::Instant;
use vault::Secret;

use super::{Rules, SecretFault};

/// After a failure nobody asks again for so long: those who wait share it.
const PAUSE: Duration = Duration::from_secs(1);

/// A value that was read.
#[derive(Debug)]
pub(super) struct Read {
    pub value: Secret,
    /// When it dies, where that is known.
    pub expires: Option<u64>,
    /// Until when it is used without asking.
    pub until: Instant,
    at: Instant,
}

/// What a slot gives.
pub(super) struct Given {
    pub read: Arc<Read>,
    /// Whether it is another value than before.
    pub is_news: bool,
}

/// One secret.
#[derive(Default)]
pub(super) struct Slot {
    held: ArcSwapOption<Read>,
    /// Held by the one who asks; how the last asking failed.
    asking: Mutex<Option<(Instant, SecretFault)>>,
}

impl Slot {
    /// The value by these rules, which `fetch` brings when what is held is too old.
    pub async fn read(
        &self,
        rules: Rules,
        fetch: impl AsyncFnOnce() -> Result<(Secret, Option<u64>), SecretFault>,
    ) -> Result<Given, SecretFault> {
        if let Some(fresh) = self.fresh() {
            return Ok(fresh);
        }
        let mut failed = self.asking.lock().await;
        // Somebody else may have asked while this one waited.
        if let Some(fresh) = self.fresh() {
            return Ok(fresh);
        }
        if let Some((at, fault)) = &*failed
            && at.elapsed() < PAUSE
        {
            return self.in_outage(rules, fault.clone());
        }
        match fetch().await {
            Ok((value, expires)) => {
                *failed = None;
                Ok(self.keep(value, expires, rules))
            }
            Err(fault) => {
                *failed = Some((Instant::now(), fault.clone()));
                self.in_outage(rules, fault)
            }
        }
    }

    /// Asks anew at the next use. What is held stays for an outage.
    pub fn forget(&self) {
        if let Some(held) = self.held.load_full() {
            let (value, expires, at) = (held.value.clone(), held.expires, held.at);
            self.held.store(Some(Arc::new(Read { value, expires, until: Instant::now(), at })));
        }
    }

    /// What is held, whatever its age.
    pub fn held(&self) -> Option<Arc<Read>> {
        self.held.load_full()
    }

    fn fresh(&self) -> Option<Given> {
        let read = self.held.load_full().filter(|held| Instant::now() < held.until)?;
        Some(Given { read, is_news: false })
    }

    fn keep(&self, value: Secret, expires: Option<u64>, rules: Rules) -> Given {
        let at = Instant::now();
        let same = |held: Arc<Read>| {
            let (held, value) = (held.value.expose().as_bytes(), value.expose().as_bytes());
            verify_slices_are_equal(held, value).is_ok()
        };
        let is_news = !self.held.load_full().is_some_and(same);
        let read = Arc::new(Read { value, expires, until: at + rules.ttl, at });
        self.held.store(Some(read.clone()));
        Given { read, is_news }
    }

    /// What is held, where it may be used while nobody answers.
    fn in_outage(&self, rules: Rules, fault: SecretFault) -> Result<Given, SecretFault> {
        let usable = |held: &Arc<Read>| held.at.elapsed() < rules.ttl + rules.use_stale_for;
        match self.held.load_full().filter(usable).filter(|_| fault.is_outage()) {
            Some(held) => {
                tracing::warn!(%fault, "a secret can't be read again; the one that was read before is used on");
                let (value, expires, at) = (held.value.clone(), held.expires, held.at);
                let read = Arc::new(Read { value, expires, until: Instant::now() + PAUSE, at });
                self.held.store(Some(read.clone()));
                Ok(Given { read, is_news: false })
            }
            None => Err(fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use store::StoreFault;

    use super::*;
    use crate::secrets::SafeFault;

    const RULES: Rules =
        Rules { ttl: Duration::from_secs(60), use_stale_for: Duration::from_secs(3600) };

    type Answer = Result<(Secret, Option<u64>), SecretFault>;

    fn value(text: &str) -> Answer {
        Ok((Secret::new(text.into()), None))
    }

    fn outage() -> Answer {
        Err(SecretFault::Sealed(Arc::new(SafeFault::Store(StoreFault::Malformed("row")))))
    }

    fn gone() -> Answer {
        let name = vault::SecretName::new("a").unwrap();
        Err(SecretFault::Sealed(Arc::new(SafeFault::Unknown(name))))
    }

    async fn read(slot: &Slot, rules: Rules, answer: Answer) -> Option<String> {
        let given = slot.read(rules, async || answer).await.ok()?;
        Some(given.read.value.expose().to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_read_is_used_for_its_time_and_no_longer() {
        let slot = Slot::default();
        let strict = Rules { use_stale_for: Duration::ZERO, ..RULES };
        assert_eq!(read(&slot, strict, value("one")).await.as_deref(), Some("one"));
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(read(&slot, strict, value("two")).await.as_deref(), Some("one"));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(read(&slot, strict, value("two")).await.as_deref(), Some("two"));
        slot.forget();
        assert_eq!(read(&slot, strict, value("three")).await.as_deref(), Some("three"));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(read(&slot, strict, outage()).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_bridged_for_as_long_as_is_said_and_a_no_is_not() {
        let slot = Slot::default();
        read(&slot, RULES, value("one")).await.unwrap();
        tokio::time::advance(Duration::from_secs(3659)).await;
        assert_eq!(read(&slot, RULES, outage()).await.as_deref(), Some("one"));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(read(&slot, RULES, outage()).await, None);

        let slot = Slot::default();
        read(&slot, RULES, value("one")).await.unwrap();
        slot.forget();
        assert_eq!(read(&slot, RULES, gone()).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn many_who_ask_at_once_ask_once_and_share_a_failure() {
        let slot = Slot::default();
        let asked = AtomicUsize::new(0);
        let ask = async |answer: fn() -> Answer| {
            let fetch = async || {
                asked.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_secs(5)).await;
                answer()
            };
            slot.read(RULES, fetch).await.map(|given| given.is_news)
        };
        let all = futures_util::future::join_all((0..10_000).map(|_| ask(outage))).await;
        assert!(all.iter().all(Result::is_err));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        tokio::time::advance(PAUSE).await;
        let all = futures_util::future::join_all((0..10_000).map(|_| ask(|| value("one")))).await;
        assert_eq!(all.iter().filter(|news| matches!(news, Ok(true))).count(), 1);
        assert!(all.iter().all(Result::is_ok));
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }
}
