//! Reading rules from TOML.

use std::{collections::HashSet, ops::Range, sync::Arc};

use serde::Deserialize;
use toml::Spanned;

use super::{Check, Pattern, Rule};
use crate::{Class, Severity, Surface, literals::PIECE};

const LARGEST_FILE: usize = 1 << 20;
const MOST_RULES: usize = 1000;
const MOST_ANCHORS: usize = 200;
const MOST_PATTERNS: usize = 32;
/// A shorter anchor would be found everywhere.
const SHORTEST_ANCHOR: usize = PIECE;
const FARTHEST_REACH: usize = 4000;

/// Why rules could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {reason}")]
pub struct RuleFault {
    /// The file's name as given.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// What is wrong there, and what to do.
    pub reason: RuleReason,
}

/// What is wrong with rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleReason {
    /// An anchor that is too short, or not needed.
    #[error(
        "the anchor {0:?} is shorter than {SHORTEST_ANCHOR} bytes: it would be found everywhere; take a longer piece of what the patterns match"
    )]
    Anchor(String),
    /// The same id twice.
    #[error("the rule id {0:?} is taken; ids are unique")]
    Duplicate(String),
    /// A rule that could never match.
    #[error(
        "rule {0:?} has no anchors: name at least one literal that each match contains or is near to"
    )]
    NoAnchor(String),
    /// A pattern that is not a regular expression, or a too large one.
    #[error("not a usable pattern: {0}")]
    Pattern(String),
    /// Not TOML, or not a rule.
    #[error("{0}")]
    Syntax(String),
    /// A bound was passed.
    #[error("too many or too large {0}")]
    TooMany(&'static str),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    rule: Vec<Spanned<Raw>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    id: String,
    catches: String,
    applies: Vec<Surface>,
    class: Class,
    severity: Severity,
    anchors: Vec<Spanned<String>>,
    #[serde(default)]
    patterns: Vec<Spanned<String>>,
    #[serde(default)]
    check: Option<Check>,
    #[serde(default)]
    unless: Option<Spanned<String>>,
    #[serde(default)]
    without: Option<Spanned<String>>,
    #[serde(default)]
    reach: Option<[usize; 2]>,
    #[serde(default, rename = "match")]
    matches: Vec<String>,
    #[serde(default)]
    clean: Vec<String>,
    #[serde(default)]
    references: Vec<String>,
}

/// How a pattern is taken in.
type Take = fn(&str) -> Result<Pattern, RuleReason>;

/// Reads rules from a TOML text; `file` is its name in messages.
pub fn read(file: &str, text: &str) -> Result<Vec<Rule>, RuleFault> {
    read_with(file, text, Pattern::new)
}

/// Reads rules whose patterns a test has compiled.
pub fn read_tested(file: &str, text: &str) -> Result<Vec<Rule>, RuleFault> {
    read_with(file, text, |text| Ok(Pattern::tested(text)))
}

fn read_with(file: &str, text: &str, take: Take) -> Result<Vec<Rule>, RuleFault> {
    let fault = |at: Range<usize>, reason| RuleFault {
        file: file.to_owned(),
        line: text.get(..at.start).map_or(1, |before| before.matches('\n').count() + 1),
        reason,
    };
    if text.len() > LARGEST_FILE {
        return Err(fault(0..0, RuleReason::TooMany("bytes")));
    }
    let parsed: File = toml::from_str(text).map_err(|error| {
        fault(error.span().unwrap_or(0..0), RuleReason::Syntax(error.message().to_owned()))
    })?;
    if parsed.rule.len() > MOST_RULES {
        return Err(fault(0..0, RuleReason::TooMany("rules")));
    }
    let mut ids = HashSet::new();
    let mut rules = Vec::with_capacity(parsed.rule.len());
    for raw in parsed.rule {
        let span = raw.span();
        let raw = raw.into_inner();
        if !ids.insert(raw.id.clone()) {
            return Err(fault(span, RuleReason::Duplicate(raw.id)));
        }
        rules.push(rule(raw, take).map_err(|(at, reason)| fault(at.unwrap_or(span), reason))?);
    }
    Ok(rules)
}

fn rule(raw: Raw, take: Take) -> Result<Rule, (Option<Range<usize>>, RuleReason)> {
    if raw.anchors.is_empty() {
        return Err((None, RuleReason::NoAnchor(raw.id)));
    }
    if raw.anchors.len() > MOST_ANCHORS || raw.patterns.len() > MOST_PATTERNS {
        return Err((None, RuleReason::TooMany("anchors or patterns")));
    }
    if let Some(short) = raw.anchors.iter().find(|anchor| anchor.as_ref().len() < SHORTEST_ANCHOR) {
        return Err((Some(short.span()), RuleReason::Anchor(short.as_ref().clone())));
    }
    let mut patterns = Vec::with_capacity(raw.patterns.len());
    for pattern in &raw.patterns {
        patterns.push(take(pattern.as_ref()).map_err(|reason| (Some(pattern.span()), reason))?);
    }
    let optional = |pattern: &Option<Spanned<String>>, end: &str| match pattern {
        Some(pattern) => take(&format!("(?:{}){end}", pattern.as_ref()))
            .map(Some)
            .map_err(|reason| (Some(pattern.span()), reason)),
        None => Ok(None),
    };
    let unless = optional(&raw.unless, "$")?;
    let without = optional(&raw.without, "")?;
    let [before, behind] = raw.reach.unwrap_or([200, 300]);
    if before.max(behind) > FARTHEST_REACH {
        return Err((None, RuleReason::TooMany("bytes of reach")));
    }
    Ok(Rule {
        id: Arc::from(raw.id),
        catches: Arc::from(raw.catches),
        applies: raw.applies,
        class: raw.class,
        severity: raw.severity,
        matches: raw.matches,
        clean: raw.clean,
        references: raw.references,
        anchors: raw.anchors.into_iter().map(|anchor| anchor.into_inner().to_lowercase()).collect(),
        patterns,
        check: raw.check,
        unless,
        without,
        reach: (before, behind),
    })
}
