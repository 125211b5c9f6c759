//! Server-sent events: reading an upstream's stream under caps, writing our own.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SseEvent {
    /// `event:` (empty = message).
    pub event: String,
    /// `data:` lines joined by a line feed. A share of the input where possible: when one line of one chunk
    /// holds it all. Not checked to be UTF-8: the strict reading of what it holds does that.
    pub data: Bytes,
    /// `id:`
    pub id: Option<String>,
    /// `retry:` in milliseconds.
    pub retry: Option<u64>,
}

/// Why a stream was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SseFault {
    /// An event's name or id is not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// An event, or a line that may become part of one, is too long.
    #[error("event longer than {limit} bytes")]
    TooLong {
        /// The limit that was passed.
        limit: usize,
    },
}

/// Incremental reader: any chunking gives the same events (BOM, CR, LF, CRLF handled as WHATWG HTML §9.2 says).
///
/// Push a chunk, then take events until there is none: what is kept between chunks is then at most one event
/// under the limit. A last event that no blank line ends is never given, as the standard says.
#[derive(Debug)]
pub struct SseReader {
    limit: usize,
    chunks: VecDeque<Bytes>,
    /// The beginning of a line whose end has not come yet.
    partial: BytesMut,
    /// The last line ended in CR: an LF that follows belongs to it.
    after_cr: bool,
    /// No line has ended yet, so a BOM may come.
    at_start: bool,
    /// Bytes in the lines of the event being read, but for comments.
    size: usize,
    event: Building,
    fault: Option<SseFault>,
}

/// The event being read.
#[derive(Debug, Default)]
struct Building {
    name: String,
    data: Data,
    id: Option<String>,
    retry: Option<u64>,
}

#[derive(Debug, Default)]
enum Data {
    #[default]
    None,
    One(Bytes),
    Many(BytesMut),
}

impl SseReader {
    /// `limit`: the largest event (its lines together), in bytes.
    pub fn new(limit: usize) -> Self {
        SseReader {
            limit,
            chunks: VecDeque::new(),
            partial: BytesMut::new(),
            after_cr: false,
            at_start: true,
            size: 0,
            event: Building::default(),
            fault: None,
        }
    }

    /// Takes a chunk.
    pub fn push(&mut self, chunk: Bytes) {
        if self.fault.is_none() && !chunk.is_empty() {
            self.chunks.push_back(chunk);
        }
    }

    /// The next whole event, if one is there. Events without data but with an id or a retry are given too.
    /// A fault is final.
    pub fn next_event(&mut self) -> Result<Option<SseEvent>, SseFault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        self.read().inspect_err(|fault| {
            self.fault = Some(fault.clone());
            self.chunks.clear();
            self.partial = BytesMut::new();
            self.event = Building::default();
        })
    }

    fn read(&mut self) -> Result<Option<SseEvent>, SseFault> {
        while let Some(line) = self.next_line()? {
            if line.is_empty() {
                self.size = 0;
                if let Some(event) = std::mem::take(&mut self.event).finish() {
                    return Ok(Some(event));
                }
            } else {
                // Comments leave nothing behind, so any number of them may come.
                self.size += if line.starts_with(b":") { 0 } else { line.len() };
                self.event.take_line(line)?;
            }
        }
        Ok(None)
    }

    /// The next whole line without its end; `None` when the chunks are used up.
    fn next_line(&mut self) -> Result<Option<Bytes>, SseFault> {
        loop {
            let Some(chunk) = self.chunks.front_mut() else { return Ok(None) };
            if std::mem::take(&mut self.after_cr) && chunk.starts_with(b"\n") {
                chunk.advance(1);
            }
            let end = memchr::memchr2(b'\r', b'\n', chunk);
            let length = end.unwrap_or(chunk.len());
            if self.size + self.partial.len() + length > self.limit {
                return Err(SseFault::TooLong { limit: self.limit });
            }
            let piece = chunk.split_to(length);
            if end.is_some() {
                self.after_cr = chunk.starts_with(b"\r");
                chunk.advance(1);
            }
            if chunk.is_empty() {
                self.chunks.pop_front();
            }
            match end {
                None => self.partial.extend_from_slice(&piece),
                Some(_) if self.partial.is_empty() => return Ok(Some(self.without_bom(piece))),
                Some(_) => {
                    self.partial.extend_from_slice(&piece);
                    let line = self.partial.split().freeze();
                    return Ok(Some(self.without_bom(line)));
                }
            }
        }
    }

    fn without_bom(&mut self, mut line: Bytes) -> Bytes {
        if std::mem::take(&mut self.at_start) && line.starts_with(b"\xEF\xBB\xBF") {
            line.advance(3);
        }
        line
    }
}

