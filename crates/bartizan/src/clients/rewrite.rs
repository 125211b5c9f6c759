//! One entry in place of all servers of a file. Nothing else in it changes by a byte.

use std::ops::Range;

use serde_json::json;
use toml_edit::{Array, DocumentMut, Item, Table, value};

use super::{
    document::{Document, DocumentFault, Format, Node, Value},
    places::Place,
    server::{self, Reach, Server},
};

/// How a client starts Bartizan. There is no key in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub command: String,
    pub args: Vec<String>,
}

impl Entry {
    /// Whether a client has this entry and no other.
    pub fn is_all_of(&self, servers: &[Server]) -> bool {
        let [Server { reach: Reach::Command { command, args, .. }, .. }] = servers else {
            return false;
        };
        command.text == self.command && args.iter().map(|arg| &arg.text).eq(&self.args)
    }
}

/// The name of the entry.
const NAME: &str = "bartizan";

/// Why a file is left as it is.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RewriteFault {
    #[error("its lines end in two ways")]
    Ends,
    #[error("`{0}` in it is not what it should be")]
    Odd(String),
    #[error("line {}: {}", .0.line, .0.what)]
    Unreadable(DocumentFault),
    #[error("after the change it would not hold what it should")]
    Unsure,
}

/// The text with the entry as its only server, or with no server at all.
pub fn rewrite(place: &Place, text: &str, entry: Option<&Entry>) -> Result<String, RewriteFault> {
    let document = Document::read(place.shape.format, text).map_err(RewriteFault::Unreadable)?;
    let present = |path: &&&[&str]| document.root().is_some_and(|root| !root.all(path).is_empty());
    let first = place.shape.at.first().copied().unwrap_or_default();
    let main = place.shape.at.iter().find(present).copied().unwrap_or(first);
    let changed = match place.shape.format {
        Format::Json => in_json(place, &document, text, main, entry)?,
        Format::Toml => in_toml(text, main, entry)?,
        Format::Xml => return Err(RewriteFault::Unsure),
        Format::Yaml => in_yaml(&document, text, main, entry)?,
    };
    let read = Document::read(place.shape.format, &changed).map_err(|_| RewriteFault::Unsure)?;
    let servers = server::servers(&read, &place.shape);
    let right = match entry {
        Some(_) => servers.len() == 1 && servers[0].is_ours() && servers[0].name == NAME,
        None => servers.is_empty(),
    };
    if right { Ok(changed) } else { Err(RewriteFault::Unsure) }
}

/// The text as it is now, with the servers that stood in it `before`. Other servers must not have come, and not in
/// TOML, whose sections may stand anywhere.
pub fn give_back(place: &Place, before: &str, now: &str) -> Result<String, RewriteFault> {
    let read =
        |text: &str| Document::read(place.shape.format, text).map_err(RewriteFault::Unreadable);
    let none = match place.shape.format {
        Format::Json => "{}",
        Format::Yaml => "[]",
        Format::Toml | Format::Xml => return Err(RewriteFault::Unsure),
    };
    let (old, new) = (read(before)?, read(now)?);
    if !server::servers(&new, &place.shape).iter().all(Server::is_ours) {
        return Err(RewriteFault::Unsure);
    }
    let at = |document: &Document, path: &[&str]| -> Vec<(Vec<String>, Range<usize>)> {
        let found = document.root().map(|root| root.all(path)).unwrap_or_default();
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        found.into_iter().map(|(names, node)| (owned(names), node.at.clone())).collect()
    };
    let mut edits = Edits::new();
    for path in place.shape.at {
        let stood = at(&old, path);
        for (names, place) in at(&new, path) {
            let known = stood.iter().find(|(known, _)| *known == names);
            let raw = known.and_then(|(_, at)| before.get(at.clone())).unwrap_or(none);
            edits.push((place, raw.to_owned()));
        }
    }
    let changed = applied(now, edits);
    let names = |document: &Document| -> Vec<(Option<String>, String)> {
        let servers = server::servers(document, &place.shape).into_iter();
        servers.map(|server| (server.project, server.name)).collect()
    };
    if names(&read(&changed)?) == names(&old) { Ok(changed) } else { Err(RewriteFault::Unsure) }
}

