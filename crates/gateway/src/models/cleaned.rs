//! A model's stream without the secrets that are known, and what it says of its tokens.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    events::{Cut, Events},
    spelled::Spelled,
    usage::Meter,
};
use crate::leak;

/// Cleans a stream as it comes: first its bytes, whatever they are, then the texts that its events spell.
pub(super) struct Cleaned {
    bytes: vault::leak::Stream,
    events: Events,
    spelled: Spelled,
    pub meter: Meter,
}

impl Cleaned {
    pub fn new() -> Cleaned {
        let filter = leak::filter();
        Cleaned {
            bytes: vault::leak::Stream::new(filter.clone()),
            events: Events::default(),
            spelled: Spelled::new(filter),
            meter: Meter::default(),
        }
    }

    /// Takes a piece, and gives out what can be decided by now.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let mut clean = Vec::with_capacity(piece.len());
        self.bytes.push(piece, &mut clean);
        self.take(&clean, out);
    }

    /// Gives out the rest.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let mut clean = Vec::new();
        self.bytes.finish(&mut clean);
        self.take(&clean, out);
        let last = self.events.last();
        let cut_off = last.is_some();
        last.into_iter().for_each(|cut| self.pass(cut, out));
        let mut rest = Vec::new();
        self.spelled.finish(&mut rest);
        if cut_off && !rest.is_empty() {
            out.extend_from_slice(b"\n\n");
        }
        out.extend_from_slice(&rest);
    }

    /// The names of what was found up to now.
    pub fn found(&self) -> BTreeSet<Arc<str>> {
        self.bytes.found() | self.spelled.found()
    }

    fn take(&mut self, clean: &[u8], out: &mut Vec<u8>) {
        self.events.push(clean);
        while let Some(cut) = self.events.next() {
            self.pass(cut, out);
        }
    }

    fn pass(&mut self, cut: Cut, out: &mut Vec<u8>) {
        match cut {
            Cut::Event(raw, Some(event)) => {
                self.meter.event(&event.data);
                self.spelled.event(&raw, &event, out);
            }
            Cut::Event(raw, None) | Cut::Piece(raw) => out.extend_from_slice(&raw),
        }
    }
}
