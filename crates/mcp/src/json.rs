//! One strict reading of JSON: what was checked is what is sent.

mod read;
mod scan;

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;

/// What a reading may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Length of the text, in bytes.
    pub bytes: usize,
    /// Nesting of arrays and objects; never more than 256, whatever is asked for.
    pub depth: usize,
    /// Number of values in the whole text.
    pub values: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { bytes: 10 << 20, depth: 64, values: 1_000_000 }
    }
}

/// Why a text was refused; `at` is the byte offset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// An object names a member twice (compared after decoding escapes).
    #[error("duplicate member name at byte {at}")]
    DuplicateMember {
        /// Offset of the second name.
        at: usize,
    },
    /// A `\u` escape names half of a surrogate pair.
    #[error("lone surrogate escape at byte {at}")]
    LoneSurrogate {
        /// Offset of the escape.
        at: usize,
    },
    /// The bytes are not UTF-8.
    #[error("not UTF-8 at byte {at}")]
    NotUtf8 {
        /// Offset of the first bad byte.
        at: usize,
    },
    /// A number is not finite as a double.
    #[error("number out of range at byte {at}")]
    NumberRange {
        /// Offset of the number.
        at: usize,
    },
    /// The text breaks the grammar of RFC 8259.
    #[error("unexpected byte at {at}")]
    Syntax {
        /// Offset of the unexpected byte, or the text's length where it ended too soon.
        at: usize,
    },
    /// Arrays and objects are nested too deeply.
    #[error("nested deeper than {limit}")]
    TooDeep {
        /// The limit that was reached.
        limit: usize,
    },
    /// The text is too long.
    #[error("longer than {limit} bytes")]
    TooLong {
        /// The limit that was reached.
        limit: usize,
    },
    /// The text holds too many values.
    #[error("more than {limit} values")]
    TooMany {
        /// The limit that was reached.
        limit: usize,
    },
}

/// The six kinds of JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are JSON's own")]
pub enum Kind {
    Array,
    Boolean,
    Null,
    Number,
    Object,
    String,
}

/// A JSON value that passed the strict reading: valid UTF-8, no duplicate member name at any level
/// (compared after decoding escapes, exactly), no lone surrogate, finite numbers, bounded depth and size.
/// Only [`Json::read`] makes one, so whoever holds it need not check again.
///
/// Equality is that of the text: `1` and `1.0` differ, and so do `"a"` and `"\u0061"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<'a>(&'a str);

impl<'a> Json<'a> {
    /// `{}`
    pub const EMPTY: Json<'static> = Json("{}");

    /// Reads the whole of `bytes` as one value (surrounding white space is allowed and dropped).
    pub fn read(bytes: &'a [u8], limits: &Limits) -> Result<Json<'a>, Fault> {
        check_length(bytes, limits)?;
        let text = std::str::from_utf8(bytes).map_err(not_utf8)?;
        read::check(text, limits).map(Json)
    }

    /// The exact text.
    pub fn text(self) -> &'a str {
        self.0
    }

    /// Its kind, from the first byte.
    pub fn kind(self) -> Kind {
        match self.0.as_bytes().first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b't' | b'f') => Kind::Boolean,
            Some(b'n') => Kind::Null,
            _ => Kind::Number,
        }
    }

    /// The members of an object in their order; empty for any other kind. Names are decoded.
    pub fn members(self) -> Members<'a> {
        Members(self.spans())
    }

    /// The items of an array; empty for any other kind.
    pub fn items(self) -> Items<'a> {
        Items { text: if self.kind() == Kind::Array { self.0 } else { "" }, at: 1 }
    }

    /// The member `name` of an object.
    pub fn get(self, name: &str) -> Option<Json<'a>> {
        self.spans().find(|member| member.is_named(name)).map(|member| member.value)
    }

    /// Several members of an object in one walk over it.
    pub fn pick<const N: usize>(self, names: [&str; N]) -> [Option<Json<'a>>; N] {
        let mut picked = [None; N];
        for member in self.spans() {
            if let Some(at) = names.iter().position(|name| member.is_named(name)) {
                picked[at] = Some(member.value);
            }
        }
        picked
    }

    /// The decoded text of a string. Borrowed when it holds no escape.
    pub fn string(self) -> Option<Cow<'a, str>> {
        let inner = self.0.strip_prefix('"')?.strip_suffix('"')?;
        Some(scan::decode(inner))
    }

    /// An integer that fits; `42.0` and `1e2` are not integers here.
    pub fn integer(self) -> Option<i64> {
        self.0.parse().ok()
    }

    /// `true` or `false`.
    pub fn boolean(self) -> Option<bool> {
        match self.0 {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// Whether it is `null`.
    pub fn is_null(self) -> bool {
        self.0 == "null"
    }

    /// The members of an object with their places in the text.
    pub(crate) fn spans(self) -> Spans<'a> {
        Spans { text: if self.kind() == Kind::Object { self.0 } else { "" }, at: 1 }
    }
}

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Iterator over an object's members.
#[derive(Clone, Debug)]
pub struct Members<'a>(Spans<'a>);

