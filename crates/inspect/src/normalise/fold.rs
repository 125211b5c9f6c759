//! The text as its reader understands it.

use std::{borrow::Cow, ops::Range};

use unicode_normalization::{UnicodeNormalization, char::compose};
use unicode_security::confusable_detection::skeleton as skeleton_of;

use super::{
    View,
    map::{Builder, Map},
};

/// What folding noticed. Ranges are bytes of the text that was folded.
#[derive(Debug, Default)]
pub(crate) struct Fold {
    /// Marks of invisibility, with the first place of each.
    pub(crate) hidden: Vec<(Hidden, Range<usize>, usize)>,
    /// What invisible characters spell.
    pub(crate) spelled: Vec<(String, Range<usize>)>,
    /// Words that mix letters of scripts which look alike.
    pub(crate) mixed: bool,
    /// Where the first such word is, and how many there are.
    pub(crate) homoglyphs: Option<(Range<usize>, usize)>,
}

/// A way to hide characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hidden {
    /// Terminal sequences that conceal text or write to the clipboard.
    Ansi,
    /// Bidirectional overrides, or embeddings where nothing is written right to left.
    Bidi,
    /// Tag characters outside flags.
    Tags,
    /// Variation selectors that select nothing.
    Variation,
    /// Zero-width characters between letters.
    ZeroWidth,
}

/// Folds a text; what is plain already is borrowed.
pub(crate) fn fold(text: &str) -> (View<'_>, Fold) {
    let mut found = Fold::default();
    let Some(first) = special(text.as_bytes()) else {
        let view = View { steps: Vec::new(), text: Cow::Borrowed(text), map: Map::Same(0) };
        return (view, found);
    };
    let mut folder = Folder::new(text, &mut found);
    folder.copy_until(first);
    folder.run();
    let Folder { out, .. } = folder;
    let (folded, map) = out.finish(text.len());
    (View { steps: Vec::new(), text: Cow::Owned(folded), map }, found)
}

/// The folded text with letters of other scripts replaced by the Latin ones they imitate.
pub(crate) fn skeleton<'t>(view: &View<'_>) -> View<'t> {
    let mut out = Builder::with_capacity(view.text.len());
    for (at, char) in view.text.char_indices() {
        let source = view.map.source(at..at + char.len_utf8()).start;
        match imitated(char) {
            Some(latin) => out.push(latin, source),
            None => out.push(char, source),
        }
    }
    let end = view.map.source(0..view.text.len()).end;
    let (text, map) = out.finish(end);
    let mut steps = view.steps.clone();
    steps.push(super::Step::Skeleton);
    View { steps, text: Cow::Owned(text), map }
}

/// The Latin letter or ASCII sign that `char` imitates, accents aside.
fn imitated(char: char) -> Option<char> {
    if char.is_ascii() || is_wide_script(char) {
        return None;
    }
    let mut buffer = [0; 4];
    let mut looks = skeleton_of(char.encode_utf8(&mut buffer)).filter(|c| !is_mark(*c));
    match (looks.next(), looks.next()) {
        (Some(one), None) if one.is_ascii_graphic() => Some(one.to_ascii_lowercase()),
        _ => None,
    }
}

/// Scripts whose letters imitate nothing, so that they need no look.
fn is_wide_script(char: char) -> bool {
    matches!(char, '\u{2E80}'..='\u{A4CF}' | '\u{AC00}'..='\u{D7FF}' | '\u{F900}'..='\u{FAFF}')
}

fn is_mark(char: char) -> bool {
    matches!(char, '\u{300}'..='\u{36F}' | '\u{1AB0}'..='\u{1AFF}' | '\u{1DC0}'..='\u{1DFF}' | '\u{20D0}'..='\u{20FF}')
}

/// The first byte that folding would change.
fn special(bytes: &[u8]) -> Option<usize> {
    // Sixteen at a time without branches; most texts are plain for long.
    const BLOCK: usize = 16;
    let mut at = 0;
    for block in bytes.chunks(BLOCK) {
        if block.iter().fold(false, |any, &byte| any | is_special(byte)) {
            let inside = block.iter().position(|&byte| is_special(byte));
            return inside.map(|inside| at + inside);
        }
        at += block.len();
    }
    None
}

fn is_special(byte: u8) -> bool {
    byte >= 0x7f
        || byte == b'\\'
        || (byte < 0x20 && byte != b'\n' && byte != b'\t' && byte != b'\r')
}

