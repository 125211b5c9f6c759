//! Calls that a person must approve: the call waits, the approver sees exactly what would be done, and the
//! approval is good for that one call.

use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use identity::Verified;
use mcp::{Json, JsonBuf, quote};
use store::Approval;
use tokio::{sync::watch, time::Instant};
use upstream::{Event, Events};

use crate::{Gateway, call::Call, decide::view, mrtr, refusal::Refusal, resolve::Target};

/// How approvals work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approvals {
    /// Who may approve.
    pub approvers: Vec<policy::Member>,
    /// The named loosening: callers may approve what they asked for themselves.
    pub own: bool,
    /// How many different approvers it takes.
    pub quorum: usize,
    /// For how long a request, and an approval of it, are good.
    pub expires: Duration,
    /// How long a call waits for an answer before it is told to come back.
    pub wait: Duration,
    /// Where people reach this gateway, for clients that can show a link.
    pub url: Option<String>,
}

impl Default for Approvals {
    fn default() -> Approvals {
        Approvals {
            approvers: vec![policy::Member::Id("owner".into())],
            own: false,
            quorum: 1,
            expires: Duration::from_secs(600),
            wait: Duration::from_secs(120),
            url: None,
        }
    }
}

/// What asks for an approval.
#[derive(Clone, Copy)]
pub(crate) struct Asking<'a> {
    /// The rule, as records name it.
    pub rule: &'a str,
    /// For the approver; may be empty.
    pub reason: &'a str,
    /// What of it the caller may hear; may be empty.
    pub told: &'a str,
    /// What came back, where its release is asked for and not the call.
    pub result: Option<Json<'a>>,
}

/// Wakes calls that wait when something was decided.
pub(crate) type Decided = watch::Sender<u64>;

/// Requests that may wait, all together and of one caller.
const WAITING: u64 = 1000;
const WAITING_OWN: u64 = 20;
/// What is longer nobody reads, and so nobody can approve.
const READABLE: usize = 64 << 10;
/// How often a waiting client hears that it still waits.
const PROGRESS: Duration = Duration::from_secs(5);
/// For how long past requests can be looked up, in seconds.
const KEPT: u64 = 7 * 24 * 3600;

impl Gateway {
    /// The step for a call that needs an approval: returns the id of one once there is, which is then used up.
    /// `answered` says that the client has been shown the link.
    pub(crate) async fn require_approval(
        &self,
        caller: &Verified,
        call: &Call,
        target: &Target,
        asking: Asking<'_>,
        answered: bool,
        events: &Events,
    ) -> Result<String, Refusal> {
        let digest = digest(caller, call, target, asking, answered);
        let mut decided = self.decided.subscribe();
        let now = crate::now();
        let found = self.store.approval_of(&digest, now).await.map_err(unavailable)?;
        let approval = match found {
            Some(approval) => approval,
            None => {
                let shown = shown(caller, call, target, asking, answered);
                self.open_approval(caller, shown, asking, digest).await?
            }
        };
        if approval.state == "pending"
            && !answered
            && asking.result.is_none()
            && let Some(question) = self.question(caller, call, target, &approval)
        {
            return Err(waits(approval.id, asking, Some(question)));
        }
        let approvals = self.current().config.approvals.clone();
        let deadline = Instant::now() + approvals.wait;
        loop {
            let now = crate::now();
            let id = &approval.id;
            let found = self.store.approval(id).await.map_err(unavailable)?;
            let found = found.filter(|found| found.expires > now && found.digest == digest);
            let Some(found) = found else { return Err(self.denied(&approval, asking)) };
            match found.state.as_str() {
                "approved" => {
                    let seen = (found.state.as_str(), found.deciders.as_str());
                    let used = self.store.approval_update(id, seen, "used", &found.deciders).await;
                    if used.map_err(unavailable)? {
                        return Ok(approval.id);
                    }
                }
                "pending" => {}
                _ => return Err(self.denied(&found, asking)),
            }
            if Instant::now() >= deadline {
                return Err(waits(approval.id, asking, None));
            }
            let pause = deadline.min(Instant::now() + PROGRESS);
            tokio::select! {
                _ = decided.changed() => {}
                () = tokio::time::sleep_until(pause) => progress(call, events).await,
            }
        }
    }

