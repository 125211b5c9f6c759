//! What the running gateway offers, beside what the rules say: typing mistakes, and tools that nobody may use.

use gateway::call::Scope;
use mcp::Json;
use policy::{Action, Annotations, Kind, Policy};

use super::{lint::Finding, question, question::Caller};
use crate::{cli::Global, command::wait, config::Loaded, gate::Gate, state};

/// A tool or a prompt.
pub struct Offered {
    server: String,
    name: String,
    kind: Kind,
    annotations: Annotations,
}

/// What the running gateway shows its owner; nothing when none runs.
pub fn offered(global: &Global, loaded: &Loaded) -> anyhow::Result<Vec<Offered>> {
    let folder = state::folder(global.state_dir.clone())?;
    let separator = &loaded.file.separator.separator;
    wait(async {
        let Some(gate) = Gate::running(&folder).await else { return Ok(Vec::new()) };
        let mut client = gate.client(Scope::All).await?;
        let mut found = Vec::new();
        for (kind, method, member) in
            [(Kind::Tool, "tools/list", "tools"), (Kind::Prompt, "prompts/list", "prompts")]
        {
            for item in client.list(method, member).await?.0 {
                let annotations = Annotations::of(item.json());
                let joined = item.json().get("name").and_then(Json::string).unwrap_or_default();
                if let Some((server, name)) = separator.split(&joined) {
                    let (server, name) = (server.to_owned(), name.to_owned());
                    found.push(Offered { server, name, kind, annotations });
                }
            }
        }
        drop(client);
        gate.close().await;
        Ok(found)
    })
}

/// Tools that nobody but the owner may call, of servers of which others may use something.
pub fn unusable(
    offered: &[Offered],
    callers: &[(String, Caller)],
    policy: &Policy,
) -> Vec<Finding> {
    let may = |one: &Offered, caller: &Caller| {
        let action = Action::new(&one.server, one.kind, &one.name);
        let action = Action { annotations: one.annotations, ..action };
        policy.foresee(&caller.view(), &action, &question::now()).is_possible()
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
    };
    offered.iter().filter(|one| one.kind == Kind::Tool).filter(nobody).map(finding).collect()
}

/// Lines that name something of a server that it does not offer.
pub fn unmatched(offered: &[Offered], loaded: &Loaded) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (key, role) in &loaded.file.roles {
        let role = role.get_ref().resolve(&key.0);
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
                });
            }
        }
    }
    findings
}
