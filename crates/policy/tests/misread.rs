//! Conditions are held against what tools take.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test"))]

mod support;

use policy::{Action, ArgumentTest, Kind, Misread, Offered, Policy, Rule, Scalar, Test};
use support::{cedar, json, role};

const MERGE: &str = r#"{"name":"merge","inputSchema":{"type":"object","properties":
    {"branch":{"type":"string"},"amount":{"type":"integer"},"force":{"type":"boolean"}}}}"#;
const LIST: &str =
    r#"{"name":"list","inputSchema":{"type":"object","properties":{"page":{"type":"integer"}}}}"#;
const OPEN: &str = r#"{"name":"open","inputSchema":{"type":"object"}}"#;
const REVIEW: &str = r#"{"name":"review","arguments":[{"name":"style"}]}"#;

fn misread(policy: &Policy) -> Vec<Misread> {
    let offered = |kind, name, text| Offered {
        action: Action::new("github", kind, name),
        definition: json(text),
    };
    policy.misread(&[
        offered(Kind::Tool, "merge", MERGE),
        offered(Kind::Tool, "list", LIST),
        offered(Kind::Prompt, "review", REVIEW),
    ])
}

fn of_cedar(scope: &str, condition: &str) -> (String, Vec<Misread>) {
    let text = format!("permit(principal, action, {scope})\nwhen {{ {condition} }};\n");
    let found = misread(&Policy::new(&[], &cedar(&text)).unwrap());
    (text, found)
}

#[test]
fn a_policy_that_looks_at_no_argument_of_the_tool_is_told_at_its_place() {
    let merge = r#"resource == Tool::"github/merge""#;
    let has =
        |member: &str, pointer: &str| format!("context.arguments.{member}.hasTag(\"{pointer}\")");
    for fine in [has("text", "/branch"), has("numbers", "/amount"), has("flags", "/force")] {
        assert_eq!(of_cedar(merge, &fine).1, [], "{fine}");
    }
    assert_eq!(of_cedar(merge, r#"context.arguments.given.contains("/amount")"#).1, []);
    // Either type is meant.
    let either = format!("{} || {}", has("text", "/amount"), has("numbers", "/amount"));
    assert_eq!(of_cedar(merge, &either).1, []);

    let (text, found) = of_cedar(merge, &has("text", "/brnach"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].message, "github/merge takes no argument /brnach");
    assert_eq!(found[0].known, ["/amount", "/branch", "/force"]);
    let (file, place) = found[0].place.clone().unwrap();
    assert_eq!((file.as_str(), text.get(place)), ("test.cedar", Some("\"/brnach\"")));

    let (_, found) = of_cedar(merge, &has("text", "/amount"));
    assert_eq!(found[0].message, "/amount of github/merge is a number, and is looked at as a text");
    let (_, found) = of_cedar(merge, r#"context.arguments.given.containsAny(["/x", "/branch"])"#);
    assert_eq!(found[0].pointer, "/x");
    assert_eq!(found.len(), 1);
}

#[test]
fn a_wide_policy_means_whatever_takes_the_argument() {
    let server = r#"resource in Server::"github""#;
    for pointer in ["/branch", "/style"] {
        let condition = format!("context.arguments.text.hasTag(\"{pointer}\")");
        assert_eq!(of_cedar(server, &condition).1, [], "{pointer}");
    }
    let (_, found) = of_cedar(server, r#"context.arguments.numbers.hasTag("/pge")"#);
    assert_eq!(
        found[0].message,
        "none of the 3 tools and prompts that it is about takes an argument /pge"
    );
    // Nothing is known of what another server takes.
    let other = r#"resource in Server::"other""#;
    assert_eq!(of_cedar(other, r#"context.arguments.text.hasTag("/x")"#).1, []);
}

#[test]
fn what_a_definition_leaves_open_may_be_meant() {
    let policy = Policy::new(
        &[],
        &cedar(
            r#"permit(principal, action, resource) when { context.arguments.text.hasTag("/x") };"#,
        ),
    )
    .unwrap();
    let open =
        Offered { action: Action::new("github", Kind::Tool, "open"), definition: json(OPEN) };
    assert_eq!(policy.misread(&[open]), []);
}

#[test]
fn lines_of_roles_are_looked_at_alike() {
    let line = |pattern: &str, pointer: &str, test: Test| {
        let arguments = vec![ArgumentTest::new(pointer, test).unwrap()];
        Rule { arguments, ..Rule::plain(pattern.parse().unwrap()) }
    };
    let glob = || Test::Glob("release/*".into());
    let of = |allow: Vec<Rule>, deny: Vec<Rule>| {
        let role = policy::Role { allow, deny, ..role("dev", &[], &[], &[]) };
        misread(&Policy::new(&[role], &[]).unwrap())
    };
    assert_eq!(of(vec![line("github/merge", "/branch", glob())], vec![]), []);
    assert_eq!(of(vec![line("github/*", "/branch", glob())], vec![]), []);
    let range = Test::Range(None, Some("9".parse().unwrap()));
    assert_eq!(of(vec![line("github/merge", "/amount", range)], vec![]), []);
    let mixed = Test::OneOf(vec![Scalar::Text("yes".into()), Scalar::Flag(true)]);
    assert_eq!(of(vec![line("github/merge", "/force", mixed)], vec![]), []);

    let found = of(vec![], vec![line("github/merge", "/amount", glob())]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].rule, "role dev deny github/merge arguments /amount");
    assert_eq!(found[0].place, None);
    let found = of(vec![line("github/merge", "/base", Test::Absent)], vec![]);
    assert_eq!(found[0].message, "github/merge takes no argument /base");
}
