//! The keys of one file, wherever in it they stand.

use super::{
    Looked,
    keys::{Keys, mask},
    server::{Reach, Server},
};

/// A key in plain sight.
pub struct Leak<'l> {
    /// The entry that it belongs to; `None`: a comment, or a part that is not about MCP.
    pub server: Option<&'l Server>,
    /// In which part of it.
    pub part: String,
    /// The byte of the file's text at which that stands.
    pub at: usize,
    pub value: &'l str,
    pub what: String,
}

/// All keys of a file: in its entries, then those of known forms in the rest of it.
pub fn leaks<'l>(keys: &Keys, looked: &'l Looked) -> Vec<Leak<'l>> {
    let mut leaks = Vec::new();
    let mut seen = Vec::new();
    for server in &looked.servers {
        for key in keys.of(server) {
            let at = key.slot.piece(server).map_or(server.at.start, |piece| piece.at.start);
            leaks.push(Leak {
                server: Some(server),
                part: key.slot.name(server),
                at,
                value: key.value(server),
                what: key.what,
            });
        }
        seen.extend(pieces(server));
    }
    let text = looked.original.text();
    for (range, what) in keys.in_text(text) {
        let known = seen.iter().any(|at| at.start < range.end && range.start < at.end);
        if let (false, Some(value)) = (known, text.get(range.clone())) {
            let part = "elsewhere".to_owned();
            leaks.push(Leak { server: None, part, at: range.start, value, what });
        }
    }
    leaks
}

fn pieces(server: &Server) -> Vec<std::ops::Range<usize>> {
    match &server.reach {
        Reach::Command { command, args, env, .. } => std::iter::once(command)
            .chain(args)
            .chain(env.iter().map(|(_, piece)| piece))
            .map(|piece| piece.at.clone())
            .collect(),
        Reach::Url { url, headers } => std::iter::once(url)
            .chain(headers.iter().map(|(_, piece)| piece))
            .map(|piece| piece.at.clone())
            .collect(),
    }
}

/// The text with masks in place of the keys, to be shown.
pub fn hide(text: &str, leaks: &[Leak<'_>]) -> String {
    let mut values: Vec<&str> = leaks.iter().map(|leak| leak.value).collect();
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    let mut shown = text.to_owned();
    for value in values.into_iter().filter(|value| !value.is_empty()) {
        let written = serde_json::Value::from(value).to_string();
        let written = written.trim_matches('"');
        shown = shown.replace(value, &mask(value)).replace(written, &mask(value));
    }
    shown
}
