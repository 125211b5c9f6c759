//! `[flow]`, `[call-stack]` and the labels of servers: what a conversation has read decides where it may write.

use std::{fmt, str::FromStr, time::Duration};

use policy::{FlowAction, FlowRule, Labels};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::value::{Bounded, Period, ValueFault};

/// Where data may flow. Servers say with `reads` and `writes` what their tools do; a conversation keeps what it has read, and these
/// rules decide where it may write then. They look at no content, so they hold when every detector is wrong.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Flow {
    /// `WHEN -> TO: ask` or `block`: a conversation that has read all of WHEN may not write any of TO. `ask`: the call waits for an approver (`[approvals]`). `block`: it is refused until somebody lets the conversation begin anew (`bartizan flow reset`).
    #[schemars(with = "Vec<String>", extend("examples" = [json!(["private + untrusted -> external: block"])]))]
    pub rules: Vec<RuleText>,
    /// What is one conversation.
    #[schemars(with = "Conversation")]
    pub conversation: Conversation,
    /// A conversation that has read nothing new for so long begins anew by itself.
    pub forget_after: Period,
}

impl Default for Flow {
    fn default() -> Self {
        Flow {
            rules: FlowRule::DEFAULT.map(RuleText).to_vec(),
            conversation: Conversation::Session,
            forget_after: Period(Duration::from_secs(24 * 3600)),
        }
    }
}

/// What is one conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Conversation {
    /// A session of the older revisions. In revision 2026-07-28, which has none, requests with one `dev.bartizan/conversation` in `_meta`; those without it are one conversation.
    #[default]
    Session,
    /// All that one caller does: nothing is forgotten by connecting again.
    Principal,
}

/// Which tools may be called while others are under way. Only what the gateway itself saw counts.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct CallStack {
    /// How many calls of one conversation may be under way, each above the other.
    #[schemars(extend("examples" = [10]))]
    pub max_depth: Option<Bounded<1, 1000>>,
    /// Lets a tool be called while it is under way itself.
    pub cycles: bool,
    /// If there are any: which tool may be called while which is under way, as `server/tool -> server/tool`; `*` stands for any text.
    #[schemars(with = "Vec<String>", extend("examples" = [json!(["planner/* -> files/read_*"])]))]
    pub allowed: Vec<ChainText>,
    /// What may not be called while others are under way, directly or through more.
    #[schemars(with = "Vec<String>", extend("examples" = [json!(["web/* -> mail/send_*"])]))]
    pub blocked: Vec<ChainText>,
}

impl CallStack {
    /// As the gateway takes it.
    pub fn resolve(&self) -> trust::StackRules {
        let chains = |texts: &[ChainText]| texts.iter().map(|text| text.0.clone()).collect();
        trust::StackRules {
            depth: self.max_depth.map(|depth| depth.0 as usize),
            cycles: self.cycles,
            allowed: chains(&self.allowed),
            blocked: chains(&self.blocked),
        }
    }
}

/// What some tools of a server read and write.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ToolLabels {
    /// `private`: what not everybody may see. `untrusted`: what strangers can write.
    #[schemars(with = "Vec<String>", extend("examples" = [json!(["private", "untrusted"])]))]
    pub reads: Vec<Reads>,
    /// `external`: to where others can read. `destructive`: what can't be taken back.
    #[schemars(with = "Vec<String>", extend("examples" = [json!(["external"])]))]
    pub writes: Vec<Writes>,
}

/// What can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reads {
    Private,
    Untrusted,
}

/// What can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Writes {
    External,
    Destructive,
}

/// Both as one set.
pub fn labels(reads: &[Reads], writes: &[Writes]) -> Labels {
    let reads = reads.iter().map(|of| match of {
        Reads::Private => Labels::PRIVATE,
        Reads::Untrusted => Labels::UNTRUSTED,
    });
    let writes = writes.iter().map(|of| match of {
        Writes::External => Labels::EXTERNAL,
        Writes::Destructive => Labels::DESTRUCTIVE,
    });
    reads.chain(writes).fold(Labels::NONE, Labels::and)
}

/// A rule as text.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RuleText(pub FlowRule);

impl FromStr for RuleText {
    type Err = ValueFault;

    fn from_str(text: &str) -> Result<Self, ValueFault> {
        let rule = || {
            let (flow, action) = text.rsplit_once(':')?;
            let (when, to) = flow.split_once("->")?;
            let set = |text: &str| {
                text.split('+')
                    .try_fold(Labels::NONE, |set, name| Some(set.and(Labels::named(name.trim())?)))
            };
            let (when, to) = (set(when)?, set(to)?);
            let action = match action.trim() {
                "ask" => FlowAction::Ask,
                "block" => FlowAction::Block,
                _ => return None,
            };
            let sides = when.writes().is_none() && to.reads().is_none() && !to.is_none();
            sides.then_some(RuleText(FlowRule { when, to, action }))
        };
        rule().ok_or_else(|| {
            ValueFault::new(
                format!("`{text}` is not a flow rule"),
                "write what was read, what would be written, and ask or block, as in \"private + untrusted -> external: ask\"",
            )
        })
    }
}

impl fmt::Display for RuleText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = match self.0.action {
            FlowAction::Ask => "ask",
            FlowAction::Block => "block",
        };
        write!(f, "{} -> {}: {action}", self.0.when, self.0.to)
    }
}

impl TryFrom<String> for RuleText {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        text.parse()
    }
}

impl From<RuleText> for String {
    fn from(rule: RuleText) -> String {
        rule.to_string()
    }
}

/// A chain as text.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChainText(pub trust::Chain);

impl TryFrom<String> for ChainText {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        text.parse().map(ChainText).map_err(|_| {
            ValueFault::new(
                format!("`{text}` is not a chain of calls"),
                "write two or more of server/tool joined by ->, as in \"web/* -> mail/send_*\"",
            )
        })
    }
}

impl From<ChainText> for String {
    fn from(chain: ChainText) -> String {
        chain.0.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_written_as_they_are_read() {
        for rule in FlowRule::DEFAULT.map(RuleText) {
            let text = rule.to_string();
            assert_eq!(text.parse::<RuleText>().map(|rule| rule.0).ok(), Some(rule.0), "{text}");
        }
        for text in [
            "",
            "private",
            "private -> external",
            "external -> private: ask",
            "private -> : ask",
            "x -> external: ask",
            "private -> external: allow",
        ] {
            assert!(text.parse::<RuleText>().is_err(), "{text}");
        }
    }
}
