//! A text that comes in pieces. However it is cut, what comes out is the same.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::filter::{Filter, MASK};

/// Masks a stream of bytes. It holds back less than the longest string that is looked for.
pub struct Stream {
    filter: Arc<Filter>,
    held: Vec<u8>,
    found: BTreeSet<Arc<str>>,
}

impl Stream {
    /// Before the first piece.
    pub fn new(filter: Arc<Filter>) -> Stream {
        Stream { filter, held: Vec::new(), found: BTreeSet::new() }
    }

    /// Takes a piece, and gives out what can be decided by now.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        self.held.extend_from_slice(piece);
        let longest = self.filter.search.longest();
        // What begins before this is wholly here.
        let end = (self.held.len() + 1).saturating_sub(longest.max(1));
        self.give(end, out);
    }

    /// Gives out the rest, and the names of what was found.
    pub fn finish(mut self, out: &mut Vec<u8>) -> BTreeSet<Arc<str>> {
        self.give(self.held.len(), out);
        self.found
    }

    fn give(&mut self, end: usize, out: &mut Vec<u8>) {
        let mut done = 0;
        for hit in self.filter.hits(&self.held, end, &mut self.found) {
            out.extend_from_slice(&self.held[done..hit.start]);
            out.extend_from_slice(MASK.as_bytes());
            done = hit.end;
        }
        let end = end.max(done);
        out.extend_from_slice(&self.held[done..end]);
        self.held.drain(..end);
    }
}