type Edits = Vec<(Range<usize>, String)>;

fn applied(text: &str, mut edits: Edits) -> String {
    edits.sort_by_key(|(at, _)| at.start);
    let mut out = String::with_capacity(text.len() + 256);
    let mut done = 0;
    for (at, new) in edits {
        out.push_str(text.get(done..at.start).unwrap_or_default());
        out.push_str(&new);
        done = at.end;
    }
    out.push_str(text.get(done..).unwrap_or_default());
    out
}

fn newline(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

/// The white space that the line of a byte begins with.
fn indent(text: &str, at: usize) -> &str {
    let start = text[..at].rfind('\n').map_or(0, |at| at + 1);
    let line = &text[start..];
    &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
}

/// One step of indentation, as the file has it.
fn step(text: &str) -> &str {
    let indented =
        text.lines().find(|line| line.starts_with([' ', '\t']) && !line.trim().is_empty());
    indented.map_or("  ", |line| &line[..line.len() - line.trim_start_matches([' ', '\t']).len()])
}

fn in_json(
    place: &Place,
    document: &Document,
    text: &str,
    main: &[&str],
    entry: Option<&Entry>,
) -> Result<String, RewriteFault> {
    let typed = main == ["servers"];
    let object = |base: &str| match entry {
        Some(entry) => entry_json(text, base, typed, entry),
        None => "{}".to_owned(),
    };
    let Some(root) = document.root() else {
        let member = format!("{}: {}", json!(main.join(".")), object("  "));
        return Ok(match entry {
            Some(_) => format!("{{\n  {member}\n}}\n{text}"),
            None => text.to_owned(),
        });
    };
    let mut edits = Edits::new();
    for path in place.shape.at {
        for (_, node) in root.all(path) {
            match &node.value {
                Value::Map(_) if *path == main => {
                    edits.push((node.at.clone(), object(indent(text, node.at.start))));
                }
                Value::Map(members) if !members.is_empty() => {
                    edits.push((node.at.clone(), "{}".to_owned()));
                }
                Value::Map(_) => {}
                _ if *path == main => return Err(RewriteFault::Odd(main.join("."))),
                _ => {}
            }
        }
    }
    if root.all(main).is_empty() && entry.is_some() {
        let ([key], Value::Map(members)) = (main, &root.value) else {
            return Err(RewriteFault::Odd(main.join(".")));
        };
        let base = format!("{}{}", indent(text, root.at.start), step(text));
        let member = format!("{}: {}", json!(key), object(&base));
        edits.extend(appended(text, root, members.last().map(|(_, node)| node), &base, &member));
    }
    Ok(applied(text, edits))
}

/// A member at the end of an object: comments stay where they are.
fn appended(text: &str, object: &Node, last: Option<&Node>, base: &str, member: &str) -> Edits {
    let close = object.at.end - 1;
    let body = &text[object.at.start + 1..close];
    let line = newline(text);
    let mut edits = Edits::new();
    let mut comma = "";
    if let Some(last) = last {
        let closed = Document::read(Format::Json, &format!("[{}0]", &text[last.at.end..close]));
        // Only a comma, comments and white space follow the last member.
        if closed.is_ok_and(|rest| rest.root().is_some_and(|rest| rest.items().len() == 1)) {
            edits.push((last.at.end..last.at.end, ",".to_owned()));
        } else {
            comma = ",";
        }
    }
    if !body.contains('\n') && last.is_some() {
        let end = object.at.start + 1 + body.trim_end().len();
        edits.push((end..end, format!(" {member}{comma}")));
        return edits;
    }
    let end = object.at.start + 1 + body.trim_end_matches([' ', '\t', '\r', '\n']).len();
    let rest = format!("{line}{}", indent(text, object.at.start));
    let tail = if body.contains('\n') { text[end..close].to_owned() } else { rest };
    edits.push((end..close, format!("{line}{base}{member}{comma}{tail}")));
    edits
}

fn entry_json(text: &str, base: &str, typed: bool, entry: &Entry) -> String {
    let (line, step) = (newline(text), step(text));
    let kind =
        if typed { format!("{base}{step}{step}\"type\": \"stdio\",{line}") } else { String::new() };
    let args: Vec<String> = entry.args.iter().map(|arg| json!(arg).to_string()).collect();
    format!(
        "{{{line}{base}{step}\"{NAME}\": {{{line}{kind}{base}{step}{step}\"command\": {},{line}\
         {base}{step}{step}\"args\": [{}]{line}{base}{step}}}{line}{base}}}",
        json!(entry.command),
        args.join(", ")
    )
}

fn in_toml(text: &str, main: &[&str], entry: Option<&Entry>) -> Result<String, RewriteFault> {
    let odd = || RewriteFault::Odd(main.join("."));
    let windows = text.contains("\r\n");
    if windows && text.replace("\r\n", "").contains('\n') {
        return Err(RewriteFault::Ends);
    }
    let plain = if windows { text.replace("\r\n", "\n") } else { text.to_owned() };
    let mut document: DocumentMut = plain.parse().map_err(|_| odd())?;
    let [key] = main else { return Err(odd()) };
    let servers = document.entry(key).or_insert_with(|| {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    });
    let servers = servers.as_table_like_mut().ok_or_else(odd)?;
    // The new section stands where the first one stood, under its comment.
    let old = servers.iter().find_map(|(_, item)| item.as_table());
    let (position, decor) = old.map(|table| (table.position(), table.decor().clone())).unzip();
    servers.clear();
    if let Some(entry) = entry {
        let mut table = Table::new();
        table.insert("command", value(&entry.command));
        table.insert("args", value(entry.args.iter().collect::<Array>()));
        table.decor_mut().set_prefix(if plain.trim().is_empty() { "" } else { "\n" });
        if let (Some(position), Some(decor)) = (position, decor) {
            table.set_position(position);
            *table.decor_mut() = decor;
        }
        servers.insert(NAME, Item::Table(table));
    } else {
        document.remove(key);
    }
    let changed = document.to_string();
    Ok(if windows { changed.replace('\n', "\r\n") } else { changed })
}

fn in_yaml(
    document: &Document,
    text: &str,
    main: &[&str],
    entry: Option<&Entry>,
) -> Result<String, RewriteFault> {
    let odd = || RewriteFault::Odd(main.join("."));
    let [key] = main else { return Err(odd()) };
    let line = newline(text);
    let item = |base: &str| {
        entry.map(|entry| {
            let args: String =
                entry.args.iter().map(|arg| format!("{line}{base}    - {}", json!(arg))).collect();
            let command = json!(entry.command);
            format!("- name: {NAME}{line}{base}  command: {command}{line}{base}  args:{args}")
        })
    };
    let Some(root) = document.root() else {
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { line };
        let item = item("  ").map(|item| format!("{text}{end}{key}:{line}  {item}{line}"));
        return Ok(item.unwrap_or_else(|| text.to_owned()));
    };
    let Value::Map(members) = &root.value else { return Err(odd()) };
    let Some((name, node)) = members.iter().find(|(name, _)| name.name == *key) else {
        if text[root.at.clone()].starts_with('{') {
            return Err(odd());
        }
        let Some(item) = item("  ") else { return Ok(text.to_owned()) };
        let end = if text.ends_with('\n') { "" } else { line };
        return Ok(format!("{text}{end}{key}:{line}  {item}{line}"));
    };
    let block = text[node.at.clone()].starts_with('-');
    let edit = match (&node.value, item(indent_or(text, node, block))) {
        (Value::List(_), None) if block => (node.at.clone(), "[]".to_owned()),
        (Value::List(_), None) => (node.at.clone(), "[]".to_owned()),
        (Value::List(_), Some(item)) if block => (node.at.clone(), item),
        (Value::List(_), Some(item)) => (node.at.clone(), format!("{line}  {item}")),
        (Value::Other, Some(item)) => {
            let colon = name.at.end + text[name.at.end..].find(':').ok_or_else(odd)? + 1;
            (colon..colon, format!("{line}  {item}"))
        }
        (Value::Other, None) => return Ok(text.to_owned()),
        _ => return Err(odd()),
    };
    Ok(applied(text, vec![edit]))
}

fn indent_or<'t>(text: &'t str, node: &Node, block: bool) -> &'t str {
    if block { indent(text, node.at.start) } else { "  " }
}
