//! Is the tool still the one that was approved?
//!
//! At this stage: trust on first use. The first definition seen is recorded, a changed one
//! is recorded anew and reported as drift. Nothing here does I/O; the store keeps digests.
#![forbid(unsafe_code)]

mod approval;
mod definition;
mod digest;
mod number;

pub use approval::{Approval, Approved, Drift, approve};
pub use definition::{Definition, Kind, TrustFault};
pub use digest::{Digest, DigestFault};
