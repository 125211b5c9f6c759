//! Roles, and the decision.

use std::sync::Arc;

use crate::uri::is_ambiguous;
use crate::{Kind, Pattern};

/// A role as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its name: 1 to 64 of `a-z0-9_-`; `all` is built in.
    pub name: String,
    /// Ids of principals that have it without their token saying so: `owner`, `token:ci`, `loopback`.
    pub members: Vec<String>,
    /// What it allows.
    pub allow: Vec<Pattern>,
    /// What it denies, whatever any role allows.
    pub deny: Vec<Pattern>,
}

/// Why roles do not make a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyFault {
    /// Two roles of one name.
    #[error("role `{0}` is defined twice")]
    Duplicate(String),
    /// A name with other characters.
    #[error("`{0}`: a role name is 1 to 64 of a-z, 0-9, _ and -")]
    Name(String),
    /// `all` is built in.
    #[error("role `all` is built in: it allows everything")]
    Reserved,
}

/// Who asks: an id, and the roles that the credential carries.
#[derive(Clone, Copy, Debug)]
pub struct PrincipalView<'a> {
    /// `owner`, `token:ci`, `loopback`.
    pub id: &'a str,
    /// Roles of the credential. Unknown names grant nothing.
    pub roles: &'a [String],
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Action<'a> {
    /// The server's name.
    pub server: &'a str,
    /// What it is about.
    pub kind: Kind,
    /// The tool's or prompt's own name, or the resource's own URI (or URI template).
    pub name: &'a str,
}

/// Leave to do what was asked, and the rule that gave it: only a decision makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    rule: Arc<str>,
}
impl Permit {
    /// The rule, such as `role ci allow github/get_*`.
    pub fn rule(&self) -> &str {
        &self.rule
    }
}

/// A refusal, and the rule that made it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("denied by {rule}")]
pub struct Denied {
    rule: Arc<str>,
}
impl Denied {
    /// The rule, such as `role ci deny github/delete_*` or `default deny`.
    pub fn rule(&self) -> &str {
        &self.rule
    }
}

/// All roles.
#[derive(Debug)]
pub struct Policy {
    roles: Vec<Compiled>,
    texts: Texts,
}

#[derive(Debug)]
struct Compiled {
    name: String,
    members: Vec<String>,
    allow: Vec<Rule>,
    deny: Vec<Rule>,
}

/// A pattern, and how it is named in records: made once, shared by every decision.
#[derive(Debug)]
struct Rule {
    pattern: Pattern,
    text: Arc<str>,
}

#[derive(Debug)]
struct Texts {
    default_deny: Arc<str>,
    no_roles: Arc<str>,
    owner: Arc<str>,
    role_all: Arc<str>,
}

/// A caller's roles, gathered once for many decisions, as for a list.
#[derive(Debug)]
pub struct Caller<'p> {
    policy: &'p Policy,
    roles: Vec<&'p Compiled>,
    all: Option<&'p Arc<str>>,
}

impl Policy {
    /// From the configured roles. With none at all, `loopback` has the role `all`.
    pub fn new(roles: Vec<Role>) -> Result<Policy, PolicyFault> {
        let mut compiled: Vec<Compiled> = Vec::with_capacity(roles.len());
        for role in roles {
            let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
            if role.name.is_empty() || role.name.len() > 64 || !role.name.bytes().all(plain) {
                return Err(PolicyFault::Name(role.name));
            }
            if role.name == "all" {
                return Err(PolicyFault::Reserved);
            }
            if compiled.iter().any(|other| other.name == role.name) {
                return Err(PolicyFault::Duplicate(role.name));
            }
            compiled.push(Compiled::new(role));
        }
        let texts = Texts {
            default_deny: "default deny".into(),
            no_roles: "loopback has role all while no roles are configured".into(),
            owner: "owner has role all".into(),
            role_all: "role all".into(),
        };
        Ok(Policy { roles: compiled, texts })
    }

    /// Gathers what applies to a caller. `owner` always has the role `all`.
    pub fn caller(&self, caller: &PrincipalView<'_>) -> Caller<'_> {
        let roles = self.roles.iter().filter(|role| role.is_held_by(caller)).collect();
        Caller { policy: self, roles, all: self.all(caller) }
    }

    /// One decision.
    pub fn decide(
        &self,
        caller: &PrincipalView<'_>,
        action: &Action<'_>,
    ) -> Result<Permit, Denied> {
        decide(
            self.roles.iter().filter(|role| role.is_held_by(caller)),
            self.all(caller),
            &self.texts,
            action,
        )
    }

    /// Whether anything of this server could be allowed to the caller. What can't be touched is neither
    /// started nor contacted nor named for them.
    pub fn may_touch(&self, caller: &PrincipalView<'_>, server: &str) -> bool {
        self.all(caller).is_some()
            || self
                .roles
                .iter()
                .filter(|role| role.is_held_by(caller))
                .any(|role| role.allow.iter().any(|rule| rule.pattern.touches(server)))
    }

    /// Why the caller has the built-in role, if so.
    fn all(&self, caller: &PrincipalView<'_>) -> Option<&Arc<str>> {
        match caller.id {
            "owner" => Some(&self.texts.owner),
            "loopback" if self.roles.is_empty() => Some(&self.texts.no_roles),
            _ => caller.roles.iter().any(|role| role == "all").then_some(&self.texts.role_all),
        }
    }
}

impl Compiled {
    fn new(role: Role) -> Compiled {
        let name = role.name;
        let rules = |effect: &str, patterns: Vec<Pattern>| {
            let rule = |pattern: Pattern| {
                let text = format!("role {name} {effect} {pattern}").into();
                Rule { pattern, text }
            };
            patterns.into_iter().map(rule).collect()
        };
        let (allow, deny) = (rules("allow", role.allow), rules("deny", role.deny));
        Compiled { allow, deny, members: role.members, name }
    }

