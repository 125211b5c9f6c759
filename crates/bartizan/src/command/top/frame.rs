//! One look at the metrics, and what two looks say together.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt::Write,
    time::Instant,
};

use audit::Entry;
use gateway::telemetry::Metric;
use serde::Serialize;
use serde_json::Value;

use crate::print::tame;

/// The metrics at one time.
pub struct Snapshot {
    at: Instant,
    metrics: BTreeMap<String, Metric>,
}

impl Snapshot {
    pub fn of(metrics: &[Metric], at: Instant) -> Snapshot {
        let metrics = metrics.iter().map(|metric| (metric.name.clone(), metric.clone())).collect();
        Snapshot { at, metrics }
    }

    fn sum(&self, metric: &str, suffix: &str, labels: &[(&str, &str)]) -> f64 {
        self.metrics.get(metric).map_or(0.0, |metric| metric.sum(suffix, labels))
    }

    fn servers(&self) -> BTreeSet<&str> {
        let samples = self.metrics.get("bartizan_calls_in_flight").map(|metric| &metric.samples);
        let named = samples.into_iter().flatten().filter_map(|sample| sample.labels.get("server"));
        named.map(String::as_str).filter(|name| !name.is_empty()).collect()
    }

    /// Upper bounds and how many calls were not slower.
    fn buckets(&self, labels: &[(&str, &str)]) -> Vec<(f64, f64)> {
        let Some(metric) = self.metrics.get("bartizan_call_duration_seconds") else {
            return Vec::new();
        };
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for sample in metric.samples.iter().filter(|sample| sample.suffix == "_bucket") {
            let held = |(name, value): &(&str, &str)| {
                sample.labels.get(*name).is_some_and(|own| own == value)
            };
            let bound = sample.labels.get("le").and_then(|bound| bound.parse().ok());
            let Some(bound) = bound.filter(|_| labels.iter().all(held)) else { continue };
            match buckets.iter_mut().find(|(other, _)| *other == bound) {
                Some((_, count)) => *count += sample.value,
                None => buckets.push((bound, sample.value)),
            }
        }
        buckets
    }
}

/// What is shown.
#[derive(Debug, Serialize)]
pub struct Frame {
    pub uptime_seconds: f64,
    pub calls_per_second: f64,
    pub calls: f64,
    pub refused: f64,
    pub in_flight: f64,
    pub sessions: f64,
    pub processes: f64,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    /// Whether nothing can be recorded, so that every call is refused.
    pub journal_failed: bool,
    pub servers: Vec<Server>,
    pub refusals: Vec<Refused>,
}

#[derive(Debug, Serialize)]
pub struct Server {
    pub server: String,
    pub calls_per_second: f64,
    pub calls: f64,
    pub refused: f64,
    pub errors: f64,
    pub in_flight: f64,
    pub processes: f64,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
}

/// One refusal.
#[derive(Debug, Serialize)]
pub struct Refused {
    pub time: String,
    pub who: String,
    pub what: String,
    pub why: String,
}

impl Refused {
    pub fn of(entry: &Entry) -> Refused {
        let text = |member: &str| {
            entry.rest.get(member).and_then(Value::as_str).map(tame).unwrap_or_default()
        };
        let what = [text("server"), text("name")];
        let what: Vec<String> = what.into_iter().filter(|part| !part.is_empty()).collect();
        let why = [text("refusal"), text("rule"), text("detail")];
        let why = why.into_iter().filter(|part| !part.is_empty()).take(2);
        Refused {
            time: entry.time.clone(),
            who: text("principal"),
            what: what.join("/"),
            why: why.collect::<Vec<_>>().join(": "),
        }
    }
}

impl Frame {
    /// From the oldest to the newest look.
    pub fn new(seen: &VecDeque<Snapshot>, refusals: Vec<Refused>) -> Frame {
        let nothing = Snapshot::of(&[], Instant::now());
        let now = seen.back().unwrap_or(&nothing);
        let before = seen.front().unwrap_or(now);
        let seconds = now.at.saturating_duration_since(before.at).as_secs_f64().max(0.001);
        let calls =
            |at: &Snapshot, labels: &[(&str, &str)]| at.sum("bartizan_calls", "_total", labels);
        let rate = |labels: &[(&str, &str)]| (calls(now, labels) - calls(before, labels)) / seconds;
        let server = |name: &&str| {
            let own = [("server", *name)];
            let outcome = |outcome| calls(now, &[own[0], ("outcome", outcome)]);
            Server {
                server: (*name).to_owned(),
                calls_per_second: rate(&own),
                calls: calls(now, &own),
                refused: now.sum("bartizan_refusals", "_total", &own),
                errors: outcome("error") + outcome("tool_error"),
                in_flight: now.sum("bartizan_calls_in_flight", "", &own),
                processes: now.sum("bartizan_processes", "", &own),
                p50_ms: quantile(before, now, &own, 0.5),
                p99_ms: quantile(before, now, &own, 0.99),
            }
        };
        Frame {
            uptime_seconds: now.sum("bartizan_uptime_seconds", "", &[]),
            calls_per_second: rate(&[]),
            calls: calls(now, &[]),
            refused: now.sum("bartizan_refusals", "_total", &[]),
            in_flight: now.sum("bartizan_calls_in_flight", "", &[]),
            sessions: now.sum("bartizan_sessions", "", &[]),
            processes: now.sum("bartizan_processes", "", &[]),
            p50_ms: quantile(before, now, &[], 0.5),
            p99_ms: quantile(before, now, &[], 0.99),
            journal_failed: now.sum("bartizan_journal_failed", "", &[]) > 0.0,
            servers: now.servers().iter().map(server).collect(),
            refusals,
        }
    }

