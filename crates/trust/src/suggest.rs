//! Which labels a tool probably deserves: by what it says of itself, for a person to look at. It is a
//! suggestion: what a definition says of itself counts for nothing until somebody agrees.

use mcp::Json;

/// A suggestion, and the words that led to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suggestion {
    /// `private`, `untrusted`.
    pub reads: Vec<&'static str>,
    /// `external`, `destructive`.
    pub writes: Vec<&'static str>,
    /// Why.
    pub because: Vec<String>,
}

const PRIVATE: &[&str] = &[
    "account",
    "calendar",
    "contact",
    "contacts",
    "database",
    "directory",
    "document",
    "email",
    "emails",
    "file",
    "files",
    "history",
    "inbox",
    "memory",
    "note",
    "notes",
    "password",
    "profile",
    "query",
    "record",
    "repository",
    "secret",
    "sql",
    "table",
    "transaction",
    "transactions",
];
const UNTRUSTED: &[&str] = &[
    "browse", "comment", "comments", "crawl", "email", "emails", "fetch", "inbox", "internet",
    "issue", "issues", "message", "messages", "page", "review", "reviews", "rss", "scrape", "url",
    "web", "webpage", "website",
];
const EXTERNAL: &[&str] = &[
    "comment", "email", "invite", "mail", "message", "pay", "post", "publish", "push", "reply",
    "send", "share", "submit", "tweet", "upload", "webhook",
];
const DESTRUCTIVE: &[&str] =
    &["delete", "drop", "erase", "overwrite", "purge", "remove", "reset", "truncate", "wipe"];

/// Words that make a tool a reader or a writer.
const READING: &[&str] = &[
    "browse", "crawl", "fetch", "find", "get", "list", "load", "lookup", "open", "query", "read",
    "retrieve", "scrape", "search", "select", "show", "view",
];

/// Reads a tool's definition.
pub fn suggest(tool: Json<'_>) -> Suggestion {
    let text = |name: &str| tool.get(name).and_then(Json::string).unwrap_or_default();
    let name = words(&text("name"));
    let all: Vec<String> = name.iter().cloned().chain(words(&text("description"))).collect();
    let hint =
        |name: &str| tool.get("annotations").and_then(|all| all.get(name)).and_then(Json::boolean);
    let (read_only, open) = (hint("readOnlyHint"), hint("openWorldHint"));
    let mut found = Suggestion::default();
    let first = |words: &[String], list: &[&str]| {
        words.iter().find(|word| list.contains(&word.as_str())).cloned()
    };
    let reading = first(&name, READING).or_else(|| first(&all, READING));
    if reading.is_some() || read_only == Some(true) {
        for (label, list) in [("private", PRIVATE), ("untrusted", UNTRUSTED)] {
            if let Some(word) = first(&all, list) {
                found.reads.push(label);
                found.because.push(format!("{label}: it reads, and says “{word}”"));
            }
        }
    }
    if open == Some(true) && !found.reads.contains(&"untrusted") {
        found.reads.push("untrusted");
        found.because.push("untrusted: openWorldHint".to_owned());
    }
    // A tool that fetches tells the other side what it was asked for.
    let sends = first(&name, EXTERNAL)
        .filter(|_| read_only != Some(true))
        .or_else(|| first(&all, &["fetch", "url", "http", "https", "upload", "webhook"]));
    if let Some(word) = sends {
        found.writes.push("external");
        found.because.push(format!("external: “{word}”"));
    }
    let destroys = first(&name, DESTRUCTIVE).filter(|_| read_only != Some(true));
    if let Some(word) = destroys {
        found.writes.push("destructive");
        found.because.push(format!("destructive: “{word}”"));
    } else if hint("destructiveHint") == Some(true) {
        found.writes.push("destructive");
        found.because.push("destructive: destructiveHint".to_owned());
    }
    found
}

/// Lower-case words; `sendMail` and `send_mail` are two.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut lower = false;
    for c in text.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && lower) {
            words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        lower = c.is_lowercase();
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

#[cfg(test)]
mod tests {
    use mcp::Limits;

    use super::*;

    #[test]
    fn by_what_tools_say_of_themselves() {
        for (name, description, reads, writes) in [
            ("read_file", "Reads a file.", &["private"][..], &[][..]),
            ("fetch", "Fetches a URL from the internet.", &["untrusted"], &["external"]),
            ("get_inbox", "Gets emails.", &["private", "untrusted"], &[]),
            ("sendMail", "Sends it.", &[], &["external"]),
            ("delete_branch", "Deletes.", &[], &["destructive"]),
            ("add", "Adds two numbers.", &[], &[]),
        ] {
            let text = format!(r#"{{"name":"{name}","description":"{description}"}}"#);
            let found = suggest(Json::read(text.as_bytes(), &Limits::default()).unwrap());
            assert_eq!((&found.reads[..], &found.writes[..]), (reads, writes), "{name}");
        }
        let hinted = r#"{"name":"go","annotations":{"openWorldHint":true,"destructiveHint":true}}"#;
        let found = suggest(Json::read(hinted.as_bytes(), &Limits::default()).unwrap());
        assert_eq!((found.reads, found.writes), (vec!["untrusted"], vec!["destructive"]));
    }
}
