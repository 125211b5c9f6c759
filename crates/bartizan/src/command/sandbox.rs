//! `sandbox`: what a local server may touch, and what it wanted.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use sandbox::gate::{Host, Rule};
use serde::Serialize;
use similar::TextDiff;
use store::{EgressSeen, Store};
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, Value};

use super::lock::local_servers;
use super::{load, wait};
use crate::cli::{Global, SandboxCommand};
use crate::config::egress::{EgressHost, EnvValue};
use crate::config::{edit, file::Server};
use crate::lock;
use crate::outcome::Mistake;
use crate::{print, state};

pub fn run(global: &Global, command: &SandboxCommand) -> anyhow::Result<()> {
    match command {
        SandboxCommand::Show { server } => show(global, server),
        SandboxCommand::Suggest { server, write } => suggest(global, server, *write),
    }
}

/// One thing that a server may do or has.
#[derive(Serialize)]
struct Line {
    what: &'static str,
    value: String,
}

impl print::Row for Line {
    const TITLES: &'static [&'static str] = &["WHAT", "VALUE"];

    fn cells(&self) -> Vec<String> {
        vec![self.what.to_owned(), self.value.clone()]
    }
}

fn show(global: &Global, name: &str) -> anyhow::Result<()> {
    let loaded = load(global)?;
    let (_, server) = local_servers(&loaded, Some(name))?.remove(0);
    let mut lines = vec![Line { what: "command", value: command(server) }];
    let mut line = |what, value| lines.push(Line { what, value });
    match lock::read(&loaded.folder())?.get(name) {
        Some(package) => {
            let version = package.version.as_deref().unwrap_or_default();
            line("runs", format!("{} {version} {}", package.name, package.digest));
        }
        None => {
            line("runs", "whatever is found when it starts: `bartizan lock` locks it".to_owned())
        }
    }
    for (variable, value) in &server.env {
        match value.get_ref() {
            EnvValue::Plain(template) if template.reference.is_literal() => {
                line("variable", variable.clone());
            }
            EnvValue::Plain(_) => line("secret inside", variable.clone()),
            EnvValue::Secret(secret) if secret.descriptor.is_some() => {
                line("secret inside", format!("{variable}, from a descriptor"));
            }
            EnvValue::Secret(secret) => {
                let hosts: Vec<String> = secret.hosts.iter().map(ToString::to_string).collect();
                line("secret outside", format!("{variable}, for {}", hosts.join(", ")));
            }
        }
    }
    match &server.egress {
        None => line("reaches", "nothing".to_owned()),
        Some(egress) => {
            for host in &egress.hosts {
                line("reaches", describe(&host.get_ref().rule()));
            }
            if egress.learn {
                line(
                    "reaches",
                    "every public host, on the ports 80 and 443 (learn = true)".to_owned(),
                );
            }
        }
    }
    print::rows(global.output, &lines, "")
}

fn command(server: &Server) -> String {
    let command = server.command.iter().map(|command| command.get_ref().as_str());
    let args = server.args.iter().map(|arg| arg.get_ref().as_str());
    command.chain(args).collect::<Vec<_>>().join(" ")
}

fn describe(rule: &Rule) -> String {
    let ports: Vec<String> = rule.ports.iter().map(u16::to_string).collect();
    let how = match rule.tls {
        sandbox::gate::Tls::Terminate => "",
        sandbox::gate::Tls::PassThrough => ", TLS not opened",
        sandbox::gate::Tls::Off => ", not looked into",
    };
    let private = if rule.allow_private { ", private addresses too" } else { "" };
    format!("{rule} on {}{how}{private}", ports.join(", "))
}

fn suggest(global: &Global, name: &str, write: bool) -> anyhow::Result<()> {
    let loaded = load(global)?;
    let (_, server) = local_servers(&loaded, Some(name))?.remove(0);
    let folder = state::folder(global.state_dir.clone())?;
    let seen = wait(async {
        let store = Store::open(&folder.join(state::STORE)).await?;
        Ok(store.egress_seen(name).await?)
    })?;
    if seen.is_empty() {
        let mend = format!(
            "set [servers.{name}.egress] learn = true, use the server for a while, and ask again"
        );
        return Err(Mistake::new(format!("nothing is known of what `{name}` wants"), mend).into());
    }
    let path = loaded.path.as_ref().context("there is no configuration file")?;
    let changed = with_hosts(&loaded.text, name, &wanted(server, &seen))?;
    if write {
        edit::write(path, &changed)?;
        return print::line(&format!(
            "{} changed: `{name}` reaches what it was seen to need",
            path.display()
        ));
    }
    let label = path.display().to_string();
    let diff = TextDiff::from_lines(&loaded.text, &changed);
    print::text(&diff.unified_diff().header(&label, &label).to_string())
}

