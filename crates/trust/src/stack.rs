//! Who may call whom, as ETDI has it: tools that are called while others are still under way stand above
//! them. Only what the gateway itself saw counts; what a client says of its callers does not.

/// What is not allowed on the stack of one conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StackRules {
    /// Calls under way at once, each above the other; `None` for any number.
    pub depth: Option<usize>,
    /// Whether a tool may be called while it is under way itself.
    pub cycles: bool,
    /// If there are any: each caller and callee must be a step of one of these.
    pub allowed: Vec<Chain>,
    /// None of these may come about.
    pub blocked: Vec<Chain>,
}

/// Tools that are called one from within the other, as `server/tool` with `*` for any text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    steps: Vec<String>,
}

/// Why a text is no chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a chain is two or more of server/tool, joined by ->")]
pub struct ChainFault;

/// The longest chain.
const STEPS: usize = 16;

impl std::str::FromStr for Chain {
    type Err = ChainFault;
    fn from_str(text: &str) -> Result<Chain, ChainFault> {
        let steps: Vec<String> = text.split("->").map(|step| step.trim().to_owned()).collect();
        let whole = |step: &String| step == "*" || step.contains('/');
        if (2..=STEPS).contains(&steps.len()) && steps.iter().all(whole) {
            Ok(Chain { steps })
        } else {
            Err(ChainFault)
        }
    }
}

impl std::fmt::Display for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.steps.join(" -> "))
    }
}

/// What a definition itself demands (`call_stack_constraints`). It can only take away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Constraints {
    /// Calls under way at once.
    pub max_depth: Option<usize>,
    /// Who alone may call it; `None` for anybody.
    pub allowed_callers: Option<Vec<String>>,
    /// Whom alone it may call.
    pub allowed_callees: Option<Vec<String>>,
    /// Who may not call it.
    pub blocked_callers: Vec<String>,
    /// Whom it may not call.
    pub blocked_callees: Vec<String>,
}

/// A call that is under way.
#[derive(Clone, Debug)]
pub struct Frame {
    /// `server/tool`
    pub name: String,
    /// What its definition demands.
    pub constraints: Option<Constraints>,
}

/// Why a call may not be made now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what it is")]
pub enum StackFault {
    #[error("{caller} may not call {callee} (by {by})")]
    Callee { caller: String, callee: String, by: String },
    #[error("{chain} may not come about")]
    Chain { chain: String },
    #[error("{0} is under way already, and would call itself")]
    Cycle(String),
    #[error("{depth} calls would be under way, each above the other; {limit} may")]
    Depth { depth: usize, limit: usize },
}

impl Constraints {
    /// Reads them from a definition; `null` and absent are no constraints, a shape that is not ETDI's is.
    pub fn read(definition: mcp::Json<'_>) -> Option<Constraints> {
        let said = definition.get("call_stack_constraints").filter(|said| !said.is_null())?;
        let list = |name: &str| {
            let list = said.get(name).filter(|list| !list.is_null())?;
            let texts = list.items().filter_map(mcp::Json::string);
            Some(texts.map(|text| text.into_owned()).collect::<Vec<_>>())
        };
        let depth = said.get("max_depth").and_then(mcp::Json::integer);
        Some(Constraints {
            max_depth: depth.map(|depth| usize::try_from(depth).unwrap_or(0)),
            allowed_callers: list("allowed_callers"),
            allowed_callees: list("allowed_callees"),
            blocked_callers: list("blocked_callers").unwrap_or_default(),
            blocked_callees: list("blocked_callees").unwrap_or_default(),
        })
    }
}

/// Whether this call may join what is under way in its conversation, oldest first.
pub fn may_call(rules: &StackRules, under_way: &[Frame], callee: &Frame) -> Result<(), StackFault> {
    let depth = under_way.len() + 1;
    let stacked = under_way.iter().chain([callee]);
    let own = stacked.filter_map(|frame| frame.constraints.as_ref()?.max_depth);
    if let Some(limit) = own.chain(rules.depth).min().filter(|limit| depth > *limit) {
        return Err(StackFault::Depth { depth, limit });
    }
    if !rules.cycles && under_way.iter().any(|frame| frame.name == callee.name) {
        return Err(StackFault::Cycle(callee.name.clone()));
    }
    let names: Vec<&str> =
        under_way.iter().chain([callee]).map(|frame| frame.name.as_str()).collect();
    if let Some(chain) = rules.blocked.iter().find(|chain| chain.ends(&names)) {
        return Err(StackFault::Chain { chain: chain.to_string() });
    }
    for caller in under_way {
        let refuse = |by: String| StackFault::Callee {
            caller: caller.name.clone(),
            callee: callee.name.clone(),
            by,
        };
        let step = |chain: &Chain| {
            chain.steps.windows(2).any(|pair| match pair {
                [from, to] => matches(from, &caller.name) && matches(to, &callee.name),
                _ => false,
            })
        };
        if !rules.allowed.is_empty() && !rules.allowed.iter().any(step) {
            return Err(refuse("the configuration".to_owned()));
        }
        if caller.constraints.as_ref().is_some_and(|own| {
            named(&own.blocked_callees, &callee.name)
                || own.allowed_callees.as_ref().is_some_and(|list| !named(list, &callee.name))
        }) {
            return Err(refuse(format!("the definition of {}", caller.name)));
        }
        if callee.constraints.as_ref().is_some_and(|own| {
            named(&own.blocked_callers, &caller.name)
                || own.allowed_callers.as_ref().is_some_and(|list| !named(list, &caller.name))
        }) {
            return Err(refuse(format!("the definition of {}", callee.name)));
        }
    }
    Ok(())
}

