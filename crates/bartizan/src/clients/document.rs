//! JSON with comments, TOML and YAML as one tree that knows where each thing stands.

use std::{borrow::Cow, ops::Range};

use jsonc_parser::{CollectOptions, ParseOptions, ast, common::Ranged, parse_to_ast};
use saphyr_parser::{Event, Parser, Span};
use toml::de::{DeTable, DeValue};

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// With comments and trailing commas, as editors take it.
    Json,
    Toml,
    /// Looked through for keys, and not understood.
    Xml,
    Yaml,
}

/// Why a text can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentFault {
    pub line: usize,
    pub what: String,
}

/// A document that was read.
#[derive(Clone, Debug, Default)]
pub struct Document(Option<Node>);

/// A value and where it stands, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub at: Range<usize>,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Flag(bool),
    List(Vec<Node>),
    Map(Vec<(Name, Node)>),
    /// Numbers, dates, nothing, and what refers to another place.
    Other,
    Text(String),
}

/// A member's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub name: String,
    pub at: Range<usize>,
}

impl Document {
    /// Reads a text.
    pub fn read(format: Format, text: &str) -> Result<Document, DocumentFault> {
        match format {
            Format::Json => read_json(text),
            Format::Toml => read_toml(text),
            Format::Xml => Ok(None),
            Format::Yaml => Yaml::new(text).read(),
        }
        .map(Document)
    }

    /// What is in it; `None` when it is empty.
    pub fn root(&self) -> Option<&Node> {
        self.0.as_ref()
    }
}

impl Node {
    /// A member by name. Of several, the last counts, as it does for the clients.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.members().filter(|(key, _)| key.name == name).map(|(_, node)| node).last()
    }

    /// The members of a map.
    pub fn members(&self) -> impl Iterator<Item = &(Name, Node)> {
        match &self.value {
            Value::Map(members) => members.as_slice(),
            _ => &[],
        }
        .iter()
    }

    /// The items of a list.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Every node that the path leads to, with the names that stood for `*`.
    pub fn all<'n>(&'n self, path: &[&str]) -> Vec<(Vec<&'n str>, &'n Node)> {
        let Some((first, rest)) = path.split_first() else { return vec![(Vec::new(), self)] };
        let mut found = Vec::new();
        for (key, node) in self.members().filter(|(key, _)| *first == "*" || key.name == *first) {
            for (mut names, node) in node.all(rest) {
                if *first == "*" {
                    names.insert(0, key.name.as_str());
                }
                found.push((names, node));
            }
        }
        found
    }
}

fn read_json(text: &str) -> Result<Option<Node>, DocumentFault> {
    let options = ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let parsed = parse_to_ast(text, &CollectOptions::default(), &options).map_err(|fault| {
        DocumentFault { line: fault.line_display(), what: fault.kind().to_string() }
    })?;
    Ok(parsed.value.map(of_json))
}

fn of_json(value: ast::Value<'_>) -> Node {
    let range = value.range();
    let value = match value {
        ast::Value::StringLit(text) => Value::Text(text.value.into_owned()),
        ast::Value::BooleanLit(flag) => Value::Flag(flag.value),
        ast::Value::Object(object) => Value::Map(
            object
                .properties
                .into_iter()
                .map(|property| {
                    let at = property.name.range();
                    let name = Name { name: property.name.into_string(), at: at.start..at.end };
                    (name, of_json(property.value))
                })
                .collect(),
        ),
        ast::Value::Array(array) => Value::List(array.elements.into_iter().map(of_json).collect()),
        ast::Value::NumberLit(_) | ast::Value::NullKeyword(_) => Value::Other,
    };
    Node { at: range.start..range.end, value }
}

fn read_toml(text: &str) -> Result<Option<Node>, DocumentFault> {
    let table = DeTable::parse(text).map_err(|fault| DocumentFault {
        line: super::line(text, fault.span().map_or(0, |span| span.start)),
        what: fault.message().to_owned(),
    })?;
    Ok(Some(of_table(table.span(), table.get_ref())))
}

fn of_table(at: Range<usize>, table: &DeTable<'_>) -> Node {
    let member = |(key, value): (&toml::Spanned<Cow<'_, str>>, &toml::Spanned<DeValue<'_>>)| {
        let name = Name { name: key.get_ref().to_string(), at: key.span() };
        (name, of_toml(value.span(), value.get_ref()))
    };
    Node { at, value: Value::Map(table.iter().map(member).collect()) }
}

fn of_toml(at: Range<usize>, value: &DeValue<'_>) -> Node {
    let value = match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Array(items) => {
            Value::List(items.iter().map(|item| of_toml(item.span(), item.get_ref())).collect())
        }
        DeValue::Table(table) => return of_table(at, table),
        _ => Value::Other,
    };
    Node { at, value }
}

/// YAML comes as events. References to anchors are not followed: a file could grow without end by them.
struct Yaml<'t> {
    text: &'t str,
    /// The byte at which each character begins.
    bytes: Vec<usize>,
    open: Vec<(usize, Open)>,
    root: Option<Node>,
}

enum Open {
    List(Vec<Node>),
    Map(Vec<(Name, Node)>, Option<Name>),
}

/// How deep YAML may nest.
const DEEPEST: usize = 64;

