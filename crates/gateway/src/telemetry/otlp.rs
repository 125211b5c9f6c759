//! OTLP over HTTP, in JSON: what is told to a collector, and how.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use audit::Outcome;
use serde_json::{Value, json};

use super::{
    exposition::{Kind, Metric, Sample},
    span::{Named, Span},
};

const CLIENT: u8 = 3;
const CUMULATIVE: u8 = 2;
const FAILED: u8 = 2;
const SERVER: u8 = 2;

/// Who tells it.
pub(super) fn resource(instance: &str) -> Value {
    attributes(&[
        ("service.name", "bartizan"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("service.instance.id", instance),
    ])
}

fn scope() -> Value {
    json!({"name": "bartizan", "version": env!("CARGO_PKG_VERSION")})
}

fn attributes(pairs: &[(&str, &str)]) -> Value {
    pairs
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| text(key, value))
        .collect()
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn nanos(time: SystemTime) -> String {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}

/// An `ExportTraceServiceRequest`.
pub(super) fn traces(resource: &Value, spans: &[Span]) -> Value {
    let spans: Vec<Value> = spans.iter().flat_map(both).collect();
    json!({"resourceSpans": [{
        "resource": {"attributes": resource},
        "scopeSpans": [{"scope": scope(), "spans": spans}],
    }]})
}

/// The call, and while the server had it.
fn both(span: &Span) -> Vec<Value> {
    let name = match &span.name {
        Some(Named::Tool(name) | Named::Prompt(name)) => format!("{} {name}", span.method),
        Some(Named::Resource(_)) | None => span.method.to_string(),
    };
    let mut all = vec![call(span, &name)];
    all.extend(upstream(span, &name));
    all
}

fn call(span: &Span, name: &str) -> Value {
    let mut all = common(span);
    all.push(text("network.transport", span.transport));
    all.push(text("bartizan.call.id", &span.id));
    all.push(text("bartizan.outcome", span.outcome.as_str()));
    if !span.principal.is_empty() {
        all.push(text("enduser.id", &span.principal));
    }
    if let Some(server) = &span.server {
        all.push(text("bartizan.server", &server.name));
    }
    let failure = failure(span);
    all.extend(failure.map(|kind| text("error.type", kind)));
    let events: Vec<Value> = span
        .steps
        .iter()
        .map(|(step, at)| json!({"timeUnixNano": nanos(span.began + *at), "name": step.as_str()}))
        .collect();
    let mut value = json!({
        "traceId": span.own.parent.trace(), "spanId": span.own.parent.span(), "name": name, "kind": SERVER,
        "startTimeUnixNano": nanos(span.began), "endTimeUnixNano": nanos(span.began + span.lasted),
        "attributes": all, "events": events, "flags": 1,
        "status": if failure.is_some() { json!({"code": FAILED}) } else { json!({}) },
    });
    if let Some(parent) = &span.parent {
        value["parentSpanId"] = json!(parent);
    }
    if let Some(state) = &span.own.state {
        value["traceState"] = json!(state);
    }
    value
}

/// `None` where it was never sent.
fn upstream(span: &Span, name: &str) -> Option<Value> {
    let server = span.server.as_ref()?;
    let at = |wanted| span.steps.iter().find(|(step, _)| *step == wanted).map(|(_, at)| *at);
    let (began, ended) = (at(super::Step::Credential)?, at(super::Step::Answered)?);
    let mut all = common(span);
    all.push(text("network.transport", server.transport));
    all.push(text("bartizan.server", &server.name));
    let failure =
        failure(span).filter(|_| at(super::Step::Inspected).is_none() || span.refusal.is_none());
    all.extend(failure.map(|kind| text("error.type", kind)));
    Some(json!({
        "traceId": span.sent.parent.trace(), "spanId": span.sent.parent.span(), "parentSpanId": span.own.parent.span(),
        "name": name, "kind": CLIENT, "flags": 1,
        "startTimeUnixNano": nanos(span.began + began), "endTimeUnixNano": nanos(span.began + ended),
        "attributes": all,
        "status": if failure.is_some() { json!({"code": FAILED}) } else { json!({}) },
    }))
}

fn common(span: &Span) -> Vec<Value> {
    let mut all =
        vec![text("mcp.method.name", &span.method), text("mcp.protocol.version", span.version)];
    match &span.name {
        Some(Named::Tool(name)) => all.push(text("gen_ai.tool.name", name)),
        Some(Named::Prompt(name)) => all.push(text("gen_ai.prompt.name", name)),
        Some(Named::Resource(uri)) => all.push(text("mcp.resource.uri", uri)),
        None => {}
    }
    if span.tool_call {
        all.push(text("gen_ai.operation.name", "execute_tool"));
    }
    all
}

fn failure(span: &Span) -> Option<&'static str> {
    match (span.outcome, span.refusal) {
        (_, Some(refusal)) => Some(refusal),
        (Outcome::ToolError, _) => Some("tool_error"),
        (Outcome::Error, _) => Some("error"),
        (Outcome::Unknown, _) => Some("cancelled"),
        _ => None,
    }
}

