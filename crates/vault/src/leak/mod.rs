//! Secrets on their way back: every value that Bartizan knows is found again, however it is encoded, and masked.
//!
//! [`Known`] learns values; a [`Filter`] looks for all of them at once, in whole texts or in a [`Stream`] of pieces.

mod encodings;
mod filter;
mod known;
mod search;
mod stream;

pub use filter::{Filter, MASK, Masked};
pub use known::{Known, SHORTEST};
pub use stream::Stream;

#[cfg(test)]
mod tests;
