//! May they?
//!
//! Roles with allow and deny patterns. What no rule allows is denied, and a deny wins over
//! every allow. The same decision filters lists and gates calls.
#![forbid(unsafe_code)]

mod glob;
mod pattern;
mod policy;
mod uri;

pub use pattern::{Kind, Pattern, PatternFault};
pub use policy::{Action, Caller, Denied, Permit, Policy, PolicyFault, PrincipalView, Role};
