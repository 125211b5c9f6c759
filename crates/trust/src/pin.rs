//! What was decided about a definition, and what follows for the one that is shown now.
//!
//! One rule carries everything: a definition may be used when its digest is the one that is
//! approved at this moment. All else here is about what people are told and asked.

use crate::Digest;

/// Proof that a definition's digest is the approved one: only [`judge`] makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Approved {
    digest: Digest,
}

impl Approved {
    /// The approved definition's digest.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }
}

/// How a definition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// What is shown is what was approved.
    Approved,
    /// Something else was approved.
    Changed,
    /// Nobody has decided yet.
    New,
    /// A person refused just this.
    Rejected,
    /// A person took the approval back; nothing passes until somebody approves again.
    Revoked,
    /// Approved, but not signed by whom it has to be.
    Unsigned,
}

impl State {
    /// As shown and as written in the lockfile.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Approved => "approved",
            State::Changed => "changed",
            State::New => "new",
            State::Rejected => "rejected",
            State::Revoked => "revoked",
            State::Unsigned => "unsigned",
        }
    }
}

/// What a person said against a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objection {
    /// To this text; another may come.
    Rejected(Digest),
    /// To the definition, whatever it says.
    Revoked,
}

/// What is kept of one definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin {
    /// What may be used.
    pub approved: Option<Digest>,
    /// What the server showed last.
    pub seen: Digest,
    /// What was said against it.
    pub objection: Option<Objection>,
}

/// What happens to a definition of which nothing is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FirstUse {
    /// Trust on first use: the named loosening.
    Approve,
    /// It waits for a person.
    #[default]
    Quarantine,
}

/// What came of looking at a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// To be kept.
    pub pin: Pin,
    /// The proof, or why there is none.
    pub outcome: Result<Approved, State>,
    /// Whether policy approved it just now, without a person.
    pub by_policy: bool,
}

impl Pin {
    /// How it stands.
    pub fn state(&self) -> State {
        match (self.objection, self.approved) {
            (Some(Objection::Revoked), _) => State::Revoked,
            (_, Some(approved)) if approved == self.seen => State::Approved,
            (Some(Objection::Rejected(digest)), _) if digest == self.seen => State::Rejected,
            (None, None) => State::New,
            _ => State::Changed,
        }
    }

    /// What is shown becomes what may be used.
    pub fn approve(&mut self) {
        self.approved = Some(self.seen);
        self.objection = None;
    }

    /// What is shown is refused. What was approved before stays approved, should it come back.
    pub fn reject(&mut self) {
        self.approved = self.approved.filter(|approved| *approved != self.seen);
        self.objection = Some(Objection::Rejected(self.seen));
    }

    /// Nothing passes any more.
    pub fn revoke(&mut self) {
        self.approved = None;
        self.objection = Some(Objection::Revoked);
    }
}

/// Holds a definition against what is kept of it. `passes` says whether policy lets the change pass
/// without a person; it is asked only where something else is approved, and can't undo an objection.
pub fn judge(
    kept: Option<&Pin>,
    shown: Digest,
    first_use: FirstUse,
    passes: impl FnOnce(&Digest) -> bool,
) -> Judgement {
    let mut pin = match kept {
        Some(pin) => Pin { seen: shown, ..*pin },
        None => Pin { approved: None, seen: shown, objection: None },
    };
    let by_policy = match (pin.state(), pin.approved) {
        (State::New, _) => kept.is_none() && first_use == FirstUse::Approve,
        (State::Changed, Some(approved)) => passes(&approved),
        _ => false,
    };
    if by_policy {
        pin.approve();
    }
    let outcome = match pin.state() {
        State::Approved => Ok(Approved { digest: shown }),
        state => Err(state),
    };
    Judgement { pin, outcome, by_policy }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digest(byte: u8) -> Digest {
        Digest::from_bytes([byte; 32])
    }

    fn look(pin: &mut Option<Pin>, byte: u8) -> Result<(), State> {
        let judgement = judge(pin.as_ref(), digest(byte), FirstUse::Quarantine, |_| false);
        *pin = Some(judgement.pin);
        judgement.outcome.map(drop)
    }

    #[test]
    fn the_life_of_a_definition() {
        let pin = &mut None;
        assert_eq!(look(pin, 1), Err(State::New));
        assert_eq!(look(pin, 1), Err(State::New));
        pin.as_mut().unwrap().approve();
        assert_eq!(look(pin, 1), Ok(()));
        assert_eq!(look(pin, 2), Err(State::Changed));
        assert_eq!(look(pin, 1), Ok(()), "what is approved may come back");
        assert_eq!(look(pin, 2), Err(State::Changed));
        pin.as_mut().unwrap().reject();
        assert_eq!(look(pin, 2), Err(State::Rejected));
        assert_eq!(look(pin, 3), Err(State::Changed));
        pin.as_mut().unwrap().approve();
        assert_eq!(look(pin, 3), Ok(()));
        assert_eq!(look(pin, 1), Err(State::Changed), "an older approved one is a change");
        look(pin, 3).unwrap();
        pin.as_mut().unwrap().revoke();
        for byte in [3, 1, 9] {
            assert_eq!(look(pin, byte), Err(State::Revoked));
        }
        pin.as_mut().unwrap().approve();
        assert_eq!(look(pin, 9), Ok(()));
    }

    #[test]
    fn rejecting_what_is_approved_takes_the_approval_back() {
        let mut pin = Pin { approved: Some(digest(1)), seen: digest(1), objection: None };
        pin.reject();
        assert_eq!((pin.state(), pin.approved), (State::Rejected, None));
    }

    #[test]
    fn first_use_is_for_what_was_never_seen_and_policy_for_what_was_approved() {
        let first = judge(None, digest(1), FirstUse::Approve, |_| false);
        assert!(first.by_policy && first.outcome.is_ok());
        let waiting = judge(None, digest(1), FirstUse::Quarantine, |_| true);
        assert_eq!(waiting.outcome, Err(State::New));
        let later = judge(Some(&waiting.pin), digest(1), FirstUse::Approve, |_| true);
        assert_eq!(later.outcome, Err(State::New), "seen once is not a first use");
        let passed = judge(Some(&first.pin), digest(2), FirstUse::Quarantine, |_| true);
        assert!(passed.by_policy && passed.outcome.is_ok());
        let mut revoked = first.pin;
        revoked.revoke();
        let judged = judge(Some(&revoked), digest(2), FirstUse::Approve, |_| true);
        assert_eq!(judged.outcome, Err(State::Revoked));
    }

    proptest! {
        /// Whatever happens: what is let through has the approved digest, and without policy only
        /// a person can make it so.
        #[test]
        fn only_the_approved_digest_passes(steps in prop::collection::vec((0u8..4, 0u8..4), 0..40)) {
            let (mut pin, mut approved) = (None, None);
            for (step, byte) in steps {
                match (step, pin.as_mut()) {
                    (1, Some(kept)) => { Pin::approve(kept); approved = Some(kept.seen) }
                    (2, Some(kept)) => {
                        if approved == Some(kept.seen) { approved = None }
                        Pin::reject(kept);
                    }
                    (3, Some(kept)) => { Pin::revoke(kept); approved = None }
                    _ => {
                        let passed = look(&mut pin, byte).is_ok();
                        prop_assert_eq!(passed, approved == Some(digest(byte)));
                    }
                }
            }
        }
    }
}
