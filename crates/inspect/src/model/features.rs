//! What the model sees of a text: for each word, hashes of it, its neighbours, its pieces, and of the
//! concepts and families of words that it and the words before it stand for.

use std::{cell::Cell, ops::Range};

use super::{
    Concepts,
    lex::{Class, Lexeme, Lexer},
};

/// Rows of the table.
pub const BUCKETS: usize = 1 << 16;
/// Features of one token, at most.
pub(super) const MOST: usize = 26;
/// Of these, the most that are pieces of the word.
const MOST_PIECES: usize = 12;
/// Bytes of a word that count.
const LONGEST_WORD: usize = 24;

/// A word, or the end of a sentence.
pub struct Token<'a> {
    /// Its hashes.
    pub features: &'a [u32],
    /// Its bytes in the text.
    pub at: Range<usize>,
}

const END_OF_SENTENCE: u32 = 0x5EED;
const NUMBER: u32 = 0xD161;
/// The family of what stands at the beginning of a sentence.
const START: u16 = u16::MAX;
/// Words without a concept that may stand between two concepts.
const FARTHEST_APART: usize = 7;

/// What was read before a word.
struct Before {
    /// The last words, the nearest one last.
    words: [u32; 2],
    /// The last concepts of the sentence, and how many words without one came behind them.
    concepts: [u32; 2],
    apart: usize,
    /// The families of the last words, the nearest one last.
    families: [u16; 2],
}