impl Building {
    fn take_line(&mut self, line: Bytes) -> Result<(), SseFault> {
        let (name, value) = match memchr::memchr(b':', &line) {
            Some(colon) => {
                let space = usize::from(line.get(colon + 1) == Some(&b' '));
                (line.slice(..colon), line.slice(colon + 1 + space..))
            }
            None => (line.clone(), Bytes::new()),
        };
        match &*name {
            b"data" => self.data.take(value),
            b"event" => self.name = utf8(&value)?,
            // An id that holds NUL is ignored, as the standard says.
            b"id" if !value.contains(&0) => self.id = Some(utf8(&value)?),
            b"retry" => self.retry = milliseconds(&value).or(self.retry),
            _ => {}
        }
        Ok(())
    }

    /// The event, unless it says nothing.
    fn finish(self) -> Option<SseEvent> {
        let data = match self.data {
            Data::None if self.id.is_none() && self.retry.is_none() => return None,
            Data::None => Bytes::new(),
            Data::One(line) => line,
            Data::Many(lines) => lines.freeze(),
        };
        Some(SseEvent { event: self.name, data, id: self.id, retry: self.retry })
    }
}

impl Data {
    fn take(&mut self, line: Bytes) {
        *self = match std::mem::take(self) {
            Data::None => Data::One(line),
            Data::One(first) => {
                let mut lines = BytesMut::with_capacity(first.len() + 1 + line.len());
                lines.extend_from_slice(&first);
                Data::Many(joined(lines, &line))
            }
            Data::Many(lines) => Data::Many(joined(lines, &line)),
        };
    }
}

fn joined(mut lines: BytesMut, line: &[u8]) -> BytesMut {
    lines.extend_from_slice(b"\n");
    lines.extend_from_slice(line);
    lines
}

fn utf8(value: &[u8]) -> Result<String, SseFault> {
    std::str::from_utf8(value).map(str::to_owned).map_err(|_| SseFault::NotUtf8)
}

/// Digits alone; anything else is ignored, as the standard says.
fn milliseconds(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value).ok()?;
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

/// `id: …\nevent: …\ndata: …\n\n`. JSON from a strict reading can still hold raw line feeds between tokens: each
/// line gets its own `data:`. Line ends and NUL can't be part of an id or an event's name and are left out.
pub fn sse_data(id: Option<&str>, event: Option<&str>, data: &str) -> String {
    let mut out =
        String::with_capacity(32 + id.map_or(0, str::len) + event.map_or(0, str::len) + data.len());
    if let Some(id) = id {
        push_field(&mut out, "id: ", id);
    }
    if let Some(event) = event {
        push_field(&mut out, "event: ", event);
    }
    let mut rest = data;
    loop {
        let end = memchr::memchr2(b'\r', b'\n', rest.as_bytes());
        let (line, after) = rest.split_at(end.unwrap_or(rest.len()));
        out.push_str("data: ");
        out.push_str(line);
        out.push('\n');
        if end.is_none() {
            break;
        }
        rest = after.strip_prefix("\r\n").or_else(|| after.get(1..)).unwrap_or_default();
    }
    out.push('\n');
    out
}

