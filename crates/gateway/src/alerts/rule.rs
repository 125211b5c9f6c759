//! Rules over the records, and what they have counted. Without I/O: times are the records' own, so that the
//! same records lead to the same alerts, however often they are read.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    str::FromStr,
    time::Duration,
};

use audit::{Entry, Kind, Outcome};
use jiff::Timestamp;
use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// When somebody is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub name: Box<str>,
    /// Which records count: those that any of these selects.
    pub records: Vec<Selector>,
    /// What is counted by itself.
    pub each: Each,
    /// Tells only of what was never there before.
    pub first: bool,
    /// So many of them…
    pub count: usize,
    /// …within this time; and again after it at the earliest.
    pub within: Duration,
}

/// The rules that are there unless the configuration says otherwise.
pub fn usual() -> Vec<Rule> {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let rule = |name: &str, records: &[&str], each, count, within| Rule {
        name: name.into(),
        // All of them are read in a test.
        records: records.iter().filter_map(|text| text.parse().ok()).collect(),
        each,
        first: false,
        count,
        within,
    };
    let new_hosts = rule("new-hosts", &["kind egress + outcome ok"], Each::Host, 1, minutes(15));
    vec![
        rule("injections", &["finding injection"], Each::All, 10, minutes(5)),
        rule("sign-ins", &["kind auth", "kind grant + outcome refused"], Each::All, 10, minutes(5)),
        rule("secrets", &["finding secret", "kind leak"], Each::Server, 1, minutes(15)),
        rule("personal-data", &["finding personal"], Each::All, 50, minutes(15)),
        rule("drift", &["kind drift"], Each::Server, 1, minutes(15)),
        rule("server-errors", &["refusal server", "outcome error"], Each::Server, 4, minutes(5)),
        Rule { first: true, ..new_hosts },
    ]
}

/// What is counted by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Each {
    /// All together.
    All,
    /// Each caller.
    Caller,
    /// Each host that a server reaches.
    Host,
    /// Each server.
    Server,
}

/// Selects records: `kind egress`, `refusal held-back`, `outcome error`, `with findings`, `finding secret`
/// (a detector's class or rule); several joined by ` + ` must all hold.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Selector {
    parts: Vec<Part>,
    needles: Vec<Finder<'static>>,
}

impl PartialEq for Selector {
    fn eq(&self, other: &Selector) -> bool {
        self.parts == other.parts
    }
}

impl Eq for Selector {}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Finding(String),
    Kind(Kind),
    Outcome(Outcome),
    Refusal(String),
    With(String),
}

impl Rule {
    /// Whether a record may be one of its, by its line: most are not, and to read each would cost more than
    /// all else here.
    pub(super) fn may_select(&self, line: &str) -> bool {
        let held = |needle: &Finder<'_>| needle.find(line.as_bytes()).is_some();
        self.records.iter().any(|selector| selector.needles.iter().all(held))
    }
}

impl Part {
    /// What stands in the line of each record that has it.
    fn needle(&self) -> Finder<'static> {
        let text = match self {
            Part::Finding(_) => "\"findings\":\"".to_owned(),
            Part::Kind(kind) => format!("\"kind\":\"{}\"", kind.as_str()),
            Part::Outcome(outcome) => format!("\"outcome\":\"{}\"", outcome.as_str()),
            Part::Refusal(label) => format!("\"refusal\":\"{label}\""),
            Part::With(member) => format!("\"{member}\":"),
        };
        Finder::new(text.as_bytes()).into_owned()
    }
}

impl Selector {
    /// Whether a record is meant.
    pub fn matches(&self, entry: &Entry) -> bool {
        self.parts.iter().all(|part| match part {
            Part::Finding(wanted) => findings(entry).any(|rule| {
                rule.strip_prefix(wanted.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            }),
            Part::Kind(kind) => entry.kind == *kind,
            Part::Outcome(outcome) => entry.outcome == Some(*outcome),
            Part::Refusal(label) => text(entry, "refusal") == label,
            Part::With(member) => entry.rest.get(member).is_some_and(|value| !value.is_null()),
        })
    }
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(whole: &str) -> Result<Selector, String> {
        let part = |text: &str| {
            let (by, value) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
            let named = || serde_json::Value::from(value);
            let part = match by {
                _ if value.is_empty() => None,
                "finding" => Some(Part::Finding(value.to_owned())),
                "kind" => serde_json::from_value(named()).ok().map(Part::Kind),
                "outcome" => serde_json::from_value(named()).ok().map(Part::Outcome),
                "refusal" => Some(Part::Refusal(value.to_owned())),
                "with" => Some(Part::With(value.to_owned())),
                _ => None,
            };
            part.ok_or_else(|| format!("`{text}` selects no records"))
        };
        let parts = whole.split(" + ").map(part).collect::<Result<Vec<Part>, String>>()?;
        let needles = parts.iter().map(Part::needle).collect();
        Ok(Selector { parts, needles })
    }
}

impl TryFrom<String> for Selector {
    type Error = String;