struct Folder<'t, 'f> {
    text: &'t str,
    at: usize,
    out: Builder,
    found: &'f mut Fold,
    word: Word,
    /// Bits that zero-width characters spell, and the bytes that selectors do.
    bits: String,
    tags: String,
    selectors: Vec<u8>,
    run: Range<usize>,
    before: char,
}

/// What the letters of the word so far are.
#[derive(Default)]
struct Word {
    from: usize,
    ascii: usize,
    foreign: usize,
    strict: bool,
}

impl<'t, 'f> Folder<'t, 'f> {
    fn new(text: &'t str, found: &'f mut Fold) -> Folder<'t, 'f> {
        Folder {
            text,
            at: 0,
            out: Builder::with_capacity(text.len()),
            found,
            word: Word::default(),
            bits: String::new(),
            tags: String::new(),
            selectors: Vec::new(),
            run: 0..0,
            before: ' ',
        }
    }

    /// Plain text, copied as it is.
    fn copy_until(&mut self, end: usize) {
        let Some(piece) = self.text.get(self.at..end) else { return };
        let Some(last) = piece.chars().next_back() else { return };
        self.end_hidden_run();
        let letters = |piece: &str| piece.bytes().take_while(u8::is_ascii_alphanumeric).count();
        let head = letters(piece);
        self.word.ascii += head;
        if head < piece.len() {
            self.end_word();
            let tail = piece.bytes().rev().take_while(u8::is_ascii_alphanumeric).count();
            self.word.ascii = tail;
            self.word.from = end - tail;
        }
        self.out.push_str(piece, self.at);
        self.before = last;
        self.at = end;
    }

    fn run(&mut self) {
        while let Some(rest) = self.text.as_bytes().get(self.at..).filter(|rest| !rest.is_empty()) {
            match special(rest) {
                None => self.copy_until(self.text.len()),
                Some(0) => self.one(),
                Some(next) => self.copy_until(self.at + next),
            }
        }
        self.end_hidden_run();
        self.end_word();
    }

    /// One special character, or an escape.
    fn one(&mut self) {
        let rest = &self.text[self.at..];
        let from = self.at;
        let Some(char) = rest.chars().next() else { return };
        let (char, length) = match char {
            '\\' => match escape(rest.as_bytes()) {
                Some((char, length)) => (char, length),
                None => ('\\', 1),
            },
            _ => (char, char.len_utf8()),
        };
        self.at += length;
        if char == '\x1b' || char == '\u{9b}' {
            self.ansi(from);
            return;
        }
        self.char(char, from);
    }

    fn char(&mut self, char: char, from: usize) {
        if char.is_ascii() {
            if char >= ' ' && char != '\x7f' || matches!(char, '\n' | '\t' | '\r') {
                self.end_hidden_run();
                self.letter(char, from);
            }
            return;
        }
        if let Some(kind) = invisible(char) {
            self.invisible(kind, char, from);
            return;
        }
        self.end_hidden_run();
        if is_mark(char) {
            // A mark joins its letter where Unicode has one for both; else it is decoration.
            if let Some(joined) = compose(self.before, char)
                && self.out.text.ends_with(self.before)
            {
                self.out.text.pop();
                self.out.push(joined, from.saturating_sub(self.before.len_utf8()));
                self.before = joined;
            }
            return;
        }
        if matches!(char, '\u{2028}' | '\u{2029}') {
            self.letter('\n', from);
            return;
        }
        for folded in std::iter::once(char).nfkc() {
            for lower in folded.to_lowercase() {
                self.letter(lower, from);
            }
        }
        self.before = char;
    }

    /// A visible character of the folded text.
    fn letter(&mut self, char: char, from: usize) {
        if char.is_ascii_alphanumeric() {
            if self.word.ascii + self.word.foreign == 0 {
                self.word.from = from;
            }
            self.word.ascii += usize::from(char.is_ascii_alphabetic());
        } else if !char.is_ascii() && char.is_alphabetic() {
            if imitated_letter(char) {
                if self.word.ascii + self.word.foreign == 0 {
                    self.word.from = from;
                }
                self.word.foreign += 1;
                self.word.strict |= matches!(char, '\u{400}'..='\u{52F}' | '\u{530}'..='\u{58F}' | '\u{13A0}'..='\u{13FF}');
            } else {
                // A letter that imitates nothing: the word is what it says.
                self.word.foreign = 0;
                self.word.ascii = 0;
            }
        } else {
            self.end_word();
        }
        self.out.push(char, from);
        self.before = char;
    }

