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

    /// The same, once a person has also said yes to this.
    pub fn with(self, question: Option<Question>) -> Decision {
        let Some(Question { rule, reason, open }) = question else { return self };
        let join = |one: &str, other: &str| match one {
            "" => Arc::from(other),
            one => Arc::from(format!("{one}; {other}")),
        };
        let told = if open { format!("{rule}: {reason}") } else { String::new() };
        match self {
            Decision::Permit(permit) => Decision::Ask(Ask {
                rule: join(&permit.rule, &rule),
                reason: reason.as_str().into(),
                told: told.as_str().into(),
            }),
            Decision::Ask(ask) => Decision::Ask(Ask {
                rule: join(&ask.rule, &rule),
                reason: join(&ask.reason, &reason),
                told: if told.is_empty() { ask.told } else { join(&ask.told, &told) },
            }),
            denied => denied,
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
}

impl Permit {
    /// The rule, such as `role ci allow github/get_*`.
    pub fn rule(&self) -> &str {
        &self.rule
    }
}

/// What another step would have a person decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The rule, as records name it.
    pub rule: String,
    /// For the approver.
    pub reason: String,
    /// Whether the caller may hear it too.
    pub open: bool,
}

/// A rule asks for a person's approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    pub(crate) rule: Arc<str>,
    pub(crate) reason: Arc<str>,
    pub(crate) told: Arc<str>,
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

    /// What of it the caller may hear; may be empty.
    pub fn told(&self) -> &str {
        &self.told
    }

    /// The leave that an approval gives.
    pub fn approved(self) -> Permit {
        Permit { rule: self.rule }
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
