//! The journal's records at receivers of each kind: real ones where there are, and a misbehaving one.

mod arrives;
mod azure;
mod ocsf;
mod receiver;
