//! The authorization server, from outside: the faults that others made, each by its number, and what else an attacker would try.

mod faults;
mod grants;
mod place;
mod provider;
