//! Policies as they are written: parsed, validated strictly, and looked through for what they need.

use std::{collections::BTreeSet, ops::Range, sync::OnceLock};

use cedar_policy::{
    Effect as CedarEffect, Policy as CedarPolicy, PolicyId, PolicySet, Schema, ValidationMode,
    Validator,
};
use miette::Diagnostic;
use serde_json::Value;

use crate::{
    compile::{Compiled, Effect, quoted},
    misread::{Look, looks},
};

/// What policies can speak of, in Cedar's own syntax.
pub const SCHEMA: &str = include_str!("schema.cedarschema");

/// A file with policies in Cedar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CedarFile {
    /// Its name, for people.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// What is wrong in a file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {message}")]
pub struct SourceFault {
    /// The file's name.
    pub file: String,
    /// Where, in bytes.
    pub span: Option<Range<usize>>,
    /// What.
    pub message: String,
    /// What to write instead.
    pub mend: Option<String>,
}

/// One policy, and what it needs to know.
#[derive(Debug)]
pub(crate) struct Written {
    pub policy: CedarPolicy,
    pub effect: Effect,
    /// How records name it.
    pub rule: String,
    /// Why an approval is asked for.
    pub reason: String,
    pub needs: Needs,
    /// The policy as far as it can be told before a call: without the conditions that need the call.
    /// `None` for one that forbids by such a condition.
    pub foreseen: Option<CedarPolicy>,
    pub foreseen_needs: Needs,
    /// JSON pointers that it mentions.
    pub pointers: BTreeSet<String>,
    /// The arguments that it looks at.
    pub looks: Vec<Look>,
    /// Scopes that it mentions.
    pub scopes: BTreeSet<String>,
    /// The file, and the place in it.
    pub place: Option<(String, Range<usize>)>,
}

/// What of the context conditions look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Needs {
    /// Nothing: who, what and on what decide.
    Nothing,
    /// Time, network, client, authentication.
    Circumstances,
    /// Also what only a call has: arguments, labels, findings.
    Call,
}

fn schema() -> Result<&'static Schema, String> {
    static SCHEMA_READ: OnceLock<Result<Schema, String>> = OnceLock::new();
    let read = SCHEMA_READ.get_or_init(|| {
        Schema::from_cedarschema_str(SCHEMA)
            .map(|(schema, _)| schema)
            .map_err(|fault| fault.to_string())
    });
    read.as_ref().map_err(String::clone)
}

impl Written {
    /// A line of a role. Its text is this crate's own: a test, not each start, shows it valid.
    pub(crate) fn of_role(compiled: &Compiled, at: usize) -> Result<Written, String> {
        let policy = CedarPolicy::parse(Some(id(at)), &compiled.cedar)
            .map_err(|faults| format!("{}: {faults}", compiled.rule))?;
        Written::read(policy, compiled.rule.clone(), at, None)
    }

    fn read(
        policy: CedarPolicy,
        rule: String,
        at: usize,
        place: Option<(String, Range<usize>)>,
    ) -> Result<Written, String> {
        let json = policy.to_json().map_err(|fault| fault.to_string())?;
        let ask = policy.annotation("ask").map(str::to_owned);
        let effect = match (policy.effect(), &ask) {
            (CedarEffect::Forbid, _) => Effect::Deny,
            (CedarEffect::Permit, Some(_)) => Effect::Ask,
            (CedarEffect::Permit, None) => Effect::Allow,
        };
        let conditions = json.get("conditions").and_then(Value::as_array);
        let conditions = conditions.map_or(&[][..], Vec::as_slice);
        let needs = conditions.iter().map(needs).max().unwrap_or(Needs::Nothing);
        let mut texts = BTreeSet::new();
        conditions.iter().for_each(|condition| literals(condition, &mut texts));
        let pointers = texts.iter().filter(|text| crate::arguments::is_pointer(text));
        let pointers = pointers.cloned().collect();
        let mut scopes = BTreeSet::new();
        conditions.iter().for_each(|condition| scopes_of(condition, &mut scopes));
        let foreseen = match (needs, effect) {
            (Needs::Call, Effect::Deny) => None,
            (Needs::Call, _) => Some(without_call(&policy, json.clone(), at)?),
            _ => Some(policy.clone()),
        };
        let foreseen_needs = match needs {
            Needs::Call => conditions.iter().map(self::needs).filter(|n| *n != Needs::Call).max(),
            needs => Some(needs),
        };
        Ok(Written {
            foreseen_needs: foreseen_needs.unwrap_or(Needs::Nothing),
            reason: ask.unwrap_or_default(),
            policy,
            effect,
            rule,
            needs,
            foreseen,
            pointers,
            looks: looks(conditions),
            scopes,
            place,
        })
    }

    /// Whether nobody configured it.
    pub(crate) fn is_built_in(&self) -> bool {
        self.place.is_none() && !self.rule.starts_with("role ") || self.rule == "role all"
    }

    /// In Cedar's syntax.
    pub(crate) fn text(&self) -> String {
        self.policy.to_string()
    }
}

fn id(at: usize) -> PolicyId {
    PolicyId::new(at.to_string())
}

