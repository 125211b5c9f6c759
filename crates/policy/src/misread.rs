//! Conditions on arguments that nothing takes: a policy that looks at them never does what it says.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use mcp::Json;
use serde_json::Value;

use crate::{
    Action, Argument, ArgumentType, Arguments, Policy,
    arguments::member,
    compile::quoted,
    source::{Written, literals, walk},
};

/// A tool or a prompt, by its definition.
#[derive(Clone, Copy, Debug)]
pub struct Offered<'a> {
    /// Which, and what it says of itself.
    pub action: Action<'a>,
    /// Its definition, as the server lists it.
    pub definition: Json<'a>,
}

impl<'a> Offered<'a> {
    fn arguments(&self) -> Arguments<'a> {
        Arguments::of(self.action.kind, self.definition)
    }
}

/// A condition on an argument that is taken by nothing that the policy is about, or never in a type that the
/// condition looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misread {
    /// How records name the policy or the role's line.
    pub rule: String,
    /// The argument, by its JSON pointer.
    pub pointer: String,
    /// The file in Cedar, and where in it, in bytes; `None` for a role's line.
    pub place: Option<(String, Range<usize>)>,
    /// What is wrong, as a sentence.
    pub message: String,
    /// Which arguments there are: JSON pointers.
    pub known: Vec<String>,
}

/// Where a policy looks at an argument.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub pointer: String,
    /// As what; empty where it only asks whether it is given.
    pub types: BTreeSet<ArgumentType>,
    /// In the file, where there is one.
    pub place: Option<Range<usize>>,
}

/// What conditions (in Cedar's JSON form) look at.
pub(crate) fn looks(conditions: &[Value]) -> Vec<Look> {
    let mut found: BTreeMap<String, BTreeSet<ArgumentType>> = BTreeMap::new();
    for condition in conditions {
        walk(condition, &mut |value| {
            for test in ["hasTag", "getTag", "contains", "containsAll", "containsAny"] {
                let Some(test) = value.get(test) else { continue };
                let at = |pointer| test.pointer(pointer).and_then(Value::as_str);
                if at("/left/./left/./left/Var") != Some("context")
                    || at("/left/./left/./attr") != Some("arguments")
                {
                    continue;
                }
                let looked_for = match at("/left/./attr") {
                    Some("flags") => Some(ArgumentType::Flag),
                    Some("numbers") => Some(ArgumentType::Number),
                    Some("text" | "ambiguous") => Some(ArgumentType::Text),
                    _ => None,
                };
                let mut texts = BTreeSet::new();
                literals(test.get("right").unwrap_or(&Value::Null), &mut texts);
                for pointer in texts.into_iter().filter(|text| crate::arguments::is_pointer(text)) {
                    found.entry(pointer).or_default().extend(looked_for);
                }
            }
            true
        });
    }
    let look = |(pointer, types)| Look { pointer, types, place: None };
    found.into_iter().map(look).collect()
}

impl Look {
    /// Finds it in a policy's text: where the pointer is first written.
    pub(crate) fn locate(&mut self, text: &str, policy: &Range<usize>) {
        let literal = quoted(&self.pointer);
        let at = text.get(policy.clone()).and_then(|policy| policy.find(&literal));
        self.place = at.map(|at| policy.start + at..policy.start + at + literal.len());
    }

    fn fits(&self, argument: &Argument) -> bool {
        match argument {
            Argument::None => false,
            Argument::Open => true,
            Argument::Of(types) => self.types.is_empty() || !self.types.is_disjoint(types),
        }
    }
}

impl Policy {
    /// Whether any condition looks at an argument.
    pub fn looks_at_arguments(&self) -> bool {
        self.written.iter().any(|written| !written.looks.is_empty())
    }

    /// Conditions on arguments that can't be meant, by the definitions of what is offered. One that some tool or
    /// prompt under the policy takes is meant; a policy about nothing that is offered is not looked at.
    pub fn misread(&self, offered: &[Offered<'_>]) -> Vec<Misread> {
        let mut about: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (at, one) in offered.iter().enumerate() {
            let Some(what) = self.what(&one.action) else { continue };
            for policy in self.scopes.on(&what) {
                about.entry(policy).or_default().push(at);
            }
        }
        let mut found = Vec::new();
        for (policy, about) in about {
            let Some(written) = self.written.get(policy as usize) else { continue };
            let about: Vec<&Offered<'_>> =
                about.into_iter().filter_map(|at| offered.get(at)).collect();
            found.extend(written.looks.iter().filter_map(|look| misread(written, look, &about)));
        }
        found
    }
}

fn misread(written: &Written, look: &Look, about: &[&Offered<'_>]) -> Option<Misread> {
    let mut other_type = None;
    for one in about {
        match one.arguments().at(&look.pointer) {
            argument if look.fits(&argument) => return None,
            Argument::Of(types) => drop(other_type.get_or_insert((one, types))),
            Argument::None | Argument::Open => {}
        }
    }
    let pointer = &look.pointer;
    let message = match (other_type, about) {
        (Some((one, types)), _) => format!(
            "{pointer} of {}/{} is {}, and is looked at as {}",
            one.action.server,
            one.action.name,
            listed(&types),
            listed(&look.types)
        ),
        (None, [one]) => {
            format!("{}/{} takes no argument {pointer}", one.action.server, one.action.name)
        }
        (None, all) => format!(
            "none of the {} tools and prompts that it is about takes an argument {pointer}",
            all.len()
        ),
    };
    let known: BTreeSet<String> = about.iter().flat_map(|one| one.arguments().names()).collect();
    Some(Misread {
        rule: written.rule.clone(),
        pointer: pointer.clone(),
        place: written.place.as_ref().map(|(file, policy)| {
            (file.clone(), look.place.clone().unwrap_or_else(|| policy.clone()))
        }),
        message,
        known: known.iter().map(|name| member("", name)).collect(),
    })
}

fn listed(types: &BTreeSet<ArgumentType>) -> String {
    let types: Vec<&str> = types.iter().map(|one| one.as_str()).collect();
    types.join(" or ")
}