/// An `ExportMetricsServiceRequest` of what a scraper would get.
pub(super) fn metrics(resource: &Value, metrics: &[Metric], began: SystemTime) -> Value {
    let times = (nanos(began), nanos(SystemTime::now()));
    let all: Vec<Value> = metrics.iter().map(|metric| one(metric, &times)).collect();
    json!({"resourceMetrics": [{
        "resource": {"attributes": resource},
        "scopeMetrics": [{"scope": scope(), "metrics": all}],
    }]})
}

fn one(metric: &Metric, times: &(String, String)) -> Value {
    let points = |metric: &Metric| -> Vec<Value> {
        metric.samples.iter().map(|sample| number(sample, times)).collect()
    };
    let mut value = json!({"name": metric.name, "description": metric.help});
    match metric.kind {
        Kind::Counter => {
            value["sum"] = json!({
                "aggregationTemporality": CUMULATIVE, "isMonotonic": true, "dataPoints": points(metric),
            });
        }
        Kind::Gauge => value["gauge"] = json!({"dataPoints": points(metric)}),
        Kind::Histogram => {
            value["histogram"] = json!({
                "aggregationTemporality": CUMULATIVE, "dataPoints": histograms(metric, times),
            });
        }
    }
    value
}

fn labels<'a>(labels: impl Iterator<Item = (&'a String, &'a String)>) -> Value {
    labels.map(|(name, value)| text(name, value)).collect()
}

fn number(sample: &Sample, (began, now): &(String, String)) -> Value {
    json!({
        "attributes": labels(sample.labels.iter()), "startTimeUnixNano": began, "timeUnixNano": now,
        "asDouble": sample.value,
    })
}

/// The buckets of one series; they count everything up to their bound, and OTLP's each its own part.
fn histograms(metric: &Metric, (began, now): &(String, String)) -> Vec<Value> {
    let mut series: BTreeMap<BTreeMap<String, String>, Vec<&Sample>> = BTreeMap::new();
    for sample in &metric.samples {
        let mut own = sample.labels.clone();
        own.remove("le");
        series.entry(own).or_default().push(sample);
    }
    let point = |(own, samples): (&BTreeMap<String, String>, &Vec<&Sample>)| {
        let of =
            |suffix: &str| samples.iter().find(|s| s.suffix == suffix).map_or(0.0, |s| s.value);
        let (mut bounds, mut counts, mut before) = (Vec::new(), Vec::new(), 0.0);
        for bucket in samples.iter().filter(|sample| sample.suffix == "_bucket") {
            counts.push(whole(bucket.value - before));
            before = bucket.value;
            let bound = bucket.labels.get("le").and_then(|le| le.parse::<f64>().ok());
            bounds.extend(bound.filter(|bound| bound.is_finite()));
        }
        json!({
            "attributes": labels(own.iter()), "startTimeUnixNano": began, "timeUnixNano": now,
            "count": whole(of("_count")), "sum": of("_sum"), "bucketCounts": counts,
            "explicitBounds": bounds,
        })
    };
    series.iter().map(point).collect()
}

/// 64-bit integers are texts in this JSON.
fn whole(count: f64) -> String {
    format!("{count:.0}")
}

/// How long a request may take.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);
