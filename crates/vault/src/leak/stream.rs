//! A text that comes in pieces. However it is cut, what comes out is the same.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::filter::Filter;

/// Masks a stream of bytes. It holds back only what may be the beginning of a value.
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
        let done = self.filter.mask_start(&self.held, &mut self.found, out);
        self.held.drain(..done);
    }

    /// The names of what was found up to now.
    pub fn found(&self) -> &BTreeSet<Arc<str>> {
        &self.found
    }

    /// Whether something waits for what follows.
    pub fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Gives out the rest.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.filter.mask_end(&self.held, &mut self.found, out);
        self.held.clear();
    }
}
