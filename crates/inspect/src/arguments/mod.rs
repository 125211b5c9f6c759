//! Arguments, judged by what each parameter takes: a path is looked at as a path, a URL as a URL. Free text
//! may say anything, so it is not judged here.

mod address;
mod checks;
mod kind;
mod path;

use std::{ops::Range, sync::Arc};

use mcp::{Json, Kind as Shape};

pub(crate) use checks::Checks;
use kind::{Parameter, parameter};

use crate::{Class, Finding, Severity, normalise::Views};

/// Longer values are text or data, whatever their parameter is called, but for addresses and what is padded
/// to look like text: those are judged piece by piece.
const LONGEST: usize = 4096;
/// What two pieces have in common.
const OVERLAP: usize = 256;
/// Findings of one call, at most: who sends more has too many.
const MOST: usize = 256;

/// What is wrong with a value.
pub(crate) struct Verdict {
    pub(crate) rule: &'static str,
    pub(crate) severity: Severity,
    pub(crate) message: &'static str,
}

/// What is wrong with the strings of `arguments`; `schema` is the tool's input schema.
pub(crate) fn find(checks: &Checks, arguments: Json<'_>, schema: Option<Json<'_>>) -> Vec<Finding> {
    let mut walk = Walk { checks, whole: arguments.text(), found: Vec::new() };
    walk.value(arguments, "", schema);
    if walk.found.len() >= MOST {
        walk.push(0..walk.whole.len(), checks::TOO_MANY);
    }
    walk.found
}

struct Walk<'a> {
    checks: &'a Checks,
    whole: &'a str,
    found: Vec<Finding>,
}

impl Walk<'_> {
    fn value(&mut self, value: Json<'_>, name: &str, schema: Option<Json<'_>>) {
        // What comes after is not read: the call is refused for that.
        if self.found.len() >= MOST {
            return;
        }
        match value.kind() {
            Shape::Object => {
                let properties = schema.and_then(|schema| schema.get("properties"));
                for (name, member) in value.members() {
                    if name == "__proto__" {
                        self.push(place(self.whole, member), checks::PROTOTYPE);
                    }
                    self.value(member, &name, properties.and_then(|all| all.get(&name)));
                }
            }
            Shape::Array => {
                let items = schema.and_then(|schema| schema.get("items"));
                value.items().for_each(|item| self.value(item, name, items));
            }
            Shape::String => {
                let Some(text) = value.string() else { return };
                if is_plain(&text) {
                    return;
                }
                let parameter = parameter(name, schema, &text);
                if text.len() > LONGEST && is_data(&text, parameter) {
                    return;
                }
                for piece in pieces(&text) {
                    self.string(piece, parameter, place(self.whole, value));
                }
            }
            _ => {}
        }
    }

    fn string(&mut self, text: &str, parameter: Parameter, at: Range<usize>) {
        if parameter == Parameter::Text {
            return;
        }
        // As it is, and in each form that a server may decode it to.
        let mut verdicts = Vec::new();
        self.judge(text, parameter, &mut verdicts);
        let (views, _) = Views::of(text);
        for view in &views.views {
            if view.text != text {
                self.judge(&view.text, parameter, &mut verdicts);
            }
        }
        verdicts.into_iter().for_each(|verdict| self.push(at.clone(), verdict));
    }

    fn judge(&self, text: &str, parameter: Parameter, verdicts: &mut Vec<Verdict>) {
        if parameter == Parameter::Path {
            path::judge(text, verdicts);
        }
        if parameter == Parameter::Url || text.contains("://") {
            address::judge(text, verdicts);
        }
        self.checks.judge(text, parameter, verdicts);
    }

    fn push(&mut self, at: Range<usize>, verdict: Verdict) {
        if self.found.iter().any(|known| &*known.rule == verdict.rule && known.at == at) {
            return;
        }
        self.found.push(Finding {
            rule: Arc::from(verdict.rule),
            class: Class::Argument,
            severity: verdict.severity,
            at,
            via: "plain".into(),
            message: Arc::from(verdict.message),
        });
    }
}

/// Whether a long value is what no path or address would be.
fn is_data(text: &str, parameter: Parameter) -> bool {
    let address = matches!(parameter, Parameter::Header | Parameter::Path | Parameter::Url);
    !address || text.contains('\n')
}

fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = text.floor_char_boundary(LONGEST);
        rest = (end < text.len()).then(|| &text[text.floor_char_boundary(end - OVERLAP)..]);
        Some(&text[..end])
    })
}

/// Where a part of the arguments stands in them.
fn place(whole: &str, part: Json<'_>) -> Range<usize> {
    let start =
        (part.text().as_ptr() as usize).saturating_sub(whole.as_ptr() as usize).min(whole.len());
    start..(start + part.text().len()).min(whole.len())
}

/// Letters, digits and the marks of names and sentences, without the words of SQL and shells that need no
/// other marks: nothing here can break out of anything.
fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    // One long word may be an encoding of something.
    let coded = bytes.len() > 16 && !bytes.contains(&b' ');
    let mark = |byte: &u8| !(byte.is_ascii_alphanumeric() || b" ,_@+?!.-".contains(byte));
    let pair = |pair: &[u8; 2]| pair == b".." || pair == b"--";
    let word = |at: usize| {
        let words: &[&[u8]] = match bytes[at] | 0x20 {
            b'd' => &[b"drop"],
            b'r' => &[b"rm "],
            b's' => &[b"select", b"sleep"],
            b'u' => &[b"union"],
            b'w' => &[b"waitfor"],
            _ => return false,
        };
        let is = |word: &&[u8]| {
            bytes.get(at..at + word.len()).is_some_and(|part| part.eq_ignore_ascii_case(word))
        };
        words.iter().any(is)
    };
    let odd = coded
        || bytes.starts_with(b".")
        || bytes.iter().any(mark)
        || bytes.array_windows().any(pair)
        || (0..bytes.len()).any(word);
    !odd
}
