//! A decision about something that is only partly known any more.

use std::collections::BTreeSet;

use cedar_policy::{Policy as CedarPolicy, PolicyId};
use serde_json::{Value, json};

use crate::{
    Action, Ask, Context, Decision, Denied, Permit, Policy, PrincipalView,
    compile::Effect,
    explain::State,
    source::{Written, walk},
};

/// What nobody knows any more: conditions on it can't be decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Forgotten {
    /// What the caller is in and may ask for: groups, roles and scopes. Those in the view are known, others may be missing.
    pub groups: bool,
    /// When the caller signed in.
    pub sign_in: bool,
    /// The call's arguments.
    pub arguments: bool,
    /// What the tool said of itself.
    pub annotations: bool,
}

/// What can be said all the same.
#[derive(Clone, Debug)]
pub struct Recalled {
    /// The decision, where it is the same whatever was forgotten.
    pub decision: Option<Decision>,
    /// Whether it is possible at all (a permit, or once approved), where that is the same.
    pub possible: Option<bool>,
    /// What it hangs on, where it does.
    pub hangs: Vec<Hanging>,
}

/// A policy of which nobody knows whether it would hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hanging {
    /// How records name it.
    pub rule: String,
    /// What would have to be known: `groups`, `sign-in`, `arguments`, `annotations`.
    pub on: BTreeSet<&'static str>,
}

/// The policies that hold, and those that may.
#[derive(Default)]
struct Found<'a> {
    sure: [Option<&'a Written>; 3],
    maybe: [Vec<Hanging>; 3],
}

fn place(effect: Effect) -> usize {
    match effect {
        Effect::Deny => 0,
        Effect::Ask => 1,
        Effect::Allow => 2,
    }
}

impl Policy {
    /// The decision as far as it does not hang on what was forgotten. A condition that hangs is neither taken for met nor
    /// for unmet.
    pub fn recall(
        &self,
        caller: &PrincipalView<'_>,
        action: &Action<'_>,
        context: &Context<'_>,
        forgotten: Forgotten,
    ) -> Recalled {
        let mut found = Found::default();
        let Some(what) = self.what(action) else { return Recalled::sure(self.unnamed()) };
        let who = self.who(caller);
        let mut on = self.scopes.on(&what);
        on.sort_unstable();
        for at in on {
            let Some(written) = self.written.get(at as usize) else { continue };
            // What follows a call is decided without it.
            let policy = match (action.operation.follows_a_call(), &written.foreseen) {
                (false, _) => &written.policy,
                (true, Some(foreseen)) => foreseen,
                (true, None) => continue,
            };
            let Some((policy, mut hangs)) = without(policy, forgotten) else {
                return Recalled::sure(self.unnamed());
            };
            let policy = match self.scopes.has(at, &who) {
                true => policy,
                false if forgotten.groups && self.scopes.has_members(at) => {
                    hangs.insert("groups");
                    match for_anybody(&policy) {
                        Some(policy) => policy,
                        None => return Recalled::sure(self.unnamed()),
                    }
                }
                false => continue,
            };
            let pointers: Vec<String> = written.pointers.iter().cloned().collect();
            match self.alone(&policy, &pointers, caller, action, context) {
                State::Holds if hangs.is_empty() => {
                    found.sure[place(written.effect)].get_or_insert(written);
                }
                State::Holds => found.maybe[place(written.effect)]
                    .push(Hanging { rule: written.rule.clone(), on: hangs }),
                State::Failed(fault) => return Recalled::sure(self.faulty(&fault)),
                State::OtherCallers | State::Unmet => {}
            }
        }
        self.weigh(found)
    }

    fn weigh(&self, found: Found<'_>) -> Recalled {
        let Found { sure: [deny, ask, allow], maybe: [denies, asks, allows] } = found;
        let permitted = ask.is_some() || allow.is_some();
        if let Some(deny) = deny {
            return Recalled::sure(Decision::Denied(Denied { rule: deny.rule.as_str().into() }));
        }
        if !permitted && asks.is_empty() && allows.is_empty() {
            return Recalled::sure(Decision::Denied(Denied { rule: self.default_deny.clone() }));
        }
        let rule = |written: &Written| written.rule.as_str().into();
        match (ask, allow) {
            (Some(ask), _) if denies.is_empty() => Recalled::sure(Decision::Ask(Ask {
                rule: rule(ask),
                reason: ask.reason.as_str().into(),
                told: "".into(),
            })),
            (None, Some(allow)) if denies.is_empty() && asks.is_empty() => {
                Recalled::sure(Decision::Permit(Permit { rule: rule(allow) }))
            }
            _ => Recalled {
                decision: None,
                possible: (permitted && denies.is_empty()).then_some(true),
                hangs: match permitted {
                    true => [denies, asks].concat(),
                    false => [denies, asks, allows].concat(),
                },
            },
        }
    }

    fn unnamed(&self) -> Decision {
        self.faulty("it can't be read again")
    }
}

impl Recalled {
    fn sure(decision: Decision) -> Recalled {
        Recalled {
            possible: Some(decision.is_possible()),
            decision: Some(decision),
            hangs: Vec::new(),
        }
    }
}

/// A policy without the conditions that hang on what was forgotten, and what they hang on.
fn without(
    policy: &CedarPolicy,
    forgotten: Forgotten,
) -> Option<(CedarPolicy, BTreeSet<&'static str>)> {
    let mut json = policy.to_json().ok()?;
    let conditions = match json.get_mut("conditions") {
        Some(Value::Array(conditions)) => std::mem::take(conditions),
        _ => Vec::new(),
    };
    let mut hangs = BTreeSet::new();
    let mut kept = Vec::new();
    for condition in conditions.into_iter().flat_map(apart) {
        let own = hanging(&condition, forgotten);
        if own.is_empty() {
            kept.push(condition);
        }
        hangs.extend(own);
    }
    *json.get_mut("conditions")? = Value::Array(kept);
    Some((read(json)?, hangs))
}

/// Whoever asks.
fn for_anybody(policy: &CedarPolicy) -> Option<CedarPolicy> {
    let mut json = policy.to_json().ok()?;
    *json.get_mut("principal")? = json!({"op": "All"});
    read(json)
}

fn read(json: Value) -> Option<CedarPolicy> {
    CedarPolicy::from_json(Some(PolicyId::new("0")), json).ok()
}

/// `when { a && b }` is `when { a } when { b }`.
fn apart(condition: Value) -> Vec<Value> {
    let both = condition.pointer("/body/&&").filter(|_| condition["kind"] == "when");
    let Some(both) = both else { return vec![condition] };
    let half = |side: &str| json!({"kind": "when", "body": both.get(side)});
    ["left", "right"].into_iter().flat_map(|side| apart(half(side))).collect()
}

fn hanging(condition: &Value, forgotten: Forgotten) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    walk(condition, &mut |value| {
        let of = |access: &str| {
            let access = value.get(access)?;
            let attribute = access.get("attr").and_then(Value::as_str);
            Some((access.pointer("/left/Var")?.as_str()?, attribute.unwrap_or_default()))
        };
        let asked = [".", "has", "in"].into_iter().find_map(of);
        let about = match asked {
            Some(("principal", "groups" | "roles" | "scopes" | "")) if forgotten.groups => "groups",
            Some(("context", "arguments")) if forgotten.arguments => "arguments",
            Some(("context", "authAge")) if forgotten.sign_in => "sign-in",
            Some(("resource", "readOnly" | "destructive" | "idempotent" | "openWorld"))
                if forgotten.annotations =>
            {
                "annotations"
            }
            _ => return true,
        };
        found.insert(about);
        true
    });
    found
}
