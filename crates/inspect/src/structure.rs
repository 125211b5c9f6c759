//! Limits of size and structure: one pass over the text, without building anything.

use memchr::memchr2;

use crate::{Exceeded, Limits};

/// Checks a JSON text that was read strictly.
pub(crate) fn check(text: &str, limits: &Limits) -> Result<(), Exceeded> {
    if text.len() > limits.bytes {
        return Err(finding("limit.bytes", "longer than", limits.bytes, "bytes"));
    }
    // A text of n bytes has at most n/2 members or items in one place, and nests no deeper than it
    // has opening brackets, so most calls end here.
    if text.len() <= limits.string_bytes
        && text.len() / 2 <= limits.members
        && opening(text.as_bytes()) <= limits.depth.min(Limits::DEEPEST)
    {
        return Ok(());
    }
    walk(text.as_bytes(), limits)
}

/// Opening brackets, those in strings too. Without branches, so that it runs many bytes at a time.
fn opening(bytes: &[u8]) -> usize {
    let count = |block: &[u8]| {
        let brackets = block.iter().map(|&byte| u8::from(byte | 0x20 == b'{'));
        usize::from(brackets.fold(0_u8, u8::wrapping_add))
    };
    bytes.chunks(128).map(count).sum()
}

fn walk(bytes: &[u8], limits: &Limits) -> Result<(), Exceeded> {
    let deepest = limits.depth.min(Limits::DEEPEST);
    // How many members or items the open objects and arrays have so far.
    let mut counts = [0_usize; Limits::DEEPEST];
    let mut depth = 0;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => {
                let end = end_of_string(bytes, at);
                if end - at > limits.string_bytes {
                    return Err(finding(
                        "limit.string",
                        "a string longer than",
                        limits.string_bytes,
                        "bytes",
                    ));
                }
                at = end + 1;
            }
            b'{' | b'[' => {
                if depth == deepest {
                    return Err(finding("limit.depth", "nested deeper than", deepest, "levels"));
                }
                counts[depth] = usize::from(!is_empty(bytes, at));
                depth += 1;
                within(counts[depth - 1], limits)?;
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => {
                if let Some(count) = depth.checked_sub(1).and_then(|top| counts.get_mut(top)) {
                    *count += 1;
                    within(*count, limits)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether the object or array that was opened just before `at` holds nothing.
fn is_empty(bytes: &[u8], at: usize) -> bool {
    let next = bytes[at..].iter().find(|byte| !byte.is_ascii_whitespace());
    matches!(next, Some(b'}' | b']'))
}

fn within(count: usize, limits: &Limits) -> Result<(), Exceeded> {
    if count <= limits.members {
        return Ok(());
    }
    Err(finding("limit.members", "an object or array with more than", limits.members, "members"))
}

/// The offset of the closing quote, `at` being behind the opening one.
fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    // Most strings are short: looking at their bytes costs less than a call of memchr.
    for _ in 0..16 {
        match bytes.get(at) {
            Some(b'"') | None => return at,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
        }
    }
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found;
        if bytes[at] == b'"' {
            return at;
        }
        at += 2;
    }
    bytes.len()
}

fn finding(rule: &'static str, what: &str, limit: usize, unit: &str) -> Exceeded {
    Exceeded { rule, message: format!("{what} {limit} {unit}").into() }
}

#[cfg(test)]
mod tests {
    use mcp::Json;
    use proptest::prelude::*;

    use super::*;

    const WIDE: Limits = Limits { bytes: 1 << 20, depth: 64, members: 1000, string_bytes: 1 << 20 };

    fn rule(text: &str, limits: &Limits) -> Option<&'static str> {
        check(text, limits).err().map(|finding| finding.rule)
    }

    #[test]
    fn each_limit_holds_exactly() {
        let limits = Limits { bytes: 40, depth: 3, members: 3, string_bytes: 5 };
        for (text, expected) in [
            ("{}", None),
            ("[[[]]]", None),
            ("[[[[]]]]", Some("limit.depth")),
            ("[{\"a\":[[]]}]", Some("limit.depth")),
            ("[1,2,3]", None),
            ("[1,2,3,4]", Some("limit.members")),
            ("[[1,2,3],[1,2,3],[]]", None),
            (r#"{"a":1,"b":2,"c":3,"d":4}"#, Some("limit.members")),
            (r#"["12345"]"#, None),
            (r#"["123456"]"#, Some("limit.string")),
            (r#"{"123456":1}"#, Some("limit.string")),
            (r#"["\",[,"]"#, None),
            (r#"["\\\\"]"#, None),
            (r#""123456""#, Some("limit.string")),
            ("[\"12345\",\"12345\",\"12345\"             ]", None),
            ("[\"12345\",\"12345\",\"12345\"                ]", Some("limit.bytes")),
        ] {
            assert_eq!(rule(text, &limits), expected, "{text}");
        }
        assert_eq!(rule("[ ]", &Limits { members: 0, ..limits }), None);
        assert_eq!(rule("[0]", &Limits { members: 0, ..limits }), Some("limit.members"));
    }

    #[test]
    fn the_deepest_text_is_refused_without_a_panic() {
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        let limits = Limits { depth: usize::MAX, ..WIDE };
        assert_eq!(rule(&deep(Limits::DEEPEST), &limits), None);
        assert_eq!(rule(&deep(Limits::DEEPEST + 1), &limits), Some("limit.depth"));
    }

    /// Depth, most members of one value, longest raw string: by the reader's own iterators.
    fn measure(json: Json<'_>) -> (usize, usize, usize) {
        let leaf = |text: &str| if text.starts_with('"') { text.len() - 2 } else { 0 };
        match json.kind() {
            mcp::Kind::Object => json.members().fold(
                (1, json.members().count(), 0),
                |(depth, most, longest), (name, value)| {
                    let inner = measure(value);
                    let name = mcp::quote(&name).len() - 2;
                    (depth.max(inner.0 + 1), most.max(inner.1), longest.max(inner.2).max(name))
                },
            ),
            mcp::Kind::Array => {
                json.items().fold((1, json.items().count(), 0), |(depth, most, longest), value| {
                    let inner = measure(value);
                    (depth.max(inner.0 + 1), most.max(inner.1), longest.max(inner.2))
                })
            }
            _ => (0, 0, leaf(json.text())),
        }
    }

    fn value() -> impl Strategy<Value = String> {
        let text = "[a\"\\\\{}\\[\\],:]{0,6}".prop_map(|text| mcp::quote(&text));
        let leaf = prop_oneof![Just("1".to_owned()), Just("null".to_owned()), text];
        leaf.prop_recursive(5, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5)
                    .prop_map(|items| format!("[{}]", items.join(" , "))),
                prop::collection::vec(inner, 0..5).prop_map(|values| {
                    let member = |(at, value)| format!("\"{at}\": {value}");
                    format!(
                        "{{{}}}",
                        values.into_iter().enumerate().map(member).collect::<Vec<_>>().join(",")
                    )
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_reader(text in value()) {
            let json = Json::read(text.as_bytes(), &mcp::Limits::default()).unwrap();
            let (depth, members, string_bytes) = measure(json);
            let exact = Limits { bytes: text.len(), depth, members, string_bytes };
            prop_assert_eq!(rule(&text, &exact), None);
            if depth > 0 {
                prop_assert_eq!(rule(&text, &Limits { depth: depth - 1, ..exact }), Some("limit.depth"));
            }
            if members > 0 {
                prop_assert_eq!(rule(&text, &Limits { members: members - 1, ..exact }), Some("limit.members"));
            }
            if string_bytes > 0 {
                prop_assert_eq!(rule(&text, &Limits { string_bytes: string_bytes - 1, ..exact }), Some("limit.string"));
            }
        }
    }
}
