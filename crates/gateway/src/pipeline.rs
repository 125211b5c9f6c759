//! The sentence: what happens to every call, in this order, and by no other way.
//!
//! authenticate → resolve → require approved → inspect arguments → decide → record intent
//!   → fetch credential → send → inspect result → record outcome → reply

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use audit::{Intended, Outcome, Record};
use identity::Verified;
use mcp::{HeaderFault, Method};
use policy::Question;
use upstream::Events;

use crate::{
    Gateway, approvals,
    call::{Call, Door, Reply, ResultKind},
    decide::Noticed,
    facts::Facts,
    hearing::Look,
    leak,
    limits::Counted,
    mrtr,
    refusal::Refusal,
    resolve::Target,
    rewrite,
    send::{Cleared, send},
    telemetry::{Ended, Entered, Step, Told},
};

impl Gateway {
    /// Answers one request of a verified caller. Notifications go to `events` as they come; the
    /// reply is returned only after its record is durable. Dropping the future cancels the call.
    pub async fn run(
        &self,
        caller: &Verified,
        call: &Call,
        events: &Events,
    ) -> Result<Reply, Refusal> {
        self.take_up_decisions().await?;
        let limits = &self.current().config.limits;
        let slot = match call.method {
            Method::SubscriptionsListen => {
                self.listening.enter(caller, limits.sessions_per_principal)
            }
            _ => self.in_flight.enter(caller, limits.in_flight_per_principal),
        };
        let _slot = match slot {
            Ok(slot) => slot,
            Err(refusal) => {
                return Err(self.refuse_in(call.gist.trace.as_ref(), Some(caller), refusal).await);
            }
        };
        match call.method {
            Method::ServerDiscover => Box::pin(self.discover(caller, call)).await,
            Method::PromptsList
            | Method::ResourcesList
            | Method::ResourcesTemplatesList
            | Method::ToolsList => Box::pin(self.list(caller, call)).await,
            Method::SubscriptionsListen => Box::pin(self.listen(caller, call, events)).await,
            Method::Initialize
            | Method::LoggingSetLevel
            | Method::Ping
            | Method::ResourcesSubscribe
            | Method::ResourcesUnsubscribe => {
                let refusal = Refusal::MethodNotFound(call.method_name.to_string());
                Err(self.refuse_in(call.gist.trace.as_ref(), Some(caller), refusal).await)
            }
            Method::Other if call.door == Door::Local && approvals::is_about(call) => {
                Box::pin(self.about_approvals(caller, call)).await
            }
            Method::CompletionComplete
            | Method::Other
            | Method::PromptsGet
            | Method::ResourcesRead
            | Method::TasksCancel
            | Method::TasksGet
            | Method::TasksUpdate
            | Method::ToolsCall => self.call(caller, call, events).await,
        }
    }

    /// The sentence itself. Read it aloud.
    async fn call(
        &self,
        caller: &Verified,
        call: &Call,
        events: &Events,
    ) -> Result<Reply, Refusal> {
        let began = Instant::now();
        let id = self.next_call_id();
        let mut facts = self.facts(caller, call, &id);

        let cleared = self.clear(caller, call, events, &mut facts).await;
        let (target, cleared, intent) = match cleared {
            Ok(cleared) => cleared,
            Err(refusal) => {
                self.count(&mut facts, Outcome::Refused, began, Some(&refusal), 0);
                facts.keep_arguments(&self.glance().config.audit.payloads)?;
                return self.record_refusal(&facts.opening(), refusal).await.into_question();
            }
        };
        facts.step(Step::Cleared);
        facts.sent = Some(began.elapsed());
        if facts.asked {
            target.served.await_connection(caller).await;
        }
        let answer = match target.served.credential(caller).await {
            Ok(credential) => {
                facts.step(Step::Credential);
                facts.fetched = Some(began.elapsed());
                // Boxed, as whatever is large or rare: a call's future is copied when it starts.
                Box::pin(self.send(cleared, credential, &target, events, &mut facts)).await
            }
            Err(refusal) => Err(refusal),
        };
        facts.step(Step::Answered);
        facts.answered = Some(began.elapsed());
        let answer = self.require_approved_page(&target, answer).await;
        let reply = match answer {
            Ok(reply) => self.inspect_reply(&target, events, reply, &mut facts).await,
            Err(refusal) => Err(refusal),
        };
        facts.step(Step::Inspected);
        // Who has answered and is still not connected gets the refusal.
        let reply = match reply {
            Err(refusal) if !facts.asked => {
                self.asking_to_connect(caller, call, &target, refusal).into_question()
            }
            reply => reply,
        };
        self.record_outcome(intent, &mut facts, began, &reply).await?;
        reply
    }

