//! Many literals in one pass over a text.
//!
//! An automaton waits for memory at each byte, since each step needs the one before. Here every place of the
//! text is looked at by itself: three letters are hashed, and one bit says whether a literal has these three. Of
//! each literal those three are taken that are rarest in texts, so that few places need a second look.

use std::ops::Range;

/// Bytes that are hashed together.
pub(crate) const PIECE: usize = 3;
/// Bits of a hash, and words of a bit for each.
const BITS: u32 = 16;
const WORDS: usize = 1 << (BITS - 6);

/// Literals, ready to be found, whatever the case of their letters.
pub(crate) struct Literals {
    literals: Vec<Box<[u8]>>,
    /// For each hash whether a literal has a piece of it.
    known: Box<[u64; WORDS]>,
    /// In order of hashes.
    pieces: Vec<Piece>,
    /// For each hash where its pieces begin, and where the last ones end.
    starts: Vec<u32>,
}

/// Three letters of a literal.
struct Piece {
    /// The three and what follows, where that is one of the literal's, in small letters.
    letters: u32,
    /// Of `letters`, what is known.
    mask: u32,
    /// Whose they are, and where they begin in it.
    literal: usize,
    offset: usize,
}

impl Literals {
    /// Each literal is known by its place in `literals`. One of less than [`PIECE`] bytes is never found.
    pub(crate) fn new(literals: &[&str]) -> Literals {
        let mut pieces = Vec::with_capacity(literals.len());
        for (number, literal) in literals.iter().enumerate() {
            let bytes = literal.as_bytes();
            let places = bytes.windows(PIECE).enumerate();
            if let Some((offset, &[a, b, c])) = places.min_by_key(|(_, piece)| frequency(piece)) {
                let next = bytes.get(offset + PIECE).copied();
                let mask = if next.is_some() { u32::MAX } else { u32::MAX >> 8 };
                let four = [a, b, c, next.unwrap_or(0)];
                let letters = folded(four) & mask;
                pieces.push((hash(four), Piece { letters, mask, literal: number, offset }));
            }
        }
        pieces.sort_unstable_by_key(|(hash, piece)| (*hash, piece.literal));
        let mut known = Box::new([0_u64; WORDS]);
        let mut starts = vec![0_u32; (1 << BITS) + 1];
        for (hash, ..) in &pieces {
            known[hash / 64] |= 1 << (hash % 64);
            starts[hash + 1] += 1;
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        let literals = literals.iter().map(|literal| literal.as_bytes().into()).collect();
        let pieces = pieces.into_iter().map(|(_, piece)| piece).collect();
        Literals { literals, known, pieces, starts }
    }

    /// Calls `each` with the number of a literal and where it stands, in no order.
    pub(crate) fn find(&self, text: &str, mut each: impl FnMut(usize, Range<usize>)) {
        let bytes = text.as_bytes();
        let mut look = |at: usize, four: [u8; PIECE + 1]| {
            let hash = hash(four);
            if self.known[hash / 64 % WORDS] >> (hash % 64) & 1 == 1 {
                self.look(bytes, at, four, hash, &mut each);
            }
        };
        for (at, four) in bytes.array_windows().enumerate() {
            look(at, *four);
        }
        if let Some(&[a, b, c]) = bytes.last_chunk() {
            look(bytes.len() - PIECE, [a, b, c, 0]);
        }
    }

    /// The literals with a piece of this hash, one of which may begin at `at`.
    #[cold]
    fn look(
        &self,
        bytes: &[u8],
        at: usize,
        four: [u8; PIECE + 1],
        hash: usize,
        each: &mut impl FnMut(usize, Range<usize>),
    ) {
        let four = folded(four);
        let [first, end] = [self.starts[hash], self.starts[hash + 1]].map(|at| at as usize);
        for piece in &self.pieces[first..end] {
            if four & piece.mask != piece.letters {
                continue;
            }
            let literal = &self.literals[piece.literal];
            let Some(start) = at.checked_sub(piece.offset) else { continue };
            let range = start..start + literal.len();
            if bytes.get(range.clone()).is_some_and(|part| part.eq_ignore_ascii_case(literal)) {
                each(piece.literal, range);
            }
        }
    }
}

/// Small letters; other signs change, too, but the same way each time.
fn folded(four: [u8; PIECE + 1]) -> u32 {
    u32::from_le_bytes(four) | 0x2020_2020
}

/// Of the first three bytes, the same for both cases of a letter; other signs may share one. Below `1 << BITS`.
fn hash(four: [u8; PIECE + 1]) -> usize {
    // The last byte goes away at the left end.
    let three = folded(four) << 8;
    (three.wrapping_mul(0x9E37_79B1) >> (32 - BITS)) as usize
}

/// About how often the bytes stand in texts, as a sum of logarithms.
fn frequency(piece: &[u8]) -> u32 {
    let one = |byte: &u8| match byte.to_ascii_lowercase() {
        b' ' => 12,
        b'e' => 11,
        b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 10,
        b'l' | b'c' | b'd' | b'u' | b'm' | b'p' | b'h' => 8,
        b'f' | b'g' | b'b' | b'y' | b'w' | b'v' => 6,
        b'k' | b'.' | b'-' | b'_' | b'"' | b'/' | b'0'..=b'9' => 5,
        b'x' | b'j' | b'q' | b'z' => 3,
        _ => 2,
    };
    piece.iter().map(one).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(literals: &[&str], text: &str) -> Vec<(usize, Range<usize>)> {
        let mut found = Vec::new();
        Literals::new(literals).find(text, |number, at| found.push((number, at)));
        found.sort_unstable_by_key(|(number, at)| (at.start, at.end, *number));
        found
    }

    #[test]
    fn literals_are_found_in_any_case_and_where_they_overlap() {
        let literals = ["password", "word", "pass", "cc ", "指令"];
        let text = "PassWord 指令 cc ";
        let at = |word: &str| text.find(word).unwrap();
        assert_eq!(
            found(&literals, text),
            [
                (2, 0..4),
                (0, 0..8),
                (1, 4..8),
                (4, at("指令")..at("指令") + 6),
                (3, at("cc ")..text.len()),
            ]
        );
        assert!(found(&literals, "").is_empty());
    }

    proptest! {
        #[test]
        fn it_finds_what_a_search_for_each_finds(
            literals in prop::collection::vec("[abA@`. é]{2,6}", 1..8),
            text in "[abAB@`. éÉ]{0,60}",
        ) {
            let literals: Vec<&str> = literals.iter().map(String::as_str).collect();
            let mut expected = Vec::new();
            for (number, literal) in literals.iter().enumerate() {
                for start in (0..text.len()).filter(|_| literal.len() >= PIECE) {
                    let range = start..start + literal.len();
                    let part = text.as_bytes().get(range.clone());
                    if part.is_some_and(|part| part.eq_ignore_ascii_case(literal.as_bytes())) {
                        expected.push((number, range));
                    }
                }
            }
            expected.sort_unstable_by_key(|(number, at)| (at.start, at.end, *number));
            prop_assert_eq!(found(&literals, &text), expected);
        }
    }
}
