//! Roles decide as they say.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test"))]

mod support;

use policy::{
    Annotations, ArgumentTest, Context, Hint, Policy, PolicyFault, PrincipalView, Role, Rule,
    Scalar, Test, When,
};
use support::{call, id, read, role, rules, short, tool};

/// The rule that decided, asked twice: the second answer may come from memory.
fn rule(policy: &Policy, id: &str, roles: &[&str], action: policy::Action<'_>) -> String {
    let roles: Vec<String> = roles.iter().map(|role| (*role).into()).collect();
    let view = PrincipalView { id, roles: &roles, ..PrincipalView::default() };
    let first = call(policy, &view, action, "{}");
    assert_eq!(first, call(policy, &view, action, "{}"));
    assert_eq!(first, short(&policy.foresee(&view, &action, &Context::default())));
    first
}

#[test]
fn a_server_is_touched_only_by_those_who_may_do_something_there() {
    let roles = [
        role("ci", &["token:ci"], &["git*/get_*", "resource:files/*"], &["github/*"]),
        role("none", &["token:none"], &[], &[]),
    ];
    let policy = Policy::new(&roles, &[]).unwrap();
    let touches = |id, roles: &[&str], server| {
        let roles: Vec<String> = roles.iter().map(|role| (*role).into()).collect();
        policy.may_touch(&PrincipalView { id, roles: &roles, ..Default::default() }, server)
    };
    assert!(touches("token:ci", &[], "gitlab"));
    assert!(touches("token:ci", &[], "files"));
    assert!(!touches("token:ci", &[], "mail"));
    assert!(!touches("token:none", &[], "files"));
    assert!(!touches("loopback", &[], "files"), "roles are configured");
    assert!(touches("owner", &[], "mail"));
    assert!(touches("token:x", &["all"], "mail"));
}

#[test]
fn default_is_deny_and_deny_wins() {
    let policy = Policy::new(
        &[
            role("dev", &["token:ci"], &["github/*"], &["github/delete_*"]),
            role("ops", &[], &["*"], &[]),
        ],
        &[],
    )
    .unwrap();
    let get = tool("github", "get_issue");
    let delete = tool("github", "delete_repo");
    assert_eq!(rule(&policy, "token:ci", &[], get), "role dev allow github/*");
    assert_eq!(rule(&policy, "token:ci", &[], delete), "!role dev deny github/delete_*");
    assert_eq!(rule(&policy, "token:ci", &["ops"], delete), "!role dev deny github/delete_*");
    assert_eq!(rule(&policy, "token:x", &["ops"], delete), "role ops allow *");
    assert_eq!(rule(&policy, "token:x", &[], get), "!default deny");
    assert_eq!(rule(&policy, "token:x", &["no-such-role"], get), "!default deny");
}

#[test]
fn the_built_in_role() {
    let none = Policy::new(&[], &[]).unwrap();
    let some = Policy::new(&[role("dev", &["owner"], &[], &["github/delete_*"])], &[]).unwrap();
    let get = tool("github", "get");
    assert_eq!(rule(&none, "owner", &[], get), "owner has role all");
    assert_eq!(
        rule(&none, "loopback", &[], get),
        "loopback has role all while no roles are configured"
    );
    assert_eq!(rule(&none, "token:x", &[], get), "!default deny");
    assert_eq!(rule(&none, "token:x", &["all"], get), "role all");
    assert_eq!(rule(&some, "loopback", &[], get), "!default deny");
    assert_eq!(rule(&some, "owner", &[], get), "owner has role all");
    let delete = tool("github", "delete_x");
    assert_eq!(rule(&some, "owner", &[], delete), "!role dev deny github/delete_*");
}

#[test]
fn a_provider_in_which_a_role_is_called_all_does_not_hand_out_everything() {
    let policy = Policy::new(&[], &[]).unwrap();
    let get = tool("github", "get");
    assert_eq!(rule(&policy, "user:t/o", &["all"], get), "!default deny");
    assert_eq!(rule(&policy, "workload:k8s/x", &["all"], get), "!default deny");
}

