//! Attacks and their benign look-alikes, made of templates.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use crate::random::Random;

/// Lists by name: templates, or what fills their slots.
pub type Lists = BTreeMap<String, Vec<String>>;

/// The templates of this project.
pub struct Templates {
    lists: Lists,
    slots: Lists,
}

impl Templates {
    /// Reads the bundled files.
    pub fn bundled() -> Result<Templates> {
        let mut lists: Lists =
            toml::from_str(include_str!("../data/attacks.toml")).context("attacks.toml")?;
        lists.extend(
            toml::from_str::<Lists>(include_str!("../data/benign.toml")).context("benign.toml")?,
        );
        let slots = toml::from_str(include_str!("../data/slots.toml")).context("slots.toml")?;
        Ok(Templates { lists, slots })
    }

    /// A template of the list, filled.
    pub fn make(&self, list: &str, random: &mut Random) -> String {
        let Some(templates) = self.lists.get(list) else { return String::new() };
        let mut text = random.of(templates).clone();
        // Slots may be filled with text that has slots.
        for _ in 0..4 {
            text = self.fill(&text, random);
            if !text.contains('{') {
                break;
            }
        }
        text
    }

    /// How many templates the list has.
    pub fn count(&self, list: &str) -> usize {
        self.lists.get(list).map_or(0, Vec::len)
    }

    fn fill(&self, text: &str, random: &mut Random) -> String {
        let mut out = String::with_capacity(text.len() * 2);
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            out.push_str(&rest[..open]);
            rest = &rest[open..];
            let name = rest[1..].split('}').next().unwrap_or_default();
            let list = self.slots.get(name).or_else(|| self.lists.get(name));
            match list.filter(|list| !list.is_empty()) {
                Some(list) => {
                    out.push_str(random.of::<String>(list));
                    rest = &rest[name.len() + 2..];
                }
                None => {
                    out.push('{');
                    rest = &rest[1..];
                }
            }
        }
        out.push_str(rest);
        out
    }
}
