//! An event stream of the handshake era that survives its connection: events are numbered and kept
//! until they were read, and a client that lost the connection reads on with `Last-Event-ID`.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use mcp::sse_data;
use tokio::sync::Notify;

use super::exchange::Source;

/// The kept events of one stream.
#[derive(Default)]
pub struct Replay {
    state: Mutex<State>,
    room: Notify,
}

#[derive(Default)]
struct State {
    /// Number of the first kept event.
    first: u64,
    events: VecDeque<Arc<str>>,
    bytes: usize,
    finished: bool,
    /// Everything before this number was read.
    read: u64,
    reader: Option<Waker>,
}

/// What one stream keeps for a reader that is away. The oldest events go first: an answer is last.
const KEEP_BYTES: usize = 4 << 20;
const KEEP_EVENTS: usize = 1024;
/// Of what was read already, this much is kept for a reader that lost its connection.
const KEEP_READ: usize = 256 << 10;
/// How long a call pauses for a reader that does not read.
const PATIENCE: Duration = Duration::from_secs(5);

impl Replay {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a message.
    pub fn push(&self, message: String) {
        let mut state = self.state();
        state.bytes += message.len();
        state.events.push_back(message.into());
        while state.events.len() > 1
            && (state.bytes > KEEP_BYTES
                || state.events.len() > KEEP_EVENTS
                || (state.bytes > KEEP_READ && state.first < state.read))
        {
            if let Some(dropped) = state.events.pop_front() {
                state.bytes -= dropped.len();
                state.first += 1;
            }
        }
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }

    /// Nothing more comes.
    pub fn finish(&self) {
        let mut state = self.state();
        state.finished = true;
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }

    /// Whether nothing more comes.
    pub fn finished(&self) -> bool {
        self.state().finished
    }

    /// Waits until the reader has caught up, but not for ever on one that is away.
    pub async fn room(&self) {
        while self.crowded() {
            let read = self.room.notified();
            if tokio::time::timeout(PATIENCE, read).await.is_err() {
                return;
            }
        }
    }

    fn crowded(&self) -> bool {
        let state = self.state();
        let unread = state.first + state.events.len() as u64 - state.read.max(state.first);
        unread > KEEP_EVENTS as u64 / 2 || (unread > 0 && state.bytes > KEEP_BYTES / 2)
    }
}

/// Reads a stream from an event on.
pub struct Reader {
    replay: Arc<Replay>,
    number: u64,
    next: u64,
    priming: bool,
}

impl Reader {
    /// From the beginning. `priming` sends the empty first event that 2025-11-25 recommends, so that
    /// the client knows where to resume even if nothing else arrives.
    pub fn new(replay: Arc<Replay>, number: u64, priming: bool) -> Reader {
        Reader { replay, number, next: 0, priming }
    }

    /// After the event that `last_event_id` names; the stream's number tells which stream it is.
    pub fn after(replay: Arc<Replay>, number: u64, event: u64) -> Reader {
        Reader { replay, number, next: event, priming: false }
    }
}

/// `{stream}-{event}`; event 0 is the priming event.
pub fn parse_event_id(text: &str) -> Option<(u64, u64)> {
    let (stream, event) = text.split_once('-')?;
    Some((stream.parse().ok()?, event.parse().ok()?))
}

impl Source for Reader {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<String>> {
        if self.priming {
            self.priming = false;
            return Poll::Ready(Some(format!("id: {}-0\nretry: 1000\ndata: \n\n", self.number)));
        }
        let mut state = self.replay.state();
        let at = self.next.max(state.first);
        match state.events.get((at - state.first) as usize).cloned() {
            Some(message) => {
                self.next = at + 1;
                state.read = state.read.max(self.next);
                drop(state);
                self.replay.room.notify_one();
                let id = format!("{}-{}", self.number, self.next);
                Poll::Ready(Some(sse_data(Some(&id), Some("message"), &message)))
            }
            None if state.finished => {
                // Read to its end: a large answer is not kept for a reader that may never come back.
                if state.bytes > KEEP_READ {
                    state.first += state.events.len() as u64;
                    state.events.clear();
                    state.bytes = 0;
                }
                Poll::Ready(None)
            }
            None => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(reader: &mut Reader) -> Vec<String> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut frames = Vec::new();
        while let Poll::Ready(Some(frame)) = reader.poll_frame(&mut cx) {
            frames.push(frame);
        }
        frames
    }

    #[test]
    fn resumes_after_the_named_event_and_never_repeats() {
        let replay = Arc::new(Replay::default());
        for message in ["{\"a\":1}", "{\"a\":2}", "{\"a\":3}"] {
            replay.push(message.into());
        }
        replay.finish();
        let all = read(&mut Reader::new(replay.clone(), 7, true));
        assert_eq!(all.len(), 4);
        assert!(all[0].starts_with("id: 7-0\n"));
        assert_eq!(parse_event_id("7-2"), Some((7, 2)));
        let rest = read(&mut Reader::after(replay, 7, 2));
        assert_eq!(rest.len(), 1);
        assert!(rest[0].contains("{\"a\":3}") && rest[0].contains("id: 7-3"));
    }

    #[test]
    fn keeps_a_bounded_tail() {
        let replay = Arc::new(Replay::default());
        for _ in 0..3 * KEEP_EVENTS {
            replay.push("{}".into());
        }
        assert_eq!(read(&mut Reader::new(replay, 1, false)).len(), KEEP_EVENTS);
    }
}
