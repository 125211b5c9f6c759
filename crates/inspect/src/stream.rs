//! Texts that are longer than what is read at once.

use crate::{Finding, Scanner, Surface};

/// How much is read at once, and how far a finding may reach into what follows.
const BLOCK: usize = 64 << 10;
const OVERLAP: usize = 4 << 10;
/// From here on a text is read in blocks: the last character of an overlap is whole.
const LONG: usize = BLOCK + OVERLAP + 4;

/// What is found in a text that is there as a whole, while `go_on` says so, and whether that is all of it.
pub(crate) fn scan_whole(
    scanner: &Scanner,
    surface: Surface,
    text: &str,
    mut go_on: impl FnMut() -> bool,
) -> (Vec<Finding>, bool) {
    let (mut found, mut from) = (Vec::new(), 0);
    while text.len() - from >= LONG {
        from += first_block(scanner, surface, &text[from..], from, &mut found);
        if !go_on() {
            return (found, false);
        }
    }
    last_block(scanner, surface, &text[from..], from, &mut found);
    (found, true)
}

/// What is found in the first block of a long text that begins at `from`, and where the next block begins. Texts
/// are cut where they say, not where somebody cut them to pieces.
fn first_block(
    scanner: &Scanner,
    surface: Surface,
    text: &str,
    from: usize,
    found: &mut Vec<Finding>,
) -> usize {
    let cut = text.floor_char_boundary(BLOCK);
    let block = scanner.block(surface, &text[..text.floor_char_boundary(BLOCK + OVERLAP)]);
    let whole = block.into_iter().filter(|finding| finding.at.start < cut);
    found.extend(whole.map(|finding| shifted(finding, from)));
    cut
}

fn last_block(
    scanner: &Scanner,
    surface: Surface,
    text: &str,
    from: usize,
    found: &mut Vec<Finding>,
) {
    let block = scanner.block(surface, text).into_iter();
    found.extend(block.map(|finding| shifted(finding, from)));
}

fn shifted(mut finding: Finding, by: usize) -> Finding {
    finding.at = finding.at.start + by..finding.at.end + by;
    finding
}

/// A text that comes in pieces; memory is bounded by a block.
pub struct Stream<'s> {
    scanner: &'s Scanner,
    surface: Surface,
    held: String,
    /// Where `held` begins in the whole text.
    from: usize,
}

impl<'s> Stream<'s> {
    pub(crate) fn new(scanner: &'s Scanner, surface: Surface) -> Stream<'s> {
        Stream { scanner, surface, held: String::new(), from: 0 }
    }

    /// Takes the next piece; what is found by now.
    pub fn push(&mut self, piece: &str) -> Vec<Finding> {
        let mut found = Vec::new();
        let mut rest = piece;
        // Block by block, so that a large piece is never copied whole.
        while !rest.is_empty() {
            let room = LONG.saturating_sub(self.held.len()).max(1);
            let take = rest.ceil_char_boundary(room.min(rest.len()));
            self.held.push_str(&rest[..take]);
            rest = &rest[take..];
            if self.held.len() >= LONG {
                let held = &self.held;
                let cut = first_block(self.scanner, self.surface, held, self.from, &mut found);
                self.held.drain(..cut);
                self.from += cut;
            }
        }
        found
    }

    /// What is found in the rest.
    pub fn finish(self) -> Vec<Finding> {
        let mut found = Vec::new();
        last_block(self.scanner, self.surface, &self.held, self.from, &mut found);
        found
    }
}
