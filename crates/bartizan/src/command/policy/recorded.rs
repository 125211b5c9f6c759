//! Requests as the audit log has them, and what is known of their callers elsewhere.

use std::{collections::HashMap, net::IpAddr, path::Path};

use audit::{Entry, Kind as Record, Outcome};
use jiff::Timestamp;
use policy::{Action, Annotations, Context, Forgotten, Kind, Operation, Policy, Recalled};
use serde_json::Value;
use store::Store;
use trust::Digest;

use super::question::Caller;
use crate::{command::now, state};

/// What the store still knows: minted tokens' roles, what is known of people who are signed in, approved definitions.
#[derive(Default)]
pub struct Known {
    tokens: HashMap<String, Vec<String>>,
    people: HashMap<String, Caller>,
    definitions: HashMap<String, Annotations>,
}

impl Known {
    pub async fn of(folder: &Path) -> anyhow::Result<Known> {
        let path = folder.join(state::STORE);
        if !path.exists() {
            return Ok(Known::default());
        }
        let store = Store::open(&path).await?;
        let mut known = Known::default();
        for token in store.tokens().await?.into_iter().filter(|token| token.revoked.is_none()) {
            known.tokens.insert(format!("token:{}", token.name), token.roles);
        }
        for session in store.oauth_sessions(now()).await? {
            let payload: Value = serde_json::from_str(&session.payload)?;
            let texts = |pointer| texts(payload.pointer(pointer));
            // Newest first.
            known.people.entry(session.subject).or_insert_with(|| Caller {
                groups: texts("/identity/groups"),
                roles: texts("/identity/roles"),
                scopes: texts("/scopes"),
                ..Caller::default()
            });
        }
        for pin in store.all_pins().await? {
            let Some(approved) = pin.approved.filter(|_| pin.kind == "tool") else { continue };
            let texts = store.pin_texts(&pin.identity, &pin.kind, &pin.name).await?;
            let Some(text) = texts.and_then(|texts| texts.approved) else { continue };
            if let Ok(tool) = mcp::Json::read(text.as_bytes(), &mcp::Limits::default()) {
                known
                    .definitions
                    .insert(Digest::from_bytes(approved).to_string(), Annotations::of(tool));
            }
        }
        store.close().await;
        Ok(known)
    }
}

