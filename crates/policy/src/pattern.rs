//! Patterns over servers, tools, prompts and resources.

use std::fmt;
use std::str::FromStr;

use crate::glob::Glob;

/// What an action is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the protocol's own")]
pub enum Kind {
    /// A method that Bartizan does not know (an extension's); its name is the method's.
    Method,
    /// A deployment of a language model; what stands for a server is the entry in `[models]`.
    Model,
    Prompt,
    Resource,
    Tool,
}

impl Kind {
    /// The type of such a thing in Cedar.
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Kind::Method => "Method",
            Kind::Model => "Model",
            Kind::Prompt => "Prompt",
            Kind::Resource => "Resource",
            Kind::Tool => "Tool",
        }
    }
}

/// Why a text is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternFault {
    /// Nothing before or after the slash.
    #[error("`{0}`: a part of the pattern is empty; write * for anything")]
    Empty(String),
    /// No slash.
    #[error("`{0}`: a pattern is server/name, such as github/get_*, or * for everything")]
    NoSlash(String),
    /// A server's part with a letter that no server's name has.
    #[error("`{0}`: a server's name has small letters, digits and dashes")]
    Server(String),
    /// Longer than 512 bytes.
    #[error("a pattern is at most 512 bytes")]
    TooLong,
}

/// `server/name`, `*` in either part standing for any text, slashes included; `*` alone is
/// everything. A prefix `tool:`, `prompt:`, `resource:`, `model:` or `method:` narrows it to that kind. Letters
/// match exactly: `Get` is not `get`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    kind: Option<Kind>,
    server: Glob,
    name: Glob,
}

impl Pattern {
    /// The longest pattern.
    pub const LIMIT: usize = 512;

    /// Whether the pattern covers this.
    pub fn matches(&self, server: &str, kind: Kind, name: &str) -> bool {
        self.applies(server, kind) && self.name.matches(name)
    }

    /// Whether the pattern is about this server and kind at all.
    pub(crate) fn applies(&self, server: &str, kind: Kind) -> bool {
        self.kind.is_none_or(|own| own == kind) && self.server.matches(server)
    }

    /// Whether the pattern is about this server in any way.
    pub(crate) fn touches(&self, server: &str) -> bool {
        self.server.matches(server)
    }

    /// Whether it covers all that another one covers: the other's stars are taken for letters, which
    /// only a star takes.
    pub fn covers(&self, other: &Pattern) -> bool {
        let (server, name) = split(&other.text).unwrap_or(("*", "*"));
        (self.kind.is_none() || self.kind == other.kind)
            && self.server.matches(server)
            && self.name.matches(name)
    }

    /// The kind that it is narrowed to, the server's part and the name's part.
    pub(crate) fn parts(&self) -> (Option<Kind>, &Glob, &Glob) {
        (self.kind, &self.server, &self.name)
    }
}

/// A server's name holds no colon, so a prefix can't be one.
const KINDS: [(&str, Kind); 5] = [
    ("method:", Kind::Method),
    ("model:", Kind::Model),
    ("prompt:", Kind::Prompt),
    ("resource:", Kind::Resource),
    ("tool:", Kind::Tool),
];

fn narrowed(text: &str) -> (&str, Option<Kind>) {
    let found =
        KINDS.iter().find_map(|(prefix, kind)| Some((text.strip_prefix(prefix)?, Some(*kind))));
    found.unwrap_or((text, None))
}

fn split(text: &str) -> Option<(&str, &str)> {
    let (rest, _) = narrowed(text);
    if rest == "*" { Some(("*", "*")) } else { rest.split_once('/') }
}

impl FromStr for Pattern {
    type Err = PatternFault;

    fn from_str(text: &str) -> Result<Pattern, PatternFault> {
        if text.len() > Self::LIMIT {
            return Err(PatternFault::TooLong);
        }
        let (_, kind) = narrowed(text);
        let (server, name) = split(text).ok_or_else(|| PatternFault::NoSlash(text.into()))?;
        if server.is_empty() || name.is_empty() {
            return Err(PatternFault::Empty(text.into()));
        }
        if !server.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(PatternFault::Server(text.into()));
        }
        Ok(Pattern { text: text.into(), kind, server: Glob::new(server), name: Glob::new(name) })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap()
    }

    #[test]
    fn patterns_cover_what_they_say() {
        for (text, server, kind, name, expected) in [
            ("*", "github", Kind::Tool, "get_issue", true),
            ("*", "files", Kind::Resource, "file:///a/b", true),
            ("github/get_*", "github", Kind::Tool, "get_issue", true),
            ("github/get_*", "github", Kind::Prompt, "get_issue", true),
            ("github/get_*", "github2", Kind::Tool, "get_issue", false),
            ("github/get_*", "github", Kind::Tool, "Get_issue", false),
            ("github/get_*", "github", Kind::Tool, "forget_issue", false),
            ("git*/*", "github", Kind::Tool, "x", true),
            ("tool:github/*", "github", Kind::Prompt, "x", false),
            ("tool:*", "github", Kind::Tool, "x", true),
            ("model:azure/gpt-*", "azure", Kind::Model, "gpt-5", true),
            ("model:azure/gpt-*", "azure", Kind::Tool, "gpt-5", false),
            ("resource:files/file:///home/*", "files", Kind::Resource, "file:///home/a/b", true),
            ("resource:files/file:///home/*", "files", Kind::Resource, "file:///etc/passwd", false),
        ] {
            assert_eq!(
                pattern(text).matches(server, kind, name),
                expected,
                "{text} {server} {name}"
            );
        }
    }

    #[test]
    fn a_pattern_covers_what_is_narrower() {
        for (wide, narrow, expected) in [
            ("*", "github/get_*", true),
            ("github/*", "tool:github/get_*", true),
            ("github/get_*", "github/get_issue*", true),
            ("github/get_*", "github/*", false),
            ("tool:github/*", "github/x", false),
            ("git*/x", "github/x", true),
            ("github/a*c", "github/a*bc", true),
            ("github/a*bc", "github/a*c", false),
        ] {
            assert_eq!(pattern(wide).covers(&pattern(narrow)), expected, "{wide} {narrow}");
        }
    }

    #[test]
    fn texts_that_are_no_patterns() {
        assert_eq!("github".parse::<Pattern>(), Err(PatternFault::NoSlash("github".into())));
        assert_eq!("".parse::<Pattern>(), Err(PatternFault::NoSlash("".into())));
        assert_eq!("tool:".parse::<Pattern>(), Err(PatternFault::NoSlash("tool:".into())));
        assert_eq!("/x".parse::<Pattern>(), Err(PatternFault::Empty("/x".into())));
        assert_eq!("github/".parse::<Pattern>(), Err(PatternFault::Empty("github/".into())));
        assert_eq!(format!("a/{}", "b".repeat(511)).parse::<Pattern>(), Err(PatternFault::TooLong));
        assert_eq!("a\0b/x".parse::<Pattern>(), Err(PatternFault::Server("a\0b/x".into())));
        assert_eq!(pattern("tool:a/*").to_string(), "tool:a/*");
    }
}
