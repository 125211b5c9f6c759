//! The egress gate between real sockets: a client on one side, a recording server on the other.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod jailed;
mod origin;
mod refusals;
mod requests;
mod secrets;
mod support;
