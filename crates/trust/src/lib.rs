//! Is the tool still the one that was approved?
//!
//! A definition has a digest of all that a model or a client reads, and a pin: what was approved,
//! what is shown now. What differs is held back until a person or a named rule says otherwise.
//! Nothing here does I/O; the store keeps pins, the gateway asks.
#![forbid(unsafe_code)]

pub mod declared;
mod definition;
mod digest;
mod drift;
pub mod etdi;
mod lock;
mod lookalike;
mod number;
mod pin;
mod signature;
mod stack;
mod suggest;
mod visible;

pub use definition::{Definition, Kind, TrustFault, introduction};
pub use digest::{Digest, DigestFault, VOLATILE, lasting};
pub use drift::{Change, Class, ClassFault, Mention, changes, mentions, moved, pass};
pub use lock::{Lock, LockFault, Locked, LockedServer, VERSION as LOCK_VERSION};
pub use lookalike::{Known, Likeness, alike, likenesses};
pub use pin::{Approved, FirstUse, Judgement, Objection, Pin, State, judge};
pub use signature::{
    Algorithm, Key, KeyRing, SignatureFault, Signed, Signer, carried, statement, verify,
};
pub use stack::{Chain, ChainFault, Constraints, Frame, StackFault, StackRules, may_call};
pub use suggest::{Suggestion, suggest};
pub use visible::{Stretch, is_hidden, visible, words};

/// Where a definition carries signatures over its digest, in `_meta`.
pub const SIGNATURE_KEY: &str = "dev.bartizan/signature";
