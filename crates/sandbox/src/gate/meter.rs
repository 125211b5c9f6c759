//! A connection out of the sandbox, counted and bounded.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::event::Reason;

/// A connection on which nothing moves for this long is closed.
const IDLE: Duration = Duration::from_secs(15 * 60);

/// What a server may still move, all its connections together.
#[derive(Debug)]
pub(super) struct Budget {
    sent: AtomicU64,
    received: AtomicU64,
}

impl Budget {
    pub fn new(sent: u64, received: u64) -> Budget {
        Budget { sent: AtomicU64::new(sent), received: AtomicU64::new(received) }
    }

    /// Whether there is any left.
    pub fn check(&self) -> Result<(), Reason> {
        let spent = |left: &AtomicU64| left.load(Ordering::Relaxed) == 0;
        if spent(&self.sent) || spent(&self.received) { Err(Reason::Budget) } else { Ok(()) }
    }
}

fn spend(left: &AtomicU64, bytes: usize) -> io::Result<()> {
    let bytes = bytes as u64;
    let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
        (left > 0).then(|| left.saturating_sub(bytes))
    });
    taken.map(drop).map_err(|_| io::Error::other("the server has moved as many bytes as it may"))
}

/// When something last moved.
#[derive(Debug)]
pub(super) struct Activity {
    began: Instant,
    /// Milliseconds since then.
    last: AtomicU64,
}

impl Activity {
    pub fn new() -> Arc<Activity> {
        Arc::new(Activity { began: Instant::now(), last: AtomicU64::new(0) })
    }

    fn mark(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    /// Returns when nothing has moved for too long.
    pub async fn idle(&self) {
        loop {
            let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
            let end = self.began + last + IDLE;
            if Instant::now() >= end {
                return;
            }
            tokio::time::sleep_until(end).await;
        }
    }
}

/// The sandbox's end of a connection: reading from it is sending.
#[derive(Debug)]
pub(super) struct Metered<S> {
    stream: S,
    budget: Arc<Budget>,
    activity: Arc<Activity>,
}

impl<S> Metered<S> {
    pub fn new(stream: S, budget: Arc<Budget>, activity: Arc<Activity>) -> Metered<S> {
        Metered { stream, budget, activity }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let bytes = buffer.filled().len() - before;
        if bytes > 0 {
            self.activity.mark();
            spend(&self.budget.sent, bytes)?;
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.written(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S> Metered<S> {
    fn written(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes @ 1..)) = polled {
            self.activity.mark();
            spend(&self.budget.received, bytes)?;
        }
        polled
    }
}
