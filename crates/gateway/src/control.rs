//! What the owner asks of the running gateway through its socket: which processes there are, what they said,
//! and that they start anew.

use serde_json::{Value, json};

use crate::{Gateway, Served, config::Reach, leak};

/// A request, as it stands in the socket's first line: `fault`, `ps`, `metrics`, `logs NAME` or `restart NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// Why nothing can be recorded any more, and every call is refused.
    Fault,
    /// What a server's processes wrote to standard error last.
    Logs(String),
    /// All metrics.
    Metrics,
    /// The local servers and their processes.
    Ps,
    /// Ends a server's processes; the next call starts it anew.
    Restart(String),
}

impl Control {
    /// The words of a request.
    pub fn words(&self) -> String {
        match self {
            Control::Fault => "fault".to_owned(),
            Control::Logs(name) => format!("logs {name}"),
            Control::Metrics => "metrics".to_owned(),
            Control::Ps => "ps".to_owned(),
            Control::Restart(name) => format!("restart {name}"),
        }
    }

    pub(crate) fn parse(words: &str) -> Option<Control> {
        match words.split(' ').collect::<Vec<_>>().as_slice() {
            ["logs", name] => Some(Control::Logs((*name).to_owned())),
            ["fault"] => Some(Control::Fault),
            ["metrics"] => Some(Control::Metrics),
            ["ps"] => Some(Control::Ps),
            ["restart", name] => Some(Control::Restart((*name).to_owned())),
            _ => None,
        }
    }
}

/// The answer, JSON on one line; `null` where there is no such local server.
pub(crate) async fn answer(gateway: &Gateway, request: &Control) -> String {
    let local = |name: &String| {
        gateway.served(name).filter(|served| matches!(served.entry.reach, Reach::Stdio { .. }))
    };
    let answer: Value = match request {
        Control::Ps => {
            let current = gateway.current();
            current.servers.values().flat_map(|served| rows(served)).collect()
        }
        Control::Fault => gateway.journal.fault().map(|fault| fault.to_string()).into(),
        Control::Logs(name) => match local(name) {
            Some(served) => json!({"server": name, "stderr": cleaned(&served)}),
            None => Value::Null,
        },
        Control::Metrics => Value::String(gateway.exposition().await),
        Control::Restart(name) => match local(name) {
            Some(served) => {
                let ended = served.link().processes().len();
                served.link().restart().await;
                note_restart(gateway, name).await;
                json!({"server": name, "ended": ended})
            }
            None => Value::Null,
        },
    };
    answer.to_string()
}

/// One row for each process of a local server, or one that says why there is none.
fn rows(served: &Served) -> Vec<Value> {
    let Reach::Stdio { command, sandbox, .. } = &served.entry.reach else { return Vec::new() };
    let status = served.link().status();
    let command = |mut row: Value| {
        row["server"] = json!(served.name().as_str());
        row["level"] = json!(sandbox.level.as_str());
        row["command"] = json!(command);
        row
    };
    let row = |process: Option<&upstream::Process>| {
        let state = match (process, status.paused) {
            (Some(_), _) => "running".to_owned(),
            (None, Some(pause)) => format!("crashed, next start in {} s", pause.as_secs() + 1),
            (None, None) => "not started".to_owned(),
        };
        command(json!({
            "state": state,
            "pid": process.and_then(|process| process.pid),
            "for": process.map(|process| process.partition.0.to_string()),
            "lived_seconds": process.map(|process| process.lived.as_secs()),
            "idle_seconds": process.map(|process| process.idle.as_secs()),
            "crashes": status.restarts,
            "last_fault": status.last_fault.as_ref().map(ToString::to_string),
        }))
    };
    let waits = |(pid, waited): (Option<u32>, std::time::Duration)| {
        command(json!({
            "state": "waiting",
            "pid": pid,
            "for": null,
            "lived_seconds": waited.as_secs(),
            "idle_seconds": waited.as_secs(),
            "crashes": status.restarts,
            "last_fault": null,
        }))
    };
    let mut rows: Vec<Value> = served.link().waiting().into_iter().map(waits).collect();
    rows.extend(served.link().processes().iter().map(|process| row(Some(process))));
    if rows.is_empty() {
        rows.push(row(None));
    }
    rows
}

/// What the processes said, without the secrets that are known.
fn cleaned(served: &Served) -> String {
    leak::filter().mask_str(&served.link().status().stderr).into_owned()
}

async fn note_restart(gateway: &Gateway, server: &str) {
    let note = audit::Record {
        kind: audit::Kind::Spawn,
        principal: "owner",
        server,
        detail: "its processes were ended by the owner",
        ..audit::Record::default()
    };
    // What was asked for is done; a log that fails refuses the calls that follow.
    if let Err(fault) = gateway.append(&note).await {
        tracing::error!(%fault, "a restart could not be recorded");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_its_words() {
        let requests = [
            Control::Fault,
            Control::Ps,
            Control::Metrics,
            Control::Logs("files".to_owned()),
            Control::Restart("files".to_owned()),
        ];
        for request in requests {
            assert_eq!(Control::parse(&request.words()), Some(request));
        }
        for wrong in ["", "ps all", "logs", "restart", "stop a", "logs a b"] {
            assert_eq!(Control::parse(wrong), None, "{wrong}");
        }
    }
}
