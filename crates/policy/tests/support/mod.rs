//! Roles and questions, short.
#![allow(dead_code, reason = "each test file uses some of it")]

use policy::{
    Action, CedarFile, Context, Decision, Kind, Policy, PolicyFault, PrincipalView, Role, Rule,
};

pub fn rules(patterns: &[&str]) -> Vec<Rule> {
    patterns.iter().map(|text| Rule::plain(text.parse().unwrap())).collect()
}

pub fn role(name: &str, members: &[&str], allow: &[&str], deny: &[&str]) -> Role {
    Role {
        name: name.into(),
        members: members.iter().map(|member| member.parse().unwrap()).collect(),
        allow: rules(allow),
        deny: rules(deny),
        ..Role::default()
    }
}

pub fn cedar(text: &str) -> Vec<CedarFile> {
    vec![CedarFile { name: "test.cedar".into(), text: text.into() }]
}

/// With policies in Cedar alone.
pub fn of(text: &str) -> Policy {
    Policy::new(&[], &cedar(text)).unwrap_or_else(|fault| panic!("{fault}"))
}

/// What is wrong with a file.
pub fn faults(text: &str) -> Vec<policy::SourceFault> {
    match Policy::new(&[], &cedar(text)) {
        Err(PolicyFault::Files(faults)) => faults,
        other => panic!("{:?}", other.map(|_| ())),
    }
}

pub fn tool<'a>(server: &'a str, name: &'a str) -> Action<'a> {
    Action::new(server, Kind::Tool, name)
}

pub fn read<'a>(server: &'a str, uri: &'a str) -> Action<'a> {
    Action::new(server, Kind::Resource, uri)
}

pub fn id(id: &str) -> PrincipalView<'_> {
    PrincipalView { id, ..PrincipalView::default() }
}

pub fn json(text: &str) -> mcp::Json<'_> {
    mcp::Json::read(text.as_bytes(), &mcp::Limits::default()).unwrap()
}

/// `rule`, `?rule` where it asks, `!rule` where it denies.
pub fn short(decision: &Decision) -> String {
    let mark = match decision {
        Decision::Permit(_) => "",
        Decision::Ask(_) => "?",
        Decision::Denied(_) => "!",
    };
    format!("{mark}{}", decision.rule())
}

/// The decision on a call with these arguments.
pub fn call(
    policy: &Policy,
    who: &PrincipalView<'_>,
    action: Action<'_>,
    arguments: &str,
) -> String {
    let context = Context { arguments: Some(json(arguments)), ..Context::default() };
    short(&policy.decide(who, &action, &context))
}
