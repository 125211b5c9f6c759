//! What can be said of a call when some of it is forgotten.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test"))]

mod support;

use policy::{Action, Context, Forgotten, Operation, Policy, PrincipalView};
use support::{id, of, role, short, tool};

const FORGOTTEN: Forgotten =
    Forgotten { groups: true, sign_in: true, arguments: true, annotations: true };

/// The decision as in [`short`], or `possible` or `open`, and what it hangs on.
fn recalled(policy: &Policy, who: &PrincipalView<'_>, action: Action<'_>) -> String {
    let recalled = policy.recall(who, &action, &Context::default(), FORGOTTEN);
    let hangs: Vec<String> = recalled
        .hangs
        .iter()
        .map(|one| {
            format!("{}: {}", one.rule, one.on.iter().copied().collect::<Vec<_>>().join(" "))
        })
        .collect();
    match recalled.decision {
        Some(decision) => {
            assert!(hangs.is_empty() && recalled.possible == Some(decision.is_possible()));
            short(&decision)
        }
        None if recalled.possible == Some(true) => format!("possible ({})", hangs.join(", ")),
        None => format!("open ({})", hangs.join(", ")),
    }
}

#[test]
fn membership_that_is_forgotten_leaves_open_what_hangs_on_it() {
    let policy = Policy::new(
        &[
            role("dev", &["group:g"], &["a/*"], &["a/delete"]),
            role("ci", &["token:ci"], &["b/x"], &[]),
        ],
        &[],
    )
    .unwrap();
    let user = id("user:t/o");
    assert_eq!(recalled(&policy, &user, tool("a", "get")), "open (role dev allow a/*: groups)");
    assert_eq!(
        recalled(&policy, &user, tool("a", "delete")),
        "open (role dev deny a/delete: groups, role dev allow a/*: groups)"
    );
    // Nobody's rule.
    assert_eq!(recalled(&policy, &user, tool("c", "get")), "!default deny");
    let roles = ["dev".to_owned()];
    let known = PrincipalView { roles: &roles, ..user };
    assert_eq!(recalled(&policy, &known, tool("a", "get")), "role dev allow a/*");
    assert_eq!(recalled(&policy, &known, tool("a", "delete")), "!role dev deny a/delete");
}

#[test]
fn conditions_on_the_call_hang_on_the_call() {
    let policy = of(r#"
        @id("all") permit(principal, action, resource);
        @id("main") forbid(principal, action, resource == Tool::"a/merge")
            when { context.arguments.text.hasTag("/branch") && context.arguments.text.getTag("/branch") == "main" };
        @id("big") @ask("much") permit(principal, action, resource == Tool::"a/pay")
            when { context.arguments.given.contains("/amount") };
        @id("strange") forbid(principal, action, resource == Tool::"a/odd")
            when { context.acr == "x" && context.arguments.given.contains("/y") };
        @id("fresh") forbid(principal, action, resource == Tool::"a/old")
            unless { context has authAge && context.authAge < 900 };
        @id("tame") forbid(principal, action, resource == Tool::"a/hint") when { resource.destructive };"#);
    let who = id("token:x");
    assert_eq!(recalled(&policy, &who, tool("a", "get")), "policy all");
    assert_eq!(recalled(&policy, &who, tool("a", "merge")), "open (policy main: arguments)");
    assert_eq!(recalled(&policy, &who, tool("a", "pay")), "possible (policy big: arguments)");
    // Its other condition is known not to hold.
    assert_eq!(recalled(&policy, &who, tool("a", "odd")), "policy all");
    assert_eq!(recalled(&policy, &who, tool("a", "old")), "open (policy fresh: sign-in)");
    assert_eq!(recalled(&policy, &who, tool("a", "hint")), "open (policy tame: annotations)");
    // A task is decided without the call's arguments: nothing hangs on them.
    let task = tool("a", "merge").with(Operation::TaskGet);
    assert_eq!(recalled(&policy, &who, task), "policy all");
}

#[test]
fn conditions_on_the_caller_hang_on_the_caller() {
    let policy = of(r#"
        @id("scoped") permit(principal, action, resource in Server::"a") when { principal.scopes.contains("s") };
        @id("group") permit(principal, action, resource in Server::"b") when { principal in Group::"g" };
        @id("tenant") permit(principal in Tenant::"t", action, resource in Server::"c");"#);
    let who = id("user:t/o");
    assert_eq!(recalled(&policy, &who, tool("a", "x")), "open (policy scoped: groups)");
    assert_eq!(recalled(&policy, &who, tool("b", "x")), "open (policy group: groups)");
    assert_eq!(recalled(&policy, &who, tool("c", "x")), "!default deny");
    let there = PrincipalView { tenant: "t", ..who };
    assert_eq!(recalled(&policy, &there, tool("c", "x")), "policy tenant");
}

#[test]
fn with_nothing_forgotten_it_is_the_decision() {
    let policy = Policy::new(&[role("dev", &["group:g"], &["a/*"], &["a/delete"])], &[]).unwrap();
    for action in [tool("a", "get"), tool("a", "delete"), tool("b", "x")] {
        let groups = ["g".to_owned()];
        for who in [id("user:t/o"), PrincipalView { groups: &groups, ..id("user:t/o") }] {
            let context = Context::default();
            let recalled = policy.recall(&who, &action, &context, Forgotten::default());
            let decided = policy.decide(&who, &action, &context);
            assert_eq!(recalled.decision.map(|it| short(&it)), Some(short(&decided)));
        }
    }
}
