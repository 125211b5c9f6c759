//! Where words and marks begin and end; words are read eight bytes at a time.

use std::ops::Range;

/// A word or a run of marks of one sort.
pub(super) struct Lexeme {
    pub class: Class,
    pub at: Range<usize>,
}

/// What a byte is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Class(pub u8);

impl Class {
    /// Nothing.
    const SKIP: Class = Class(0);
    /// A word: letters, digits, and whatever is no ASCII.
    pub const WORD: Class = Class(1);
    /// What ends a sentence.
    pub const END: Class = Class(2);
}

/// Those beyond 2 are sorts of marks.
const CLASSES: [Class; 256] = {
    let mut classes = [Class::SKIP; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = Class(match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | 0x80..=0xff => 1,
            b'.' | b'\n' | b'!' | b'?' | b':' | b'"' | b';' => 2,
            b'<' | b'>' => 3,
            b'{' | b'}' | b'[' | b']' => 4,
            b'`' => 5,
            b'/' | b'\\' => 6,
            b'@' => 7,
            b'#' | b'*' | b'=' => 8,
            b'$' | b'|' => 9,
            _ => 0,
        });
        byte += 1;
    }
    classes
};

/// What a text consists of, from its front.
pub(super) struct Lexer<'t> {
    bytes: &'t [u8],
    at: usize,
}

impl<'t> Lexer<'t> {
    pub fn new(text: &'t str) -> Lexer<'t> {
        Lexer { bytes: text.as_bytes(), at: 0 }
    }

    /// The next eight bytes, with zeros behind the end, which are no part of a word.
    #[inline]
    fn eight(&self) -> u64 {
        match self.bytes.get(self.at..).and_then(<[u8]>::first_chunk) {
            Some(eight) => u64::from_le_bytes(*eight),
            None => self.last(),
        }
    }

    #[cold]
    fn last(&self) -> u64 {
        let mut eight = [0; 8];
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        eight.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        u64::from_le_bytes(eight)
    }

    /// The end of the word that begins here.
    #[inline]
    fn word(&mut self) -> usize {
        let mut before = 0;
        loop {
            let eight = Eight::of(self.eight());
            // `sendMail` is two words, and so is `send_mail`.
            let ends = !eight.word & HIGH | eight.large & (eight.small << 8 | before);
            let length = ends.trailing_zeros() / 8;
            self.at = self.at.wrapping_add(length as usize);
            if length < 8 {
                return self.at;
            }
            before = eight.small >> 56;
        }
    }
}

impl Iterator for Lexer<'_> {
    type Item = Lexeme;

    #[inline]
    fn next(&mut self) -> Option<Lexeme> {
        let class = loop {
            match CLASSES[usize::from(*self.bytes.get(self.at)?)] {
                Class::SKIP => self.at = self.at.wrapping_add(1),
                class => break class,
            }
        };
        let start = self.at;
        if class == Class::WORD {
            return Some(Lexeme { class, at: start..self.word() });
        }
        let same = |byte: &u8| CLASSES[usize::from(*byte)] == class;
        while self.bytes.get(self.at).is_some_and(same) {
            self.at = self.at.wrapping_add(1);
        }
        Some(Lexeme { class, at: start..self.at })
    }
}

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
/// The bit that large letters lack.
const CASES: u64 = u64::from_ne_bytes([0x20; 8]);

/// Eight bytes, the first one lowest. Each mark is the highest bit of its byte.
struct Eight {
    word: u64,
    large: u64,
    small: u64,
}

impl Eight {
    #[inline]
    fn of(bytes: u64) -> Eight {
        // Below 0x80, so that no sum reaches into the next byte.
        let low = bytes & !HIGH;
        let from = |low: u64, byte: u8| low.wrapping_add(ONES.wrapping_mul(u64::from(0x80 - byte)));
        let any_case = low | CASES;
        let letter = from(any_case, b'a') & !from(any_case, b'z' + 1) & !bytes & HIGH;
        let digit = from(low, b'0') & !from(low, b'9' + 1) & !bytes & HIGH;
        let small = letter & bytes << 2;
        Eight { word: letter | digit | bytes & HIGH, large: letter & !small, small }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same, byte by byte.
    fn by_bytes(text: &str) -> Vec<(Class, Range<usize>)> {
        let bytes = text.as_bytes();
        let class = |at: usize| CLASSES[usize::from(bytes[at])];
        let (mut found, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            let start = at;
            at += 1;
            while at < bytes.len()
                && class(at) == class(start)
                && !(bytes[at].is_ascii_uppercase() && bytes[at - 1].is_ascii_lowercase())
            {
                at += 1;
            }
            if class(start) != Class::SKIP {
                found.push((class(start), start..at));
            }
        }
        found
    }

    proptest! {
        #[test]
        fn it_cuts_where_a_reader_of_bytes_does(text in "([a-zA-Z0-9{}@`. é:\n/-]|[a-zA-Z]{6,12}){0,30}") {
            let found: Vec<_> = Lexer::new(&text).map(|lexeme| (lexeme.class, lexeme.at)).collect();
            prop_assert_eq!(found, by_bytes(&text));
        }
    }
}
