//! The real binary, as a user meets it.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod audit;
mod clients;
mod config;
mod demo;
mod docs;
mod entra;
mod home;
mod import;
mod policy;
mod report;
mod running;
mod secrets;
mod servers;
mod tokens;
