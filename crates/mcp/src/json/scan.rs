//! Finding the ends of things in JSON text, and escapes.
//!
//! Everything here is total: on text that was not checked the answers are useless, but nothing panics and
//! every loop ends.

use std::borrow::Cow;

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);

/// How far to look word by word before a wider search pays.
const SHORT: usize = 32;

/// Marks (in the high bit of each byte) quotes, backslashes and control characters. The lowest mark is exact;
/// borrows may leave false marks above it.
fn stops(word: u64) -> u64 {
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    ((quote.wrapping_sub(ONES) & !quote) | (backslash.wrapping_sub(ONES) & !backslash) | control)
        & HIGH
}

fn is_stop(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Whether a block holds a stop. Without branches, so that the compiler uses vector instructions.
fn holds_stop(block: &[u8; SHORT]) -> bool {
    block.iter().fold(0, |found, &byte| found | u8::from(is_stop(byte))) != 0
}

/// The first quote, backslash or control character from `at` on, or the end.
#[inline]
pub(super) fn plain_end(bytes: &[u8], at: usize) -> usize {
    // Most names and many strings end within one word.
    match bytes
        .get(at..)
        .and_then(<[u8]>::first_chunk::<8>)
        .map(|chunk| stops(u64::from_le_bytes(*chunk)))
    {
        Some(found) if found != 0 => at + (found.trailing_zeros() / 8) as usize,
        _ => far_plain_end(bytes, at),
    }
}

#[inline(never)]
fn far_plain_end(bytes: &[u8], mut at: usize) -> usize {
    loop {
        // Within long strings escapes cluster. So: a few words, then blocks until a hit.
        for _ in 0..SHORT / 8 {
            let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) else {
                return tail_end(bytes, at);
            };
            let found = stops(u64::from_le_bytes(*chunk));
            if found != 0 {
                return at + (found.trailing_zeros() / 8) as usize;
            }
            at += 8;
        }
        while let Some(block) = bytes.get(at..).and_then(<[u8]>::first_chunk::<SHORT>) {
            if holds_stop(block) {
                break;
            }
            at += SHORT;
        }
    }
}

fn tail_end(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(|&byte| !is_stop(byte)) {
        at += 1;
    }
    at
}

/// Just past the white space from `at` on.
#[inline]
pub(super) fn space_end(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

/// Just past what stands between two values of checked text: white space, a comma or a colon.
#[inline]
pub(super) fn separator_end(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b',' | b':' | b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

/// Just past the closing quote of the checked string whose content begins at `at`.
#[inline]
pub(super) fn string_end(bytes: &[u8], at: usize) -> usize {
    // A word decides most names and short strings.
    let near = near_plain_end(bytes, at);
    if bytes.get(near) == Some(&b'"') { near + 1 } else { far_string_end(bytes, at, near) }
}

/// Looks for quotes alone, from `from` on, and at the backslashes before each: escapes of anything else
/// cost nothing.
fn far_string_end(bytes: &[u8], at: usize, mut from: usize) -> usize {
    loop {
        let rest = bytes.get(from..).unwrap_or_default();
        let Some(quote) = memchr::memchr(b'"', rest).map(|found| from + found) else {
            return bytes.len();
        };
        let content = bytes.get(at..quote).unwrap_or_default();
        let escapes = content.iter().rev().take_while(|&&byte| byte == b'\\').count();
        if escapes.is_multiple_of(2) {
            return quote + 1;
        }
        from = quote + 1;
    }
}

/// The first stop within one word from `at` on, or the word's end.
#[inline]
fn near_plain_end(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        Some(chunk) => {
            let found = stops(u64::from_le_bytes(*chunk));
            if found == 0 { at + 8 } else { at + (found.trailing_zeros() / 8) as usize }
        }
        None => tail_end(bytes, at),
    }
}

/// As [`string_end`], and whether there was an escape.
#[inline]
pub(super) fn name_end(bytes: &[u8], at: usize) -> (usize, bool) {
    let end = plain_end(bytes, at);
    if bytes.get(end) == Some(&b'"') { (end + 1, false) } else { (string_end(bytes, end), true) }
}

/// Just past the checked value that begins at `at`.
pub(super) fn value_end(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at) {
        Some(b'"') => string_end(bytes, at + 1),
        Some(b'{' | b'[') => container_end(bytes, at),
        _ => {
            let mut end = at;
            while bytes.get(end).is_some_and(|byte| {
                !matches!(byte, b',' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t')
            }) {
                end += 1;
            }
            end
        }
    }
}

fn container_end(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => at = string_end(bytes, at),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
    }
    bytes.len()
}

/// The text that a string's content (without its quotes) stands for.
pub(super) fn decode(raw: &str) -> Cow<'_, str> {
    let Some(first) = memchr::memchr(b'\\', raw.as_bytes()) else {
        return Cow::Borrowed(raw);
    };
    let (plain, mut rest) = raw.split_at(first);
    let mut out = String::with_capacity(raw.len());
    out.push_str(plain);
    while let Some(escape) = rest.strip_prefix('\\') {
        let (character, after) = decode_escape(escape);
        out.push(character);
        let next = memchr::memchr(b'\\', after.as_bytes()).unwrap_or(after.len());
        let (plain, tail) = after.split_at(next);
        out.push_str(plain);
        rest = tail;
    }
    Cow::Owned(out)
}

/// The character for what follows a backslash, and what comes after.
fn decode_escape(escape: &str) -> (char, &str) {
    let mut characters = escape.chars();
    let character = match characters.next() {
        Some('b') => '\u{8}',
        Some('f') => '\u{c}',
        Some('n') => '\n',
        Some('r') => '\r',
        Some('t') => '\t',
        Some('u') => return decode_unicode(characters.as_str()),
        Some(other) => other,
        None => char::REPLACEMENT_CHARACTER,
    };
    (character, characters.as_str())
}

fn decode_unicode(digits: &str) -> (char, &str) {
    let (first, rest) = hex_unit(digits);
    let low = rest.strip_prefix("\\u").map(hex_unit);
    match (first, low) {
        (0xD800..0xDC00, Some((low @ 0xDC00..0xE000, rest))) => {
            let scalar = 0x10000 + ((first - 0xD800) << 10) + (low - 0xDC00);
            (char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER), rest)
        }
        _ => (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), rest),
    }
}

/// Four hexadecimal digits and what comes after them.
fn hex_unit(text: &str) -> (u32, &str) {
    match text.split_at_checked(4) {
        Some((digits, rest)) => (u32::from_str_radix(digits, 16).unwrap_or(0xFFFD), rest),
        None => (0xFFFD, ""),
    }
}

/// Appends `text` as a string literal.
pub(super) fn quote_onto(out: &mut String, text: &str) {
    out.push('"');
    let bytes = text.as_bytes();
    let mut from = 0;
    loop {
        let stop = plain_end(bytes, from);
        out.push_str(text.get(from..stop).unwrap_or_default());
        match bytes.get(stop) {
            None => break,
            Some(b'"') => out.push_str("\\\""),
            Some(b'\\') => out.push_str("\\\\"),
            Some(b'\n') => out.push_str("\\n"),
            Some(b'\r') => out.push_str("\\r"),
            Some(b'\t') => out.push_str("\\t"),
            Some(&control) => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.push_str("\\u00");
                out.push(char::from(HEX[usize::from(control >> 4)]));
                out.push(char::from(HEX[usize::from(control & 15)]));
            }
        }
        from = stop + 1;
    }
    out.push('"');
}
