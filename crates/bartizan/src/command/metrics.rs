//! `metrics`: what the running gateway counts.

use gateway::Control;
use serde_json::Value;

use super::processes::ask;
use crate::{cli::Global, print};

pub fn run(global: &Global) -> anyhow::Result<()> {
    match ask(global, Control::Metrics)? {
        Value::String(exposition) => print::text(&exposition),
        _ => anyhow::bail!(
            "the running gateway does not know this question: it is of another version"
        ),
    }
}
