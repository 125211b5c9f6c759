//! Addresses that stand for names: what the sandbox connects to leads back to what it asked for.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

/// Names that one server may ask for. An address is never given to a second name, so the table only grows.
const LIMIT: u32 = 4096;

/// 198.18.0.0/15 is set aside for benchmarks (RFC 2544): no server on the internet has such an address.
const FIRST_V4: u32 = u32::from_be_bytes([198, 18, 0, 1]);
/// A unique local prefix (RFC 4193).
const FIRST_V6: u128 = 0xfd62_7a6e_6761_7465_0000_0000_0000_0001;

/// The addresses that were handed out.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    numbers: HashMap<Box<str>, u32>,
    names: Vec<Box<str>>,
}

/// One name's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Virtual(u32);

impl Virtual {
    pub fn v4(self) -> Ipv4Addr {
        Ipv4Addr::from(FIRST_V4 + self.0)
    }

    pub fn v6(self) -> Ipv6Addr {
        Ipv6Addr::from(FIRST_V6 + u128::from(self.0))
    }
}

impl Names {
    /// The name's addresses, the same each time. `None` when the table is full.
    pub fn address(&self, name: &str) -> Option<Virtual> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = table.numbers.get(name) {
            return Some(Virtual(*number));
        }
        let number = u32::try_from(table.names.len()).ok().filter(|number| *number < LIMIT)?;
        table.numbers.insert(name.into(), number);
        table.names.push(name.into());
        Some(Virtual(number))
    }

    /// The name that was given this address.
    pub fn name(&self, address: IpAddr) -> Option<Box<str>> {
        let number = match address.to_canonical() {
            IpAddr::V4(address) => u32::from(address).checked_sub(FIRST_V4)?,
            IpAddr::V6(address) => u128::from(address).checked_sub(FIRST_V6)?.try_into().ok()?,
        };
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.names.get(number as usize).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lead_back_and_end() {
        let names = Names::default();
        let (a, b) = (names.address("a").unwrap(), names.address("b").unwrap());
        assert_eq!(names.address("a"), Some(a));
        assert_eq!(a.v4(), Ipv4Addr::new(198, 18, 0, 1));
        assert_eq!(names.name(b.v4().into()).as_deref(), Some("b"));
        assert_eq!(names.name(b.v6().into()).as_deref(), Some("b"));
        assert_eq!(names.name(b.v4().to_ipv6_mapped().into()).as_deref(), Some("b"));
        for other in ["198.18.0.3", "198.17.255.255", "10.0.0.1", "fd62:7a6e:6761:7465::3", "::1"] {
            assert_eq!(names.name(other.parse().unwrap()), None, "{other}");
        }
        for number in 2..LIMIT {
            assert!(names.address(&number.to_string()).is_some());
        }
        assert_eq!(names.address("one more"), None);
        assert_eq!(names.address("a"), Some(a));
    }
}
