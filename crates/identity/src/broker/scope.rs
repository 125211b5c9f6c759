//! Scopes: what a client asked for, and what it was given (RFC 6749 §3.3).

use std::fmt;

use serde::{Deserialize, Serialize};

/// A set of scopes in the order in which they were named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scopes(Vec<String>);

/// The text is no list of scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a scope is at most 128 visible ASCII characters without quote and backslash; at most 64 scopes"
)]
pub struct ScopeFault;

impl Scopes {
    /// Scopes that one request may name.
    pub const COUNT: usize = 64;
    /// Bytes of one scope.
    pub const LENGTH: usize = 128;

    /// Reads a list that is separated by spaces. A scope that is named twice is kept once.
    pub fn parse(text: &str) -> Result<Scopes, ScopeFault> {
        let mut scopes = Scopes::default();
        for scope in text.split(' ').filter(|scope| !scope.is_empty()) {
            let plain = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
            if scope.len() > Self::LENGTH || !scope.bytes().all(plain) {
                return Err(ScopeFault);
            }
            if !scopes.contains(scope) {
                scopes.0.push(scope.to_owned());
            }
            if scopes.0.len() > Self::COUNT {
                return Err(ScopeFault);
            }
        }
        Ok(scopes)
    }

    /// Whether this one is among them.
    pub fn contains(&self, scope: &str) -> bool {
        self.0.iter().any(|held| held == scope)
    }

    /// Those that are in `other` too, in this order.
    pub fn within(&self, other: &Scopes) -> Scopes {
        Scopes(self.0.iter().filter(|scope| other.contains(scope)).cloned().collect())
    }

    /// Whether all of them are in `other`.
    pub fn is_within(&self, other: &Scopes) -> bool {
        self.0.iter().all(|scope| other.contains(scope))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

impl TryFrom<String> for Scopes {
    type Error = ScopeFault;

    fn try_from(text: String) -> Result<Self, ScopeFault> {
        Scopes::parse(&text)
    }
}

impl From<Scopes> for String {
    fn from(scopes: Scopes) -> String {
        scopes.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_a_set_in_order() {
        let scopes = Scopes::parse("b  a b").unwrap();
        assert_eq!(scopes.to_string(), "b a");
        assert_eq!(scopes.within(&Scopes::parse("a c").unwrap()).to_string(), "a");
        assert!(!scopes.is_within(&Scopes::parse("a").unwrap()));
        assert!(Scopes::parse("").unwrap().is_empty());
        for bad in ["a\"", "a\\", "ä", "a\tb", &"x".repeat(129)] {
            assert_eq!(Scopes::parse(bad), Err(ScopeFault), "{bad}");
        }
        let many: Vec<String> = (0..65).map(|number| number.to_string()).collect();
        assert_eq!(Scopes::parse(&many.join(" ")), Err(ScopeFault));
    }
}
