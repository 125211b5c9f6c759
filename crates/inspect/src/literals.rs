//! Many literals in one pass over a text.
//!
//! An automaton waits for memory at each byte, since each step needs the one before. Here every second place of
//! the text is looked at by itself: three letters are hashed, and one bit says whether a literal has these three.
//! Of each literal two such pieces are known, one behind the other, so that one of them stands at an even place
//! wherever the literal begins: those two that are rarest in texts, so that few places need a second look.

use std::ops::Range;

/// Bytes that are hashed together.
pub(crate) const PIECE: usize = 3;
/// Places that are looked at: each of these.
const STEP: usize = 2;
/// Bits of a hash, and words of a bit for each.
const BITS: u32 = 17;
const WORD: usize = u32::BITS as usize;
const WORDS: usize = (1 << BITS) / WORD;

/// Literals, ready to be found, whatever the case of their letters.
pub(crate) struct Literals {
    literals: Vec<Box<[u8]>>,
    /// For each hash whether a literal has a piece of it.
    known: Box<[u32; WORDS]>,
    /// In order of hashes.
    pieces: Vec<Piece>,
    /// For each word of hashes where its pieces begin, and where the last ones end.
    starts: Box<[u32; WORDS + 1]>,
}

/// Three letters of a literal, the first of which may be the one before it.
struct Piece {
    /// In small letters.
    letters: u32,
    /// Whose they are.
    literal: u32,
    /// Where they begin in it, from 1; 0 is the byte before it.
    place: u32,
}

impl Literals {
    /// Each literal is known by its place in `literals`. One of less than [`PIECE`] bytes is never found.
    pub(crate) fn new(literals: &[&str]) -> Literals {
        let mut pieces = Vec::with_capacity(STEP * literals.len());
        for (literal, text) in (0..).zip(literals) {
            let mut add = |place, [a, b, c]: [u8; PIECE]| {
                let letters = folded(u32::from_le_bytes([a, b, c, 0]));
                pieces.push((hash(letters), Piece { letters, literal, place }));
            };
            match text.as_bytes() {
                // There is only one piece in it: beside it, whatever byte comes before it counts.
                &[a, b, c] => {
                    add(1, [a, b, c]);
                    (0..=u8::MAX)
                        .filter(|byte| byte & CASE != 0)
                        .for_each(|any| add(0, [any, a, b]));
                }
                bytes => {
                    let fours = (1..).zip(bytes.array_windows::<4>());
                    let both = |[a, b, c, d]: &[u8; 4]| {
                        let pieces = [frequency(&[*a, *b, *c]), frequency(&[*b, *c, *d])];
                        (pieces[0].max(pieces[1]), pieces[0] + pieces[1])
                    };
                    if let Some((place, &[a, b, c, d])) = fours.min_by_key(|&(_, four)| both(four))
                    {
                        add(place, [a, b, c]);
                        add(place + 1, [b, c, d]);
                    }
                }
            }
        }
        pieces.sort_unstable_by_key(|(hash, piece)| (*hash, piece.literal));
        let mut known = Box::new([0_u32; WORDS]);
        let mut starts = Box::new([0_u32; WORDS + 1]);
        for (hash, ..) in &pieces {
            known[hash / WORD] |= 1 << (hash % WORD);
            starts[hash / WORD + 1] += 1;
        }
        let mut sum = 0;
        for start in &mut *starts {
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
        let (blocks, _) = bytes.as_chunks::<BLOCK>();
        for (number, [block, next]) in blocks.array_windows::<2>().enumerate() {
            let first = u64::from_le_bytes(*block);
            let last = first >> 48 | u64::from_le_bytes(*next) << 16;
            let places = [first, first >> 16, first >> 32, last].map(|three| folded(three as u32));
            // One branch for all of them: nearly always none is known.
            let known = places.map(|letters| self.knows(hash(letters)));
            if known[0] | known[1] | known[2] | known[3] {
                for (place, letters) in places.into_iter().enumerate().filter(|(at, _)| known[*at])
                {
                    self.look(bytes, number * BLOCK + place * STEP, letters, &mut each);
                }
            }
        }
        let rest = blocks.len().saturating_sub(1) * BLOCK;
        for (place, three) in bytes[rest..].array_windows::<PIECE>().enumerate().step_by(STEP) {
            let [a, b, c] = *three;
            let letters = folded(u32::from_le_bytes([a, b, c, 0]));
            if self.knows(hash(letters)) {
                self.look(bytes, rest + place, letters, &mut each);
            }
        }
    }

    fn knows(&self, hash: usize) -> bool {
        self.known[hash / WORD % WORDS] >> (hash % WORD) & 1 == 1
    }

    /// The literals with this piece, which stands at `at`.
    #[cold]
    fn look(
        &self,
        bytes: &[u8],
        at: usize,
        letters: u32,
        each: &mut impl FnMut(usize, Range<usize>),
    ) {
        let word = hash(letters) / WORD % WORDS;
        let [first, end] = [self.starts[word], self.starts[word + 1]].map(|at| at as usize);
        for piece in self.pieces[first..end].iter().filter(|piece| piece.letters == letters) {
            let literal = &self.literals[piece.literal as usize];
            let Some(start) = (at + 1).checked_sub(piece.place as usize) else { continue };
            let range = start..start + literal.len();
            if bytes.get(range.clone()).is_some_and(|part| part.eq_ignore_ascii_case(literal)) {
                each(piece.literal as usize, range);
            }
        }
    }
}

/// Bytes that are looked at by one step of the loop.
const BLOCK: usize = 8;
const _: () = assert!(BLOCK == 4 * STEP);

/// The bit that large letters lack.
const CASE: u8 = 0x20;

/// The lowest three bytes in small letters; other signs change, too, but the same way each time.
fn folded(letters: u32) -> u32 {
    letters & 0xff_ffff | u32::from_le_bytes([CASE, CASE, CASE, 0])
}

/// The same for both cases of a letter; other signs may share one. Below `1 << BITS`.
fn hash(letters: u32) -> usize {
    (letters.wrapping_mul(0x9E37_79B1) >> (32 - BITS)) as usize
}

/// About how often a piece stands in texts: the rarer, the smaller.
fn frequency(piece: &[u8; PIECE]) -> usize {
    let piece = piece.map(|byte| byte.to_ascii_lowercase());
    if let Some(rank) = COMMON.as_bytes().as_chunks().0.iter().position(|common| *common == piece) {
        return 2 * COMMON.len() - rank;
    }
    // By logarithms.
    let one = |byte: &u8| match byte {
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

/// The pieces that benign results have most, from the most frequent on.
const COMMON: &str = concat!(
    "n  ion thenttiotheinghe ation er and an coed con innd ng  reameext tontecomstatexes atean ",
    "ontseronsin foror to esttennamres mas  al is tate  typ stypea   cater prageoneth  of sent ",
    "st ess fomenersre  a s aver chof  yoprone  dee atim noailnot isyouchaimeallwore t tenceear",
    "e cted wiberdatuseerrmarinteta mo beassle ullectry tratorstrord parrometen ran date ites t",
    "at inese mairatrorourctias ityartreanal null ist dily ts  me dolinland  iseotace iveangith",
    "y  peralspancesicaannounance sort ha fiacttesdermatt  tinr  ainturnulnonhttttpillgenareson",
    "mand t ar po laprirchodeanteran t trnts lithicanileplens inaidech mbemesdis frher oncature",
    "itihis nearcwittpsstefalove usge  althon ae iampaseoreparuesmerou ardhaniceia out wet arom",
);

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
