//! Batches as receivers want them, and what they say of single records. Nothing here does I/O.

use audit::{
    AuditFault, Entry, Followed, Format,
    format::{Severity, key},
};
use serde_json::{Map, Value, json};

use super::{Receiver, deliver::Verdict};
use crate::telemetry::{Encoding, protobuf};

/// The body for a batch. `Err`: why there is none.
pub(super) fn body(
    receiver: &Receiver,
    format: Format,
    origin: &str,
    records: &[Followed],
) -> Result<Vec<u8>, String> {
    if let Receiver::Otlp(encoding) = receiver {
        let one = |record| log_record(format, origin, record);
        let all: Result<Vec<Value>, AuditFault> = records.iter().map(one).collect();
        return encoding.write(&logs(all.map_err(|fault| fault.to_string())?));
    }
    text(receiver, format, origin, records)
        .map(String::into_bytes)
        .map_err(|fault| fault.to_string())
}

fn text(
    receiver: &Receiver,
    format: Format,
    origin: &str,
    records: &[Followed],
) -> Result<String, AuditFault> {
    let mut body = String::new();
    match receiver {
        Receiver::Azure { .. } => {
            let row = |record| document(format, origin, record, "TimeGenerated");
            let rows: Result<Vec<Value>, AuditFault> = records.iter().map(row).collect();
            body = Value::from(rows?).to_string();
        }
        // It is no text.
        Receiver::Otlp(_) => {}
        Receiver::Elastic { index } => {
            for record in records {
                // The id makes a record that comes again the same one.
                let action = json!({"create": {"_index": index, "_id": key(origin, record.seq)}});
                let document = document(format, origin, record, "@timestamp")?;
                body.push_str(&format!("{action}\n{document}\n"));
            }
        }
        Receiver::Splunk => {
            for record in records {
                body.push_str(&splunk(format, origin, record)?.to_string());
                body.push('\n');
            }
        }
    }
    Ok(body)
}

/// What an answer of success says of the records.
pub(super) fn answered(receiver: &Receiver, records: &[Followed], body: &[u8]) -> Verdict {
    let taken = Verdict::Taken(Vec::new());
    match receiver {
        Receiver::Azure { .. } => taken,
        Receiver::Elastic { .. } => elastic(records, body),
        // An answer that can't be read is one of success all the same.
        Receiver::Otlp(Encoding::Protobuf) => match protobuf::rejected(body) {
            None | Some(0) => taken,
            Some(count) => partial(records, &count.to_string()),
        },
        Receiver::Otlp(Encoding::Json) => {
            let answer: Value = serde_json::from_slice(body).unwrap_or_default();
            // The number comes as text, as 64-bit numbers do in this encoding.
            let rejected = &answer["partialSuccess"]["rejectedLogRecords"];
            match rejected {
                Value::Null => taken,
                count if *count == "0" || *count == 0 => taken,
                _ => partial(records, &answer["partialSuccess"]["errorMessage"].to_string()),
            }
        }
        Receiver::Splunk => {
            let answer: Value = serde_json::from_slice(body).unwrap_or_default();
            match answer["code"].as_u64() {
                Some(0) => taken,
                _ => Verdict::later(format!("Splunk says {}", String::from_utf8_lossy(body))),
            }
        }
    }
}

/// A collector rejected some of a batch: which ones it does not say, and the batch must not be sent again.
fn partial(records: &[Followed], what: &str) -> Verdict {
    let why = format!("some of its batch: {what}");
    Verdict::Taken(records.iter().map(|record| (record.seq, why.clone())).collect())
}

/// A record as an object, with its time under the name that the receiver wants.
fn document(
    format: Format,
    origin: &str,
    record: &Followed,
    time: &str,
) -> Result<Value, AuditFault> {
    let entry = entry(record)?;
    let mut document = Map::new();
    document.insert(time.to_owned(), entry.time.into());
    let line = format.render(origin, record)?;
    match format {
        Format::Cef => drop(document.insert("message".to_owned(), line.into())),
        Format::Native | Format::Ocsf => {
            let unreadable = |_| AuditFault::NoRecord(record.seq);
            document.extend(serde_json::from_str::<Map<_, _>>(&line).map_err(unreadable)?);
        }
    }
    if format != Format::Ocsf {
        document.insert("log".to_owned(), origin.into());
    }
    Ok(document.into())
}

