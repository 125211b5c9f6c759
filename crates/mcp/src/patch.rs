//! Changing members of an object in place: the rest stays byte for byte.

use std::borrow::Cow;

use crate::json::quote_onto;
use crate::{Json, JsonBuf};

/// A list of changes to one object. Untouched members keep their bytes, order and white space.
///
/// Where two changes name the same member the later one counts. A member is found by its decoded name, so one
/// that is written with escapes can't slip past; when its value is replaced its name stays as written.
#[derive(Clone, Debug)]
pub struct Patch<'a> {
    object: Json<'a>,
    changes: Vec<(&'a str, Option<Cow<'a, str>>)>,
}

impl<'a> Patch<'a> {
    /// Starts with no change. A value that is not an object is treated as `{}`.
    pub fn of(object: Json<'a>) -> Self {
        Patch { object, changes: Vec::new() }
    }

    /// Replaces the member's value, or adds it at the end. `value` is JSON text that the caller vouches for
    /// (made by [`crate::quote`], serde_json, another `Patch`, or a [`Json`]'s text).
    pub fn set(mut self, name: &'a str, value: impl Into<Cow<'a, str>>) -> Self {
        self.change(name, Some(value.into()));
        self
    }

    /// Removes the member if it is there.
    pub fn remove(mut self, name: &'a str) -> Self {
        self.change(name, None);
        self
    }

    /// Whether nothing would change by writing (no change was asked for).
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Writes the changed object.
    pub fn text(&self) -> String {
        let object =
            if self.object.kind() == crate::Kind::Object { self.object } else { Json::EMPTY };
        Writer::new(object.text(), self.added_length()).write(object, &self.changes)
    }

    /// Writes the changed object as an owned value; what it is made of was already read strictly.
    pub fn build(&self) -> JsonBuf {
        JsonBuf::vouched(self.text())
    }

    fn change(&mut self, name: &'a str, value: Option<Cow<'a, str>>) {
        match self.changes.iter_mut().find(|(known, _)| *known == name) {
            Some((_, earlier)) => *earlier = value,
            None => self.changes.push((name, value)),
        }
    }

    fn added_length(&self) -> usize {
        let one = |(name, value): &(&str, Option<Cow<'_, str>>)| {
            value.as_ref().map_or(0, |v| name.len() + v.len() + 8)
        };
        self.changes.iter().map(one).sum()
    }
}

/// Copies the source, all of it in order, but for what is changed.
struct Writer<'a> {
    source: &'a str,
    /// How far the source was copied or skipped.
    done: usize,
    out: String,
    /// Whether a member was written.
    any: bool,
}

impl<'a> Writer<'a> {
    fn new(source: &'a str, added: usize) -> Self {
        Writer { source, done: 0, out: String::with_capacity(source.len() + added), any: false }
    }

    fn write(mut self, object: Json<'a>, changes: &[(&str, Option<Cow<'_, str>>)]) -> String {
        let mut found = vec![false; changes.len()];
        for (index, member) in object.spans().enumerate() {
            let change = changes.iter().position(|(name, _)| member.is_named(name));
            if let Some(seen) = change.and_then(|change| found.get_mut(change)) {
                *seen = true;
            }
            let value =
                change.and_then(|change| changes.get(change)).map(|(_, value)| value.as_deref());
            if value == Some(None) {
                // With its comma and the white space before it; the brace's own white space stays.
                if index == 0 {
                    self.copy_to(member.at);
                }
                self.done = member.end;
                continue;
            }
            if !self.any && index > 0 {
                // All before it are gone, so the comma goes too.
                self.done = member.at;
            }
            self.any = true;
            if let Some(Some(value)) = value {
                self.copy_to(member.value_at);
                self.out.push_str(value);
                self.done = member.end;
            } else {
                self.copy_to(member.end);
            }
        }
        if self.done == 0 {
            // An empty object: what is added stands before its white space.
            self.copy_to(1);
        }
        for ((name, value), _) in changes.iter().zip(found).filter(|(_, found)| !found) {
            if let Some(value) = value {
                self.add(name, value);
            }
        }
        self.copy_to(self.source.len());
        self.out
    }

    fn copy_to(&mut self, end: usize) {
        self.out.push_str(self.source.get(self.done..end).unwrap_or_default());
        self.done = end;
    }

    fn add(&mut self, name: &str, value: &str) {
        if self.any {
            self.out.push(',');
        }
        self.any = true;
        quote_onto(&mut self.out, name);
        self.out.push(':');
        self.out.push_str(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    const SPACED: &str = "{ \"a\" : 1 ,\n \"b\":[1.10] , \"\\u0063\":3 }";

    fn check(object: &str, patch: impl FnOnce(Patch<'_>) -> Patch<'_>, expect: &str) {
        let object = Json::read(object.as_bytes(), &Limits::default()).unwrap();
        let built = patch(Patch::of(object)).build();
        assert_eq!(built.json().text(), expect);
        Json::read(built.bytes(), &Limits::default()).unwrap();
    }

    #[test]
    fn no_change_is_the_same_bytes() {
        check(SPACED, |patch| patch, SPACED);
        check("{ }", |patch| patch, "{ }");
    }

    #[test]
    fn set_replaces_in_place_or_adds_at_the_end() {
        check(
            SPACED,
            |patch| patch.set("a", "null"),
            "{ \"a\" : null ,\n \"b\":[1.10] , \"\\u0063\":3 }",
        );
        check(
            SPACED,
            |patch| patch.set("c", "4"),
            "{ \"a\" : 1 ,\n \"b\":[1.10] , \"\\u0063\":4 }",
        );
        check(
            SPACED,
            |patch| patch.set("d\"", "4"),
            "{ \"a\" : 1 ,\n \"b\":[1.10] , \"\\u0063\":3,\"d\\\"\":4 }",
        );
        check("{}", |patch| patch.set("a", "1").set("b", "2"), "{\"a\":1,\"b\":2}");
        check("{ }", |patch| patch.set("a", "1"), "{\"a\":1 }");
        check("[1]", |patch| patch.set("a", "1"), "{\"a\":1}");
    }

    #[test]
    fn remove_takes_one_comma_along() {
        check(SPACED, |patch| patch.remove("a"), "{ \"b\":[1.10] , \"\\u0063\":3 }");
        check(SPACED, |patch| patch.remove("b"), "{ \"a\" : 1 , \"\\u0063\":3 }");
        check(SPACED, |patch| patch.remove("c"), "{ \"a\" : 1 ,\n \"b\":[1.10] }");
        check(SPACED, |patch| patch.remove("a").remove("b"), "{ \"\\u0063\":3 }");
        check(SPACED, |patch| patch.remove("b").remove("c"), "{ \"a\" : 1 }");
        check(SPACED, |patch| patch.remove("a").remove("b").remove("c"), "{  }");
        check(SPACED, |patch| patch.remove("d"), SPACED);
        check("{\"a\":1}", |patch| patch.remove("a").set("b", "2"), "{\"b\":2}");
    }

    #[test]
    fn the_later_change_wins() {
        check("{\"a\":1}", |patch| patch.set("a", "2").set("a", "3"), "{\"a\":3}");
        check("{\"a\":1}", |patch| patch.set("a", "2").remove("a"), "{}");
        check("{\"a\":1}", |patch| patch.remove("a").set("a", "2"), "{\"a\":2}");
        check("{}", |patch| patch.set("a", "2").set("a", "3").remove("b"), "{\"a\":3}");
    }
}
