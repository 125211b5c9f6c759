//! The strict pass: grammar, limits, duplicate names, surrogates and number range, in one go.

use std::borrow::Cow;
use std::collections::HashSet;

use super::scan::{decode, plain_end, space_end};
use super::{Fault, Limits};

/// How many names of one object are compared one by one; beyond it they go into a set.
const FEW_NAMES: usize = 16;
/// A number shorter than this without an exponent is below 1e300, so it is finite.
const SURELY_FINITE: usize = 300;

/// Nesting is never allowed beyond this, whatever the limits say: the pass is recursive.
const DEEPEST: usize = 256;

/// Checks that `text` is one value within `limits` and returns it without the white space around it.
pub(super) fn check<'a>(text: &'a str, limits: &Limits) -> Result<&'a str, Fault> {
    let bytes = text.as_bytes();
    let start = space_end(bytes, 0);
    let depth = limits.depth.min(DEEPEST);
    let mut pass = Pass {
        text,
        bytes,
        values_left: limits.values,
        values: limits.values,
        depth_left: depth,
        depth,
    };
    let end = pass.value(start)?;
    let rest = space_end(bytes, end);
    if rest < bytes.len() {
        return Err(Fault::Syntax { at: rest });
    }
    text.get(start..end).ok_or(Fault::Syntax { at: start })
}

struct Pass<'a> {
    text: &'a str,
    bytes: &'a [u8],
    values_left: usize,
    values: usize,
    depth_left: usize,
    depth: usize,
}

impl<'a> Pass<'a> {
    /// Checks the value that begins at `at` and returns its end.
    #[inline]
    fn value(&mut self, at: usize) -> Result<usize, Fault> {
        match self.values_left.checked_sub(1) {
            Some(left) => self.values_left = left,
            None => return Err(Fault::TooMany { limit: self.values }),
        }
        match self.bytes.get(at) {
            Some(b'"') => string_end(self.bytes, at + 1),
            Some(b'{') => self.object(at),
            Some(b'[') => self.array(at),
            Some(b'-' | b'0'..=b'9') => number(self.text, at),
            Some(b't') => literal(self.bytes, at, b"true"),
            Some(b'f') => literal(self.bytes, at, b"false"),
            Some(b'n') => literal(self.bytes, at, b"null"),
            _ => Err(Fault::Syntax { at }),
        }
    }

    fn array(&mut self, start: usize) -> Result<usize, Fault> {
        self.enter()?;
        let mut at = space_end(self.bytes, start + 1);
        if self.bytes.get(at) != Some(&b']') {
            loop {
                at = self.value(at)?;
                at = space_end(self.bytes, at);
                match self.bytes.get(at) {
                    Some(b',') => at = space_end(self.bytes, at + 1),
                    Some(b']') => break,
                    _ => return Err(Fault::Syntax { at }),
                }
            }
        }
        self.depth_left += 1;
        Ok(at + 1)
    }

    fn object(&mut self, start: usize) -> Result<usize, Fault> {
        self.enter()?;
        let mut at = space_end(self.bytes, start + 1);
        if self.bytes.get(at) != Some(&b'}') {
            let mut names = Names::new();
            loop {
                at = self.name(at, &mut names)?;
                at = self.value(at)?;
                at = space_end(self.bytes, at);
                match self.bytes.get(at) {
                    Some(b',') => at = space_end(self.bytes, at + 1),
                    Some(b'}') => break,
                    _ => return Err(Fault::Syntax { at }),
                }
            }
        }
        self.depth_left += 1;
        Ok(at + 1)
    }

    fn enter(&mut self) -> Result<(), Fault> {
        match self.depth_left.checked_sub(1) {
            Some(left) => self.depth_left = left,
            None => return Err(Fault::TooDeep { limit: self.depth }),
        }
        Ok(())
    }

    /// Checks the member name at `at` and the colon after it; returns where its value begins.
    #[inline]
    fn name(&self, at: usize, names: &mut Names<'a>) -> Result<usize, Fault> {
        if self.bytes.get(at) != Some(&b'"') {
            return Err(Fault::Syntax { at });
        }
        let plain = plain_end(self.bytes, at + 1);
        let (end, new) = if self.bytes.get(plain) == Some(&b'"') {
            (plain + 1, names.add_plain(self.text, at + 1, plain))
        } else {
            let end = string_end(self.bytes, plain)?;
            (end, names.add_escaped(self.text.get(at + 1..end - 1).unwrap_or_default()))
        };
        if !new {
            return Err(Fault::DuplicateMember { at });
        }
        let colon = space_end(self.bytes, end);
        if self.bytes.get(colon) != Some(&b':') {
            return Err(Fault::Syntax { at: colon });
        }
        Ok(space_end(self.bytes, colon + 1))
    }
}

/// The decoded names seen so far in one object.
struct Names<'a> {
    /// How many there are in `marks` and `few`.
    count: usize,
    marks: [u64; FEW_NAMES],
    few: [&'a [u8]; FEW_NAMES],
    /// All of them once there are many, or one holds an escape. The set has a random seed, so neither many nor
    /// chosen names make it slow.
    many: Option<HashSet<Cow<'a, str>>>,
}

