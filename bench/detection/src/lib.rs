//! What the trainer and the bench share: labelled texts, and where to get them.
#![forbid(unsafe_code)]

pub mod harvest;
pub mod random;
pub mod template;

use std::{fs, path::Path};

use anyhow::{Context, Result};
use inspect::Surface;
use serde::Deserialize;

/// A labelled text of a corpus: one line of JSON.
#[derive(Clone, Debug, Deserialize)]
pub struct Item {
    /// Unique in its file.
    pub id: String,
    /// Where it comes from; what is compared is compared by source.
    pub source: String,
    /// `tool_description`, `tool_result`, `tool_args` or `prompt`.
    pub kind: Surface,
    /// `attack` or `benign`.
    pub label: String,
    /// What sort of either.
    pub category: String,
    /// What the attack was made of: the beginning of it where it was put into a text.
    #[serde(default)]
    pub group: String,
    /// The text itself.
    pub text: String,
}

impl Item {
    /// Whether it should be found.
    pub fn is_attack(&self) -> bool {
        self.label == "attack"
    }
}

/// Reads every `*.jsonl` of a folder, in order of name.
pub fn corpora(folder: &Path) -> Result<Vec<Item>> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .with_context(|| format!("reading the folder {}", folder.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    files.sort();
    let mut items = Vec::new();
    for file in files {
        let source = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for (number, line) in fs::read_to_string(&file)?.lines().enumerate() {
            let item: Item = serde_json::from_str(line)
                .with_context(|| format!("{}:{}", file.display(), number + 1))?;
            items.push(Item { source: source.clone(), ..item });
        }
    }
    Ok(items)
}