    fn end_word(&mut self) {
        let word = std::mem::take(&mut self.word);
        if word.foreign == 0 {
            return;
        }
        // Greek letters stand beside Latin ones in formulas, so only long words count there.
        if word.ascii > 0 && (word.strict || word.ascii + word.foreign > 3) {
            self.found.mixed = true;
            let at = word.from..self.at;
            match &mut self.found.homoglyphs {
                Some((_, count)) => *count += 1,
                None => self.found.homoglyphs = Some((at, 1)),
            }
        } else if word.ascii == 0 && word.strict {
            // A word all of look-alikes may be Russian, or imitate English: worth the second reading.
            self.found.mixed = true;
        }
    }

    fn invisible(&mut self, kind: Invisible, char: char, from: usize) {
        if self.run.is_empty() {
            self.run.start = from;
        }
        self.run.end = self.at;
        match kind {
            Invisible::Tag => {
                let ascii = u32::from(char) - 0xE0000;
                if let Some(ascii) =
                    u8::try_from(ascii).ok().filter(|byte| (0x20..0x7f).contains(byte))
                {
                    self.tags.push(ascii as char);
                }
                // A flag of a region: a black flag, letters as tags, and an end.
                if self.before != '\u{1F3F4}' || self.tags.len() > 8 {
                    self.note(Hidden::Tags, from);
                }
            }
            Invisible::Selector(byte) => {
                self.selectors.push(byte);
                if self.selectors.len() > 1 {
                    self.note(Hidden::Variation, from);
                }
            }
            Invisible::Zero(bit) => {
                if let Some(bit) = bit {
                    self.bits.push(bit);
                }
                if self.splits_a_word() || self.bits.len() > 4 {
                    self.note(Hidden::ZeroWidth, from);
                }
            }
            Invisible::Override => self.note(Hidden::Bidi, from),
            Invisible::Direction => {}
            Invisible::Other => {
                if char != SOFT_HYPHEN && self.splits_a_word() {
                    self.note(Hidden::ZeroWidth, from);
                }
            }
        }
    }

    /// Joiners are letters' business in many scripts and in emoji; between Latin letters they hide.
    fn splits_a_word(&self) -> bool {
        let next = self.text.get(self.at..).and_then(|rest| rest.chars().next());
        self.before.is_ascii_alphanumeric() && next.is_some_and(|next| next.is_ascii_alphanumeric())
    }

    /// Ends a run of invisible characters: if they spell something, that is a text of its own.
    fn end_hidden_run(&mut self) {
        if self.run.is_empty() {
            return;
        }
        let run = std::mem::replace(&mut self.run, 0..0);
        let tags = std::mem::take(&mut self.tags);
        if tags.len() > 8 {
            self.found.spelled.push((tags, run.clone()));
        }
        let selectors = std::mem::take(&mut self.selectors);
        if selectors.len() > 3 {
            self.found
                .spelled
                .push((String::from_utf8_lossy(&selectors).into_owned(), run.clone()));
        }
        let bits = std::mem::take(&mut self.bits);
        if bits.len() >= 16 {
            for zero in ['0', '1'] {
                let bytes: Vec<u8> = bits
                    .as_bytes()
                    .chunks_exact(8)
                    .map(|byte| {
                        byte.iter()
                            .fold(0, |sum, bit| sum << 1 | u8::from(char::from(*bit) != zero))
                    })
                    .collect();
                if bytes.iter().all(|byte| matches!(byte, 0x09..=0x0d | 0x20..=0x7e)) {
                    let text = bytes.into_iter().map(char::from).collect();
                    self.found.spelled.push((text, run.clone()));
                }
            }
        }
    }

    /// A terminal's control sequence, dropped whole. Colours and moves are common; to conceal what
    /// follows, or to write to the clipboard, is not.
    fn ansi(&mut self, from: usize) {
        let rest = &self.text.as_bytes()[self.at..];
        let (length, hides) = match rest.first() {
            Some(b'[') => {
                let end =
                    rest.iter().skip(1).take(64).position(|byte| (0x40..=0x7e).contains(byte));
                let length = end.map_or(1, |end| end + 2);
                let codes = rest.get(1..length).and_then(|sequence| sequence.strip_suffix(b"m"));
                (
                    length,
                    codes.is_some_and(|codes| {
                        codes.split(|byte| *byte == b';').any(|code| code == b"8")
                    }),
                )
            }
            Some(b']') => {
                let end = rest.iter().take(512).position(|byte| *byte == 7 || *byte == 0x1b);
                (end.map_or(1, |end| end + 1), rest.starts_with(b"]52;"))
            }
            _ => (0, false),
        };
        self.at += length;
        while !self.text.is_char_boundary(self.at) {
            self.at += 1;
        }
        if hides {
            self.note(Hidden::Ansi, from);
        }
    }

