//! Held against a reference that is too simple to be wrong: a line of a role, by hand.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test"))]

mod support;

use policy::{
    Action, Annotations, ArgumentTest, CedarFile, Context, Hint, Kind, Operation, Policy,
    PrincipalView, Role, Rule, Scalar, Test,
};
use proptest::{collection::vec, prelude::*, sample::select};

const SERVERS: [&str; 2] = ["a", "ab"];
const NAMES: [&str; 4] = ["x", "xy", "y", "file:///x"];
const PATTERNS: [&str; 11] = [
    "*",
    "a/*",
    "a*/x*",
    "tool:a/x",
    "tool:*",
    "prompt:a*/*y",
    "resource:*/file:///*",
    "ab/y",
    "resource:a/*",
    "model:a*/x*",
    "*/x",
];
const KINDS: [Kind; 5] = [Kind::Method, Kind::Model, Kind::Prompt, Kind::Resource, Kind::Tool];

#[derive(Clone, Debug)]
struct Line {
    pattern: &'static str,
    flag: Option<bool>,
    read_only: bool,
}

#[derive(Clone, Debug)]
struct Lines {
    members: Vec<&'static str>,
    allow: Vec<Line>,
    ask: Vec<Line>,
    deny: Vec<Line>,
}

fn lines() -> impl Strategy<Value = Vec<Line>> {
    let line = (select(&PATTERNS[..]), proptest::option::of(any::<bool>()), any::<bool>());
    vec(
        line.prop_map(|(pattern, flag, read_only): (&'static str, _, bool)| {
            let read_only = read_only
                && !["prompt:", "resource:", "model:"].iter().any(|kind| pattern.starts_with(kind));
            Line { pattern, flag, read_only }
        }),
        0..3,
    )
}

fn role() -> impl Strategy<Value = Lines> {
    let members = vec(select(&["token:t", "user:u", "group:g", "scope:s"][..]), 0..3);
    (members, lines(), lines(), lines()).prop_map(|(members, allow, ask, deny)| Lines {
        members,
        allow,
        ask,
        deny,
    })
}

fn rules(lines: &[Line]) -> Vec<Rule> {
    let rule = |line: &Line| {
        let mut rule = Rule::plain(line.pattern.parse().unwrap());
        rule.arguments.extend(
            line.flag
                .and_then(|flag| ArgumentTest::new("/f", Test::OneOf(vec![Scalar::Flag(flag)]))),
        );
        rule.annotated.extend(line.read_only.then_some(Hint::ReadOnly));
        rule
    };
    lines.iter().map(rule).collect()
}

/// A caller, and whether each kind of member covers it.
fn covers(view: &PrincipalView<'_>, member: &str) -> bool {
    match member.split_once(':') {
        Some(("group", group)) => view.groups.iter().any(|own| own == group),
        Some(("scope", scope)) => view.scopes.iter().any(|own| own == scope),
        _ => view.id == member,
    }
}

/// `flag`: the argument, `None` when it is not given, `Some(None)` when it is no flag; the outer
/// `None` when no call is there yet.
type Given = Option<Option<Option<bool>>>;

fn holds(line: &Line, action: &Action<'_>, given: Given, sure: bool) -> bool {
    let pattern: policy::Pattern = line.pattern.parse().unwrap();
    if !pattern.matches(action.server, action.kind, action.name) {
        return false;
    }
    if line.read_only && (action.kind != Kind::Tool || !action.annotations.read_only) {
        return false;
    }
    match (line.flag, given) {
        (None, _) => true,
        // Before a call: an allow may hold, a deny may not.
        (Some(_), None) => true,
        (Some(_), Some(None)) => false,
        (Some(_), Some(Some(None))) => !sure,
        (Some(wanted), Some(Some(Some(flag)))) => wanted == flag,
    }
}

fn reference(
    roles: &[Lines],
    view: &PrincipalView<'_>,
    action: &Action<'_>,
    given: Given,
) -> &'static str {
    let held = |role: &&Lines| role.members.iter().any(|member| covers(view, member));
    let held: Vec<&Lines> = roles.iter().filter(held).collect();
    let any = |of: fn(&Lines) -> &Vec<Line>, sure| {
        held.iter().any(|role| of(role).iter().any(|line| holds(line, action, given, sure)))
    };
    // A deny on an argument is none before there are arguments.
    let denied = match given {
        Some(_) => any(|role| &role.deny, false),
        None => held.iter().any(|role| {
            role.deny.iter().any(|line| line.flag.is_none() && holds(line, action, given, false))
        }),
    };
    if denied {
        "deny"
    } else if any(|role| &role.ask, false) {
        "ask"
    } else if any(|role| &role.allow, true) {
        "permit"
    } else {
        "deny"
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn roles_decide_as_their_lines_say(
        roles in vec(role(), 0..4),
        id in select(&["token:t", "user:u", "workload:w"][..]),
        in_group in any::<bool>(),
        in_scope in any::<bool>(),
        given in select(vec![Some(None), Some(Some(None)), Some(Some(Some(true))), Some(Some(Some(false)))]),
        read_only in any::<bool>(),
    ) {
        let own: Vec<Role> = roles.iter().enumerate().map(|(at, lines)| Role {
            name: format!("r{at}"),
            members: lines.members.iter().map(|member| member.parse().unwrap()).collect(),
            allow: rules(&lines.allow),
            ask: rules(&lines.ask),
            deny: rules(&lines.deny),
            ..Role::default()
        }).collect();
        // So that no roles at all does not mean the loopback's.
        let files = [CedarFile { name: "none".into(), text: String::new() }];
        let policy = Policy::new(&own, &files).unwrap();
        // The same, written out: what is shown is strictly valid, and decides alike.
        let shown = [CedarFile { name: "shown".into(), text: policy.show() }];
        let again = Policy::new(&[], &shown);
        prop_assert!(again.is_ok(), "{}\n{}", again.unwrap_err(), policy.show());

        let (group, scope) = (vec!["g".to_owned()], vec!["s".to_owned()]);
        let view = PrincipalView {
            id,
            groups: if in_group { &group } else { &[] },
            scopes: if in_scope { &scope } else { &[] },
            ..PrincipalView::default()
        };
        let arguments = match given {
            Some(None) => "{}",
            Some(Some(None)) => r#"{"f":"true"}"#,
            Some(Some(Some(true))) => r#"{"f":true}"#,
            _ => r#"{"f":false}"#,
        };
        for server in SERVERS {
            for name in NAMES {
                for kind in KINDS {
                    let annotations = Annotations { read_only, destructive: !read_only, ..Annotations::default() };
                    let action = Action { annotations, ..Action::new(server, kind, name) };
                    let context = Context { arguments: Some(support::json(arguments)), ..Context::default() };
                    let decided = policy.decide(&view, &action, &context);
                    prop_assert_eq!(decided.as_str(), reference(&roles, &view, &action, given), "{:?} {:?}", action, decided);
                    let foreseen = policy.foresee(&view, &action, &context);
                    prop_assert_eq!(foreseen.as_str(), reference(&roles, &view, &action, None), "{:?} {:?}", action, foreseen);
                    // Whatever may be called is listed, and its task can be looked after.
                    prop_assert!(foreseen.is_possible() || !decided.is_possible());
                    let task = policy.decide(&view, &action.with(Operation::TaskGet), &context);
                    prop_assert_eq!(kind != Kind::Tool || task.is_possible(), kind != Kind::Tool || foreseen.is_possible());
                    // What is possible is touched.
                    prop_assert!(!foreseen.is_possible() || policy.may_touch(&view, server));
                }
            }
        }
    }
}