impl<'a> Names<'a> {
    #[inline]
    fn new() -> Self {
        Names { count: 0, marks: [0; FEW_NAMES], few: [&[]; FEW_NAMES], many: None }
    }

    /// Adds the name at `start..end`, which holds no escape. `false` when it was there.
    #[inline]
    fn add_plain(&mut self, text: &'a str, start: usize, end: usize) -> bool {
        let name = text.as_bytes().get(start..end).unwrap_or_default();
        let mark = mark(text.as_bytes(), start, name.len());
        let (Some(free), Some(slot), None) =
            (self.marks.get_mut(self.count), self.few.get_mut(self.count), &self.many)
        else {
            return self.add_to_many(text.get(start..end).unwrap_or_default());
        };
        (*free, *slot) = (mark, name);
        let known = self.marks.iter().take(self.count);
        let found = known.enumerate().any(|(index, &other)| {
            other == mark && self.few.get(index).is_some_and(|other| *other == name)
        });
        self.count += 1;
        !found
    }

    /// Adds a name that holds an escape. `false` when it was there.
    #[cold]
    fn add_escaped(&mut self, raw: &'a str) -> bool {
        self.add_to_many(raw)
    }

    #[inline(never)]
    fn add_to_many(&mut self, raw: &'a str) -> bool {
        let few = self.few.iter().take(self.count);
        let many = self
            .many
            .get_or_insert_with(|| few.map(|name| String::from_utf8_lossy(name)).collect());
        many.insert(decode(raw))
    }
}

/// A number that differs for most different names, made of the first 8 bytes and the length, so that few names are
/// compared byte by byte.
#[inline]
fn mark(bytes: &[u8], start: usize, length: usize) -> u64 {
    let first = match bytes.get(start..).and_then(<[u8]>::first_chunk::<8>) {
        Some(chunk) => u64::from_le_bytes(*chunk),
        // Near the end of the text.
        None => (start..bytes.len())
            .rev()
            .fold(0, |word, at| word << 8 | u64::from(bytes.get(at).copied().unwrap_or(0))),
    };
    let length = length as u64;
    if length < 8 {
        first & ((1 << (8 * length)) - 1) | length << 56
    } else {
        first ^ length.rotate_right(8)
    }
}

/// Just past the closing quote of the string whose content, or the rest of it, begins at `at`.
#[inline]
fn string_end(bytes: &[u8], mut at: usize) -> Result<usize, Fault> {
    loop {
        at = plain_end(bytes, at);
        match bytes.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => at = escape(bytes, at)?,
            _ => return Err(Fault::Syntax { at }),
        }
    }
}

/// Checks the escape whose backslash is at `at` and returns its end.
#[inline]
fn escape(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => unicode_escape(bytes, at),
        _ => Err(Fault::Syntax { at: at + 1 }),
    }
}

fn unicode_escape(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    match hex_unit(bytes, at + 2)? {
        0xD800..0xDC00 => {
            if bytes.get(at + 6..at + 8) != Some(b"\\u") {
                return Err(Fault::LoneSurrogate { at });
            }
            match hex_unit(bytes, at + 8)? {
                0xDC00..0xE000 => Ok(at + 12),
                _ => Err(Fault::LoneSurrogate { at }),
            }
        }
        0xDC00..0xE000 => Err(Fault::LoneSurrogate { at }),
        _ => Ok(at + 6),
    }
}

fn hex_unit(bytes: &[u8], at: usize) -> Result<u16, Fault> {
    (at..at + 4).try_fold(0, |unit, at| {
        let digit = bytes.get(at).and_then(|&byte| char::from(byte).to_digit(16));
        digit.map(|digit| unit << 4 | digit as u16).ok_or(Fault::Syntax { at })
    })
}

#[inline]
fn number(text: &str, start: usize) -> Result<usize, Fault> {
    let bytes = text.as_bytes();
    let mut at = start + usize::from(bytes.get(start) == Some(&b'-'));
    at = match bytes.get(at) {
        Some(b'0') => at + 1,
        _ => digits_end(bytes, at)?,
    };
    if bytes.get(at) == Some(&b'.') {
        at = digits_end(bytes, at + 1)?;
    }
    let exponent = matches!(bytes.get(at), Some(b'e' | b'E'));
    if exponent {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        at = digits_end(bytes, at + 1 + sign)?;
    }
    if exponent || at - start >= SURELY_FINITE {
        let value = text.get(start..at).and_then(|number| number.parse::<f64>().ok());
        if !value.is_some_and(f64::is_finite) {
            return Err(Fault::NumberRange { at: start });
        }
    }
    Ok(at)
}

/// One or more digits.
fn digits_end(bytes: &[u8], start: usize) -> Result<usize, Fault> {
    let mut at = start;
    while matches!(bytes.get(at), Some(b'0'..=b'9')) {
        at += 1;
    }
    if at == start { Err(Fault::Syntax { at }) } else { Ok(at) }
}

#[inline]
fn literal<const N: usize>(bytes: &[u8], at: usize, word: &[u8; N]) -> Result<usize, Fault> {
    if bytes.get(at..).and_then(<[u8]>::first_chunk) == Some(word) {
        Ok(at + N)
    } else {
        Err(Fault::Syntax { at })
    }
}
