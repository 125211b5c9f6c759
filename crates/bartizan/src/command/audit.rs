//! `audit`: the record of calls, read back.

use std::{collections::VecDeque, path::Path};

use audit::{Entry, Journal, Kind, Outcome};
use serde_json::Value;

use crate::{
    cli::{AuditCommand, Global},
    print::{self, tame},
    state,
};

pub fn run(global: &Global, command: AuditCommand) -> anyhow::Result<()> {
    match command {
        AuditCommand::Tail { lines, refused } => tail(global, lines.min(100_000), refused),
    }
}

fn tail(global: &Global, lines: usize, refused: bool) -> anyhow::Result<()> {
    let mut all = Vec::new();
    for journal in state::journals(&state::folder(global.state_dir.clone())?) {
        all.extend(last(&journal, lines, refused)?);
    }
    all.sort_by(|a, b| a.0.time.cmp(&b.0.time));
    let all = &all[all.len().saturating_sub(lines)..];
    print::rows(global.output, all, "nothing is recorded yet")
}

fn last(journal: &Path, lines: usize, refused: bool) -> anyhow::Result<VecDeque<Line>> {
    let mut last = VecDeque::new();
    for entry in Journal::read(journal)? {
        let entry = entry?;
        // The journal's own notes are for whoever repairs it.
        if entry.kind == Kind::Checkpoint || (refused && !is_refused(&entry)) {
            continue;
        }
        if last.len() >= lines.max(1) {
            last.pop_front();
        }
        last.push_back(Line(entry));
    }
    Ok(last)
}

fn is_refused(entry: &Entry) -> bool {
    matches!(entry.kind, Kind::Auth | Kind::Refusal)
        || matches!(
            entry.outcome,
            Some(Outcome::Error | Outcome::Refused | Outcome::ToolError | Outcome::Unknown)
        )
}

#[derive(serde::Serialize)]
#[serde(transparent)]
struct Line(Entry);

impl Line {
    fn text(&self, member: &str) -> String {
        self.0.rest.get(member).and_then(Value::as_str).map(tame).unwrap_or_default()
    }
}

impl print::Row for Line {
    const TITLES: &'static [&'static str] = &["TIME", "KIND", "WHO", "WHAT", "OUTCOME", "WHY"];

    fn cells(&self) -> Vec<String> {
        let word = |value: Result<Value, serde_json::Error>| {
            value.ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
        };
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
            self.0.time.clone(),
            word(serde_json::to_value(self.0.kind)),
            self.text("principal"),
            what,
            word(serde_json::to_value(self.0.outcome)),
            why.unwrap_or_default(),
        ]
    }
}
