//! What a text leads to: addresses, paths, hidden characters, orders to the model. Not a judgement
//! whether that is bad (detectors do that), only what a reviewer should not overlook as new.

use std::collections::BTreeSet;

use mcp::{Json, Kind};
use unicode_normalization::UnicodeNormalization;

use crate::visible::is_hidden;

/// Something that a text leads to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Mention {
    Hidden(String),
    Host(String),
    Mail(String),
    Order(String),
    Path(String),
}

impl std::fmt::Display for Mention {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Mention::Hidden(text) => write!(f, "hidden character {text}"),
            Mention::Host(text) => write!(f, "address {text}"),
            Mention::Mail(text) => write!(f, "mail address {text}"),
            Mention::Order(text) => write!(f, "order “{text}”"),
            Mention::Path(text) => write!(f, "path {text}"),
        }
    }
}

/// Words that tell the model what to do rather than people what the tool does. A word that was there
/// before is no news.
const ORDERS: &[&str] = &[
    "always",
    "before",
    "bypass",
    "conceal",
    "disclose",
    "disregard",
    "do not",
    "don't",
    "exfiltrate",
    "first",
    "forget",
    "forward",
    "hide",
    "ignore",
    "important",
    "include",
    "instead",
    "instruction",
    "instructions",
    "mandatory",
    "must",
    "never",
    "override",
    "please",
    "previous",
    "prior",
    "priority",
    "reveal",
    "secret",
    "secretly",
    "send",
    "should",
    "silently",
    "system",
    "user",
    "warning",
    "you",
    "your",
];

/// Mentions of one text that are told apart.
const MENTIONS: usize = 200;

/// What is mentioned in `after` and not in `before`.
pub(super) fn new(before: Option<Json<'_>>, after: Option<Json<'_>>) -> Vec<Mention> {
    let old = before.map(all).unwrap_or_default();
    after.map(all).unwrap_or_default().difference(&old).take(MENTIONS).cloned().collect()
}

/// In all texts of a value, names of members included.
fn all(json: Json<'_>) -> BTreeSet<Mention> {
    let mut found = BTreeSet::new();
    gather(json, &mut found);
    found
}

fn gather(json: Json<'_>, found: &mut BTreeSet<Mention>) {
    match json.kind() {
        Kind::Array => json.items().for_each(|item| gather(item, found)),
        Kind::Object => {
            for (name, value) in json.members() {
                found.extend(mentions(&name));
                gather(value, found);
            }
        }
        Kind::String => found.extend(mentions(&json.string().unwrap_or_default())),
        Kind::Boolean | Kind::Null | Kind::Number => {}
    }
}

/// What a text mentions.
pub fn mentions(text: &str) -> BTreeSet<Mention> {
    let mut found = BTreeSet::new();
    for c in text.chars().filter(|c| is_hidden(*c)) {
        found.insert(Mention::Hidden(format!("U+{:04X}", u32::from(c))));
    }
    let plain: String =
        text.chars().filter(|c| !is_hidden(*c)).nfkc().flat_map(char::to_lowercase).collect();
    let inside = |c: char| c.is_alphanumeric() || "@:/\\.~_-%$'’".contains(c);
    let words: Vec<&str> = plain
        .split(|c: char| !inside(c))
        .map(|word| word.trim_matches(|c: char| ".:-'’_".contains(c) && c != '~'))
        .filter(|word| !word.is_empty())
        .collect();
    for word in &words {
        found.extend(address(word));
    }
    let bare: Vec<&str> = words
        .iter()
        .flat_map(|word| word.split(|c: char| !(c.is_alphanumeric() || c == '\'')))
        .collect();
    for (at, word) in bare.iter().enumerate() {
        let two = bare.get(at + 1).map(|next| format!("{word} {next}"));
        for order in [Some((*word).to_owned()), two].into_iter().flatten() {
            if ORDERS.contains(&order.as_str()) {
                found.insert(Mention::Order(order));
            }
        }
    }
    found
}

fn address(word: &str) -> Option<Mention> {
    if word.contains("://") {
        return Some(Mention::Host(word.to_owned()));
    }
    if let Some((name, domain)) = word.split_once('@')
        && !name.is_empty()
        && domain.contains('.')
    {
        return Some(Mention::Mail(word.to_owned()));
    }
    let begins = ["/", "~/", "./", "../", "\\\\", "$home", "%"];
    let path = begins.iter().any(|begin| word.starts_with(begin))
        || [":\\", "/.", "~/"].iter().any(|part| word.contains(part));
    if path && word.chars().any(char::is_alphanumeric) {
        return Some(Mention::Path(word.to_owned()));
    }
    let end = word.find(|c: char| !(c.is_alphanumeric() || ".-_".contains(c)));
    let name = word.get(..end.unwrap_or(word.len()))?;
    let (rest, top) = name.rsplit_once('.')?;
    let domain = top.len() >= 2 && top.chars().all(char::is_alphabetic) && !rest.is_empty();
    let parts = || name.split('.');
    let number = parts().count() == 4 && parts().all(|part| part.parse::<u8>().is_ok());
    (domain || number).then(|| Mention::Host(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_apart() {
        let of = |text: &str| mentions(text).into_iter().map(|m| m.to_string()).collect::<Vec<_>>();
        for (text, expected) in [
            ("Adds two numbers.", &[][..]),
            ("see https://a.example/x?y=1", &["address https://a.example/x"]),
            ("see a.example", &["address a.example"]),
            ("at 169.254.169.254", &["address 169.254.169.254"]),
            ("to eve@evil.example", &["mail address eve@evil.example"]),
            ("reads ~/.ssh/id_rsa and /etc/passwd", &["path /etc/passwd", "path ~/.ssh/id_rsa"]),
            ("in C:\\Users", &["path c:\\users"]),
            ("Ｉgnore this", &["order “ignore”"]),
            ("do\u{200b} not tell", &["hidden character U+200B", "order “do not”"]),
            ("version 1.2.3, e.g. this", &[]),
        ] {
            assert_eq!(of(text), expected, "{text}");
        }
    }
}
