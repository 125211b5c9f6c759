//! What a conversation has read, kept for each of a principal's conversations, and the rules on where it
//! may write then. The labels are put on before a call is sent: whatever comes back, by whatever way,
//! has been counted.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use identity::Verified;
use mcp::{Json, quote};
use policy::{FlowAction, Labels, Question};

use crate::{Gateway, call::Call, config::Conversations, refusal::Refusal, resolve::Target};

/// Conversations that one principal may have at once; beyond that, calls that read something labelled are
/// refused until old ones are forgotten. Making up conversations does not wash labels off.
const PER_PRINCIPAL: usize = 1000;
/// Principals whose conversations are kept at hand; others are read from the store again.
const PRINCIPALS: usize = 10_000;
/// The longest name of a conversation, in bytes.
const NAME: usize = 128;

/// What conversations have read.
#[derive(Default)]
pub(crate) struct Flows {
    held: Mutex<Principals>,
}

/// By principal, and by the name of the conversation.
type Principals = HashMap<Box<str>, HashMap<Box<str>, Held>>;

/// What one has read, and the call that brought each label.
#[derive(Clone, Debug, Default)]
struct Held {
    labels: Labels,
    sources: Vec<(Labels, String)>,
}

impl Flows {
    fn lock(&self) -> MutexGuard<'_, Principals> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything is read from the store again.
    pub(crate) fn forget(&self) {
        self.lock().clear();
    }

    /// `None` when the principal's conversations are not at hand.
    fn get(&self, principal: &str, conversation: &str) -> Option<(Held, usize)> {
        let held = self.lock();
        let own = held.get(principal)?;
        Some((own.get(conversation).cloned().unwrap_or_default(), own.len()))
    }
}

/// The name of the conversation that a call belongs to, among its principal's.
pub(crate) fn conversation(call: &Call, of: Conversations) -> &str {
    match of {
        Conversations::Principal => "",
        Conversations::Session => {
            call.gist.conversation.as_deref().filter(|name| name.len() <= NAME).unwrap_or_default()
        }
    }
}

impl Gateway {
    /// Whether what the conversation has read lets this call write: freely, once a person says so, or not at
    /// all.
    pub(crate) async fn flow(
        &self,
        caller: &Verified,
        call: &Call,
        target: &Target,
    ) -> Result<Option<Question>, Refusal> {
        let labels = target.served.entry.labels.of(&target.name);
        if labels.is_none() {
            return Ok(None);
        }
        let current = self.current();
        let flow = &current.config.flow;
        let principal = caller.principal().partition();
        let conversation = conversation(call, flow.conversations);
        let (held, _) = self.held(principal, conversation).await?;
        let Some(rule) = policy::flow(&flow.rules, held.labels, labels) else { return Ok(None) };
        let (sources, name) = (said(&held, rule.when, labels), full_name(target));
        let reason = format!("in this conversation {sources}, and {name} would write");
        let (action, rule) = (rule.action, format!("flow rule {rule}"));
        match action {
            FlowAction::Ask => Ok(Some(Question { rule, reason, open: true })),
            FlowAction::Block => Err(Refusal::Flow(Box::new(FlowRefusal {
                rule,
                reason,
                principal: principal.to_owned(),
                conversation: conversation.to_owned(),
            }))),
        }
    }

    /// Puts on the conversation what a call will read.
    pub(crate) async fn read_on(
        &self,
        caller: &Verified,
        call: &Call,
        target: &Target,
    ) -> Result<(), Refusal> {
        let reads = target.served.entry.labels.of(&target.name).reads();
        if reads.is_none() {
            return Ok(());
        }
        let principal = caller.principal().partition();
        let current = self.current();
        let conversation = conversation(call, current.config.flow.conversations);
        let (held, count) = self.held(principal, conversation).await?;
        let fresh = reads.without(held.labels);
        if fresh.is_none() {
            return Ok(());
        }
        if held.labels.is_none() && count >= PER_PRINCIPAL {
            return Err(Refusal::TooMany("conversations"));
        }
        self.put_on(principal, conversation, held, fresh, full_name(target)).await
    }

