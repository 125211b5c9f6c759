//! `audit tail`, `audit search` and `audit show`

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use ::audit::{Entry, Filter, Outcome, Tail};
use serde_json::Value;

use crate::{
    cli::{
        Global, Output,
        audit::{Only, SearchArgs},
    },
    outcome::Mistake,
    print::{self, tame},
    state,
};

/// Records that are held at once.
const MOST: usize = 100_000;
/// How often `--follow` looks.
const LOOK: Duration = Duration::from_millis(300);

pub fn tail(global: &Global, lines: usize, follow: bool, only: Only) -> anyhow::Result<()> {
    let filter =
        Filter { refused: only.refused, failed: only.failed, events: true, ..Filter::default() };
    let nothing =
        if only.refused || only.failed { "no record matches" } else { "nothing is recorded yet" };
    if !follow {
        return print::rows(global.output, &newest(global, &filter, lines)?.0, nothing);
    }
    let dir = super::journal(global, None)?;
    let mut tail = Tail::new(&dir)?;
    let (before, _) = newest(global, &filter, lines)?;
    before.iter().try_for_each(|line| one(global, line))?;
    loop {
        for entry in tail.look()?.into_iter().filter(|entry| filter.matches(entry)) {
            one(global, &Line { entry, journal: dir.clone(), own: String::new() })?;
        }
        std::thread::sleep(LOOK);
    }
}

/// One record of a stream that has no end.
fn one(global: &Global, line: &Line) -> anyhow::Result<()> {
    match global.output {
        Output::Json => print::line(&serde_json::to_string(line)?),
        _ => {
            let cells = print::Row::cells(line);
            print::line(&cells.iter().filter(|cell| !cell.is_empty()).fold(
                String::new(),
                |all, cell| {
                    if all.is_empty() { cell.clone() } else { format!("{all}  {cell}") }
                },
            ))
        }
    }
}

pub fn search(global: &Global, args: SearchArgs) -> anyhow::Result<()> {
    let SearchArgs { filters, limit } = args;
    let filter = filters.filter();
    let (newest, more) = print::patiently("searching", || newest(global, &filter, limit))?;
    print::rows(global.output, &newest, "no record matches")?;
    if more {
        eprintln!("older records match too; --limit shows more of them");
    }
    Ok(())
}

pub fn show(global: &Global, what: &str, dir: Option<PathBuf>) -> anyhow::Result<()> {
    let (dir, what) = super::placed(global, what, dir)?;
    let missing = || {
        let mend = "`bartizan audit search` shows the records with their numbers";
        Mistake::new(format!("there is no record or call {what} in {}", dir.display()), mend)
    };
    let id = match what.parse::<u64>() {
        Err(_) => what.to_owned(),
        Ok(seq) => {
            let entry = ::audit::record(&dir, seq)?.ok_or_else(missing)?;
            match entry.text("id") {
                "" => return shown(global, &[entry]),
                id => id.to_owned(),
            }
        }
    };
    let filter = Filter { id: Some(id), ..Filter::default() };
    let found = print::patiently("searching", || ::audit::newest(&dir, &filter, MOST))?.0;
    if found.is_empty() {
        return Err(missing().into());
    }
    shown(global, &found)
}

/// Each member on a line of its own.
fn shown(global: &Global, entries: &[Entry]) -> anyhow::Result<()> {
    if global.output == Output::Json {
        return print::json(&entries);
    }
    let mut sheets = Vec::new();
    for entry in entries {
        let Value::Object(members) = serde_json::to_value(entry)? else { continue };
        let line = |(name, value): (&String, &Value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            format!("{name:<17} {}", tame(&value))
        };
        sheets.push(members.iter().map(line).collect::<Vec<_>>().join("\n"));
    }
    print::line(&sheets.join("\n\n"))
}

/// The newest records of all journals, oldest first, and whether there are more.
fn newest(global: &Global, filter: &Filter, count: usize) -> anyhow::Result<(Vec<Line>, bool)> {
    let count = count.clamp(1, MOST);
    let folder = state::folder(global.state_dir.clone())?;
    let (mut all, mut more) = (Vec::new(), false);
    for journal in state::journals(&folder) {
        let (newest, left) = ::audit::newest(&journal, filter, count)?;
        more |= left;
        let own = own(&folder, &journal);
        all.extend(newest.into_iter().map(|entry| Line {
            entry,
            journal: journal.clone(),
            own: own.clone(),
        }));
    }
    all.sort_by(|a, b| a.entry.time.cmp(&b.entry.time));
    more |= all.len() > count;
    all.drain(..all.len().saturating_sub(count));
    Ok((all, more))
}

/// What stands before the numbers of a journal that is not the gateway's.
fn own(folder: &Path, journal: &Path) -> String {
    let parent = journal.parent().and_then(|parent| parent.strip_prefix(folder).ok());
    let parent = parent.map(|parent| parent.display().to_string()).unwrap_or_default();
    if parent.is_empty() { parent } else { format!("{parent}:") }
}

#[derive(serde::Serialize)]
struct Line {
    #[serde(flatten)]
    entry: Entry,
    /// Where it is, since each journal counts for itself.
    journal: PathBuf,
    #[serde(skip)]
    own: String,
}

impl print::Row for Line {
    const TITLES: &'static [&'static str] =
        &["SEQ", "TIME", "KIND", "WHO", "WHAT", "OUTCOME", "WHY"];

    fn cells(&self) -> Vec<String> {
        let text = |member: &str| tame(self.entry.text(member));
        let what = ["method", "server", "name"]
            .map(text)
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(" ");
        let why = ["refusal", "rule", "detail"].map(text).into_iter().find(|text| !text.is_empty());
        vec![
            format!("{}{}", self.own, self.entry.seq),
            self.entry.time.clone(),
            self.entry.kind.as_str().to_owned(),
            text("principal"),
            what,
            self.entry.outcome.map(Outcome::as_str).unwrap_or_default().to_owned(),
            why.unwrap_or_default(),
        ]
    }
}
