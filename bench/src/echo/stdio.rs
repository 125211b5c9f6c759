//! The stdio binding: a line in, a line out, flushed when no further line is waiting.

use std::io::{self, BufRead, BufReader, Write};

use super::{Echo, Reply};

/// Serves until the input ends.
///
/// # Errors
/// When a pipe breaks.
pub fn serve(echo: &Echo) -> io::Result<()> {
    let mut input = BufReader::with_capacity(64 << 10, io::stdin().lock());
    let mut output = io::BufWriter::with_capacity(64 << 10, io::stdout().lock());
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            return output.flush();
        }
        match echo.answer(&line) {
            Reply::Accepted => {}
            Reply::Failed(_, body)
            | Reply::Initialized(body)
            | Reply::Json(body)
            | Reply::Sse(body) => {
                output.write_all(&body)?;
                output.write_all(b"\n")?;
            }
        }
        if memchr::memchr(b'\n', input.buffer()).is_none() {
            output.flush()?;
        }
    }
}
