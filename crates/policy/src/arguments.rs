//! Arguments by JSON pointer, as conditions look at them.

use mcp::{Json, Kind};

/// What a JSON pointer (RFC 6901) leads to.
pub(crate) fn pointed<'a>(root: Json<'a>, pointer: &str) -> Option<Json<'a>> {
    let mut at = root;
    for token in pointer.split('/').skip(1) {
        at = match at.kind() {
            Kind::Array => {
                // "01" and "+1" lead nowhere.
                let canonical = token == "0" || !token.starts_with(['0', '+']);
                let index = token.parse::<usize>().ok().filter(|_| canonical)?;
                at.items().nth(index)?
            }
            _ => at.get(&token.replace("~1", "/").replace("~0", "~"))?,
        };
    }
    Some(at)
}

/// The pointer to a member of what a pointer leads to.
pub(crate) fn member(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// Whether a text is a JSON pointer to something inside.
pub(crate) fn is_pointer(text: &str) -> bool {
    let escapes_well =
        |token: &str| token.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    text.starts_with('/') && text.len() <= 512 && text.split('/').all(escapes_well)
}

/// A JSON number as Cedar writes decimals: one to four places, no exponent. `None` where that
/// would change the value.
pub(crate) fn decimal(number: &str) -> Option<String> {
    if number.contains(['e', 'E']) {
        let value: f64 = number.parse().ok()?;
        // Whole and exact as a double, or not told at all.
        let exact = value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0;
        return exact.then(|| decimal(&format!("{value:.0}"))).flatten();
    }
    let (whole, places) = number.split_once('.').unwrap_or((number, "0"));
    let places = places.trim_end_matches('0');
    let digits = whole.trim_start_matches('-');
    let bounded: u64 = digits.parse().ok()?;
    // i64::MAX / 10_000, the last decimal, has more places than this needs.
    if places.len() > 4 || bounded > 922_337_203_685_476 {
        return None;
    }
    Some(format!("{whole}.{}", if places.is_empty() { "0" } else { places }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_lead_where_they_say() {
        let text = br#"{"a":{"b/c":[10,{"~":true}]},"":1}"#;
        let root = Json::read(text, &mcp::Limits::default()).unwrap();
        let at = |pointer| pointed(root, pointer).map(Json::text);
        assert_eq!(at("/a/b~1c/0"), Some("10"));
        assert_eq!(at("/a/b~1c/1/~0"), Some("true"));
        assert_eq!(at("/a/b~1c/01"), None);
        assert_eq!(at("/a/b~1c/2"), None);
        assert_eq!(at("/a/x"), None);
        assert_eq!(at("/"), Some("1"));
        assert_eq!(at(""), Some(root.text()));
        assert_eq!(at(&member("/a", "b/c")), Some("[10,{\"~\":true}]"));
        assert!(is_pointer("/a~1b") && !is_pointer("a") && !is_pointer("/a~2"));
    }

    #[test]
    fn numbers_keep_their_value_or_have_none() {
        for (number, expected) in [
            ("1", Some("1.0")),
            ("-1.50000", Some("-1.5")),
            ("0.00001", None),
            ("1e2", Some("100.0")),
            ("1E400", None),
            ("1.5e1", Some("15.0")),
            ("1e-1", None),
            ("922337203685477", None),
            ("922337203685476", Some("922337203685476.0")),
            ("18446744073709551616", None),
            ("-0", Some("-0.0")),
        ] {
            assert_eq!(decimal(number).as_deref(), expected, "{number}");
        }
    }
}
