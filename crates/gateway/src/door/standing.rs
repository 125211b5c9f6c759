//! Streams that do not outlive the credential they were opened with.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use identity::Verified;

use super::exchange::Source;
use crate::Gateway;

/// A stream that ends when its caller would no longer be let in.
pub struct Standing<S> {
    source: S,
    outlived: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl<S> Standing<S> {
    /// `source` for this caller.
    pub fn new(gateway: Arc<Gateway>, caller: Verified, source: S) -> Standing<S> {
        let outlived = Box::pin(async move { gateway.outlived(&caller).await });
        Standing { source, outlived }
    }
}

impl<S: Source + Unpin> Source for Standing<S> {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<String>> {
        if self.outlived.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        self.source.poll_frame(cx)
    }
}