    fn denied(&self, approval: &Approval, asking: Asking<'_>) -> Refusal {
        let by = approval.deciders.replace('\n', ", ");
        Refusal::ApprovalDenied { id: approval.id.clone(), rule: asking.rule.to_owned(), by }
    }

    async fn open_approval(
        &self,
        caller: &Verified,
        shown: String,
        asking: Asking<'_>,
        digest: [u8; 32],
    ) -> Result<Approval, Refusal> {
        if shown.len() > READABLE {
            return Err(Refusal::Denied { rule: format!("{}: too long to be read", asking.rule) });
        }
        let (now, principal) = (crate::now(), caller.principal().id());
        let (all, own) = self.store.approvals_waiting(principal, now).await.map_err(unavailable)?;
        if all >= WAITING || own >= WAITING_OWN {
            return Err(Refusal::TooMany("calls that wait for an approval"));
        }
        self.store.approvals_forget(now.saturating_sub(KEPT)).await.map_err(unavailable)?;
        let approval = Approval {
            id: crate::seal::random_id().map_err(|_| Refusal::RequestState)?,
            digest,
            principal: principal.to_owned(),
            request: shown,
            state: "pending".to_owned(),
            deciders: String::new(),
            created: now,
            expires: now + self.current().config.approvals.expires.as_secs(),
        };
        self.store.approval_insert(&approval).await.map_err(unavailable)?;
        self.record_approval(&approval, principal, "asked for", asking.rule).await?;
        self.decided.send_modify(|count| *count += 1);
        Ok(approval)
    }

    /// A link for the person at the client, where the client can show one.
    fn question(
        &self,
        caller: &Verified,
        call: &Call,
        target: &Target,
        approval: &Approval,
    ) -> Option<JsonBuf> {
        let current = self.current();
        let url = current.config.approvals.url.as_deref()?;
        let link = mrtr::Link {
            key: "approval",
            id: &approval.id,
            url: &format!("{}/approvals/{}", url.trim_end_matches('/'), approval.id),
            message: &format!("{} of {} needs an approval.", target.name, target.served.name()),
        };
        mrtr::ask_to_open(&self.sealer, caller, call, target, link)
    }

    /// One approver's word. `None` when nothing like that waits.
    pub(crate) async fn decide_approval(
        &self,
        approver: &Verified,
        id: &str,
        approve: bool,
    ) -> Result<Approval, NoApproval> {
        let approvals = self.current().config.approvals.clone();
        let view = view(approver);
        if !approvals.approvers.iter().any(|member| member.covers(&view)) {
            return Err(NoApproval::NotAnApprover);
        }
        let found = self.store.approval(id).await?.ok_or(NoApproval::Unknown)?;
        if found.expires <= crate::now() {
            return Err(NoApproval::Expired);
        }
        if found.state != "pending" {
            return Err(NoApproval::Decided(found.state));
        }
        // Who asked may always take it back.
        if approve && !approvals.own && found.principal == view.id {
            return Err(NoApproval::Own);
        }
        let mut deciders: Vec<&str> =
            found.deciders.split('\n').filter(|by| !by.is_empty()).collect();
        if deciders.contains(&view.id) {
            return Err(NoApproval::Twice);
        }
        deciders.push(view.id);
        let state = match approve {
            false => "denied",
            true if deciders.len() >= approvals.quorum => "approved",
            true => "pending",
        };
        let deciders = deciders.join("\n");
        let seen = (found.state.as_str(), found.deciders.as_str());
        if !self.store.approval_update(id, seen, state, &deciders).await? {
            return Err(NoApproval::Decided("decided".to_owned()));
        }
        let now = Approval { state: state.to_owned(), deciders, ..found.clone() };
        let what = if approve { "approved" } else { "denied" };
        let rule = rule_of(&found);
        // Decided it is; a log that fails refuses the calls that follow.
        if let Err(fault) = self.record_approval(&now, view.id, what, &rule).await {
            tracing::error!(%fault, "an approval could not be recorded");
        }
        self.decided.send_modify(|count| *count += 1);
        Ok(now)
    }

