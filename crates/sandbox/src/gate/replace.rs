//! From secrets back to placeholders in what a host answers, also where a piece ends within one.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use aho_corasick::{AhoCorasick, MatchKind};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame, SizeHint};

use super::placeholder::Pair;

/// Finds the real texts of some pairs.
pub(super) struct Replacer {
    automaton: AhoCorasick,
    pairs: Vec<Pair>,
}

impl Replacer {
    /// `None` when there is nothing to look for.
    pub fn new(pairs: Vec<Pair>) -> Option<Replacer> {
        if pairs.is_empty() {
            return None;
        }
        let patterns = pairs.iter().map(|pair| pair.real.as_slice());
        let automaton =
            AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(patterns).ok()?;
        Some(Replacer { automaton, pairs })
    }

    /// Whether lengths stay as they are, whatever is found.
    pub fn keeps_lengths(&self) -> bool {
        self.pairs.iter().all(|pair| pair.real.len() == pair.instead.len())
    }

    /// Replaces in the values of headers or trailers.
    pub fn headers(&self, headers: &mut HeaderMap) {
        for value in headers.values_mut() {
            if self.automaton.is_match(value.as_bytes()) {
                let mut text = Vec::with_capacity(value.len());
                let end = self.replace(value.as_bytes(), &mut text);
                text.extend_from_slice(&value.as_bytes()[end..]);
                // A placeholder has no characters that a header can't carry.
                *value = HeaderValue::from_bytes(&text)
                    .unwrap_or_else(|_| HeaderValue::from_static("removed"));
            }
        }
    }

    /// Writes `text` up to the end of the last match.
    fn replace(&self, text: &[u8], out: &mut Vec<u8>) -> usize {
        let mut end = 0;
        for found in self.automaton.find_iter(text) {
            out.extend_from_slice(&text[end..found.start()]);
            out.extend_from_slice(&self.pairs[found.pattern()].instead);
            end = found.end();
        }
        end
    }

    /// How much of the end could be the beginning of a secret.
    fn undecided(&self, text: &[u8]) -> usize {
        let begins = |pair: &Pair| {
            let longest = (pair.real.len() - 1).min(text.len());
            (1..=longest).rev().find(|&length| text.ends_with(&pair.real[..length]))
        };
        self.pairs.iter().filter_map(begins).max().unwrap_or(0)
    }
}

/// The replacing of one stream. It holds back less than the longest secret.
pub(super) struct Stream {
    replacer: Arc<Replacer>,
    held: Vec<u8>,
}

impl Stream {
    pub fn new(replacer: Arc<Replacer>) -> Stream {
        Stream { replacer, held: Vec::new() }
    }

    /// What of the text so far is decided.
    pub fn push(&mut self, piece: Bytes) -> Bytes {
        let replacer = &self.replacer;
        let held = !self.held.is_empty();
        let whole = if held { Bytes::from([self.held.as_slice(), &piece].concat()) } else { piece };
        let mut out = Vec::new();
        let end = replacer.replace(&whole, &mut out);
        let decided = whole.len() - replacer.undecided(&whole[end..]);
        self.held.clear();
        self.held.extend_from_slice(&whole[decided..]);
        if end == 0 {
            return whole.slice(..decided);
        }
        out.extend_from_slice(&whole[end..decided]);
        out.into()
    }

    /// How much is held back.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// What was held back, at the end.
    pub fn finish(&mut self) -> Bytes {
        std::mem::take(&mut self.held).into()
    }
}

/// A body without secrets.
pub(super) struct Replaced<B> {
    body: B,
    stream: Stream,
    next: Option<Frame<Bytes>>,
    ended: bool,
}

impl<B> Replaced<B> {
    pub fn new(body: B, replacer: Arc<Replacer>) -> Replaced<B> {
        Replaced { body, stream: Stream::new(replacer), next: None, ended: false }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Replaced<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        loop {
            if let Some(frame) = self.next.take() {
                return Poll::Ready(Some(Ok(frame)));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        let data = self.stream.push(data);
                        if !data.is_empty() {
                            return Poll::Ready(Some(Ok(Frame::data(data))));
                        }
                    }
                    Err(frame) => {
                        if let Ok(mut trailers) = frame.into_trailers() {
                            self.stream.replacer.headers(&mut trailers);
                            self.next = Some(Frame::trailers(trailers));
                        }
                        let rest = self.stream.finish();
                        if !rest.is_empty() {
                            return Poll::Ready(Some(Ok(Frame::data(rest))));
                        }
                    }
                },
                None => {
                    self.ended = true;
                    let rest = self.stream.finish();
                    if !rest.is_empty() {
                        self.next = Some(Frame::data(rest));
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.next.is_none() && self.stream.held.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.stream.replacer.keeps_lengths() {
            self.body.size_hint()
        } else {
            SizeHint::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use zeroize::Zeroizing;

    fn replacer(pairs: &[(&str, &str)]) -> Arc<Replacer> {
        let pair = |(real, instead): &(&str, &str)| Pair {
            real: Zeroizing::new(real.as_bytes().to_vec()),
            instead: instead.as_bytes().to_vec(),
        };
        Arc::new(Replacer::new(pairs.iter().map(pair).collect()).unwrap())
    }

    fn run(replacer: &Arc<Replacer>, pieces: &[&[u8]]) -> Vec<u8> {
        let mut stream = Stream::new(replacer.clone());
        let mut out = Vec::new();
        for piece in pieces {
            out.extend_from_slice(&stream.push(Bytes::copy_from_slice(piece)));
        }
        out.extend_from_slice(&stream.finish());
        out
    }

    #[test]
    fn what_can_be_decided_is_not_held_back() {
        let mut stream = Stream::new(replacer(&[("secret-key", "X")]));
        assert_eq!(stream.push("data: 1\n\n".into()), "data: 1\n\n");
        assert_eq!(stream.push("data: sec".into()), "data: ");
        assert_eq!(stream.push("ond".into()), "second");
        assert_eq!(stream.push("secret-k".into()), "");
        assert_eq!(stream.push("ey!".into()), "X!");
        assert_eq!(stream.push("secret-kex".into()), "secret-kex");
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            words in prop::collection::vec(prop::sample::select(vec!["abab", "ab", "b", "aba", "c", "abac"]), 0..40),
            cuts in prop::collection::vec(0_usize..160, 0..12),
        ) {
            let replacer = replacer(&[("ababac", "1"), ("bcb", "22222"), ("cc", "33")]);
            let text = words.concat();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&text.as_bytes()[from..cut]);
                from = cut;
            }
            pieces.push(&text.as_bytes()[from..]);
            let whole = run(&replacer, &[text.as_bytes()]);
            prop_assert_eq!(&run(&replacer, &pieces), &whole);
            for real in ["ababac", "bcb", "cc"] {
                // Only one that a replacement made can be there, and none of them has these letters.
                prop_assert!(memchr::memmem::find(&whole, real.as_bytes()).is_none());
            }
        }
    }
}
