//! All that is configured, and the decision.

use std::sync::Arc;

use cedar_policy::{
    Authorizer, Context as CedarContext, Decision as Verdict, Entities, Entity, EntityUid,
    PolicyId, PolicySet, Request, Response, RestrictedExpression as Value,
};

use crate::{
    Action, Ask, CedarFile, Context, Decision, Denied, Permit, PrincipalView, Role,
    cache::{Cache, Key},
    compile::{Effect, built_in, compile},
    context::{set, text},
    fault::PolicyFault,
    names::Names,
    principal::{Membership, uid},
    role::check_names,
    scope::{Scopes, What, Who},
    source::{Needs, Written, read_file},
};

/// All roles and policies.
#[derive(Debug)]
pub struct Policy {
    pub(crate) written: Vec<Written>,
    pub(crate) scopes: Scopes,
    pub(crate) membership: Membership,
    pub(crate) roles: Vec<String>,
    names: Names,
    rules: Vec<Arc<str>>,
    pub(crate) default_deny: Arc<str>,
    decided: Cache<Arc<Known>>,
    touched: Cache<bool>,
    slices: Cache<Arc<Slice>>,
}

/// What is known of one question: who asks for what.
#[derive(Debug)]
struct Known {
    slice: Arc<Slice>,
    /// The decisions where nothing else matters.
    called: Option<Decision>,
    foreseen: Option<Decision>,
}

/// The policies that could decide a question.
#[derive(Debug)]
struct Slice {
    called: PolicySet,
    called_needs: Needs,
    foreseen: PolicySet,
    foreseen_needs: Needs,
    pointers: Vec<String>,
}

/// At which moment a decision is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// The call is there, with its arguments.
    Called,
    /// A list is made: conditions on the call are taken for met by permits and not met by forbids.
    Foreseen,
}

/// Decisions that are kept.
const DECIDED: usize = 1 << 16;
const SLICES: usize = 1 << 12;

impl Policy {
    /// The most rules and policies.
    pub const MOST: usize = 20_000;

    /// From roles and from files in Cedar. With none at all, `loopback` has the role `all`.
    pub fn new(roles: &[Role], files: &[CedarFile]) -> Result<Policy, PolicyFault> {
        check_names(roles)?;
        let nothing = roles.is_empty() && files.is_empty();
        let mut policy = Policy {
            written: Vec::new(),
            scopes: Scopes::default(),
            membership: Membership::default(),
            roles: roles.iter().map(|role| role.name.clone()).collect(),
            names: Names::new()?,
            rules: Vec::new(),
            default_deny: "default deny".into(),
            decided: Cache::new(DECIDED),
            touched: Cache::new(DECIDED),
            slices: Cache::new(SLICES),
        };
        for compiled in built_in(nothing).into_iter().chain(roles.iter().flat_map(compile)) {
            let at = policy.written.len();
            let written = Written::of_role(&compiled, at).map_err(PolicyFault::Role)?;
            policy.add(written, compiled.pattern)?;
        }
        for role in roles {
            policy.membership.add(&role.name, role.members.clone());
        }
        let mut faults = Vec::new();
        for file in files {
            match read_file(file, policy.written.len()) {
                Ok(written) => {
                    for written in written {
                        policy.add(written, None)?;
                    }
                }
                Err(found) => faults.extend(found),
            }
        }
        if faults.is_empty() { Ok(policy) } else { Err(PolicyFault::Files(faults)) }
    }

    fn add(
        &mut self,
        written: Written,
        pattern: Option<crate::Pattern>,
    ) -> Result<(), PolicyFault> {
        if self.written.len() >= Self::MOST {
            return Err(PolicyFault::TooMany);
        }
        self.scopes.add(&written, pattern);
        self.rules.push(written.rule.as_str().into());
        self.written.push(written);
        Ok(())
    }

    /// The decision on a request.
    pub fn decide(
        &self,
        caller: &PrincipalView<'_>,
        action: &Action<'_>,
        context: &Context<'_>,
    ) -> Decision {
        let moment = match action.operation.follows_a_call() {
            true => Moment::Foreseen,
            false => Moment::Called,
        };
        self.at(moment, caller, action, context)
    }

    /// The decision as far as it can be told before a call: what lists are filtered by. Whatever
    /// [`Policy::decide`] permits for some arguments, this does not deny.
    pub fn foresee(
        &self,
        caller: &PrincipalView<'_>,
        action: &Action<'_>,
        context: &Context<'_>,
    ) -> Decision {
        self.at(Moment::Foreseen, caller, action, context)
    }