    /// As lines; `size` cuts them to the terminal's width.
    pub fn drawn(&self, size: Option<(usize, usize)>) -> String {
        let mut text = String::new();
        let ms = |time: Option<f64>| time.map_or("-".to_owned(), |ms| format!("{ms:.1} ms"));
        // Writing to a String can't fail.
        let _ = writeln!(
            text,
            "bartizan   up {}   {:.1} calls/s   p50 {}   p99 {}",
            period(self.uptime_seconds),
            self.calls_per_second,
            ms(self.p50_ms),
            ms(self.p99_ms),
        );
        let _ = writeln!(
            text,
            "{} calls   {} refused   {} in flight   {} sessions   {} processes",
            self.calls, self.refused, self.in_flight, self.sessions, self.processes
        );
        if self.journal_failed {
            text.push_str("THE AUDIT LOG CAN'T BE WRITTEN: every call is refused\n");
        }
        let _ = writeln!(
            text,
            "\n{:<24} {:>9} {:>10} {:>9} {:>8} {:>9} {:>6} {:>10} {:>10}",
            "SERVER", "CALLS/S", "CALLS", "REFUSED", "ERRORS", "IN FLIGHT", "PROC", "P50", "P99"
        );
        for server in &self.servers {
            let _ = writeln!(
                text,
                "{:<24} {:>9.1} {:>10} {:>9} {:>8} {:>9} {:>6} {:>10} {:>10}",
                server.server,
                server.calls_per_second,
                server.calls,
                server.refused,
                server.errors,
                server.in_flight,
                server.processes,
                ms(server.p50_ms),
                ms(server.p99_ms),
            );
        }
        text.push_str("\nLAST REFUSALS\n");
        if self.refusals.is_empty() {
            text.push_str("none in the last 15 minutes\n");
        }
        for refused in self.refusals.iter().rev() {
            let time = refused.time.get(11..19).unwrap_or_default();
            let Refused { who, what, why, .. } = refused;
            let _ = writeln!(text, "{time}  {who:<24}  {what:<28}  {why}");
        }
        match size {
            None => text,
            Some((width, _)) => {
                let cut = |line: &str| line.chars().take(width).chain(['\n']).collect::<String>();
                text.lines().map(cut).collect()
            }
        }
    }
}

/// How long a share of the calls between two looks took at most, in milliseconds; between the bounds of a
/// bucket a straight line is assumed. Without a call in between, those since the start count.
fn quantile(before: &Snapshot, now: &Snapshot, labels: &[(&str, &str)], share: f64) -> Option<f64> {
    let (old, new) = (before.buckets(labels), now.buckets(labels));
    let fresh: Vec<(f64, f64)> = new
        .iter()
        .map(|(bound, count)| {
            let known =
                old.iter().find(|(other, _)| other == bound).map_or(0.0, |(_, count)| *count);
            (*bound, count - known)
        })
        .collect();
    of_buckets(&fresh, share).or_else(|| of_buckets(&new, share)).map(|seconds| seconds * 1000.0)
}

fn of_buckets(buckets: &[(f64, f64)], share: f64) -> Option<f64> {
    let total = buckets.last()?.1;
    if total <= 0.0 {
        return None;
    }
    let wanted = total * share;
    let mut below = (0.0, 0.0);
    for (bound, count) in buckets {
        if *count >= wanted {
            // Slower than the last bound: no more is known.
            if bound.is_infinite() || *count <= below.1 {
                return Some(below.0);
            }
            return Some(below.0 + (bound - below.0) * (wanted - below.1) / (count - below.1));
        }
        below = (*bound, *count);
    }
    None
}

fn period(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count of seconds"
    )]
    let seconds = seconds as u64;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes}m{:02}s", seconds % 60),
        (0, _) => format!("{hours}h{minutes:02}m"),
        _ => format!("{days}d{hours:02}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_within_their_bucket() {
        let buckets = [(0.001, 50.0), (0.01, 90.0), (0.1, 100.0), (f64::INFINITY, 100.0)];
        assert_eq!(of_buckets(&buckets, 0.5), Some(0.001));
        assert!((of_buckets(&buckets, 0.7).unwrap() - 0.0055).abs() < 1e-9);
        assert!((of_buckets(&buckets, 0.99).unwrap() - 0.091).abs() < 1e-9);
        assert_eq!(of_buckets(&[(0.1, 0.0), (f64::INFINITY, 4.0)], 0.5), Some(0.1));
        assert_eq!(of_buckets(&[(0.1, 0.0), (f64::INFINITY, 0.0)], 0.5), None);
        assert_eq!(of_buckets(&[], 0.5), None);
    }

    #[test]
    fn rates_are_between_two_looks() {
        let look = |calls: u64| {
            let text = format!(
                "# TYPE bartizan_calls counter\nbartizan_calls_total{{server=\"a\",outcome=\"ok\"}} {calls}\n\
                 # TYPE bartizan_calls_in_flight gauge\nbartizan_calls_in_flight{{server=\"a\"}} 0\n"
            );
            gateway::telemetry::parse(&text)
        };
        let start = Instant::now();
        let later = start + std::time::Duration::from_secs(2);
        let seen = VecDeque::from([Snapshot::of(&look(10), start), Snapshot::of(&look(30), later)]);
        let frame = Frame::new(&seen, Vec::new());
        assert!((frame.calls_per_second - 10.0).abs() < 1e-9);
        assert_eq!((frame.servers[0].server.as_str(), frame.servers[0].calls), ("a", 30.0));
        assert!(frame.drawn(Some((20, 24))).lines().all(|line| line.chars().count() <= 20));
    }
}
