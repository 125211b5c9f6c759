//! May they? What policy needs to know of a request, gathered; what it says, turned into a refusal.

use identity::Verified;
use mcp::{Json, Method};
use policy::{
    Action, Annotations, Context, Decision, Denied, Kind, Operation, Permit, Policy, PrincipalView,
};
use upstream::Events;

use crate::{
    Gateway,
    approval::Asking,
    call::{Call, Door},
    mrtr::{Approved, Opened},
    refusal::Refusal,
    resolve::Target,
};

/// What earlier steps found out about a request.
#[derive(Clone, Copy, Default)]
pub(crate) struct Noticed<'a> {
    /// Ids of the detectors that fired on the arguments.
    pub findings: &'a [&'a str],
    /// Labels of the conversation.
    pub labels: &'a [&'a str],
}

impl Gateway {
    /// The decision on a request: leave, or that a person must approve it first.
    pub(crate) fn decide(
        &self,
        caller: &Verified,
        call: &Call,
        target: &Target,
        noticed: Noticed<'_>,
    ) -> Result<Decision, Refusal> {
        let (view, client) = (view(caller), call.client_name());
        let context = Context {
            arguments: Some(call.arguments()),
            labels: noticed.labels,
            findings: noticed.findings,
            ..circumstances(call, &client)
        };
        let action = action(call, target);
        let current = self.glance();
        match current.policy.decide(&view, &action, &context) {
            Decision::Denied(denied) => {
                if let Some(refusal) = step_up(&current.policy, caller, &action, &context) {
                    return Err(refusal);
                }
                let visible = current.policy.foresee(&view, &action, &context).is_possible();
                Err(if visible { self.forbidden(denied) } else { hidden(target, denied) })
            }
            decision => Ok(decision),
        }
    }

    /// The leave that a decision gives: at once, or when a person has approved this very call; then with that
    /// approval.
    pub(crate) async fn permit(
        &self,
        caller: &Verified,
        call: &Call,
        target: &Target,
        decision: Decision,
        opened: &Opened,
        events: &Events,
    ) -> Result<(Permit, Option<Approved>), Refusal> {
        let ask = match decision {
            Decision::Permit(permit) => return Ok((permit, None)),
            Decision::Denied(denied) => return Err(self.forbidden(denied)),
            Decision::Ask(ask) => ask,
        };
        // What was approved in an earlier round of this call need not be approved again, and each round of it
        // is made once.
        if let Some(round) = opened.approved.as_ref().filter(|round| round.rule == ask.rule()) {
            let fresh = self.store.oauth_first_seen(&round.state, round.until).await;
            return match fresh {
                Ok(true) => Ok((ask.approved(), Some(round.clone()))),
                Ok(false) => Err(Refusal::RequestState),
                Err(fault) => Err(Refusal::StoreUnavailable(fault.to_string())),
            };
        }
        let (rule, reason, told) = (ask.rule(), ask.reason(), ask.told());
        let asking = Asking { rule, reason, told, result: None };
        let answered = opened.is_own();
        let asked = self.require_approval(caller, call, target, asking, answered, events);
        let id = Box::pin(asked).await?;
        let round = Approved::now(id, rule);
        Ok((ask.approved(), Some(round)))
    }

    /// Whether the target exists for this caller. What is denied is told to the client as not there.
    pub(crate) fn require_visible(
        &self,
        caller: &Verified,
        call: &Call,
        target: &Target,
    ) -> Result<(), Refusal> {
        let action = action(call, target);
        let denied = match self.foresee(caller, call, &action) {
            Decision::Denied(denied) => denied,
            Decision::Permit(_) | Decision::Ask(_) => return Ok(()),
        };
        let client = call.client_name();
        let context = circumstances(call, &client);
        let refusal = step_up(&self.glance().policy, caller, &action, &context);
        Err(refusal.unwrap_or_else(|| hidden(target, denied)))
    }