    fn at(
        &self,
        moment: Moment,
        caller: &PrincipalView<'_>,
        action: &Action<'_>,
        context: &Context<'_>,
    ) -> Decision {
        let key = Key::of(&(caller, action));
        let known = match self.decided.find(key) {
            Some(known) => known,
            None => match self.learn(caller, action) {
                Ok(known) => {
                    self.decided.keep(key, known.clone());
                    known
                }
                Err(fault) => return self.faulty(&fault),
            },
        };
        let decided = match moment {
            Moment::Called => &known.called,
            Moment::Foreseen => &known.foreseen,
        };
        match decided {
            Some(decision) => decision.clone(),
            None => self.evaluate(&known.slice, moment, caller, action, Some(context)),
        }
    }

    /// What holds of a question whatever the circumstances.
    fn learn(&self, caller: &PrincipalView<'_>, action: &Action<'_>) -> Result<Arc<Known>, String> {
        let what = What::of(action, &self.names).ok_or("an action has no name")?;
        let deciding = self.scopes.deciding(&self.who(caller), &what);
        let key = Key::of(&deciding);
        let slice = match self.slices.find(key) {
            Some(slice) => slice,
            None => {
                let slice = Arc::new(self.slice(&deciding)?);
                self.slices.keep(key, slice.clone());
                slice
            }
        };
        let fixed = |moment, needs| {
            let fixed = needs == Needs::Nothing;
            fixed.then(|| self.evaluate(&slice, moment, caller, action, None))
        };
        let called = fixed(Moment::Called, slice.called_needs);
        let foreseen = fixed(Moment::Foreseen, slice.foreseen_needs);
        Ok(Arc::new(Known { called, foreseen, slice }))
    }

    fn slice(&self, deciding: &[u32]) -> Result<Slice, String> {
        let written = || deciding.iter().filter_map(|at| self.written.get(*at as usize));
        let called = PolicySet::from_policies(written().map(|written| written.policy.clone()));
        let foreseen = written().filter_map(|written| written.foreseen.clone());
        let foreseen = PolicySet::from_policies(foreseen);
        let foreseeable = written().filter(|written| written.foreseen.is_some());
        let mut pointers: Vec<String> =
            written().flat_map(|written| written.pointers.iter().cloned()).collect();
        pointers.sort_unstable();
        pointers.dedup();
        Ok(Slice {
            called: called.map_err(|fault| fault.to_string())?,
            called_needs: written().map(|written| written.needs).max().unwrap_or(Needs::Nothing),
            foreseen: foreseen.map_err(|fault| fault.to_string())?,
            foreseen_needs: foreseeable
                .map(|written| written.foreseen_needs)
                .max()
                .unwrap_or(Needs::Nothing),
            pointers,
        })
    }

    fn evaluate(
        &self,
        slice: &Slice,
        moment: Moment,
        caller: &PrincipalView<'_>,
        action: &Action<'_>,
        context: Option<&Context<'_>>,
    ) -> Decision {
        let (policies, context) = match moment {
            Moment::Called => (&slice.called, context.copied()),
            Moment::Foreseen => (&slice.foreseen, context.map(|context| context.without_call())),
        };
        // Nothing that could hold: no need to ask Cedar.
        if policies.is_empty() {
            return Decision::Denied(Denied { rule: self.default_deny.clone() });
        }
        match self.respond(policies, &slice.pointers, caller, action, context.as_ref()) {
            Ok(response) => self.decision(&response),
            Err(fault) => self.faulty(&fault),
        }
    }

    /// What Cedar says to a set of policies.
    pub(crate) fn respond(
        &self,
        policies: &PolicySet,
        pointers: &[String],
        caller: &PrincipalView<'_>,
        action: &Action<'_>,
        context: Option<&Context<'_>>,
    ) -> Result<Response, String> {
        let what = What::of(action, &self.names).ok_or("an action has no name")?;
        let mut entities = vec![self.principal(caller)?, resource(&what)?, deed(&what)];
        let mut circumstances = CedarContext::empty();
        if let Some(context) = context {
            let (built, arguments) = context.build(caller, pointers, &self.names)?;
            circumstances = built;
            entities.extend(arguments);
        }
        let entities =
            Entities::from_entities(entities, None).map_err(|fault| fault.to_string())?;
        let principal = uid(self.names.principal(caller.kind()), caller.id);
        let request = Request::new(principal, what.operation, what.resource, circumstances, None)
            .map_err(|fault| fault.to_string())?;
        Ok(Authorizer::new().is_authorized(&request, policies, &entities))
    }

