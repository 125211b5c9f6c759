//! Which hosts a server was seen to need.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use sandbox::gate::{Host, Rule};
use store::EgressSeen;
use toml_edit::{Array, InlineTable, Item, Table, TableLike, Value};

use crate::config::{egress::EgressHost, file::Server};

/// A host that was reached and that no entry allows yet, with the least that covers what was done there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    methods: BTreeSet<String>,
    paths: BTreeSet<String>,
}

/// More different beginnings of paths than this are no pattern.
const PATHS: usize = 4;

pub(super) fn wanted(server: &Server, seen: &[EgressSeen]) -> BTreeMap<(String, u16), Wanted> {
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

/// Puts these hosts into a server's section, and takes `learn` out.
pub(super) fn write(
    section: &mut dyn TableLike,
    wanted: &BTreeMap<(String, u16), Wanted>,
) -> anyhow::Result<()> {
    if wanted.is_empty() && !section.contains_key("egress") {
        return Ok(());
    }
    let egress = section.entry("egress").or_insert_with(|| Item::Table(Table::new()));
    let egress = egress.as_table_like_mut().context("`egress` is not a section")?;
    egress.remove("learn");
    if wanted.is_empty() {
        return Ok(());
    }
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
    Ok(())
}