#[test]
fn members_of_every_kind() {
    let members = [
        "client:vscode",
        "group:g1",
        "role:Dev",
        "scope:tools",
        "tenant:t1",
        "token:ci",
        "user:t/o",
        "workload:k8s/x",
        "owner",
        "loopback",
    ];
    for member in members {
        let policy = Policy::new(&[role("r", &[member], &["a/*"], &[])], &[]).unwrap();
        let some = |text: &str| vec![text.to_owned()];
        let (groups, roles, scopes) = (some("g1"), some("Dev"), some("tools"));
        let mut view = PrincipalView { id: "user:x/y", ..PrincipalView::default() };
        match member.split_once(':').unwrap_or((member, "")) {
            ("client", client) => view.client = client,
            ("group", _) => view.groups = &groups,
            ("role", _) => view.roles = &roles,
            ("scope", _) => view.scopes = &scopes,
            ("tenant", tenant) => view.tenant = tenant,
            _ => view.id = member,
        }
        let allowed = call(&policy, &view, tool("a", "x"), "{}");
        let expected = if member == "owner" { "owner has role all" } else { "role r allow a/*" };
        assert_eq!(allowed, expected, "{member}");
        assert_eq!(call(&policy, &id("user:x/y"), tool("a", "x"), "{}"), "!default deny");
    }
}

#[test]
fn a_path_can_not_climb_out_of_what_is_allowed_nor_around_what_is_denied() {
    let roles = [
        role("home", &[], &["files/file:///home/*"], &[]),
        role("any", &[], &["files/*"], &["files/file:///etc/*"]),
        role("free", &[], &["files/*"], &[]),
    ];
    let policy = Policy::new(&roles, &[]).unwrap();
    let climbing = read("files", "file:///home/../etc/passwd");
    let home = read("files", "file:///home/a");
    assert_eq!(rule(&policy, "token:x", &["home"], home), "role home allow files/file:///home/*");
    assert_eq!(rule(&policy, "token:x", &["home"], climbing), "!default deny");
    let denied = "!role any deny files/file:///etc/*";
    assert_eq!(rule(&policy, "token:x", &["any"], climbing), denied);
    assert_eq!(rule(&policy, "token:x", &["free"], climbing), "role free allow files/*");
}

#[test]
fn roles_that_make_no_policy() {
    let fault = |names: &[&str]| {
        let roles: Vec<Role> = names.iter().map(|name| role(name, &[], &[], &[])).collect();
        Policy::new(&roles, &[]).err()
    };
    assert!(fault(&["a", "b"]).is_none());
    assert!(matches!(fault(&["a", "a"]), Some(PolicyFault::Duplicate(name)) if name == "a"));
    assert!(matches!(fault(&["all"]), Some(PolicyFault::Reserved)));
    assert!(matches!(fault(&["A"]), Some(PolicyFault::Name(_))));
    assert!(matches!(fault(&[""]), Some(PolicyFault::Name(_))));
}

fn with(pattern: &str, change: impl FnOnce(&mut Rule)) -> Vec<Rule> {
    let mut rule = rules(&[pattern]);
    change(&mut rule[0]);
    rule
}

fn tests(tests: &[(&str, Test)]) -> Vec<ArgumentTest> {
    tests.iter().map(|(at, test)| ArgumentTest::new(at, test.clone()).unwrap()).collect()
}

/// Whether `allow` and `deny` with this test hold for these arguments.
fn held(test: Test, arguments: &str) -> (bool, bool) {
    let roles = [
        Role {
            allow: with("a/*", |rule| rule.arguments = tests(&[("/x", test.clone())])),
            ..role("allows", &["token:a"], &[], &[])
        },
        Role {
            deny: with("a/*", |rule| rule.arguments = tests(&[("/x", test)])),
            ..role("denies", &["token:d"], &["a/*"], &[])
        },
    ];
    let policy = Policy::new(&roles, &[]).unwrap();
    let denied = call(&policy, &id("token:d"), tool("a", "t"), arguments);
    assert!(!denied.contains("failed"), "{denied}");
    let allowed = call(&policy, &id("token:a"), tool("a", "t"), arguments);
    (!allowed.starts_with('!'), denied.starts_with('!'))
}

