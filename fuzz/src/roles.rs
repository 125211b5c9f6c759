//! Roles as somebody configured them: no text in them becomes more than a text in Cedar, and a deny denies.

use policy::{
    Action, ArgumentTest, CedarFile, Context, Kind, Pattern, Policy, PrincipalView, Role, Rule,
    Scalar, Test, When,
};

use crate::cedar::decides;

/// One line for each thing that a role holds: a word, and what the configuration would have there.
pub fn target(data: &[u8]) {
    let text = String::from_utf8_lossy(data.get(..2048).unwrap_or(data));
    let mut role = Role { name: "r".into(), ..Role::default() };
    for line in text.lines().take(32) {
        let (word, value) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "name" => role.name = value.to_owned(),
            "member" => role.members.extend(value.parse()),
            "when" => when(&mut role.when, value),
            "allow" => role.allow.extend(rule(value)),
            "ask" => role.ask.extend(rule(value)),
            "deny" => role.deny.extend(rule(value)),
            _ => {}
        }
    }
    let lines = role.allow.len() + role.ask.len() + role.deny.len();
    let Ok(policy) = Policy::new(std::slice::from_ref(&role), &[]) else {
        assert!(Role::check_name(&role.name).is_err(), "{role:?}");
        return;
    };
    decides(&policy);
    let shown = policy.show();
    let file = CedarFile { name: "shown.cedar".into(), text: shown.clone() };
    if let Err(fault) = Policy::new(&[], &[file]) {
        // What a role names is in whatever script it is in; a file in Cedar may have no text that looks like another.
        let fault = fault.to_string();
        let looks = ["contains mixed scripts", "contains BIDI control characters"];
        assert!(looks.iter().any(|look| fault.contains(look)), "{fault}\n{shown}");
    }
    // The owner's and the built-in role's policies, and one for each line: nobody wrote a policy into a text.
    let count =
        shown.lines().filter(|line| ["permit(", "forbid("].iter().any(|w| line.starts_with(w)));
    assert_eq!(count.count(), 2 + lines, "{shown}");
    denies(role);
}

/// A role that denies everything leaves its members nothing.
fn denies(mut role: Role) {
    role.deny = "*".parse::<Pattern>().map(Rule::plain).into_iter().collect();
    role.members = "token:t".parse().into_iter().collect();
    let Ok(policy) = Policy::new(&[role], &[]) else { return };
    let caller = PrincipalView { id: "token:t", ..PrincipalView::default() };
    let action = Action::new("a", Kind::Tool, "t");
    assert!(!policy.foresee(&caller, &action, &Context::default()).is_possible());
}

/// A pattern, then in words of their own `/pointer=value` or a reason.
fn rule(text: &str) -> Option<Rule> {
    let mut words = text.split(' ');
    let mut rule = Rule::plain(words.next()?.parse().ok()?);
    for word in words.take(8) {
        if let Some((pointer, value)) = word.split_once('=') {
            let test = match value.parse() {
                Ok(number) => Test::OneOf(vec![Scalar::Number(number), Scalar::Text(value.into())]),
                Err(()) => Test::Glob(value.to_owned()),
            };
            rule.arguments.extend(ArgumentTest::new(pointer, test));
        } else {
            rule.reason = Some(word.to_owned());
            rule.when.findings.push(word.to_owned());
        }
    }
    Some(rule)
}

fn when(when: &mut When, text: &str) {
    when.hours.extend(text.parse());
    when.acr.extend(text.split(' ').take(4).map(str::to_owned));
}
