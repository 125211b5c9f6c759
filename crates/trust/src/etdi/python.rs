//! JSON as Python's `json.dumps(…, sort_keys=True)` writes it, which is what ETDI signs: ASCII only, names
//! sorted by code point, integers of any length, other numbers as Python's `repr` of a double.

use std::fmt::Write;

use mcp::{Json, Kind};

/// What stands between items and after names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spacing {
    /// `separators=(",", ":")`
    Compact,
    /// Python's default: `", "` and `": "`.
    Default,
}

impl Spacing {
    fn comma(self) -> &'static str {
        if self == Spacing::Compact { "," } else { ", " }
    }

    fn colon(self) -> &'static str {
        if self == Spacing::Compact { ":" } else { ": " }
    }
}

/// Writes a value.
pub fn dumps(json: Json<'_>, spacing: Spacing) -> String {
    let mut out = String::new();
    write(&mut out, json, spacing);
    out
}

fn write(out: &mut String, json: Json<'_>, spacing: Spacing) {
    match json.kind() {
        Kind::Array => {
            out.push('[');
            for (at, item) in json.items().enumerate() {
                out.push_str(if at == 0 { "" } else { spacing.comma() });
                write(out, item, spacing);
            }
            out.push(']');
        }
        Kind::Object => {
            let mut members: Vec<_> = json.members().collect();
            // The order of UTF-8 is that of code points.
            members.sort_by(|(a, _), (b, _)| a.cmp(b));
            out.push('{');
            for (at, (name, value)) in members.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { spacing.comma() });
                string(out, name);
                out.push_str(spacing.colon());
                write(out, *value, spacing);
            }
            out.push('}');
        }
        Kind::String => string(out, &json.string().unwrap_or_default()),
        Kind::Number => number(out, json.text()),
        Kind::Boolean | Kind::Null => out.push_str(json.text()),
    }
}

pub(super) fn string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

/// An integer keeps its digits; anything else is the shortest text of its double, laid out as Python does.
fn number(out: &mut String, lexeme: &str) {
    if !lexeme.contains(['.', 'e', 'E']) {
        out.push_str(if lexeme == "-0" { "0" } else { lexeme });
        return;
    }
    let Ok(value) = lexeme.parse::<f64>() else { return out.push_str(lexeme) };
    let shortest = format!("{value:e}");
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..16).contains(&exponent) {
        let _ = write!(out, "{value:?}");
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(out, "{mantissa}e{sign}{:02}", exponent.unsigned_abs());
    }
}

#[cfg(test)]
mod tests {
    use mcp::Limits;

    use super::*;

    fn compact(text: &str) -> String {
        dumps(Json::read(text.as_bytes(), &Limits::default()).unwrap(), Spacing::Compact)
    }

    /// Each line was made by `json.dumps(json.loads(…), sort_keys=True, separators=(",", ":"))`.
    #[test]
    fn as_python_writes_it() {
        for (text, python) in [
            ("1", "1"),
            ("-0", "0"),
            ("1.0", "1.0"),
            ("-0.0", "-0.0"),
            ("1e2", "100.0"),
            ("1e-7", "1e-07"),
            ("0.0001", "0.0001"),
            ("0.00001", "1e-05"),
            ("1e15", "1000000000000000.0"),
            ("1e16", "1e+16"),
            ("1.5e300", "1.5e+300"),
            ("1.10", "1.1"),
            ("9007199254740993", "9007199254740993"),
            ("9007199254740993.0", "9007199254740992.0"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
            ("5e-324", "5e-324"),
            (r#""é😀\u007f/\"""#, r#""\u00e9\ud83d\ude00\u007f/\"""#),
            (r#"{"b":null,"a":[true,{}],"Z":[]}"#, r#"{"Z":[],"a":[true,{}],"b":null}"#),
            // U+FB01 is before U+1F600 by code point, after it by UTF-16.
            (r#"{"😀":1,"ﬁ":2}"#, r#"{"\ufb01":2,"\ud83d\ude00":1}"#),
        ] {
            assert_eq!(compact(text), python, "{text}");
        }
        let json = Json::read(br#"{"b":[1,2],"a":{}}"#, &Limits::default()).unwrap();
        assert_eq!(dumps(json, Spacing::Default), r#"{"a": {}, "b": [1, 2]}"#);
    }
}
