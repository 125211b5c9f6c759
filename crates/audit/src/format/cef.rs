//! ArcSight's Common Event Format, version 0.

use std::fmt::Write;

use super::{Severity, key, millis, sentence};
use crate::{Entry, Outcome};

pub(super) fn render(origin: &str, entry: &Entry) -> String {
    let severity = match Severity::of(entry) {
        Severity::Informational => 1,
        Severity::Low => 4,
        Severity::Medium => 6,
    };
    let class = [entry.kind.as_str(), entry.text("refusal")];
    let class = class.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(":");
    let mut line = format!(
        "CEF:0|Bartizan|Bartizan|{}|{}|{}|{severity}|rt={}",
        env!("CARGO_PKG_VERSION"),
        header(&class),
        header(&sentence(entry)),
        millis(entry),
    );
    let mut put = |name: &str, value: &str| {
        if !value.is_empty() {
            // Writing to a String can't fail.
            let _ = write!(line, " {name}={}", extension(value));
        }
    };
    let number = |member: &str| entry.number(member).map(|n| n.to_string()).unwrap_or_default();
    put("externalId", &key(origin, entry.seq));
    put("cat", entry.kind.as_str());
    put("suser", entry.text("principal"));
    put("src", entry.text("address"));
    put("requestClientApplication", entry.text("client"));
    put("destinationServiceName", entry.text("server"));
    put("act", entry.text("method"));
    put("fname", entry.text("name"));
    put("outcome", entry.outcome.map(Outcome::as_str).unwrap_or_default());
    put("reason", entry.text("refusal"));
    put("in", &number("bytes_in"));
    put("out", &number("bytes_out"));
    put("msg", entry.text("detail"));
    // The format has six texts of one's own; the journal has the rest.
    let own = [
        ("rule", "rule"),
        ("trace", "trace"),
        ("id", "call"),
        ("findings", "findings"),
        ("policy", "policy"),
        ("approval", "approval"),
    ];
    let own = own.into_iter().filter(|(member, _)| !entry.text(member).is_empty());
    for (at, (member, label)) in (1..).zip(own) {
        put(&format!("cs{at}Label"), label);
        put(&format!("cs{at}"), entry.text(member));
    }
    if let Some(duration) = entry.number("duration_us") {
        put("cn1Label", "duration_us");
        put("cn1", &duration.to_string());
    }
    line
}

fn header(text: &str) -> String {
    escaped(text, '|')
}

fn extension(text: &str) -> String {
    escaped(text, '=')
}

fn escaped(text: &str, special: char) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            _ if character == special => out.extend(['\\', special]),
            _ if character.is_control() => out.push('\u{fffd}'),
            _ => out.push(character),
        }
    }
    out
}