fn entry(record: &Followed) -> Result<Entry, AuditFault> {
    record.entry().ok_or(AuditFault::NoRecord(record.seq))
}

fn nanoseconds(entry: &Entry) -> i128 {
    entry.time.parse().map_or(0, jiff::Timestamp::as_nanosecond)
}

fn splunk(format: Format, origin: &str, record: &Followed) -> Result<Value, AuditFault> {
    let (entry, line) = (entry(record)?, format.render(origin, record)?);
    let event: Value = match format {
        Format::Cef => line.into(),
        _ => serde_json::from_str(&line).map_err(|_| AuditFault::NoRecord(record.seq))?,
    };
    let micros = nanoseconds(&entry) / 1000;
    Ok(json!({
        "time": format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000),
        "source": origin,
        "sourcetype": format!("bartizan:audit:{format}"),
        "event": event,
        "fields": {"key": key(origin, record.seq)},
    }))
}

/// One record as OpenTelemetry has it: the whole as the body, its members as attributes.
fn log_record(format: Format, origin: &str, record: &Followed) -> Result<Value, AuditFault> {
    let (entry, line) = (entry(record)?, format.render(origin, record)?);
    let (number, text) = match Severity::of(&entry) {
        Severity::Informational => (9, "INFO"),
        Severity::Low => (10, "INFO2"),
        Severity::Medium => (13, "WARN"),
    };
    let mut attributes = vec![
        attribute("log.record.uid", &key(origin, record.seq).into()),
        attribute("event.name", &format!("bartizan.audit.{}", entry.kind.as_str()).into()),
    ];
    let members: Map<String, Value> =
        serde_json::from_str(&record.line).map_err(|_| AuditFault::NoRecord(record.seq))?;
    let members = members.iter().filter(|(name, _)| !matches!(name.as_str(), "time" | "trace"));
    attributes.extend(members.map(|(name, value)| attribute(&format!("bartizan.{name}"), value)));
    let time = nanoseconds(&entry).to_string();
    let mut log = json!({
        "timeUnixNano": time,
        "observedTimeUnixNano": time,
        "severityNumber": number,
        "severityText": text,
        "body": {"stringValue": line},
        "attributes": attributes,
    });
    let trace = entry.text("trace");
    if trace.len() == 32 && trace.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        log["traceId"] = trace.into();
    }
    Ok(log)
}

fn attribute(key: &str, value: &Value) -> Value {
    let value = match value {
        Value::String(text) => json!({"stringValue": text}),
        Value::Number(number) => json!({"intValue": number.to_string()}),
        other => json!({"stringValue": other.to_string()}),
    };
    json!({"key": key, "value": value})
}

fn logs(records: Vec<Value>) -> Value {
    let resource = [("service.name", "bartizan"), ("service.version", env!("CARGO_PKG_VERSION"))]
        .map(|(name, value)| attribute(name, &value.into()));
    json!({"resourceLogs": [{
        "resource": {"attributes": resource},
        "scopeLogs": [{"scope": {"name": "bartizan.audit"}, "logRecords": records}],
    }]})
}

/// Each item has a status of its own: 409 says that the record is there already.
fn elastic(records: &[Followed], body: &[u8]) -> Verdict {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let Some(items) = answer["items"].as_array().filter(|items| items.len() == records.len())
    else {
        return Verdict::later("Elasticsearch did not answer for each record");
    };
    let mut refused = Vec::new();
    for (record, item) in records.iter().zip(items) {
        let item = &item["create"];
        match item["status"].as_u64() {
            Some(200..=299 | 409) => {}
            // What is wrong with this record is wrong for good.
            Some(400) => refused.push((record.seq, item["error"].to_string())),
            _ => return Verdict::later(format!("Elasticsearch says {item}")),
        }
    }
    Verdict::Taken(refused)
}