    fn note(&mut self, kind: Hidden, from: usize) {
        match self.found.hidden.iter_mut().find(|(known, ..)| *known == kind) {
            Some((_, at, count)) => {
                *count += 1;
                at.end = self.at;
            }
            None => self.found.hidden.push((kind, from..self.at, 1)),
        }
    }
}

const SOFT_HYPHEN: char = '\u{AD}';

fn imitated_letter(char: char) -> bool {
    matches!(char, '\u{370}'..='\u{58F}' | '\u{13A0}'..='\u{13FF}' | '\u{1D00}'..='\u{1DBF}' | '\u{A4D0}'..='\u{A4FF}')
        && imitated(char).is_some()
}

enum Invisible {
    Direction,
    Other,
    Override,
    Selector(u8),
    Tag,
    /// A character of no width, and the bit that it is taken for.
    Zero(Option<char>),
}

fn invisible(char: char) -> Option<Invisible> {
    Some(match char {
        '\u{200B}' => Invisible::Zero(Some('0')),
        '\u{200C}' | '\u{200D}' => Invisible::Zero(Some('1')),
        '\u{2060}' => Invisible::Zero(None),
        '\u{AD}'
        | '\u{34F}'
        | '\u{115F}'
        | '\u{1160}'
        | '\u{17B4}'
        | '\u{17B5}'
        | '\u{180B}'..='\u{180F}'
        | '\u{2061}'..='\u{2064}'
        | '\u{206A}'..='\u{206F}'
        | '\u{3164}'
        | '\u{FEFF}'
        | '\u{FFA0}'
        | '\u{FFF9}'..='\u{FFFB}' => Invisible::Other,
        '\u{202D}' | '\u{202E}' => Invisible::Override,
        '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202C}' | '\u{2066}'..='\u{2069}' => {
            Invisible::Direction
        }
        '\u{FE00}'..='\u{FE0F}' => Invisible::Selector((u32::from(char) - 0xFE00) as u8),
        '\u{E0100}'..='\u{E01EF}' => Invisible::Selector((u32::from(char) - 0xE0100 + 16) as u8),
        '\u{E0000}'..='\u{E007F}' => Invisible::Tag,
        _ => return None,
    })
}

/// The character that a backslash sequence stands for, and the sequence's length. Escapes of escapes, as in
/// JSON inside of JSON, count as one.
fn escape(bytes: &[u8]) -> Option<(char, usize)> {
    let slashes = bytes.iter().take_while(|byte| **byte == b'\\').count();
    let rest = bytes.get(slashes..)?;
    let char = match rest.first()? {
        b'n' => '\n',
        b't' => '\t',
        b'r' => '\r',
        b'"' => '"',
        b'\'' => '\'',
        b'/' => '/',
        b'x' => return hex(rest, 1, 2).map(|(char, length)| (char, slashes + length)),
        b'U' => return hex(rest, 1, 8).map(|(char, length)| (char, slashes + length)),
        b'u' if rest.get(1) == Some(&b'{') => {
            let digits = rest.get(2..)?.iter().take(7).position(|byte| *byte == b'}')?;
            return hex(rest, 2, digits).map(|(char, length)| (char, slashes + length + 1));
        }
        b'u' => {
            let high = number(rest.get(1..5)?)?;
            if !(0xD800..0xDC00).contains(&high) {
                return Some((char::from_u32(high)?, slashes + 5));
            }
            let second = rest.get(5..)?;
            let again = second.iter().take_while(|byte| **byte == b'\\').count();
            let low = number(
                second.get(again + 1..again + 5).filter(|_| second.get(again) == Some(&b'u'))?,
            )?;
            let code = 0x10000
                + ((high - 0xD800) << 10)
                + low.checked_sub(0xDC00).filter(|low| *low < 0x400)?;
            return Some((char::from_u32(code)?, slashes + 5 + again + 5));
        }
        _ => return None,
    };
    Some((char, slashes + 1))
}

fn hex(rest: &[u8], from: usize, digits: usize) -> Option<(char, usize)> {
    let code = number(rest.get(from..from + digits)?)?;
    Some((char::from_u32(code)?, from + digits))
}

fn number(digits: &[u8]) -> Option<u32> {
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}
