//! May they?
//!
//! Roles and policies in Cedar, which roles become too: what none permits is denied, and a forbid
//! wins over every permit. The same decision filters lists and gates calls.
#![forbid(unsafe_code)]

mod action;
mod arguments;
mod cache;
mod compile;
mod context;
mod decision;
mod described;
mod explain;
mod fault;
mod flow;
mod glob;
mod input;
mod limit;
mod misread;
mod names;
mod network;
mod pattern;
mod policy;
mod principal;
mod recall;
mod role;
mod scope;
mod source;
mod uri;

pub use action::{Action, Annotations, Operation};
pub use context::Context;
pub use decision::{Ask, Decision, Denied, Permit, Question};
pub use described::Described;
pub use explain::{Considered, Explanation, State};
pub use fault::PolicyFault;
pub use flow::{FlowAction, FlowRule, Labelled, Labels, flow};
pub use input::{Argument, ArgumentType, Arguments};
pub use limit::{Exhausted, Rate, Rates, Running, Slot, quota_period};
pub use misread::{Misread, Offered};
pub use names::NameFault;
pub use network::{Network, NetworkFault};
pub use pattern::{Kind, Pattern, PatternFault};
pub use policy::Policy;
pub use principal::{Member, MemberFault, PrincipalView};
pub use recall::{Forgotten, Hanging, Recalled};
pub use role::{ArgumentTest, Hint, Hours, HoursFault, Number, Role, Rule, Scalar, Test, When};
pub use source::{CedarFile, SCHEMA, SourceFault};
