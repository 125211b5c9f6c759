//! Keys that stand in plain sight: known by their form, by the name beside them, or by their randomness.

use std::ops::Range;

use inspect::{Class, RuleFault, Scanner, Severity, Surface, rules};

use super::{
    find::{Found, by_address, by_name, by_pairs, by_randomness, is_word, keep, narrowed},
    server::{Piece, Reach, Server},
};

/// What finds them.
pub struct Keys {
    scanner: Scanner,
}

/// A key in an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub slot: Slot,
    /// Where in the slot's text.
    pub within: Range<usize>,
    /// What it is: "a GitHub token".
    pub what: String,
}

/// A part of an entry that can hold a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    Arg(usize),
    Env(usize),
    Header(usize),
    Url,
}

impl Slot {
    /// Its text.
    pub fn piece(self, server: &Server) -> Option<&Piece> {
        match (&server.reach, self) {
            (Reach::Command { args, .. }, Slot::Arg(at)) => args.get(at),
            (Reach::Command { env, .. }, Slot::Env(at)) => env.get(at).map(|(_, piece)| piece),
            (Reach::Url { headers, .. }, Slot::Header(at)) => {
                headers.get(at).map(|(_, piece)| piece)
            }
            (Reach::Url { url, .. }, Slot::Url) => Some(url),
            _ => None,
        }
    }

    /// How it is called in a table.
    pub fn name(self, server: &Server) -> String {
        match (&server.reach, self) {
            (Reach::Command { env, .. }, Slot::Env(at)) => {
                format!("env {}", env.get(at).map_or("", |(name, _)| name))
            }
            (Reach::Url { headers, .. }, Slot::Header(at)) => {
                format!("header {}", headers.get(at).map_or("", |(name, _)| name))
            }
            (_, Slot::Arg(at)) => format!("argument {}", at + 1),
            _ => "url".to_owned(),
        }
    }
}

impl Key {
    /// The key itself.
    pub fn value<'s>(&self, server: &'s Server) -> &'s str {
        let piece = self.slot.piece(server);
        piece.and_then(|piece| piece.text.get(self.within.clone())).unwrap_or_default()
    }
}

impl Keys {
    /// By the forms that the detectors know.
    pub fn new() -> Result<Keys, RuleFault> {
        let secrets = rules::bundled()?.into_iter().filter(|rule| rule.class == Class::Secret);
        Ok(Keys { scanner: Scanner::of(secrets.collect(), None)? })
    }

    /// The keys in an entry.
    pub fn of(&self, server: &Server) -> Vec<Key> {
        let mut keys = Vec::new();
        let mut add = |slot, found: Found| {
            keys.extend(found.into_iter().map(|(within, what)| Key { slot, within, what }));
        };
        match &server.reach {
            Reach::Command { args, env, .. } => {
                for (at, (name, piece)) in env.iter().enumerate() {
                    add(Slot::Env(at), self.in_value(Some(name), &piece.text));
                }
                for at in 0..args.len() {
                    add(Slot::Arg(at), self.in_argument(args, at));
                }
            }
            Reach::Url { url, headers } => {
                add(Slot::Url, self.in_value(None, &url.text));
                for (at, (name, piece)) in headers.iter().enumerate() {
                    add(Slot::Header(at), self.in_value(Some(name), &piece.text));
                }
            }
        }
        keys
    }

    /// Keys of known forms anywhere in a text, such as in its comments.
    pub fn in_text(&self, text: &str) -> Vec<(Range<usize>, String)> {
        let mut found = Found::new();
        self.by_form(text, Severity::Medium, &mut found);
        found
    }

    fn in_argument(&self, args: &[Piece], at: usize) -> Found {
        let text = args[at].text.as_str();
        let before = at.checked_sub(1).and_then(|at| args.get(at)).map(|piece| piece.text.as_str());
        let (name, offset) = match before {
            Some("-H" | "--header") => match text.split_once(':') {
                Some((name, value)) => (Some(name), text.len() - value.trim_start().len()),
                None => (None, 0),
            },
            Some(flag)
                if flag.starts_with('-') && !flag.contains('=') && !text.starts_with('-') =>
            {
                (Some(flag.trim_start_matches('-')), 0)
            }
            _ => (None, 0),
        };
        let (name, offset) = match text.split_once('=') {
            Some((left, right)) if offset == 0 && is_word(left.trim_start_matches('-')) => {
                (Some(left.trim_start_matches('-')), text.len() - right.len())
            }
            _ => (name, offset),
        };
        let mut found = self.in_value(name, &text[offset..]);
        for (range, _) in &mut found {
            *range = range.start + offset..range.end + offset;
        }
        found
    }

