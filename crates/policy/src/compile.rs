//! Roles become Cedar: each line of a role is one policy.

use std::fmt::Write;

use crate::{
    ArgumentTest, Hint, Kind, Pattern, Role, Rule, Scalar, Test, When, glob::Glob, principal::ALL,
};

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Allow,
    Ask,
    Deny,
}

impl Effect {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Effect::Allow => "allow",
            Effect::Ask => "ask",
            Effect::Deny => "deny",
        }
    }
}

/// A policy in Cedar's syntax, and how records name it.
#[derive(Clone, Debug)]
pub(crate) struct Compiled {
    pub rule: String,
    pub pattern: Option<Pattern>,
    pub cedar: String,
}

/// What is built in: the role `all`, which the owner always has, and anyone on the loopback while
/// nothing else is configured.
pub(crate) fn built_in(nothing_configured: bool) -> Vec<Compiled> {
    let policy = |rule: &str, principal: &str| Compiled {
        rule: rule.to_owned(),
        pattern: None,
        cedar: format!("@id({})\npermit({principal}, action, resource);", quoted(rule)),
    };
    let mut policies = vec![
        policy("owner has role all", "principal is Owner"),
        policy("role all", &format!("principal in Role::{}", quoted(ALL))),
    ];
    if nothing_configured {
        let rule = "loopback has role all while no roles are configured";
        policies.push(policy(rule, "principal is Loopback"));
    }
    policies
}

pub(crate) fn compile(role: &Role) -> Vec<Compiled> {
    let lines =
        [(Effect::Deny, &role.deny), (Effect::Ask, &role.ask), (Effect::Allow, &role.allow)];
    let lines =
        lines.into_iter().flat_map(|(effect, rules)| rules.iter().map(move |r| (effect, r)));
    lines.map(|(effect, rule)| line(role, effect, rule)).collect()
}

fn line(role: &Role, effect: Effect, rule: &Rule) -> Compiled {
    let name = rule.named(&role.name, effect.as_str());
    let mut clauses = Clauses { sure: effect == Effect::Allow, texts: Vec::new() };
    let resource = clauses.pattern(&rule.pattern, !rule.annotated.is_empty());
    rule.annotated.iter().for_each(|hint| clauses.hint(*hint));
    if effect != Effect::Deny {
        // Who does not meet the role's own circumstances does not have what it gives.
        clauses.when(&role.when, true);
    }
    clauses.when(&rule.when, clauses.sure);
    rule.arguments.iter().for_each(|test| clauses.argument(test));

    let mut cedar = format!("@id({})\n", quoted(&name));
    if effect == Effect::Ask {
        let reason = rule.reason.as_deref().unwrap_or_default();
        let _ = writeln!(cedar, "@ask({})", quoted(reason));
    }
    let word = if effect == Effect::Deny { "forbid" } else { "permit" };
    let _ = write!(cedar, "{word}(principal in Role::{}, action, {resource})", quoted(&role.name));
    for clause in &clauses.texts {
        let _ = write!(cedar, "\nwhen {{ {clause} }}");
    }
    cedar.push(';');
    Compiled { rule: name, pattern: Some(rule.pattern.clone()), cedar }
}

impl Rule {
    /// How records name it as a line of a role; `effect` is `allow`, `ask` or `deny`.
    pub fn named(&self, role: &str, effect: &str) -> String {
        format!("role {role} {effect} {}", described(self))
    }
}

/// The pattern, and that there is more to it.
fn described(rule: &Rule) -> String {
    let mut text = rule.pattern.to_string();
    let hints: Vec<&str> = rule.annotated.iter().map(|hint| hint.as_str()).collect();
    let pointers: Vec<&str> = rule.arguments.iter().map(|test| test.pointer.as_str()).collect();
    for (what, parts) in [("annotated", hints), ("arguments", pointers)] {
        if !parts.is_empty() {
            let _ = write!(text, " {what} {}", parts.join(" "));
        }
    }
    for (what, given) in [
        ("labels", !rule.when.labels.is_empty()),
        ("findings", !rule.when.findings.is_empty()),
        ("networks", !rule.when.networks.is_empty()),
        ("hours", !rule.when.hours.is_empty()),
    ] {
        if given {
            let _ = write!(text, " {what}");
        }
    }
    text
}

