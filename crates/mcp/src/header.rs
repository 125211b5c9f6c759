//! The mirrored headers of the stateless era (2026-07-28, streamable HTTP; SEP-2243): `Mcp-Name`, `Mcp-Param-*`.

mod schema;

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderName;

use crate::{Json, Kind, Limits};

pub use schema::header_params;

const BEGIN: &str = "=?base64?";
const END: &str = "?=";
/// Longer values are refused before they are decoded.
const LIMIT: usize = 8 << 10;
/// Integers beyond it, either way, are not exact in every peer's numbers.
const SAFE_INTEGER: i64 = (1 << 53) - 1;

/// Why a header was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// The schema's annotation breaks a rule.
    #[error("x-mcp-header annotation: {0}")]
    Annotation(&'static str),
    /// The encoded form does not decode.
    #[error("not valid Base64 of UTF-8")]
    Base64,
    /// Something other than visible ASCII, space and tab.
    #[error("header holds a character that is not allowed")]
    Character,
    /// The header and the body's argument differ, or there is no argument.
    #[error("header {0} does not match the body")]
    Mismatch(String),
    /// The body's argument has no header.
    #[error("header {0} is missing")]
    Missing(String),
    /// The value is too long.
    #[error("header longer than {limit} bytes")]
    TooLong {
        /// The limit that was passed.
        limit: usize,
    },
}

/// `=?base64?…?=` or the text itself, without the white space around it. At most 8 KiB.
pub fn decode_header(value: &[u8]) -> Result<Cow<'_, str>, HeaderFault> {
    if value.len() > LIMIT {
        return Err(HeaderFault::TooLong { limit: LIMIT });
    }
    if !value.iter().all(|&byte| is_plain(byte)) {
        return Err(HeaderFault::Character);
    }
    let text =
        std::str::from_utf8(value).map_err(|_| HeaderFault::Character)?.trim_matches([' ', '\t']);
    let Some(encoded) = encoded_part(text) else { return Ok(Cow::Borrowed(text)) };
    let bytes = STANDARD.decode(encoded).map_err(|_| HeaderFault::Base64)?;
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| HeaderFault::Base64)
}

/// The value as is, or in the Base64 form when it holds anything but visible ASCII, space and tab, begins or ends
/// with white space, or looks like the Base64 form.
pub fn encode_header(value: &str) -> Cow<'_, str> {
    let padded = value.starts_with([' ', '\t']) || value.ends_with([' ', '\t']);
    if !padded && value.bytes().all(is_plain) && encoded_part(value).is_none() {
        return Cow::Borrowed(value);
    }
    let mut out = String::with_capacity(BEGIN.len() + value.len().div_ceil(3) * 4 + END.len());
    out.push_str(BEGIN);
    STANDARD.encode_string(value, &mut out);
    out.push_str(END);
    Cow::Owned(out)
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~')
}

/// What stands between the markers of the Base64 form. They are case-sensitive.
fn encoded_part(text: &str) -> Option<&str> {
    text.strip_prefix(BEGIN)?.strip_suffix(END)
}

/// One `x-mcp-header` annotation: argument path (chain of `properties`) → header `Mcp-Param-{name}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderParam {
    /// Lower-case `mcp-param-…`.
    pub header: HeaderName,
    /// Chain of member names from `arguments`.
    pub path: Vec<String>,
}

impl HeaderParam {
    /// The header value for these arguments, not yet encoded ([`encode_header`]); `None` when the argument is
    /// absent or null, or is nothing that a header can mirror.
    pub fn value(&self, arguments: Json<'_>) -> Option<String> {
        let argument = self.argument(arguments)?;
        match argument.kind() {
            Kind::String => argument.string().map(Cow::into_owned),
            Kind::Number => integer(argument.text()).map(|number| number.to_string()),
            Kind::Boolean => Some(argument.text().to_owned()),
            Kind::Array | Kind::Null | Kind::Object => None,
        }
    }

