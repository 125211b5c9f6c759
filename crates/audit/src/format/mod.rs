//! A record in the forms that other systems read. Nothing here does I/O.

mod cef;
mod ocsf;

use std::fmt;

use jiff::Timestamp;

use crate::{AuditFault, Entry, Followed};

/// The form of an exported record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// ArcSight's Common Event Format.
    Cef,
    /// As it stands in the journal.
    #[default]
    Native,
    /// The Open Cybersecurity Schema Framework, as JSON.
    Ocsf,
}

impl Format {
    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Cef => "cef",
            Format::Native => "native",
            Format::Ocsf => "ocsf",
        }
    }

    /// A record in this form, on one line without its end; `origin` is the log's name.
    pub fn render(self, origin: &str, record: &Followed) -> Result<String, AuditFault> {
        if self == Format::Native {
            return Ok(record.line.clone());
        }
        let entry = record.entry().ok_or(AuditFault::NoRecord(record.seq))?;
        match self {
            Format::Cef => Ok(cef::render(origin, &entry)),
            _ => Ok(ocsf::render(origin, &entry).to_string()),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What makes a record one and the same wherever it is received twice.
pub fn key(origin: &str, seq: u64) -> String {
    format!("{origin}#{seq}")
}

/// How much a record should trouble its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// What happens all day.
    Informational,
    /// Something did not work.
    Low,
    /// Bartizan refused something, or a definition changed.
    Medium,
}

impl Severity {
    /// Of this record.
    pub fn of(entry: &Entry) -> Severity {
        use crate::{Kind, Outcome};
        match (entry.kind, entry.outcome) {
            (Kind::Auth | Kind::Refusal | Kind::Drift, _) | (_, Some(Outcome::Refused)) => {
                Severity::Medium
            }
            (_, Some(Outcome::Error | Outcome::ToolError | Outcome::Unknown)) => Severity::Low,
            _ => Severity::Informational,
        }
    }
}

/// Milliseconds since 1970; 0 for a time that can't be read.
fn millis(entry: &Entry) -> i64 {
    entry.time.parse().map_or(0, Timestamp::as_millisecond)
}

/// A short sentence about a record.
fn sentence(entry: &Entry) -> String {
    let mut words = vec![entry.kind.as_str()];
    words.extend(["method", "server", "name"].map(|member| entry.text(member)));
    words.extend(entry.outcome.map(crate::Outcome::as_str));
    words.push(entry.text("refusal"));
    words.retain(|word| !word.is_empty());
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: &str = "bartizan.dev/audit/00";

    fn followed(seq: u64, rest: &str) -> Followed {
        let head = format!("{{\"seq\":{seq},\"time\":\"2026-11-26T12:00:00.250000Z\"");
        Followed { seq, line: format!("{head}{rest}}}") }
    }

    fn samples() -> Vec<Followed> {
        let record = |(seq, kind): (u64, &str)| {
            followed(
                seq,
                &format!(
                    r#","kind":"{kind}","v":2,"id":"c-1","principal":"user:t/o","client":"cli | 1","door":"http","address":"203.0.113.7","server":"github","method":"tools/call","name":"get=issue","rule":"role a allow *","outcome":"refused","bytes_in":5,"duration_us":1500,"refusal":"denied","trace":"0af7651916cd43dd8448eb211c80319c","detail":"no\\\n | = way""#
                ),
            )
        };
        (1..).zip(crate::Kind::ALL.map(crate::Kind::as_str)).map(record).collect()
    }

    #[test]
    fn every_kind_has_each_form_on_one_line() {
        for record in samples() {
            for format in [Format::Native, Format::Ocsf, Format::Cef] {
                let line = format.render(ORIGIN, &record).unwrap();
                assert!(!line.contains('\n'), "{line}");
            }
        }
        let broken = Followed { seq: 7, line: "{\"seq\":7,".into() };
        assert!(matches!(Format::Cef.render(ORIGIN, &broken), Err(AuditFault::NoRecord(7))));
    }

    #[test]
    fn snapshots() {
        let refusal = &samples()[10];
        let cef = Format::Cef.render(ORIGIN, refusal).unwrap();
        assert_eq!(
            cef,
            format!(
                "CEF:0|Bartizan|Bartizan|{}|refusal:denied|refusal tools/call github get=issue refused denied|6|\
                 rt=1795694400250 externalId=bartizan.dev/audit/00#11 cat=refusal suser=user:t/o src=203.0.113.7 \
                 requestClientApplication=cli | 1 destinationServiceName=github act=tools/call fname=get\\=issue \
                 outcome=refused reason=denied in=5 msg=no\\\\\\n | \\= way cs1Label=rule cs1=role a allow * \
                 cs2Label=trace cs2=0af7651916cd43dd8448eb211c80319c cs3Label=call cs3=c-1 cn1Label=duration_us cn1=1500",
                env!("CARGO_PKG_VERSION")
            )
        );
        let ocsf: serde_json::Value =
            serde_json::from_str(&Format::Ocsf.render(ORIGIN, refusal).unwrap()).unwrap();
        let expected = serde_json::json!({
            "class_uid": 6003, "category_uid": 6, "activity_id": 99, "activity_name": "tools/call", "type_uid": 600_399,
            "severity_id": 3, "time": 1_795_694_400_250_i64, "status_id": 2, "status": "refused", "status_code": "denied",
            "status_detail": "no\\\n | = way", "message": "refusal tools/call github get=issue refused denied",
            "metadata": {
                "version": "1.3.0", "uid": "bartizan.dev/audit/00#11", "sequence": 11, "log_name": ORIGIN,
                "correlation_uid": "c-1", "event_code": "refusal",
                "product": {"name": "Bartizan", "vendor_name": "Bartizan", "version": env!("CARGO_PKG_VERSION")}
            },
            "duration": 1,
            "actor": {"user": {"uid": "user:t/o", "name": "user:t/o"}, "app_name": "cli | 1"},
            "api": {"operation": "tools/call", "request": {"uid": "c-1"}, "service": {"name": "github"}},
            "resources": [{"type": "tools/call", "name": "get=issue"}],
            "src_endpoint": {"ip": "203.0.113.7"},
            "unmapped": {"v": 2, "door": "http", "rule": "role a allow *", "bytes_in": 5, "duration_us": 1500,
                "trace": "0af7651916cd43dd8448eb211c80319c"}
        });
        assert_eq!(ocsf, expected);
    }
}
