//! `sandbox suggest`: the smallest profile that covers what a server was seen to use and to ask for, as a
//! change of its entry.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use similar::TextDiff;
use store::{EgressSeen, Store, Want};
use toml_edit::{Array, DocumentMut, InlineTable, Item, TableLike, Value};

use super::files::{Asked, Files};
use super::hosts;
use crate::cli::Global;
use crate::command::lock::local_servers;
use crate::command::{load, wait};
use crate::config::confinement::{Named, Unseen};
use crate::config::egress::EnvValue;
use crate::config::{edit, file::Server};
use crate::outcome::Mistake;
use crate::{print, state};

pub(super) fn run(global: &Global, name: &str, write: bool) -> anyhow::Result<()> {
    let loaded = load(global)?;
    let (_, server) = local_servers(&loaded, Some(name))?.remove(0);
    let folder = state::folder(global.state_dir.clone())?;
    let (reached, wants) = wait(async {
        let store = Store::open(&folder.join(state::STORE)).await?;
        Ok((store.egress_seen(name).await?, store.wants_seen(name).await?))
    })?;
    if reached.is_empty() && wants.is_empty() {
        let mend = format!(
            "set learn = true in [servers.{name}.sandbox] (files, system calls) or [servers.{name}.egress] (hosts), use the server for a while, and ask again"
        );
        return Err(Mistake::new(format!("nothing is known of what `{name}` wants"), mend).into());
    }
    let path = loaded.path.as_ref().context("there is no configuration file")?;
    let base = loaded.folder();
    let seen = Seen { reached, calls: calls(&wants), files: files(server, &base, wants) };
    let changed = seen.applied(&loaded.text, name, server)?;
    if write {
        edit::write(path, &changed)?;
        print::line(&format!("{} changed: `{name}` has what it was seen to need", path.display()))?;
    } else {
        let label = path.display().to_string();
        let diff = TextDiff::from_lines(&loaded.text, &changed);
        print::text(&diff.unified_diff().header(&label, &label).to_string())?;
    }
    for (path, why) in &seen.files.withheld {
        let path = print::tame(&path.display().to_string());
        print::line(&format!("# it asked for {path}, which is not proposed: {why}"))?;
    }
    Ok(())
}

/// What is known of what a server wants.
struct Seen {
    reached: Vec<EgressSeen>,
    calls: BTreeSet<String>,
    files: Files,
}

fn calls(wants: &[Want]) -> BTreeSet<String> {
    let call = |want: &Want| match want {
        Want::Call(name) => Some(name.clone()),
        Want::Read(_) | Want::Write(_) => None,
    };
    wants.iter().filter_map(call).collect()
}

fn files(server: &Server, base: &Path, wants: Vec<Want>) -> Files {
    let mut paths: BTreeMap<PathBuf, bool> = BTreeMap::new();
    for want in wants {
        let (path, write) = match want {
            Want::Call(_) => continue,
            Want::Read(path) => (path, false),
            Want::Write(path) => (path, true),
        };
        *paths.entry(path.into()).or_default() |= write;
    }
    let command = server.command.as_ref().map(|command| command.get_ref().as_str());
    let unseen = Unseen::by(server, command.unwrap_or_default(), base);
    let named = |paths: &[toml::Spanned<PathBuf>]| -> Vec<PathBuf> {
        paths.iter().map(|path| base.join(path.get_ref())).collect()
    };
    let args = server.args.iter().map(|arg| arg.get_ref().as_str());
    let env = server.env.values().filter_map(|value| match value.get_ref() {
        EnvValue::Plain(template) => Some(template.text()),
        EnvValue::Secret(_) => None,
    });
    let meant = args.chain(env).filter_map(|text| match unseen.named_in(text)? {
        Named::There(path) => Some(path.to_owned()),
        Named::Missing(_) => None,
    });
    let asked = Asked {
        paths,
        meant: meant.collect(),
        unseen: &unseen,
        read: named(&server.sandbox.read),
        write: named(&server.sandbox.write),
        home: std::env::home_dir(),
    };
    asked.proposal()
}

impl Seen {
    /// The configuration with it in the server's entry, and without `learn`.
    fn applied(&self, text: &str, name: &str, server: &Server) -> anyhow::Result<String> {
        let mut document: DocumentMut = text.parse()?;
        let section = document
            .get_mut("servers")
            .and_then(Item::as_table_like_mut)
            .and_then(|servers| servers.get_mut(name))
            .and_then(Item::as_table_like_mut)
            .context("the server has no section")?;
        hosts::write(section, &hosts::wanted(server, &self.reached))?;
        self.write_sandbox(section)?;
        Ok(document.to_string())
    }