/// The conditions of one policy. What can't be told (an argument of another type, a caller without
/// an address) does not satisfy a rule that allows, and does satisfy one that denies or asks.
struct Clauses {
    sure: bool,
    texts: Vec<String>,
}

impl Clauses {
    fn push(&mut self, text: impl Into<String>) {
        self.texts.push(text.into());
    }

    /// The scope of the resource; what it can't say becomes clauses.
    fn pattern(&mut self, pattern: &Pattern, tools_only: bool) -> String {
        let (kind, server, name) = pattern.parts();
        let kind = kind.or(tools_only.then_some(Kind::Tool));
        let mut scope = String::from("resource");
        if let Some(kind) = kind {
            let _ = write!(scope, " is {}", kind.type_name());
        }
        match server {
            Glob::Exact(server) => {
                let _ = write!(scope, " in Server::{}", quoted(server));
            }
            glob if glob.is_any() => {}
            glob => self.push(format!("resource.server like {}", like(glob))),
        }
        let may_be_uri = kind.is_none_or(|kind| kind == Kind::Resource);
        let named = match name {
            Glob::Exact(name) => format!("resource.name == {}", quoted(name)),
            glob if glob.is_any() => return scope,
            glob => format!("resource.name like {}", like(glob)),
        };
        match (may_be_uri, self.sure) {
            (false, _) => self.push(named),
            (true, true) => {
                self.push("!resource.ambiguous");
                self.push(named);
            }
            (true, false) => self.push(format!("resource.ambiguous || {named}")),
        }
        scope
    }

    fn hint(&mut self, hint: Hint) {
        self.push(match hint {
            Hint::ReadOnly => "resource.readOnly",
            Hint::Writes => "!resource.readOnly",
            Hint::Destructive => "resource.destructive",
            Hint::NotDestructive => "!resource.destructive",
            Hint::Idempotent => "resource.idempotent",
            Hint::OpenWorld => "resource.openWorld",
            Hint::ClosedWorld => "!resource.openWorld",
        });
    }

    fn when(&mut self, when: &When, sure: bool) {
        if !when.networks.is_empty() {
            let inside = |net: &ipnet::IpNet| {
                format!("context.network.isInRange(ip({}))", quoted(&net.to_string()))
            };
            let inside = any(when.networks.iter().map(inside));
            self.push(format!("if context has network then ({inside}) else {}", !sure));
        }
        if !when.hours.is_empty() {
            let spans = when.hours.iter().flat_map(|hours| &hours.spans).map(|span| {
                let (from, to) = (span.start, span.end);
                format!("(context.minuteOfWeek >= {from} && context.minuteOfWeek < {to})")
            });
            self.push(any(spans));
        }
        if !when.acr.is_empty() {
            self.push(format!("{}.contains(context.acr)", set(&when.acr)));
        }
        if !when.amr.is_empty() {
            self.push(format!("context.amr.containsAll({})", set(&when.amr)));
        }
        if let Some(seconds) = when.max_age {
            self.push(format!(
                "if context has authAge then context.authAge <= {seconds} else {}",
                !sure
            ));
        }
        if !when.scopes.is_empty() {
            self.push(format!("principal.scopes.containsAll({})", set(&when.scopes)));
        }
        for (member, texts) in [("labels", &when.labels), ("findings", &when.findings)] {
            if !texts.is_empty() {
                self.push(format!("context.{member}.containsAny({})", set(texts)));
            }
        }
    }

