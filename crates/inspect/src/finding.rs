//! What was found, where, and how bad it is.

use std::{fmt, ops::Range, sync::Arc};

use serde::{Deserialize, Serialize};

/// Where a text comes from. It decides which rules apply and how the model judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Surface {
    /// Arguments of a call, written by the model.
    #[serde(alias = "tool_args")]
    Arguments,
    /// Name, descriptions and schemas of a tool, prompt or resource, written by its server.
    #[serde(alias = "tool_description")]
    Definition,
    /// What a person or a prompt template says to the model.
    #[serde(alias = "prompt")]
    Prompt,
    /// What a tool, resource or question of a server brings into the model's context.
    #[serde(alias = "tool_result")]
    Result,
}

impl Surface {
    /// All of them.
    pub const ALL: [Surface; 4] =
        [Surface::Arguments, Surface::Definition, Surface::Prompt, Surface::Result];

    /// Its name in rules and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Surface::Arguments => "arguments",
            Surface::Definition => "definition",
            Surface::Prompt => "prompt",
            Surface::Result => "result",
        }
    }
}

/// What kind of harm a finding points at. Actions are configured by class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// An argument that breaks out of its type: traversal, injection, SSRF, deserialisation.
    Argument,
    /// A tool that says it does harm.
    Capability,
    /// Links, images and parameters that carry data out.
    Exfiltration,
    /// Characters and encodings that hide text from people.
    Hidden,
    /// Text that gives orders to the model.
    Injection,
    /// Data about people.
    Personal,
    /// A schema that lets anything through.
    Schema,
    /// Credentials.
    Secret,
}

impl Class {
    /// All of them.
    pub const ALL: [Class; 8] = [
        Class::Argument,
        Class::Capability,
        Class::Exfiltration,
        Class::Hidden,
        Class::Injection,
        Class::Personal,
        Class::Schema,
        Class::Secret,
    ];

    /// Its name in configuration and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Argument => "argument",
            Class::Capability => "capability",
            Class::Exfiltration => "exfiltration",
            Class::Hidden => "hidden",
            Class::Injection => "injection",
            Class::Personal => "personal",
            Class::Schema => "schema",
            Class::Secret => "secret",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How sure and how bad. Only [`Severity::Medium`] and above count as flagged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth a look beside other findings.
    Low,
    /// Likely an attack; a person should look.
    Medium,
    /// Hardly anything else than an attack.
    High,
}

impl Severity {
    /// Its name in rules and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
        }
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule's id, `model.injection` for the model.
    pub rule: Arc<str>,
    /// What harm it points at.
    pub class: Class,
    /// How sure and how bad.
    pub severity: Severity,
    /// Bytes of the inspected text.
    pub at: Range<usize>,
    /// How the text had to be read to see it: `plain`, or decoding steps such as `base64`.
    pub via: String,
    /// One sentence, safe for the client.
    pub message: Arc<str>,
}

impl Finding {
    /// Whether it is more than a hint.
    pub fn flagged(&self) -> bool {
        self.severity >= Severity::Medium
    }
}

/// The worst severity among `findings`.
pub fn worst(findings: &[Finding]) -> Option<Severity> {
    findings.iter().map(|finding| finding.severity).max()
}
