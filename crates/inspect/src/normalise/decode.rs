//! Text inside text: what is encoded, found by its shape.

use std::ops::Range;

use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use memchr::memchr_iter;

use super::Step;

/// Shorter runs are words.
const SHORTEST_BASE64: usize = 20;
const SHORTEST_HEX: usize = 24;
/// Encoded runs of one text that are decoded.
const MOST: usize = 32;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

type Decoded = (Step, Range<usize>, String);

/// Everything in `text` that decodes to readable text, none of it longer than `budget`.
pub(crate) fn decode(text: &str, budget: usize) -> Vec<Decoded> {
    let mut found = Vec::new();
    runs(text, &mut found);
    percent(text, &mut found);
    entities(text, &mut found);
    spaced_hex(text, &mut found);
    spaced_letters(text, &mut found);
    leet(text, &mut found);
    found.retain(|(_, _, decoded)| decoded.len() <= budget);
    found
}

/// Base64 and hexadecimal: long runs without a space.
fn runs(text: &str, found: &mut Vec<Decoded>) {
    let bytes = text.as_bytes();
    // A run of the shortest length holds one of these places, and all of the bytes since the one before.
    const STEP: usize = SHORTEST_BASE64 - 1;
    let mut at = STEP;
    while at < bytes.len() && found.len() < MOST {
        if let Some(gap) = bytes[at - STEP..=at].iter().rposition(|byte| !is_base64(*byte)) {
            // The next run begins behind the gap.
            at += gap + 1;
            continue;
        }
        let start = bytes[..at].iter().rposition(|byte| !is_base64(*byte)).map_or(0, |at| at + 1);
        let end = bytes[at..]
            .iter()
            .position(|byte| !is_base64(*byte))
            .map_or(bytes.len(), |end| at + end);
        let end = end.max(at + 1);
        if let Some(decoded) = run(&text[start..end]) {
            found.push((decoded.0, start..end, decoded.1));
        }
        at = end + STEP;
    }
}

fn run(run: &str) -> Option<(Step, String)> {
    if run.len() >= SHORTEST_HEX
        && run.len().is_multiple_of(2)
        && run.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        return readable(from_hex(run.bytes())?).map(|text| (Step::Hex, text));
    }
    if run.len() < SHORTEST_BASE64 {
        return None;
    }
    // A first look at a few letters: nearly all long runs are identifiers, paths or binary.
    let head = run.get(..16).unwrap_or(run);
    let engine =
        if run.bytes().any(|byte| matches!(byte, b'-' | b'_')) { &BASE64_URL } else { &BASE64 };
    let first = engine.decode(head).ok()?;
    if !mostly_text(&first) {
        return None;
    }
    let whole = run.len() - usize::from(run.len() % 4 == 1);
    readable(engine.decode(run.get(..whole)?).ok()?).map(|text| (Step::Base64, text))
}

fn is_base64(byte: u8) -> bool {
    IS_BASE64[usize::from(byte)]
}

/// A table, since nearly every byte of every text is looked up.
const IS_BASE64: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = matches!(byte as u8, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'+' | b'/' | b'_' | b'-');
        byte += 1;
    }
    table
};

fn mostly_text(bytes: &[u8]) -> bool {
    let odd = bytes.iter().filter(|byte| **byte < 0x20 && !byte.is_ascii_whitespace()).count();
    let high = bytes.iter().filter(|byte| **byte >= 0x7f).count();
    // Cut in the middle of a character is as good as whole.
    let valid =
        std::str::from_utf8(bytes).map_or_else(|error| error.error_len().is_none(), |_| true);
    odd == 0 && (high * 4 <= bytes.len() || valid)
}

/// Bytes that are words of some language.
fn readable(bytes: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(bytes).ok()?;
    let control = text.chars().filter(|char| char.is_control() && !char.is_whitespace()).count();
    let letters = text.chars().filter(|char| char.is_alphabetic() || *char == ' ').count();
    (control == 0 && text.len() >= 8 && letters * 2 >= text.chars().count()).then_some(text)
}

fn from_hex(digits: impl Iterator<Item = u8>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut high = None;
    for digit in digits {
        let value = char::from(digit).to_digit(16)? as u8;
        match high.take() {
            None => high = Some(value),
            Some(high) => bytes.push(high << 4 | value),
        }
    }
    Some(bytes)
}

