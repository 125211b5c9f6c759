//! Why, and what would change it.

use cedar_policy::{Decision as Verdict, Policy as CedarPolicy, PolicySet};

use crate::{
    Action, Context, Decision, Member, Policy, PrincipalView, compile::Effect, policy::position,
    source::Written,
};

/// A decision, taken apart.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// What was decided.
    pub decision: Decision,
    /// The policies about this thing, in the order that they were written.
    pub considered: Vec<Considered>,
    /// The caller's roles, built-in and unknown ones included.
    pub roles: Vec<String>,
    /// What would turn a denial into a permit, as sentences; empty for a permit.
    pub mends: Vec<String>,
}

/// A policy about the thing that was asked for.
#[derive(Clone, Debug)]
pub struct Considered {
    /// How records name it.
    pub rule: String,
    /// `allow`, `ask` or `deny`.
    pub effect: &'static str,
    /// What came of it.
    pub state: State,
}

/// What came of one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It holds.
    Holds,
    /// It is about other callers.
    OtherCallers,
    /// Its conditions are not met.
    Unmet,
    /// It can't be evaluated, so that nothing is permitted.
    Failed(String),
}

impl State {
    /// One word for tables.
    pub fn as_str(&self) -> &'static str {
        match self {
            State::Holds => "holds",
            State::OtherCallers => "other callers",
            State::Unmet => "not met",
            State::Failed(_) => "failed",
        }
    }
}

/// The most scopes that are tried.
const SCOPES: usize = 64;

impl Policy {
    /// Every role's line and every policy, in Cedar.
    pub fn show(&self) -> String {
        let mut text = String::new();
        for written in &self.written {
            text.push_str(written.text().trim());
            text.push_str("\n\n");
        }
        text
    }

    /// A decision, taken apart.
    pub fn explain(
        &self,
        caller: &PrincipalView<'_>,
        action: &Action<'_>,
        context: &Context<'_>,
    ) -> Explanation {
        let decision = self.decide(caller, action, context);
        let mut considered: Vec<(&Written, State)> = Vec::new();
        if let Some(what) = self.what(action) {
            let who = self.who(caller);
            let mut on = self.scopes.on(&what);
            on.sort_unstable();
            for at in on {
                let Some(written) = self.written.get(at as usize) else { continue };
                let state = match self.scopes.has(at, &who) {
                    true => {
                        let pointers: Vec<String> = written.pointers.iter().cloned().collect();
                        self.alone(&written.policy, &pointers, caller, action, context)
                    }
                    false => State::OtherCallers,
                };
                considered.push((written, state));
            }
        }
        let mends = self.mends(&decision, &considered, caller, action, context);
        let considered = considered.into_iter().map(|(written, state)| Considered {
            rule: written.rule.clone(),
            effect: written.effect.as_str(),
            state,
        });
        Explanation {
            considered: considered.collect(),
            roles: self.membership.roles_of(caller),
            decision,
            mends,
        }
    }

    /// One policy by itself.
    pub(crate) fn alone(
        &self,
        policy: &CedarPolicy,
        pointers: &[String],
        caller: &PrincipalView<'_>,
        action: &Action<'_>,
        context: &Context<'_>,
    ) -> State {
        let response = PolicySet::from_policies([policy.clone()])
            .map_err(|fault| fault.to_string())
            .and_then(|set| self.respond(&set, pointers, caller, action, Some(context)));
        match response {
            Err(fault) => State::Failed(fault),
            Ok(response) => match response.diagnostics().errors().next() {
                Some(error) => State::Failed(error.to_string()),
                // A forbid that holds is the reason of the denial.
                None if response.decision() == Verdict::Allow
                    || response.diagnostics().reason().any(|id| position(id).is_some()) =>
                {
                    State::Holds
                }
                None => State::Unmet,
            },
        }
    }

    fn mends(
        &self,
        decision: &Decision,
        considered: &[(&Written, State)],
        caller: &PrincipalView<'_>,
        action: &Action<'_>,
        context: &Context<'_>,
    ) -> Vec<String> {
        if !matches!(decision, Decision::Denied(_)) {
            return Vec::new();
        }
        let mut mends = Vec::new();
        for (written, state) in considered {
            match (written.effect, state) {
                (_, State::Failed(fault)) => {
                    mends.push(format!("mend {}: {fault}", written.rule));
                }
                (Effect::Deny, State::Holds) => {
                    mends
                        .push(format!("{} must not hold: it denies whatever allows", written.rule));
                }
                _ => {}
            }
        }
        for (written, state) in considered.iter().filter(|(written, _)| !written.is_built_in()) {
            match (written.effect, state) {
                (Effect::Allow | Effect::Ask, State::Unmet) => {
                    mends.push(format!("the conditions of {} must be met", written.rule));
                }
                (Effect::Allow | Effect::Ask, State::OtherCallers) => {
                    mends.push(format!(
                        "{} would {} it to those it is for{}",
                        written.rule,
                        written.effect.as_str(),
                        self.whom(written)
                    ));
                }
                _ => {}
            }
        }
        let scopes = self.scopes_for(caller, action, context);
        if !scopes.is_empty() {
            mends.push(format!("a credential with the scopes {} would do", scopes.join(" ")));
        }
        if mends.is_empty() {
            mends.push(format!("no rule allows {}/{}: add one", action.server, action.name));
        }
        mends
    }

    fn whom(&self, written: &Written) -> String {
        let role = self.roles.iter().find(|role| {
            written
                .rule
                .strip_prefix("role ")
                .is_some_and(|rest| rest.starts_with(&format!("{role} ")))
        });
        let Some(role) = role else { return String::new() };
        let members: Vec<String> =
            self.membership.members(role).iter().map(Member::to_string).collect();
        match members.as_slice() {
            [] => format!(": credentials with the role {role}"),
            members => format!(": {}, and credentials with the role {role}", members.join(", ")),
        }
    }

    /// Which OAuth scopes, added to those of the credential, would turn a denial into a permit (or
    /// a request for approval); empty when none would or nothing is denied.
    pub fn scopes_for(
        &self,
        caller: &PrincipalView<'_>,
        action: &Action<'_>,
        context: &Context<'_>,
    ) -> Vec<String> {
        let may = |scopes: &[String]| {
            let caller = PrincipalView { scopes, digest: None, ..*caller };
            self.decide(&caller, action, context).is_possible()
        };
        let mut wanted: Vec<String> = self
            .written
            .iter()
            .flat_map(|written| written.scopes.iter().cloned())
            .chain(self.membership.scopes())
            .filter(|scope| !caller.scopes.contains(scope))
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted.truncate(SCOPES);
        let with = |added: &[String]| [caller.scopes, added].concat();
        if wanted.is_empty() || may(caller.scopes) || !may(&with(&wanted)) {
            return Vec::new();
        }
        // Each scope that is not needed is left out: what remains is enough, and no more.
        let mut at = 0;
        while at < wanted.len() {
            let scope = wanted.remove(at);
            if !may(&with(&wanted)) {
                wanted.insert(at, scope);
                at += 1;
            }
        }
        wanted
    }
}
