//! The events of a stream, as the bytes that they are.

use bytes::{Bytes, BytesMut};
use mcp::{SseEvent, SseReader};

/// The longest event that is looked into. A longer one passes as it comes.
const LONGEST: usize = 1 << 20;

/// Cuts a stream behind each event. Whatever the pieces that it comes in, all its bytes come out, in their order.
#[derive(Default)]
pub(super) struct Events {
    held: BytesMut,
    /// Up to here it was looked at.
    at: usize,
    /// Whether something stands in the line that is read.
    in_line: bool,
    after_cr: bool,
    /// Whether the beginning of this event is gone already.
    begun: bool,
}

/// What was cut off.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// A whole event, and what it says, if it says anything.
    Event(Bytes, Option<SseEvent>),
    /// A part of an event that is too long, or of the stream's end.
    Piece(Bytes),
}

impl Events {
    pub fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// What can be cut off by now.
    pub fn next(&mut self) -> Option<Cut> {
        if self.find_end() {
            let raw = self.held.split_to(std::mem::take(&mut self.at)).freeze();
            return Some(match std::mem::take(&mut self.begun) {
                true => Cut::Piece(raw),
                false => read(raw),
            });
        }
        let too_long = self.held.len() > LONGEST || (self.begun && !self.held.is_empty());
        too_long.then(|| {
            self.begun = true;
            Cut::Piece(self.rest())
        })
    }

    /// What is left when nothing follows: an event that no empty line ended, which some clients read all the same.
    pub fn last(&mut self) -> Option<Cut> {
        let raw = self.rest();
        match self.begun {
            _ if raw.is_empty() => None,
            true => Some(Cut::Piece(raw)),
            false => Some(read(raw)),
        }
    }

    fn rest(&mut self) -> Bytes {
        self.at = 0;
        self.held.split().freeze()
    }

    /// Moves behind the next empty line (WHATWG HTML §9.2.6), if it is there.
    fn find_end(&mut self) -> bool {
        while let Some(byte) = self.held.get(self.at).copied() {
            if !matches!(byte, b'\r' | b'\n') {
                let rest = &self.held[self.at..];
                self.at += memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
                (self.in_line, self.after_cr) = (true, false);
                continue;
            }
            self.at += 1;
            let belongs = byte == b'\n' && self.after_cr;
            self.after_cr = byte == b'\r';
            if belongs {
                continue;
            }
            if !std::mem::take(&mut self.in_line) {
                // The second half of this line's end, where it is here already.
                if self.after_cr && self.held.get(self.at) == Some(&b'\n') {
                    (self.at, self.after_cr) = (self.at + 1, false);
                }
                return true;
            }
        }
        false
    }
}

fn read(raw: Bytes) -> Cut {
    let mut reader = SseReader::new(LONGEST);
    reader.push(raw.clone());
    reader.push(Bytes::from_static(b"\n\n"));
    let event = reader.next_event().ok().flatten();
    Cut::Event(raw, event)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(stream: &[u8], size: usize) -> (Vec<String>, Vec<u8>) {
        let (mut events, mut said, mut all) = (Events::default(), Vec::new(), Vec::new());
        for piece in stream.chunks(size) {
            events.push(piece);
            while let Some(cut) = events.next() {
                let (Cut::Event(raw, _) | Cut::Piece(raw)) = &cut;
                all.extend_from_slice(raw);
                if let Cut::Event(_, Some(event)) = &cut {
                    said.push(String::from_utf8(event.data.to_vec()).unwrap());
                }
            }
        }
        if let Some(Cut::Event(raw, Some(event))) = events.last() {
            all.extend_from_slice(&raw);
            said.push(String::from_utf8(event.data.to_vec()).unwrap());
        }
        (said, all)
    }

    #[test]
    fn every_byte_comes_out_and_every_event_is_read() {
        for end in ["\n", "\r\n", "\r"] {
            let stream = "event: a\ndata: one\n\n: still here\n\ndata: two\ndata: lines\n\n\ndata: [DONE]\n\ndata: cut off"
                .replace('\n', end);
            for size in [1, 2, 3, 7, 4096] {
                let (said, all) = cut(stream.as_bytes(), size);
                assert_eq!(said, ["one", "two\nlines", "[DONE]", "cut off"], "{end:?} {size}");
                assert_eq!(all, stream.as_bytes(), "{end:?} {size}");
            }
        }
    }

    #[test]
    fn what_is_too_long_passes_as_it_comes() {
        let long = format!("data: {}\n\n", "x".repeat(3 * LONGEST));
        let stream = format!("data: one\n\n{long}data: two\n\n");
        let (said, all) = cut(stream.as_bytes(), 64 << 10);
        assert_eq!((said, all), (vec!["one".into(), "two".into()], stream.clone().into_bytes()));
        let mut events = Events::default();
        for piece in long.as_bytes().chunks(64 << 10) {
            events.push(piece);
            while events.next().is_some() {}
            assert!(events.held.len() <= LONGEST);
        }
    }
}
