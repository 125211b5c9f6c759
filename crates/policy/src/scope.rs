//! Which policies could matter: the scopes of policies, looked at without Cedar, so that it is asked
//! about few of them.

use std::collections::{HashMap, HashSet};

use cedar_policy::{
    ActionConstraint, EntityTypeName, EntityUid, PrincipalConstraint, ResourceConstraint,
};

use crate::{
    Action, Pattern,
    compile::Effect,
    glob::Glob,
    names::Names,
    principal::{ALL, uid},
    source::Written,
};

/// The caller, as scopes look at one.
#[derive(Debug)]
pub(crate) struct Who {
    pub kind: EntityTypeName,
    pub uid: EntityUid,
    pub parents: HashSet<EntityUid>,
}

/// What is asked for, as scopes look at it.
#[derive(Debug)]
pub(crate) struct What<'a> {
    pub action: &'a Action<'a>,
    pub operation: EntityUid,
    pub group: Option<EntityUid>,
    pub kind: EntityTypeName,
    pub resource: EntityUid,
    pub server: EntityUid,
}

impl<'a> What<'a> {
    /// `None` for a name of this crate's own that is missing, which can't be.
    pub(crate) fn of(action: &'a Action<'a>, names: &Names) -> Option<What<'a>> {
        let kind = names.resource(action.kind).clone();
        Some(What {
            operation: names.action(action.operation)?.clone(),
            group: action.operation.group().and_then(|group| names.action(group).cloned()),
            resource: uid(&kind, &format!("{}/{}", action.server, action.name)),
            server: uid(&names.server, action.server),
            kind,
            action,
        })
    }
}

/// A policy's scope.
#[derive(Debug)]
struct Scope {
    effect: Effect,
    /// Of a role's line: closer than what its Cedar scope says.
    pattern: Option<Pattern>,
    principal: PrincipalConstraint,
    action: ActionConstraint,
    resource: ResourceConstraint,
}

impl Scope {
    fn admits(&self, who: &Who) -> bool {
        match &self.principal {
            PrincipalConstraint::Any => true,
            PrincipalConstraint::Eq(uid) => *uid == who.uid,
            PrincipalConstraint::In(uid) => *uid == who.uid || who.parents.contains(uid),
            PrincipalConstraint::Is(kind) => *kind == who.kind,
            PrincipalConstraint::IsIn(kind, uid) => {
                *kind == who.kind && (*uid == who.uid || who.parents.contains(uid))
            }
        }
    }

    fn covers(&self, what: &What<'_>) -> bool {
        let within = |uid: &EntityUid| *uid == what.operation || Some(uid) == what.group.as_ref();
        let acts = match &self.action {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(uid) => *uid == what.operation,
            ActionConstraint::In(uids) => uids.iter().any(within),
        };
        let inside = |uid: &EntityUid| *uid == what.resource || *uid == what.server;
        let about = match &self.resource {
            ResourceConstraint::Any => true,
            ResourceConstraint::Eq(uid) => *uid == what.resource,
            ResourceConstraint::In(uid) => inside(uid),
            ResourceConstraint::Is(kind) => *kind == what.kind,
            ResourceConstraint::IsIn(kind, uid) => *kind == what.kind && inside(uid),
        };
        acts && about && self.pattern_covers(what.action)
    }

    /// The same that the compiled conditions say; without a pattern they decide alone.
    fn pattern_covers(&self, action: &Action<'_>) -> bool {
        let Some(pattern) = &self.pattern else { return true };
        match action.is_ambiguous() {
            true => pattern.applies(action.server, action.kind),
            false => pattern.matches(action.server, action.kind, action.name),
        }
    }

    /// The one server that the policy is about, if it is about one.
    fn server(&self) -> Option<&str> {
        if let Some(pattern) = &self.pattern
            && let (_, Glob::Exact(server), _) = pattern.parts()
        {
            return Some(server);
        }
        let uid = match &self.resource {
            ResourceConstraint::Eq(uid)
            | ResourceConstraint::In(uid)
            | ResourceConstraint::IsIn(_, uid) => uid,
            ResourceConstraint::Any | ResourceConstraint::Is(_) => return None,
        };
        // A server's name holds no slash; what stands before one in an id is a server's name.
        uid.id().unescaped().split('/').next()
    }

    fn touches(&self, server: &str) -> bool {
        match &self.pattern {
            Some(pattern) => pattern.touches(server),
            None => self.server().is_none_or(|own| own == server),
        }
    }
}

/// The scopes of all policies, by server.
#[derive(Debug, Default)]
pub(crate) struct Scopes {
    scopes: Vec<Scope>,
    everywhere: Vec<u32>,
    by_server: HashMap<String, Vec<u32>>,
}

impl Scopes {
    pub(crate) fn add(&mut self, written: &Written, pattern: Option<Pattern>) {
        let policy = &written.policy;
        let scope = Scope {
            effect: written.effect,
            pattern,
            principal: policy.principal_constraint(),
            action: policy.action_constraint(),
            resource: policy.resource_constraint(),
        };
        let at = u32::try_from(self.scopes.len()).unwrap_or(u32::MAX);
        match scope.server() {
            Some(server) => self.by_server.entry(server.to_owned()).or_default().push(at),
            None => self.everywhere.push(at),
        }
        self.scopes.push(scope);
    }

    fn about<'s>(&'s self, server: &str) -> impl Iterator<Item = (u32, &'s Scope)> + use<'s> {
        let own = self.by_server.get(server).map_or(&[][..], Vec::as_slice);
        let both = self.everywhere.iter().chain(own);
        both.filter_map(|at| Some((*at, self.scopes.get(*at as usize)?)))
    }

    /// The policies that could decide this, in the order they were written.
    pub(crate) fn deciding(&self, who: &Who, what: &What<'_>) -> Vec<u32> {
        let mut found: Vec<u32> =
            self.on(what).into_iter().filter(|at| self.has(*at, who)).collect();
        found.sort_unstable();
        found
    }

    /// The policies about this, whoever asks.
    pub(crate) fn on(&self, what: &What<'_>) -> Vec<u32> {
        let about = self.about(what.action.server);
        about.filter(|(_, scope)| scope.covers(what)).map(|(at, _)| at).collect()
    }

    /// Whether a policy is about this caller.
    pub(crate) fn has(&self, at: u32, who: &Who) -> bool {
        self.scopes.get(at as usize).is_some_and(|scope| scope.admits(who))
    }

    /// Whether a policy is about those who are in something that is not part of who they are: a role, a group.
    pub(crate) fn has_members(&self, at: u32) -> bool {
        self.scopes.get(at as usize).is_some_and(|scope| {
            let (PrincipalConstraint::In(uid) | PrincipalConstraint::IsIn(_, uid)) =
                &scope.principal
            else {
                return false;
            };
            match uid.type_name().basename() {
                "Group" => true,
                // The built-in role comes with tokens minted here alone.
                "Role" => AsRef::<str>::as_ref(uid.id()) != ALL,
                _ => false,
            }
        })
    }

    /// Whether a policy could allow the caller something of this server.
    pub(crate) fn touch(&self, who: &Who, server: &str) -> bool {
        self.about(server).any(|(_, scope)| {
            scope.effect != Effect::Deny && scope.touches(server) && scope.admits(who)
        })
    }
}
