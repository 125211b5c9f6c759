//! Exchanged credentials: tokens that a token endpoint gives for one server, either to Bartizan itself or to
//! Bartizan on behalf of one caller.
//!
//! Requests and answers as values, as in [`crate::oauth`], whose [`Form`](crate::oauth::Form) they share: an
//! [`ExchangeRequest`] becomes a form, the answer an [`Exchanged`] token or an [`ExchangeFault`], which knows
//! whether a person, a sign-in or the operator can mend it. Nothing here does I/O; time is an argument.

mod answer;
mod fault;
mod request;

pub use answer::Exchanged;
pub use fault::{Answer, ExchangeFault, is_challenge};
pub use request::{ExchangeRequest, SubjectType, Wanted};