/// Calls `each` with every token of a folded text.
pub fn tokens(text: &str, concepts: &Concepts, mut each: impl FnMut(Token<'_>)) {
    let bytes = text.as_bytes();
    let mut recent = Recent::take();
    let mut before =
        Before { words: [END_OF_SENTENCE; 2], concepts: [0; 2], apart: 0, families: [START; 2] };
    let mut features = [0_u32; MOST];
    for Lexeme { class, at } in Lexer::new(text) {
        let count = match class {
            Class::WORD => word_features(&bytes[at.clone()], concepts, &mut before, &mut features),
            Class::END => {
                if before.words[1] != END_OF_SENTENCE {
                    before.words = [before.words[1], END_OF_SENTENCE];
                    before.families = [before.families[1], START];
                }
                // What follows a colon belongs to what stands before it.
                if bytes[at.start] != b':' {
                    before.concepts = [0; 2];
                }
                continue;
            }
            // One mark for a run of them, and a feature for the sort of it.
            Class(sort) => {
                features[0] = mix(0x9E37, u32::from(sort));
                features[1] = mix(features[0], before.words[1]);
                2
            }
        };
        let count = recent.only_new(&mut features, count);
        each(Token { features: &features[..count], at });
    }
    recent.give_back();
}

/// Places that remember features; a power of two.
const RECENT: usize = 1024;
/// Tokens for which a feature is not told again.
const LONGEST_AGO: u32 = 20;

/// Features of the last tokens. A word that is repeated says no more than once: tables and code repeat.
struct Recent {
    /// A feature, and in the lower half the token that it was seen with.
    features: Box<[u64; RECENT]>,
    token: u32,
}

thread_local! {
    /// Used again, since to clear it takes longer than to read a short text.
    static RECENT_OF_LAST: Cell<Option<Recent>> = const { Cell::new(None) };
}

impl Recent {
    /// What was seen in other texts is long ago.
    fn take() -> Recent {
        let last = RECENT_OF_LAST.take().filter(|last| last.token < u32::MAX / 2);
        let mut recent =
            last.unwrap_or_else(|| Recent { features: Box::new([0; RECENT]), token: 0 });
        recent.token += LONGEST_AGO;
        recent
    }

    fn give_back(self) {
        RECENT_OF_LAST.set(Some(self));
    }

    /// Keeps what was not seen lately, in front; how many that are.
    #[inline]
    fn only_new(&mut self, features: &mut [u32; MOST], count: usize) -> usize {
        let mut kept = 0;
        for at in 0..count.min(MOST) {
            let feature = features[at];
            let known = &mut self.features[feature as usize % RECENT];
            let seen = u64::from(feature) << 32 | u64::from(self.token);
            // The same feature, a few tokens ago: no other two are so close.
            let is_new = seen.wrapping_sub(*known) >= u64::from(LONGEST_AGO);
            *known = if is_new { seen } else { *known };
            features[kept.min(at)] = feature;
            kept += usize::from(is_new);
        }
        self.token = self.token.wrapping_add(1);
        kept
    }
}

fn word_features(
    word: &[u8],
    concepts: &Concepts,
    before: &mut Before,
    features: &mut [u32; MOST],
) -> usize {
    let mut lower = [0_u8; LONGEST_WORD];
    let (mut hash, mut digits, mut length) = (HASH_OF_NOTHING, 0, 0);
    for (to, from) in lower.iter_mut().zip(word) {
        *to = LOWER[usize::from(*from)];
        hash = with(hash, *to);
        digits += usize::from(*to == b'0');
        length += 1;
    }
    let (lower, hash) = (&lower[..length], done(hash));
    let [second, first] = before.words;
    // Numbers differ without an end and say little.
    if digits * 2 >= length {
        features[0] = mix(first, NUMBER);
        before.words = [first, NUMBER];
        before.families = [before.families[1], 0];
        return 1;
    }
    features[0] = hash;
    features[1] = mix(first, hash);
    features[2] = mix(mix(second, first), hash);
    features[3] = mix(second ^ 0xA5A5, hash);
    let mut count = 4;
    // Pieces of four, so that forms of a word share something.
    if lower.len() > 4 {
        for (piece, feature) in lower.array_windows().take(MOST_PIECES).zip(&mut features[4..]) {
            *feature = mix(0xC0DE, u32::from_le_bytes(*piece));
            count += 1;
        }
    }
    let known = concepts.of(hash);
    count += concept_features(hash, known.concept, before, &mut features[count..]);
    count += family_features(known.family, before, &mut features[count..]);
    before.words = [first, hash];
    count
}

/// The word's family, alone and behind those of the words before it.
fn family_features(family: u16, before: &mut Before, features: &mut [u32]) -> usize {
    let [second, first] = before.families;
    before.families = [first, family];
    if family == 0 {
        return 0;
    }
    let [second, first, family] = [second, first, family].map(u32::from);
    features[0] = mix(0xFA31, family);
    let mut count = 1;
    if first != 0 {
        features[count] = mix(first << 16 ^ 0xFA32, family);
        count += 1;
    }
    if second != 0 {
        features[count] = mix(second << 16 ^ 0xFA33, family);
        count += 1;
        if first != 0 {
            features[count] = mix(second << 16 | first, family ^ 0xFA34_0000);
            count += 1;
        }
    }
    count
}

/// The word's concept, alone and behind the concepts before it, whatever words stand between.
fn concept_features(word: u32, concept: u8, before: &mut Before, features: &mut [u32]) -> usize {
    let [second, first] = before.concepts;
    let concept = match concept {
        0 => {
            features[0] = mix(first ^ 0xBEEF, word);
            before.apart += 1;
            if before.apart > FARTHEST_APART {
                (before.concepts, before.apart) = ([0; 2], 0);
            }
            return 1;
        }
        concept => 0x10000 + u32::from(concept),
    };
    features[0] = concept.wrapping_mul(0x9E37_79B1);
    features[1] = mix(first ^ 0xB16B, concept);
    features[2] = mix(mix(second, first), concept);
    features[3] = mix(second ^ 0x51, concept);
    features[4] = match before.words[1] {
        END_OF_SENTENCE => mix(0x57A7, concept),
        word => mix(word ^ 0xF00D, concept),
    };
    (before.concepts, before.apart) = ([first, concept], 0);
    5
}

/// The hash of a word as the features have it.
pub(crate) fn hash(word: &[u8]) -> u32 {
    let lower = word.iter().take(LONGEST_WORD).map(|byte| LOWER[usize::from(*byte)]);
    done(lower.fold(HASH_OF_NOTHING, with))
}

const HASH_OF_NOTHING: u32 = 0x811C_9DC5;

fn with(hash: u32, byte: u8) -> u32 {
    (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
}

fn done(hash: u32) -> u32 {
    hash ^ hash >> 15
}

fn mix(a: u32, b: u32) -> u32 {
    let mut mixed = (u64::from(a) << 32 | u64::from(b)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^= mixed >> 29;
    (mixed.wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 32) as u32
}

/// Small letters, and one digit for all.
const LOWER: [u8; 256] = {
    let mut lower = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        lower[byte] = match byte as u8 {
            b'0'..=b'9' => b'0',
            other => other.to_ascii_lowercase(),
        };
        byte += 1;
    }
    lower
};
