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

    /// The tail as text, without the line that was cut in half at the front: half a secret could stand in it.
    pub fn text(&self) -> String {
        let kept = lock(&self.0);
        let (front, back) = kept.as_slices();
        let whole = [front, back].concat();
        let cut = (whole.len() >= KEEP).then(|| whole.iter().position(|byte| *byte == b'\n'));
        let start = cut.flatten().map_or(0, |end| end + 1);
        String::from_utf8_lossy(&whole[start..]).into_owned()
    }
}

/// Reads a child's stderr to its end. It is read whatever it holds: a full pipe would block the child.
pub(crate) async fn drain(name: ServerName, mut from: impl AsyncRead + Unpin, tail: &Tail) {
    let mut buffer = [0u8; 4096];
    let mut line = Vec::new();
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        tail.push(&buffer[..count]);
        if tracing::enabled!(tracing::Level::DEBUG) {
            line.extend_from_slice(&buffer[..count]);
            // Whole lines: in half of one could stand half of a secret, which the log does not know.
            while let Some(end) = line.iter().position(|byte| *byte == b'\n') {
                log(&name, &line[..end]);
                line.drain(..=end);
            }
            if line.len() > KEEP {
                log(&name, &std::mem::take(&mut line));
            }
        }
    }
    log(&name, &line);
}

fn log(name: &ServerName, line: &[u8]) {
    let line = String::from_utf8_lossy(line);
    if !line.trim().is_empty() {
        tracing::debug!(server = %name, stderr = %line.trim_end().escape_debug());
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
        tail.push(b"\nlast");
        assert_eq!(tail.text(), "last");
        tail.push(&[b'b'; KEEP + 5]);
        assert!(tail.text().bytes().all(|b| b == b'b'));
    }
}
