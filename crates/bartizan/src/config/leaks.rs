//! `[leaks]`: secrets that servers say.

use gateway::leak::OnLeak;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Secrets that servers say. Every value that Bartizan has resolved (credentials, variables of child processes, grants) is looked for in what
/// servers answer and notify, raw and encoded, and in its own log and records. Values of fewer than 8 bytes are not. docs/leaks.md explains it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Leaks {
    /// What happens to an answer or a notification with such a value in it. Either way it is recorded.
    #[schemars(with = "Action")]
    pub action: Action,
}

/// What happens to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// `[secret]` stands where the value stood.
    #[default]
    Mask,
    /// The answer is refused, the notification dropped.
    Block,
}

impl Leaks {
    /// As the gateway has it.
    pub fn resolve(&self) -> OnLeak {
        match self.action {
            Action::Mask => OnLeak::Mask,
            Action::Block => OnLeak::Block,
        }
    }
}
