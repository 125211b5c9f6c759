//! Arguments of tools, as conditions look at them: what there is to look at, and conditions that look at nothing.

use std::{ops::Range, path::Path};

use policy::{Arguments, Misread, Policy};
use serde::Serialize;

use super::{
    lint::Finding,
    live::{self, Offered},
    question, stored,
};
use crate::{
    cli::Global,
    config::{
        self, Loaded,
        fault::{self, nearest},
    },
    outcome::Mistake,
    print,
};

#[derive(Serialize)]
struct Row {
    argument: String,
    types: Vec<&'static str>,
    required: bool,
    conditions: Vec<String>,
}

impl print::Row for Row {
    const TITLES: &'static [&'static str] = &["ARGUMENT", "TYPE", "REQUIRED", "CONDITION"];

    fn cells(&self) -> Vec<String> {
        let types = match self.types.as_slice() {
            [] => "anything".to_owned(),
            types => types.join(" or "),
        };
        let required = if self.required { "yes" } else { "no" };
        let condition = self.conditions.first().cloned().unwrap_or_default();
        let cells = [self.argument.clone(), types, required.to_owned(), condition];
        cells.map(|cell| print::tame(&cell)).to_vec()
    }
}

/// What a policy can say of a tool's or a prompt's arguments.
pub fn run(global: &Global, tool: &str) -> anyhow::Result<()> {
    let loaded = stored::load(global)?;
    let (server, name) = question::thing(&loaded, tool)?;
    let offered = live::offered(global, &loaded)?;
    let one = found(&offered, &server, &name)?.offered();
    let rows: Vec<Row> = Arguments::of(one.action.kind, one.definition)
        .described()
        .into_iter()
        .map(|one| Row {
            types: one.types.iter().map(|one| one.as_str()).collect(),
            required: one.required,
            conditions: one.conditions(),
            argument: one.pointer,
        })
        .collect();
    print::rows(global.output, &rows, "its definition lists no arguments")
}

fn found<'a>(offered: &'a [Offered], server: &str, name: &str) -> Result<&'a Offered, Mistake> {
    let mut of_server = offered.iter().filter(|one| one.server == server);
    of_server.find(|one| one.name == name).ok_or_else(|| {
        let names = offered.iter().filter(|one| one.server == server);
        let mend = match nearest(name, names.map(|one| one.name.as_str())) {
            Some(near) => format!("did you mean {server}/{near}?"),
            None => "a definition is known once its server was listed through the gateway and it was approved: \
                     `bartizan trust list` shows which"
                .to_owned(),
        };
        Mistake::new(format!("no definition of {server}/{name} is known"), mend)
    })
}

/// Conditions on arguments that nothing takes.
pub fn misread(offered: &[Offered], loaded: &Loaded, policy: &Policy) -> Vec<Finding> {
    let finding = |found: Misread| Finding {
        finding: "argument",
        detail: match meant(&found) {
            Some(near) => format!("{}; did you mean {near}?", found.message),
            None => found.message.clone(),
        },
        place: place(loaded, &found).and_then(|place| place.told()),
        rule: found.rule,
    };
    held_against(offered, policy).into_iter().map(finding).collect()
}

/// Tells which conditions of what is in use (or about to be) look at no argument of the tools that are approved, each at
/// its place; `of` says of which files.
pub async fn warn(folder: &Path, loaded: &Loaded, policy: &Policy, of: impl Fn(&str) -> bool) {
    if !policy.looks_at_arguments() {
        return;
    }
    let approved = match live::approved(folder, loaded).await {
        Ok(approved) => approved,
        Err(fault) => {
            return tracing::warn!("conditions can't be held against what tools take: {fault:#}");
        }
    };
    for found in &held_against(&approved, policy) {
        let Some(Place { file, text, span }) = place(loaded, found).filter(|at| of(&at.file))
        else {
            continue;
        };
        let mend = match meant(found) {
            Some(near) => format!("did you mean {near}?"),
            None => "`bartizan policy arguments SERVER/TOOL` says what a tool takes".to_owned(),
        };
        let warning = config::Finding::warning(found.message.as_str(), span, mend);
        let told = fault::render(Path::new(&file), text, &[warning], fault::coloured());
        eprintln!("{told}\n");
    }
}

fn held_against(offered: &[Offered], policy: &Policy) -> Vec<Misread> {
    let offered: Vec<policy::Offered<'_>> = offered.iter().map(Offered::offered).collect();
    policy.misread(&offered)
}

/// The argument that was probably meant.
fn meant(found: &Misread) -> Option<&str> {
    let known = nearest(&found.pointer, found.known.iter().map(String::as_str));
    known.filter(|_| !found.known.contains(&found.pointer))
}

/// Where a condition stands.
struct Place<'a> {
    file: String,
    text: &'a str,
    span: Range<usize>,
}

impl Place<'_> {
    /// File, line and column.
    fn told(&self) -> Option<String> {
        let at = config::Finding::error("", self.span.clone(), "");
        let (line, column) = at.position(self.text)?;
        Some(format!("{}:{line}:{column}", self.file))
    }
}

fn place<'a>(loaded: &'a Loaded, misread: &Misread) -> Option<Place<'a>> {
    if let Some((name, span)) = &misread.place {
        let file = loaded.policies.iter().find(|file| file.name == *name)?;
        return Some(Place { file: name.clone(), text: &file.text, span: span.clone() });
    }
    let (file, text, line) = line(loaded, &misread.rule)?;
    // TOML and JSON pointers agree on what needs no escape.
    let pointer = format!("\"{}\"", misread.pointer);
    let inside = text.get(line.clone()).and_then(|line| line.find(&pointer));
    let span = match inside {
        Some(inside) => line.start + inside..line.start + inside + pointer.len(),
        None => line,
    };
    Some(Place { file, text, span })
}

/// Where a role's line stands, by what records call it.
fn line<'a>(loaded: &'a Loaded, name: &str) -> Option<(String, &'a str, Range<usize>)> {
    loaded.role_texts().find_map(|(file, text, roles)| {
        let span = roles.iter().find_map(|(key, role)| line_of(&key.0, role.get_ref(), name))?;
        Some((file, text, span))
    })
}

fn line_of(role: &str, written: &config::file::Role, name: &str) -> Option<Range<usize>> {
    let resolved = written.resolve(role);
    [
        ("allow", &written.allow, &resolved.allow),
        ("ask", &written.ask, &resolved.ask),
        ("deny", &written.deny, &resolved.deny),
    ]
    .into_iter()
    .find_map(|(effect, written, resolved)| {
        let mut both = written.iter().zip(resolved);
        both.find(|(_, rule)| rule.named(role, effect) == name).map(|(at, _)| at.span())
    })
}
