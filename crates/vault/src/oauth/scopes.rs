//! Sets of scopes.

use std::collections::BTreeSet;
use std::fmt;

/// A set of scope tokens (RFC 6749 §3.3). At most [`Scopes::MOST`]; what is no token is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Scopes(BTreeSet<Box<str>>);

impl Scopes {
    /// More than these are not kept.
    pub const MOST: usize = 100;
    /// What asks for a refresh token, where the server has such a scope.
    pub const OFFLINE: &'static str = "offline_access";

    /// From a space-separated list.
    pub fn parse(text: &str) -> Scopes {
        text.split(' ').collect()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this one is in it.
    pub fn contains(&self, scope: &str) -> bool {
        self.0.contains(scope)
    }

    /// Whether all of `other` are in it.
    pub fn covers(&self, other: &Scopes) -> bool {
        other.0.is_subset(&self.0)
    }

    /// Those of both.
    pub fn union(&self, other: &Scopes) -> Scopes {
        self.0.iter().chain(&other.0).map(|scope| &**scope).collect()
    }
}

impl<'a> FromIterator<&'a str> for Scopes {
    fn from_iter<I: IntoIterator<Item = &'a str>>(tokens: I) -> Scopes {
        let token = |text: &&str| {
            let visible = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
            !text.is_empty() && text.len() <= 256 && text.bytes().all(visible)
        };
        let mut scopes = BTreeSet::new();
        for text in tokens.into_iter().filter(token) {
            if scopes.len() < Scopes::MOST {
                scopes.insert(text.into());
            }
        }
        Scopes(scopes)
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, scope) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tokens_are_kept_and_only_so_many() {
        assert_eq!(Scopes::parse(" b a  b \u{e9} a\"b ").to_string(), "a b");
        let many: Vec<String> = (0..200).map(|at| format!("s{at}")).collect();
        assert_eq!(Scopes::parse(&many.join(" ")).0.len(), Scopes::MOST);
    }

    #[test]
    fn union_and_cover() {
        let (one, other) = (Scopes::parse("a b"), Scopes::parse("b c"));
        assert_eq!(one.union(&other), Scopes::parse("a b c"));
        assert!(one.union(&other).covers(&other) && !one.covers(&other));
    }
}
