//! Every mistake that the TOML reader finds in a file, not only its first.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml_edit::{Document, Item, Table};

use super::fault::Finding;

/// At most so many are told.
const MOST: usize = 16;

/// Reads a file. Where that fails, what is at fault is taken out and the rest is read, as long as that finds more;
/// in the order of the file.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, Vec<Finding>> {
    let mut rest = text.to_owned();
    let (mut findings, mut taken) = (Vec::new(), Vec::new());
    while findings.len() < MOST {
        let error = match toml::from_str(&rest) {
            Ok(file) if findings.is_empty() => return Ok(file),
            Ok(_) => break,
            Err(error) => error,
        };
        let parts = error.span().map(|span| parts_at(&rest, &span)).unwrap_or_default();
        // What is missing now may be what was taken out.
        let missing = error.message().starts_with("missing field");
        if !(missing && parts.first().is_some_and(|part| lost(&rest, part, &taken))) {
            findings.push(Finding::of(&error));
        }
        if parts.is_empty() {
            break;
        }
        parts.iter().for_each(|part| blank(&mut rest, part.clone()));
        taken.extend(parts);
    }
    findings.sort_by_key(|finding| finding.span.as_ref().map(|span| span.start));
    Err(findings)
}

/// Spaces in its place, so that all others stay where they are.
fn blank(text: &mut String, range: Range<usize>) {
    let spaces: String =
        text[range.clone()].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect();
    text.replace_range(range, &spaces);
}

/// Whether something was taken out of this part: of a section, up to the next one.
fn lost(text: &str, part: &Range<usize>, taken: &[Range<usize>]) -> bool {
    let after = &text[part.start..];
    let end = match after.strip_prefix('[') {
        Some(_) => after.find("\n[").map_or(text.len(), |end| part.start + end),
        None => part.end,
    };
    taken.iter().any(|out| part.start <= out.start && out.end <= end)
}

/// What a place is in: a `key = value`; or, where it is the name of a section or the beginning of a dotted key, all
/// that stands under that name: the headers of sections, and their entries.
fn parts_at(text: &str, place: &Range<usize>) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    if let Ok(document) = Document::parse(text) {
        parts_in(document.as_table(), place, &mut parts);
    }
    for part in &mut parts {
        // Of a dotted key this is the last part alone.
        let line = text[..part.start].rfind('\n').map_or(0, |end| end + 1);
        if text[line..part.start].trim_end().ends_with('.') {
            part.start = line;
        }
    }
    parts
}

fn parts_in(table: &Table, place: &Range<usize>, parts: &mut Vec<Range<usize>>) {
    let holds = |range: Option<Range<usize>>| {
        range.is_some_and(|range| range.start <= place.start && place.end <= range.end)
    };
    for (name, item) in table.iter() {
        let at_key = holds(table.key(name).and_then(|key| key.span()));
        match item {
            Item::Table(inner) if !at_key && !holds(inner.span()) => parts_in(inner, place, parts),
            Item::ArrayOfTables(tables) if !at_key => {
                tables.iter().for_each(|inner| parts_in(inner, place, parts));
            }
            Item::Value(_) if !holds(entry(table, name, item)) => {}
            _ => whole(table, name, item, parts),
        }
        if !parts.is_empty() {
            return;
        }
    }
}

/// A `key = value`.
fn entry(table: &Table, name: &str, item: &Item) -> Option<Range<usize>> {
    Some(table.key(name)?.span()?.start..item.span()?.end)
}

fn whole(table: &Table, name: &str, item: &Item, parts: &mut Vec<Range<usize>>) {
    let mut section = |inner: &Table| {
        // Of a section the header, of a dotted key a part of it.
        parts.extend(inner.span().filter(|_| !inner.is_dotted()));
        inner.iter().for_each(|(name, item)| whole(inner, name, item, parts));
    };
    match item {
        Item::Table(inner) => section(inner),
        Item::ArrayOfTables(tables) => tables.iter().for_each(section),
        Item::Value(_) => parts.extend(entry(table, name, item)),
        Item::None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::File;

    fn mistakes(text: &str) -> Vec<String> {
        let findings = read::<File>(text).map(drop).unwrap_err();
        let told = |finding: Finding| {
            let (line, _) = finding.position(text).unwrap();
            format!("{line}: {}", finding.title)
        };
        findings.into_iter().map(told).collect()
    }

    #[test]
    fn what_stands_behind_an_unknown_section_or_a_dotted_key_is_found_too() {
        let text = "lissten = \"127.0.0.1:1\"\n\
                    audit.payload.limit = \"1MiB\"\n\
                    audit.keeep = 1\n\
                    [servrs.a]\n\
                    url = \"https://a.example\"\n\
                    [servrs.b.headers]\n\
                    x = [\n\"y\"]\n\
                    [servers.c]\n\
                    urll = \"https://c.example\"\n\
                    [[telemetri]]\n\
                    a = 1\n\
                    [[telemetri]]\n\
                    a = 2\n\
                    [limits]\n\
                    depth = \"deep\"\n\
                    [tls]\n\
                    cert = \"c.pem\"\n";
        assert_eq!(
            mistakes(text),
            [
                "1: unknown key `lissten`",
                "2: unknown key `payload`",
                "3: unknown key `keeep`",
                "4: unknown key `servrs`",
                "10: unknown key `urll`",
                "11: unknown key `telemetri`",
                "16: a whole number is expected, not string \"deep\"",
                "17: the key `key` is missing",
            ]
        );
    }

    #[test]
    fn what_was_taken_out_is_not_missing() {
        let text = "[tls]\ncert = \"c.pem\"\nkeyy = \"k.pem\"\n[limits]\ndepht = 1\n";
        assert_eq!(mistakes(text), ["3: unknown key `keyy`", "5: unknown key `depht`"]);
    }
}
