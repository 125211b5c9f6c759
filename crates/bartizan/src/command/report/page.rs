//! The page.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use ::audit::{VerifierKey, verify};
use askama::Template;
use jiff::{Timestamp, Unit};
use serde::Serialize;

use super::{
    controls::{Control, Matrix, Row, State},
    facts::{Facts, Use},
};
use crate::{
    command::posture::{self, Protection},
    config::{Loaded, file::Server},
};

/// Rows of a table that are shown.
const ROWS: usize = 50;
/// Days of the chart that are shown, the last ones.
const DAYS: usize = 92;

/// From when to when.
pub struct Period {
    pub from: Timestamp,
    pub to: Timestamp,
}

/// Whether the log is what was signed.
#[derive(Debug, Serialize)]
pub struct Integrity {
    pub ok: bool,
    pub said: String,
    pub key: String,
    pub checkpoint: String,
    pub size: u64,
    pub records: u64,
    pub checkpoints: u64,
}

impl Integrity {
    /// Verifies the gateway's journal; where no gateway has run, those of commands that had one of their own, up to the
    /// first that is not what was signed.
    pub fn of_all(journals: &[PathBuf]) -> Integrity {
        let gateways = |journal: &&PathBuf| {
            !journal.ancestors().any(|folder| folder.ends_with(crate::state::OWN))
        };
        if let Some(journal) = journals.iter().find(gateways) {
            return Integrity::of(journal);
        }
        let mut all = journals.iter().map(|journal| Integrity::of(journal));
        let Some(mut first) = all.next() else {
            return Integrity::failed("no gateway has run here, so there is no log".to_owned());
        };
        for one in all {
            if !one.ok {
                return one;
            }
            first.size += one.size;
            first.records += one.records;
            first.checkpoints += one.checkpoints;
        }
        first
    }

    fn failed(said: String) -> Integrity {
        let (key, checkpoint) = (String::new(), String::new());
        Integrity { ok: false, said, key, checkpoint, size: 0, records: 0, checkpoints: 0 }
    }

    /// Verifies the journal with the key beside it.
    pub fn of(journal: &Path) -> Integrity {
        let read = |name: &str| std::fs::read_to_string(journal.join(name)).unwrap_or_default();
        let (key, checkpoint) = (read("audit.pub").trim().to_owned(), read("checkpoint"));
        let failed = |said: String| Integrity {
            key: key.clone(),
            checkpoint: checkpoint.clone(),
            ..Integrity::failed(said)
        };
        let Ok(verifier) = key.parse::<VerifierKey>() else {
            return failed("there is no public key beside the log".to_owned());
        };
        match verify(journal, &verifier) {
            Ok(found) => Integrity {
                ok: true,
                said: String::new(),
                size: found.size,
                records: found.records,
                checkpoints: found.checkpoints,
                key,
                checkpoint,
            },
            Err(fault) => failed(fault.to_string()),
        }
    }
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    title: &'a str,
    from: String,
    to: String,
    made: String,
    version: &'static str,
    facts: &'a Facts,
    integrity: &'a Integrity,
    protections: Vec<Shown<'a>>,
    gaps: Vec<Shown<'a>>,
    servers: Vec<ServerRow>,
    chart: Vec<Day>,
    callers: Table,
    used: Table,
    tools: Table,
    refusals: Vec<Bar>,
    findings: Vec<Bar>,
    egress: Vec<Host>,
    sign_ins: Vec<Bar>,
    matrix: &'a Matrix,
    tallies: Vec<Tally>,
}

/// A protection with the class that colours it.
struct Shown<'a> {
    row: &'a Protection,
    state: &'static str,
}

struct ServerRow {
    name: String,
    reached: String,
    confined: &'static str,
    shared: &'static str,
    enabled: &'static str,
}

struct Day {
    day: String,
    x: usize,
    answered: Rect,
    refused: Rect,
}

struct Rect {
    y: u64,
    height: u64,
}

/// The busiest, and how many more there are.
struct Table {
    rows: Vec<Line>,
    more: usize,
}

struct Line {
    name: String,
    calls: u64,
    refused: u64,
    width: u64,
    others: String,
    last: String,
}

struct Bar {
    name: String,
    detail: String,
    count: u64,
    width: u64,
}

struct Host {
    server: String,
    host: String,
    allowed: u64,
    refused: u64,
}

/// How many requirements of a framework are met.
struct Tally {
    id: String,
    title: String,
    counts: [usize; 4],
}

impl Page<'_> {
    fn control(&self, id: &str) -> Option<&Control> {
        self.matrix.control(id)
    }

    fn shown(&self, id: &str) -> u64 {
        self.facts.controls.get(id).copied().unwrap_or_default()
    }
}

/// Writes it.
pub fn write(
    title: Option<&str>,
    period: Period,
    loaded: &Loaded,
    protections: &[Protection],
    facts: &Facts,
    integrity: &Integrity,
    matrix: &Matrix,
) -> anyhow::Result<String> {
    let shown = |row| Shown { row, state: state(row) };
    let page = Page {
        title: title.unwrap_or("Bartizan"),
        from: minute(period.from),
        to: minute(period.to),
        made: minute(Timestamp::now()),
        version: env!("CARGO_PKG_VERSION"),
        facts,
        integrity,
        protections: protections.iter().map(shown).collect(),
        gaps: protections.iter().filter(|row| row.state != posture::State::On).map(shown).collect(),
        servers: servers(loaded),
        chart: chart(&facts.days),
        callers: table(&facts.callers),
        used: table(&facts.servers),
        tools: table(&facts.tools),
        refusals: refusals(facts),
        findings: bars(facts.findings.iter().map(|(name, count)| (name, String::new(), *count))),
        egress: egress(facts),
        sign_ins: bars(facts.sign_ins.iter().map(|(name, count)| (name, String::new(), *count))),
        matrix,
        tallies: tallies(matrix),
    };
    Ok(page.render()?)
}

