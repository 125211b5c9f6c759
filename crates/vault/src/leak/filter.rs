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
        let mut hits = self.hits(text, text.len(), &mut found);
        if let Some(plain) = Unescaped::of(text) {
            let inside = self.hits(&plain.text, plain.text.len(), &mut found);
            hits.extend(inside.into_iter().map(|hit| plain.source(hit)));
            hits.sort_by_key(|hit| hit.start);
        }
        if hits.is_empty() {
            return Masked { text: Cow::Borrowed(text), found };
        }
        let mut out = Vec::with_capacity(text.len());
        let mut done = 0;
        for hit in hits {
            if hit.start >= done {
                out.extend_from_slice(&text[done..hit.start]);
                out.extend_from_slice(MASK.as_bytes());
            }
            done = done.max(hit.end);
        }
        out.extend_from_slice(&text[done..]);
        Masked { text: Cow::Owned(out), found }
    }

    /// The same for a text that is UTF-8, and stays so.
    pub fn mask_str<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.mask(text.as_bytes()).text {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }

    /// Every match that begins before `end`; none overlaps another.
    pub(super) fn hits(
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

/// A text in which letters that nobody has to escape in JSON are escaped: it is read once more without that.
struct Unescaped {
    text: Vec<u8>,
    /// Where each byte began, and where the last one ended.
    from: Vec<usize>,
}

impl Unescaped {
    /// `None` where there is nothing of that kind.
    fn of(text: &[u8]) -> Option<Unescaped> {
        let printable = |at: usize| {
            let digits = text.get(at..at + 6)?.strip_prefix(b"\\u00")?;
            let code = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
            (b' '..0x7f).contains(&code).then_some(code)
        };
        // Some writers escape `<`, `>` and `&`, which is no reason to read all of it twice.
        let odd = |at| printable(at).filter(u8::is_ascii_alphanumeric);
        memchr::memmem::find_iter(text, b"\\u00").find_map(odd)?;
        let mut plain = Unescaped { text: Vec::with_capacity(text.len()), from: Vec::new() };
        let mut at = 0;
        while at < text.len() {
            plain.from.push(at);
            let (byte, length) = match (printable(at), &text[at..]) {
                (Some(code), _) => (code, 6),
                (None, [b'\\', b'/', ..]) => (b'/', 2),
                (None, _) => (text[at], 1),
            };
            plain.text.push(byte);
            at += length;
        }
        plain.from.push(text.len());
        Some(plain)
    }

    fn source(&self, at: Range<usize>) -> Range<usize> {
        let place = |at: usize| self.from.get(at).copied().unwrap_or_default();
        place(at.start)..place(at.end)
    }
}
