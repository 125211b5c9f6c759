//! `ps`, `logs` and `restart`: the processes of local servers, through the running gateway.

use gateway::Control;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{known_server, load, wait};
use crate::{
    cli::{Global, Output},
    outcome::Mistake,
    print::{self, tame},
    state,
};

#[derive(Serialize, Deserialize)]
struct Line {
    server: String,
    state: String,
    pid: Option<u32>,
    #[serde(rename = "for")]
    principal: Option<String>,
    level: String,
    lived_seconds: Option<u64>,
    idle_seconds: Option<u64>,
    crashes: u64,
    last_fault: Option<String>,
    command: String,
}

impl print::Row for Line {
    const TITLES: &'static [&'static str] =
        &["SERVER", "STATE", "PID", "FOR", "SANDBOX", "LIVED", "IDLE", "CRASHES", "LAST FAULT"];

    fn cells(&self) -> Vec<String> {
        let seconds = |seconds: Option<u64>| seconds.map_or("-".to_owned(), |s| format!("{s} s"));
        let text = |text: &Option<String>| text.as_deref().map_or("-".to_owned(), tame);
        vec![
            self.server.clone(),
            self.state.clone(),
            self.pid.map_or("-".to_owned(), |pid| pid.to_string()),
            text(&self.principal),
            self.level.clone(),
            seconds(self.lived_seconds),
            seconds(self.idle_seconds),
            self.crashes.to_string(),
            text(&self.last_fault),
        ]
    }
}

pub fn ps(global: &Global) -> anyhow::Result<()> {
    let lines: Vec<Line> = serde_json::from_value(ask(global, Control::Ps)?)?;
    print::rows(global.output, &lines, "no servers are started here")
}

pub fn logs(global: &Global, server: &str) -> anyhow::Result<()> {
    let answer = of(global, server, Control::Logs(server.to_owned()))?;
    match global.output {
        Output::Json => print::json(&answer),
        Output::Table => print::text(&tame(answer["stderr"].as_str().unwrap_or_default())),
    }
}

pub fn restart(global: &Global, server: &str) -> anyhow::Result<()> {
    let answer = of(global, server, Control::Restart(server.to_owned()))?;
    match global.output {
        Output::Json => print::json(&answer),
        Output::Table => print::line(&format!(
            "ended {} of {server}; the next call starts it anew",
            match answer["ended"].as_u64().unwrap_or_default() {
                1 => "1 process".to_owned(),
                count => format!("{count} processes"),
            }
        )),
    }
}

/// An answer about one server, which there must be.
fn of(global: &Global, server: &str, request: Control) -> anyhow::Result<Value> {
    let answer = ask(global, request)?;
    if answer.is_null() {
        known_server(&load(global)?, server)?;
        return Err(Mistake::new(
            format!("`{server}` is not started here"),
            "only servers with a command have processes",
        )
        .into());
    }
    Ok(answer)
}

#[cfg(unix)]
pub(super) fn ask(global: &Global, request: Control) -> anyhow::Result<Value> {
    let folder = state::folder(global.state_dir.clone())?;
    let answer = wait(async { Ok(gateway::door::control(&folder, &request).await) })?;
    let none = || Mistake::new("no gateway is running here", "start one with: bartizan up");
    Ok(serde_json::from_str(&answer.ok_or_else(none)??)?)
}

#[cfg(not(unix))]
pub(super) fn ask(_: &Global, _: Control) -> anyhow::Result<Value> {
    anyhow::bail!("the running gateway can't be reached on this system")
}
