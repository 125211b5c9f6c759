//! Rules: data that says what to look for.
//!
//! A rule names literal *anchors*, and patterns that are tried only near one. So a text is looked through
//! once for all anchors however many rules there are, and a text without any costs no more than that.

mod check;
mod load;
mod pattern;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use load::{RuleFault, RuleReason, read};
pub(crate) use pattern::Pattern;

use crate::{Class, Severity, Surface};

/// A rule as it is used.
#[derive(Clone, Debug)]
pub struct Rule {
    /// `class.name`.
    pub id: Arc<str>,
    /// One sentence.
    pub catches: Arc<str>,
    /// Where it looks.
    pub applies: Vec<Surface>,
    /// What harm it points at.
    pub class: Class,
    /// How sure and how bad.
    pub severity: Severity,
    /// Texts that it must find.
    pub matches: Vec<String>,
    /// Texts that it must pass.
    pub clean: Vec<String>,
    /// Where to read more.
    pub references: Vec<String>,
    pub(crate) anchors: Vec<String>,
    pub(crate) patterns: Vec<Pattern>,
    pub(crate) check: Option<Check>,
    /// What makes a match harmless where it ends right before it.
    pub(crate) unless: Option<Pattern>,
    /// What makes a match harmless where it is inside of it.
    pub(crate) without: Option<Pattern>,
    /// Bytes before and behind an anchor that patterns see.
    pub(crate) reach: (usize, usize),
}

/// What a match has to pass beside its pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// The checksum at the end of a token of GitHub's or npm's newer form.
    Crc32,
    /// Looks random.
    Entropy,
    /// Three parts of base64, of which the first is a JOSE header.
    Jwt,
}

impl Check {
    pub(crate) fn passes(self, matched: &[u8]) -> bool {
        match self {
            Check::Crc32 => check::crc32(matched),
            Check::Entropy => check::looks_random(matched),
            Check::Jwt => check::jwt(matched),
        }
    }
}

/// The rules that come with Bartizan: name and text of each file.
pub const BUNDLED: [(&str, &str); 6] = [
    ("capability.toml", include_str!("../data/capability.toml")),
    ("definition.toml", include_str!("../data/definition.toml")),
    ("exfiltration.toml", include_str!("../data/exfiltration.toml")),
    ("injection.toml", include_str!("../data/injection.toml")),
    ("languages.toml", include_str!("../data/languages.toml")),
    ("secrets.toml", include_str!("../data/secrets.toml")),
];

/// Reads the rules that come with Bartizan.
pub fn bundled() -> Result<Vec<Rule>, RuleFault> {
    let mut rules = Vec::new();
    for (name, text) in BUNDLED {
        rules.extend(load::read_tested(name, text)?);
    }
    Ok(rules)
}

/// Examples that a rule judges otherwise than it says, each as a sentence.
pub fn failed_examples(rules: &[Rule]) -> Result<Vec<String>, RuleFault> {
    let mut failed = Vec::new();
    for rule in rules {
        // Alone, so that no other rule answers for it.
        let scanner = crate::Scanner::of(vec![rule.clone()], None)?;
        let finds = |text: &str| {
            rule.applies.iter().all(|surface| {
                scanner.scan_text(*surface, text).iter().any(|finding| finding.rule == rule.id)
            })
        };
        for text in &rule.matches {
            if !finds(text) {
                failed.push(format!("{} does not find {text:?}", rule.id));
            }
        }
        for text in &rule.clean {
            if finds(text) {
                failed.push(format!("{} finds {text:?}", rule.id));
            }
        }
    }
    Ok(failed)
}