impl Chain {
    /// Whether the last name is its last step, and the others stand before it in this order.
    fn ends(&self, names: &[&str]) -> bool {
        let (Some((last, before)), Some((name, under))) =
            (self.steps.split_last(), names.split_last())
        else {
            return false;
        };
        let mut under = under.iter();
        matches(last, name) && before.iter().all(|step| under.any(|name| matches(step, name)))
    }
}

/// Definitions name tools by their own names; the configuration by server and name.
fn named(list: &[String], name: &str) -> bool {
    let own = name.split_once('/').map_or(name, |(_, own)| own);
    list.iter().any(|item| matches(item, name) || matches(item, own))
}

/// `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, between)) = pieces.split_last() else { return rest.is_empty() };
    for piece in between {
        match rest.split_once(piece) {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames(names: &[&str]) -> Vec<Frame> {
        names.iter().map(|name| Frame { name: (*name).to_owned(), constraints: None }).collect()
    }

    fn check(rules: &StackRules, names: &[&str]) -> Result<(), StackFault> {
        let mut stack = frames(names);
        let callee = stack.pop().unwrap();
        may_call(rules, &stack, &callee)
    }

    fn chains(texts: &[&str]) -> Vec<Chain> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn depth_cycles_pairs_and_chains() {
        let rules = StackRules { depth: Some(3), ..StackRules::default() };
        assert_eq!(check(&rules, &["a/1", "a/2", "a/3"]), Ok(()));
        let deep = check(&rules, &["a/1", "a/2", "a/3", "a/4"]);
        assert_eq!(deep, Err(StackFault::Depth { depth: 4, limit: 3 }));
        assert!(matches!(check(&rules, &["a/1", "a/2", "a/1"]), Err(StackFault::Cycle(_))));
        let cycles = StackRules { cycles: true, ..rules };
        assert_eq!(check(&cycles, &["a/1", "a/2", "a/1"]), Ok(()));

        let blocked = chains(&["web/* -> mail/send", "a/x -> b/y -> c/z"]);
        let rules = StackRules { blocked, ..StackRules::default() };
        assert!(matches!(check(&rules, &["web/get", "mail/send"]), Err(StackFault::Chain { .. })));
        assert!(check(&rules, &["web/get", "o/o", "mail/send"]).is_err(), "through another");
        assert_eq!(check(&rules, &["mail/send", "web/get"]), Ok(()), "the other way");
        assert!(check(&rules, &["a/x", "o/o", "b/y", "c/z"]).is_err());
        assert_eq!(check(&rules, &["b/y", "a/x", "c/z"]), Ok(()));

        let rules = StackRules { allowed: chains(&["a/* -> b/*"]), ..StackRules::default() };
        assert_eq!(check(&rules, &["a/1"]), Ok(()), "called by nobody");
        assert_eq!(check(&rules, &["a/1", "b/1"]), Ok(()));
        assert!(matches!(check(&rules, &["b/1", "a/1"]), Err(StackFault::Callee { .. })));
        for text in ["", "a/b", "a/b ->", "a -> b/c", "->"] {
            assert_eq!(text.parse::<Chain>(), Err(ChainFault), "{text}");
        }
    }

    #[test]
    fn what_definitions_demand_is_held_and_only_takes_away() {
        let read = |text: &str| {
            let json = mcp::Json::read(text.as_bytes(), &mcp::Limits::default()).unwrap();
            Constraints::read(json)
        };
        assert_eq!(read(r#"{"call_stack_constraints":null}"#), None);
        let strict = read(
            r#"{"call_stack_constraints":{"max_depth":2,"allowed_callers":["gather"],"allowed_callees":null,"blocked_callees":["send"]}}"#,
        );
        let strict = Frame { name: "x/report".into(), constraints: strict };
        let rules = StackRules::default();
        let may = |below: &[Frame], callee: &Frame| may_call(&rules, below, callee).is_ok();
        assert!(may(&[], &strict));
        assert!(may(&frames(&["y/gather"]), &strict));
        assert!(!may(&frames(&["y/other"]), &strict));
        assert!(!may(&frames(&["y/gather", "y/g2"]), &strict), "too deep");
        assert!(!may(std::slice::from_ref(&strict), &frames(&["m/send"])[0]));
        assert!(may(&[strict], &frames(&["m/read"])[0]));
    }

    proptest! {
        /// A stack that was built by allowed steps alone holds no blocked pair.
        #[test]
        fn no_blocked_pair_comes_about(names in prop::collection::vec(0usize..4, 1..12)) {
            const NAMES: [&str; 4] = ["a/1", "a/2", "b/1", "b/2"];
            let blocked = chains(&["a/1 -> b/1", "b/* -> a/2"]);
            let rules = StackRules { blocked, depth: Some(5), ..StackRules::default() };
            let mut stack: Vec<Frame> = Vec::new();
            for name in names {
                let callee = frames(&[NAMES[name]]).remove(0);
                if may_call(&rules, &stack, &callee).is_ok() {
                    stack.push(callee);
                }
            }
            prop_assert!(stack.len() <= 5);
            for (at, upper) in stack.iter().enumerate() {
                for lower in &stack[..at] {
                    prop_assert_ne!(&lower.name, &upper.name);
                    prop_assert!(!(lower.name == "a/1" && upper.name == "b/1"));
                    prop_assert!(!(lower.name.starts_with("b/") && upper.name == "a/2"));
                }
            }
        }
    }
}
