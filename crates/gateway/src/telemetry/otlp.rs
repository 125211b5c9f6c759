//! OTLP over HTTP, in JSON: what is told to a collector, and how.

use std::{
    collections::BTreeMap,
    fmt::Write,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use audit::Outcome;
use mcp::quote;
use serde_json::{Value, json};

use super::{
    context::Context,
    exposition::{Kind, Metric, Sample},
    span::{Named, Span, Step},
};

const CLIENT: u8 = 3;
const CUMULATIVE: u8 = 2;
const FAILED: u8 = 2;
const SERVER: u8 = 2;
const SUBSCRIPTION: &str = "subscriptions/listen";

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

fn nanos(time: SystemTime) -> u128 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()
}

/// An `ExportTraceServiceRequest`, as text: it is made for every call, and a tree of values would cost more than
/// all else about a span.
pub(super) fn traces(resource: &Value, spans: &[Span]) -> String {
    let mut out = String::with_capacity(2048 * (spans.len() + 1));
    // Writing to a String can't fail.
    let _ = write!(
        out,
        "{{\"resourceSpans\":[{{\"resource\":{{\"attributes\":{resource}}},\"scopeSpans\":[{{\"scope\":{},\"spans\":[",
        scope()
    );
    for (at, span) in spans.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        let name = match &span.name {
            _ if span.method.is_empty() => "refused".to_owned(),
            Some(Named::Tool(name) | Named::Prompt(name)) => format!("{} {name}", span.method),
            Some(Named::Resource(_)) | None => span.method.to_string(),
        };
        let name = quote(&name);
        call(&mut out, span, &name);
        upstream(&mut out, span, &name);
    }
    out.push_str("]}]}]}");
    out
}

/// The call itself.
fn call(out: &mut String, span: &Span, name: &str) {
    head(out, &span.own, span.parent.as_deref(), name, SERVER);
    if let Some(state) = &span.own.state {
        let _ = write!(out, ",\"traceState\":{}", quote(state));
    }
    times(out, span.began, span.began + span.lasted);
    out.push_str(",\"events\":[");
    for (at, (step, after)) in span.steps.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let (time, step) = (nanos(span.began + *after), step.as_str());
        let _ = write!(out, "{comma}{{\"timeUnixNano\":\"{time}\",\"name\":\"{step}\"}}");
    }
    out.push_str("],\"attributes\":[");
    common(out, span);
    attribute(out, "network.transport", span.transport);
    attribute(out, "bartizan.call.id", &span.id);
    attribute(out, "bartizan.outcome", span.outcome.as_str());
    attribute(out, "enduser.id", &span.principal);
    if let Some(server) = &span.server {
        attribute(out, "bartizan.server", &server.name);
    }
    end(out, failure(span));
}

/// While the server had it; nothing where it was never sent.
fn upstream(out: &mut String, span: &Span, name: &str) {
    let at = |wanted| span.steps.iter().find(|(step, _)| *step == wanted).map(|(_, at)| *at);
    let (Some(server), Some(began), Some(ended)) =
        (&span.server, at(Step::Credential), at(Step::Answered))
    else {
        return;
    };
    out.push(',');
    head(out, &span.sent, Some(span.own.parent.span()), name, CLIENT);
    times(out, span.began + began, span.began + ended);
    out.push_str(",\"attributes\":[");
    common(out, span);
    attribute(out, "network.transport", server.transport);
    attribute(out, "bartizan.server", &server.name);
    // What was refused behind the answer is not the server's failure.
    let own = at(Step::Inspected).is_none() || span.refusal.is_none();
    end(out, failure(span).filter(|_| own));
}

fn head(out: &mut String, place: &Context, parent: Option<&str>, name: &str, kind: u8) {
    let (trace, span) = (place.parent.trace(), place.parent.span());
    let _ = write!(
        out,
        "{{\"traceId\":\"{trace}\",\"spanId\":\"{span}\",\"name\":{name},\"kind\":{kind},\"flags\":1"
    );
    if let Some(parent) = parent {
        let _ = write!(out, ",\"parentSpanId\":\"{parent}\"");
    }
}

fn times(out: &mut String, began: SystemTime, ended: SystemTime) {
    let (began, ended) = (nanos(began), nanos(ended));
    let _ = write!(out, ",\"startTimeUnixNano\":\"{began}\",\"endTimeUnixNano\":\"{ended}\"");
}

/// One of a list that is open.
fn attribute(out: &mut String, key: &str, value: &str) {
    if value.is_empty() {
        return;
    }
    let comma = if out.ends_with('[') { "" } else { "," };
    let value = quote(value);
    let _ = write!(out, "{comma}{{\"key\":\"{key}\",\"value\":{{\"stringValue\":{value}}}}}");
}

/// Closes the attributes and the span.
fn end(out: &mut String, failure: Option<&str>) {
    match failure {
        Some(kind) => {
            attribute(out, "error.type", kind);
            let _ = write!(out, "],\"status\":{{\"code\":{FAILED}}}}}");
        }
        None => out.push_str("],\"status\":{}}"),
    }
}

fn common(out: &mut String, span: &Span) {
    attribute(out, "mcp.method.name", &span.method);
    attribute(out, "mcp.protocol.version", span.version);
    match &span.name {
        Some(Named::Tool(name)) => attribute(out, "gen_ai.tool.name", name),
        Some(Named::Prompt(name)) => attribute(out, "gen_ai.prompt.name", name),
        Some(Named::Resource(uri)) => attribute(out, "mcp.resource.uri", uri),
        None => {}
    }
    if span.tool_call {
        attribute(out, "gen_ai.operation.name", "execute_tool");
    }
}

fn failure(span: &Span) -> Option<&'static str> {
    match (span.outcome, span.refusal) {
        (_, Some(refusal)) => Some(refusal),
        (Outcome::ToolError, _) => Some("tool_error"),
        (Outcome::Error, _) => Some("error"),
        // A subscription ends when its reader leaves.
        (Outcome::Unknown, _) if &*span.method != SUBSCRIPTION => Some("unknown"),
        _ => None,
    }
}

/// An `ExportMetricsServiceRequest` of what a scraper would get.
pub(super) fn metrics(resource: &Value, metrics: &[Metric], began: SystemTime) -> Value {
    let times = (nanos(began).to_string(), nanos(SystemTime::now()).to_string());
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
