//! OTLP's messages in protobuf, made of the same messages in JSON: what is told has one source. Some receivers
//! read no JSON.
//!
//! Tables name the members that Bartizan uses, with the numbers of opentelemetry-proto 1.x; what a table does
//! not know is an error, so that nothing is left out unseen.

use serde_json::Value;

/// A message's members: the JSON's name, the number, the type.
type Message = [(&'static str, u32, Type)];

#[derive(Clone, Copy)]
enum Type {
    Bool,
    Double,
    Fixed32,
    Fixed64,
    /// Hexadecimal in JSON, bytes here.
    Hex,
    Many(&'static Message),
    ManyDoubles,
    ManyFixed64,
    One(&'static Message),
    Text,
    Varint,
}

use Type::{
    Bool, Double, Fixed32, Fixed64, Hex, Many, ManyDoubles, ManyFixed64, One, Text, Varint,
};

/// `ExportTraceServiceRequest`, `ExportMetricsServiceRequest` and `ExportLogsServiceRequest` in one: their only
/// members have one number and three names.
const REQUEST: &Message = &[
    ("resourceSpans", 1, Many(RESOURCE_SPANS)),
    ("resourceMetrics", 1, Many(RESOURCE_METRICS)),
    ("resourceLogs", 1, Many(RESOURCE_LOGS)),
];
const RESOURCE_SPANS: &Message =
    &[("resource", 1, One(RESOURCE)), ("scopeSpans", 2, Many(SCOPE_SPANS))];
const RESOURCE_METRICS: &Message =
    &[("resource", 1, One(RESOURCE)), ("scopeMetrics", 2, Many(SCOPE_METRICS))];
const RESOURCE_LOGS: &Message =
    &[("resource", 1, One(RESOURCE)), ("scopeLogs", 2, Many(SCOPE_LOGS))];
const SCOPE_SPANS: &Message = &[("scope", 1, One(SCOPE)), ("spans", 2, Many(SPAN))];
const SCOPE_METRICS: &Message = &[("scope", 1, One(SCOPE)), ("metrics", 2, Many(METRIC))];
const SCOPE_LOGS: &Message = &[("scope", 1, One(SCOPE)), ("logRecords", 2, Many(LOG_RECORD))];
const RESOURCE: &Message = &[("attributes", 1, Many(KEY_VALUE))];
const SCOPE: &Message = &[("name", 1, Text), ("version", 2, Text)];
const KEY_VALUE: &Message = &[("key", 1, Text), ("value", 2, One(ANY_VALUE))];
const ANY_VALUE: &Message =
    &[("stringValue", 1, Text), ("boolValue", 2, Bool), ("intValue", 3, Varint)];
const SPAN: &Message = &[
    ("traceId", 1, Hex),
    ("spanId", 2, Hex),
    ("traceState", 3, Text),
    ("parentSpanId", 4, Hex),
    ("name", 5, Text),
    ("kind", 6, Varint),
    ("startTimeUnixNano", 7, Fixed64),
    ("endTimeUnixNano", 8, Fixed64),
    ("attributes", 9, Many(KEY_VALUE)),
    ("events", 11, Many(EVENT)),
    ("status", 15, One(STATUS)),
    ("flags", 16, Fixed32),
];
const EVENT: &Message = &[("timeUnixNano", 1, Fixed64), ("name", 2, Text)];
const STATUS: &Message = &[("code", 3, Varint)];
const METRIC: &Message = &[
    ("name", 1, Text),
    ("description", 2, Text),
    ("gauge", 5, One(GAUGE)),
    ("sum", 7, One(SUM)),
    ("histogram", 9, One(HISTOGRAM)),
];
const GAUGE: &Message = &[("dataPoints", 1, Many(NUMBER))];
const SUM: &Message = &[
    ("dataPoints", 1, Many(NUMBER)),
    ("aggregationTemporality", 2, Varint),
    ("isMonotonic", 3, Bool),
];
const HISTOGRAM: &Message =
    &[("dataPoints", 1, Many(HISTOGRAM_POINT)), ("aggregationTemporality", 2, Varint)];
const NUMBER: &Message = &[
    ("startTimeUnixNano", 2, Fixed64),
    ("timeUnixNano", 3, Fixed64),
    ("asDouble", 4, Double),
    ("attributes", 7, Many(KEY_VALUE)),
];
const HISTOGRAM_POINT: &Message = &[
    ("startTimeUnixNano", 2, Fixed64),
    ("timeUnixNano", 3, Fixed64),
    ("count", 4, Fixed64),
    ("sum", 5, Double),
    ("bucketCounts", 6, ManyFixed64),
    ("explicitBounds", 7, ManyDoubles),
    ("attributes", 9, Many(KEY_VALUE)),
];
const LOG_RECORD: &Message = &[
    ("timeUnixNano", 1, Fixed64),
    ("severityNumber", 2, Varint),
    ("severityText", 3, Text),
    ("body", 5, One(ANY_VALUE)),
    ("attributes", 6, Many(KEY_VALUE)),
    ("traceId", 9, Hex),
    ("observedTimeUnixNano", 11, Fixed64),
];

/// A request in JSON, in protobuf. `Err`: the member that is none of those above.
pub(crate) fn encode(request: &Value) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    message(&mut out, REQUEST, request).map(|()| out)
}

fn message(out: &mut Vec<u8>, table: &Message, value: &Value) -> Result<(), String> {
    let members = value.as_object().ok_or("not an object")?;
    for (name, value) in members {
        let known = table.iter().find(|(known, ..)| known == name);
        let (_, number, kind) = known.ok_or_else(|| name.clone())?;
        member(out, *number, *kind, value).ok_or_else(|| name.clone())??;
    }
    Ok(())
}

/// `None`: the value is of another type.
fn member(out: &mut Vec<u8>, number: u32, kind: Type, value: &Value) -> Option<Result<(), String>> {
    match kind {
        Bool => {
            key(out, number, 0);
            varint(out, u64::from(value.as_bool()?));
        }
        Double => {
            key(out, number, 1);
            out.extend(value.as_f64()?.to_le_bytes());
        }
        Fixed32 => {
            key(out, number, 5);
            out.extend(u32::try_from(value.as_u64()?).ok()?.to_le_bytes());
        }
        Fixed64 => {
            key(out, number, 1);
            out.extend(whole(value)?.to_le_bytes());
        }
        Hex => bytes(out, number, &unhex(value.as_str()?)?),
        Many(table) => {
            for value in value.as_array()? {
                if let Err(fault) = nested(out, number, table, value) {
                    return Some(Err(fault));
                }
            }
        }
        ManyDoubles => {
            let doubles: Option<Vec<[u8; 8]>> =
                value.as_array()?.iter().map(|value| Some(value.as_f64()?.to_le_bytes())).collect();
            bytes(out, number, doubles?.as_flattened());
        }
        ManyFixed64 => {
            let numbers: Option<Vec<[u8; 8]>> =
                value.as_array()?.iter().map(|value| Some(whole(value)?.to_le_bytes())).collect();
            bytes(out, number, numbers?.as_flattened());
        }
        One(table) => return Some(nested(out, number, table, value)),
        Text => bytes(out, number, value.as_str()?.as_bytes()),
        Varint => {
            key(out, number, 0);
            varint(out, whole(value)?);
        }
    }
    Some(Ok(()))
}

fn nested(out: &mut Vec<u8>, number: u32, table: &Message, value: &Value) -> Result<(), String> {
    let mut inner = Vec::new();
    message(&mut inner, table, value)?;
    bytes(out, number, &inner);
    Ok(())
}

fn key(out: &mut Vec<u8>, number: u32, wire: u64) {
    varint(out, u64::from(number) << 3 | wire);
}

fn bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    key(out, number, 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A number, or a text of one, as 64-bit numbers are in this JSON; a negative one in two's complement.
fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => text.parse().ok().or_else(|| Some(text.parse::<i64>().ok()? as u64)),
        other => other.as_u64().or_else(|| Some(other.as_i64()? as u64)),
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| Some(digit(pair[0])? << 4 | digit(pair[1])?);
    rest.is_empty().then(|| pairs.iter().map(byte).collect())?
}

/// How many of a request's records a receiver says that it rejected (`partial_success`, whose first member is
/// their number in each signal's answer). `None`: it said something that can't be read.
pub(crate) fn rejected(answer: &[u8]) -> Option<u64> {
    let mut partial: &[u8] = &[];
    fields(answer, |number, value| {
        if let (1, Field::Bytes(inner)) = (number, value) {
            partial = inner;
        }
    })?;
    let mut rejected = 0;
    fields(partial, |number, value| {
        if let (1, Field::Number(count)) = (number, value) {
            rejected = count;
        }
    })?;
    Some(rejected)
}

enum Field<'a> {
    Bytes(&'a [u8]),
    Number(u64),
}

fn fields<'a>(mut rest: &'a [u8], mut each: impl FnMut(u64, Field<'a>)) -> Option<()> {
    while !rest.is_empty() {
        let key = take_varint(&mut rest)?;
        match key & 7 {
            0 => each(key >> 3, Field::Number(take_varint(&mut rest)?)),
            1 => rest = rest.get(8..)?,
            2 => {
                let length = usize::try_from(take_varint(&mut rest)?).ok()?;
                let (bytes, behind) = rest.split_at_checked(length)?;
                each(key >> 3, Field::Bytes(bytes));
                rest = behind;
            }
            5 => rest = rest.get(4..)?,
            _ => return None,
        }
    }
    Some(())
}

fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for at in 0..10 {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        value |= u64::from(byte & 0x7f).checked_shl(7 * at)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn known_bytes() {
        // As protoc's own encoder writes it.
        let request = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [{
            "timeUnixNano": "1", "severityNumber": 300, "body": {"stringValue": "hi"}, "traceId": "0aff",
            "attributes": [{"key": "n", "value": {"intValue": "-1"}}],
        }]}]}]});
        let mut expected =
            vec![0x09, 1, 0, 0, 0, 0, 0, 0, 0, 0x10, 0xac, 0x02, 0x2a, 4, 0x0a, 2, b'h', b'i'];
        expected.extend([0x4a, 2, 0x0a, 0xff]);
        expected.extend([0x32, 16, 0x0a, 1, b'n', 0x12, 11, 0x18]);
        expected.extend([[0xff; 9].as_slice(), &[1]].concat());
        let wrapped =
            |inner: &[u8], number: u8| [&[number << 3 | 2, inner.len() as u8], inner].concat();
        let logs = wrapped(&wrapped(&wrapped(&expected, 2), 2), 1);
        assert_eq!(encode(&request).unwrap(), logs);
    }

    #[test]
    fn what_is_not_in_the_tables_is_named() {
        assert_eq!(encode(&json!({"resourceSpans": [{"sopeSpans": []}]})), Err("sopeSpans".into()));
        let bad = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"traceId": "0"}]}]}]});
        assert_eq!(encode(&bad), Err("traceId".into()));
    }

    #[test]
    fn answers_say_how_many_were_rejected() {
        assert_eq!(rejected(&[]), Some(0));
        assert_eq!(rejected(&[0x0a, 0]), Some(0));
        assert_eq!(rejected(&[0x0a, 7, 0x08, 0x83, 0x01, 0x12, 2, b'n', b'o']), Some(131));
        for broken in [&[0x0a][..], &[0x0a, 5, 1], &[0x0b], &[0x0a, 2, 0x08, 0x80], &[0xff; 12]] {
            assert_eq!(rejected(broken), None, "{broken:?}");
        }
    }
}
