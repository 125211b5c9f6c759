//! A stream gives the same events however it is cut, and those that the standard says.

use bytes::Bytes;
use mcp::{SseEvent, SseFault, SseReader, sse_comment, sse_data};

const LIMIT: usize = 256;

/// The first byte chooses how the rest is cut.
pub fn target(data: &[u8]) {
    let Some((&seed, stream)) = data.split_first() else { return };
    let whole = read(stream, LIMIT, |rest| rest);
    assert_eq!(whole, read(stream, LIMIT, |_| 1));
    let mut state = u32::from(seed) | 1;
    let random = read(stream, LIMIT, |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        1 + (state >> 16) as usize % (1 + usize::from(seed))
    });
    assert_eq!(whole, random);
    // The limit only ever cuts off: before the fault all is as without it.
    let (events, fault) = read(stream, usize::MAX, |rest| rest);
    if fault.is_none() {
        assert_eq!(Ok(&events), reference(stream).as_ref());
    }
    assert!(events.starts_with(&whole.0));
    if whole.1.is_none() {
        assert_eq!(events, whole.0);
    }
    written(&String::from_utf8_lossy(stream));
}

/// All events in chunks whose sizes `cut` chooses (given how much is left), and the fault that ended them.
pub fn read(
    stream: &[u8],
    limit: usize,
    mut cut: impl FnMut(usize) -> usize,
) -> (Vec<SseEvent>, Option<SseFault>) {
    let mut reader = SseReader::new(limit);
    let mut events = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(cut(rest.len()).min(rest.len()));
        rest = after;
        reader.push(Bytes::copy_from_slice(chunk));
        loop {
            match reader.next_event() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(fault) => {
                    assert_eq!(reader.next_event(), Err(fault.clone()));
                    return (events, Some(fault));
                }
            }
        }
    }
    (events, None)
}

/// The standard's algorithm, word for word, on a whole stream.
fn reference(stream: &[u8]) -> Result<Vec<SseEvent>, ()> {
    let stream = stream.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(stream);
    let mut lines: Vec<Vec<u8>> = vec![Vec::new()];
    let mut bytes = stream.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match (byte, lines.last_mut()) {
            (b'\n', _) => lines.push(Vec::new()),
            (b'\r', _) => {
                bytes.next_if_eq(&b'\n');
                lines.push(Vec::new());
            }
            (other, Some(line)) => line.push(other),
            (_, None) => {}
        }
    }
    // What no line end ends is not a line.
    lines.pop();
    let mut events = Vec::new();
    let mut event = SseEvent::default();
    let mut data = Vec::new();
    for line in lines {
        if line.is_empty() {
            let built = std::mem::take(&mut event);
            let mut data = std::mem::take(&mut data);
            let has_data = data.pop().is_some();
            if has_data || built.id.is_some() || built.retry.is_some() {
                events.push(SseEvent { data: data.into(), ..built });
            }
            continue;
        }
        let colon = line.iter().position(|&byte| byte == b':');
        let (field, value) = line.split_at(colon.unwrap_or(line.len()));
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let text = || String::from_utf8(value.to_vec()).map_err(|_| ());
        match field {
            b"data" => {
                data.extend_from_slice(value);
                data.push(b'\n');
            }
            b"event" => event.event = text()?,
            b"id" if !value.contains(&0) => event.id = Some(text()?),
            b"retry" if value.iter().all(u8::is_ascii_digit) => {
                event.retry = text()?.parse().ok().or(event.retry)
            }
            _ => {}
        }
    }
    Ok(events)
}

/// What we write is read back: one event, nothing of the text taken for more.
fn written(text: &str) {
    let stream = sse_comment(text) + &sse_data(Some(text), Some(text), text);
    let (events, fault) = read(stream.as_bytes(), usize::MAX, |rest| rest);
    let name: String = text.chars().filter(|c| !matches!(c, '\r' | '\n' | '\0')).collect();
    let data = text.replace("\r\n", "\n").replace('\r', "\n");
    let expect = SseEvent { event: name.clone(), data: data.into(), id: Some(name), retry: None };
    assert_eq!((events, fault), (vec![expect], None));
}
