//! What another policy would have said to what was asked.

use std::{collections::BTreeMap, path::Path};

use audit::{Entry, Filter, Kind as Record, Outcome};
use jiff::Timestamp;
use policy::{Action, Context, Kind, Operation};
use serde::Serialize;
use serde_json::Value;

use super::{
    of,
    question::{self, Caller},
};
use crate::{cli::Global, config, print, state};

#[derive(Serialize)]
struct Change {
    times: usize,
    who: String,
    what: String,
    then: &'static str,
    now: &'static str,
    rule: String,
}

impl print::Row for Change {
    const TITLES: &'static [&'static str] = &["TIMES", "WHO", "WHAT", "THEN", "NOW", "RULE"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.times.to_string(),
            print::tame(&self.who),
            print::tame(&self.what),
            self.then.to_owned(),
            self.now.to_owned(),
            self.rule.clone(),
        ]
    }
}

/// `new`: a configuration whose roles and policies are asked. The log holds who called and what, not
/// their groups nor the arguments: a token's roles are looked up, and conditions on a call count as met.
pub fn run(
    global: &Global,
    from: Option<Timestamp>,
    new: &Path,
    journal: Option<std::path::PathBuf>,
) -> anyhow::Result<()> {
    let loaded = config::read(new)?;
    let policy = of(&loaded)?;
    let folder = state::folder(global.state_dir.clone())?;
    let journals = journal.map_or_else(|| state::journals(&folder), |journal| vec![journal]);
    let mut roles: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut changes: BTreeMap<(String, String, bool), Change> = BTreeMap::new();
    let (mut asked, mut changed) = (0_usize, 0_usize);
    for journal in journals {
        let filter = Filter { since: from, ..Filter::default() };
        for entry in audit::search(&journal, filter)? {
            let entry = entry?;
            let Some(request) = Request::of(&entry) else { continue };
            asked += 1;
            let known = match roles.get(&request.who) {
                Some(known) => known.clone(),
                None => {
                    let token = request.who.strip_prefix("token:");
                    let found =
                        token.map(|name| question::token_roles(global, name)).transpose()?;
                    roles.entry(request.who.clone()).or_insert(found.unwrap_or_default()).clone()
                }
            };
            let caller = Caller { id: request.who.clone(), roles: known, ..Caller::default() };
            let time = entry.time.parse::<Timestamp>().map_or(0, |time| time.as_second());
            let context =
                Context { time: u64::try_from(time).unwrap_or_default(), ..Context::default() };
            let action = Action::new(&request.server, request.kind, &request.name);
            let action = request.operation.map_or(action, |operation| action.with(operation));
            let decision = policy.foresee(&caller.view(), &action, &context);
            if decision.is_possible() == request.allowed {
                continue;
            }
            changed += 1;
            let what = format!("{}/{}", request.server, request.name);
            let key = (request.who.clone(), what.clone(), request.allowed);
            changes
                .entry(key)
                .or_insert(Change {
                    times: 0,
                    who: request.who,
                    what,
                    then: if request.allowed { "permit" } else { "deny" },
                    now: decision.as_str(),
                    rule: decision.rule().to_owned(),
                })
                .times += 1;
        }
    }
    let rows: Vec<Change> = changes.into_values().collect();
    print::rows(global.output, &rows, "nothing would change")?;
    eprintln!("{changed} of {asked} requests would be decided otherwise");
    Ok(())
}

/// A request that policy decided, as the log has it.
struct Request {
    who: String,
    server: String,
    name: String,
    kind: Kind,
    operation: Option<Operation>,
    allowed: bool,
}

impl Request {
    fn of(entry: &Entry) -> Option<Request> {
        let text = |member: &str| entry.rest.get(member).and_then(Value::as_str);
        let allowed = match entry.kind {
            Record::Outcome => entry.outcome != Some(Outcome::Refused),
            // Refused for another reason says nothing about policy.
            Record::Refusal => match text("refusal")? {
                "denied" | "unknown-prompt" | "unknown-resource" | "unknown-tool" => false,
                _ => return None,
            },
            _ => return None,
        };
        let (kind, operation) = match text("method")? {
            "tools/call" => (Kind::Tool, None),
            "prompts/get" => (Kind::Prompt, None),
            "resources/read" => (Kind::Resource, None),
            "tasks/get" => (Kind::Tool, Some(Operation::TaskGet)),
            _ => return None,
        };
        Some(Request {
            who: text("principal")?.to_owned(),
            server: text("server").filter(|server| !server.is_empty())?.to_owned(),
            name: text("name")?.to_owned(),
            kind,
            operation,
            allowed,
        })
    }
}