/// Of a list, or of words with spaces between.
fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Array(items)) => {
            items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        Some(Value::String(text)) => text.split_whitespace().map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// A request that policy decided, as the log has it.
pub struct Request {
    pub seq: u64,
    pub server: String,
    pub name: String,
    /// `permit`, `ask` or `deny`.
    pub then: &'static str,
    pub caller: Caller,
    kind: Kind,
    operation: Option<Operation>,
    annotations: Annotations,
    network: Option<IpAddr>,
    client: String,
    labels: Vec<String>,
    findings: Vec<String>,
    time: u64,
    forgotten: Forgotten,
}

impl Request {
    pub fn of(entry: &Entry, known: &Known) -> Option<Request> {
        let allowed = match entry.kind {
            Record::Outcome => entry.outcome != Some(Outcome::Refused),
            // Refused for another reason says nothing about policy.
            Record::Refusal => match entry.text("refusal") {
                "denied" => false,
                // What is denied is told as not there; a rule says that it was denied.
                "unknown-prompt" | "unknown-resource" | "unknown-tool"
                    if !entry.text("rule").is_empty() =>
                {
                    false
                }
                _ => return None,
            },
            _ => return None,
        };
        let (kind, operation) = match entry.text("method") {
            "tools/call" => (Kind::Tool, None),
            "prompts/get" => (Kind::Prompt, None),
            "resources/read" => (Kind::Resource, None),
            "tasks/get" => (Kind::Tool, Some(Operation::TaskGet)),
            _ => return None,
        };
        let (who, server) = (entry.text("principal"), entry.text("server"));
        if who.is_empty() || server.is_empty() || !entry.rest.contains_key("name") {
            return None;
        }
        let definition = known.definitions.get(entry.text("definition"));
        let (caller, groups) = caller(entry, who, known);
        let from_provider = who.starts_with("user:") || who.starts_with("workload:");
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        let rules = |text: &str| {
            let first = |one: &str| one.split_whitespace().next().map(str::to_owned);
            text.split(", ").filter_map(first).collect()
        };
        Some(Request {
            seq: entry.seq,
            server: server.to_owned(),
            name: entry.text("name").to_owned(),
            then: match (allowed, entry.text("approval")) {
                (false, _) => "deny",
                (true, "") => "permit",
                (true, _) => "ask",
            },
            caller,
            kind,
            operation,
            annotations: definition.copied().unwrap_or_default(),
            network: match (entry.text("door"), entry.text("address").parse()) {
                (_, Ok(address)) => Some(address),
                // It is left out where it is this machine.
                ("http", Err(_)) => Some(IpAddr::from([127, 0, 0, 1])),
                _ => None,
            },
            client: entry.text("client").to_owned(),
            labels: words(entry.text("labels")),
            findings: rules(entry.text("findings")),
            time: time(entry),
            forgotten: Forgotten {
                groups,
                sign_in: from_provider,
                // Two bytes are `{}`; of all others there is but the digest.
                arguments: kind != Kind::Resource && entry.number("arguments_bytes") != Some(2),
                annotations: kind == Kind::Tool && definition.is_none(),
            },
        })
    }

    /// Asks a policy.
    pub fn recall(&self, policy: &Policy) -> Recalled {
        let labels: Vec<&str> = self.labels.iter().map(String::as_str).collect();
        let findings: Vec<&str> = self.findings.iter().map(String::as_str).collect();
        let context = Context {
            time: self.time,
            network: self.network,
            client: &self.client,
            arguments: None,
            labels: &labels,
            findings: &findings,
        };
        let action = Action::new(&self.server, self.kind, &self.name);
        let action = Action { annotations: self.annotations, ..action };
        let action = self.operation.map_or(action, |operation| action.with(operation));
        policy.recall(&self.caller.view(), &action, &context, self.forgotten)
    }
}

fn time(entry: &Entry) -> u64 {
    let time = entry.time.parse::<Timestamp>().map_or(0, |time| time.as_second());
    u64::try_from(time).unwrap_or_default()
}

/// The caller, and whether groups, roles or scopes may be missing.
fn caller(entry: &Entry, who: &str, known: &Known) -> (Caller, bool) {
    let (mut caller, forgotten) = match (known.people.get(who), known.tokens.get(who)) {
        (Some(person), _) => (person.clone(), false),
        (None, Some(roles)) => (Caller { roles: roles.clone(), ..Caller::default() }, false),
        (None, None) => (Caller::default(), !matches!(who, "owner" | "loopback")),
    };
    // A role's rule decided: the caller had the role.
    if let Some((role, _)) =
        entry.text("rule").strip_prefix("role ").and_then(|rest| rest.split_once(' '))
        && forgotten
    {
        caller.roles.push(role.to_owned());
    }
    caller.id = who.to_owned();
    caller.provider = entry.text("provider").to_owned();
    caller.client = entry.text("agent").to_owned();
    caller.acr = entry.text("acr").to_owned();
    caller.amr = entry.text("amr").split_whitespace().map(str::to_owned).collect();
    // `user:TENANT/OBJECT` has the tenant in it, `user:PROVIDER/SUBJECT` has not.
    let (first, subject) =
        who.split_once(':').and_then(|(_, rest)| rest.split_once('/')).unwrap_or_default();
    caller.subject = subject.to_owned();
    caller.tenant = match entry.text("tenant") {
        "" if first != caller.provider => first.to_owned(),
        tenant => tenant.to_owned(),
    };
    (caller, forgotten)
}
