//! Everything that is counted, under the names that dashboards know.
//!
//! Labels come from the configuration or from fixed lists, never from what a caller may choose; a server's
//! tools have series of their own up to a bound.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::meters::{Ended, Entered, Meters};
use crate::{Gateway, call::Call, config::Reach};

/// Everything that is counted.
pub(crate) struct Metrics {
    registry: Registry,
    pub(super) calls: Family<CallLabels, Counter>,
    pub(super) durations: Family<ServerLabel, Histogram, fn() -> Histogram>,
    pub(super) bytes: Family<BytesLabels, Counter>,
    pub(super) in_flight: Family<ServerLabel, Gauge>,
    refusals: Family<RefusalLabels, Counter>,
    findings: Family<RuleLabel, Counter>,
    egress: Family<EgressLabels, Counter>,
    journal_wait: Histogram,
    journal_failed: Gauge,
    journal_records: Gauge,
    journal_waiting: Gauge,
    /// How long the disk takes for each group of records.
    pub(crate) journal_commits: Histogram,
    secret_expiry: Family<SecretLabel, Gauge>,
    sessions: Gauge,
    processes: Family<ServerLabel, Gauge>,
    crashes: Family<ServerLabel, Gauge>,
    uptime: Gauge,
    exports: Family<ExportLabels, Counter>,
    export_records: Family<DeliveryLabels, Counter>,
    export_failures: Family<ExportLabel, Counter>,
    export_lag: Family<ExportLabel, Gauge>,
    spans_dropped: Counter,
    alerts: Family<AlertLabel, Counter>,
    /// What is said of calls that are about no server.
    pub(crate) nobody: Arc<Meters>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CallLabels {
    pub server: Arc<str>,
    pub method: Arc<str>,
    pub tool: Arc<str>,
    pub outcome: &'static str,
    pub era: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ServerLabel {
    pub server: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct BytesLabels {
    pub server: Arc<str>,
    pub direction: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    server: Arc<str>,
    refusal: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RuleLabel {
    rule: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ExportLabels {
    signal: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ExportLabel {
    export: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeliveryLabels {
    export: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SecretLabel {
    secret: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AlertLabel {
    alert: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EgressLabels {
    server: Arc<str>,
    outcome: &'static str,
}

/// From 200 µs, what the gateway itself takes, to the longest deadline.
fn durations() -> Histogram {
    Histogram::new([
        0.0002, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
        10.0, 30.0, 60.0,
    ])
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new() -> Metrics {
        let calls = Family::default();
        let durations = Family::new_with_constructor(durations as fn() -> Histogram);
        let (bytes, in_flight) = (Family::default(), Family::default());
        let nobody = Arc::new(Meters::new("", &calls, &durations, &bytes, &in_flight));
        let mut metrics = Metrics {
            registry: Registry::with_prefix("bartizan"),
            calls,
            durations,
            bytes,
            in_flight,
            refusals: Family::default(),
            findings: Family::default(),
            egress: Family::default(),
            journal_wait: self::durations(),
            journal_failed: Gauge::default(),
            journal_records: Gauge::default(),
            journal_waiting: Gauge::default(),
            journal_commits: self::durations(),
            secret_expiry: Family::default(),
            sessions: Gauge::default(),
            processes: Family::default(),
            crashes: Family::default(),
            uptime: Gauge::default(),
            exports: Family::default(),
            export_records: Family::default(),
            export_failures: Family::default(),
            export_lag: Family::default(),
            spans_dropped: Counter::default(),
            alerts: Family::default(),
            nobody,
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let Metrics { registry, .. } = self;
        registry.register("calls", "Requests by what came of them", self.calls.clone());
        let help = "From a request's arrival in the pipeline until its record is written";
        registry.register_with_unit("call_duration", help, Unit::Seconds, self.durations.clone());
        registry.register_with_unit(
            "call",
            "Of params and results",
            Unit::Bytes,
            self.bytes.clone(),
        );
        registry.register("calls_in_flight", "Calls under way", self.in_flight.clone());
        registry.register("refusals", "Refusals by their label", self.refusals.clone());
        registry.register("findings", "Findings of the detectors", self.findings.clone());
        registry.register("egress", "Decisions of the egress gates", self.egress.clone());
        let help = "How long replies waited for their record to be on the disk";
        registry.register_with_unit("journal_wait", help, Unit::Seconds, self.journal_wait.clone());
        let help = "1 when nothing can be recorded any more, and every call is refused";
        registry.register("journal_failed", help, self.journal_failed.clone());
        let help = "The number of the last record on the disk";
        registry.register("journal_records", help, self.journal_records.clone());
        let help = "Records that wait to be on the disk";
        registry.register("journal_waiting_records", help, self.journal_waiting.clone());
        let help = "How long the disk took for a group of records";
        let commits = self.journal_commits.clone();
        registry.register_with_unit("journal_commit", help, Unit::Seconds, commits);
        let help = "Records that a receiver took, or will never take";
        registry.register("export_records", help, self.export_records.clone());
        let help = "Tries to deliver that failed";
        registry.register("export_failures", help, self.export_failures.clone());
        let help = "Records on the disk that a receiver does not have";
        registry.register("export_lag_records", help, self.export_lag.clone());
        let help = "When a sealed secret dies, in seconds since 1970";
        registry.register_with_unit(
            "secret_expiry_timestamp",
            help,
            Unit::Seconds,
            self.secret_expiry.clone(),
        );
        registry.register("sessions", "Open sessions of the handshake era", self.sessions.clone());
        registry.register("processes", "Processes of local servers", self.processes.clone());
        let help = "Processes of local servers that ended by themselves, since the start";
        registry.register("process_crashes", help, self.crashes.clone());
        registry.register("alerts", "Alerts that were told", self.alerts.clone());
        registry.register("otlp_exports", "Messages to a collector", self.exports.clone());
        let help = "Spans for which there was no room";
        registry.register("spans_dropped", help, self.spans_dropped.clone());
        registry.register_with_unit(
            "uptime",
            "Since the start",
            Unit::Seconds,
            self.uptime.clone(),
        );
    }

    /// One message to a collector.
    pub fn exported(&self, signal: &'static str, taken: bool) {
        let outcome = if taken { "ok" } else { "error" };
        self.exports.get_or_create(&ExportLabels { signal, outcome }).inc();
    }

    /// What an export counts.
    pub fn export(&self, name: &str) -> ExportMeters {
        let of = |outcome| {
            let export = name.to_owned();
            self.export_records.get_or_create_owned(&DeliveryLabels { export, outcome })
        };
        let label = ExportLabel { export: name.to_owned() };
        let failures = self.export_failures.get_or_create_owned(&label);
        ExportMeters { taken: of("taken"), refused: of("refused"), failures }
    }

    /// A span for which there was no room.
    pub fn span_dropped(&self) {
        self.spans_dropped.inc();
    }

    /// Somebody was told.
    pub fn alerted(&self, alert: &str) {
        self.alerts.get_or_create(&AlertLabel { alert: alert.to_owned() }).inc();
    }

    /// The handles of one server.
    pub fn server(&self, name: &str) -> Arc<Meters> {
        let Metrics { calls, durations, bytes, in_flight, .. } = self;
        Arc::new(Meters::new(name, calls, durations, bytes, in_flight))
    }

    /// Counts what came of a call, once.
    pub fn ended(&self, call: &Call, entered: Option<&Entered>, ended: &Ended<'_>) {
        let own;
        let entered = match entered {
            Some(entered) => entered,
            None => {
                own = self.nobody.enter(call, None);
                &own
            }
        };
        entered.end(ended);
        if let Some(refusal) = ended.refusal {
            self.refused(entered.server(), refusal);
        }
        if !ended.findings.is_empty() {
            self.found(ended.findings);
        }
    }

    /// One refusal. `server` is a configured one, or empty.
    pub fn refused(&self, server: &str, refusal: &'static str) {
        self.refusals.get_or_create(&RefusalLabels { server: server.into(), refusal }).inc();
    }

    /// What the detectors found in one call, as its record has it.
    fn found(&self, noted: &str) {
        for rule in crate::inspection::rules(noted) {
            self.findings.get_or_create(&RuleLabel { rule: rule.to_owned() }).inc();
        }
    }

    /// A decision of a server's egress gate, made `count` times.
    pub fn egress(&self, server: &str, outcome: audit::Outcome, count: u64) {
        let labels = EgressLabels { server: server.into(), outcome: outcome.as_str() };
        self.egress.get_or_create(&labels).inc_by(count);
    }

    /// When they die, of those that do.
    fn know_secrets(&self, secrets: &[store::SealedSecret]) {
        self.secret_expiry.clear();
        for secret in secrets {
            if let Some(expires) = secret.expires {
                let label = SecretLabel { secret: secret.name.clone() };
                let expires = i64::try_from(expires).unwrap_or(i64::MAX);
                self.secret_expiry.get_or_create(&label).set(expires);
            }
        }
    }

    /// What each export has still to deliver; those that there are no more are not told.
    fn know_exports(&self, lags: Vec<(String, u64)>) {
        self.export_lag.clear();
        for (export, lag) in lags {
            let lag = i64::try_from(lag).unwrap_or(i64::MAX);
            self.export_lag.get_or_create(&ExportLabel { export }).set(lag);
        }
    }

    /// How long a reply waited for the disk.
    pub fn waited(&self, time: Duration) {
        self.journal_wait.observe(time.as_secs_f64());
    }
}

/// The handles of one export.
pub(crate) struct ExportMeters {
    pub taken: Counter,
    pub refused: Counter,
    pub failures: Counter,
}

impl Gateway {
    /// All metrics, in the OpenMetrics text format.
    pub async fn exposition(&self) -> String {
        let metrics = &self.metrics;
        match self.store.secrets().await {
            Ok(secrets) => metrics.know_secrets(&secrets),
            Err(fault) => tracing::warn!(%fault, "when secrets die is not known"),
        }
        let committed = i64::try_from(self.journal.committed()).unwrap_or(i64::MAX);
        metrics.journal_records.set(committed);
        let waiting = i64::try_from(self.journal.waiting()).unwrap_or(i64::MAX);
        metrics.journal_waiting.set(waiting);
        metrics.know_exports(self.exports.lags(self.journal.committed()));
        metrics.journal_failed.set(i64::from(self.journal.fault().is_some()));
        metrics.sessions.set(count(self.sessions.len()));
        metrics.uptime.set(i64::try_from(self.started.elapsed().as_secs()).unwrap_or(i64::MAX));
        for served in self.current().servers.values() {
            if let Reach::Stdio { .. } = served.entry.reach {
                let label = ServerLabel { server: served.name().as_str().into() };
                let running = served.link().processes().len();
                metrics.processes.get_or_create(&label).set(count(running));
                let crashes = i64::try_from(served.link().status().restarts).unwrap_or(i64::MAX);
                metrics.crashes.get_or_create(&label).set(crashes);
            }
        }
        let mut text = String::with_capacity(16 << 10);
        // Writing to a String can't fail.
        let _ = encode(&mut text, &metrics.registry);
        text
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::exposition::{Kind, parse};
    use super::*;

    /// Everything counted once, so that every metric is there.
    fn exposition() -> String {
        let metrics = Metrics::new();
        metrics.server("s");
        metrics.refused("s", "denied");
        metrics.found("injection.order high");
        metrics.egress("s", audit::Outcome::Ok, 1);
        metrics.waited(Duration::from_millis(1));
        metrics.exported("traces", true);
        metrics.export("siem").taken.inc();
        metrics.know_exports(vec![("siem".to_owned(), 1)]);
        metrics.alerted("drift");
        let secret = SecretLabel { secret: "github".to_owned() };
        metrics.secret_expiry.get_or_create(&secret).set(1);
        let server = ServerLabel { server: "s".into() };
        metrics.processes.get_or_create(&server).set(1);
        metrics.crashes.get_or_create(&server).set(1);
        let labels = CallLabels {
            server: "s".into(),
            method: "tools/call".into(),
            tool: "t".into(),
            outcome: "ok",
            era: "stateless",
        };
        metrics.calls.get_or_create(&labels).inc();
        let mut text = String::new();
        encode(&mut text, &metrics.registry).unwrap();
        text
    }

    #[test]
    fn the_dashboard_and_the_documentation_name_what_is_there() {
        let mut there = BTreeSet::new();
        let mut bases = BTreeSet::new();
        for metric in parse(&exposition()) {
            bases.insert(metric.name.clone());
            let suffixes: &[&str] = match metric.kind {
                Kind::Counter => &["_total"],
                Kind::Gauge => &[""],
                Kind::Histogram => &["_bucket", "_count", "_sum"],
            };
            there.extend(suffixes.iter().map(|suffix| format!("{}{suffix}", metric.name)));
        }
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/");
        let read = |name: &str| std::fs::read_to_string(format!("{folder}{name}")).unwrap();
        let named = |text: &str| -> BTreeSet<String> {
            let word = |c: char| !(c.is_ascii_lowercase() || c == '_');
            let words = text.split(word).filter(|word| word.starts_with("bartizan_"));
            words.map(str::to_owned).collect()
        };
        let dashboard = named(&read("dashboards/grafana.json"));
        assert!(dashboard.is_subset(&there), "{:?}", dashboard.difference(&there));
        // Each metric is drawn, and explained.
        for base in &bases {
            assert!(dashboard.iter().any(|name| name.starts_with(base)), "{base} is not drawn");
        }
        let documented = named(&read("telemetry.md"));
        for name in &documented {
            assert!(there.contains(name) || bases.contains(name), "{name} is not there");
        }
        for base in &bases {
            assert!(
                documented.iter().any(|name| name.starts_with(base)),
                "{base} is not explained"
            );
        }
    }
}