    fn write_sandbox(&self, section: &mut dyn TableLike) -> anyhow::Result<()> {
        let Files { read, write, .. } = &self.files;
        let nothing = self.calls.is_empty() && read.is_empty() && write.is_empty();
        if nothing && !section.contains_key("sandbox") {
            return Ok(());
        }
        let empty = || Item::Value(Value::InlineTable(InlineTable::new()));
        let sandbox = section.entry("sandbox").or_insert_with(empty);
        let sandbox = sandbox.as_table_like_mut().context("`sandbox` is not a section")?;
        sandbox.remove("learn");
        for (key, paths) in [("read", read), ("write", write)] {
            let paths = paths.iter().map(|path| path.display().to_string());
            add(sandbox, key, paths.collect(), usize::MAX)?;
        }
        add(sandbox, "calls", self.calls.clone(), CALLS_IN_A_LINE)
    }
}

const CALLS_IN_A_LINE: usize = 8;

/// Adds texts to a list, `width` of them in a line.
fn add(
    table: &mut dyn TableLike,
    key: &str,
    texts: BTreeSet<String>,
    width: usize,
) -> anyhow::Result<()> {
    if texts.is_empty() {
        return Ok(());
    }
    let list = table.entry(key).or_insert_with(|| Item::Value(Value::Array(Array::new())));
    let list = list.as_array_mut().with_context(|| format!("`{key}` is not a list"))?;
    let known = |list: &Array, text: &str| list.iter().any(|value| value.as_str() == Some(text));
    for text in texts {
        if !known(list, &text) {
            list.push(text);
        }
    }
    if list.len() > width {
        for (at, value) in list.iter_mut().enumerate() {
            let before = if at % width == 0 { "\n    " } else { " " };
            value.decor_mut().set_prefix(before);
        }
        list.set_trailing_comma(true);
        list.set_trailing("\n");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(host: &str, port: u16, method: &str, path: &str) -> EgressSeen {
        EgressSeen { host: host.into(), port, method: method.into(), path: path.into() }
    }

    fn server(text: &str) -> Server {
        let file: crate::config::File = toml::from_str(text).unwrap();
        file.servers.into_values().next().unwrap().into_inner()
    }

    #[test]
    fn hosts_with_the_least_that_covers_what_was_seen() {
        let text = "[servers.s]\ncommand = \"x\" # mine\n\n[servers.s.egress]\nhosts = [\"known.test\"]\nlearn = true\n";
        let mut all = vec![
            reached("known.test", 443, "GET", "/x"),
            reached("api.test", 443, "GET", "/v1/a"),
            reached("api.test", 443, "POST", "/v1/b"),
            reached("plain.test", 80, "GET", "/"),
        ];
        all.extend((0..9).map(|n| reached("many.test", 443, "GET", &format!("/{n}"))));
        let seen = Seen { reached: all, calls: BTreeSet::new(), files: Files::default() };
        let changed = seen.applied(text, "s", &server(text)).unwrap();
        let expected = "[servers.s]\ncommand = \"x\" # mine\n\n[servers.s.egress]\nhosts = [\"known.test\", \
            { host = \"api.test\", methods = [\"GET\", \"POST\"], paths = [\"/v1\"] }, \
            { host = \"many.test\", methods = [\"GET\"] }, \
            { host = \"plain.test\", ports = [80], methods = [\"GET\"] }]\n";
        assert_eq!(changed, expected);
        assert!(hosts::wanted(&server(&changed), &seen.reached).is_empty());
    }

    #[test]
    fn files_and_calls_go_where_the_entry_has_its_own() {
        let files = Files {
            read: BTreeSet::from(["/srv/a".into()]),
            write: BTreeSet::from(["/srv/b".into()]),
            ..Files::default()
        };
        let calls: BTreeSet<String> = (0..9).map(|n| format!("call{n}")).collect();
        let seen = Seen { reached: vec![], calls, files };
        for (text, expected) in [
            (
                "[servers.s]\ncommand = \"x\"\nsandbox = { read = [\"/srv/c\"], learn = true }\n",
                "[servers.s]\ncommand = \"x\"\nsandbox = { read = [\"/srv/c\", \"/srv/a\"]",
            ),
            (
                "[servers.s]\ncommand = \"x\"\n[servers.s.sandbox]\nlearn = true\ncalls = [\"call1\"]\n",
                "[servers.s]\ncommand = \"x\"\n[servers.s.sandbox]\ncalls = [\n    \"call1\"",
            ),
            (
                "[servers.s]\ncommand = \"x\"\n",
                "[servers.s]\ncommand = \"x\"\nsandbox = { read = [\"/srv/a\"]",
            ),
        ] {
            let changed = seen.applied(text, "s", &server(text)).unwrap();
            assert!(changed.starts_with(expected), "{changed}");
            let again = server(&changed);
            assert_eq!(again.sandbox.calls.len(), 9, "{changed}");
            assert!(!again.sandbox.learn && again.egress.is_none(), "{changed}");
            assert_eq!(again.sandbox.write[0].get_ref(), Path::new("/srv/b"));
            // Seen again, nothing changes.
            assert_eq!(seen.applied(&changed, "s", &again).unwrap(), changed);
        }
    }
}