    /// The decision as far as it can be told without a call's arguments.
    pub(crate) fn foresee(&self, caller: &Verified, call: &Call, action: &Action<'_>) -> Decision {
        let client = call.client_name();
        self.glance().policy.foresee(&view(caller), action, &circumstances(call, &client))
    }

    /// Visible, and yet not to be done in this way.
    fn forbidden(&self, denied: Denied) -> Refusal {
        Refusal::Denied { rule: denied.rule().to_owned() }
    }
}

/// A caller who could have it with more scopes is told which, and not that it is not there. All scopes are
/// named, those that the credential has too: a client asks for just what it is told. Only a provider's tokens
/// have scopes that could be asked for.
fn step_up(
    policy: &Policy,
    caller: &Verified,
    action: &Action<'_>,
    context: &Context<'_>,
) -> Option<Refusal> {
    caller.principal().provider()?;
    let view = view(caller);
    let missing = policy.scopes_for(&view, action, context);
    let scopes = || [view.scopes, &missing].concat();
    (!missing.is_empty()).then(|| Refusal::InsufficientScope { scopes: scopes() })
}

/// A caller as policy sees one.
pub(crate) fn view(caller: &Verified) -> PrincipalView<'_> {
    let principal = caller.principal();
    let view = PrincipalView {
        id: principal.id(),
        provider: principal.provider().unwrap_or_default(),
        tenant: principal.tenant().unwrap_or_default(),
        subject: principal.subject().unwrap_or_default(),
        client: principal.client().unwrap_or_default(),
        groups: principal.groups(),
        roles: principal.roles(),
        scopes: principal.scopes(),
        acr: principal.acr().unwrap_or_default(),
        amr: principal.amr(),
        authenticated_at: principal.authenticated_at(),
        digest: None,
    };
    PrincipalView { digest: Some(principal.digested(|| view.digest())), ..view }
}

/// What holds of every request of this client at this moment.
fn circumstances<'a>(call: &Call, client: &'a str) -> Context<'a> {
    let network = match call.door {
        Door::Http(address) => Some(address),
        Door::Local | Door::Stdio => None,
    };
    Context { time: crate::now(), network, client, ..Context::default() }
}

fn action<'a>(call: &Call, target: &'a Target) -> Action<'a> {
    let action = Action {
        annotations: annotations(target),
        ..Action::new(target.served.name().as_str(), target.kind, &target.name)
    };
    match call.method {
        Method::CompletionComplete => action.with(Operation::Complete),
        Method::TasksCancel => action.with(Operation::TaskCancel),
        Method::TasksGet => action.with(Operation::TaskGet),
        Method::TasksUpdate => action.with(Operation::TaskUpdate),
        _ => action,
    }
}

/// As the approved definition has them. A task names its tool without holding the definition.
fn annotations(target: &Target) -> Annotations {
    if target.kind != Kind::Tool {
        return Annotations::default();
    }
    match target.item() {
        Some(item) => item.annotations,
        None => target.served.annotations(&target.name),
    }
}

fn hidden(target: &Target, denied: Denied) -> Refusal {
    let (name, rule) = (target.name.clone(), Some(denied.rule().to_owned()));
    match target.kind {
        Kind::Method | Kind::Model => Refusal::MethodNotFound(name),
        Kind::Prompt => Refusal::UnknownPrompt { name, rule },
        Kind::Resource => Refusal::UnknownResource { uri: name, rule },
        Kind::Tool if target.task.is_some() => Refusal::UnknownTask,
        Kind::Tool => Refusal::UnknownTool { name, rule },
    }
}

impl Call {
    /// What the client's program calls itself.
    pub(crate) fn client_name(&self) -> std::borrow::Cow<'_, str> {
        let name = self.client.info.as_ref().and_then(|info| info.json().get("name"));
        name.and_then(Json::string).unwrap_or_default()
    }
}
