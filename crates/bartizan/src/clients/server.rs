//! An entry of a client's file, whatever the client calls its parts.

use std::{ops::Range, path::Path};

use super::{
    document::{Document, Node, Value},
    places::Shape,
};

/// Servers of one file that are looked at.
const MOST: usize = 1000;

/// A text and where it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub text: String,
    pub at: Range<usize>,
}

/// An MCP server as a client knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub name: String,
    /// Where its name stands.
    pub at: Range<usize>,
    /// The project that it is for, where one file speaks of several.
    pub project: Option<String>,
    pub enabled: bool,
    pub reach: Reach,
}

/// How the client reaches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    Command { command: Piece, args: Vec<Piece>, env: Vec<(String, Piece)>, cwd: Option<String> },
    Url { url: Piece, headers: Vec<(String, Piece)> },
}

impl Server {
    /// What its command is given.
    pub fn args(&self) -> &[Piece] {
        match &self.reach {
            Reach::Command { args, .. } => args,
            Reach::Url { .. } => &[],
        }
    }

    /// Whether the entry leads to Bartizan already.
    pub fn is_ours(&self) -> bool {
        let Reach::Command { command, args, .. } = &self.reach else { return false };
        let program = Path::new(&command.text).file_stem().and_then(|name| name.to_str());
        program == Some("bartizan") && args.first().is_some_and(|first| first.text == "stdio")
    }
}

/// The servers in a document.
pub fn servers(document: &Document, shape: &Shape) -> Vec<Server> {
    let Some(root) = document.root() else { return Vec::new() };
    let mut found = Vec::new();
    for path in shape.at {
        for (names, node) in root.all(path) {
            let project = names.first().map(|name| (*name).to_owned());
            let named = node.members().map(|(key, node)| (key.name.clone(), key.at.clone(), node));
            let listed = node.items().iter().filter_map(|item| {
                let name = item.get("name")?;
                Some((name.text()?.to_owned(), name.at.clone(), item))
            });
            for (name, at, node) in named.chain(listed) {
                let Some(reach) = reach(node) else { continue };
                let (enabled, project) = (is_enabled(node), project.clone());
                found.push(Server { name, at, project, enabled, reach });
            }
        }
    }
    found.truncate(MOST);
    found
}

fn is_enabled(node: &Node) -> bool {
    let flag = |name| node.get(name).map(|node| &node.value);
    flag("disabled") != Some(&Value::Flag(true)) && flag("enabled") != Some(&Value::Flag(false))
}

fn piece(node: &Node) -> Option<Piece> {
    Some(Piece { text: node.text()?.to_owned(), at: node.at.clone() })
}

fn pairs(node: Option<&Node>) -> impl Iterator<Item = (String, Piece)> {
    let members = node.into_iter().flat_map(Node::members);
    members.filter_map(|(key, node)| Some((key.name.clone(), piece(node)?)))
}

fn pieces(node: Option<&Node>) -> Vec<Piece> {
    node.map(Node::items).unwrap_or_default().iter().filter_map(piece).collect()
}

fn reach(node: &Node) -> Option<Reach> {
    let url = ["httpUrl", "serverUrl", "url"].iter().find_map(|name| node.get(name));
    if let Some(url) = url.and_then(piece) {
        return Some(Reach::Url { url, headers: headers(node) });
    }
    let command = node.get("command")?;
    // Zed once had all of it inside of `command`.
    let (program, inside) = match &command.value {
        Value::Text(_) => (piece(command)?, node),
        Value::Map(_) => (piece(command.get("path")?)?, command),
        Value::List(words) => {
            let (program, args) = words.split_first()?;
            let args = args.iter().filter_map(piece).collect();
            let (command, env) = (piece(program)?, environment(node));
            return Some(Reach::Command { command, args, env, cwd: folder(node) });
        }
        _ => return None,
    };
    let (args, env) = (pieces(inside.get("args")), environment(inside));
    Some(Reach::Command { command: program, args, env, cwd: folder(node) })
}

fn folder(node: &Node) -> Option<String> {
    node.get("cwd").and_then(Node::text).map(str::to_owned)
}

/// `env`, and the names of Codex's `env_vars`, which it passes on from its own.
fn environment(node: &Node) -> Vec<(String, Piece)> {
    let passed = pieces(node.get("env_vars")).into_iter().map(|name| {
        let text = format!("${{env:{}}}", name.text);
        (name.text, Piece { text, at: name.at })
    });
    pairs(node.get("env")).chain(passed).collect()
}

fn headers(node: &Node) -> Vec<(String, Piece)> {
    let inside = |outer: &str| node.get(outer).and_then(|node| node.get("headers"));
    let plain = [node.get("headers"), node.get("http_headers"), inside("requestOptions")];
    let plain = plain.into_iter().chain([inside("requestInit")]).flat_map(pairs);
    let named = |(header, name): (String, Piece)| {
        (header, Piece { text: format!("${{env:{}}}", name.text), at: name.at })
    };
    let by_name = pairs(node.get("env_http_headers")).map(named);
    let bearer = node.get("bearer_token_env_var").and_then(piece).map(|name| {
        let text = format!("Bearer ${{env:{}}}", name.text);
        ("Authorization".to_owned(), Piece { text, at: name.at })
    });
    plain.chain(by_name).chain(bearer).collect()
}
