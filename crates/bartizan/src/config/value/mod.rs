//! The typed values of the configuration: each is parsed once, where it is read, so its error points at it.

mod access;
mod address;
mod condition;
mod egress;
mod name;
mod oauth;
mod provider;
mod quantity;

use std::fmt;

pub use access::{HeaderText, Member, PatternText, QueryText, Template, WordText};
pub use address::{HostText, Listen, OriginText, ServerUrl};
pub use condition::{ArgumentText, HintText, HoursText, NetText, PerPeriod, PointerText};
pub use egress::{EgressName, MethodText, PathText};
pub use name::{Joint, RoleKey, ServerKey, plausible_name};
pub use oauth::{ClientKey, RedirectText, ScopeText};
pub use provider::{AlgorithmText, Guid, ProviderKey, TrustDomain, WebUrl};
pub use quantity::{Bounded, ByteSize, Period};

/// Why a value was refused, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueFault {
    what: String,
    mend: String,
}

/// What stands between the two halves of a [`ValueFault`] on its way through serde, which carries one string.
pub const MEND: &str = "\nmend: ";

impl ValueFault {
    pub fn new(what: impl Into<String>, mend: impl Into<String>) -> Self {
        ValueFault { what: what.into(), mend: mend.into() }
    }

    /// Both halves on one line.
    pub fn sentence(&self) -> String {
        format!("{}; {}", self.what, self.mend)
    }
}

impl fmt::Display for ValueFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{MEND}{}", self.what, self.mend)
    }
}

impl std::error::Error for ValueFault {}
