//! What is written and can't be meant.

use policy::{Action, Kind, Policy};
use serde::Serialize;

use super::{arguments, live, of, question::Caller, stored};
use crate::{
    cli::{Global, Output},
    command::{token, wait},
    config::Loaded,
    outcome::Told,
    print,
};

#[derive(Serialize)]
pub struct Finding {
    pub finding: &'static str,
    pub rule: String,
    pub detail: String,
    /// File, line and column, where it is about one place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

impl print::Row for Finding {
    const TITLES: &'static [&'static str] = &["FINDING", "RULE", "DETAIL"];

    fn cells(&self) -> Vec<String> {
        let detail = match &self.place {
            Some(place) => format!("{place}: {}", self.detail),
            None => self.detail.clone(),
        };
        vec![self.finding.to_owned(), self.rule.clone(), detail]
    }
}

pub fn run(global: &Global) -> anyhow::Result<()> {
    let loaded = stored::load(global)?;
    if let Some(warnings) = loaded.rendered_warnings(crate::config::fault::coloured())
        && global.output == Output::Table
    {
        eprintln!("{warnings}\n");
    }
    let policy = of(&loaded)?;
    let tokens = wait(token::valid(global))?;
    let callers = callers(&loaded, &tokens);
    let mut findings = shadowed(&loaded);
    findings.extend(token::unlimited(&loaded, &tokens).into_iter().map(|name| Finding {
        finding: "unlimited",
        rule: format!("token {name}"),
        detail: "it was minted with the role `all`, which no other role narrows: revoke it and mint it anew".to_owned(),
        place: None,
    }));
    findings.extend(servers(&loaded, &policy, &callers));
    let offered = live::offered(global, &loaded)?;
    findings.extend(live::unmatched(&offered, &loaded));
    findings.extend(live::unusable(&offered, &callers, &policy));
    findings.extend(arguments::misread(&offered, &loaded, &policy));
    print::rows(global.output, &findings, "ok")?;
    if findings.is_empty() { Ok(()) } else { Err(Told::failure().into()) }
}

/// Lines that another line of the same role makes idle.
fn shadowed(loaded: &Loaded) -> Vec<Finding> {
    let mut findings = Vec::new();
    for role in loaded.roles() {
        let line =
            |effect, rule: &policy::Rule| format!("role {} {effect} {}", role.name, rule.pattern);
        for (effect, rules) in [("allow", &role.allow), ("ask", &role.ask)] {
            for (at, rule) in rules.iter().enumerate() {
                let whole = |other: &&policy::Rule| {
                    **other == policy::Rule::plain(other.pattern.clone())
                        && other.pattern.covers(&rule.pattern)
                };
                if let Some(deny) = role.deny.iter().find(whole) {
                    findings.push(Finding {
                        finding: "shadowed",
                        rule: line(effect, rule),
                        detail: format!("never holds: {} takes it back", line("deny", deny)),
                        place: None,
                    });
                } else if let Some(wider) = rules.iter().take(at).find(whole) {
                    findings.push(Finding {
                        finding: "unreachable",
                        rule: line(effect, rule),
                        detail: format!("adds nothing to {}", line(effect, wider)),
                        place: None,
                    });
                }
            }
        }
        if role.allow.is_empty() && role.ask.is_empty() && role.deny.is_empty() {
            findings.push(Finding {
                finding: "empty",
                rule: format!("role {}", role.name),
                detail: "it allows and denies nothing".to_owned(),
                place: None,
            });
        }
    }
    findings
}

/// Servers of which nobody but the owner may use anything, and tools that every role may use.
fn servers(loaded: &Loaded, policy: &Policy, callers: &[(String, Caller)]) -> Vec<Finding> {
    let callers: Vec<_> = callers.iter().filter(|(who, _)| who != "owner").collect();
    let mut findings = Vec::new();
    for (key, _) in loaded.file.servers.iter().filter(|(_, server)| server.get_ref().enabled) {
        let server = key.0.as_str();
        if !callers.iter().any(|(_, caller)| policy.may_touch(&caller.view(), server)) {
            findings.push(Finding {
                finding: "nobody",
                rule: format!("server {server}"),
                detail: "only the owner may use it".to_owned(),
                place: None,
            });
        }
        // A name that no rule can mean: who may call it may call whatever the server adds.
        let action = Action::new(server, Kind::Tool, "\u{1}");
        let may = |caller: &Caller| {
            policy.foresee(&caller.view(), &action, &super::question::now()).is_possible()
        };
        if callers.len() > 1 && callers.iter().all(|(_, caller)| may(caller)) {
            findings.push(Finding {
                finding: "everybody",
                rule: format!("server {server}"),
                detail: "every role may call whatever it offers, and will offer".to_owned(),
                place: None,
            });
        }
    }
    findings
}

/// A caller for each role, each single member that the roles name, and each token, which has the roles that it was
/// minted with.
pub fn callers(loaded: &Loaded, tokens: &[store::Token]) -> Vec<(String, Caller)> {
    let mut callers =
        vec![("owner".to_owned(), Caller { id: "owner".into(), ..Caller::default() })];
    let stranger = || Caller { id: "user:nobody/nobody".into(), ..Caller::default() };
    for role in loaded.roles() {
        let has = Caller { roles: vec![role.name.clone()], ..stranger() };
        callers.push((format!("role {}", role.name), has));
        for member in &role.members {
            let mut caller = stranger();
            match member {
                policy::Member::Client(client) => caller.client = client.clone(),
                policy::Member::Group(group) => caller.groups.push(group.clone()),
                policy::Member::Id(id) => caller.id = id.clone(),
                policy::Member::Role(role) => caller.roles.push(role.clone()),
                policy::Member::Scope(scope) => caller.scopes.push(scope.clone()),
                policy::Member::Tenant(tenant) => caller.tenant = tenant.clone(),
            }
            let name = member.to_string();
            if !callers.iter().any(|(known, _)| *known == name) {
                callers.push((name, caller));
            }
        }
    }
    for token in tokens {
        let id = format!("token:{}", token.name);
        let caller = Caller { id: id.clone(), roles: token.roles.clone(), ..Caller::default() };
        match callers.iter_mut().find(|(known, _)| *known == id) {
            Some((_, known)) => *known = caller,
            None => callers.push((id, caller)),
        }
    }
    callers
}
