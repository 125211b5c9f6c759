//! Is it safe?
//!
//! Two answers. *Limits* of size and structure are hard: what passes them comes back as a value that only
//! this crate makes, and that is what is sent on. *Findings* say what a definition, arguments or a result
//! look like: a [`Scanner`] reads a text once in all its forms ([`normalise`]), by rules that are data
//! ([`rules`]) and by a small model ([`model`]). What a finding leads to is configured elsewhere.
#![forbid(unsafe_code)]

mod anchors;
mod arguments;
mod definition;
mod finding;
mod found;
mod literals;
pub mod model;
mod normalise;
mod personal;
pub mod rules;
mod scan;
mod stream;
mod structure;

use std::borrow::Cow;

use mcp::Json;

pub use finding::{Class, Finding, Severity, Surface, worst};
pub use rules::{Rule, RuleFault};
pub use scan::{Scanner, ScannerFault};
pub use stream::Stream;

/// What arguments or a result may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Length of the whole text in bytes.
    pub bytes: usize,
    /// Nesting of arrays and objects; at most [`Limits::DEEPEST`] has an effect.
    pub depth: usize,
    /// Members of one object, or items of one array.
    pub members: usize,
    /// Length of one string as written (escapes not decoded), in bytes.
    pub string_bytes: usize,
}

impl Limits {
    /// No text nests deeper than this, whatever `depth` says.
    pub const DEEPEST: usize = 128;
    /// For arguments of calls.
    pub const ARGUMENTS: Limits =
        Limits { bytes: 4 << 20, depth: 64, members: 10_000, string_bytes: 4 << 20 };
    /// For results.
    pub const RESULT: Limits =
        Limits { bytes: 32 << 20, depth: 64, members: 100_000, string_bytes: 32 << 20 };
}

/// A limit that was passed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Exceeded {
    /// The rule: `limit.bytes`, `limit.depth`, `limit.members` or `limit.string`.
    pub rule: &'static str,
    /// One sentence, safe for the client.
    pub message: Cow<'static, str>,
}

/// Arguments that passed.
#[derive(Clone, Copy, Debug)]
pub struct Inspected<'a>(Json<'a>);
impl<'a> Inspected<'a> {
    /// What was inspected: this, and nothing else, is sent.
    pub fn json(self) -> Json<'a> {
        self.0
    }
}

/// A result that passed.
#[derive(Clone, Copy, Debug)]
pub struct InspectedResult<'a>(Json<'a>);
impl<'a> InspectedResult<'a> {
    /// What was inspected: this, and nothing else, is replied.
    pub fn json(self) -> Json<'a> {
        self.0
    }
}

/// Inspects the arguments of a call.
pub fn inspect_arguments<'a>(
    arguments: Json<'a>,
    limits: &Limits,
) -> Result<Inspected<'a>, Exceeded> {
    structure::check(arguments.text(), limits)?;
    Ok(Inspected(arguments))
}

/// Inspects a result before it is released.
pub fn inspect_result<'a>(
    result: Json<'a>,
    limits: &Limits,
) -> Result<InspectedResult<'a>, Exceeded> {
    structure::check(result.text(), limits)?;
    Ok(InspectedResult(result))
}

/// A text as rules and model see it first: escapes resolved, invisible characters dropped, case and
/// compatibility forms folded. For those who train the model.
pub fn folded(text: &str) -> String {
    normalise::fold(text).0.text.into_owned()
}