    /// What the conversation of a call has read, by name; where no server has labels, nothing.
    pub(crate) async fn labels_of(
        &self,
        caller: &Verified,
        call: &Call,
    ) -> Result<Vec<&'static str>, Refusal> {
        let current = self.current();
        if current.config.servers.iter().all(|server| server.labels.is_empty()) {
            return Ok(Vec::new());
        }
        let conversation = conversation(call, current.config.flow.conversations);
        let (held, _) = self.held(caller.principal().partition(), conversation).await?;
        Ok(held.labels.names().collect())
    }

    /// What a conversation has read so far, and how many its principal has.
    async fn held(&self, principal: &str, conversation: &str) -> Result<(Held, usize), Refusal> {
        if let Some(found) = self.flows.get(principal, conversation) {
            return Ok(found);
        }
        let since = crate::now().saturating_sub(self.current().config.flow.forget_after.as_secs());
        let unavailable = |fault: store::StoreFault| Refusal::StoreUnavailable(fault.to_string());
        self.store.flows_expire(since).await.map_err(unavailable)?;
        let kept = self.store.flows(Some(principal)).await.map_err(unavailable)?;
        let mut held = self.flows.lock();
        if held.len() >= PRINCIPALS {
            held.clear();
        }
        let own = held.entry(principal.into()).or_default();
        for flow in kept {
            own.entry(flow.conversation.as_str().into()).or_insert_with(|| read(&flow));
        }
        // Asked while it is locked: a decision that makes everything forgotten must not lose it in between.
        Ok((own.get(conversation).cloned().unwrap_or_default(), own.len()))
    }

    async fn put_on(
        &self,
        principal: &str,
        conversation: &str,
        mut held: Held,
        fresh: Labels,
        source: String,
    ) -> Result<(), Refusal> {
        held.labels = held.labels.and(fresh);
        held.sources.push((fresh, source));
        let flow = store::Flow {
            principal: principal.to_owned(),
            conversation: conversation.to_owned(),
            labels: held.labels.bits(),
            sources: written(&held),
            at: crate::now(),
        };
        // On the disk first: a gateway that ends now knows it when it starts again.
        let kept = self.store.flow_keep(&flow).await;
        kept.map_err(|fault| Refusal::StoreUnavailable(fault.to_string()))?;
        let mut all = self.flows.lock();
        let now = all.entry(principal.into()).or_default().entry(conversation.into()).or_default();
        // Another call of the same conversation may have put on its own meanwhile.
        now.labels = now.labels.and(held.labels);
        now.sources.extend(held.sources.pop());
        Ok(())
    }
}

/// A call that a flow rule stops.
#[derive(Clone, Debug)]
pub struct FlowRefusal {
    /// The rule: `flow rule private + untrusted → external`.
    pub rule: String,
    /// What was read before, by which calls, and what would write.
    pub reason: String,
    /// Whose conversation.
    pub principal: String,
    /// Which of theirs.
    pub conversation: String,
}

impl std::fmt::Display for FlowRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { rule, reason, principal, conversation } = self;
        write!(f, "{rule}: {reason}; bartizan flow reset '{principal}'")?;
        if conversation.is_empty() { Ok(()) } else { write!(f, " '{conversation}'") }
    }
}

fn full_name(target: &Target) -> String {
    format!("{}/{}", target.served.name(), target.name)
}

/// For people: what was read, and by which calls.
fn said(held: &Held, when: Labels, call: Labels) -> String {
    let one = |label: &'static str| {
        let label_set = Labels::named(label).unwrap_or_default();
        let source = held.sources.iter().find(|(labels, _)| labels.has(label_set));
        match source {
            Some((_, source)) => format!("{label} data was read by {source}"),
            None if call.has(label_set) => format!("the call itself reads {label} data"),
            None => format!("{label} data was read"),
        }
    };
    when.names().map(one).collect::<Vec<_>>().join(", ")
}

fn written(held: &Held) -> String {
    let one =
        |(labels, source): &(Labels, String)| format!("[{},{}]", labels.bits(), quote(source));
    format!("[{}]", held.sources.iter().map(one).collect::<Vec<_>>().join(","))
}

fn read(flow: &store::Flow) -> Held {
    let json = Json::read(flow.sources.as_bytes(), &mcp::Limits::default()).unwrap_or(Json::EMPTY);
    let source = |pair: Json<'_>| {
        let mut items = pair.items();
        let bits = u8::try_from(items.next()?.integer()?).ok()?;
        Some((Labels::from_bits(bits), items.next()?.string()?.into_owned()))
    };
    let sources = json.items().filter_map(source).collect();
    Held { labels: Labels::from_bits(flow.labels), sources }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_back() {
        let sources = vec![(Labels::PRIVATE, "a/\"b\"".to_owned())];
        let held = Held { labels: Labels::PRIVATE.and(Labels::UNTRUSTED), sources };
        let flow = store::Flow {
            principal: "p".into(),
            conversation: String::new(),
            labels: held.labels.bits(),
            sources: written(&held),
            at: 1,
        };
        let back = read(&flow);
        assert_eq!((back.labels, &back.sources), (held.labels, &held.sources));
        let text = said(&back, Labels::PRIVATE.and(Labels::UNTRUSTED), Labels::EXTERNAL);
        assert_eq!(text, "private data was read by a/\"b\", untrusted data was read");
    }
}
