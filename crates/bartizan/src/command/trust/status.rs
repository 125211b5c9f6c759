//! `trust status`: how the definitions stand that were seen.

use serde::Serialize;
use trust::State;

use super::{Desk, shown_name, state_of};
use crate::{cli::Output, outcome::Told, print};

pub async fn run(
    desk: &Desk<'_>,
    server: Option<&str>,
    all: bool,
    check: bool,
) -> anyhow::Result<()> {
    if let Some(server) = server {
        desk.server(server)?;
    }
    let chosen = |name: &str| server.is_none_or(|server| server == name);
    let (mut lines, mut approved) = (Vec::new(), 0);
    for entry in desk.config.servers.iter().filter(|entry| chosen(entry.name.as_str())) {
        for pin in desk.pins(entry).await? {
            let state = state_of(&pin);
            approved += usize::from(state == State::Approved);
            lines.push(Line {
                server: entry.name.to_string(),
                kind: pin.kind.clone(),
                name: pin.name.clone(),
                shown: shown_name(&pin),
                state: state.as_str(),
                digest: trust::Digest::from_bytes(pin.seen).to_string(),
                changed: time(pin.changed),
            });
        }
    }
    let waiting = lines.len() - approved;
    let rejected = lines.iter().filter(|line| line.state == State::Rejected.as_str()).count();
    let table = desk.global.output == Output::Table;
    if table && !all {
        lines.retain(|line| line.state != State::Approved.as_str());
    }
    let nothing = match approved {
        0 => "no definition was seen yet: a server is asked when somebody uses it, or by `bartizan trust approve NAME`".to_owned(),
        count => format!("all {count} definitions are approved"),
    };
    print::rows(desk.global.output, &lines, &nothing)?;
    if table && waiting > 0 {
        eprintln!(
            "{waiting} held back, {approved} approved. `bartizan trust diff SERVER` shows them."
        );
        if waiting > rejected {
            eprintln!("`bartizan trust approve SERVER` lets through what is new or changed.");
        }
        if rejected > 0 {
            eprintln!(
                "What was rejected is approved by its name alone: `bartizan trust approve SERVER NAME`."
            );
        }
    }
    if check && waiting > 0 { Err(Told::failure().into()) } else { Ok(()) }
}

#[derive(Serialize)]
struct Line {
    server: String,
    kind: String,
    name: String,
    #[serde(skip)]
    shown: String,
    state: &'static str,
    digest: String,
    changed: String,
}

impl print::Row for Line {
    const TITLES: &'static [&'static str] =
        &["SERVER", "KIND", "NAME", "STATE", "CHANGED", "DIGEST"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.server.clone(),
            self.kind.replace('_', " "),
            self.shown.clone(),
            self.state.to_owned(),
            self.changed.clone(),
            self.digest.chars().take(12).collect(),
        ]
    }
}

fn time(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default()
}
