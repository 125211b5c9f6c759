//! Where data may flow: what a conversation has read decides where it may write. These rules look at
//! no content, so they hold when every detector is wrong and the agent obeys every injected order.

use std::fmt;

use crate::glob::Glob;

/// What a tool reads and writes, or what a conversation has read: a small set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Labels(u8);

impl Labels {
    /// Nothing.
    pub const NONE: Labels = Labels(0);
    /// Reads what not everybody may see.
    pub const PRIVATE: Labels = Labels(1);
    /// Reads what strangers can write.
    pub const UNTRUSTED: Labels = Labels(2);
    /// Writes to where others can read.
    pub const EXTERNAL: Labels = Labels(4);
    /// Writes what can't be taken back.
    pub const DESTRUCTIVE: Labels = Labels(8);

    const NAMES: [(&'static str, Labels); 4] = [
        ("private", Labels::PRIVATE),
        ("untrusted", Labels::UNTRUSTED),
        ("external", Labels::EXTERNAL),
        ("destructive", Labels::DESTRUCTIVE),
    ];

    /// Both.
    pub fn and(self, other: Labels) -> Labels {
        Labels(self.0 | other.0)
    }

    /// Without those.
    pub fn without(self, other: Labels) -> Labels {
        Labels(self.0 & !other.0)
    }

    /// What of it is read.
    pub fn reads(self) -> Labels {
        Labels(self.0 & (Labels::PRIVATE.0 | Labels::UNTRUSTED.0))
    }

    /// What of it is written.
    pub fn writes(self) -> Labels {
        self.without(self.reads())
    }

    /// Whether all of those are in it.
    pub fn has(self, other: Labels) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of those is in it.
    pub fn meets(self, other: Labels) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether nothing is in it.
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Their names, in a fixed order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Labels::NAMES.into_iter().filter(move |(_, label)| self.has(*label)).map(|(name, _)| name)
    }

    /// By its name.
    pub fn named(name: &str) -> Option<Labels> {
        Labels::NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, label)| label)
    }

    /// For the store.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// From the store; bits that mean nothing are dropped.
    pub fn from_bits(bits: u8) -> Labels {
        Labels(bits & 15)
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().collect::<Vec<_>>().join(" + "))
    }
}

/// The labels of one server's tools, prompts and resources, as a person approved them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labelled {
    server: Labels,
    /// The longest pattern first.
    tools: Vec<(Glob, Labels)>,
}

impl Labelled {
    /// Labels of all that has none of its own, and of what patterns name. Of the patterns that match,
    /// the longest counts.
    pub fn new(server: Labels, tools: impl IntoIterator<Item = (String, Labels)>) -> Labelled {
        let mut tools: Vec<_> = tools.into_iter().collect();
        tools.sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        let tools = tools.into_iter().map(|(text, labels)| (Glob::new(&text), labels)).collect();
        Labelled { server, tools }
    }

    /// What this one reads and writes.
    pub fn of(&self, name: &str) -> Labels {
        let own = self.tools.iter().find(|(pattern, _)| pattern.matches(name));
        own.map_or(self.server, |(_, labels)| *labels)
    }

    /// Whether nothing has a label.
    pub fn is_empty(&self) -> bool {
        self.server.is_none() && self.tools.iter().all(|(_, labels)| labels.is_none())
    }
}

/// What happens to a call that a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowAction {
    /// A person decides.
    Ask,
    /// It is refused.
    Block,
}

/// A conversation that has read all of `when` may not write any of `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowRule {
    /// What was read.
    pub when: Labels,
    /// What would be written.
    pub to: Labels,
    /// What happens then.
    pub action: FlowAction,
}

impl FlowRule {
    /// Private data that a stranger could have asked for must not leave, and a stranger must not destroy.
    pub const DEFAULT: [FlowRule; 2] = [
        FlowRule {
            when: Labels(Labels::PRIVATE.0 | Labels::UNTRUSTED.0),
            to: Labels::EXTERNAL,
            action: FlowAction::Ask,
        },
        FlowRule { when: Labels::UNTRUSTED, to: Labels::DESTRUCTIVE, action: FlowAction::Ask },
    ];
}

impl fmt::Display for FlowRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} → {}", self.when, self.to)
    }
}

/// The first rule that is about this call; one that blocks before one that asks. What the call itself reads
/// of private data counts too, since it could write that in the same step. What it reads of strangers'
/// comes too late to steer it.
pub fn flow(rules: &[FlowRule], held: Labels, call: Labels) -> Option<&FlowRule> {
    let read = held.and(if call.has(Labels::PRIVATE) { Labels::PRIVATE } else { Labels::NONE });
    let about = |rule: &&FlowRule| read.has(rule.when) && call.meets(rule.to);
    let blocks = rules.iter().filter(about).find(|rule| rule.action == FlowAction::Block);
    blocks.or_else(|| rules.iter().find(about))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOTH: Labels = Labels(3);

    #[test]
    fn private_and_untrusted_do_not_leave() {
        let rules = FlowRule::DEFAULT;
        let asked = |held, call| flow(&rules, held, call).is_some();
        assert!(asked(BOTH, Labels::EXTERNAL));
        assert!(!asked(Labels::PRIVATE, Labels::EXTERNAL));
        assert!(!asked(Labels::UNTRUSTED, Labels::EXTERNAL));
        assert!(asked(Labels::UNTRUSTED, Labels::EXTERNAL.and(Labels::PRIVATE)), "in one step");
        assert!(!asked(Labels::PRIVATE, Labels::EXTERNAL.and(Labels::UNTRUSTED)), "comes too late");
        assert!(!asked(BOTH, BOTH), "reading on is free");
        assert!(asked(Labels::UNTRUSTED, Labels::DESTRUCTIVE));
        assert!(!asked(Labels::PRIVATE, Labels::DESTRUCTIVE));
        assert_eq!(rules[0].to_string(), "private + untrusted → external");
    }

    #[test]
    fn a_block_is_stronger_than_a_question() {
        let block =
            FlowRule { when: Labels::PRIVATE, to: Labels::EXTERNAL, action: FlowAction::Block };
        let rules = [FlowRule::DEFAULT[0], block];
        assert_eq!(flow(&rules, BOTH, Labels::EXTERNAL), Some(&block));
    }

    #[test]
    fn the_longest_pattern_counts() {
        let tools =
            [("*", Labels::UNTRUSTED), ("send_*", Labels::EXTERNAL), ("send_test", Labels::NONE)];
        let tools = tools.map(|(pattern, labels)| (pattern.to_owned(), labels));
        let labelled = Labelled::new(Labels::PRIVATE, tools);
        assert_eq!(labelled.of("read"), Labels::UNTRUSTED);
        assert_eq!(labelled.of("send_mail"), Labels::EXTERNAL);
        assert_eq!(labelled.of("send_test"), Labels::NONE);
        assert_eq!(Labelled::new(Labels::PRIVATE, []).of("x"), Labels::PRIVATE);
    }

    proptest! {
        /// Reading more never makes more possible.
        #[test]
        fn labels_only_take_away(held in 0u8..4, more in 0u8..4, call in 0u8..16) {
            let [held, more, call] = [held, more, call].map(Labels::from_bits);
            if flow(&FlowRule::DEFAULT, held, call).is_some() {
                prop_assert!(flow(&FlowRule::DEFAULT, held.and(more), call).is_some());
            }
        }
    }
}
