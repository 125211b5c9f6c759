//! Records by what people ask for.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use memchr::memmem;
use serde_json::Value;

use crate::lines::Lines;
use crate::{AuditFault, Entry, Kind, Outcome, files};

/// Times are nearly in order: clocks are set back, and records wait for their number.
const SLACK: SignedDuration = SignedDuration::from_mins(1);

/// What is looked for; what is not set, everything has.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// A part of the principal or of the client's name, in any case of letters.
    pub who: Option<String>,
    /// `server__tool` or the name alone, with `*` and `?`.
    pub tool: Option<String>,
    /// The server's name.
    pub server: Option<String>,
    /// Only what was refused.
    pub refused: bool,
    /// From this time on.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
}

impl Filter {
    /// Whether a record is looked for.
    pub fn matches(&self, entry: &Entry) -> bool {
        let text =
            |member: &str| entry.rest.get(member).and_then(Value::as_str).unwrap_or_default();
        let who = self.who.as_deref().is_none_or(|who| {
            let who = who.to_lowercase();
            ["principal", "client"].iter().any(|member| text(member).to_lowercase().contains(&who))
        });
        let tool = self.tool.as_deref().is_none_or(|glob| {
            let name = text("name");
            !name.is_empty()
                && (matches(glob, name) || matches(glob, &format!("{}__{name}", text("server"))))
        });
        let refused = matches!(entry.kind, Kind::Auth | Kind::Refusal)
            || entry.outcome == Some(Outcome::Refused);
        let after = |time: Timestamp| entry.time >= written(time);
        who && tool
            && self.server.as_deref().is_none_or(|server| text("server") == server)
            && (refused || !self.refused)
            && self.since.is_none_or(after)
            && !self.until.is_some_and(after)
    }

    /// What a line has in it when it is of this server, if the name is written as it is.
    fn server_text(&self) -> Option<String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let server = self.server.as_deref().filter(|server| server.bytes().all(plain))?;
        Some(format!(",\"server\":\"{server}\""))
    }
}

/// As the journal writes it.
fn written(time: Timestamp) -> String {
    format!("{time:.6}")
}

/// The time that a line says.
fn time(line: &[u8]) -> Option<&[u8]> {
    let at = memmem::find(line.get(..line.len().min(64))?, b",\"time\":\"")? + 9;
    line.get(at..at + 27)
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

/// Iterator over the records that a filter matches, oldest first. It ends when the time is
/// over, or with the first line that is no record.
pub struct Search {
    lines: Lines,
    filter: Filter,
    /// The filter's, as the journal writes them.
    since: Option<String>,
    server: Option<String>,
    /// Behind this time nothing is looked for.
    end: Option<String>,
    over: bool,
}

/// Looks for records of the journal in `dir`; files that are too old are not opened whole.
pub fn search(dir: &Path, filter: Filter) -> Result<Search, AuditFault> {
    let mut first = 0;
    if let Some(since) = filter.since.and_then(|since| since.checked_sub(SLACK).ok()) {
        let since = written(since);
        for (seq, path) in files::list(dir)? {
            if begins(dir, seq, &path)?.is_some_and(|begins| begins >= since) {
                break;
            }
            first = seq;
        }
    }
    let end = filter.until.and_then(|until| until.checked_add(SLACK).ok()).map(written);
    let (since, server) = (filter.since.map(written), filter.server_text());
    Ok(Search { lines: Lines::from(dir, first)?, filter, since, server, end, over: false })
}

/// The time of a file's first record.
fn begins(dir: &Path, seq: u64, path: &PathBuf) -> Result<Option<String>, AuditFault> {
    let mut lines = Lines::from(dir, seq)?;
    let line = lines.next()?.and_then(time).map(|time| String::from_utf8_lossy(time).into_owned());
    Ok(line.filter(|_| lines.place().file == *path))
}

impl Iterator for Search {
    type Item = Result<Entry, AuditFault>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.over {
            let line = match self.lines.next() {
                Ok(line) => line?,
                Err(fault) => {
                    self.over = true;
                    return Some(Err(fault));
                }
            };
            let time = time(line).unwrap_or_default();
            if self.end.as_ref().is_some_and(|end| time >= end.as_bytes()) {
                self.over = true;
                break;
            }
            let early = self.since.as_ref().is_some_and(|since| time < since.as_bytes());
            let server = self.server.as_deref().map(str::as_bytes);
            if early || server.is_some_and(|server| memmem::find(line, server).is_none()) {
                continue;
            }
            match serde_json::from_slice::<Entry>(line) {
                Ok(entry) if self.filter.matches(&entry) => return Some(Ok(entry)),
                Ok(_) => {}
                Err(_) => {
                    self.over = true;
                    let place = self.lines.place();
                    return Some(Err(AuditFault::Corrupt { path: place.file, line: place.line }));
                }
            }
        }
        None
    }
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
