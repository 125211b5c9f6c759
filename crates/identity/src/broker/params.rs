//! Parameters of a request, as a query or a form carries them.

use std::borrow::Cow;

use url::form_urlencoded;

/// Parameters by name; none is there twice but `resource`, which RFC 8707 lets a client repeat.
#[derive(Clone, Debug, Default)]
pub struct Params(Vec<(String, String)>);

/// Why parameters are not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParamsFault {
    /// A name is there twice (RFC 6749 §3.1).
    #[error("the parameter {0} is there twice")]
    Twice(String),
    /// Too long, or too many.
    #[error("the parameters are too long or too many")]
    TooMuch,
}

impl Params {
    /// Bytes of all of them.
    pub const LENGTH: usize = 32 << 10;
    /// How many there may be.
    pub const COUNT: usize = 64;

    /// Reads `application/x-www-form-urlencoded`.
    pub fn parse(text: &[u8]) -> Result<Params, ParamsFault> {
        if text.len() > Self::LENGTH {
            return Err(ParamsFault::TooMuch);
        }
        let mut params = Params::default();
        for (name, value) in form_urlencoded::parse(text) {
            if params.0.len() == Self::COUNT {
                return Err(ParamsFault::TooMuch);
            }
            if name != "resource" && params.get(&name).is_some() {
                return Err(ParamsFault::Twice(name.chars().take(64).collect()));
            }
            // Without a value it counts as not there (RFC 6749 §3.1).
            if !value.is_empty() {
                params.0.push((name.into_owned(), value.into_owned()));
            }
        }
        Ok(params)
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(held, _)| held == name).map(|(_, value)| value.as_str())
    }

    /// All values of a parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(held, _)| held == name).map(|(_, value)| value.as_str())
    }
}

/// Writes `application/x-www-form-urlencoded`; pairs without a value are left out.
pub fn encode<'a>(pairs: impl IntoIterator<Item = (&'a str, Option<Cow<'a, str>>)>) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs {
        if let Some(value) = value {
            form.append_pair(name, &value);
        }
    }
    form.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_counts_once() {
        let params = Params::parse(b"a=1&b=&resource=x&resource=y&c=%C3%A4+%26").unwrap();
        assert_eq!(
            (params.get("a"), params.get("b"), params.get("c")),
            (Some("1"), None, Some("ä &"))
        );
        assert_eq!(params.all("resource").collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(Params::parse(b"a=1&a=1").unwrap_err(), ParamsFault::Twice("a".into()));
        assert_eq!(Params::parse(&[b'a'; 33 << 10]).unwrap_err(), ParamsFault::TooMuch);
        let many: Vec<String> = (0..65).map(|number| format!("{number}=1")).collect();
        assert_eq!(Params::parse(many.join("&").as_bytes()).unwrap_err(), ParamsFault::TooMuch);
    }
}
