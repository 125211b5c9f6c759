//! The authorization server, from outside: the faults that others made, each by its number, and what else an attacker would try.

mod connect;
mod faults;
mod grants;
mod onward;
#[path = "../exchange/orders.rs"]
mod orders;
mod own_grants;
mod place;
mod provider;
mod strangers;
