//! The last of what a server's processes wrote to stderr, for `status` and for a person who looks.

use std::collections::VecDeque;
use std::sync::Mutex;

use mcp::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::call::lock;

const KEEP: usize = 64 << 10;

/// A bounded tail of bytes, shared by all processes of a link.
#[derive(Debug, Default)]
pub(crate) struct Tail(Mutex<VecDeque<u8>>);

impl Tail {
    fn push(&self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(KEEP)..];
        let mut kept = lock(&self.0);
        let over = (kept.len() + bytes.len()).saturating_sub(KEEP);
        kept.drain(..over);
        kept.extend(bytes);
    }

    /// The tail as text; a character cut in half at the front becomes U+FFFD.
    pub fn text(&self) -> String {
        let kept = lock(&self.0);
        let (front, back) = kept.as_slices();
        String::from_utf8_lossy(&[front, back].concat()).into_owned()
    }
}

/// Reads a child's stderr to its end. It is read whatever it holds: a full pipe would block the child.
pub(crate) async fn drain(name: ServerName, mut from: impl AsyncRead + Unpin, tail: &Tail) {
    let mut buffer = [0u8; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        tail.push(&buffer[..count]);
        if tracing::enabled!(tracing::Level::DEBUG) {
            let text = String::from_utf8_lossy(&buffer[..count]);
            for line in text.lines().filter(|line| !line.trim().is_empty()) {
                tracing::debug!(server = %name, stderr = %line.escape_debug());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last() {
        let tail = Tail::default();
        tail.push(&[b'a'; KEEP]);
        tail.push(b"end");
        assert_eq!(tail.text().len(), KEEP);
        assert!(tail.text().ends_with("aend"));
        tail.push(&[b'b'; KEEP + 5]);
        assert!(tail.text().bytes().all(|b| b == b'b'));
    }
}
