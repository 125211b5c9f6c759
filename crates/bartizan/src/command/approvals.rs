//! `approvals`: calls that wait for a person.

use gateway::call::Scope;
use mcp::{Json, quote};
use serde::Serialize;
use serde_json::Value;

use super::wait;
use crate::{
    cli::{ApprovalsCommand, Global, Output},
    client::{Client, ClientFault},
    gate::Gate,
    outcome::{Mistake, Told},
    print::{self, tame},
    state,
};

pub fn run(global: &Global, command: ApprovalsCommand) -> anyhow::Result<()> {
    wait(async {
        let folder = state::folder(global.state_dir.clone())?;
        let gate = Gate::running(&folder).await.ok_or_else(|| {
            Mistake::new("no gateway runs on this state folder", "start one: bartizan up")
        })?;
        let mut client = gate.client(Scope::All).await?;
        match command {
            ApprovalsCommand::List { all } => list(global, &mut client, all).await,
            ApprovalsCommand::Show { id } => show(global, &mut client, &id).await,
            ApprovalsCommand::Approve { id } => decide(global, &mut client, &id, true).await,
            ApprovalsCommand::Deny { id } => decide(global, &mut client, &id, false).await,
            ApprovalsCommand::Watch => watch(global, &mut client).await,
        }
    })
}

async fn fetch(client: &mut Client, after: Option<i64>) -> anyhow::Result<(i64, Vec<Row>)> {
    let members = after.map(|after| format!("\"after\":{after}")).unwrap_or_default();
    let result = client.ask("dev.bartizan/approvals/list", &members).await.map_err(told)?;
    let count = result.json().get("count").and_then(Json::integer).unwrap_or_default();
    let found = result.json().get("approvals").unwrap_or(Json::EMPTY);
    Ok((count, found.items().map(row).collect::<Result<_, _>>()?))
}

async fn list(global: &Global, client: &mut Client, all: bool) -> anyhow::Result<()> {
    let (_, mut rows) = fetch(client, None).await?;
    rows.retain(|row| all || row.state == "pending");
    print::rows(global.output, &rows, "nothing waits for an approval")
}

async fn show(global: &Global, client: &mut Client, id: &str) -> anyhow::Result<()> {
    let (_, rows) = fetch(client, None).await?;
    let row = one(rows, id)?;
    match global.output {
        Output::Json => print::json(&row),
        Output::Table => print::line(&row.sheet()),
    }
}

async fn decide(
    global: &Global,
    client: &mut Client,
    id: &str,
    approve: bool,
) -> anyhow::Result<()> {
    let (_, rows) = fetch(client, None).await?;
    let id = one(rows, id)?.id;
    let members = format!("\"id\":{},\"approve\":{approve}", quote(&id));
    let result = client.ask("dev.bartizan/approvals/decide", &members).await.map_err(told)?;
    let row = row(result.json())?;
    match global.output {
        Output::Json => print::json(&row),
        Output::Table => print::line(&format!("{} {}", row.id, row.state)),
    }
}

async fn watch(global: &Global, client: &mut Client) -> anyhow::Result<()> {
    let (mut count, mut seen) = (None, std::collections::HashSet::new());
    loop {
        let (now, rows) = fetch(client, count).await?;
        count = Some(now);
        for row in rows.iter().rev().filter(|row| row.state == "pending") {
            if seen.insert(row.id.clone()) {
                match global.output {
                    Output::Json => print::line(&serde_json::to_string(row)?)?,
                    Output::Table => print::line(&format!("{}\n", row.sheet()))?,
                }
            }
        }
    }
}

/// By its id, or by the beginning of it if that is clear.
fn one(rows: Vec<Row>, id: &str) -> Result<Row, Mistake> {
    let mut found = rows.into_iter().filter(|row| row.id.starts_with(id));
    match (found.next(), found.next()) {
        (Some(row), None) => Ok(row),
        (Some(_), Some(_)) => {
            Err(Mistake::new(format!("several begin with {id}"), "write more of it"))
        }
        (None, _) => Err(Mistake::new(
            format!("there is no request {id}"),
            "`bartizan approvals list --all` shows the last ones",
        )),
    }
}

fn told(fault: ClientFault) -> anyhow::Error {
    match fault {
        ClientFault::Refused { message, .. } if message.contains("asked for themselves") => {
            eprintln!("error: {}", tame(&message));
            eprintln!(
                "  = help: another approver, or [approvals] own = true, which lets callers approve what they asked for (docs/policy.md)"
            );
            Told::failure().into()
        }
        ClientFault::Refused { message, .. } => anyhow::anyhow!("{}", tame(&message)),
        fault => fault.into(),
    }
}

#[derive(Serialize)]
struct Row {
    id: String,
    state: String,
    by: Vec<String>,
    created: i64,
    expires: i64,
    request: Value,
}

fn row(json: Json<'_>) -> anyhow::Result<Row> {
    let value: Value = serde_json::from_str(json.text())?;
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    Ok(Row {
        id: text("id"),
        state: text("state"),
        by: value["by"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(Into::into)
            .collect(),
        created: value["created"].as_i64().unwrap_or_default(),
        expires: value["expires"].as_i64().unwrap_or_default(),
        request: value["request"].clone(),
    })
}

impl Row {
    fn of(&self, name: &str) -> String {
        tame(self.request[name].as_str().unwrap_or_default()).replace('\n', " ")
    }

    /// All that an approver must see.
    fn sheet(&self) -> String {
        let time = |seconds| {
            jiff::Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default()
        };
        let pretty = |name| serde_json::to_string_pretty(&self.request[name]).unwrap_or_default();
        let arguments = pretty("arguments");
        let rest = |name| match self.request[name] {
            Value::Null => String::new(),
            _ => format!("\n{name:<10} {}", tame(&pretty(name))),
        };
        format!(
            "request    {}\nstate      {} {}\ncaller     {} (client {})\nserver     {}\n{:<10} {}\ndefinition {}\nrule       {}\nreason     {}\nasked      {}\nexpires    {}\narguments  {}{}{}",
            self.id,
            self.state,
            self.by.join(", "),
            self.of("principal"),
            self.of("client"),
            self.of("server"),
            self.of("method"),
            self.of("name"),
            self.of("definition"),
            self.of("rule"),
            self.of("reason"),
            time(self.created),
            time(self.expires),
            tame(&arguments),
            rest("more"),
            rest("result"),
        )
    }
}

impl print::Row for Row {
    const TITLES: &'static [&'static str] = &["ID", "STATE", "CALLER", "SERVER", "NAME", "RULE"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.clone(),
            self.state.clone(),
            self.of("principal"),
            self.of("server"),
            self.of("name"),
            self.of("rule"),
        ]
    }
}
