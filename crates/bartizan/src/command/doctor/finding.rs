//! What the doctor found.

use serde::Serialize;

use super::{
    aadsts,
    web::{Reply, Unreached},
};
use crate::print;

/// How it stands with one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, and should be better.
    Warning,
    /// Nobody can tell from here.
    Unknown,
    /// It does not work.
    Fault,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: String,
    pub state: State,
    pub found: String,
    /// What to change and where; empty where all is well.
    pub mend: String,
}

impl Finding {
    fn new(
        check: &str,
        state: State,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) -> Finding {
        Finding { check: check.to_owned(), state, found: found.into(), mend: mend.into() }
    }

    pub fn ok(check: &str, found: impl Into<String>) -> Finding {
        Finding::new(check, State::Ok, found, "")
    }

    pub fn warning(check: &str, found: impl Into<String>, mend: impl Into<String>) -> Finding {
        Finding::new(check, State::Warning, found, mend)
    }

    pub fn unknown(check: &str, found: impl Into<String>, mend: impl Into<String>) -> Finding {
        Finding::new(check, State::Unknown, found, mend)
    }

    pub fn fault(check: &str, found: impl Into<String>, mend: impl Into<String>) -> Finding {
        Finding::new(check, State::Fault, found, mend)
    }

    /// Nobody answered.
    pub fn unreached(check: &str, unreached: &Unreached) -> Finding {
        Finding::fault(check, unreached.found(), unreached.mend())
    }

    /// The provider said no: its number is explained where it has one.
    pub fn refused(check: &str, reply: &Reply) -> Finding {
        Finding::complaint(check, &reply.complaint())
    }

    /// The same, for what it said by another way.
    pub fn complaint(check: &str, complaint: &str) -> Finding {
        match aadsts::explain(complaint) {
            Some(known) => {
                Finding::fault(check, format!("{} ({complaint})", known.means), known.mend)
            }
            None => Finding::fault(
                check,
                complaint,
                "the provider's own documentation knows this error",
            ),
        }
    }
}

impl print::Row for Finding {
    const TITLES: &'static [&'static str] = &["CHECK", "STATE", "FOUND", "WHAT TO CHANGE"];

    fn cells(&self) -> Vec<String> {
        let state = match self.state {
            State::Ok => "ok",
            State::Warning => "warning",
            State::Unknown => "unknown",
            State::Fault => "FAULT",
        };
        vec![self.check.clone(), state.to_owned(), print::tame(&self.found), self.mend.clone()]
    }
}
