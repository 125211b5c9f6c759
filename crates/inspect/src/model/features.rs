//! What the model sees of a text: for each word, hashes of it, its neighbours and its pieces.

use std::ops::Range;

/// Rows of the table.
pub const BUCKETS: usize = 1 << 16;
/// Features of one token, at most.
const MOST: usize = 16;
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

/// Calls `each` with every token of a folded text.
pub fn tokens(text: &str, mut each: impl FnMut(Token<'_>)) {
    let bytes = text.as_bytes();
    let mut before = [END_OF_SENTENCE, END_OF_SENTENCE];
    let mut features = [0_u32; MOST];
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let class = CLASSES[usize::from(byte)];
        if class == SKIP {
            at += 1;
            continue;
        }
        if class != WORD {
            let start = at;
            at += 1;
            // One mark for a run of them, and a feature for the sort of it.
            while bytes.get(at).is_some_and(|next| CLASSES[usize::from(*next)] == class) {
                at += 1;
            }
            let hash = mix(0x9E37, u32::from(class));
            if is_end(class) {
                if before[1] == END_OF_SENTENCE {
                    continue;
                }
                before = [before[1], END_OF_SENTENCE];
                continue;
            }
            features[0] = hash;
            features[1] = mix(hash, before[1]);
            each(Token { features: &features[..2], at: start..at });
            continue;
        }
        let start = at;
        while bytes.get(at).is_some_and(|next| CLASSES[usize::from(*next)] == WORD) {
            at += 1;
        }
        let word = &bytes[start..at];
        let count = word_features(word, &mut before, &mut features);
        each(Token { features: &features[..count], at: start..at });
    }
}

fn word_features(word: &[u8], before: &mut [u32; 2], features: &mut [u32; MOST]) -> usize {
    let word = &word[..word.len().min(LONGEST_WORD)];
    let mut lower = [0_u8; LONGEST_WORD];
    for (to, from) in lower.iter_mut().zip(word) {
        *to = LOWER[usize::from(*from)];
    }
    let lower = &lower[..word.len()];
    let hash = hash(lower);
    features[0] = hash;
    features[1] = mix(before[1], hash);
    features[2] = mix(mix(before[0], before[1]), hash);
    features[3] = mix(before[0] ^ 0xA5A5, hash);
    let mut count = 4;
    // Pieces of four, so that forms of a word share something.
    if lower.len() > 4 {
        for piece in lower.windows(4).take(MOST - count) {
            features[count] =
                mix(0xC0DE, u32::from_le_bytes([piece[0], piece[1], piece[2], piece[3]]));
            count += 1;
        }
    }
    *before = [before[1], hash];
    count
}

fn hash(word: &[u8]) -> u32 {
    let mut hash = 0x811C_9DC5_u32;
    for byte in word {
        hash = (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    }
    hash ^ hash >> 15
}

fn mix(a: u32, b: u32) -> u32 {
    let mut mixed = (u64::from(a) << 32 | u64::from(b)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^= mixed >> 29;
    (mixed.wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 32) as u32
}

const SKIP: u8 = 0;
const WORD: u8 = 1;

/// Sentences end here.
fn is_end(class: u8) -> bool {
    class == 2
}

/// 0 nothing, 1 a letter or digit, 2 the end of a sentence, others the sorts of marks.
const CLASSES: [u8; 256] = {
    let mut classes = [SKIP; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | 0x80..=0xff | b'_' => WORD,
            b'.' | b'\n' | b'!' | b'?' | b':' | b'"' | b';' => 2,
            b'<' | b'>' => 3,
            b'{' | b'}' | b'[' | b']' => 4,
            b'`' => 5,
            b'/' | b'\\' => 6,
            b'@' => 7,
            b'#' | b'*' | b'=' => 8,
            b'$' | b'|' => 9,
            _ => SKIP,
        };
        byte += 1;
    }
    classes
};

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
