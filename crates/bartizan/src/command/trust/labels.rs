//! `trust suggest-labels`: a proposal, as it would stand in the configuration.

use mcp::{Json, Limits};
use serde_json::json;

use super::{Desk, ask};
use crate::{cli::Output, print};

pub async fn run(desk: &Desk<'_>, server: &str) -> anyhow::Result<()> {
    let entry = desk.server(server)?;
    ask::refresh(desk, &entry.name).await?;
    let (mut toml, mut lines) = (String::new(), Vec::new());
    for pin in desk.pins(entry).await?.into_iter().filter(|pin| pin.kind == "tool") {
        let texts = desk.store.pin_texts(&pin.identity, &pin.kind, &pin.name).await?;
        let text = texts.map(|texts| texts.seen).unwrap_or_default();
        let Ok(definition) = Json::read(text.as_bytes(), &Limits::default()) else { continue };
        let found = trust::suggest(definition);
        if found.reads.is_empty() && found.writes.is_empty() {
            continue;
        }
        lines.push(json!({
            "tool": pin.name, "reads": found.reads, "writes": found.writes, "because": found.because,
        }));
        let name = toml_edit::Key::new(pin.name.as_str());
        for because in &found.because {
            toml.push_str(&format!("# {}\n", print::tame(because).replace('\n', " ")));
        }
        toml.push_str(&format!("[servers.{server}.tools.{}]\n", name.display_repr()));
        for (member, labels) in [("reads", &found.reads), ("writes", &found.writes)] {
            if !labels.is_empty() {
                let labels: toml_edit::Array = labels.iter().copied().collect();
                toml.push_str(&format!("{member} = {labels}\n"));
            }
        }
        toml.push('\n');
    }
    if desk.global.output == Output::Json {
        return print::json(&lines);
    }
    if lines.is_empty() {
        return print::line(&format!("# no label suggests itself for the tools of {server}"));
    }
    print::text(&toml)
}
