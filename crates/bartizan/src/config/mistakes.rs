//! Every mistake that the TOML reader finds in a file, not only its first.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml_edit::{Document, Item, Table};

use super::fault::Finding;

/// At most so many are told.
const MOST: usize = 16;

/// Reads a file. Where that fails, the entry at fault is taken out and the rest is read, as long as that finds more;
/// in the order of the file.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, Vec<Finding>> {
    let mut rest = text.to_owned();
    let mut findings: Vec<Finding> = Vec::new();
    loop {
        let error = match toml::from_str(&rest) {
            Ok(file) if findings.is_empty() => return Ok(file),
            Ok(_) => break,
            Err(error) => error,
        };
        // What is missing now may be what was taken out.
        if !findings.is_empty() && error.message().starts_with("missing field") {
            break;
        }
        findings.push(Finding::of(&error));
        let entry = error.span().and_then(|span| entry_at(&rest, &span));
        match entry {
            Some(entry) if findings.len() < MOST => blank(&mut rest, entry),
            _ => break,
        }
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

/// The `key = value` that a place is in. A section is none.
fn entry_at(text: &str, place: &Range<usize>) -> Option<Range<usize>> {
    let document = Document::parse(text).ok()?;
    let mut entry = entry_in(document.as_table(), place)?;
    // Of a dotted key this is the last part alone.
    let line = text.get(..entry.start)?.rfind('\n').map_or(0, |end| end + 1);
    if text.get(line..entry.start)?.trim_end().ends_with('.') {
        entry.start = line;
    }
    Some(entry)
}

fn entry_in(table: &Table, place: &Range<usize>) -> Option<Range<usize>> {
    table.iter().find_map(|(name, item)| match item {
        Item::Value(value) => {
            let entry = table.key(name)?.span()?.start..value.span()?.end;
            (entry.start <= place.start && place.end <= entry.end).then_some(entry)
        }
        Item::Table(inner) => entry_in(inner, place),
        Item::ArrayOfTables(tables) => tables.iter().find_map(|inner| entry_in(inner, place)),
        Item::None => None,
    })
}
