//! Policies in Cedar: what is refused on load, and where Cedar would let something through.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test"))]

mod support;

use policy::{Action, Annotations, Context, Kind, Operation, Policy, PrincipalView};
use support::{call, cedar, faults, id, of, role, short, tool};

#[test]
fn a_forbid_that_fails_forbids() {
    // Cedar passes over the failing forbid and allows.
    let policy = of(r#"
        @id("everyone") permit(principal, action, resource);
        @id("late") forbid(principal, action, resource)
            when { context.minuteOfWeek * 9223372036854775807 > 0 };"#);
    let context = Context { time: 600, ..Context::default() };
    let decided = short(&policy.decide(&id("token:x"), &tool("a", "t"), &context));
    assert!(decided.starts_with("!a policy that failed: "), "{decided}");
    assert!(!policy.foresee(&id("token:x"), &tool("a", "t"), &context).is_possible());
}

#[test]
fn a_permit_that_fails_takes_the_others_with_it() {
    let policy = of(r#"
        permit(principal, action, resource);
        permit(principal, action, resource) when { context.minuteOfWeek * 9223372036854775807 > 0 };"#);
    let context = Context { time: 600, ..Context::default() };
    assert!(!policy.decide(&id("token:x"), &tool("a", "t"), &context).is_possible());
}

#[test]
fn forbid_wins_and_nothing_is_permitted_by_default() {
    let policy = of(r#"
        @id("readers") permit(principal is User in Group::"g", action == Action::"tools/call", resource in Server::"a");
        @id("no deleting") forbid(principal, action, resource is Tool) when { resource.name like "delete_*" };"#);
    let groups = ["g".to_owned()];
    let user = PrincipalView { id: "user:t/o", groups: &groups, ..PrincipalView::default() };
    assert_eq!(call(&policy, &user, tool("a", "get"), "{}"), "policy readers");
    assert_eq!(call(&policy, &user, tool("a", "delete_x"), "{}"), "!policy no deleting");
    assert_eq!(call(&policy, &user, tool("b", "get"), "{}"), "!default deny");
    assert_eq!(call(&policy, &user, Action::new("a", Kind::Prompt, "get"), "{}"), "!default deny");
    assert_eq!(call(&policy, &id("user:t/o"), tool("a", "get"), "{}"), "!default deny");
    assert_eq!(call(&policy, &id("token:x"), tool("a", "get"), "{}"), "!default deny");
    assert!(policy.may_touch(&user, "a") && !policy.may_touch(&user, "b"));
    // Its mere presence takes the loopback's role `all` away.
    assert_eq!(call(&policy, &id("loopback"), tool("a", "get"), "{}"), "!default deny");
}

#[test]
fn what_follows_a_call_goes_with_it() {
    let policy = of(r#"
        permit(principal, action in Action::"tools/call", resource == Tool::"a/t")
            when { context.arguments.text.hasTag("/x") && context.arguments.text.getTag("/x") == "1" };"#);
    let t = tool("a", "t");
    assert_eq!(call(&policy, &id("token:x"), t, r#"{"x":"1"}"#), "policy test.cedar:2");
    assert_eq!(call(&policy, &id("token:x"), t, r#"{"x":"2"}"#), "!default deny");
    assert!(policy.foresee(&id("token:x"), &t, &Context::default()).is_possible());
    // A task has no arguments any more.
    let task = t.with(Operation::TaskGet);
    assert!(policy.decide(&id("token:x"), &task, &Context::default()).is_possible());
    let strict = of(r#"permit(principal, action == Action::"tools/call", resource);"#);
    assert!(!strict.decide(&id("token:x"), &task, &Context::default()).is_possible());
}

#[test]
fn roles_and_files_make_one_policy() {
    let files = cedar(
        r#"
        @id("mfa") forbid(principal in Role::"dev", action, resource is Tool)
            when { resource.destructive } unless { context.acr == "mfa" };"#,
    );
    let policy = Policy::new(&[role("dev", &["user:t/o"], &["a/*"], &[])], &files).unwrap();
    let user = PrincipalView { id: "user:t/o", ..PrincipalView::default() };
    let tame = Annotations { destructive: false, ..Annotations::default() };
    assert_eq!(call(&policy, &user, Action::tool("a", "t", tame), "{}"), "role dev allow a/*");
    assert_eq!(call(&policy, &user, tool("a", "t"), "{}"), "!policy mfa");
    let strong = PrincipalView { acr: "mfa", ..user };
    assert_eq!(call(&policy, &strong, tool("a", "t"), "{}"), "role dev allow a/*");
}

#[test]
fn an_ask_in_cedar() {
    let policy = of(r#"
        permit(principal, action, resource);
        @id("deletes") @ask("gone is gone") permit(principal, action, resource is Tool)
            when { resource.name like "delete_*" };"#);
    assert_eq!(call(&policy, &id("token:x"), tool("a", "delete_x"), "{}"), "?policy deletes");
    assert_eq!(call(&policy, &id("token:x"), tool("a", "get"), "{}"), "policy test.cedar:2");
}

#[test]
fn mistakes_are_shown_where_they_are() {
    // (text, what is underlined, a part of the message)
    let table = [
        ("permit(principal, action, resource)", "", "unexpected end"),
        (
            r#"permit(principal, action == Action::"tools/cal", resource);"#,
            r#"Action::"tools/cal""#,
            "tools/cal",
        ),
        (r#"permit(principal in Rol::"x", action, resource);"#, "Rol", "Rol"),
        (
            "permit(principal, action, resource) when { context.nework == \"x\" };",
            "context.nework",
            "nework",
        ),
        (
            "permit(principal, action, resource) when { context.network == ip(\"10.0.0.1\") };",
            "context.network",
            "network",
        ),
        (
            "permit(principal, action, resource) when { context.labels == \"x\" };",
            "context.labels == \"x\"",
            "types",
        ),
        (
            "permit(principal, action, resource) when { resource.readOnly };",
            "resource.readOnly",
            "readOnly",
        ),
        (
            "permit(principal, action, resource) when { context.arguments.text.getTag(\"/x\") == \"y\" };",
            "context.arguments.text.getTag(\"/x\")",
            "tag",
        ),
        ("permit(principal == ?principal, action, resource);", "", "slot"),
        ("permit(principal, action, resource) when { false };", "", "impossible"),
        (r#"permit(principal, action == Action::"prompts/get", resource is Tool);"#, "", ""),
    ];
    for (text, underlined, message) in table {
        let found = faults(text);
        assert!(found.iter().any(|fault| fault.message.contains(message)), "{text}: {found:?}");
        assert!(found.iter().all(|fault| fault.file == "test.cedar"), "{found:?}");
        if !underlined.is_empty() {
            let spans: Vec<&str> =
                found.iter().filter_map(|fault| text.get(fault.span.clone()?)).collect();
            assert!(spans.contains(&underlined), "{text}: {spans:?} {found:?}");
        }
    }
    assert_eq!(faults("permit(").len(), 1);
    let two = faults(
        "permit(principal, action, resource) when { context.a };\npermit(principal, action, resource) when { context.b };",
    );
    assert!(two.iter().any(|fault| fault.message.contains('a')), "{two:?}");
    assert!(two.iter().any(|fault| fault.message.contains('b')), "{two:?}");
    let mut once = two.clone();
    once.dedup();
    assert_eq!(once, two, "nothing is told twice");
}

#[test]
fn what_a_policy_is_called() {
    let policy = of(
        "\n\npermit(principal is Token, action, resource);\n@id(\"named\")\npermit(principal is User, action, resource);",
    );
    assert_eq!(call(&policy, &id("token:x"), tool("a", "t"), "{}"), "policy test.cedar:3");
    assert_eq!(call(&policy, &id("user:t/o"), tool("a", "t"), "{}"), "policy named");
}

#[test]
fn a_file_of_nothing_is_a_policy_that_permits_nothing() {
    let policy = of("// nothing yet\n");
    assert_eq!(call(&policy, &id("loopback"), tool("a", "t"), "{}"), "!default deny");
    assert_eq!(call(&policy, &id("owner"), tool("a", "t"), "{}"), "owner has role all");
}
