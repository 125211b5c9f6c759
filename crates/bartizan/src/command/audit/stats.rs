//! `audit stats`

use std::path::Path;

use ::audit::Stats;
use serde_json::json;

use crate::{
    cli::{Global, Output, audit::Filters},
    print::{self, tame},
    state,
};

/// How one member is called in the table.
const TITLES: [(&str, &str); 7] = [
    ("kind", "kind"),
    ("outcome", "outcome"),
    ("refusal", "refused for"),
    ("principal", "who"),
    ("client", "client"),
    ("server", "server"),
    ("name", "what"),
];

pub fn run(global: &Global, filters: Filters, top: usize) -> anyhow::Result<()> {
    let filter = filters.filter();
    let folder = state::folder(global.state_dir.clone())?;
    let mut all = Stats::default();
    print::patiently("counting", || -> anyhow::Result<()> {
        for journal in state::journals(&folder) {
            all.add(::audit::stats(&journal, &filter)?);
        }
        Ok(())
    })?;
    let exports = exports(&folder)?;
    if global.output == Output::Json {
        return print::json(
            &json!({"records": all.records, "values": all.values, "exports": exports}),
        );
    }
    let mut rows = vec![Row { of: "records", value: String::new(), count: all.records }];
    for (member, title) in TITLES {
        let mut counts: Vec<_> = all.values.get(member).into_iter().flatten().collect();
        counts.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        let values = counts.into_iter().take(top);
        rows.extend(values.map(|(value, count)| Row {
            of: title,
            value: tame(value),
            count: *count,
        }));
    }
    rows.extend(exports.iter().map(|export| Row {
        of: "exported to",
        value: export.name.clone(),
        count: export.done,
    }));
    print::rows(global.output, &rows, "nothing is recorded yet")
}

#[derive(serde::Serialize)]
struct Row {
    of: &'static str,
    value: String,
    count: u64,
}

impl print::Row for Row {
    const TITLES: &'static [&'static str] = &["OF", "VALUE", "COUNT"];

    fn cells(&self) -> Vec<String> {
        vec![self.of.to_owned(), self.value.clone(), self.count.to_string()]
    }
}

/// How far an export has got.
#[derive(serde::Serialize)]
struct Exported {
    name: String,
    /// The number of the last record that its receiver has.
    done: u64,
}

fn exports(folder: &Path) -> anyhow::Result<Vec<Exported>> {
    let mut all = Vec::new();
    let Ok(files) = std::fs::read_dir(folder.join("export")) else { return Ok(all) };
    for file in files {
        let path = file?.path();
        let name = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".cursor"));
        if let (Some(name), Some(done)) = (name, ::audit::Cursor::peek(&path)) {
            all.push(Exported { name: name.to_owned(), done });
        }
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}
