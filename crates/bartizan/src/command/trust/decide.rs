//! `trust approve`, `reject` and `revoke`.

use serde_json::json;
use store::{Decision, Pin};
use trust::State;

use super::{Desk, ask, diff, now, shown_name, state_of};
use crate::{cli::Output, config::fault::nearest, lock, outcome::Mistake, print};

/// Shows what waits, and approves it.
pub async fn approve(
    desk: &Desk<'_>,
    server: &str,
    names: &[String],
    yes: bool,
) -> anyhow::Result<()> {
    let entry = desk.server(server)?;
    lock::must_be_locked(&desk.loaded, server)?;
    ask::refresh(desk, &entry.name).await?;
    let pins = desk.pins(entry).await?;
    let waiting = match names {
        // What a person spoke against is approved by its name alone.
        [] => pins
            .iter()
            .filter(|pin| matches!(state_of(pin), State::New | State::Changed))
            .collect::<Vec<_>>(),
        names => named(server, &pins, names)?
            .into_iter()
            .filter(|pin| state_of(pin) != State::Approved)
            .collect(),
    };
    let table = desk.global.output == Output::Table;
    if waiting.is_empty() {
        if !table {
            return print::json(&json!({"server": server, "decision": "approve", "names": []}));
        }
        return print::line(&format!("nothing of {server} waits for approval"));
    }
    if table {
        diff::show(desk, entry, &waiting).await?;
        let question = match waiting.len() {
            1 => format!("Approve this definition of {server}?"),
            count => format!("Approve these {count} definitions of {server}?"),
        };
        if !ask::must_confirm(&question, yes)? {
            return print::line("nothing was approved");
        }
    } else {
        ask::must_confirm("", yes)?;
    }
    all(desk, &waiting, Decision::Approve).await?;
    report(desk, server, &waiting, Decision::Approve)
}

/// Rejects what is shown, or takes approvals back.
pub async fn against(
    desk: &Desk<'_>,
    server: &str,
    names: &[String],
    decision: Decision,
) -> anyhow::Result<()> {
    let pins = desk.pins(desk.server(server)?).await?;
    let chosen = match names {
        [] => pins.iter().collect(),
        names => named(server, &pins, names)?,
    };
    all(desk, &chosen, decision).await?;
    report(desk, server, &chosen, decision)
}

/// Decides about each; one that changed since it was shown is not touched.
pub async fn all(desk: &Desk<'_>, pins: &[&Pin], decision: Decision) -> anyhow::Result<()> {
    let decider = decider();
    let mut moved = Vec::new();
    for pin in pins {
        if !desk.store.pin_decide(pin, decision, &decider, now()).await? {
            moved.push(shown_name(pin));
        }
    }
    if !moved.is_empty() {
        anyhow::bail!("{} changed meanwhile: look again, and decide again", moved.join(", "));
    }
    Ok(())
}

fn report(desk: &Desk<'_>, server: &str, pins: &[&Pin], decision: Decision) -> anyhow::Result<()> {
    let names: Vec<_> = pins.iter().map(|pin| pin.name.as_str()).collect();
    if desk.global.output == Output::Json {
        let decision = decision.as_str();
        return print::json(&json!({"server": server, "decision": decision, "names": names}));
    }
    let done = match decision {
        Decision::Approve => "approved",
        Decision::Reject => "rejected",
        Decision::Revoke => "revoked",
    };
    let what = if names.len() == 1 { "definition" } else { "definitions" };
    print::line(&format!(
        "{done} {} {what} of {server}; a running gateway takes it up within a second",
        names.len()
    ))
}

/// Those of these names, all kinds.
pub fn named<'p>(server: &str, pins: &'p [Pin], names: &[String]) -> Result<Vec<&'p Pin>, Mistake> {
    if let Some(unknown) = names.iter().find(|name| pins.iter().all(|pin| pin.name != **name)) {
        let known = pins.iter().map(|pin| pin.name.as_str());
        let mend = match nearest(unknown, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("`bartizan trust status {server} --all` shows what is known"),
        };
        return Err(Mistake::new(format!("{server} has shown no `{unknown}`"), mend));
    }
    Ok(pins.iter().filter(|pin| names.contains(&pin.name)).collect())
}

/// Whoever runs this command, as the system calls them.
pub fn decider() -> String {
    let name = ["USER", "LOGNAME"].into_iter().find_map(|key| std::env::var(key).ok());
    match name.filter(|name| !name.is_empty()) {
        Some(name) => format!("user:{name}"),
        None => "owner".to_owned(),
    }
}
