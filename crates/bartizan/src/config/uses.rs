//! Where a configuration uses which secrets: every text in it that is a reference, wherever it stands.

use std::ops::Range;

use toml_edit::{Document, Item, TableLike, Value};
use vault::{Reference, Source};

/// One use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// What is used.
    pub source: Source,
    /// The key, with the sections around it: `servers.github.credential.value`.
    pub key: String,
    /// Where it stands, in bytes.
    pub span: Range<usize>,
}

/// All of them, in the order of the text. A text that is no TOML has none.
pub fn find(text: &str) -> Vec<Use> {
    let mut found = Vec::new();
    if let Ok(document) = Document::parse(text) {
        in_table(document.as_table(), "", &mut found);
    }
    found.sort_by_key(|one: &Use| one.span.start);
    found
}

fn in_table(table: &dyn TableLike, path: &str, found: &mut Vec<Use>) {
    for (key, item) in table.iter() {
        let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        match item {
            Item::Value(value) => in_value(value, &path, found),
            Item::Table(table) => in_table(table, &path, found),
            Item::ArrayOfTables(tables) => {
                tables.iter().for_each(|table| in_table(table, &path, found));
            }
            Item::None => {}
        }
    }
}

fn in_value(value: &Value, path: &str, found: &mut Vec<Use>) {
    match value {
        Value::String(text) => {
            let span = text.span().unwrap_or_default();
            let Ok(reference) = Reference::parse(text.value()) else { return };
            found.extend(reference.sources().map(|source| Use {
                source: source.clone(),
                key: path.to_owned(),
                span: span.clone(),
            }));
        }
        Value::Array(list) => list.iter().for_each(|value| in_value(value, path, found)),
        Value::InlineTable(table) => in_table(table, path, found),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_is_found_with_its_key() {
        let text = "\
[servers.a]
url = \"https://a.example/mcp\"
credential.value = \"Bearer ${secret:a}\"
[servers.b]
args = [\"${env:ARG}\"]
[servers.b.env]
TOKEN = { secret = \"${secret:b}${keyvault:prod/b}\", hosts = [\"x\"] }
[[later]]
key = \"${vault:secret/app#f}\"
plain = \"$$ and $broken\"
";
        let found: Vec<_> =
            find(text).into_iter().map(|one| (one.source.to_string(), one.key)).collect();
        let expected = [
            ("secret:a", "servers.a.credential.value"),
            ("env:ARG", "servers.b.args"),
            ("secret:b", "servers.b.env.TOKEN.secret"),
            ("keyvault:prod/b", "servers.b.env.TOKEN.secret"),
            ("vault:secret/app#f", "later.key"),
        ];
        assert_eq!(found, expected.map(|(source, key)| (source.to_owned(), key.to_owned())));
        assert!(find("not toml [").is_empty());
    }
}
