//! The strict reading accepts what the oracle accepts, and sees the same in it.

use bytes::Bytes;
use mcp::{Fault, Json, JsonBuf, Kind, Limits, quote};

use super::oracle::{self, Tree};

/// Any bytes.
pub fn target(data: &[u8]) {
    check(data, &Limits::default());
    check(data, &Limits { bytes: 64, depth: 3, values: 7 });
    let text = String::from_utf8_lossy(data);
    let quoted = quote(&text);
    match Json::read(quoted.as_bytes(), &Limits::default()) {
        Ok(json) => assert_eq!(json.string().as_deref(), Some(&*text)),
        Err(fault) => assert!(matches!(fault, Fault::TooLong { .. })),
    }
}

fn check(data: &[u8], limits: &Limits) {
    let read = Json::read(data, limits);
    let kept = JsonBuf::read(Bytes::copy_from_slice(data), limits);
    assert_eq!(kept.as_ref().map(JsonBuf::json), read.as_ref().copied());
    match (read, oracle::read(data, limits)) {
        (Ok(json), Ok(tree)) => {
            same(json, &tree);
            // Reading again what was read changes nothing.
            assert_eq!(Json::read(json.text().as_bytes(), limits), Ok(json));
            if let Ok(kept) = kept {
                shared(&kept);
            }
        }
        // At the edge of the range serde_json rounds less exactly than the standard library.
        (Ok(_), Err(reason)) => {
            assert!(reason.contains("number out of range"), "accepted but {reason}")
        }
        (Err(Fault::NumberRange { at }), Ok(_)) => assert!(infinite(data, at)),
        (Err(fault), Ok(_)) => panic!("refused: {fault}"),
        (Err(fault), Err(_)) => assert!(offset(&fault) <= data.len()),
    }
}

/// Whether both hold the same value.
pub fn same(json: Json<'_>, tree: &Tree) {
    match tree {
        Tree::Array(items) => {
            assert_eq!(json.kind(), Kind::Array);
            assert_eq!(json.items().count(), items.len());
            json.items().zip(items).for_each(|(json, tree)| same(json, tree));
        }
        Tree::Boolean(value) => {
            assert_eq!((json.kind(), json.boolean()), (Kind::Boolean, Some(*value)))
        }
        Tree::Null => assert_eq!((json.kind(), json.is_null()), (Kind::Null, true)),
        Tree::Number(value) => {
            assert_eq!(json.kind(), Kind::Number);
            // `-0` is an integer here; serde_json makes it a float.
            assert_eq!(json.integer(), if json.text() == "-0" { Some(0) } else { *value });
        }
        Tree::Object(members) => {
            assert_eq!(json.kind(), Kind::Object);
            assert_eq!(json.members().count(), members.len());
            for ((name, value), (expect, tree)) in json.members().zip(members) {
                assert_eq!(name, *expect);
                assert_eq!(json.get(expect), Some(value));
                same(value, tree);
            }
        }
        Tree::String(value) => {
            assert_eq!((json.kind(), json.string().as_deref()), (Kind::String, Some(&**value)))
        }
    }
}

/// Shares are of the same bytes, wherever in the value.
fn shared(whole: &JsonBuf) {
    let json = whole.json();
    for part in json.items().chain(json.members().map(|(_, value)| value)) {
        let share = whole.share(part);
        assert_eq!(share.json(), part);
        assert_eq!(share.bytes().as_ptr(), part.text().as_ptr());
    }
}

fn infinite(data: &[u8], at: usize) -> bool {
    let rest = data.get(at..).unwrap_or_default();
    let end = rest.iter().position(|byte| !b"+-.eE0123456789".contains(byte)).unwrap_or(rest.len());
    let number = std::str::from_utf8(rest.get(..end).unwrap_or_default()).unwrap_or_default();
    number.parse::<f64>().is_ok_and(f64::is_infinite)
}

fn offset(fault: &Fault) -> usize {
    match fault {
        Fault::DuplicateMember { at }
        | Fault::LoneSurrogate { at }
        | Fault::NotUtf8 { at }
        | Fault::NumberRange { at }
        | Fault::Syntax { at } => *at,
        Fault::TooDeep { .. } | Fault::TooLong { .. } | Fault::TooMany { .. } => 0,
    }
}
