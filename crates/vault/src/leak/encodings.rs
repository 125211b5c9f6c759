//! The forms in which a value comes back.

use std::fmt::Write;
use std::sync::Arc;

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE},
};
use zeroize::Zeroizing;

use super::SHORTEST;

/// A value's text is looked for in parts that are no longer than this.
const LONGEST: usize = 4096;
/// Lines of a longer value that are looked for alone, such as those of a private key.
const LINE: usize = 24;

/// One form of a value.
pub(super) type Form = Arc<Zeroizing<Vec<u8>>>;

/// Everything to look for when `value` must not be seen, each form once and none shorter than [`SHORTEST`].
pub(super) fn forms(value: &str) -> Vec<Form> {
    let mut forms = Vec::new();
    for part in parts(value) {
        of_part(part, &mut forms);
    }
    // A log puts its own marks between lines.
    if value.contains('\n') {
        for line in value.lines().map(str::trim).filter(|line| line.len() >= LINE) {
            if !line.starts_with("-----") {
                add(line.as_bytes().to_vec(), &mut forms);
            }
        }
    }
    forms
}

fn parts(value: &str) -> Vec<&str> {
    let size = value.len().div_ceil(value.len().div_ceil(LONGEST).max(1)).max(1);
    let mut parts = Vec::new();
    let mut rest = value;
    while !rest.is_empty() {
        let (part, next) = rest.split_at(rest.ceil_char_boundary(size.min(rest.len())));
        parts.push(part);
        rest = next;
    }
    parts
}

fn add(form: Vec<u8>, forms: &mut Vec<Form>) {
    let form = Arc::new(Zeroizing::new(form));
    if form.len() >= SHORTEST && !forms.contains(&form) {
        forms.push(form);
    }
}

fn of_part(part: &str, forms: &mut Vec<Form>) {
    let bytes = part.as_bytes();
    add(bytes.to_vec(), forms);
    add_base64(bytes, forms);
    for upper in [false, true] {
        add(hex(bytes, "", upper, |_| false), forms);
        add(hex(bytes, "\\x", upper, |_| false), forms);
        // RFC 3986, `encodeURIComponent`, the fields of a form, segments of a path, letters alone, and nothing.
        for plain in [unreserved, component, field, segment, letter, none] {
            let form = hex(bytes, "%", upper, plain);
            let spaces = String::from_utf8_lossy(&form).replace("%20", "+");
            add(form, forms);
            add(spaces.into_bytes(), forms);
        }
    }
    for style in Style::ALL {
        let mut text = json(part, style);
        if text != part && matches!(style, Style::Least | Style::Slash) {
            add_base64(text.as_bytes(), forms);
        }
        // JSON is a text inside of JSON, and a message has it as a text once more.
        for _ in 0..3 {
            let again = json(&text, Style::Least);
            add(std::mem::replace(&mut text, again).into_bytes(), forms);
        }
    }
}

fn add_base64(bytes: &[u8], forms: &mut Vec<Form>) {
    for shift in 0..3 {
        for engine in [&BASE64_STANDARD, &BASE64_URL_SAFE] {
            add(base64(engine, bytes, shift), forms);
        }
    }
}

/// The characters that the value alone decides, when `shift` bytes (and any number of threes) stand before it.
fn base64(engine: &impl Engine, bytes: &[u8], shift: usize) -> Vec<u8> {
    let mut whole = Zeroizing::new(vec![0; shift]);
    whole.extend_from_slice(bytes);
    let (start, end) = ((8 * shift).div_ceil(6), 8 * whole.len() / 6);
    let text = Zeroizing::new(engine.encode(&*whole));
    text.as_bytes().get(start..end).unwrap_or_default().to_vec()
}

fn hex(bytes: &[u8], prefix: &str, upper: bool, plain: fn(u8) -> bool) -> Vec<u8> {
    let mut text = String::with_capacity(bytes.len() * (prefix.len() + 2));
    for byte in bytes {
        if plain(*byte) {
            text.push(char::from(*byte));
            continue;
        }
        let _ = match upper {
            true => write!(text, "{prefix}{byte:02X}"),
            false => write!(text, "{prefix}{byte:02x}"),
        };
    }
    text.into_bytes()
}

fn none(_: u8) -> bool {
    false
}

fn letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn field(byte: u8) -> bool {
    letter(byte) || matches!(byte, b'*' | b'-' | b'.' | b'_')
}

fn unreserved(byte: u8) -> bool {
    letter(byte) || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn component(byte: u8) -> bool {
    unreserved(byte) || matches!(byte, b'!' | b'\'' | b'(' | b')' | b'*')
}

fn segment(byte: u8) -> bool {
    component(byte) || matches!(byte, b'$' | b'&' | b'+' | b',' | b';' | b'=' | b':' | b'@' | b'/')
}

/// How writers of JSON differ.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// Only what must be escaped.
    Least,
    /// `'` too, as in Rust.
    Quote,
    /// `/` too.
    Slash,
    /// `<`, `>`, `&` too.
    Html,
    /// Whatever is not ASCII too.
    Ascii,
    AsciiUpper,
}

impl Style {
    const ALL: [Style; 6] =
        [Style::Least, Style::Slash, Style::Html, Style::Quote, Style::Ascii, Style::AsciiUpper];
}

fn json(text: &str, style: Style) -> String {
    let mut out = String::with_capacity(text.len());
    let code = |out: &mut String, unit: u16| {
        let _ = match style {
            Style::AsciiUpper => write!(out, "\\u{unit:04X}"),
            _ => write!(out, "\\u{unit:04x}"),
        };
    };
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '/' if style == Style::Slash => out.push_str("\\/"),
            '\'' if style == Style::Quote => out.push_str("\\'"),
            '<' | '>' | '&' if style == Style::Html => code(&mut out, c as u16),
            c if c < ' ' => code(&mut out, c as u16),
            c if !c.is_ascii() && matches!(style, Style::Ascii | Style::AsciiUpper) => {
                c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| code(&mut out, *unit));
            }
            c => out.push(c),
        }
    }
    out
}