    fn try_from(text: String) -> Result<Selector, String> {
        text.parse()
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in self.parts.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { " + " })?;
            match part {
                Part::Finding(class) => write!(f, "finding {class}")?,
                Part::Kind(kind) => write!(f, "kind {}", kind.as_str())?,
                Part::Outcome(outcome) => write!(f, "outcome {}", outcome.as_str())?,
                Part::Refusal(label) => write!(f, "refusal {label}")?,
                Part::With(member) => write!(f, "with {member}")?,
            }
        }
        Ok(())
    }
}

impl From<Selector> for String {
    fn from(selector: Selector) -> String {
        selector.to_string()
    }
}

/// What somebody is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// The same whenever the same records are read.
    pub id: String,
    /// The rule.
    pub rule: String,
    /// The server, caller or host that it is about; empty where it is about none.
    pub about: String,
    /// In a sentence.
    pub text: String,
    /// When the last of its records was written.
    pub time: String,
    /// The records that show it, the newest last.
    pub records: Vec<u64>,
}

/// What the rules have counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    windows: BTreeMap<String, Window>,
    /// What was there before, by rule.
    known: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Window {
    /// Milliseconds since 1970, and the record.
    recent: VecDeque<(i64, u64)>,
    told: Option<i64>,
}

/// Things that are counted at once; the one that was quiet for longest is forgotten.
const WINDOWS: usize = 4096;
/// Things that are known to a rule; what comes later is told no more.
const KNOWN: usize = 20_000;

impl Counted {
    /// Takes one record, and says who is to be told what.
    pub fn take(&mut self, rules: &[Rule], entry: &Entry) -> Vec<Alert> {
        let Ok(time) = entry.time.parse::<Timestamp>() else { return Vec::new() };
        let now = time.as_millisecond();
        let selected =
            rules.iter().filter(|rule| rule.records.iter().any(|selector| selector.matches(entry)));
        selected.filter_map(|rule| self.count(rule, entry, now)).collect()
    }

    fn count(&mut self, rule: &Rule, entry: &Entry, now: i64) -> Option<Alert> {
        let about = about(rule.each, entry);
        if rule.first {
            let known = self.known.entry(rule.name.to_string()).or_default();
            if known.len() >= KNOWN || !known.insert(about.clone()) {
                return None;
            }
        }
        let window = self.window(&format!("{}\n{about}", rule.name));
        let within = i64::try_from(rule.within.as_millis()).unwrap_or(i64::MAX);
        window.recent.push_back((now, entry.seq));
        while window.recent.len() > rule.count
            || window.recent.front().is_some_and(|(at, _)| now.saturating_sub(*at) > within)
        {
            window.recent.pop_front();
        }
        let quiet = window.told.is_some_and(|at| now.saturating_sub(at) < within);
        if window.recent.len() < rule.count || quiet {
            return None;
        }
        window.told = Some(now);
        let records: Vec<u64> = window.recent.drain(..).map(|(_, seq)| seq).collect();
        Some(Alert {
            id: format!("{}-{}", rule.name, entry.seq),
            text: sentence(rule, &about, entry, records.len()),
            rule: rule.name.to_string(),
            about,
            time: entry.time.clone(),
            records,
        })
    }

    fn window(&mut self, key: &str) -> &mut Window {
        if self.windows.len() >= WINDOWS && !self.windows.contains_key(key) {
            let last = |window: &Window| window.recent.back().map(|(at, _)| *at).max(window.told);
            let oldest = self.windows.iter().min_by_key(|(_, window)| last(window));
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.windows.remove(&oldest);
            }
        }
        self.windows.entry(key.to_owned()).or_default()
    }
}

fn about(each: Each, entry: &Entry) -> String {
    match each {
        Each::All => String::new(),
        Each::Caller => text(entry, "principal").to_owned(),
        Each::Host => {
            let host = text(entry, "name").split(['/', '?']).next().unwrap_or_default();
            format!("{} {host}", text(entry, "server"))
        }
        Each::Server => text(entry, "server").to_owned(),
    }
}

fn sentence(rule: &Rule, about: &str, entry: &Entry, count: usize) -> String {
    let of = if about.is_empty() { String::new() } else { format!(" ({about})") };
    let members = ["principal", "server", "name", "refusal", "findings", "detail"];
    let last: Vec<String> = members
        .into_iter()
        .map(|member| (member, text(entry, member)))
        .filter(|(_, text)| !text.is_empty())
        .map(|(member, text)| format!("{member}: {}", &text[..text.floor_char_boundary(200)]))
        .collect();
    let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
    format!("{}{of}: {times}, last record {} ({})", rule.name, entry.seq, last.join(", "))
}