impl<'t> Yaml<'t> {
    fn new(text: &'t str) -> Yaml<'t> {
        let bytes = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        Yaml { text, bytes, open: Vec::new(), root: None }
    }

    fn byte(&self, index: usize) -> usize {
        self.bytes.get(index).copied().unwrap_or(self.text.len())
    }

    fn read(mut self) -> Result<Option<Node>, DocumentFault> {
        let mut documents = 0;
        for event in Parser::new_from_str(self.text) {
            let (event, span) = event.map_err(|fault| DocumentFault {
                line: fault.marker().line(),
                what: fault.info().to_owned(),
            })?;
            let fault = |what: &str| DocumentFault { line: span.start.line(), what: what.into() };
            match event {
                Event::DocumentStart(_) if documents == 1 => {
                    return Err(fault("more than one document"));
                }
                Event::DocumentStart(_) => documents += 1,
                Event::SequenceStart(..) | Event::MappingStart(..)
                    if self.open.len() == DEEPEST =>
                {
                    return Err(fault("nested too deeply"));
                }
                event => self.take(event, span),
            }
        }
        Ok(self.root)
    }

    fn take(&mut self, event: Event<'_>, span: Span) {
        let at = self.byte(span.start.index())..self.byte(span.end.index());
        match event {
            Event::SequenceStart(..) => self.open.push((at.start, Open::List(Vec::new()))),
            Event::MappingStart(..) => self.open.push((at.start, Open::Map(Vec::new(), None))),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some((start, open)) = self.open.pop() else { return };
                // In blocks the parser's end is where the next thing begins.
                let (value, last) = match open {
                    Open::List(items) => {
                        let last = items.last().map(|node| node.at.end);
                        (Value::List(items), last)
                    }
                    Open::Map(members, _) => {
                        let last = members.last().map(|(_, node)| node.at.end);
                        (Value::Map(members), last)
                    }
                };
                let closed =
                    self.text.get(start..).is_some_and(|text| text.starts_with(['[', '{']));
                let end = if closed { at.end } else { last.unwrap_or(start) };
                self.put(Node { at: start..end.max(start), value });
            }
            Event::Scalar(text, style, ..) => {
                let plain = matches!(style, saphyr_parser::ScalarStyle::Plain);
                let value = match (&*text, plain) {
                    ("true", true) => Value::Flag(true),
                    ("false", true) => Value::Flag(false),
                    ("" | "~" | "null", true) => Value::Other,
                    _ => Value::Text(text.into_owned()),
                };
                self.put(Node { at, value });
            }
            Event::Alias(_) => self.put(Node { at, value: Value::Other }),
            _ => {}
        }
    }

    fn put(&mut self, node: Node) {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some((_, Open::List(items))) => items.push(node),
            Some((_, Open::Map(members, name))) => match name.take() {
                Some(name) => members.push((name, node)),
                None => {
                    let text = self.text.get(node.at.clone()).unwrap_or_default();
                    let text = node.text().unwrap_or(text).to_owned();
                    *name = Some(Name { name: text, at: node.at });
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(format: Format, text: &str) -> Vec<(String, String)> {
        let document = Document::read(format, text).unwrap();
        let root = document.root().unwrap();
        let servers = root.get("s").unwrap().get("a").unwrap();
        let mut found = Vec::new();
        for (key, node) in servers.members() {
            assert!(text[key.at.clone()].contains(&key.name));
            found.push((key.name.clone(), text[node.at.clone()].to_owned()));
        }
        found
    }

    #[test]
    fn every_format_tells_what_stands_where() {
        let expected = |open: &str| {
            vec![
                ("command".to_owned(), open.replace('_', "npx")),
                ("token".to_owned(), open.replace('_', "ü1")),
            ]
        };
        let json = "{ // ä\n \"s\": {\"a\": {\"command\": \"npx\", \"token\": \"ü1\",},},}";
        assert_eq!(texts(Format::Json, json), expected("\"_\""));
        let toml = "# ä\n[s.a]\ncommand = \"npx\"\ntoken = \"ü1\"\n";
        assert_eq!(texts(Format::Toml, toml), expected("\"_\""));
        let yaml = "# ä\ns:\n  a:\n    command: npx\n    token: ü1\n\nx: 1\n";
        assert_eq!(texts(Format::Yaml, yaml), expected("_"));
    }

    #[test]
    fn the_end_of_a_block_is_the_end_of_its_last_line() {
        let text = "a: 1\nlist:\n  - name: x\n    args:\n      - y\n      - z # no\n\n# c\nb: 2\n";
        let document = Document::read(Format::Yaml, text).unwrap();
        let list = document.root().unwrap().get("list").unwrap();
        assert_eq!(&text[list.at.clone()], "- name: x\n    args:\n      - y\n      - z");
    }

    #[test]
    fn texts_that_are_not_documents() {
        for (format, text, line) in [
            (Format::Json, "{\n  \"a\": \n}", 3),
            (Format::Json, "{'a': 1}", 1),
            (Format::Toml, "a = 1\nb = = 2\n", 2),
            (Format::Yaml, "a: 1\n b: [\n", 2),
            (Format::Yaml, "a: 1\n---\nb: 1\n", 2),
        ] {
            let fault = Document::read(format, text).unwrap_err();
            assert!(fault.line >= line.min(2) || fault.line == line, "{text}: {fault:?}");
        }
        for (format, open) in [(Format::Json, "["), (Format::Yaml, "["), (Format::Toml, "a=[")] {
            let text = format!("{open}{}", "[".repeat(100_000));
            assert!(Document::read(format, &text).is_err());
        }
        for format in [Format::Json, Format::Toml, Format::Yaml] {
            let document = Document::read(format, "").unwrap();
            assert!(document.root().is_none_or(|root| root.members().next().is_none()));
        }
    }

    #[test]
    fn a_star_stands_for_any_name() {
        let text = r#"{"p":{"/x":{"m":{"a":1}},"/y":{"m":{}},"/z":{}}}"#;
        let document = Document::read(Format::Json, text).unwrap();
        let all = document.root().unwrap().all(&["p", "*", "m"]);
        let names: Vec<_> = all.iter().map(|(names, _)| names.as_slice()).collect();
        assert_eq!(names, [["/x"], ["/y"]]);
    }
}