impl<'a> Iterator for Members<'a> {
    type Item = (Cow<'a, str>, Json<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|member| (scan::decode(member.name), member.value))
    }
}

/// Iterator over an array's items.
#[derive(Clone, Debug)]
pub struct Items<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Items<'a> {
    type Item = Json<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.text.as_bytes();
        let start = scan::separator_end(bytes, self.at);
        if matches!(bytes.get(start), None | Some(b']')) {
            return None;
        }
        self.at = scan::value_end(bytes, start);
        self.text.get(start..self.at).map(Json)
    }
}

/// A member of an object and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member<'a> {
    /// Offset of the name's opening quote.
    pub at: usize,
    /// Offset just past the value.
    pub end: usize,
    /// The name as written, without its quotes.
    pub name: &'a str,
    /// Whether the name holds an escape.
    escaped: bool,
    /// Offset of the value.
    pub value_at: usize,
    /// The value.
    pub value: Json<'a>,
}

impl Member<'_> {
    /// Whether the name, decoded, is `name`.
    pub fn is_named(&self, name: &str) -> bool {
        // Escapes only ever make a name longer than what it stands for.
        if self.escaped && self.name.len() > name.len() {
            scan::decode(self.name) == name
        } else {
            self.name == name && !self.escaped
        }
    }
}

/// Iterator over an object's members and their places.
#[derive(Clone, Debug)]
pub(crate) struct Spans<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Spans<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.text.as_bytes();
        let at = scan::separator_end(bytes, self.at);
        if bytes.get(at) != Some(&b'"') {
            return None;
        }
        let (name_end, escaped) = scan::name_end(bytes, at + 1);
        let value_at = scan::separator_end(bytes, name_end);
        let end = scan::value_end(bytes, value_at);
        self.at = end;
        Some(Member {
            at,
            end,
            name: self.text.get(at + 1..name_end.saturating_sub(1))?,
            escaped,
            value_at,
            value: Json(self.text.get(value_at..end)?),
        })
    }
}

/// A strictly read value that owns (a share of) its bytes. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonBuf(ByteString);

impl JsonBuf {
    /// Reads `bytes` strictly and keeps them (trimmed of surrounding white space).
    pub fn read(bytes: Bytes, limits: &Limits) -> Result<JsonBuf, Fault> {
        check_length(&bytes, limits)?;
        let text = ByteString::try_from(bytes).map_err(not_utf8)?;
        let value = read::check(&text, limits)?;
        let value = text.slice_ref(value);
        Ok(JsonBuf(value))
    }

    /// Borrows the value.
    pub fn json(&self) -> Json<'_> {
        Json(&self.0)
    }

    /// A share of this buffer for a value inside it, without a copy: the whole buffer lives as long as the share.
    /// A value from elsewhere is copied.
    pub fn share(&self, part: Json<'_>) -> JsonBuf {
        let own = self.0.as_bytes().as_ptr_range();
        let wanted = part.0.as_bytes().as_ptr_range();
        if own.start <= wanted.start && wanted.end <= own.end {
            JsonBuf(self.0.slice_ref(part.0))
        } else {
            JsonBuf::from(part)
        }
    }

    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        self.0.as_bytes()
    }

    /// Takes a text that was made of strictly read values.
    pub(crate) fn vouched(text: String) -> JsonBuf {
        JsonBuf(ByteString::from(text))
    }
}

impl From<Json<'_>> for JsonBuf {
    fn from(json: Json<'_>) -> JsonBuf {
        JsonBuf(ByteString::from(json.0))
    }
}

/// `text` as a JSON string literal, quotes included.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    scan::quote_onto(&mut out, text);
    out
}

/// Appends `text` to `out` as a JSON string literal.
pub(crate) fn quote_onto(out: &mut String, text: &str) {
    scan::quote_onto(out, text);
}

fn check_length(bytes: &[u8], limits: &Limits) -> Result<(), Fault> {
    if bytes.len() > limits.bytes { Err(Fault::TooLong { limit: limits.bytes }) } else { Ok(()) }
}

fn not_utf8(error: std::str::Utf8Error) -> Fault {
    Fault::NotUtf8 { at: error.valid_up_to() }
}
