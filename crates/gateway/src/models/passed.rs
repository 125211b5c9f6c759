//! A model's stream on its way to the client: as it comes, byte for byte but for secrets, with its tokens counted along.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use audit::{Append, Intended, Outcome};
use bytes::Bytes;
use http_body::{Body as _, Frame};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::{call::Known, cleaned::Cleaned, record::Ended};
use crate::{leak, payloads::Kept};

/// A stream that is passed on. Dropped, the request to the model ends, and that is recorded.
pub(super) struct Passed {
    known: Known,
    /// Until its end is recorded.
    intent: Option<Intended>,
    body: Incoming,
    /// Whether it has come to its end.
    whole: bool,
    cleaned: Cleaned,
    bytes: u64,
    /// What the client got, where that is kept: the first bytes, of which there may be `room`.
    said: Vec<u8>,
    room: usize,
    idle: Duration,
    silence: Pin<Box<Sleep>>,
    /// Resolves when the caller would no longer be let in.
    outlived: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// The end, until it is durable; and how it ended.
    ending: Option<(Append, Option<&'static str>)>,
}

impl Passed {
    pub fn new(known: Known, intent: Intended, body: Incoming, idle: Duration) -> Passed {
        let (gateway, caller) = (known.gateway.clone(), known.caller.clone());
        Passed {
            said: Vec::new(),
            room: known.gathers(),
            known,
            intent: Some(intent),
            body,
            whole: false,
            cleaned: Cleaned::new(),
            bytes: 0,
            idle,
            silence: Box::pin(tokio::time::sleep(idle)),
            outlived: Box::pin(async move { gateway.outlived(&caller).await }),
            ending: None,
        }
    }

    /// Records the end, once; and why it breaks off, if it does.
    fn end(
        &mut self,
        outcome: Outcome,
        broken: Option<&'static str>,
    ) -> Option<(Append, Option<&'static str>)> {
        let intent = self.intent.take()?;
        let found = self.cleaned.found();
        if !found.is_empty() {
            self.known.leaked(&leak::names(&found));
        }
        let usage = self.cleaned.meter.usage(self.known.bytes_in(), outcome == Outcome::Ok);
        let (outcome, kept, broken) = match self.known.kept_answer(&self.said) {
            Ok(kept) => (outcome, kept, broken),
            Err(_) => (Outcome::Error, Kept::Nothing, Some("what was said can't be sealed")),
        };
        let ended = Ended { outcome, usage, bytes: self.bytes, kept };
        let append = self.known.end(intent, &ended, broken.unwrap_or("streamed"));
        Some((append, broken))
    }

    /// The next bytes, the end (`None`), or why it breaks off.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, &'static str>>> {
        if self.outlived.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err("the caller is no longer let in")));
        }
        if self.whole {
            return Poll::Ready(None);
        }
        while let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            match frame {
                None => {
                    self.whole = true;
                    return Poll::Ready(None);
                }
                Some(Err(_)) => return Poll::Ready(Some(Err("the model's stream broke off"))),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
            }
        }
        if self.silence.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err("the model was silent for too long")));
        }
        Poll::Pending
    }
}

impl http_body::Body for Passed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        loop {
            // The client sees the end when it is recorded.
            if let Some((append, broken)) = &mut this.ending {
                let recorded = std::task::ready!(Pin::new(append).poll(cx));
                let broken = *broken;
                this.ending = None;
                return Poll::Ready(match (recorded, broken) {
                    (Ok(_), None) => None,
                    (Ok(_), Some(why)) => Some(Err(io::Error::other(why))),
                    (Err(fault), _) => Some(Err(io::Error::other(fault))),
                });
            }
            if this.intent.is_none() {
                return Poll::Ready(None);
            }
            let next = std::task::ready!(this.poll_next(cx));
            let mut clean = Vec::new();
            let (outcome, broken) = match next {
                Some(Ok(data)) => {
                    this.cleaned.push(&data, &mut clean);
                    this.silence.as_mut().reset(Instant::now() + this.idle);
                    (None, None)
                }
                Some(Err(why)) => (Some(Outcome::Error), Some(why)),
                None => {
                    this.cleaned.finish(&mut clean);
                    (Some(Outcome::Ok), None)
                }
            };
            let leaks = !this.known.passes_leaks() && !this.cleaned.found().is_empty();
            let (outcome, broken) = match leaks {
                true => (Some(Outcome::Refused), Some("a secret stood in the model's stream")),
                false if !clean.is_empty() => {
                    this.bytes += clean.len() as u64;
                    let room = this.room - this.said.len();
                    this.said.extend_from_slice(&clean[..clean.len().min(room)]);
                    return Poll::Ready(Some(Ok(Frame::data(clean.into()))));
                }
                false => (outcome, broken),
            };
            // What may be the beginning of a secret waits.
            let Some(outcome) = outcome else { continue };
            this.ending = this.end(outcome, broken);
        }
    }
}

impl Drop for Passed {
    fn drop(&mut self) {
        // The record is written although nobody waits for it.
        drop(self.end(Outcome::Unknown, Some("the client left")));
    }
}
