//! What the records of a period say, counted.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::PathBuf,
};

use audit::{AuditFault, Entry, Filter, Kind, Outcome};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::controls::Matrix;

/// Names that are told apart in one table; those that come later are `…`.
const NAMES: usize = 5_000;
/// The newest events of a kind that are shown.
const EVENTS: usize = 200;
const OTHERS: &str = "…";

/// The period in numbers.
#[derive(Debug, Default, Serialize)]
pub struct Facts {
    pub records: u64,
    pub calls: u64,
    pub refused: u64,
    pub failed: u64,
    /// By day, UTC: answered and refused.
    pub days: BTreeMap<String, [u64; 2]>,
    pub callers: BTreeMap<String, Use>,
    pub servers: BTreeMap<String, Use>,
    /// By `server / tool`.
    pub tools: BTreeMap<String, Use>,
    /// By label, then by rule.
    pub refusals: BTreeMap<String, BTreeMap<String, u64>>,
    pub findings: BTreeMap<String, u64>,
    /// By server, then by host: allowed and refused.
    pub egress: BTreeMap<String, BTreeMap<String, [u64; 2]>>,
    pub approvals: Events,
    pub drift: Events,
    /// Definitions that no person looked at.
    pub by_policy: u64,
    pub changes: Events,
    pub sign_ins: BTreeMap<String, u64>,
    pub starts: u64,
    /// Records that show a control at work, by its id.
    pub controls: BTreeMap<String, u64>,
    pub unknown: u64,
}

/// How somebody used something, or was used.
#[derive(Debug, Default, Serialize)]
pub struct Use {
    pub calls: u64,
    pub refused: u64,
    /// The other side: the servers of a caller, the callers of a server or tool.
    pub others: BTreeSet<String>,
    pub last: String,
}

/// Single events, the newest of them.
#[derive(Debug, Default, Serialize)]
pub struct Events {
    pub count: u64,
    pub newest: VecDeque<Event>,
}

#[derive(Debug, Serialize)]
pub struct Event {
    pub seq: u64,
    pub time: String,
    pub kind: &'static str,
    pub who: String,
    pub what: String,
    pub outcome: &'static str,
    pub detail: String,
}

impl Facts {
    /// Reads all journals.
    pub fn gather(
        journals: &[PathBuf],
        from: Timestamp,
        to: Timestamp,
        matrix: &Matrix,
    ) -> Result<Facts, AuditFault> {
        let mut facts = Facts::default();
        for control in &matrix.controls {
            facts.controls.insert(control.id.clone(), 0);
        }
        for journal in journals {
            let filter = Filter { since: Some(from), until: Some(to), ..Filter::default() };
            for entry in audit::search(journal, filter)? {
                facts.add(&entry?, matrix);
            }
        }
        Ok(facts)
    }

    fn add(&mut self, entry: &Entry, matrix: &Matrix) {
        self.records += 1;
        for control in &matrix.controls {
            if control.records.iter().any(|selector| selector.matches(entry))
                && let Some(count) = self.controls.get_mut(&control.id)
            {
                *count += 1;
            }
        }
        self.add_refusal(entry);
        for rule in findings(text(entry, "findings")) {
            *self.findings.entry(rule.to_owned()).or_default() += 1;
        }
        match entry.kind {
            Kind::Outcome => self.add_call(entry),
            // Refused before it was sent: the call has no other record.
            Kind::Refusal if !text(entry, "id").is_empty() => self.add_call(entry),
            Kind::Approval => self.approvals.add(entry),
            Kind::Trust if text(entry, "principal") == "policy" => self.by_policy += 1,
            Kind::Drift | Kind::Trust => self.drift.add(entry),
            Kind::Config | Kind::Secret | Kind::System => self.changes.add(entry),
            Kind::Egress => self.add_egress(entry),
            Kind::Grant => {
                *named(&mut self.sign_ins, text(entry, "method")) += 1;
            }
            Kind::Spawn => self.starts += 1,
            _ => {}
        }
    }

    fn add_call(&mut self, entry: &Entry) {
        self.calls += 1;
        let refused = refused(entry);
        match entry.outcome {
            Some(Outcome::Error | Outcome::ToolError) => self.failed += 1,
            Some(Outcome::Unknown) => self.unknown += 1,
            _ => {}
        }
        let day = self.days.entry(entry.time.get(..10).unwrap_or_default().to_owned());
        day.or_default()[usize::from(refused)] += 1;
        let (caller, server) = (text(entry, "principal"), text(entry, "server"));
        // What closes an intent after a crash names nobody.
        if !caller.is_empty() {
            named(&mut self.callers, caller).add(entry, refused, server);
        }
        if !server.is_empty() {
            named(&mut self.servers, server).add(entry, refused, caller);
        }
        if text(entry, "method") == "tools/call" && !server.is_empty() {
            let tool = format!("{server} / {}", text(entry, "name"));
            named(&mut self.tools, &tool).add(entry, refused, caller);
        }
    }

    fn add_refusal(&mut self, entry: &Entry) {
        let label = text(entry, "refusal");
        // Egress has a table of its own.
        if label.is_empty() || entry.kind == Kind::Egress {
            return;
        }
        self.refused += 1;
        let rules = self.refusals.entry(label.to_owned()).or_default();
        *named(rules, text(entry, "rule")) += 1;
    }

    fn add_egress(&mut self, entry: &Entry) {
        let server = self.egress.entry(text(entry, "server").to_owned()).or_default();
        let host = text(entry, "name").split(['/', '?']).next().unwrap_or_default();
        named(server, host)[usize::from(refused(entry))] += 1;
    }
}

impl Use {
    fn add(&mut self, entry: &Entry, refused: bool, other: &str) {
        self.calls += 1;
        self.refused += u64::from(refused);
        if !other.is_empty() && self.others.len() < NAMES {
            self.others.insert(other.to_owned());
        }
        if self.last < entry.time {
            self.last.clone_from(&entry.time);
        }
    }
}

impl Events {
    fn add(&mut self, entry: &Entry) {
        self.count += 1;
        if self.newest.len() == EVENTS {
            self.newest.pop_front();
        }
        let parts = ["server", "method", "name", "rule"].map(|member| text(entry, member));
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        self.newest.push_back(Event {
            seq: entry.seq,
            time: entry.time.clone(),
            kind: entry.kind.as_str(),
            who: text(entry, "principal").to_owned(),
            what: parts.join(" "),
            outcome: entry.outcome.map_or("", Outcome::as_str),
            detail: text(entry, "detail").to_owned(),
        });
    }
}

impl Events {
    /// How many are not shown.
    pub fn older(&self) -> u64 {
        self.count - self.newest.len() as u64
    }
}

impl Event {
    /// Its time as people write it.
    pub fn minute(&self) -> String {
        self.time.get(..16).unwrap_or_default().replace('T', " ")
    }
}

fn refused(entry: &Entry) -> bool {
    entry.kind == Kind::Refusal || entry.outcome == Some(Outcome::Refused)
}

fn text<'a>(entry: &'a Entry, member: &str) -> &'a str {
    entry.rest.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// The rules in what a record says of findings: `rule severity, …`.
fn findings(noted: &str) -> impl Iterator<Item = &str> {
    noted.split(", ").filter_map(|one| one.split_once(' ')).map(|(rule, _)| rule)
}

/// The place of a name, within bounds.
fn named<'a, T: Default>(map: &'a mut BTreeMap<String, T>, name: &str) -> &'a mut T {
    let name = if map.len() < NAMES || map.contains_key(name) { name } else { OTHERS };
    map.entry(name.to_owned()).or_default()
}