fn text<'a>(entry: &'a Entry, member: &str) -> &'a str {
    entry.rest.get(member).and_then(Value::as_str).unwrap_or_default()
}

fn findings(entry: &Entry) -> impl Iterator<Item = &str> {
    crate::inspection::rules(text(entry, "findings")).into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seq: u64, second: u64, members: &str) -> Entry {
        let (minutes, seconds) = (second / 60, second % 60);
        let time = format!("2026-11-26T10:{minutes:02}:{seconds:02}.000000Z");
        let text = format!(r#"{{"seq":{seq},"time":"{time}","kind":"outcome"{members}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    fn rule(records: &str, each: Each, first: bool, count: usize) -> Rule {
        let (name, within) = ("r".into(), Duration::from_secs(300));
        Rule { name, records: vec![records.parse().unwrap()], each, first, count, within }
    }

    fn fired(rules: &[Rule], entries: &[Entry]) -> Vec<Vec<u64>> {
        let mut counted = Counted::default();
        let alerts = entries.iter().flat_map(|entry| counted.take(rules, entry));
        alerts.map(|alert| alert.records).collect()
    }

    #[test]
    fn a_burst_is_told_once_in_its_time_with_its_records() {
        let rules = [rule("finding injection", Each::All, false, 3)];
        let found = r#","findings":"injection.order high""#;
        // One too few, then enough, then more of them at once, then the same again later.
        let seconds = [0, 301, 310, 320, 330, 340, 350, 619, 620, 621, 1000];
        let entries: Vec<Entry> =
            seconds.iter().zip(1..).map(|(second, seq)| entry(seq, *second, found)).collect();
        assert_eq!(fired(&rules, &entries), [vec![2, 3, 4], vec![7, 8, 9]]);
        assert!(
            fired(&rules, &[entry(1, 0, ""), entry(2, 0, r#","findings":"injections.x high""#)])
                .is_empty()
        );
    }

    #[test]
    fn each_server_counts_for_itself_and_what_is_known_is_not_new() {
        let of = |seq, server: &str, host: &str| {
            entry(
                seq,
                seq,
                &format!(r#","server":"{server}","name":"{host}:443/x","outcome":"ok""#),
            )
        };
        let all =
            [of(1, "a", "x"), of(2, "b", "x"), of(3, "a", "x"), of(4, "a", "y"), of(5, "b", "x")];
        assert_eq!(
            fired(&[rule("outcome ok", Each::Server, false, 2)], &all),
            [vec![1, 3], vec![2, 5]]
        );
        assert_eq!(
            fired(&[rule("outcome ok", Each::Host, true, 1)], &all),
            [vec![1], vec![2], vec![4]]
        );
    }

    #[test]
    fn what_was_counted_is_taken_up_again() {
        let rules = [rule("outcome error", Each::All, false, 2)];
        let failed = |seq| entry(seq, seq, r#","outcome":"error""#);
        let mut counted = Counted::default();
        assert!(counted.take(&rules, &failed(1)).is_empty());
        let kept = serde_json::to_string(&counted).unwrap();
        let mut again: Counted = serde_json::from_str(&kept).unwrap();
        assert_eq!(again.take(&rules, &failed(2))[0].records, [1, 2]);
        // The same records read twice are the same alert.
        assert_eq!(counted.take(&rules, &failed(2))[0].id, "r-2");
    }

    #[test]
    fn the_usual_rules_select_something() {
        for rule in usual() {
            assert!(!rule.records.is_empty() && rule.count > 0, "{rule:?}");
        }
        assert_eq!(usual().iter().map(|rule| rule.records.len()).sum::<usize>(), 10);
    }

    #[test]
    fn selectors_are_written_as_they_are_read() {
        for text in ["kind egress + outcome ok", "refusal held-back", "finding secret", "with rule"]
        {
            assert_eq!(text.parse::<Selector>().unwrap().to_string(), text);
        }
        for wrong in ["", "kind", "kind nothing", "outcome maybe", "colour red", "kind egress + "] {
            assert!(wrong.parse::<Selector>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_counted_is_bounded() {
        let rules = [rule("outcome ok", Each::Caller, false, 5)];
        let mut counted = Counted::default();
        for seq in 0..5000 {
            let members = format!(r#","principal":"p{seq}","outcome":"ok""#);
            assert!(rules[0].may_select(&members));
            counted.take(&rules, &entry(seq, seq % 3600, &members));
        }
        assert_eq!(counted.windows.len(), WINDOWS);
    }
}