    /// Everything that must hold before a call may leave.
    async fn clear<'a>(
        &self,
        caller: &'a Verified,
        call: &'a Call,
        events: &Events,
        facts: &mut Facts<'a>,
    ) -> Result<(Arc<Target>, Cleared<'a>, Intended), Refusal> {
        let target = Arc::new(self.resolve(caller, call).await?);
        facts.reach(target.clone(), &self.glance().config.audit.fields);
        let approved = target.require_approved()?;
        self.require_signed(caller, call, &target).await?;
        let (arguments, found) = self.inspect_arguments(call, &target, &mut facts.findings)?;
        let opened = mrtr::open(&self.sealer, caller, call, &target)?;
        facts.asked = opened.is_own();
        let findings = crate::inspection::rules(&facts.findings);
        let labels = self.labels_of(caller, call).await?;
        facts.labels = labels.join(" ");
        let noticed = Noticed { findings: &findings, labels: &labels };
        let decision = self.decide(caller, call, &target, noticed)?;
        let decision = decision.with(found).with(self.flow(caller, call, &target).await?);
        let (permit, round) = self.permit(caller, call, &target, decision, &opened, events).await?;
        facts.permit = Some(permit.clone());
        facts.round = round;
        let place = self.stack(caller, call, &target)?;
        self.read_on(caller, call, &target).await?;
        facts.occupied = self.occupy(caller, Counted::of(&target)).await?;
        facts.keep_arguments(&self.glance().config.audit.payloads)?;
        let intent = self.record_intent(facts).await?;
        Ok((target, Cleared::new(caller, approved, arguments, permit, place, opened.state), intent))
    }

    /// Sends it; the detectors look at what the server tells meanwhile.
    async fn send(
        &self,
        cleared: Cleared<'_>,
        credential: vault::Fetched,
        target: &Target,
        events: &Events,
        facts: &mut Facts<'_>,
    ) -> Result<Reply, Refusal> {
        let (current, server) = (self.current(), target.served.name().as_str());
        let noted = Mutex::new(mem::take(&mut facts.findings));
        let look = |event| {
            let noted = &mut noted.lock().unwrap_or_else(PoisonError::into_inner);
            current.inspector.event(server, event, noted)
        };
        let look = current.inspector.listens_to(server).then_some(&look as Look<'_>);
        let (call, trace) = (facts.call, facts.trace.as_ref());
        let reply = send(cleared, credential, call, target, trace, events, look).await;
        facts.findings = noted.into_inner().unwrap_or_else(PoisonError::into_inner);
        reply
    }

    fn inspect_arguments<'a>(
        &self,
        call: &'a Call,
        target: &Target,
        noted: &mut String,
    ) -> Result<(inspect::Inspected<'a>, Option<Question>), Refusal> {
        let (params, arguments) = (call.params.json(), call.arguments());
        if let (Some(headers), Some(item)) = (&call.param_headers, target.item()) {
            for param in &item.header_params {
                let mut shown = headers.iter().filter(|(name, _)| *name == param.header);
                let value = shown.next().map(|(_, value)| value.as_bytes().trim_ascii());
                if shown.next().is_some() {
                    let twice = HeaderFault::Mismatch(param.header.to_string());
                    return Err(Refusal::HeaderMismatch(twice));
                }
                param.verify(value, arguments).map_err(Refusal::HeaderMismatch)?;
            }
        }
        let limits = inspect::Limits {
            bytes: self.current().config.limits.argument_bytes,
            ..inspect::Limits::ARGUMENTS
        };
        let inspected = inspect::inspect_arguments(params, &limits).map_err(|exceeded| {
            Refusal::ArgumentsUnsafe { rule: exceeded.rule, detail: exceeded.message.into_owned() }
        })?;
        let found = self.current().inspector.arguments(target, call, noted)?;
        Ok((inspected, found))
    }

    /// What a server answered, made fit for this client: inspected, opaque tokens sealed, names and
    /// URIs of the aggregate put in.
    async fn inspect_reply(
        &self,
        target: &Target,
        events: &Events,
        reply: Reply,
        facts: &mut Facts<'_>,
    ) -> Result<Reply, Refusal> {
        let (caller, call) = (facts.caller, facts.call);
        let limits = inspect::Limits {
            bytes: self.current().config.limits.message_bytes,
            ..inspect::Limits::RESULT
        };
        let unsafe_result = |finding: inspect::Exceeded| Refusal::ResultUnsafe {
            rule: finding.rule,
            detail: finding.message.into_owned(),
        };
        let (Ok(body) | Err(body)) = &reply.outcome;
        inspect::inspect_result(body.json(), &limits).map_err(unsafe_result)?;
        let examined = self.examine(target, &reply, &mut facts.findings).await?;
        if let Some(question) = &examined.question {
            let body = examined.body.as_ref().unwrap_or(body).json();
            Box::pin(self.require_release(caller, call, target, question, body, events)).await?;
        }
        let reply = reply.with(examined.body);
        let Reply { outcome: Ok(result), .. } = reply else { return Ok(reply) };
        let result = match reply.kind {
            ResultKind::InputRequired => {
                mrtr::seal(&self.sealer, caller, call, target, facts.round.as_ref(), result)?
            }
            ResultKind::Task => self.seal_task(caller, call, target, result)?,
            _ if target.task.is_some() => {
                let result = mrtr::ask_for_task(call, target, result)?;
                self.seal_task(caller, call, target, result)?
            }
            _ => result,
        };
        Ok(Reply { outcome: Ok(rewrite::result(call, target, result)), ..reply })
    }

    pub(crate) async fn record_refusal(&self, record: &Record<'_>, refusal: Refusal) -> Refusal {
        let detail = leak::clean(refusal.to_string());
        let record = Record {
            kind: audit::Kind::Refusal,
            outcome: Some(Outcome::Refused),
            refusal: refusal.label(),
            rule: refusal.rule().unwrap_or(record.rule),
            approval: refusal.approval().unwrap_or(record.approval),
            detail: &detail,
            ..*record
        };
        match self.append(&record).await {
            Ok(()) => refusal,
            Err(fault) => fault,
        }
    }

    pub(crate) async fn record_intent(&self, facts: &Facts<'_>) -> Result<Intended, Refusal> {
        let intent = {
            let current = self.glance();
            self.journal.intent(&Record { policy: &current.policy_id, ..facts.opening() })
        };
        intent.await.map_err(unavailable)
    }

    pub(crate) async fn record_outcome(
        &self,
        intent: Intended,
        facts: &mut Facts<'_>,
        began: Instant,
        reply: &Result<Reply, Refusal>,
    ) -> Result<(), Refusal> {
        let detail = reply.as_ref().err().map(ToString::to_string).unwrap_or_default();
        let detail = leak::clean(detail);
        let kept = facts.kept_result(&self.glance().config.audit.payloads, reply)?;
        let bytes_out = reply.as_ref().ok().map(|reply| {
            let (Ok(body) | Err(body)) = &reply.outcome;
            body.bytes().len() as u64
        });
        let refusal = reply.as_ref().err();
        self.count(facts, outcome(reply), began, refusal, bytes_out.unwrap_or_default());
        let record = Record {
            outcome: Some(outcome(reply)),
            bytes_out,
            duration: Some(began.elapsed()),
            body: kept.as_body(),
            before: facts.sent,
            credential_took: facts.credential_took(),
            upstream: facts.answered.zip(facts.sent).map(|(back, sent)| back.saturating_sub(sent)),
            credential: facts.target.as_deref().map_or("", |target| &target.served.credential_name),
            refusal: refusal.map(Refusal::label).unwrap_or_default(),
            detail: &detail,
            ..facts.record()
        };
        let waiting = Instant::now();
        let written = self.journal.outcome(intent, &record).await;
        self.metrics.waited(waiting.elapsed());
        written.map(drop).map_err(unavailable)
    }

    fn count(
        &self,
        facts: &mut Facts<'_>,
        outcome: Outcome,
        began: Instant,
        refusal: Option<&Refusal>,
        bytes_out: u64,
    ) {
        let ended = Ended {
            outcome,
            refusal: refusal.map(Refusal::label),
            findings: &facts.findings,
            bytes_in: facts.call.params.bytes().len() as u64,
            bytes_out,
            duration: began.elapsed(),
        };
        self.metrics.ended(facts.call, facts.entered.as_ref(), &ended);
        let told = Told {
            id: facts.id,
            principal: facts.caller.principal().id(),
            outcome,
            refusal: ended.refusal,
        };
        tracing::debug!(
            id = facts.id,
            trace = facts.trace_id(),
            method = %facts.call.method_name,
            server = facts.entered.as_ref().map_or("", Entered::server),
            outcome = outcome.as_str(),
            refusal = ended.refusal,
            us = ended.duration.as_micros(),
            "call"
        );
        if let Some(trace) = &mut facts.trace
            && trace.end(facts.call, facts.target.as_deref(), &told)
        {
            self.metrics.span_dropped();
        }
    }

    /// Records what a session was changed to, which no server hears of.
    pub(crate) async fn note(&self, caller: &Verified, call: &Call) -> Result<(), Refusal> {
        let id = self.next_call_id();
        let mut facts = self.facts(caller, call, &id);
        let intent = self.record_intent(&facts).await?;
        let done = Ok(Reply::result(mcp::Json::EMPTY.into()));
        self.record_outcome(intent, &mut facts, Instant::now(), &done).await
    }

    /// Records something that is not a call; resolves when it is durable.
    pub(crate) async fn append(&self, record: &Record<'_>) -> Result<(), Refusal> {
        self.journal.append(record).await.map(drop).map_err(unavailable)
    }
}

/// A record could not be written. The first time is told in the log too: from then on nothing is, and every call is
/// refused.
pub(crate) fn unavailable(fault: audit::AuditFault) -> Refusal {
    static TOLD: std::sync::Once = std::sync::Once::new();
    if !matches!(fault, audit::AuditFault::Overloaded) {
        TOLD.call_once(|| {
            tracing::error!(
                "the audit log can't be written, so every call is refused: {fault}; once that is mended, restart the gateway"
            );
        });
    }
    Refusal::AuditUnavailable(fault.to_string())
}

fn outcome(reply: &Result<Reply, Refusal>) -> Outcome {
    match reply {
        Err(_) => Outcome::Refused,
        Ok(Reply { outcome: Err(_), .. }) => Outcome::Error,
        Ok(Reply { kind: ResultKind::InputRequired, .. }) => Outcome::InputRequired,
        Ok(Reply { failed: true, .. }) => Outcome::ToolError,
        Ok(_) => Outcome::Ok,
    }
}
