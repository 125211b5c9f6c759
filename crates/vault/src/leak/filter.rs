//! All known values in one search.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use super::encodings::Form;
use super::search::Search;

/// What stands where a value stood.
pub const MASK: &str = "[secret]";

/// Finds known values.
pub struct Filter {
    pub(super) search: Search,
    /// The name of each string of the search.
    names: Vec<Arc<str>>,
}

/// A text after the filter.
#[derive(Debug, PartialEq, Eq)]
pub struct Masked<'t> {
    /// The text, with [`MASK`] in place of each value.
    pub text: Cow<'t, [u8]>,
    /// The names of those that were there.
    pub found: BTreeSet<Arc<str>>,
}

impl Filter {
    /// For values with their names and forms.
    pub(super) fn new<'v>(values: impl IntoIterator<Item = (&'v Arc<str>, &'v [Form])>) -> Filter {
        let mut strings = Vec::new();
        let mut names = Vec::new();
        for (name, forms) in values {
            strings.extend(forms.iter().cloned());
            names.extend(forms.iter().map(|_| name.clone()));
        }
        Filter { search: Search::new(strings), names }
    }

    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Masks every value in a text.
    pub fn mask<'t>(&self, text: &'t [u8]) -> Masked<'t> {
        let mut found = BTreeSet::new();
        let hits = self.hits(text, Unescaped::of(text).as_ref(), text.len(), &mut found);
        if hits.is_empty() {
            return Masked { text: Cow::Borrowed(text), found };
        }
        let mut out = Vec::with_capacity(text.len());
        write(text, hits, text.len(), &mut out);
        Masked { text: Cow::Owned(out), found }
    }

    /// Masks what can be decided of a text that goes on: gives out how much that was.
    pub(super) fn mask_start(
        &self,
        text: &[u8],
        found: &mut BTreeSet<Arc<str>>,
        out: &mut Vec<u8>,
    ) -> usize {
        // An escape that is not whole yet says nothing.
        let whole = text.len() - cut_escape(text);
        let plain = text.contains(&b'\\').then(|| Unescaped::read(&text[..whole]));
        let mut end = self.search.open(text).min(whole);
        if let Some(plain) = &plain {
            end = end.min(plain.place(self.search.open(&plain.text)));
        }
        write(text, self.hits(text, plain.as_ref(), end, found), end, out)
    }

    /// Masks the rest of such a text.
    pub(super) fn mask_end(&self, text: &[u8], found: &mut BTreeSet<Arc<str>>, out: &mut Vec<u8>) {
        let plain = text.contains(&b'\\').then(|| Unescaped::read(text));
        let hits = self.hits(text, plain.as_ref(), text.len(), found);
        write(text, hits, text.len(), out);
    }

    /// The same for a text that is UTF-8, and stays so.
    pub fn mask_str<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.mask(text.as_bytes()).text {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }

    /// Every match that begins before `end`, in the text and in what it says without needless escapes, in their order.
    fn hits(
        &self,
        text: &[u8],
        plain: Option<&Unescaped>,
        end: usize,
        found: &mut BTreeSet<Arc<str>>,
    ) -> Vec<Range<usize>> {
        let mut hits = self.matches(text, end, found);
        if let Some(plain) = plain {
            let before = plain.from.partition_point(|from| *from < end);
            let inside = self.matches(&plain.text, before, found);
            hits.extend(inside.into_iter().map(|hit| plain.source(hit)));
            hits.sort_by_key(|hit| hit.start);
        }
        hits
    }

    /// Every match that begins before `end`; none overlaps another.
    fn matches(
        &self,
        text: &[u8],
        end: usize,
        found: &mut BTreeSet<Arc<str>>,
    ) -> Vec<Range<usize>> {
        let mut hits = Vec::new();
        let mut at = 0;
        while let Some((hit, string)) = self.search.find(text, at..end) {
            at = hit.end;
            found.insert(self.names[string].clone());
            hits.push(hit);
        }
        hits
    }
}

/// Writes a text to `end`, or to the end of the last match where that is further, with masks in place of the matches:
/// how much of it that was.
fn write(text: &[u8], hits: Vec<Range<usize>>, end: usize, out: &mut Vec<u8>) -> usize {
    let mut done = 0;
    for hit in hits {
        if hit.start >= done {
            out.extend_from_slice(&text[done..hit.start]);
            out.extend_from_slice(MASK.as_bytes());
        }
        done = done.max(hit.end);
    }
    let end = end.max(done);
    out.extend_from_slice(&text[done..end]);
    end
}

/// How long the beginning of an escape (`\u00XX`, `\/`) is that stands at a text's end.
fn cut_escape(text: &[u8]) -> usize {
    let begins = |length: &usize| {
        let Some(start) = text.len().checked_sub(*length) else { return false };
        let (known, digit) = text[start..].split_at((*length).min(4));
        b"\\u00".starts_with(known) && digit.iter().all(u8::is_ascii_hexdigit)
    };
    (1..=5).rev().find(begins).unwrap_or(0)
}
/// A text in which letters that nobody has to escape in JSON are escaped: it is read once more without that.
struct Unescaped {
    text: Vec<u8>,
    /// Where each byte began, and where the last one ended.
    from: Vec<usize>,
}

impl Unescaped {
    /// `None` where there is nothing of that kind.
    fn of(text: &[u8]) -> Option<Unescaped> {
        // Some writers escape `<`, `>` and `&`, which is no reason to read all of it twice.
        let odd = |at| printable(text, at).filter(u8::is_ascii_alphanumeric);
        memchr::memmem::find_iter(text, b"\\u00").find_map(odd)?;
        Some(Unescaped::read(text))
    }

    fn read(text: &[u8]) -> Unescaped {
        let mut plain = Unescaped { text: Vec::with_capacity(text.len()), from: Vec::new() };
        let mut at = 0;
        while at < text.len() {
            plain.from.push(at);
            let (byte, length) = match (printable(text, at), &text[at..]) {
                (Some(code), _) => (code, 6),
                (None, [b'\\', b'/', ..]) => (b'/', 2),
                (None, _) => (text[at], 1),
            };
            plain.text.push(byte);
            at += length;
        }
        plain.from.push(text.len());
        plain
    }

    /// Where a byte came from.
    fn place(&self, at: usize) -> usize {
        self.from.get(at).copied().unwrap_or_default()
    }

    fn source(&self, at: Range<usize>) -> Range<usize> {
        self.place(at.start)..self.place(at.end)
    }
}

/// The character that is escaped here as `\u00XX`, if it is a visible one.
fn printable(text: &[u8], at: usize) -> Option<u8> {
    let digits = text.get(at..at + 6)?.strip_prefix(b"\\u00")?;
    let code = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    (b' '..0x7f).contains(&code).then_some(code)
}
