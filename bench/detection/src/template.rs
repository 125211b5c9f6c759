//! Attacks and their benign look-alikes, made of templates.

use std::{collections::BTreeMap, fs, path::Path};

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
    /// Reads the files of the folder.
    pub fn read(folder: &Path) -> Result<Templates> {
        let file = |name: &str| -> Result<Lists> {
            let text = fs::read_to_string(folder.join(name)).with_context(|| name.to_owned())?;
            toml::from_str(&text).with_context(|| name.to_owned())
        };
        let mut lists = file("attacks.toml")?;
        lists.extend(file("benign.toml")?);
        Ok(Templates { lists, slots: file("slots.toml")? })
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
