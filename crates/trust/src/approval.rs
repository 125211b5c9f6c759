//! Whether a definition may be used.

use crate::Digest;

/// Proof that a definition's digest is the recorded one: only [`approve`] makes it.
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

/// A definition that is not what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drift {
    /// What was recorded.
    pub previous: Digest,
    /// What the server shows now.
    pub current: Digest,
}

/// What came of looking at a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Approval {
    /// The proof.
    pub approved: Approved,
    /// Set when the definition changed: to be recorded anew, and reported.
    pub drift: Option<Drift>,
}

/// Trust on first use: a new definition is approved, a changed one is approved and reported.
pub fn approve(recorded: Option<&Digest>, current: &Digest) -> Approval {
    let drift = recorded
        .filter(|previous| *previous != current)
        .map(|previous| Drift { previous: *previous, current: *current });
    Approval { approved: Approved { digest: *current }, drift }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_is_approved_same_is_silent_changed_is_reported() {
        let [one, other] = [1, 2].map(|byte| Digest::from_bytes([byte; 32]));
        assert_eq!(approve(None, &one).drift, None);
        assert_eq!(approve(Some(&one), &one).drift, None);
        let changed = approve(Some(&one), &other);
        assert_eq!(changed.drift, Some(Drift { previous: one, current: other }));
        assert_eq!(*changed.approved.digest(), other);
    }
}
