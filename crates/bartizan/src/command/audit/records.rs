//! `audit tail` and `audit search`

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
};

use ::audit::{Entry, Filter, Kind, Outcome};
use serde_json::Value;

use crate::{
    cli::{Global, Only, SearchArgs},
    print::{self, tame},
    state,
};

/// Records that are held at once.
const MOST: usize = 100_000;

pub fn tail(global: &Global, lines: usize, only: Only) -> anyhow::Result<()> {
    let filter = Filter { refused: only.refused, ..Filter::default() };
    let (newest, _) = newest(global, &filter, only, lines)?;
    let nothing =
        if only.refused || only.failed { "no record matches" } else { "nothing is recorded yet" };
    print::rows(global.output, &newest, nothing)
}

pub fn search(global: &Global, args: SearchArgs) -> anyhow::Result<()> {
    let SearchArgs { who, tool, server, only, since, until, limit } = args;
    let filter = Filter { who, tool, server, refused: only.refused, since, until };
    let (newest, more) = print::patiently("searching", || newest(global, &filter, only, limit))?;
    print::rows(global.output, &newest, "no record matches")?;
    if more > 0 {
        eprintln!("{more} older records match too; --limit shows more of them");
    }
    Ok(())
}

/// The newest records of all journals, oldest first, and how many more there are.
fn newest(
    global: &Global,
    filter: &Filter,
    only: Only,
    count: usize,
) -> anyhow::Result<(Vec<Line>, usize)> {
    let count = count.clamp(1, MOST);
    let folder = state::folder(global.state_dir.clone())?;
    let (mut all, mut found) = (Vec::new(), 0);
    for journal in state::journals(&folder) {
        let mut newest = VecDeque::new();
        for entry in ::audit::search(&journal, filter.clone())? {
            let entry = entry?;
            // The journal's own notes are for whoever repairs it.
            if entry.kind == Kind::Checkpoint || (only.failed && !failed(&entry)) {
                continue;
            }
            found += 1;
            if newest.len() == count {
                newest.pop_front();
            }
            newest.push_back(entry);
        }
        let own = own(&folder, &journal);
        all.extend(newest.into_iter().map(|entry| Line {
            entry,
            journal: journal.clone(),
            own: own.clone(),
        }));
    }
    all.sort_by(|a, b| a.entry.time.cmp(&b.entry.time));
    all.drain(..all.len().saturating_sub(count));
    let more = found - all.len();
    Ok((all, more))
}

/// What stands before the numbers of a journal that is not the gateway's.
fn own(folder: &Path, journal: &Path) -> String {
    let parent = journal.parent().and_then(|parent| parent.strip_prefix(folder).ok());
    let parent = parent.map(|parent| parent.display().to_string()).unwrap_or_default();
    if parent.is_empty() { parent } else { format!("{parent}:") }
}

fn failed(entry: &Entry) -> bool {
    Filter { refused: true, ..Filter::default() }.matches(entry)
        || matches!(entry.outcome, Some(Outcome::Error | Outcome::ToolError | Outcome::Unknown))
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

impl Line {
    fn text(&self, member: &str) -> String {
        self.entry.rest.get(member).and_then(Value::as_str).map(tame).unwrap_or_default()
    }
}

impl print::Row for Line {
    const TITLES: &'static [&'static str] =
        &["SEQ", "TIME", "KIND", "WHO", "WHAT", "OUTCOME", "WHY"];

    fn cells(&self) -> Vec<String> {
        let what = [self.text("method"), self.text("server"), self.text("name")]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(" ");
        let why = ["refusal", "rule", "detail"]
            .iter()
            .map(|member| self.text(member))
            .find(|text| !text.is_empty());
        vec![
            format!("{}{}", self.own, self.entry.seq),
            self.entry.time.clone(),
            self.entry.kind.as_str().to_owned(),
            self.text("principal"),
            what,
            self.entry.outcome.map(Outcome::as_str).unwrap_or_default().to_owned(),
            why.unwrap_or_default(),
        ]
    }
}