    fn in_value(&self, name: Option<&str>, text: &str) -> Found {
        let mut found = Found::new();
        self.by_form(text, Severity::Low, &mut found);
        by_address(text, &mut found);
        by_pairs(text, &mut found);
        if let Some(name) = name {
            by_name(name, text, &mut found);
        }
        by_randomness(text, &mut found);
        found.sort_by_key(|(range, _)| range.start);
        found
    }

    fn by_form(&self, text: &str, least: Severity, found: &mut Found) {
        for finding in self.scanner.scan(Surface::Result, text) {
            if finding.class != Class::Secret || finding.severity < least {
                continue;
            }
            let range = narrowed(&finding.rule, text, finding.at);
            let what = finding.message.trim_end_matches('.');
            let mut letters = what.chars();
            let what = letters.next().map(|first| first.to_lowercase().chain(letters).collect());
            keep(text, range, what.unwrap_or_default(), found);
        }
    }
}

/// A key as it may be shown: how it begins, if that is not much of it.
pub fn mask(key: &str) -> String {
    let length = key.chars().count();
    let head: String = key.chars().take(if length >= 16 { 4 } else { 0 }).collect();
    format!("{head}…({length} characters)")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: Option<&str>, text: &str) -> Vec<String> {
        let keys = Keys::new().unwrap();
        keys.in_value(name, text).into_iter().map(|(range, _)| text[range].to_owned()).collect()
    }

    #[test]
    fn keys_are_found_by_form_name_and_randomness() {
        let github = format!("ghp_{}", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8");
        let random = "k2J8sR4mX9qWv7LtZ1nBc5Yd";
        for (name, text, key) in [
            (None, github.clone(), github.as_str()),
            (Some("Authorization"), format!("Bearer {github}"), github.as_str()),
            (Some("DB_PASSWORD"), "hunter2".to_owned(), "hunter2"),
            (Some("SERVICE_ROLE_KEY"), "abcd1234efgh5678".to_owned(), "abcd1234efgh5678"),
            (Some("DATABASE_URL"), "postgres://app:s3cr3t@db/x".to_owned(), "s3cr3t"),
            (None, format!("https://mcp.example/mcp?api_key={random}&x=1"), random),
            (None, format!("https://actions.example/mcp/{random}/sse"), random),
            (None, "Server=db;User=sa;Pwd=Passw0rd!;".to_owned(), "Passw0rd!"),
            (Some("HEADERS"), format!("{{\"Authorization\": \"Bearer {random}{random}\"}}"), ""),
        ] {
            let values = found(name, &text);
            assert_eq!(values.len(), 1, "{text}: {values:?}");
            assert!(key.is_empty() || values[0] == key, "{text}: {values:?}");
        }
    }

    #[test]
    fn what_is_no_key_is_not_found() {
        for (name, text) in [
            (Some("GITHUB_TOKEN"), "${env:GITHUB_TOKEN}"),
            (Some("GITHUB_TOKEN"), "${GITHUB_TOKEN}"),
            (Some("GITHUB_TOKEN"), "$GITHUB_TOKEN"),
            (Some("GITHUB_TOKEN"), "<YOUR_TOKEN>"),
            (Some("GITHUB_TOKEN"), "your_token_here"),
            (Some("Authorization"), "Bearer ${input:token}"),
            (Some("Authorization"), "Bearer ${{ secrets.TOKEN }}"),
            (Some("GOOGLE_APPLICATION_CREDENTIALS"), "/home/me/key.json"),
            (Some("TOKEN_URL"), "https://login.example.com/token"),
            (Some("MAX_TOKENS"), "4096"),
            (Some("USE_TOKEN"), "true"),
            (Some("SORT_KEY"), "name"),
            (None, "@modelcontextprotocol/server-sequential-thinking"),
            (None, "Qwen2.5-Coder-32B-Instruct-AWQ"),
            (
                None,
                "ghcr.io/x/y@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            ),
            (None, "550e8400-e29b-41d4-a716-446655440000"),
            (None, "/Users/Me/Projects2024/MyBackendServiceV2/src"),
            (None, "https://user@example.com/mcp?page=2"),
        ] {
            assert_eq!(found(name, text), Vec::<String>::new(), "{name:?} {text}");
        }
    }

    #[test]
    fn a_mask_shows_no_more_than_the_beginning() {
        assert_eq!(mask("hunter2"), "…(7 characters)");
        assert_eq!(mask("ghp_0123456789abcdef"), "ghp_…(20 characters)");
    }
}
