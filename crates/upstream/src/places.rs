//! Calls in flight on a link: a bound for all, and a share for each principal.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::LinkFault;
use crate::call::lock;

/// The places of a link. One principal holds at most half of them, so that none can take them all.
#[derive(Debug)]
pub(crate) struct Places {
    taken: Mutex<Taken>,
    bound: usize,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    /// Only of principals that hold one.
    by: HashMap<Box<str>, usize>,
}

/// A call's place.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    places: &'a Places,
    principal: &'a str,
}

impl Places {
    pub fn new(bound: usize) -> Places {
        Places { taken: Mutex::default(), bound }
    }

    pub fn len(&self) -> usize {
        lock(&self.taken).total
    }

    pub fn enter<'a>(&'a self, principal: &'a str) -> Result<Place<'a>, LinkFault> {
        let mut taken = lock(&self.taken);
        if taken.total >= self.bound {
            return Err(LinkFault::Full);
        }
        match taken.by.get_mut(principal) {
            Some(own) if *own >= (self.bound / 2).max(1) => return Err(LinkFault::Full),
            Some(own) => *own += 1,
            None => drop(taken.by.insert(principal.into(), 1)),
        }
        taken.total += 1;
        Ok(Place { places: self, principal })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut taken = lock(&self.places.taken);
        taken.total -= 1;
        if let Some(own) = taken.by.get_mut(self.principal) {
            *own -= 1;
            if *own == 0 {
                taken.by.remove(self.principal);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_principal_has_at_most_half() {
        let places = Places::new(4);
        let full = |place: Result<Place<'_>, LinkFault>| place.err() == Some(LinkFault::Full);
        let one = (places.enter("p").unwrap(), places.enter("p").unwrap());
        assert!(full(places.enter("p")));
        let two = (places.enter("q").unwrap(), places.enter("r").unwrap());
        assert!(full(places.enter("s")), "the bound of all");
        drop(one.0);
        assert_eq!(places.len(), 3);
        assert!(places.enter("p").is_ok());
        drop((one.1, two));
        assert_eq!(places.len(), 0);
        assert!(lock(&places.taken).by.is_empty());
        assert!(Places::new(1).enter("p").is_ok());
    }
}