    fn argument(&mut self, argument: &ArgumentTest) {
        let pointer = quoted(&argument.pointer);
        let given = format!("context.arguments.given.contains({pointer})");
        let test = match &argument.test {
            Test::Absent => return self.push(format!("!{given}")),
            Test::Glob(glob) => {
                let matches = format!(
                    "context.arguments.text.getTag({pointer}) like {}",
                    like(&Glob::new(glob))
                );
                let ambiguous = format!("context.arguments.ambiguous.contains({pointer})");
                let matches = match (glob.contains('/'), self.sure) {
                    (false, _) => matches,
                    (true, true) => format!("!{ambiguous} && {matches}"),
                    (true, false) => format!("{ambiguous} || {matches}"),
                };
                self.typed("text", &pointer, &matches)
            }
            Test::OneOf(scalars) => {
                let one = scalars.iter().map(|scalar| equals(&pointer, scalar));
                // A value of none of the listed types: "true" where true is meant.
                let untold = (!self.sure).then(|| {
                    let mut members: Vec<_> = scalars.iter().map(member).collect();
                    members.sort_unstable();
                    members.dedup();
                    let typed = members
                        .iter()
                        .map(|member| format!("context.arguments.{member}.hasTag({pointer})"));
                    format!("!({})", any(typed))
                });
                any(one.chain(untold))
            }
            Test::Range(from, to) => {
                let bound = |method, number: &crate::Number| {
                    let number = quoted(&number.0);
                    format!(
                        "context.arguments.numbers.getTag({pointer}).{method}(decimal({number}))"
                    )
                };
                let from = from.as_ref().map(|number| bound("greaterThanOrEqual", number));
                let to = to.as_ref().map(|number| bound("lessThanOrEqual", number));
                let both: Vec<String> = from.into_iter().chain(to).collect();
                let both = if both.is_empty() { "true".to_owned() } else { both.join(" && ") };
                self.typed("numbers", &pointer, &both)
            }
        };
        match self.sure {
            true => self.push(test),
            // What is not given is not denied; what is given in another form is.
            false => self.push(format!("{given} && ({test})")),
        }
    }

    /// Of a type: what is given in another type can't be told.
    fn typed(&self, member: &str, pointer: &str, test: &str) -> String {
        let has = format!("context.arguments.{member}.hasTag({pointer})");
        format!("if {has} then ({test}) else {}", !self.sure)
    }
}

fn equals(pointer: &str, scalar: &Scalar) -> String {
    let value = match scalar {
        Scalar::Flag(flag) => flag.to_string(),
        Scalar::Number(number) => format!("decimal({})", quoted(&number.0)),
        Scalar::Text(text) => quoted(text),
    };
    let arguments = format!("context.arguments.{}", member(scalar));
    format!("({arguments}.hasTag({pointer}) && {arguments}.getTag({pointer}) == {value})")
}

/// Where `context.arguments` holds values of its type.
fn member(scalar: &Scalar) -> &'static str {
    match scalar {
        Scalar::Flag(_) => "flags",
        Scalar::Number(_) => "numbers",
        Scalar::Text(_) => "text",
    }
}

fn any(texts: impl Iterator<Item = String>) -> String {
    let texts: Vec<String> = texts.collect();
    if texts.is_empty() { "false".to_owned() } else { texts.join(" || ") }
}

fn set(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", texts.join(", "))
}

/// A string literal of Cedar.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    text.chars().for_each(|character| escape(&mut quoted, character));
    quoted.push('"');
    quoted
}

fn escape(out: &mut String, character: char) {
    match character {
        '"' | '\\' => {
            out.push('\\');
            out.push(character);
        }
        _ if character.is_control() => {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(character));
        }
        _ => out.push(character),
    }
}

/// A pattern literal: our stars are Cedar's.
fn like(glob: &Glob) -> String {
    let mut text = String::from("\"");
    match glob {
        Glob::Exact(own) => own.chars().for_each(|character| escape(&mut text, character)),
        Glob::Stars { before, between, after } => {
            before.chars().for_each(|character| escape(&mut text, character));
            text.push('*');
            for piece in between {
                piece.chars().for_each(|character| escape(&mut text, character));
                text.push('*');
            }
            after.chars().for_each(|character| escape(&mut text, character));
        }
    }
    text.push('"');
    text
}
