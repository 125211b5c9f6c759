//! What a verified token says.

use serde_json::{Map, Value};

use super::Issuer;

/// The claims of a token that was verified.
#[derive(Clone, Debug, PartialEq)]
pub struct Claims {
    pub(super) issuer: Issuer,
    pub(super) expires: u64,
    pub(super) audiences: Vec<String>,
    pub(super) claims: Map<String, Value>,
}

impl Claims {
    /// Who issued it: one of the profile's.
    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// The first second at which it is no longer valid.
    pub fn expires(&self) -> u64 {
        self.expires
    }

    /// Those of its audiences that the profile takes: at least one.
    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// All claims, for a token that we wrote ourselves.
    pub(crate) fn into_value(self) -> Value {
        Value::Object(self.claims)
    }

    /// A claim as it stands. A name that begins with `/` is a JSON Pointer (RFC 6901) into nested ones.
    pub fn get(&self, name: &str) -> Option<&Value> {
        match name.strip_prefix('/') {
            None => self.claims.get(name),
            Some(path) => {
                let (first, rest) = path.split_at(path.find('/').unwrap_or(path.len()));
                let first = first.replace("~1", "/").replace("~0", "~");
                self.claims.get(&first)?.pointer(rest)
            }
        }
    }

    /// A claim that is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// A claim that is a time: seconds since 1970.
    pub fn time(&self, name: &str) -> Option<u64> {
        seconds(self.get(name)?)
    }

    /// A claim that is a list of texts, or one text. What else is in the list is left out.
    pub fn texts(&self, name: &str) -> Vec<String> {
        match self.get(name) {
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(many)) => {
                many.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            _ => Vec::new(),
        }
    }

    /// A claim that is words with spaces between them, as `scope` is, or a list of such.
    pub fn words(&self, name: &str) -> Vec<String> {
        let words =
            |text: String| text.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>();
        self.texts(name).into_iter().flat_map(words).collect()
    }
}

/// A NumericDate (RFC 7519 §2): fractions are allowed and dropped.
pub(super) fn seconds(value: &Value) -> Option<u64> {
    if let Some(whole) = value.as_u64() {
        return Some(whole);
    }
    let number = value.as_f64()?;
    // Beyond 2^53 a double no longer counts seconds.
    ((0.0..9e15).contains(&number)).then_some(number as u64)
}
