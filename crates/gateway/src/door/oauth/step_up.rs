//! What the provider asked for of somebody before it vouches for them again (Conditional Access, Continuous Access Evaluation): a claims
//! challenge, which their next sign-in takes along.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use vault::exchange::is_challenge;

/// People of whom something is asked at once; of more, nothing is remembered, and they sign in as ever.
const PEOPLE: usize = 4096;
/// For so many seconds it is remembered.
const REMEMBERED: u64 = 24 * 3600;

/// The challenges, by who has to meet them.
#[derive(Default)]
pub(super) struct Challenges(Mutex<HashMap<String, (String, u64)>>);

impl Challenges {
    /// Remembers what is asked of somebody. What is no challenge is not.
    pub fn keep(&self, subject: &str, claims: &str, now: u64) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= PEOPLE {
            held.retain(|_, (_, until)| now < *until);
        }
        if held.len() < PEOPLE && is_challenge(claims) {
            held.insert(subject.to_owned(), (claims.to_owned(), now.saturating_add(REMEMBERED)));
        }
    }

    /// What is asked of somebody.
    pub fn of(&self, subject: &str, now: u64) -> Option<String> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(subject).filter(|(_, until)| now < *until).map(|(claims, _)| claims.clone())
    }

    /// They signed in with it.
    pub fn met(&self, subject: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(subject);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_kept_for_its_person_until_it_is_met_or_old() {
        let challenges = Challenges::default();
        let asked = r#"{"access_token":{"capolids":{"essential":true}}}"#;
        challenges.keep("user:t/a", asked, 10);
        challenges.keep("user:t/b", "no challenge", 10);
        assert_eq!(challenges.of("user:t/a", 11).as_deref(), Some(asked));
        assert_eq!(challenges.of("user:t/b", 11), None);
        assert_eq!(challenges.of("user:t/a", 11 + REMEMBERED), None);
        challenges.met("user:t/a");
        assert_eq!(challenges.of("user:t/a", 11), None);
        for number in 0..=PEOPLE {
            challenges.keep(&number.to_string(), asked, 10);
        }
        assert!(challenges.0.lock().unwrap().len() <= PEOPLE);
    }
}
