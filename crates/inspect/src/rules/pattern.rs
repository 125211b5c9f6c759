//! Regular expressions, compiled when they are first tried: most never are.

use std::sync::OnceLock;

use regex::bytes::{Regex, RegexBuilder};

use super::RuleReason;

/// Bytes that one compiled pattern may take.
const LARGEST: usize = 1 << 20;

/// A regular expression of a rule.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    text: Box<str>,
    compiled: OnceLock<Regex>,
}

impl Pattern {
    /// A pattern of anybody.
    pub fn new(text: &str) -> Result<Pattern, RuleReason> {
        let compiled = compile(text).map_err(|error| RuleReason::Pattern(error.to_string()))?;
        Ok(Pattern { text: text.into(), compiled: compiled.into() })
    }

    /// A bundled one, which a test has compiled.
    pub fn tested(text: &str) -> Pattern {
        Pattern { text: text.into(), compiled: OnceLock::new() }
    }

    /// Compiled.
    #[expect(clippy::expect_used, reason = "a test compiles each pattern that `tested` takes")]
    pub fn regex(&self) -> &Regex {
        self.compiled.get_or_init(|| compile(&self.text).expect("each bundled pattern compiles"))
    }
}

fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    // Texts are folded before they are matched, so bytes are enough: classes of Unicode would make
    // each pattern larger and slower.
    RegexBuilder::new(pattern)
        .unicode(false)
        .case_insensitive(!pattern.starts_with("(?-i)"))
        .size_limit(LARGEST)
        .dfa_size_limit(LARGEST)
        .build()
}

#[cfg(test)]
mod tests {
    use crate::rules::{BUNDLED, read};

    #[test]
    fn each_bundled_pattern_compiles() {
        for (name, text) in BUNDLED {
            assert!(!read(name, text).unwrap_or_else(|fault| panic!("{fault}")).is_empty());
        }
    }
}