/// A host that was reached and that no entry allows yet, with the least that covers what was done there.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    methods: BTreeSet<String>,
    paths: BTreeSet<String>,
}

/// More different beginnings of paths than this are no pattern.
const PATHS: usize = 4;

fn wanted(server: &Server, seen: &[EgressSeen]) -> BTreeMap<(String, u16), Wanted> {
    let hosts = server.egress.iter().flat_map(|egress| &egress.hosts);
    let rules: Vec<Rule> = hosts.map(|host| EgressHost::rule(host.get_ref())).collect();
    let mut wanted: BTreeMap<(String, u16), Wanted> = BTreeMap::new();
    for EgressSeen { host, port, method, path } in seen {
        let Some(parsed) = Host::parse(host) else { continue };
        let known = rules.iter().any(|rule| {
            rule.host.matches(&parsed)
                && rule.ports.contains(port)
                && (rule.methods.is_empty() || rule.methods.iter().any(|m| m.as_str() == method))
                && (rule.paths.is_empty()
                    || rule.paths.iter().any(|p| path.starts_with(p.as_str())))
        });
        if !known {
            let entry = wanted.entry((host.clone(), *port)).or_default();
            entry.methods.insert(method.clone());
            // The first segment: what is behind it is often a name or a number.
            let first = path.split('/').nth(1).unwrap_or_default();
            entry.paths.insert(format!("/{first}"));
        }
    }
    wanted
}

/// The configuration with these hosts in the server's section, and without `learn`.
fn with_hosts(
    text: &str,
    server: &str,
    wanted: &BTreeMap<(String, u16), Wanted>,
) -> anyhow::Result<String> {
    let mut document: DocumentMut = text.parse()?;
    let section = document
        .get_mut("servers")
        .and_then(Item::as_table_like_mut)
        .and_then(|servers| servers.get_mut(server))
        .and_then(Item::as_table_like_mut)
        .context("the server has no section")?;
    let egress = section.entry("egress").or_insert_with(|| Item::Table(Table::new()));
    let egress = egress.as_table_like_mut().context("`egress` is not a section")?;
    egress.remove("learn");
    let hosts = egress.entry("hosts").or_insert_with(|| Item::Value(Value::Array(Array::new())));
    let hosts = hosts.as_array_mut().context("`hosts` is not a list")?;
    for ((host, port), Wanted { methods, paths }) in wanted {
        let mut entry = InlineTable::new();
        entry.insert("host", host.as_str().into());
        if *port != 443 {
            entry.insert("ports", Value::Array(Array::from_iter([i64::from(*port)])));
        }
        let methods = methods.iter().filter(|method| !method.is_empty()).map(String::as_str);
        let methods = Array::from_iter(methods);
        if !methods.is_empty() {
            entry.insert("methods", Value::Array(methods));
        }
        if paths.len() <= PATHS && !paths.contains("/") {
            entry.insert("paths", Value::Array(Array::from_iter(paths.iter().map(String::as_str))));
        }
        hosts.push(entry);
    }
    Ok(document.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(host: &str, port: u16, method: &str, path: &str) -> EgressSeen {
        EgressSeen { host: host.into(), port, method: method.into(), path: path.into() }
    }

    #[test]
    fn the_least_that_covers_what_was_seen() {
        let text = "[servers.s]\ncommand = \"x\" # mine\n\n[servers.s.egress]\nhosts = [\"known.test\"]\nlearn = true\n";
        let file: crate::config::File = toml::from_str(text).unwrap();
        let server = file.servers.values().next().unwrap().get_ref();
        let mut all = vec![
            seen("known.test", 443, "GET", "/x"),
            seen("api.test", 443, "GET", "/v1/a"),
            seen("api.test", 443, "POST", "/v1/b"),
            seen("plain.test", 80, "GET", "/"),
        ];
        all.extend((0..9).map(|n| seen("many.test", 443, "GET", &format!("/{n}"))));
        let changed = with_hosts(text, "s", &wanted(server, &all)).unwrap();
        let expected = "[servers.s]\ncommand = \"x\" # mine\n\n[servers.s.egress]\nhosts = [\"known.test\", \
            { host = \"api.test\", methods = [\"GET\", \"POST\"], paths = [\"/v1\"] }, \
            { host = \"many.test\", methods = [\"GET\"] }, \
            { host = \"plain.test\", ports = [80], methods = [\"GET\"] }]\n";
        assert_eq!(changed, expected);
        let again: crate::config::File = toml::from_str(&changed).unwrap();
        assert!(wanted(again.servers.values().next().unwrap().get_ref(), &all).is_empty());
    }
}
