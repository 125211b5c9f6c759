//! What records are asked for by.

use jiff::{SignedDuration, Timestamp};

use crate::{Entry, Kind, Outcome};

/// Times are nearly in order: clocks are set back, and records wait for their number.
pub(crate) const SLACK: SignedDuration = SignedDuration::from_mins(1);

/// What is looked for; what is not set, everything has.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// A part of the principal or of the client's name, in any case of letters.
    pub who: Option<String>,
    /// `server__tool` or the name alone, with `*` and `?`.
    pub tool: Option<String>,
    /// The server's name.
    pub server: Option<String>,
    /// A call's id.
    pub id: Option<String>,
    /// Only what is of this kind.
    pub kind: Option<Kind>,
    /// Only what ended so.
    pub outcome: Option<Outcome>,
    /// Only what was refused.
    pub refused: bool,
    /// Only what was refused or ended in an error.
    pub failed: bool,
    /// Without the journal's own notes.
    pub events: bool,
    /// From this time on.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
}

impl Filter {
    /// Whether a record is looked for.
    pub fn matches(&self, entry: &Entry) -> bool {
        let who = self.who.as_deref().is_none_or(|who| {
            ["principal", "client"].iter().any(|member| has(entry.text(member), who))
        });
        let tool = self
            .tool
            .as_deref()
            .is_none_or(|glob| is_tool(glob, entry.text("server"), entry.text("name")));
        let after = |time: Timestamp| entry.time >= written(time);
        who && tool
            && self.server.as_deref().is_none_or(|server| entry.text("server") == server)
            && self.id.as_deref().is_none_or(|id| entry.text("id") == id)
            && self.kind.is_none_or(|kind| entry.kind == kind)
            && self.outcome.is_none_or(|outcome| entry.outcome == Some(outcome))
            && (!self.refused || is_refused(entry.kind, entry.outcome))
            && (!self.failed || is_failed(entry.kind, entry.outcome))
            && !(self.events && entry.kind == Kind::Checkpoint)
            && self.since.is_none_or(after)
            && !self.until.is_some_and(after)
    }

    /// Whether [`Filter::matches`] needs more than what is indexed.
    pub(crate) fn needs_reading(&self) -> bool {
        self.tool.is_some() || self.id.is_some()
    }
}

/// Whether a record of this kind and outcome says that Bartizan refused something.
pub(crate) fn is_refused(kind: Kind, outcome: Option<Outcome>) -> bool {
    matches!(kind, Kind::Auth | Kind::Refusal) || outcome == Some(Outcome::Refused)
}

/// The same, or that something went wrong.
pub(crate) fn is_failed(kind: Kind, outcome: Option<Outcome>) -> bool {
    is_refused(kind, outcome)
        || matches!(outcome, Some(Outcome::Error | Outcome::ToolError | Outcome::Unknown))
}

/// Whether a name has this part, in any case of letters.
pub(crate) fn has(name: &str, part: &str) -> bool {
    name.to_lowercase().contains(&part.to_lowercase())
}

/// Whether a tool is meant, by its name alone or with its server's.
pub(crate) fn is_tool(glob: &str, server: &str, name: &str) -> bool {
    !name.is_empty() && (matches(glob, name) || matches(glob, &format!("{server}__{name}")))
}

/// As the journal writes it.
pub(crate) fn written(time: Timestamp) -> String {
    format!("{time:.6}")
}

/// `*` stands for any text, `?` for one character.
fn matches(glob: &str, text: &str) -> bool {
    let (glob, text): (Vec<char>, Vec<char>) = (glob.chars().collect(), text.chars().collect());
    let (mut at, mut pattern) = (0, 0);
    // Where the last star was, and what it has swallowed.
    let mut star = None;
    while at < text.len() {
        match glob.get(pattern) {
            Some('*') => {
                star = Some((pattern, at));
                pattern += 1;
            }
            Some(one) if *one == '?' || *one == text[at] => {
                at += 1;
                pattern += 1;
            }
            _ => {
                let Some((back, swallowed)) = star else { return false };
                star = Some((back, swallowed + 1));
                pattern = back + 1;
                at = swallowed + 1;
            }
        }
    }
    glob[pattern..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (glob, text) in [
            ("github__*", "github__get_issue"),
            ("*", ""),
            ("*issue", "get_issue"),
            ("g?t_*s*e", "get_issue"),
            ("*a*a*", "banana"),
            ("é?", "éü"),
        ] {
            assert!(matches(glob, text), "{glob} {text}");
        }
        for (glob, text) in [("github__*", "gitlab__x"), ("", "a"), ("?", ""), ("a*b", "abc")] {
            assert!(!matches(glob, text), "{glob} {text}");
        }
    }
}