/// All policies of a file, numbered from `first`, or all that is wrong with it.
pub(crate) fn read_file(file: &CedarFile, first: usize) -> Result<Vec<Written>, Vec<SourceFault>> {
    let fault =
        |span, message: String, mend| SourceFault { file: file.name.clone(), span, message, mend };
    let set: PolicySet = file.text.parse().map_err(|faults: cedar_policy::ParseErrors| {
        faults
            .iter()
            .map(|found| fault(span(found), found.to_string(), help(found)))
            .collect::<Vec<_>>()
    })?;
    if let Some(template) = set.templates().next() {
        let message = format!("a policy has a slot such as ?principal: {template}");
        let mend = "write the principal or the resource out".to_owned();
        return Err(vec![fault(None, message, Some(mend))]);
    }
    let schema = schema().map_err(|message| vec![fault(None, message, None)])?;
    let result = Validator::new(schema.clone()).validate(&set, ValidationMode::Strict);
    let mut faults: Vec<SourceFault> = result
        .validation_errors()
        .map(|found| fault(span(found), plain(&found.to_string()), help(found)))
        .collect();
    // What can never hold is no policy but a mistake: a misspelt action would protect nothing.
    faults.extend(
        result
            .validation_warnings()
            .map(|found| fault(span(found), plain(&found.to_string()), help(found))),
    );
    // Each kind of caller and thing would tell the same again.
    faults.sort_by_key(|fault| fault.span.as_ref().map_or(0, |span| span.start));
    faults.dedup();
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut policies: Vec<&CedarPolicy> = set.policies().collect();
    policies.sort_by_key(|policy| place(policy).map_or(0, |place| place.start));
    let mut written = Vec::with_capacity(policies.len());
    for (at, policy) in policies.into_iter().enumerate() {
        let place = place(policy).unwrap_or(0..0);
        let line =
            file.text.get(..place.start).map_or(0, |before| before.matches('\n').count()) + 1;
        let rule = match policy.annotation("id") {
            Some(named) if !named.is_empty() => format!("policy {named}"),
            _ => format!("policy {}:{line}", file.name),
        };
        let numbered = policy.new_id(id(first + at));
        let here = Some((file.name.clone(), place.clone()));
        let read = Written::read(numbered, rule, first + at, here);
        let mut read = read.map_err(|message| vec![fault(Some(place.clone()), message, None)])?;
        read.looks.iter_mut().for_each(|look| look.locate(&file.text, &place));
        written.push(read);
    }
    Ok(written)
}

fn place(policy: &CedarPolicy) -> Option<Range<usize>> {
    policy.as_ref().loc().map(|loc| loc.start()..loc.end())
}

fn span(found: &dyn Diagnostic) -> Option<Range<usize>> {
    let label = found.labels()?.next()?;
    Some(label.offset()..label.offset() + label.len())
}

fn help(found: &dyn Diagnostic) -> Option<String> {
    found.help().map(|help| help.to_string())
}

/// Cedar names the policy by its number, which tells nobody anything: the place does.
fn plain(message: &str) -> String {
    match message.strip_prefix("for policy `").and_then(|rest| rest.split_once("`, ")) {
        Some((_, rest)) => rest.to_owned(),
        None => message.to_owned(),
    }
}

/// What one condition needs.
fn needs(condition: &Value) -> Needs {
    let mut most = Needs::Nothing;
    walk(condition, &mut |value| {
        if value.get("Var").and_then(Value::as_str) == Some("context") {
            // The context as a whole could be anything.
            most = Needs::Call;
            return false;
        }
        let member = [".", "has"].into_iter().find_map(|access| value.get(access));
        let Some(member) = member else { return true };
        if member.pointer("/left/Var").and_then(Value::as_str) != Some("context") {
            return true;
        }
        let attribute = member.get("attr").and_then(Value::as_str).unwrap_or_default();
        let known = ["time", "minuteOfWeek", "network", "client", "acr", "amr", "authAge"];
        let needed = if known.contains(&attribute) { Needs::Circumstances } else { Needs::Call };
        most = most.max(needed);
        false
    });
    most
}

/// Visits each value; `false` says not to go below it.
pub(crate) fn walk(value: &Value, visit: &mut impl FnMut(&Value) -> bool) {
    if !visit(value) {
        return;
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, visit)),
        Value::Object(members) => members.values().for_each(|member| walk(member, visit)),
        _ => {}
    }
}

pub(crate) fn literals(condition: &Value, texts: &mut BTreeSet<String>) {
    walk(condition, &mut |value| {
        if let Some(text) = value.get("Value").and_then(Value::as_str) {
            texts.insert(text.to_owned());
        }
        true
    });
}

/// The texts that stand beside `principal.scopes`.
fn scopes_of(condition: &Value, scopes: &mut BTreeSet<String>) {
    walk(condition, &mut |value| {
        for test in ["contains", "containsAll", "containsAny"] {
            let Some(test) = value.get(test) else { continue };
            let left = test.pointer("/left/./attr").and_then(Value::as_str);
            if left == Some("scopes") {
                literals(test.get("right").unwrap_or(&Value::Null), scopes);
            }
        }
        true
    });
}

fn without_call(policy: &CedarPolicy, mut json: Value, at: usize) -> Result<CedarPolicy, String> {
    if let Some(conditions) = json.get_mut("conditions").and_then(Value::as_array_mut) {
        conditions.retain(|condition| needs(condition) != Needs::Call);
    }
    CedarPolicy::from_json(Some(id(at)), json)
        .map_err(|fault| format!("{}: {fault}", quoted(&policy.to_string())))
}
