//! A second opinion on JSON: serde_json, with the rules added that it does not have.

use std::collections::HashSet;
use std::fmt;

use mcp::Limits;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// A JSON value with all its members in their order.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    Array(Vec<Tree>),
    Boolean(bool),
    Null,
    /// Only integers that fit are kept.
    Number(Option<i64>),
    Object(Vec<(String, Tree)>),
    String(String),
}

/// What a strict reading of `bytes` should give. `Err` says why it should be refused.
pub fn read(bytes: &[u8], limits: &Limits) -> Result<Tree, String> {
    if bytes.len() > limits.bytes {
        return Err("too long".to_owned());
    }
    let tree: Tree = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if tree.depth() > limits.depth {
        return Err("too deep".to_owned());
    }
    if tree.values() > limits.values {
        return Err("too many".to_owned());
    }
    Ok(tree)
}

impl Tree {
    /// The member `name` of an object.
    pub fn get(&self, name: &str) -> Option<&Tree> {
        match self {
            Tree::Object(members) => {
                members.iter().find(|(known, _)| known == name).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    fn parts(&self) -> Vec<&Tree> {
        match self {
            Tree::Array(items) => items.iter().collect(),
            Tree::Object(members) => members.iter().map(|(_, value)| value).collect(),
            _ => Vec::new(),
        }
    }

    fn depth(&self) -> usize {
        match self {
            Tree::Array(_) | Tree::Object(_) => {
                1 + self.parts().into_iter().map(Tree::depth).max().unwrap_or(0)
            }
            _ => 0,
        }
    }

    fn values(&self) -> usize {
        1 + self.parts().into_iter().map(Tree::values).sum::<usize>()
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Number(Some(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Number(i64::try_from(value).ok()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Tree, E> {
        Ok(Tree::Number(None))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::String(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = array.next_element()? {
            items.push(item);
        }
        Ok(Tree::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Tree, A::Error> {
        let mut members = Vec::new();
        let mut names = HashSet::new();
        while let Some((name, value)) = object.next_entry::<String, Tree>()? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom("duplicate member name"));
            }
            members.push((name, value));
        }
        Ok(Tree::Object(members))
    }
}
