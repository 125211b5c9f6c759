//! Lines from a pipe, under a cap, without a copy.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Why there is no further line.
#[derive(Debug)]
pub(crate) enum LinesEnd {
    Closed,
    Io(std::io::Error),
    TooLong,
}

/// Splits what it reads at line feeds; each line is a share of the read buffer.
pub(crate) struct Lines<R> {
    from: R,
    buffer: BytesMut,
    /// No line feed before this place.
    scanned: usize,
    limit: usize,
}

const CHUNK: usize = 16 << 10;

impl<R: AsyncRead + Unpin> Lines<R> {
    pub fn new(from: R, limit: usize) -> Self {
        Lines { from, buffer: BytesMut::new(), scanned: 0, limit }
    }

    /// The next line without its end; empty lines are skipped. Cancel-safe.
    pub async fn next(&mut self) -> Result<Bytes, LinesEnd> {
        loop {
            while let Some(at) = memchr::memchr(b'\n', &self.buffer[self.scanned..]) {
                let end = self.scanned + at;
                if end > self.limit {
                    return Err(LinesEnd::TooLong);
                }
                let line = self.buffer.split_to(end + 1).freeze();
                self.scanned = 0;
                let line = line.slice(..end - usize::from(line[..end].ends_with(b"\r")));
                if !line.is_empty() {
                    return Ok(line);
                }
            }
            self.scanned = self.buffer.len();
            if self.scanned > self.limit {
                return Err(LinesEnd::TooLong);
            }
            self.buffer.reserve(CHUNK);
            match self.from.read_buf(&mut self.buffer).await {
                // A last line without a line feed was cut off: it is not a message.
                Ok(0) => return Err(LinesEnd::Closed),
                Ok(_) => {}
                Err(error) => return Err(LinesEnd::Io(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(input: &[u8], limit: usize) -> (Vec<Vec<u8>>, LinesEnd) {
        let mut lines = Lines::new(input, limit);
        let mut out = Vec::new();
        loop {
            match lines.next().await {
                Ok(line) => out.push(line.to_vec()),
                Err(end) => return (out, end),
            }
        }
    }

    #[tokio::test]
    async fn splits_and_caps() {
        let (lines, end) = all(b"one\n\r\n\ntwo\r\nthree", 5).await;
        assert_eq!(lines, [b"one".to_vec(), b"two".to_vec()]);
        assert!(matches!(end, LinesEnd::Closed));
        let (lines, end) = all(b"12345\n123456\n", 5).await;
        assert_eq!(lines, [b"12345".to_vec()]);
        assert!(matches!(end, LinesEnd::TooLong));
        let (_, end) = all(&[b'x'; 100], 5).await;
        assert!(matches!(end, LinesEnd::TooLong));
    }
}