    fn is_held_by(&self, caller: &PrincipalView<'_>) -> bool {
        caller.roles.contains(&self.name) || self.members.iter().any(|member| member == caller.id)
    }
}

impl Caller<'_> {
    /// One decision.
    pub fn decide(&self, action: &Action<'_>) -> Result<Permit, Denied> {
        decide(self.roles.iter().copied(), self.all, &self.policy.texts, action)
    }
}

/// Deny wins, then allow, then the default. A URI that can be read in more than one way is
/// covered by every deny of its server, and by an allow only if that takes any name.
fn decide<'p>(
    roles: impl Iterator<Item = &'p Compiled> + Clone,
    all: Option<&Arc<str>>,
    texts: &Texts,
    action: &Action<'_>,
) -> Result<Permit, Denied> {
    let Action { server, kind, name } = *action;
    let ambiguous = kind == Kind::Resource && is_ambiguous(name);
    let denies = |rule: &&Rule| match ambiguous {
        true => rule.pattern.applies(server, kind),
        false => rule.pattern.matches(server, kind, name),
    };
    let allows = |rule: &&Rule| match ambiguous {
        true => rule.pattern.applies(server, kind) && rule.pattern.takes_any_name(),
        false => rule.pattern.matches(server, kind, name),
    };
    if let Some(rule) = roles.clone().flat_map(|role| &role.deny).find(denies) {
        return Err(Denied { rule: rule.text.clone() });
    }
    if let Some(rule) = all {
        return Ok(Permit { rule: rule.clone() });
    }
    match roles.flat_map(|role| &role.allow).find(allows) {
        Some(rule) => Ok(Permit { rule: rule.text.clone() }),
        None => Err(Denied { rule: texts.default_deny.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn role(name: &str, members: &[&str], allow: &[&str], deny: &[&str]) -> Role {
        let members = members.iter().map(|member| (*member).into()).collect();
        Role { name: name.into(), members, allow: patterns(allow), deny: patterns(deny) }
    }

    fn tool<'a>(server: &'a str, name: &'a str) -> Action<'a> {
        Action { server, kind: Kind::Tool, name }
    }

    /// The rule that allowed it, or after `!` the one that denied it, by both ways.
    fn rule(policy: &Policy, id: &str, roles: &[&str], action: Action<'_>) -> String {
        let roles: Vec<String> = roles.iter().map(|role| (*role).into()).collect();
        let view = PrincipalView { id, roles: &roles };
        let decision = policy.decide(&view, &action);
        assert_eq!(decision, policy.caller(&view).decide(&action));
        match decision {
            Ok(permit) => permit.rule().into(),
            Err(denied) => format!("!{}", denied.rule()),
        }
    }

    #[test]
    fn a_server_is_touched_only_by_those_who_may_do_something_there() {
        let roles = vec![
            role("ci", &["token:ci"], &["git*/get_*", "resource:files/*"], &["github/*"]),
            role("none", &["token:none"], &[], &[]),
        ];
        let policy = Policy::new(roles).unwrap();
        let touches = |id, roles: &[&str], server| {
            let roles: Vec<String> = roles.iter().map(|role| (*role).into()).collect();
            policy.may_touch(&PrincipalView { id, roles: &roles }, server)
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
        let policy = Policy::new(vec![
            role("dev", &["token:ci"], &["github/*"], &["github/delete_*"]),
            role("ops", &[], &["*"], &[]),
        ])
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
        let none = Policy::new(vec![]).unwrap();
        let some = Policy::new(vec![role("dev", &["owner"], &[], &["github/delete_*"])]).unwrap();
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
        assert_eq!(
            rule(&some, "owner", &[], tool("github", "delete_x")),
            "!role dev deny github/delete_*"
        );
    }

    #[test]
    fn a_path_can_not_climb_out_of_what_is_allowed_nor_around_what_is_denied() {
        let policy = Policy::new(vec![
            role("home", &[], &["files/file:///home/*"], &[]),
            role("any", &[], &["files/*"], &["files/file:///etc/*"]),
            role("free", &[], &["files/*"], &[]),
        ])
        .unwrap();
        let read = |name| Action { server: "files", kind: Kind::Resource, name };
        let climbing = "file:///home/../etc/passwd";
        assert_eq!(
            rule(&policy, "token:x", &["home"], read("file:///home/a")),
            "role home allow files/file:///home/*"
        );
        assert_eq!(rule(&policy, "token:x", &["home"], read(climbing)), "!default deny");
        assert_eq!(
            rule(&policy, "token:x", &["any"], read(climbing)),
            "!role any deny files/file:///etc/*"
        );
        assert_eq!(rule(&policy, "token:x", &["free"], read(climbing)), "role free allow files/*");
    }

    #[test]
    fn roles_that_make_no_policy() {
        let fault = |roles: &[&str]| {
            Policy::new(roles.iter().map(|name| role(name, &[], &[], &[])).collect()).err()
        };
        assert_eq!(fault(&["a", "b"]), None);
        assert_eq!(fault(&["a", "a"]), Some(PolicyFault::Duplicate("a".into())));
        assert_eq!(fault(&["all"]), Some(PolicyFault::Reserved));
        assert_eq!(fault(&["A"]), Some(PolicyFault::Name("A".into())));
        assert_eq!(fault(&[""]), Some(PolicyFault::Name("".into())));
    }
}
