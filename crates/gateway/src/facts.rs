//! What becomes known of a call on its way, for its records.

use std::{borrow::Cow, sync::Arc, time::Duration};

use audit::{Outcome, Payload, Record};
use identity::Verified;
use mcp::JsonBuf;
use policy::Permit;

use crate::{
    Gateway,
    call::{Call, Reply, Scope},
    limits::Occupied,
    mrtr,
    payloads::{Fields, Kept, Payloads, fields_of},
    refusal::Refusal,
    resolve::Target,
    telemetry::{Entered, Step, Told, Trace},
    who::Who,
};

/// What the records of one call say, gathered as it becomes known.
pub(crate) struct Facts<'a> {
    pub id: &'a str,
    pub caller: &'a Verified,
    pub call: &'a Call,
    who: Who<'a>,
    client: Cow<'a, str>,
    pub target: Option<Arc<Target>>,
    /// Counted as under way, from when it is known where.
    pub entered: Option<Entered>,
    /// Where traces are sent anywhere.
    pub trace: Option<Trace>,
    pub permit: Option<Permit>,
    /// A person's approval, which this round of the call has used.
    pub round: Option<mrtr::Approved>,
    /// What the conversation had read.
    pub labels: String,
    /// When everything before it may leave was done, when its credential was there, and when the answer, since it came.
    pub sent: Option<Duration>,
    pub fetched: Option<Duration>,
    pub answered: Option<Duration>,
    /// Held until the call has ended.
    pub occupied: Occupied,
    request: [u8; 32],
    arguments: Payload,
    /// Arguments that are recorded in clear.
    fields: Vec<(Box<str>, String)>,
    /// What is kept of the arguments.
    kept: Kept,
    /// What the detectors found.
    pub findings: String,
    /// Whether the client comes back from a question of ours.
    pub asked: bool,
}

impl Gateway {
    /// What is known of a call when it begins.
    pub(crate) fn facts<'a>(&self, caller: &'a Verified, call: &'a Call, id: &'a str) -> Facts<'a> {
        let mut facts = Facts::of(caller, call, id);
        facts.trace = self.tracer.load().as_ref().and_then(|tracer| tracer.begin(call));
        facts
    }
}

/// A call whose client left first has an end, too.
impl Drop for Facts<'_> {
    fn drop(&mut self) {
        let (id, principal) = (self.id, self.caller.principal().id());
        let told = Told { id, principal, outcome: Outcome::Unknown, refusal: None };
        if let Some(trace) = self.trace.as_mut().filter(|trace| !trace.is_ended()) {
            trace.end(self.call, self.target.as_deref(), &told);
        }
    }
}

impl<'a> Facts<'a> {
    /// The same without a trace.
    pub fn of(caller: &'a Verified, call: &'a Call, id: &'a str) -> Facts<'a> {
        let params = Payload::of(call.params.bytes());
        let own = |arguments: &JsonBuf| Payload::of(arguments.bytes());
        Facts {
            id,
            caller,
            call,
            who: Who::new(caller),
            client: call.client_name(),
            target: None,
            entered: None,
            trace: None,
            permit: None,
            round: None,
            labels: String::new(),
            sent: None,
            fetched: None,
            answered: None,
            occupied: Occupied::default(),
            request: params.sha256,
            arguments: call.gist.arguments.as_ref().map_or(params, own),
            fields: Vec::new(),
            kept: Kept::Nothing,
            findings: String::new(),
            asked: false,
        }
    }

    /// Which trace it is in; none where its client says none and none is kept.
    pub fn trace_id(&self) -> &str {
        match (&self.trace, &self.call.gist.trace) {
            (Some(trace), _) => trace.id(),
            (None, Some(context)) => context.parent.trace(),
            (None, None) => "",
        }
    }

    pub fn step(&mut self, step: Step) {
        if let Some(trace) = &mut self.trace {
            trace.step(step);
        }
    }

    /// It is known what the call is about.
    pub fn reach(&mut self, target: Arc<Target>, fields: &[Fields]) {
        let tool = target.item().map(|_| target.name.as_str());
        self.entered = Some(target.served.meters.enter(self.call, tool));
        self.fields = fields_of(fields, self.call, &target);
        self.target = Some(target);
    }

    /// Seals the arguments, where they are kept.
    pub fn keep_arguments(&mut self, payloads: &Payloads) -> Result<(), Refusal> {
        let Some(target) = self.target.as_deref().filter(|_| payloads.arguments) else {
            return Ok(());
        };
        let body = self.call.gist.arguments.as_ref().unwrap_or(&self.call.params);
        self.kept = payloads.keep(target, body.bytes())?;
        Ok(())
    }

    /// Seals the result, where it is kept.
    pub fn kept_result(
        &self,
        payloads: &Payloads,
        reply: &Result<Reply, Refusal>,
    ) -> Result<Kept, Refusal> {
        match (self.target.as_deref(), reply) {
            (Some(target), Ok(Reply { outcome: Ok(body) | Err(body), .. })) if payloads.results => {
                payloads.keep(target, body.bytes())
            }
            _ => Ok(Kept::Nothing),
        }
    }

    /// How long the credential took, where that can be told.
    pub fn credential_took(&self) -> Option<Duration> {
        let took = self.fetched?.saturating_sub(self.sent?);
        (took >= Duration::from_micros(1)).then_some(took)
    }

    /// What is recorded when a call begins, or is refused before that.
    pub fn opening(&self) -> Record<'_> {
        Record {
            request: Some(self.request),
            fields: &self.fields,
            body: self.kept.as_body(),
            catalogue: self.target.as_deref().and_then(Target::catalogue),
            ..self.record()
        }
    }

    /// What is in all its records.
    pub fn record(&self) -> Record<'_> {
        let target = self.target.as_deref();
        Record {
            id: self.id,
            client: &self.client,
            door: self.call.door.as_str(),
            address: self.call.door.address(),
            era: self.call.version.as_str(),
            server: match (target, &self.call.scope) {
                (Some(target), _) => target.served.name().as_str(),
                (None, Scope::One(name)) => name.as_str(),
                (None, Scope::All) => "",
            },
            method: &self.call.method_name,
            name: match target {
                Some(target) => &target.name,
                None => self.call.gist.name.as_deref().unwrap_or_default(),
            },
            arguments: Some(self.arguments),
            rule: self.permit.as_ref().map_or("", Permit::rule),
            approval: self.round.as_ref().map_or("", |round| &round.id),
            labels: &self.labels,
            definition: target
                .and_then(Target::item)
                .map(|item| *item.approved.digest().as_bytes()),
            bytes_in: Some(self.call.params.bytes().len() as u64),
            findings: &self.findings,
            trace: self.trace_id(),
            ..self.who.record()
        }
    }
}
