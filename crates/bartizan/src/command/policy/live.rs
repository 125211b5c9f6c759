//! What servers offer, beside what the rules say: typing mistakes, and tools that nobody may use.

use std::path::Path;

use gateway::call::Scope;
use mcp::{Json, JsonBuf};
use policy::{Action, Annotations, Kind, Policy};
use store::Store;

use super::{lint::Finding, question, question::Caller};
use crate::{
    cli::Global,
    command::wait,
    config::{Loaded, resolve::resolve},
    gate::Gate,
    state,
};

/// A tool or a prompt.
pub struct Offered {
    pub server: String,
    pub name: String,
    pub kind: Kind,
    annotations: Annotations,
    definition: JsonBuf,
}

impl Offered {
    fn new(server: &str, name: &str, kind: Kind, definition: JsonBuf) -> Offered {
        let annotations = Annotations::of(definition.json());
        Offered { server: server.to_owned(), name: name.to_owned(), kind, annotations, definition }
    }

    fn action(&self) -> Action<'_> {
        let action = Action::new(&self.server, self.kind, &self.name);
        Action { annotations: self.annotations, ..action }
    }

    /// As policy holds conditions against it.
    pub fn offered(&self) -> policy::Offered<'_> {
        policy::Offered { action: self.action(), definition: self.definition.json() }
    }
}

/// What the running gateway shows its owner; when none runs, the definitions that are approved.
pub fn offered(global: &Global, loaded: &Loaded) -> anyhow::Result<Vec<Offered>> {
    let folder = state::folder(global.state_dir.clone())?;
    wait(async {
        match Gate::running(&folder).await {
            Some(gate) => listed(gate, loaded).await,
            None => approved(&folder, loaded).await,
        }
    })
}

async fn listed(gate: Gate, loaded: &Loaded) -> anyhow::Result<Vec<Offered>> {
    let separator = &loaded.file.separator.separator;
    let mut client = gate.client(Scope::All).await?;
    let mut found = Vec::new();
    for (kind, method, member) in
        [(Kind::Tool, "tools/list", "tools"), (Kind::Prompt, "prompts/list", "prompts")]
    {
        for item in client.list(method, member).await?.0 {
            let joined = item.json().get("name").and_then(Json::string).unwrap_or_default();
            if let Some((server, name)) = separator.split(&joined) {
                found.push(Offered::new(server, name, kind, item.clone()));
            }
        }
    }
    drop(client);
    gate.close().await;
    Ok(found)
}

/// The definitions that are approved.
pub async fn approved(folder: &Path, loaded: &Loaded) -> anyhow::Result<Vec<Offered>> {
    let resolved = resolve(loaded, folder)?;
    if !resolved.store.exists() {
        return Ok(Vec::new());
    }
    let store = Store::open(&resolved.store).await?;
    let mut found = Vec::new();
    for server in &resolved.servers {
        let identity = gateway::identity(&server.reach);
        for pin in store.pins(&identity).await? {
            let kind = match pin.kind.as_str() {
                "tool" => Kind::Tool,
                "prompt" => Kind::Prompt,
                _ => continue,
            };
            let texts = store.pin_texts(&identity, &pin.kind, &pin.name).await?;
            let text = texts.filter(|_| pin.approved.is_some()).and_then(|texts| texts.approved);
            let read =
                text.and_then(|text| JsonBuf::read(text.into(), &mcp::Limits::default()).ok());
            if let Some(definition) = read {
                found.push(Offered::new(server.name.as_str(), &pin.name, kind, definition));
            }
        }
    }
    store.close().await;
    Ok(found)
}

/// Tools that nobody but the owner may call, of servers of which others may use something.
pub fn unusable(
    offered: &[Offered],
    callers: &[(String, Caller)],
    policy: &Policy,
) -> Vec<Finding> {
    let may = |one: &Offered, caller: &Caller| {
        policy.foresee(&caller.view(), &one.action(), &question::now()).is_possible()
    };
    let others = || callers.iter().filter(|(who, _)| who != "owner").map(|(_, caller)| caller);
    let nobody = |one: &&Offered| {
        others().any(|caller| policy.may_touch(&caller.view(), &one.server))
            && !others().any(|caller| may(one, caller))
    };
    let finding = |one: &Offered| Finding {
        finding: "nobody",
        rule: format!("tool {}/{}", one.server, one.name),
        detail: "only the owner may use it".to_owned(),
        place: None,
    };
    offered.iter().filter(|one| one.kind == Kind::Tool).filter(nobody).map(finding).collect()
}

/// Lines that name something of a server that it does not offer.
pub fn unmatched(offered: &[Offered], loaded: &Loaded) -> Vec<Finding> {
    let mut findings = Vec::new();
    for role in loaded.roles() {
        let lines = [("allow", &role.allow), ("ask", &role.ask), ("deny", &role.deny)];
        for (effect, pattern) in lines
            .into_iter()
            .flat_map(|(effect, rules)| rules.iter().map(move |r| (effect, &r.pattern)))
        {
            let text = pattern.to_string();
            // Resources are not listed whole, and a method is an extension's.
            let named = text.trim_start_matches("tool:").trim_start_matches("prompt:");
            let Some((server, name)) = named.split_once('/') else { continue };
            let is_known = offered.iter().any(|one| one.server == server);
            let met = |one: &Offered| pattern.matches(&one.server, one.kind, &one.name);
            if is_known && !name.contains(':') && name != "*" && !offered.iter().any(met) {
                findings.push(Finding {
                    finding: "unmatched",
                    rule: format!("role {} {effect} {text}", role.name),
                    detail: format!("{server} offers no tool or prompt of that name"),
                    place: None,
                });
            }
        }
    }
    findings
}