/// A comment line that keeps the connection alive. Line ends in `text` are left out.
pub fn sse_comment(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 4);
    push_field(&mut out, ": ", text);
    out.push('\n');
    out
}

fn push_field(out: &mut String, name: &str, value: &str) {
    out.push_str(name);
    out.extend(value.chars().filter(|c| !matches!(c, '\r' | '\n' | '\0')));
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every event of the stream, given in chunks of `size` bytes, or the fault.
    fn read(stream: &[u8], size: usize, limit: usize) -> (Vec<SseEvent>, Option<SseFault>) {
        let mut reader = SseReader::new(limit);
        let mut events = Vec::new();
        for chunk in stream.chunks(size) {
            reader.push(Bytes::copy_from_slice(chunk));
            loop {
                match reader.next_event() {
                    Ok(Some(event)) => events.push(event),
                    Ok(None) => break,
                    Err(fault) => return (events, Some(fault)),
                }
            }
        }
        (events, None)
    }

    fn check(stream: &[u8], expect: &[SseEvent]) {
        for size in 1..=stream.len() {
            assert_eq!(read(stream, size, 100), (expect.to_vec(), None), "chunks of {size}");
        }
    }

    fn message(data: &str) -> SseEvent {
        SseEvent { data: Bytes::copy_from_slice(data.as_bytes()), ..SseEvent::default() }
    }

    #[test]
    fn reads_what_the_standard_says() {
        check(
            b"data: a\n\ndata:b\r\rdata:  c\r\n\r\n",
            &[message("a"), message("b"), message(" c")],
        );
        check(b"\xEF\xBB\xBFdata: a\n\n", &[message("a")]);
        check(b"data\ndata: x\ndata:\n\n", &[message("\nx\n")]);
        check(
            b": ping\n\n:\n\nunknown: 1\nevent: only\n\ndata:\n\ndata: unfinished\n",
            &[message("")],
        );
        let primed = SseEvent { id: Some("7".into()), retry: Some(1500), ..SseEvent::default() };
        check(b"id: 7\nretry: 1500\nretry: 1x\nid: \0\n\n", &[primed]);
        let named = SseEvent { event: "endpoint".into(), ..message("/m?x=1:2") };
        check(b"event: a\nevent: endpoint\r\ndata: /m?x=1:2\r\n\r\n", &[named]);
    }

    #[test]
    fn one_line_in_one_chunk_is_shared() {
        let chunk = Bytes::from_static(b"id: 1\ndata: {\"a\":1}\n\n");
        let mut reader = SseReader::new(100);
        reader.push(chunk.clone());
        let event = reader.next_event().unwrap().unwrap();
        assert!(chunk.as_ptr_range().contains(&event.data.as_ptr()));
    }

    #[test]
    fn an_event_is_bounded_in_any_chunking() {
        let fault = Some(SseFault::TooLong { limit: 20 });
        for stream in [
            &b"data: 0123456789012345\n\n"[..],
            b"data: 0123456789012345",
            b"data:1\ndata:2\ndata:3\ndata:4\n",
        ] {
            for size in 1..=stream.len() {
                assert_eq!(read(stream, size, 20), (vec![], fault.clone()));
            }
        }
        let kept_alive = ": ping\n".repeat(1000) + "data: 1\n\n";
        assert_eq!(read(kept_alive.as_bytes(), 5, 20), (vec![message("1")], None));
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(
            sse_data(Some("1\n2"), Some("message"), "{}"),
            "id: 12\nevent: message\ndata: {}\n\n"
        );
        assert_eq!(
            sse_data(None, None, "{\r\n\"a\":\r1\n}"),
            "data: {\ndata: \"a\":\ndata: 1\ndata: }\n\n"
        );
        assert_eq!(sse_comment("ping\n\ndata: x"), ": pingdata: x\n\n");
        check(sse_data(None, None, " {\n} \n").as_bytes(), &[message(" {\n} \n")]);
    }
}
