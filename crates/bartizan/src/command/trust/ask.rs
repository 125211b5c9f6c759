//! Asking a server what it shows now, through a gateway, which holds it against what was approved.

use std::io::{self, BufRead, IsTerminal, Write};

use gateway::call::Scope;
use mcp::{JsonBuf, ServerName};

use super::{Desk, decide, state_of};
use crate::{client::ClientFault, gate::Gate, lock, outcome::Mistake, print};

/// What a server offers that is not pinned.
pub struct Asked {
    pub resources: Vec<JsonBuf>,
}

/// Has a gateway look at all that a server shows.
pub async fn ask(gate: &Gate, name: ServerName) -> anyhow::Result<Result<Asked, ClientFault>> {
    let mut client = gate.client(Scope::One(name)).await?;
    if let Err(fault) = client.list("tools/list", "tools").await {
        return Ok(Err(fault));
    }
    let mut resources = Vec::new();
    for (method, member) in [
        ("prompts/list", "prompts"),
        ("resources/templates/list", "resourceTemplates"),
        ("resources/list", "resources"),
    ] {
        match client.list(method, member).await {
            Ok((list, _)) => resources = list,
            // A server that has none need not know the method.
            Err(ClientFault::Refused { .. }) => resources = Vec::new(),
            Err(fault) => return Ok(Err(fault)),
        }
    }
    match client.introduction().await {
        Ok(()) | Err(ClientFault::Refused { .. }) => Ok(Ok(Asked { resources })),
        Err(fault) => Ok(Err(fault)),
    }
}

/// The same through the running gateway or one of our own. A server that does not answer is told, and
/// what is known of it serves.
pub async fn refresh(desk: &Desk<'_>, name: &ServerName) -> anyhow::Result<()> {
    if let Err(mistake) = lock::must_be_locked(&desk.loaded, name.as_str()) {
        eprintln!("warning: {mistake}: bartizan lock {name}; this is what it showed last");
        return Ok(());
    }
    let waiting = print::waiting(&format!("asking {name}"));
    let gate = match Gate::running(&desk.folder).await {
        Some(gate) => gate,
        None => Gate::own(&desk.loaded, &desk.folder).await?,
    };
    let asked = ask(&gate, name.clone()).await;
    gate.close().await;
    waiting.finish_and_clear();
    if let Err(fault) = asked? {
        let fault = print::tame(&fault.to_string());
        eprintln!("warning: {name} does not answer ({fault}); this is what it showed last");
    }
    Ok(())
}

/// After `add` has shown what a server offers: approved by whoever sits here, or left waiting.
pub async fn approve_offer(desk: &Desk<'_>, name: &str, yes: bool) -> anyhow::Result<usize> {
    let pins = desk.pins(desk.server(name)?).await?;
    let waiting: Vec<_> =
        pins.iter().filter(|pin| state_of(pin) != trust::State::Approved).collect();
    if waiting.is_empty() {
        return Ok(0);
    }
    let question = format!("Approve these {} definitions?", waiting.len());
    let agreed = yes || (present() && confirm(&question)?);
    if !agreed {
        eprintln!(
            "{} definitions wait: nobody sees or calls them until you run\n  bartizan trust approve {name}",
            waiting.len()
        );
        return Ok(waiting.len());
    }
    decide::all(desk, &waiting, store::Decision::Approve).await?;
    eprintln!("approved {} definitions of {name}; changes will be held back", waiting.len());
    Ok(0)
}

/// Whether somebody can be asked.
pub fn present() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks; no answer is a no.
pub fn confirm(question: &str) -> anyhow::Result<bool> {
    eprint!("{question} [y/N] ");
    io::stderr().flush()?;
    let mut line = String::new();
    if io::stdin().lock().read_line(&mut line)? == 0 {
        eprintln!();
    }
    Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// The same where somebody has to be there, or has said yes before.
pub fn must_confirm(question: &str, yes: bool) -> anyhow::Result<bool> {
    if yes {
        return Ok(true);
    }
    if !present() {
        return Err(Mistake::new(
            "there is no terminal to confirm at",
            "look at `bartizan trust diff`, and say --yes",
        )
        .into());
    }
    confirm(question)
}
