//! What came of it.

use std::sync::Arc;

/// What policy says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may be done.
    Permit(Permit),
    /// It may be done once a person has approved this very request.
    Ask(Ask),
    /// It may not.
    Denied(Denied),
}

impl Decision {
    /// Whether it may be done, with or without an approval.
    pub fn is_possible(&self) -> bool {
        !matches!(self, Decision::Denied(_))
    }

    /// The rule that decided.
    pub fn rule(&self) -> &str {
        match self {
            Decision::Permit(permit) => permit.rule(),
            Decision::Ask(ask) => ask.rule(),
            Decision::Denied(denied) => denied.rule(),
        }
    }

    /// One word for tables: `permit`, `ask`, `deny`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Decision::Permit(_) => "permit",
            Decision::Ask(_) => "ask",
            Decision::Denied(_) => "deny",
        }
    }
}

/// Leave to do what was asked, and the rule that gave it: only a decision makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    pub(crate) rule: Arc<str>,
    pub(crate) approved: bool,
}

impl Permit {
    /// The rule, such as `role ci allow github/get_*`.
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// Whether a person's approval gave it.
    pub fn is_approved(&self) -> bool {
        self.approved
    }
}

/// A rule asks for a person's approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    pub(crate) rule: Arc<str>,
    pub(crate) reason: Arc<str>,
}

impl Ask {
    /// The rule, such as `role ci ask github/delete_*`.
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// For the approver; may be empty.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The leave that an approval gives.
    pub fn approved(self) -> Permit {
        Permit { rule: self.rule, approved: true }
    }
}

/// A refusal, and the rule that made it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("denied by {rule}")]
pub struct Denied {
    pub(crate) rule: Arc<str>,
}

impl Denied {
    /// The rule, such as `role ci deny github/delete_*` or `default deny`.
    pub fn rule(&self) -> &str {
        &self.rule
    }
}
