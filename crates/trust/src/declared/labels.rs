//! What a publisher says of a tool's risk, in the draft's words.

use mcp::Json;

/// The block `trust` of a declaration. Each word that is unknown or missing counts as the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Labels {
    /// What a call does.
    pub effect: Effect,
    /// Where data goes.
    pub egress: Egress,
    /// What it reads.
    pub sensitivity: Sensitivity,
    /// Whether it can be undone.
    pub reversible: bool,
    /// Whether a second call changes nothing.
    pub idempotent: bool,
}

/// What a call does, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are the draft's own")]
pub enum Effect {
    ReadOnly,
    WritesData,
    Destructive,
}

/// Where data goes, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are the draft's own")]
pub enum Egress {
    None,
    Internal,
    External,
}

/// What a call reads, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are the draft's own")]
pub enum Sensitivity {
    Public,
    Internal,
    Confidential,
    Secret,
}

impl Labels {
    /// Those of a declaration; `None` when it has none.
    pub fn of(declaration: Json<'_>) -> Option<Labels> {
        let labels = declaration.get("trust")?;
        let word = |name: &str| labels.get(name).and_then(Json::string).unwrap_or_default();
        let holds = |name: &str| labels.get(name).and_then(Json::boolean) == Some(true);
        Some(Labels {
            effect: match &*word("effect") {
                "read-only" => Effect::ReadOnly,
                "writes-data" => Effect::WritesData,
                _ => Effect::Destructive,
            },
            egress: match &*word("egress") {
                "none" => Egress::None,
                "internal" => Egress::Internal,
                _ => Egress::External,
            },
            sensitivity: match &*word("dataSensitivity") {
                "public" => Sensitivity::Public,
                "internal" => Sensitivity::Internal,
                "confidential" => Sensitivity::Confidential,
                _ => Sensitivity::Secret,
            },
            reversible: holds("reversible"),
            idempotent: holds("idempotent"),
        })
    }
}
