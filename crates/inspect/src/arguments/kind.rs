//! What a parameter takes, from its schema, its name and the shape of its value.

use mcp::Json;

/// What a value will be used as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parameter {
    /// A command line.
    Command,
    /// A header of HTTP or mail.
    Header,
    /// A short value: a name, an identifier, words to search for.
    Name,
    /// A file or folder.
    Path,
    /// A statement, or a part of one.
    Sql,
    /// A template.
    Template,
    /// Prose, markup or code, which may hold anything.
    Text,
    /// An address.
    Url,
}

const NAMES: [(Parameter, &[&str]); 7] = [
    (
        Parameter::Text,
        &[
            "content",
            "contents",
            "text",
            "body",
            "message",
            "description",
            "code",
            "markdown",
            "html",
            "prompt",
            "comment",
            "summary",
            "note",
            "notes",
            "snippet",
            "patch",
            "diff",
            "svg",
            "data",
            "document",
            "thought",
            "instructions",
            "caption",
            "bio",
            "json",
            "payload",
            "source_code",
            "mermaid",
            "css",
            "title",
            "subject",
            "question",
            "answer",
            "abstract",
            "insight",
            "observation",
            "equation",
            "expression",
            "formula",
            "regex",
            "pattern",
        ],
    ),
    (
        Parameter::Url,
        &[
            "url", "uri", "link", "href", "endpoint", "webhook", "callback", "website", "redirect",
            "host", "hostname", "domain", "server", "address",
        ],
    ),
    (Parameter::Sql, &["sql", "statement"]),
    (
        Parameter::Command,
        &["command", "cmd", "shell", "script", "bash", "exec", "commands", "args", "argv"],
    ),
    (Parameter::Template, &["template", "tmpl", "format"]),
    (Parameter::Header, &["header", "headers", "cookie", "cookies", "agent", "referer"]),
    (
        Parameter::Path,
        &[
            "path",
            "paths",
            "file",
            "files",
            "filename",
            "filepath",
            "dir",
            "directory",
            "folder",
            "dest",
            "destination",
            "root",
            "cwd",
            "output",
            "input",
            "src",
        ],
    ),
];

pub(crate) fn parameter(name: &str, schema: Option<Json<'_>>, value: &str) -> Parameter {
    if let Some(parameter) = schema
        .and_then(|schema| schema.get("format")?.string())
        .and_then(|format| by_format(&format))
    {
        return parameter;
    }
    // The last word of a name says what it is: `file_content` is content, `content_path` a path.
    let words = words(name);
    for word in words.iter().rev() {
        let known = NAMES.iter().find(|(_, names)| names.contains(&word.as_str()));
        match known {
            // A whole statement is what such a parameter takes; anything else is put into one.
            Some((Parameter::Sql, _)) if !is_statement(value) => return Parameter::Name,
            Some((parameter, _)) => return *parameter,
            None => {}
        }
    }
    by_shape(value)
}

fn by_format(format: &str) -> Option<Parameter> {
    match format {
        "uri" | "url" | "uri-reference" | "iri" | "hostname" => Some(Parameter::Url),
        "path" | "file-path" | "file" | "directory" => Some(Parameter::Path),
        "sql" => Some(Parameter::Sql),
        "markdown" | "html" | "textarea" | "multiline" => Some(Parameter::Text),
        _ => None,
    }
}

fn is_statement(value: &str) -> bool {
    let word: String = value.trim_start().chars().take_while(char::is_ascii_alphabetic).collect();
    let verbs = [
        "select", "insert", "update", "delete", "with", "create", "alter", "drop", "explain",
        "show", "describe", "pragma", "call", "merge", "truncate", "grant", "set", "begin",
    ];
    verbs.contains(&word.to_ascii_lowercase().as_str())
}

/// A value that nobody named: a path or URL looks like one, many words or lines are text.
fn by_shape(value: &str) -> Parameter {
    let path = value.starts_with(['/', '\\', '~'])
        || value.starts_with("./")
        || value.starts_with("../")
        || value.starts_with("..\\");
    if value.contains("://") && !value.contains(char::is_whitespace) {
        Parameter::Url
    } else if path && !value.contains('\n') {
        Parameter::Path
    } else if value.contains('\n') || value.len() > 400 {
        Parameter::Text
    } else {
        Parameter::Name
    }
}

/// `inputFilePath`, `input_file_path` and `input-file-path` are three words.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut small = false;
    for char in name.chars().take(80) {
        if !char.is_alphanumeric() || char.is_uppercase() && small {
            words.push(String::new());
        }
        small = char.is_lowercase();
        if char.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(char.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}
