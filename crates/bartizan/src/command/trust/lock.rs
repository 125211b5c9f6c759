//! `trust lock` and `trust verify`.

use std::path::{Path, PathBuf};

use serde_json::json;
use toml_edit::DocumentMut;
use trust::{Lock, Locked, LockedServer, State};

use super::{Desk, ask, decide::decider, now, state_of};
use crate::{
    cli::Output,
    config::edit,
    lock::FILE_NAME as NAME,
    outcome::{Mistake, Told},
    print,
};

fn path(desk: &Desk<'_>, named: Option<PathBuf>) -> PathBuf {
    named.unwrap_or_else(|| desk.loaded.folder().join(NAME))
}

/// Writes how things stand, or compares with what was written.
pub async fn run(desk: &Desk<'_>, file: Option<PathBuf>, check: bool) -> anyhow::Result<()> {
    let path = path(desk, file);
    let standing = standing(desk).await?;
    if check {
        let locked = read(&path)?;
        return report(desk, locked.drift(&standing));
    }
    edit::write(&path, &merged(&path, &standing.write()?)?)?;
    let count: usize = standing.servers.values().map(|server| server.definitions.len()).sum();
    if desk.global.output == Output::Json {
        return print::json(&json!({"file": path, "definitions": count}));
    }
    print::line(&format!("locked {count} definitions in {}", path.display()))
}

/// Our part of the file, in its place among what else is there.
fn merged(path: &Path, ours: &str) -> anyhow::Result<String> {
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(ours.to_owned()) };
    let mut document: DocumentMut = text.parse()?;
    let ours: DocumentMut = ours.parse()?;
    for key in ["version", "servers"] {
        match ours.get(key) {
            Some(item) => drop(document.insert(key, item.clone())),
            None => drop(document.remove(key)),
        }
    }
    Ok(document.to_string())
}

/// Asks every server, and holds what it shows now against the lockfile.
pub async fn verify(desk: &Desk<'_>, file: Option<PathBuf>) -> anyhow::Result<()> {
    let locked = read(&path(desk, file))?;
    for server in &desk.config.servers {
        ask::refresh(desk, &server.name).await?;
    }
    let mut drift = locked.drift(&standing(desk).await?);
    for (server, entry) in
        locked.servers.iter().flat_map(|(name, of)| of.definitions.iter().map(move |e| (name, e)))
    {
        let (Some(digest), Ok(kind)) = (entry.digest(), entry.kind.parse()) else { continue };
        for jws in &entry.signatures {
            if let Err(fault) = trust::verify(jws, kind, &digest, &desk.config.trust.keys, now()) {
                drift.push(format!(
                    "{server}: a signature of {} does not count: {fault}",
                    entry.name
                ));
            }
        }
    }
    report(desk, drift)
}

/// Takes approvals over from a lockfile that somebody reviewed: of exactly these digests, once the servers show
/// them.
pub async fn adopt(desk: &Desk<'_>, file: Option<PathBuf>, yes: bool) -> anyhow::Result<()> {
    let locked = read(&path(desk, file))?;
    for server in &desk.config.servers {
        ask::refresh(desk, &server.name).await?;
    }
    let (mut chosen, mut left) = (Vec::new(), 0);
    for server in &desk.config.servers {
        let Some(known) = locked.servers.get(server.name.as_str()) else { continue };
        for pin in desk.pins(server).await? {
            let entry = known.definitions.iter().find(|e| e.kind == pin.kind && e.name == pin.name);
            let same = entry.is_some_and(|entry| {
                known.identity == pin.identity
                    && entry.state() == Some(State::Approved)
                    && entry.digest().is_some_and(|digest| *digest.as_bytes() == pin.seen)
            });
            // They say what they say wherever they are kept: it is the pinned keys that make them count.
            for jws in entry.filter(|_| same).into_iter().flat_map(|entry| &entry.signatures) {
                desk.store.signature_keep(&pin.kind, &pin.seen, jws).await?;
            }
            match (same, state_of(&pin)) {
                (_, State::Approved) => {}
                (true, State::New | State::Changed) => chosen.push(pin),
                _ => left += 1,
            }
        }
    }
    let question = format!("Approve {} definitions as the lockfile has them?", chosen.len());
    if !chosen.is_empty() && !ask::must_confirm(&question, yes)? {
        return print::line("nothing was approved");
    }
    let by = format!("{} by {NAME}", decider());
    for pin in &chosen {
        desk.store.pin_decide(pin, store::Decision::Approve, &by, now()).await?;
    }
    if desk.global.output == Output::Json {
        return print::json(&json!({"approved": chosen.len(), "held_back": left}));
    }
    print::line(&format!("approved {} definitions; {left} are still held back", chosen.len()))
}

fn read(path: &Path) -> anyhow::Result<Lock> {
    let text = std::fs::read_to_string(path).map_err(|fault| {
        Mistake::new(format!("{}: {fault}", path.display()), "`bartizan trust lock` writes one")
    })?;
    Ok(Lock::read(&text).map_err(|fault| {
        Mistake::new(format!("{}: {fault}", path.display()), "take it from version control again")
    })?)
}

async fn standing(desk: &Desk<'_>) -> anyhow::Result<Lock> {
    let mut lock = Lock { version: trust::LOCK_VERSION, ..Lock::default() };
    for server in &desk.config.servers {
        let mut definitions = Vec::new();
        for pin in desk.pins(server).await? {
            let decisions = desk.store.decisions(&pin.identity, &pin.kind, &pin.name).await?;
            definitions.push(Locked {
                digest: format!("sha256:{}", trust::Digest::from_bytes(pin.seen)),
                state: state_of(&pin).as_str().to_owned(),
                by: decisions.into_iter().next_back().map(|decided| decided.decider),
                signatures: desk.store.signatures(&pin.kind, &pin.seen).await?,
                kind: pin.kind,
                name: pin.name,
            });
        }
        let identity = gateway::identity(&server.reach);
        let locked = LockedServer { identity, definitions };
        lock.servers.insert(server.name.to_string(), locked);
    }
    Ok(lock)
}

fn report(desk: &Desk<'_>, drift: Vec<String>) -> anyhow::Result<()> {
    if desk.global.output == Output::Json {
        print::json(&json!({"ok": drift.is_empty(), "drift": drift}))?;
    } else if drift.is_empty() {
        print::line("all is as it was locked")?;
    } else {
        print::line(&drift.iter().map(|line| trust::visible(line)).collect::<Vec<_>>().join("\n"))?;
    }
    if drift.is_empty() { Ok(()) } else { Err(Told::failure().into()) }
}
