//! Looks for many byte strings at once, in jumps.
//!
//! An automaton reads every byte, one after the other: about 0.5 GB/s as soon as there are more strings than fit
//! into vector registers. Here, a table says for any three bytes how far the end of a match is away at least, so
//! that most bytes are never read (Wu and Manber's method). Where it says zero, the strings that begin there are tried.

use std::ops::Range;

use super::encodings::Form;

const SLOTS: usize = 1 << 15;
/// Of each string, so many bytes decide about jumps.
const MOST: usize = 32;

/// Many byte strings.
pub(super) struct Search {
    strings: Vec<Form>,
    /// How much of each string the table knows.
    window: usize,
    jumps: Box<[u8]>,
    /// For a slot whose jump is zero: the strings whose window ends with it, the longest first.
    ends: Box<[u32]>,
    lists: Vec<Vec<u32>>,
    longest: usize,
    /// The strings in their order.
    sorted: Vec<u32>,
    /// The slots of their first three bytes.
    starts: Box<[bool]>,
}

fn slot(bytes: [u8; 3]) -> usize {
    let [a, b, c] = bytes.map(usize::from);
    (a ^ (b << 4) ^ (c << 8)).wrapping_mul(0x9e5) & (SLOTS - 1)
}

impl Search {
    /// For these strings; none may be shorter than three bytes.
    pub fn new(strings: Vec<Form>) -> Search {
        let window = strings.iter().map(|string| string.len()).min().unwrap_or(3).min(MOST);
        let furthest = u8::try_from(window - 2).unwrap_or(u8::MAX);
        let mut jumps = vec![furthest; SLOTS].into_boxed_slice();
        let mut ends = vec![u32::MAX; SLOTS].into_boxed_slice();
        let mut lists: Vec<Vec<u32>> = Vec::new();
        for (index, string) in (0..).zip(&strings) {
            for (at, bytes) in string[..window].windows(3).enumerate() {
                let slot = slot([bytes[0], bytes[1], bytes[2]]);
                let jump = u8::try_from(window - 3 - at).unwrap_or(u8::MAX);
                jumps[slot] = jumps[slot].min(jump);
                if jump == 0 {
                    if ends[slot] == u32::MAX {
                        ends[slot] = u32::try_from(lists.len()).unwrap_or(u32::MAX);
                        lists.push(Vec::new());
                    }
                    lists[ends[slot] as usize].push(index);
                }
            }
        }
        for list in &mut lists {
            list.sort_by_key(|index| std::cmp::Reverse(strings[*index as usize].len()));
        }
        let longest = strings.iter().map(|string| string.len()).max().unwrap_or(0);
        let mut sorted: Vec<u32> = (0..).take(strings.len()).collect();
        sorted.sort_by(|one, other| strings[*one as usize].cmp(&strings[*other as usize]));
        let mut starts = vec![false; SLOTS].into_boxed_slice();
        strings.iter().for_each(|string| starts[slot([string[0], string[1], string[2]])] = true);
        Search { strings, window, jumps, ends, lists, longest, sorted, starts }
    }

    /// Where a match may begin that the text's end has cut off; the text's length if nowhere.
    pub fn open(&self, text: &[u8]) -> usize {
        let first = (text.len() + 1).saturating_sub(self.longest.max(1));
        let begins = |at: &usize| {
            let rest = &text[*at..];
            if let [a, b, c, ..] = rest
                && !self.starts[slot([*a, *b, *c])]
            {
                return false;
            }
            let string = |index: &u32| self.strings[*index as usize].as_slice();
            let next = self.sorted.partition_point(|index| string(index) <= rest);
            self.sorted.get(next).is_some_and(|index| string(index).starts_with(rest))
        };
        (first..text.len()).find(begins).unwrap_or(text.len())
    }

    /// The first match that begins in `range`, the longest of those that begin there: where, and which string.
    pub fn find(&self, text: &[u8], range: Range<usize>) -> Option<(Range<usize>, usize)> {
        if self.strings.is_empty() {
            return None;
        }
        // The place of a window's last byte.
        let mut at = range.start + self.window - 1;
        while at < text.len() {
            let slot = slot([text[at - 2], text[at - 1], text[at]]);
            let jump = self.jumps[slot];
            if jump > 0 {
                at += usize::from(jump);
                continue;
            }
            let start = at + 1 - self.window;
            if start >= range.end {
                return None;
            }
            let list =
                self.lists.get(self.ends[slot] as usize).map(Vec::as_slice).unwrap_or_default();
            for index in list {
                let string = &self.strings[*index as usize];
                if text[start..].starts_with(string.as_slice()) {
                    return Some((start..start + string.len(), *index as usize));
                }
            }
            at += 1;
        }
        None
    }
}
