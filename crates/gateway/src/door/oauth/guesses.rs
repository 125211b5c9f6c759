//! Wrong secrets of clients, counted so that nobody guesses one: by client and by where it is tried from, so that a stranger's
//! guesses don't shut out the client itself.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, MutexGuard, PoisonError},
};

use identity::broker::ClientId;

/// Wrong secrets of one client from one place in a minute.
const MINUTELY: u32 = 20;
/// In seconds.
const WINDOW: u64 = 60;
/// Clients and places that are remembered; beyond them, nobody new may try in that minute.
const PLACES: usize = 4096;

/// What went wrong in this minute.
#[derive(Default)]
pub struct Guesses(Mutex<HashMap<(ClientId, IpAddr), Wrong>>);

struct Wrong {
    until: u64,
    count: u32,
}

impl Guesses {
    /// Whether a secret of this client is looked at.
    pub fn admit(&self, client: &ClientId, from: IpAddr, now: u64) -> bool {
        let mut all = self.all();
        if all.len() >= PLACES {
            all.retain(|_, wrong| now < wrong.until);
        }
        match all.get(&(client.clone(), place(from))) {
            Some(wrong) => now >= wrong.until || wrong.count < MINUTELY,
            None => all.len() < PLACES,
        }
    }

    /// It was wrong.
    pub fn wrong(&self, client: &ClientId, from: IpAddr, now: u64) {
        let mut all = self.all();
        let wrong =
            all.entry((client.clone(), place(from))).or_insert(Wrong { until: 0, count: 0 });
        if now >= wrong.until {
            *wrong = Wrong { until: now.saturating_add(WINDOW), count: 0 };
        }
        wrong.count += 1;
    }

    fn all(&self) -> MutexGuard<'_, HashMap<(ClientId, IpAddr), Wrong>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An address, or the network of 64 bits that one holder of IPv6 addresses has at least.
fn place(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_ends_where_it_comes_from_and_nowhere_else() {
        let client = |text: &str| ClientId::parse(text).unwrap();
        let from = |text: &str| text.parse::<IpAddr>().unwrap();
        let guesses = Guesses::default();
        for count in 0..MINUTELY {
            let address = from(&format!("2001:db8::{count}"));
            assert!(guesses.admit(&client("a"), address, 100), "{count}");
            guesses.wrong(&client("a"), address, 100);
        }
        assert!(!guesses.admit(&client("a"), from("2001:db8::ffff"), 159));
        assert!(guesses.admit(&client("a"), from("2001:db8:0:1::"), 159));
        assert!(guesses.admit(&client("a"), from("192.0.2.1"), 159));
        assert!(guesses.admit(&client("b"), from("2001:db8::1"), 159));
        assert!(guesses.admit(&client("a"), from("2001:db8::1"), 160), "a minute later");
    }

    #[test]
    fn memory_is_bounded() {
        let client = ClientId::parse("a").unwrap();
        let guesses = Guesses::default();
        for count in 0..u32::try_from(PLACES).unwrap() {
            guesses.wrong(&client, IpAddr::V4(count.into()), 100);
        }
        assert!(guesses.admit(&client, IpAddr::V4(1.into()), 101), "known");
        assert!(!guesses.admit(&client, IpAddr::V4(u32::MAX.into()), 101), "no room");
        assert!(guesses.admit(&client, IpAddr::V4(u32::MAX.into()), 160));
    }
}
