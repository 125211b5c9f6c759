//! Changing the configuration file: comments, order and spacing stay as they are.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use toml_edit::{Array, DocumentMut, Formatted, InlineTable, Item, Table, Value, value};

/// What `add` writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewServer {
    /// A command that the gateway starts.
    Command {
        command: String,
        args: Vec<String>,
        env: Vec<(String, String)>,
        /// Secrets that stay outside of it.
        placeholders: Vec<(String, Placeholder)>,
        /// What it reaches.
        egress: Vec<NewHost>,
        read: Vec<String>,
        write: Vec<String>,
        /// The folder that it starts in.
        cwd: Option<String>,
        /// The entry is kept, and the server left out.
        disabled: bool,
    },
    /// A remote server.
    Url {
        url: String,
        allow_private: bool,
        credential: Option<(String, String)>,
        headers: Vec<(String, String)>,
        query: Vec<(String, String)>,
        /// As above.
        disabled: bool,
    },
}

/// A secret that the way out puts in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placeholder {
    pub secret: String,
    pub hosts: Vec<String>,
    /// The one header, where that is not `Authorization`.
    pub header: Option<String>,
    /// The one parameter of the query, instead.
    pub query: Option<String>,
}

/// A host that a command reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewHost {
    pub name: String,
    /// Something else than HTTP is spoken there.
    pub opaque: bool,
}

/// The text with a section `[servers.NAME]` more. `None` when the name is taken, or `servers` is not a section.
pub fn with_server(
    text: &str,
    name: &str,
    server: &NewServer,
) -> Result<Option<String>, toml_edit::TomlError> {
    let mut document: DocumentMut = text.parse()?;
    let servers = document.entry("servers").or_insert_with(|| {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    });
    let Some(servers) = servers.as_table_like_mut() else { return Ok(None) };
    if servers.contains_key(name) {
        return Ok(None);
    }
    servers.insert(name, Item::Table(section(server)));
    let changed = document.to_string();
    Ok(Some(if text.is_empty() { changed.trim_start().to_owned() } else { changed }))
}

fn section(server: &NewServer) -> Table {
    let mut table = Table::new();
    table.decor_mut().set_prefix("\n");
    match server {
        NewServer::Command {
            command,
            args,
            env,
            placeholders,
            egress,
            read,
            write,
            cwd,
            disabled,
        } => {
            table.insert("command", value(command));
            if !args.is_empty() {
                table.insert("args", value(args.iter().collect::<Array>()));
            }
            let mut variables = inline(env);
            for (name, placeholder) in placeholders {
                variables.insert(name, Value::InlineTable(outside(placeholder)));
            }
            if !variables.is_empty() {
                table.insert("env", value(variables));
            }
            let named = [("read", read), ("write", write)].map(|(key, paths)| {
                (key, Value::Array(paths.iter().collect::<Array>()), paths.is_empty())
            });
            let named = named.into_iter().filter(|(_, _, empty)| !empty);
            let sandbox: InlineTable = named.map(|(key, paths, _)| (key, paths)).collect();
            if let Some(cwd) = cwd {
                table.insert("cwd", value(cwd));
            }
            if !sandbox.is_empty() {
                table.insert("sandbox", value(sandbox));
            }
            if *disabled {
                table.insert("enabled", value(false));
            }
            if !egress.is_empty() {
                let mut section = Table::new();
                section.insert("hosts", value(egress.iter().map(host).collect::<Array>()));
                table.insert("egress", Item::Table(section));
            }
        }
        NewServer::Url { url, allow_private, credential, headers, query, disabled } => {
            table.insert("url", value(url));
            if *allow_private {
                table.insert("allow-private", value(true));
            }
            if *disabled {
                table.insert("enabled", value(false));
            }
            for (key, pairs) in [("headers", headers), ("query", query)] {
                if !pairs.is_empty() {
                    table.insert(key, value(inline(pairs)));
                }
            }
            if let Some((header, text)) = credential {
                let mut credential = Table::new();
                credential.insert("header", value(header));
                credential.insert("value", value(text));
                table.insert("credential", Item::Table(credential));
            }
        }
    }
    table
}

fn outside(placeholder: &Placeholder) -> InlineTable {
    let Placeholder { secret, hosts, header, query } = placeholder;
    let mut table = InlineTable::new();
    table.insert("secret", Value::from(secret));
    table.insert("hosts", Value::Array(hosts.iter().collect::<Array>()));
    if let Some(header) = header {
        table.insert("headers", Value::Array([header].into_iter().collect::<Array>()));
    }
    if let Some(query) = query {
        table.insert("headers", Value::Array(Array::new()));
        table.insert("query", Value::Array([query].into_iter().collect::<Array>()));
    }
    table
}

fn host(host: &NewHost) -> Value {
    if !host.opaque {
        return Value::from(&host.name);
    }
    let mut table = InlineTable::new();
    table.insert("host", Value::from(&host.name));
    table.insert("tls", Value::from("off"));
    Value::InlineTable(table)
}

fn inline(pairs: &[(String, String)]) -> InlineTable {
    let pair = |(name, text): &(String, String)| {
        (name.clone(), Value::String(Formatted::new(text.clone())))
    };
    pairs.iter().map(pair).collect()
}

/// The text without the section `[servers.NAME]`. `None` when there is none.
pub fn without_server(text: &str, name: &str) -> Result<Option<String>, toml_edit::TomlError> {
    let mut document: DocumentMut = text.parse()?;
    let removed = document
        .get_mut("servers")
        .and_then(Item::as_table_like_mut)
        .and_then(|servers| servers.remove(name));
    Ok(removed.map(|_| document.to_string()))
}

/// Writes a whole file or nothing: beside the old one first, then in its place. The old one's permissions stay.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = super::folder_of(&path);
    fs::create_dir_all(&folder)?;
    let mut beside = path.clone().into_os_string();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(beside);
    let outcome = write_beside(&beside, &path, text);
    if outcome.is_err() {
        let _ = fs::remove_file(&beside);
    }
    outcome
}

fn write_beside(beside: &Path, path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(beside)?;
    file.write_all(text.as_bytes())?;
    if let Ok(old) = fs::metadata(path) {
        file.set_permissions(old.permissions())?;
    }
    file.sync_all()?;
    fs::rename(beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# mine\nlisten = \"127.0.0.1:1\" # why\n\n# the first\n[servers.a]\ncommand = \"a\"\n\n[limits]\ndepth = 9\n";

    fn url() -> NewServer {
        NewServer::Url {
            url: "https://x/mcp".into(),
            allow_private: false,
            credential: Some(("Authorization".into(), "Bearer ${env:X}".into())),
            headers: Vec::new(),
            query: Vec::new(),
            disabled: false,
        }
    }

    #[test]
    fn adding_and_removing_gives_the_old_text_back() {
        let added = with_server(TEXT, "b", &url()).unwrap().unwrap();
        assert!(
            added.contains("# mine\nlisten = \"127.0.0.1:1\" # why\n\n# the first\n[servers.a]"),
            "{added}"
        );
        assert!(
            added.contains("[servers.b]\nurl = \"https://x/mcp\"\n\n[servers.b.credential]\n"),
            "{added}"
        );
        assert_eq!(without_server(&added, "b").unwrap().unwrap(), TEXT);
    }

    #[test]
    fn a_name_is_added_once_and_removed_once() {
        assert_eq!(with_server(TEXT, "a", &url()).unwrap(), None);
        assert_eq!(without_server(TEXT, "b").unwrap(), None);
        assert_eq!(without_server("", "b").unwrap(), None);
    }
}
