//! Keys that stand in plain sight: known by their form, by the name beside them, or by their randomness.

use std::ops::Range;

use inspect::{Class, RuleFault, Scanner, Severity, Surface, rules};

use super::server::{Piece, Reach, Server};
use crate::config::secrets::secret_name;

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

type Found = Vec<(Range<usize>, String)>;

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

/// Some rules look at a name and a value together: the value is the key.
fn narrowed(rule: &str, text: &str, at: Range<usize>) -> Range<usize> {
    let Some(whole) = text.get(at.clone()) else { return at };
    match rule {
        "secret.url-credentials" => match userinfo(whole) {
            Some(password) => at.start + password.start..at.start + password.end,
            None => at,
        },
        "secret.assigned" | "secret.authorization" | "secret.aws-secret-key" => {
            let end = whole.trim_end_matches([' ', '"', '\'', '\\', ',', ';', '}', '\n']).len();
            let value = whole[..end].rfind([' ', ':', '"', '\'', '\n']).map_or(0, |at| at + 1);
            // A key may end with `=`, and none begins with it.
            let name = whole[value..end].trim_end_matches('=').rfind('=').map_or(0, |at| at + 1);
            at.start + value + name..at.start + end
        }
        _ => at,
    }
}

/// Adds a range, unless a known one says as much. A name says how far its value goes.
fn keep(text: &str, range: Range<usize>, what: String, found: &mut Found) {
    let Some(value) = text.get(range.clone()) else { return };
    if value.is_empty() || is_placeholder(value) {
        return;
    }
    let meets = |known: &Range<usize>| known.start < range.end && range.start < known.end;
    match found.iter().position(|(known, _)| meets(known)) {
        None => found.push((range, what)),
        Some(at) if found[at].0.len() < range.len() => {
            let known = found[at].1.clone();
            found.retain(|(known, _)| !meets(known));
            found.push((range, known));
        }
        Some(_) => {}
    }
}

/// The password of an address, and values in its query that are named as keys.
fn by_address(text: &str, found: &mut Found) {
    if let Some(password) = userinfo(text) {
        keep(text, password, "a password inside of an address".to_owned(), found);
    }
    let Some(query) = text.find("://").and_then(|scheme| Some(scheme + text[scheme..].find('?')?))
    else {
        return;
    };
    let mut at = query + 1;
    for pair in text[at..].split(['&', '#']) {
        if let Some((name, value)) = pair.split_once('=')
            && (secret_name(name) || is_query_key(name))
            && value.len() >= 8
        {
            let start = at + name.len() + 1;
            let what = format!("the query parameter {name}");
            keep(text, start..start + value.len(), what, found);
        }
        at += pair.len() + 1;
    }
}

fn is_query_key(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    matches!(&*name, "key" | "auth" | "sig" | "signature" | "code" | "apikey" | "accesstoken")
}

/// Where the password of `scheme://user:password@host` is.
fn userinfo(text: &str) -> Option<Range<usize>> {
    let start = text.find("://")? + 3;
    let end =
        text[start..].find(['/', '?', '#', ' ', '"', '\'']).map_or(text.len(), |at| start + at);
    let at = start + text[start..end].rfind('@')?;
    let colon = start + text[start..at].find(':')?;
    (colon + 1 < at).then_some(colon + 1..at)
}

/// `Server=…;Password=…`, as databases and queues have it.
fn by_pairs(text: &str, found: &mut Found) {
    if !text.contains(';') {
        return;
    }
    let mut at = 0;
    for pair in text.split(';') {
        if let Some((name, value)) = pair.split_once('=') {
            let plain = name.trim().to_ascii_lowercase();
            let known = matches!(&*plain, "accountkey" | "pwd" | "sharedaccesskey");
            if (known || secret_name(name.trim())) && value.len() >= 4 {
                let start = at + name.len() + 1;
                keep(
                    text,
                    start..start + value.len(),
                    format!("the value of {}", name.trim()),
                    found,
                );
            }
        }
        at += pair.len() + 1;
    }
}

/// The whole value of what is named as a secret.
fn by_name(name: &str, text: &str, found: &mut Found) {
    let scheme = ["bearer ", "basic ", "token ", "apikey "]
        .into_iter()
        .find(|scheme| {
            text.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme))
        })
        .map_or(0, str::len);
    let value = &text[scheme..];
    let start = scheme + value.len() - value.trim_start().len();
    let value = value.trim();
    let lower = name.to_ascii_lowercase();
    let named = secret_name(name)
        || matches!(&*lower, "authorization" | "proxy-authorization" | "cookie" | "x-auth");
    // Many names end with KEY, and not every key is secret.
    let keyed = lower.ends_with("key") && value.len() >= 16 && is_mixed(value);
    let plain = value.len() < 4
        || matches!(&*value.to_ascii_lowercase(), "true" | "false" | "none" | "null")
        || (value.len() < 6 && value.bytes().all(|byte| byte.is_ascii_digit()))
        || is_path(value)
        || value.contains("://");
    if (named || keyed) && !plain {
        keep(text, start..start + value.len(), format!("the value of {name}"), found);
    }
}

/// Letters of both cases and digits, changing all the time: nobody writes that by hand.
fn by_randomness(text: &str, found: &mut Found) {
    const LEAST: usize = 20;
    let class = |byte: u8| match byte {
        b'a'..=b'z' => 1,
        b'A'..=b'Z' => 2,
        b'0'..=b'9' => 3,
        _ => 0,
    };
    let mut start = 0;
    for word in text.split(|c: char| !c.is_ascii_alphanumeric()) {
        let bytes = word.as_bytes();
        let changes = bytes.windows(2).filter(|pair| class(pair[0]) != class(pair[1])).count();
        let all = (1..=3).all(|kind| bytes.iter().any(|byte| class(*byte) == kind));
        if word.len() >= LEAST && all && changes * 5 >= word.len() * 2 {
            // The same characters go on behind `-`, `_` and `.` where keys have them.
            let joined = |byte: &u8| class(*byte) != 0 || matches!(byte, b'-' | b'_');
            let tail = text.as_bytes()[start..].iter().take_while(|byte| joined(byte)).count();
            let head =
                text.as_bytes()[..start].iter().rev().take_while(|byte| joined(byte)).count();
            keep(text, start - head..start + tail, "a random value".to_owned(), found);
        }
        start += word.len() + text[start + word.len()..].chars().next().map_or(0, char::len_utf8);
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

fn is_mixed(text: &str) -> bool {
    let of = |test: fn(&u8) -> bool| text.as_bytes().iter().any(test);
    of(u8::is_ascii_digit) && of(u8::is_ascii_alphabetic) && !text.contains(' ')
}

fn is_path(text: &str) -> bool {
    let starts = ["/", "~/", "./", "../", "C:\\", "c:\\"];
    starts.iter().any(|start| text.starts_with(start)) && !text.contains(['=', '+'])
}

/// What stands where a key is to be put, or leads to one that is elsewhere.
fn is_placeholder(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let whole = text.strip_prefix('$').is_some_and(|name| is_word(name.trim_matches(['{', '}'])));
    let enclosed = text.starts_with('<') && text.ends_with('>');
    let words = [
        "${",
        "{{",
        "xxxx",
        "****",
        "...",
        "…",
        "your-",
        "your_",
        "your ",
        "<your",
        "placeholder",
        "replace",
        "changeme",
        "insert-",
        "insert_",
        "example",
        "redacted",
    ];
    whole || enclosed || words.iter().any(|word| lower.contains(word))
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