    /// Compares a request's header with the body's argument (integers numerically): missing, superfluous and
    /// different are faults. An argument that no header can mirror matches none.
    pub fn verify(&self, header: Option<&[u8]>, arguments: Json<'_>) -> Result<(), HeaderFault> {
        let mismatch = || HeaderFault::Mismatch(self.header.to_string());
        let (header, argument) = match (header, self.argument(arguments)) {
            (None, None) => return Ok(()),
            (None, Some(_)) => return Err(HeaderFault::Missing(self.header.to_string())),
            (Some(_), None) => return Err(mismatch()),
            (Some(header), Some(argument)) => (decode_header(header)?, argument),
        };
        let equal = match argument.kind() {
            Kind::String => argument.string().is_some_and(|text| text == header),
            Kind::Boolean => argument.text() == header,
            Kind::Number => {
                let said = Json::read(header.as_bytes(), &Limits::default()).ok();
                let said = said
                    .filter(|said| said.kind() == Kind::Number)
                    .and_then(|said| integer(said.text()));
                said.is_some() && said == integer(argument.text())
            }
            Kind::Array | Kind::Null | Kind::Object => false,
        };
        if equal { Ok(()) } else { Err(mismatch()) }
    }

    /// The argument at the path, unless it is null.
    fn argument<'a>(&self, arguments: Json<'a>) -> Option<Json<'a>> {
        let found = self.path.iter().try_fold(arguments, |value, name| value.get(name));
        found.filter(|argument| !argument.is_null())
    }
}

/// The integer that a JSON number stands for, exactly (`42`, `42.0` and `4.2e1` are one), within the safe range.
fn integer(number: &str) -> Option<i64> {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or((1, mantissa), |rest| (-1, rest));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = [whole, fraction].concat();
    let significant = digits.trim_end_matches('0').len();
    if significant == 0 {
        return Some(0);
    }
    digits.truncate(significant);
    // What is left ends in a digit other than 0, so no digit may stand after the point, and few zeros before it.
    let point = i64::try_from(whole.len()).ok()?.checked_add(exponent.parse().ok()?)?;
    let zeros = point.checked_sub(i64::try_from(significant).ok()?)?;
    let scale = 10_i64.checked_pow(u32::try_from(zeros).ok()?)?;
    let value = digits.parse::<i64>().ok()?.checked_mul(scale)?;
    (value <= SAFE_INTEGER).then_some(sign * value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specifications_examples() {
        for (value, header) in [
            ("us-west1", "us-west1"),
            ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
            (" padded ", "=?base64?IHBhZGRlZCA=?="),
            ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
            ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
            ("", ""),
        ] {
            assert_eq!(encode_header(value), header);
            assert_eq!(decode_header(header.as_bytes()).unwrap(), value);
        }
    }

    #[test]
    fn refuses_what_is_not_a_header() {
        for (header, fault) in [
            (&b"\xC3\xA9"[..], HeaderFault::Character),
            (b"a\0b", HeaderFault::Character),
            (b"a\x7F", HeaderFault::Character),
            (b"=?base64?!?=", HeaderFault::Base64),
            (b"=?base64?YQ?=", HeaderFault::Base64),
            (b"=?base64?/w==?=", HeaderFault::Base64),
            (&[b'a'; 8193], HeaderFault::TooLong { limit: 8192 }),
        ] {
            assert_eq!(decode_header(header), Err(fault));
        }
        // The markers are case-sensitive and belong together.
        for header in ["=?BASE64?YQ==?=", "=?base64?YQ==", "=?base64?=", " \ta b\t"] {
            assert_eq!(decode_header(header.as_bytes()).unwrap(), header.trim());
        }
    }

    #[test]
    fn integers_are_exact() {
        for (number, expect) in [
            ("42", Some(42)),
            ("42.0", Some(42)),
            ("4.2e1", Some(42)),
            ("-4200E-2", Some(-42)),
            ("-0.0", Some(0)),
            ("0e999999999999", Some(0)),
            ("9007199254740991", Some(9007199254740991)),
            ("-9007199254740991", Some(-9007199254740991)),
            ("9007199254740992", None),
            ("9007199254740991.4", None),
            ("1e300", None),
            ("1e-300", None),
            ("42.5", None),
            ("0.1", None),
            ("123456789012345678901234567890", None),
        ] {
            assert_eq!(integer(number), expect, "{number}");
        }
    }
}
