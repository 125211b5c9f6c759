//! What the records of a call of a model say of it.

use audit::{Intended, Outcome, Record};
use policy::Kind;

use super::{call::Known, usage::Usage};
use crate::{
    leak,
    limits::Counted,
    payloads::{Kept, Payloads},
    refusal::Refusal,
    who,
};

/// What records call it.
const METHOD: &str = "models/call";

/// How one ended.
pub(super) struct Ended {
    pub outcome: Outcome,
    pub usage: Usage,
    /// Of the answer.
    pub bytes: u64,
    /// What is kept of it.
    pub kept: Kept,
}

impl Known {
    /// Counts and records how it ended.
    pub fn end(&self, intent: Intended, ended: &Ended, how: &str) -> audit::Append {
        let usage = ended.usage;
        if usage.total() > 0 {
            self.gateway.spend(&self.caller, self.counted(), usage.total());
        }
        let guessed = if usage.said { "" } else { ", guessed" };
        let detail = format!("{how}; tokens: {} in, {} out{guessed}", usage.input, usage.output);
        let record = Record {
            outcome: Some(ended.outcome),
            bytes_out: Some(ended.bytes),
            duration: Some(self.began.elapsed()),
            detail: &detail,
            body: ended.kept.as_body(),
            ..self.record()
        };
        self.gateway.journal.outcome(intent, &record)
    }

    pub async fn outcome(
        &self,
        intent: Intended,
        outcome: Outcome,
        record: &Record<'_>,
    ) -> Result<(), Refusal> {
        let duration = Some(self.began.elapsed());
        let record = Record { outcome: Some(outcome), duration, ..*record };
        let recorded = self.gateway.journal.outcome(intent, &record).await;
        recorded.map(drop).map_err(crate::pipeline::unavailable)
    }

    pub async fn refuse(&self, refusal: Refusal) -> Refusal {
        self.gateway.record_refusal(&self.opening(), refusal).await
    }

    /// Whether the stream of an answer may go on although secrets were found in it.
    pub fn passes_leaks(&self) -> bool {
        self.model.guard.acts(leak::OnLeak::Mask)
    }

    /// Records them.
    pub fn leaked(&self, names: &str) {
        // Written although nobody waits for it: the outcome, which is awaited, comes behind it.
        let principal = self.caller.principal().id();
        drop(self.model.guard.record(principal, METHOD, names, self.passes_leaks()));
    }

    /// What is kept of calls of this deployment, if anything is.
    fn payloads(&self) -> Option<&Payloads> {
        let payloads = &self.current.config.audit.payloads;
        let model = self.model.entry.name.as_str();
        payloads.cover(model, Kind::Model, &self.deployment).then_some(payloads)
    }

    pub fn kept_request(&self, body: &[u8]) -> Result<Kept, Refusal> {
        let payloads = self.payloads().filter(|payloads| payloads.arguments);
        payloads.map_or(Ok(Kept::Nothing), |payloads| payloads.seal(body))
    }

    /// Seals an answer as its client got it, where answers are kept.
    pub fn kept_answer(&self, body: &[u8]) -> Result<Kept, Refusal> {
        let payloads = self.payloads().filter(|payloads| payloads.results);
        payloads.map_or(Ok(Kept::Nothing), |payloads| payloads.seal(body))
    }

    /// How many bytes of a stream [`Known::kept_answer`] needs of it: one more than it may have, so that what
    /// is too large shows.
    pub fn gathers(&self) -> usize {
        let payloads = self.payloads().filter(|payloads| payloads.results);
        payloads.map_or(0, |payloads| payloads.limit.saturating_add(1))
    }

    pub fn bytes_in(&self) -> u64 {
        self.payload.bytes
    }

    pub fn counted(&self) -> Counted<'_> {
        let server = self.model.entry.name.as_str();
        Counted { server, kind: Kind::Model, name: &self.deployment }
    }

    /// What is recorded when it begins, or is refused before that.
    pub fn opening(&self) -> Record<'_> {
        Record { body: self.kept.as_body(), ..self.record() }
    }

    pub fn record(&self) -> Record<'_> {
        Record {
            id: &self.id,
            client: &self.client,
            door: "http",
            address: self.address,
            server: self.model.entry.name.as_str(),
            method: METHOD,
            name: &self.deployment,
            arguments: Some(self.payload),
            rule: &self.rule,
            policy: &self.current.policy_id,
            credential: &self.model.credential_name,
            bytes_in: Some(self.payload.bytes),
            ..who::record(&self.caller, &self.amr)
        }
    }
}