fn minute(time: Timestamp) -> String {
    let time = time.round(Unit::Minute).unwrap_or(time);
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

fn state(row: &Protection) -> &'static str {
    match row.state {
        posture::State::On => "on",
        posture::State::Partial => "partial",
        posture::State::Off => "off",
    }
}

fn servers(loaded: &Loaded) -> Vec<ServerRow> {
    let row = |name: &str, server: &Server| ServerRow {
        name: name.to_owned(),
        reached: match (&server.url, &server.command) {
            (Some(url), _) => url.get_ref().0.to_string(),
            (None, Some(command)) => {
                let args = server.args.iter().map(|arg| arg.get_ref().as_str());
                let words: Vec<&str> =
                    std::iter::once(command.get_ref().as_str()).chain(args).collect();
                words.join(" ")
            }
            (None, None) => String::new(),
        },
        confined: match (&server.command, server.sandbox.level) {
            (None, _) => "remote",
            (Some(_), crate::config::file::Level::Strong) => "strong",
            (Some(_), crate::config::file::Level::Basic) => "basic",
            (Some(_), crate::config::file::Level::Off) => "off",
        },
        shared: if server.shared { "by all callers" } else { "no" },
        enabled: if server.enabled { "yes" } else { "no" },
    };
    let all = loaded.file.servers.iter();
    all.map(|(key, server)| row(key.0.as_str(), server.get_ref())).collect()
}

/// Columns of 100 units' height, the highest day filling it.
fn chart(days: &BTreeMap<String, [u64; 2]>) -> Vec<Day> {
    let skipped = days.len().saturating_sub(DAYS);
    let shown: Vec<_> = days.iter().skip(skipped).collect();
    let highest = shown.iter().map(|(_, [a, b])| a + b).max().unwrap_or(1).max(1);
    let column = |(at, (day, [answered, refused])): (usize, &(&String, &[u64; 2]))| {
        let height = |count: u64| (count * 100).div_ceil(highest);
        let (low, high) = (height(*answered), height(*refused));
        Day {
            day: (*day).clone(),
            x: at * 10,
            answered: Rect { y: 100_u64.saturating_sub(low), height: low },
            refused: Rect { y: 100_u64.saturating_sub(low + high), height: high },
        }
    };
    shown.iter().enumerate().map(column).collect()
}

fn table(names: &BTreeMap<String, Use>) -> Table {
    let mut busiest: Vec<_> = names.iter().collect();
    busiest.sort_by_key(|(_, used)| std::cmp::Reverse(used.calls));
    let most = busiest.first().map_or(1, |(_, used)| used.calls.max(1));
    let more = busiest.len().saturating_sub(ROWS);
    let line = |(name, used): &(&String, &Use)| {
        let mut others: Vec<&str> = used.others.iter().take(6).map(String::as_str).collect();
        let left = format!("and {} more", used.others.len().saturating_sub(6));
        if used.others.len() > 6 {
            others.push(&left);
        }
        Line {
            name: (*name).clone(),
            calls: used.calls,
            refused: used.refused,
            width: (used.calls * 100).div_ceil(most),
            others: others.join(", "),
            last: used.last.get(..16).unwrap_or_default().replace('T', " "),
        }
    };
    Table { rows: busiest.iter().take(ROWS).map(line).collect(), more }
}

fn refusals(facts: &Facts) -> Vec<Bar> {
    bars(facts.refusals.iter().map(|(label, rules)| {
        let mut named: Vec<_> = rules.iter().filter(|(rule, _)| !rule.is_empty()).collect();
        named.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let named: Vec<String> =
            named.iter().take(8).map(|(rule, count)| format!("{rule} ({count})")).collect();
        (label, named.join(", "), rules.values().sum())
    }))
}

fn bars<'a>(counts: impl Iterator<Item = (&'a String, String, u64)>) -> Vec<Bar> {
    let mut all: Vec<_> = counts.collect();
    all.sort_by_key(|(_, _, count)| std::cmp::Reverse(*count));
    let most = all.first().map_or(1, |(_, _, count)| (*count).max(1));
    let bar = |(name, detail, count): (&String, String, u64)| Bar {
        name: if name.is_empty() { "—".to_owned() } else { name.clone() },
        detail,
        count,
        width: (count * 100).div_ceil(most),
    };
    all.into_iter().take(ROWS).map(bar).collect()
}

fn egress(facts: &Facts) -> Vec<Host> {
    let mut all = Vec::new();
    for (server, hosts) in &facts.egress {
        for (host, [allowed, refused]) in hosts {
            let (server, host) = (server.clone(), host.clone());
            all.push(Host { server, host, allowed: *allowed, refused: *refused });
        }
    }
    all.sort_by_key(|host| std::cmp::Reverse((host.refused, host.allowed)));
    all.truncate(2 * ROWS);
    all
}

fn tallies(matrix: &Matrix) -> Vec<Tally> {
    let count = |rows: &[Row], state| rows.iter().filter(|row| row.state == state).count();
    let states = [State::Met, State::Partly, State::Not, State::Yours];
    let one = |framework: &super::controls::Framework| Tally {
        id: framework.id.clone(),
        title: framework.title.clone(),
        counts: states.map(|state| count(&framework.rows, state)),
    };
    matrix.frameworks.iter().map(one).collect()
}