#[test]
fn conditions_on_arguments_are_typed_and_what_can_not_be_told_is_not_let_through() {
    let text = |text: &str| Scalar::Text(text.into());
    let number = |text: &str| Scalar::Number(text.parse().unwrap());
    let one = |scalars: &[Scalar]| Test::OneOf(scalars.to_vec());
    let range = |from: Option<&str>, to: Option<&str>| {
        Test::Range(from.map(|n| n.parse().unwrap()), to.map(|n| n.parse().unwrap()))
    };
    // (test, arguments, an allow holds, a deny holds)
    let table = [
        (one(&[text("main")]), r#"{"x":"main"}"#, true, true),
        (one(&[text("main")]), r#"{"x":"dev"}"#, false, false),
        (one(&[text("main")]), r#"{"x":["main"]}"#, false, true),
        (one(&[text("main")]), r#"{"x":1}"#, false, true),
        (one(&[text("main")]), r#"{}"#, false, false),
        (one(&[text("ma\"in\\")]), r#"{"x":"ma\"in\\"}"#, true, true),
        (one(&[text("a*")]), r#"{"x":"ab"}"#, false, false),
        (one(&[Scalar::Flag(true)]), r#"{"x":true}"#, true, true),
        (one(&[Scalar::Flag(true)]), r#"{"x":false}"#, false, false),
        (one(&[Scalar::Flag(true)]), r#"{"x":"true"}"#, false, true),
        (one(&[text("a"), number("1")]), r#"{"x":1.0}"#, true, true),
        (one(&[text("a"), number("1")]), r#"{"x":"b"}"#, false, false),
        (one(&[text("a"), number("1")]), r#"{"x":null}"#, false, true),
        (one(&[number("1")]), r#"{"x":1.00001}"#, false, true),
        (Test::Glob("docs/*".into()), r#"{"x":"docs/a"}"#, true, true),
        (Test::Glob("docs/*".into()), r#"{"x":"docs/../a"}"#, false, true),
        (Test::Glob("docs/*".into()), r#"{"x":"src/%2e%2e/docs"}"#, false, true),
        (Test::Glob("docs/*".into()), r#"{"x":"src/a"}"#, false, false),
        (Test::Glob("rel-*".into()), r#"{"x":"rel-.."}"#, true, true),
        (range(None, Some("100")), r#"{"x":100}"#, true, true),
        (range(None, Some("100")), r#"{"x":100.5}"#, false, false),
        (range(None, Some("100")), r#"{"x":"7"}"#, false, true),
        (range(None, Some("100")), r#"{"x":1e300}"#, false, true),
        (range(Some("-1"), Some("1.5")), r#"{"x":-1}"#, true, true),
        (range(Some("-1"), Some("1.5")), r#"{"x":-1.5}"#, false, false),
        (Test::Absent, r#"{}"#, true, true),
        (Test::Absent, r#"{"x":null}"#, false, false),
    ];
    for (test, arguments, allows, denies) in table {
        assert_eq!(held(test.clone(), arguments), (allows, denies), "{test:?} {arguments}");
    }
}

#[test]
fn a_rule_by_annotation_is_about_tools_alone() {
    let of = |hints: &[Hint]| Role {
        allow: with("a/*", |rule| rule.annotated = hints.to_vec()),
        ..role("r", &["token:x"], &[], &[])
    };
    let tame =
        Annotations { read_only: true, destructive: false, idempotent: true, open_world: false };
    for (hint, tame_too, worst_too) in [
        (Hint::ReadOnly, true, false),
        (Hint::Writes, false, true),
        (Hint::Destructive, false, true),
        (Hint::NotDestructive, true, false),
        (Hint::Idempotent, true, false),
        (Hint::OpenWorld, false, true),
        (Hint::ClosedWorld, true, false),
    ] {
        let policy = Policy::new(&[of(&[hint])], &[]).unwrap();
        let allows = |annotations| {
            let action = policy::Action::tool("a", "t", annotations);
            !call(&policy, &id("token:x"), action, "{}").starts_with('!')
        };
        assert_eq!(allows(tame), tame_too, "{hint:?}");
        assert_eq!(allows(Annotations::default()), worst_too, "{hint:?}");
        assert_eq!(call(&policy, &id("token:x"), read("a", "file:///x"), "{}"), "!default deny");
    }
}

#[test]
fn hints_that_are_no_booleans_are_as_good_as_absent() {
    let of = |text| Annotations::of(support::json(text));
    assert_eq!(of(r#"{"annotations":{"readOnlyHint":"true"}}"#), Annotations::default());
    assert_eq!(of(r#"{"annotations":[true]}"#), Annotations::default());
    let reads = of(r#"{"annotations":{"readOnlyHint":true,"destructiveHint":true}}"#);
    assert!(reads.read_only && !reads.destructive && reads.open_world);
}

#[test]
fn circumstances_must_hold_for_what_a_role_gives_and_not_for_what_it_takes() {
    let when = When {
        networks: vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()],
        hours: vec!["mon-fri 09:00-17:00".parse().unwrap()],
        acr: vec!["mfa".into()],
        amr: vec!["pwd".into(), "otp".into()],
        max_age: Some(600),
        scopes: vec!["tools".into()],
        ..When::default()
    };
    let office = Role { when, ..role("office", &["user:t/o"], &["a/*"], &["a/x"]) };
    let policy = Policy::new(&[office], &[]).unwrap();
    let (amr, scopes) = (["otp".to_owned(), "pwd".to_owned()], ["tools".to_owned()]);
    let view = PrincipalView {
        id: "user:t/o",
        acr: "mfa",
        amr: &amr,
        scopes: &scopes,
        authenticated_at: Some(1_795_428_000 - 600),
        ..PrincipalView::default()
    };
    // Monday 2026-11-23T10:00:00Z, from a v4 address in a v6 one.
    let context = Context {
        time: 1_795_428_000,
        network: Some("::ffff:10.1.2.3".parse().unwrap()),
        ..Context::default()
    };
    let may = |view: &PrincipalView<'_>, context: &Context<'_>| {
        let decided = policy.decide(view, &tool("a", "t"), context);
        assert_eq!(policy.foresee(view, &tool("a", "t"), context), decided);
        assert!(!policy.decide(view, &tool("a", "x"), context).is_possible());
        decided.is_possible()
    };
    assert!(may(&view, &context));
    let at = |address: &str| Context { network: Some(address.parse().unwrap()), ..context };
    assert!(may(&view, &at("fd12::1")));
    assert!(!may(&view, &at("11.0.0.1")));
    assert!(!may(&view, &Context { network: None, ..context }));
    assert!(!may(&view, &Context { time: context.time + 7 * 3600, ..context }));
    assert!(!may(&view, &Context { time: context.time + 1, ..context }), "601 seconds ago");
    assert!(!may(&view, &Context { time: context.time - 601, ..context }), "in the future");
    assert!(!may(&PrincipalView { acr: "pwd", ..view }, &context));
    assert!(!may(&PrincipalView { amr: &amr[..1], ..view }, &context));
    assert!(!may(&PrincipalView { scopes: &[], ..view }, &context));
    assert!(!may(&PrincipalView { authenticated_at: None, ..view }, &context));
}

#[test]
fn an_approval_is_asked_for_whatever_else_allows() {
    let careful = Role {
        ask: with("a/delete_*", |rule| rule.reason = Some("it can't be undone".into())),
        ..role("careful", &["token:x"], &["a/*"], &["a/delete_all"])
    };
    let policy = Policy::new(&[careful, role("ops", &["token:x"], &["*"], &[])], &[]).unwrap();
    let decided = policy.decide(&id("token:x"), &tool("a", "delete_one"), &Context::default());
    let policy::Decision::Ask(ask) = decided else { panic!("{decided:?}") };
    assert_eq!((ask.rule(), ask.reason()), ("role careful ask a/delete_*", "it can't be undone"));
    let x = id("token:x");
    assert_eq!(call(&policy, &x, tool("a", "get"), "{}"), "role careful allow a/*");
    assert_eq!(call(&policy, &x, tool("a", "delete_all"), "{}"), "!role careful deny a/delete_all");
}

#[test]
fn labels_and_findings_decide_when_a_call_is_there_and_hide_nothing_before() {
    let guarded = Role {
        deny: with("*", |rule| {
            rule.annotated = vec![Hint::OpenWorld];
            rule.when.labels = vec!["private".into()];
        }),
        ask: with("*", |rule| rule.when.findings = vec!["secret".into()]),
        ..role("guarded", &["token:x"], &["*"], &[])
    };
    let policy = Policy::new(&[guarded], &[]).unwrap();
    let send = tool("mail", "send");
    let with = |labels: &[&str], findings: &[&str]| {
        let context = Context { labels, findings, ..Context::default() };
        let decided = policy.decide(&id("token:x"), &send, &context);
        assert!(policy.foresee(&id("token:x"), &send, &context).is_possible());
        decided.as_str()
    };
    assert_eq!(with(&[], &[]), "permit");
    assert_eq!(with(&["private"], &[]), "deny");
    assert_eq!(with(&[], &["pii", "secret"]), "ask");
}

#[test]
fn the_scopes_that_would_do_and_no_more() {
    let write = Role {
        when: When { scopes: vec!["repo".into(), "write".into()], ..When::default() },
        ..role("writers", &["user:t/o", "scope:admin"], &["github/*"], &[])
    };
    let roles = [write, role("readers", &["scope:read"], &["github/get_*"], &[])];
    let policy = Policy::new(&roles, &[]).unwrap();
    let scopes = |id, held: &[&str], name| {
        let held: Vec<String> = held.iter().map(|scope| (*scope).to_owned()).collect();
        let view = PrincipalView { id, scopes: &held, ..PrincipalView::default() };
        let view = PrincipalView { digest: Some(view.digest()), ..view };
        policy.scopes_for(&view, &tool("github", name), &Context::default()).join(" ")
    };
    assert_eq!(scopes("user:t/o", &["repo"], "merge"), "write");
    assert_eq!(scopes("user:t/o", &[], "merge"), "repo write");
    assert_eq!(scopes("user:t/o", &["repo", "write"], "merge"), "");
    assert_eq!(scopes("user:x/y", &[], "merge"), "admin repo write");
    assert_eq!(scopes("user:x/y", &[], "get_x"), "read");
    assert_eq!(
        policy.scopes_for(&id("user:t/o"), &tool("mail", "send"), &Context::default()),
        [""; 0]
    );
}

#[test]
fn an_explanation_names_the_rules_and_what_would_change_them() {
    let roles = [
        role("dev", &["token:dev"], &["github/*"], &["github/delete_*"]),
        role("ops", &["group:ops"], &["github/*"], &[]),
    ];
    let policy = Policy::new(&roles, &[]).unwrap();
    let explain = |who, name| policy.explain(&id(who), &tool("github", name), &Context::default());
    let denied = explain("token:dev", "delete_x");
    assert_eq!(short(&denied.decision), "!role dev deny github/delete_*");
    assert_eq!(denied.roles, ["dev"]);
    assert_eq!(
        denied.mends[0],
        "role dev deny github/delete_* must not hold: it denies whatever allows"
    );
    let states: Vec<_> =
        denied.considered.iter().map(|one| (one.rule.as_str(), one.state.as_str())).collect();
    assert!(states.contains(&("role dev allow github/*", "holds")), "{states:?}");
    assert!(states.contains(&("role ops allow github/*", "other callers")), "{states:?}");
    let stranger = explain("token:x", "get");
    assert!(
        stranger.mends.contains(&"role ops allow github/* would allow it to those it is for: group:ops, and credentials with the role ops".to_owned()),
        "{:?}", stranger.mends
    );
    assert!(explain("token:dev", "get").mends.is_empty());
}