    async fn record_approval(
        &self,
        approval: &Approval,
        by: &str,
        what: &str,
        rule: &str,
    ) -> Result<(), Refusal> {
        let request = Json::read(approval.request.as_bytes(), &mcp::Limits::default());
        let request = request.unwrap_or(Json::EMPTY);
        let [server, method, name, arguments] =
            request.pick(["server", "method", "name", "arguments"]);
        let [server, method, name] =
            [server, method, name].map(|member| member.and_then(Json::string).unwrap_or_default());
        let detail = format!("{what}: {} of {}", approval.id, approval.principal);
        let record = audit::Record {
            kind: audit::Kind::Approval,
            principal: by,
            approval: &approval.id,
            server: &server,
            method: &method,
            name: &name,
            rule,
            arguments: arguments.map(|json| audit::Payload::of(json.text().as_bytes())),
            detail: &detail,
            ..audit::Record::default()
        };
        self.append(&record).await
    }
}

/// Why an approver's word counts for nothing.
#[derive(Debug, thiserror::Error)]
pub enum NoApproval {
    /// It has an end already.
    #[error("it was {0} already")]
    Decided(String),
    /// Too late.
    #[error("it has expired")]
    Expired,
    /// Not in `[approvals] approvers`.
    #[error("only an approver may decide")]
    NotAnApprover,
    /// Asked for by the same.
    #[error("nobody approves what they asked for themselves")]
    Own,
    /// The store.
    #[error("the store failed: {0}")]
    Store(#[from] store::StoreFault),
    /// Two different approvers are needed.
    #[error("it takes another approver")]
    Twice,
    /// Nothing of that id.
    #[error("there is no such request")]
    Unknown,
}

fn unavailable(fault: store::StoreFault) -> Refusal {
    Refusal::StoreUnavailable(fault.to_string())
}

fn rule_of(approval: &Approval) -> String {
    let request = Json::read(approval.request.as_bytes(), &mcp::Limits::default());
    let rule = request.ok().and_then(|request| request.get("rule")?.string().map(Into::into));
    rule.unwrap_or_default()
}

fn waits(id: String, asking: Asking<'_>, question: Option<JsonBuf>) -> Refusal {
    let (rule, told) = (asking.rule.to_owned(), asking.told.to_owned());
    Refusal::ApprovalWaits { id, rule, told, question }
}

/// What is approved: who, what, on what, with what, why, exactly.
fn digest(
    caller: &Verified,
    call: &Call,
    target: &Target,
    asking: Asking<'_>,
    answered: bool,
) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in [
        caller.principal().partition(),
        target.served.name().as_str(),
        &call.method_name,
        &target.name,
        call.arguments().text(),
        &call.rest(!answered),
        &target.definition(),
        asking.rule,
        asking.result.map(Json::text).unwrap_or_default(),
    ] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

/// What the approver sees.
fn shown(
    caller: &Verified,
    call: &Call,
    target: &Target,
    asking: Asking<'_>,
    answered: bool,
) -> String {
    let more = match call.rest(!answered) {
        nothing if nothing == "{}" => String::new(),
        more => format!(",\"more\":{more}"),
    };
    let result = asking.result.map(|result| format!(",\"result\":{}", result.text()));
    format!(
        "{{\"principal\":{},\"client\":{},\"server\":{},\"method\":{},\"name\":{},\"definition\":{},\"rule\":{},\"reason\":{},\"arguments\":{}{more}{}}}",
        quote(caller.principal().id()),
        quote(&call.client_name()),
        quote(target.served.name().as_str()),
        quote(&call.method_name),
        quote(&target.name),
        quote(&target.definition()),
        quote(asking.rule),
        quote(asking.reason),
        call.arguments().text(),
        result.unwrap_or_default()
    )
}

/// Tells a client that gave a token for it that its call is alive.
async fn progress(call: &Call, events: &Events) {
    let token = call.params.json().get(mcp::meta::META).and_then(|meta| meta.get("progressToken"));
    let Some(token) = token else { return };
    // A number that only grows, as the protocol asks.
    let params = format!(
        "{{\"progressToken\":{},\"progress\":{},\"message\":\"waiting for an approval\"}}",
        token.text(),
        crate::now()
    );
    let event = Event { method: "notifications/progress".to_owned(), params: crate::made(params) };
    // A client that reads nothing does not keep an approval from being noticed.
    let _ = events.try_send(event);
}
