//! The text that the `size` tool answers with: lines that look like source code, so that some characters need escapes.

use bytes::{BufMut, Bytes, BytesMut};

/// 64 decoded characters.
const LINE: &str = "    let answer = table.get(\"key\").copied().unwrap_or(0); // yes\n";
/// The same as it stands inside a JSON string.
const ESCAPED: &str = "    let answer = table.get(\\\"key\\\").copied().unwrap_or(0); // yes\\n";
/// The longest text that is served.
pub const LONGEST: usize = 4 << 20;

/// A text of a given length, ready to be put between the quotes of a JSON string.
#[derive(Clone, Debug)]
pub struct Text {
    lines: usize,
    padding: usize,
    master: Bytes,
}

/// Keeps the longest text once; every shorter one is a prefix of it.
#[derive(Clone, Debug)]
pub struct Texts(Bytes);

impl Default for Texts {
    fn default() -> Self {
        Self(Bytes::from(ESCAPED.repeat(LONGEST / LINE.len())))
    }
}

impl Texts {
    /// The text of `length` decoded bytes, cut to [`LONGEST`].
    #[must_use]
    pub fn of(&self, length: usize) -> Text {
        let length = length.min(LONGEST);
        Text { lines: length / LINE.len(), padding: length % LINE.len(), master: self.0.clone() }
    }
}

impl Text {
    /// Length in the JSON document.
    #[must_use]
    pub fn escaped_len(&self) -> usize {
        self.lines * ESCAPED.len() + self.padding
    }

    /// Appends the escaped text.
    pub fn write(&self, to: &mut BytesMut) {
        to.put_slice(&self.master[..self.lines * ESCAPED.len()]);
        to.put_bytes(b'x', self.padding);
    }

    /// The escaped text as its own value.
    #[must_use]
    pub fn escaped(&self) -> Bytes {
        let mut text = BytesMut::with_capacity(self.escaped_len());
        self.write(&mut text);
        text.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_escaped_text_decodes_to_the_length_asked_for() {
        for length in [0, 1, 63, 64, 65, 1024, 65_536, 1 << 20] {
            let escaped = Texts::default().of(length).escaped();
            let json = format!("\"{}\"", String::from_utf8(escaped.to_vec()).unwrap());
            let text: String = serde_json::from_str(&json).unwrap();
            assert_eq!(text.len(), length);
        }
    }
}