    /// Cedar passes over a policy that fails, so that a failing forbid forbids nothing: here
    /// nothing is permitted where anything failed.
    fn decision(&self, response: &Response) -> Decision {
        let diagnostics = response.diagnostics();
        if let Some(error) = diagnostics.errors().next() {
            return self.faulty(&error.to_string());
        }
        let mut reasons: Vec<usize> = diagnostics.reason().filter_map(position).collect();
        reasons.sort_unstable();
        let rule = |at: &usize| self.rules.get(*at).unwrap_or(&self.default_deny).clone();
        match response.decision() {
            Verdict::Deny => {
                let rule = reasons.first().map_or(self.default_deny.clone(), rule);
                Decision::Denied(Denied { rule })
            }
            Verdict::Allow => {
                let asks = |at: &&usize| {
                    self.written.get(**at).is_none_or(|written| written.effect == Effect::Ask)
                };
                if let Some(at) = reasons.iter().find(asks) {
                    let reason = self.written.get(*at).map_or("", |written| &written.reason);
                    return Decision::Ask(Ask {
                        rule: rule(at),
                        reason: reason.into(),
                        told: "".into(),
                    });
                }
                match reasons.first() {
                    Some(at) => Decision::Permit(Permit { rule: rule(at) }),
                    None => self.faulty("a permit without a reason"),
                }
            }
        }
    }

    pub(crate) fn faulty(&self, fault: &str) -> Decision {
        Decision::Denied(Denied { rule: format!("a policy that failed: {fault}").into() })
    }

    /// Whether anything of this server could be allowed to the caller. What can't be touched is neither
    /// started nor contacted nor named for them.
    pub fn may_touch(&self, caller: &PrincipalView<'_>, server: &str) -> bool {
        let key = Key::of(&(caller, server));
        if let Some(touches) = self.touched.find(key) {
            return touches;
        }
        let touches = self.scopes.touch(&self.who(caller), server);
        self.touched.keep(key, touches);
        touches
    }

    pub(crate) fn who(&self, caller: &PrincipalView<'_>) -> Who {
        let kind = self.names.principal(caller.kind()).clone();
        let parents = self.membership.parents(caller, &self.names);
        Who { uid: uid(&kind, caller.id), kind, parents: parents.into_iter().collect() }
    }

    pub(crate) fn what<'a>(&self, action: &'a Action<'a>) -> Option<What<'a>> {
        What::of(action, &self.names)
    }

    fn principal(&self, caller: &PrincipalView<'_>) -> Result<Entity, String> {
        let texts = |texts: &[String]| set(texts.iter().map(String::as_str));
        let attributes = [
            ("id", text(caller.id)),
            ("provider", text(caller.provider)),
            ("tenant", text(caller.tenant)),
            ("subject", text(caller.subject)),
            ("client", text(caller.client)),
            ("groups", texts(caller.groups)),
            ("roles", texts(caller.roles)),
            ("scopes", texts(caller.scopes)),
        ];
        let parents = self.membership.parents(caller, &self.names).into_iter().collect();
        entity(uid(self.names.principal(caller.kind()), caller.id), attributes, parents)
    }
}

/// A policy's number is its id.
pub(crate) fn position(id: &PolicyId) -> Option<usize> {
    AsRef::<str>::as_ref(id).parse().ok()
}

fn resource(what: &What<'_>) -> Result<Entity, String> {
    let Action { server, name, annotations, kind, .. } = *what.action;
    let mut attributes = vec![
        ("server", text(server)),
        ("name", text(name)),
        ("ambiguous", Value::new_bool(what.action.is_ambiguous())),
    ];
    if kind == crate::Kind::Tool {
        attributes.extend([
            ("readOnly", Value::new_bool(annotations.read_only)),
            ("destructive", Value::new_bool(annotations.destructive)),
            ("idempotent", Value::new_bool(annotations.idempotent)),
            ("openWorld", Value::new_bool(annotations.open_world)),
        ]);
    }
    entity(what.resource.clone(), attributes, [what.server.clone()].into())
}

fn deed(what: &What<'_>) -> Entity {
    Entity::new_no_attrs(what.operation.clone(), what.group.iter().cloned().collect())
}

fn entity(
    uid: EntityUid,
    attributes: impl IntoIterator<Item = (&'static str, Value)>,
    parents: std::collections::HashSet<EntityUid>,
) -> Result<Entity, String> {
    let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value));
    Entity::new(uid, attributes.collect(), parents).map_err(|fault| fault.to_string())
}
