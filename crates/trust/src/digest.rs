//! The digest of a definition.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{Context, SHA256};
use mcp::{Json, Patch};

use crate::number::is_exact;

/// Stands before a text that is hashed as it is. Canonical JSON of an object begins with `{`,
/// so the two forms never meet.
const RAW_DOMAIN: &[u8] = b"bartizan/definition/raw/v1\0";

/// SHA-256 of a whole definition. `Display` is 64 lower-case hexadecimal digits.
///
/// What is hashed is the definition's canonical form (RFC 8785), so that member order, white
/// space and the spelling of strings and numbers make no difference, and anyone can recompute
/// it. Of `_meta`, what changes from one listing to the next or can't sign itself is left out
/// ([`VOLATILE`]). Canonical numbers are doubles. Where a number is not exactly one (an integer beyond
/// 2^53, more than 15 digits, a large exponent), two different texts could share a canonical
/// form: then the exact text is hashed, after a prefix of its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

/// A text that is not a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 64 hexadecimal digits")]
pub struct DigestFault;

impl Digest {
    pub(crate) fn of(definition: Json<'_>) -> Digest {
        let mut context = Context::new(&SHA256);
        let lasting = lasting(definition);
        match canonical(&lasting) {
            Some(canonical) => context.update(&canonical),
            None => {
                context.update(RAW_DOMAIN);
                context.update(lasting.as_bytes());
            }
        }
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.finish().as_ref());
        Digest(bytes)
    }

    /// As read from the store.
    pub fn from_bytes(bytes: [u8; 32]) -> Digest {
        Digest(bytes)
    }

    /// For the store.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for Digest {
    type Err = DigestFault;
    fn from_str(text: &str) -> Result<Digest, DigestFault> {
        let nibble = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            b'A'..=b'F' => Ok(byte - b'A' + 10),
            _ => Err(DigestFault),
        };
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != 32 || !rest.is_empty() {
            return Err(DigestFault);
        }
        let mut bytes = [0; 32];
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = nibble(*high)? << 4 | nibble(*low)?;
        }
        Ok(Digest(bytes))
    }
}

/// Members of a definition's own `_meta` that its digest leaves out: the trace of the request that
/// listed it, and signatures over the digest.
pub const VOLATILE: [&str; 4] = [crate::SIGNATURE_KEY, "baggage", "traceparent", "tracestate"];

/// The definition's text without what is volatile: what an approval covers, and so what a client may see.
pub fn lasting(definition: Json<'_>) -> Cow<'_, str> {
    let Some(meta) = definition.get(mcp::meta::META) else { return definition.text().into() };
    let (mut rest, mut left) = (Patch::of(meta), meta.members().count());
    for key in VOLATILE.into_iter().filter(|key| meta.get(key).is_some()) {
        rest = rest.remove(key);
        left -= 1;
    }
    match (rest.is_empty(), left) {
        (true, _) => definition.text().into(),
        (false, 0) => Patch::of(definition).remove(mcp::meta::META).text().into(),
        (false, _) => Patch::of(definition).set(mcp::meta::META, rest.text()).text().into(),
    }
}

/// `None` when the text has no canonical form that stands for it alone.
pub(crate) fn canonical(text: &str) -> Option<Vec<u8>> {
    if !numbers(text).all(is_exact) {
        return None;
    }
    // This refuses what nests deeper than 128; the exact text serves then as well.
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    serde_json_canonicalizer::to_vec(&value).ok()
}

/// The number tokens of a JSON text that was read strictly.
fn numbers(text: &str) -> impl Iterator<Item = &str> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while let Some(&byte) = bytes.get(at) {
            let begin = at;
            at += 1;
            match byte {
                b'"' => at = end_of_string(bytes, at),
                b'-' | b'0'..=b'9' => {
                    let inside =
                        |byte: &u8| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
                    while bytes.get(at).is_some_and(inside) {
                        at += 1;
                    }
                    return text.get(begin..at);
                }
                _ => {}
            }
        }
        None
    })
}

/// The offset behind the closing quote, `at` being behind the opening one.
fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use mcp::{Json, Limits};
    use proptest::prelude::*;

    use super::*;

    fn digest(text: &str) -> Digest {
        Digest::of(Json::read(text.as_bytes(), &Limits::default()).unwrap())
    }

    #[test]
    fn spelling_makes_no_difference() {
        let plain = digest(r#"{"name":"a","size":1.5,"z":[1,2],"ä":"x"}"#);
        assert_eq!(
            plain,
            digest(r#" { "ä" : "\u0078", "z":[1, 2.0], "size":15e-1, "name":"a" } "#)
        );
        assert_ne!(plain, digest(r#"{"name":"a","size":1.5,"z":[2,1],"ä":"x"}"#));
        assert_ne!(plain, digest(r#"{"name":"a","size":1.6,"z":[1,2],"ä":"x"}"#));
    }

    #[test]
    fn a_canonical_digest_can_be_recomputed_with_any_tool() {
        // printf '{"description":"d","name":"a"}' | sha256sum
        let expected = "4dd41c51f8f073fe16440f8bbe9497dfdfd96f8b317e8e61089a00ff40b3ccd0";
        assert_eq!(digest(r#"{"name":"a","description":"d"}"#).to_string(), expected);
    }

    #[test]
    fn numbers_that_doubles_would_confuse_are_kept_apart() {
        for (one, other) in [
            ("9007199254740993", "9007199254740992"),
            ("18446744073709551617", "18446744073709551616"),
            ("1.00000000000000000001", "1"),
            ("1e-400", "0"),
            ("-9007199254740993", "-9007199254740992"),
        ] {
            let of = |number: &str| digest(&format!(r#"{{"name":"a","maximum":{number}}}"#));
            assert_ne!(of(one), of(other), "{one} {other}");
        }
        // A digit inside a string is not a number.
        let canonical = digest(r#"{"a":"\"9007199254740993","b":1}"#);
        assert_eq!(canonical, digest(r#"{"b":1,"a":"\"9007199254740993"}"#));
    }

    #[test]
    fn hexadecimal_text_is_read_back() {
        let digest = digest(r#"{"name":"a"}"#);
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(digest.to_string().to_uppercase().parse(), Ok(digest));
        for text in ["", "ab", &"g".repeat(64), &"a".repeat(65), &"é".repeat(32)] {
            assert_eq!(text.parse::<Digest>(), Err(DigestFault));
        }
    }

    proptest! {
        #[test]
        fn member_order_never_matters(
            members in prop::collection::btree_map("\\PC{0,6}", any::<i32>(), 0..6),
            seed in any::<prop::sample::Index>(),
        ) {
            let mut list: Vec<_> = members.iter().map(|(name, value)| format!("{}:{value}", mcp::quote(name))).collect();
            let before = digest(&format!("{{{}}}", list.join(",")));
            let turn = if list.is_empty() { 0 } else { seed.index(list.len()) };
            list.rotate_left(turn);
            prop_assert_eq!(before, digest(&format!("{{{}}}", list.join(" , "))));
        }
    }
}
