//! How a record's members are written.

use std::fmt::Write;
use std::time::Duration;

/// The longest text of a member, in bytes.
pub(crate) const TEXT_LIMIT: usize = 1 << 10;

pub(crate) fn member(line: &mut String, name: &str) {
    line.push_str(",\"");
    line.push_str(name);
    line.push_str("\":");
}

pub(crate) fn number(line: &mut String, name: &str, value: u64) {
    member(line, name);
    // Writing to a String can't fail.
    let _ = write!(line, "{value}");
}

pub(crate) fn optional(line: &mut String, name: &str, value: Option<u64>) {
    if let Some(value) = value {
        number(line, name, value);
    }
}

pub(crate) fn micros(line: &mut String, name: &str, time: Option<Duration>) {
    optional(line, name, time.map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX)));
}

/// In hexadecimal.
pub(crate) fn digits(bytes: &[u8; 32]) -> [u8; 64] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut digits = [0_u8; 64];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    digits
}

pub(crate) fn hex(line: &mut String, name: &str, bytes: &[u8; 32]) {
    member(line, name);
    line.push('"');
    line.push_str(std::str::from_utf8(&digits(bytes)).unwrap_or_default());
    line.push('"');
}

pub(crate) fn text(line: &mut String, name: &str, value: &str) {
    if !value.is_empty() {
        member(line, name);
        quoted(line, value);
    }
}

pub(crate) fn quoted(line: &mut String, value: &str) {
    let cut = &value[..value.floor_char_boundary(TEXT_LIMIT)];
    line.push('"');
    // Without a branch for each byte, so that it runs many bytes at a time.
    let plain = |byte: u8| matches!(byte, b' '..=b'~') & (byte != b'"') & (byte != b'\\');
    if cut.bytes().fold(true, |all, byte| all & plain(byte)) {
        line.push_str(cut);
    } else {
        cut.chars().for_each(|character| escape(line, character));
    }
    if cut.len() < value.len() {
        line.push('\u{2026}');
    }
    line.push('"');
}

fn escape(line: &mut String, character: char) {
    match character {
        '"' | '\\' => {
            line.push('\\');
            line.push(character);
        }
        // Also what is no control character to JSON but turns lines or directions round.
        '\u{7f}'..='\u{9f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}'
        | ..' ' => {
            let _ = write!(line, "\\u{:04x}", u32::from(character));
        }
        _ => line.push(character),
    }
}