/// URL encoding: the tokens that hold at least three sequences, decoded until nothing changes.
fn percent(text: &str, found: &mut Vec<Decoded>) {
    let bytes = text.as_bytes();
    let mut done = 0;
    for at in memchr_iter(b'%', bytes) {
        if at < done || found.len() >= MOST {
            continue;
        }
        let ends = |byte: &u8| {
            byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'<' | b'>' | b'`')
        };
        let start = bytes[done..at].iter().rposition(ends).map_or(done, |before| done + before + 1);
        let end = bytes[at..].iter().position(ends).map_or(bytes.len(), |end| at + end);
        done = end;
        let Some(token) = text.get(start..end) else { continue };
        let sequences = token
            .as_bytes()
            .windows(3)
            .filter(|w| w[0] == b'%' && w[1].is_ascii_hexdigit() && w[2].is_ascii_hexdigit())
            .count();
        if sequences < 3 {
            continue;
        }
        let mut decoded = unpercent(token);
        for _ in 0..3 {
            if !decoded.contains('%') {
                break;
            }
            decoded = unpercent(&decoded);
        }
        found.push((Step::Percent, start..end, decoded.replace('+', " ")));
    }
}

fn unpercent(token: &str) -> String {
    let bytes = token.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let pair = bytes.get(at + 1..at + 3).filter(|_| byte == b'%');
        match pair.and_then(|pair| from_hex(pair.iter().copied())) {
            Some(decoded) if pair.is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit)) => {
                out.extend(decoded);
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// HTML's numeric character references, four or more in reach of each other.
fn entities(text: &str, found: &mut Vec<Decoded>) {
    let bytes = text.as_bytes();
    let mut places =
        memchr_iter(b'&', bytes).filter(|at| bytes.get(at + 1) == Some(&b'#')).peekable();
    while let Some(start) = places.next() {
        let mut last = start;
        let mut count = 1;
        while let Some(next) = places.next_if(|next| next - last < 64) {
            last = next;
            count += 1;
        }
        if count < 4 || found.len() >= MOST {
            continue;
        }
        let end = bytes[last..]
            .iter()
            .take(12)
            .position(|byte| *byte == b';')
            .map_or(last, |end| last + end + 1);
        if let Some(part) = text.get(start..end) {
            found.push((Step::Entities, start..end, unescape(part)));
        }
    }
}

fn unescape(part: &str) -> String {
    let mut out = String::with_capacity(part.len());
    let mut rest = part;
    while let Some(at) = rest.find("&#") {
        out.push_str(&rest[..at]);
        let body = &rest[at + 2..];
        let (digits, radix) = match body.strip_prefix(['x', 'X']) {
            Some(hex) => (hex, 16),
            None => (body, 10),
        };
        let length = digits.bytes().take(8).take_while(u8::is_ascii_hexdigit).count();
        match u32::from_str_radix(&digits[..length], radix).ok().and_then(char::from_u32) {
            Some(char) => {
                out.push(char);
                let after = &digits[length..];
                rest = after.strip_prefix(';').unwrap_or(after);
            }
            None => {
                out.push_str("&#");
                rest = body;
            }
        }
    }
    out.push_str(rest);
    out
}

/// Bytes written as pairs of hexadecimal digits with one separator between.
fn spaced_hex(text: &str, found: &mut Vec<Decoded>) {
    let bytes = text.as_bytes();
    let pair = |at: usize| {
        bytes.get(at).is_some_and(u8::is_ascii_hexdigit)
            && bytes.get(at + 1).is_some_and(u8::is_ascii_hexdigit)
    };
    // Twelve pairs are 35 bytes, and a look takes seven: looks this far apart can't miss them.
    const STEP: usize = 24;
    let mut at = 0;
    while at + 35 <= bytes.len() && found.len() < MOST {
        let separated = |at: usize| {
            (0..3).any(|shift| {
                bytes.get(at + shift).is_some_and(|byte| matches!(byte, b' ' | b':' | b','))
                    && pair(at + shift + 1)
                    && bytes.get(at + shift + 3) == bytes.get(at + shift)
            })
        };
        if !separated(at + STEP) {
            at += STEP;
            continue;
        }
        let mut start = at + STEP;
        while start > at && !pair(start) {
            start -= 1;
        }
        while start >= 3 && pair(start - 3) && !bytes[start - 1].is_ascii_hexdigit() {
            start -= 3;
        }
        let mut end = start;
        let mut digits = Vec::new();
        while pair(end) {
            digits.extend_from_slice(&bytes[end..end + 2]);
            end += 2;
            if pair(end + 1)
                && bytes.get(end).is_some_and(|byte| matches!(byte, b' ' | b':' | b','))
            {
                end += 1;
            } else {
                break;
            }
        }
        if digits.len() >= 24
            && let Some(decoded) = from_hex(digits.into_iter()).and_then(readable)
        {
            found.push((Step::Hex, start..end, decoded));
        }
        at = end.max(at + STEP);
    }
}

/// `l i k e  t h i s`: single letters with a space after each.
fn spaced_letters(text: &str, found: &mut Vec<Decoded>) {
    let bytes = text.as_bytes();
    let lone = |at: usize| {
        at > 0
            && bytes.get(at).is_some_and(|byte| byte.is_ascii_graphic())
            && bytes.get(at - 1) == Some(&b' ')
            && bytes.get(at + 1) == Some(&b' ')
    };
    let mut at = 8;
    while at + 8 < bytes.len() && found.len() < MOST {
        // What nearly all texts fail: two spaces with one sign between.
        let space = |at: usize| bytes[at] == b' ';
        if !(space(at + 1) && space(at + 3) || space(at + 2) && space(at + 4)) {
            at += 8;
            continue;
        }
        let (even, odd) = (lone(at) && lone(at + 2), lone(at + 1) && lone(at + 3));
        if !even && !odd {
            at += 8;
            continue;
        }
        let middle = at + usize::from(!even);
        let follows =
            |at: usize| bytes.get(at).is_some_and(|byte| *byte == b' ' || byte.is_ascii_graphic());
        let mut start = middle;
        while start >= 2
            && bytes[start - 1] == b' '
            && follows(start - 2)
            && (start < 3 || !bytes[start - 3].is_ascii_alphanumeric() || bytes[start - 2] == b' ')
        {
            start -= 2;
        }
        let mut end = middle + 1;
        while bytes.get(end) == Some(&b' ')
            && follows(end + 1)
            && bytes.get(end + 2).is_none_or(|byte| *byte == b' ' || bytes[end + 1] == b' ')
        {
            end += 2;
        }
        let end = end.min(bytes.len());
        if let Some(part) = text.get(start..end) {
            let joined = join_letters(part);
            let letters = joined.bytes().filter(u8::is_ascii_alphabetic).count();
            if part.len() >= 24 && letters * 3 >= joined.len() * 2 {
                found.push((Step::Spaced, start..end, joined));
            }
        }
        at = end.max(at + 8);
    }
}

fn join_letters(part: &str) -> String {
    // One space joins letters, more end a word.
    let mut out = String::with_capacity(part.len() / 2);
    let mut spaces = 0;
    for char in part.chars() {
        if char == ' ' {
            spaces += 1;
            continue;
        }
        if spaces > 1 {
            out.push(' ');
        }
        spaces = 0;
        out.push(char);
    }
    out
}

/// `1gn0r3 4ll`: digits for letters inside words, often enough to be a way of writing.
fn leet(text: &str, found: &mut Vec<Decoded>) {
    let bytes = text.as_bytes();
    const REACH: usize = 160;
    let mut from = 0;
    while from < bytes.len() && found.len() < MOST {
        let end = (from + REACH).min(bytes.len());
        let block = &bytes[from..end];
        let inside = signs_inside(block);
        if inside >= 4 {
            let start = floor(text, from.saturating_sub(REACH / 2));
            let stop = floor(text, (end + REACH / 2).min(bytes.len()));
            let part = &text[start..stop];
            let words = part.split_whitespace().filter(|word| is_leet(word)).count();
            if words >= 4 && words * 4 >= part.split_whitespace().count() {
                found.push((Step::Leet, start..stop, part.chars().map(unleet).collect()));
                from = stop.max(end);
                continue;
            }
        }
        from = end;
    }
}

/// How often a digit or sign stands between two letters, in a block of at most 160 bytes. Written so that it
/// becomes vector instructions: it runs over every byte.
fn signs_inside(block: &[u8]) -> u8 {
    let letter = |byte: u8| (byte | 0x20).wrapping_sub(b'a') < 26;
    let sign = |byte: u8| (byte.wrapping_sub(b'0') < 10) | (byte == b'@') | (byte == b'$');
    // Most texts have hardly any: one look at each byte then, not three.
    if block.iter().fold(0, |sum: u8, byte| sum.wrapping_add(u8::from(sign(*byte)))) < 4 {
        return 0;
    }
    let (Some(second), Some(third)) = (block.get(1..), block.get(2..)) else { return 0 };
    block.iter().zip(second).zip(third).fold(0, |sum: u8, ((&before, &middle), &behind)| {
        sum.wrapping_add(u8::from(letter(before) & sign(middle) & letter(behind)))
    })
}

/// Letters, with few digits inside that stand for letters.
fn is_leet(word: &str) -> bool {
    let letters = word.bytes().filter(u8::is_ascii_alphabetic).count();
    let signs = word
        .bytes()
        .filter(|byte| matches!(byte, b'0' | b'1' | b'3' | b'4' | b'5' | b'7' | b'@' | b'$'))
        .count();
    let other = word
        .bytes()
        .filter(|byte| matches!(byte, b'2' | b'6' | b'8' | b'9' | b'-' | b'_' | b'=' | b'/'))
        .count();
    signs > 0 && letters > 0 && letters + 2 >= signs && other == 0
}

fn unleet(char: char) -> char {
    match char {
        '0' => 'o',
        '1' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        other => other,
    }
}

/// The nearest boundary of a character at or before `at`.
pub(crate) fn floor(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at)
}
