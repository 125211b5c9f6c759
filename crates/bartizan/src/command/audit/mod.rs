//! `audit`: the record of calls, read back, counted, written out, verified.

mod export;
mod open;
mod receipt;
mod records;
mod stats;
mod verify;

use std::path::PathBuf;

use ::audit::VerifierKey;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;

use crate::{
    cli::{Global, Output, audit::AuditCommand},
    outcome::Mistake,
    print, state,
};

pub fn run(global: &Global, command: AuditCommand) -> anyhow::Result<()> {
    match command {
        AuditCommand::Check { file, key } => receipt::check(global, &file, key.as_deref()),
        AuditCommand::Export { format, filters, to, dir } => {
            export::run(global, format, filters, to, dir)
        }
        AuditCommand::Forget { who, dir } => forget(global, &who, dir),
        AuditCommand::Open { seq, identity, sealed: _, dir } => {
            open::run(global, seq, identity.as_deref(), dir)
        }
        AuditCommand::Prove { seq, dir } => receipt::prove(global, &seq, dir),
        AuditCommand::Search(args) => records::search(global, args),
        AuditCommand::Show { what, dir } => records::show(global, &what, dir),
        AuditCommand::Stats { filters, top } => stats::run(global, filters, top),
        AuditCommand::Tail { lines, follow, only } => records::tail(global, lines, follow, only),
        AuditCommand::Verify { dir, key, checkpoints, witnesses } => {
            verify::run(global, dir, key.as_deref(), &checkpoints, &witnesses)
        }
    }
}

/// Destroys somebody's key.
fn forget(global: &Global, who: &str, dir: Option<PathBuf>) -> anyhow::Result<()> {
    let dir = journal(global, dir)?;
    match ::audit::forget(&dir, who)? {
        Some(word) if global.output == Output::Json => print::json(&json!({"forgotten": word})),
        Some(word) => print::line(&format!("forgotten; their records are those of {word}")),
        None => {
            let mend = "name them as `bartizan audit search` does; only sealed records have keys ([audit] personal = \"sealed\")";
            Err(Mistake::new(format!("no key of {who} is in {}", dir.display()), mend).into())
        }
    }
}

/// The journal that was named, or the one of the gateway that `up` starts.
fn journal(global: &Global, named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let folder = state::folder(global.state_dir.clone())?;
    let journal = named.unwrap_or_else(|| folder.join(state::JOURNAL));
    if journal.is_dir() {
        return Ok(journal);
    }
    let others: Vec<String> = state::journals(&folder)
        .iter()
        .map(|journal| format!("--dir {}", journal.display()))
        .collect();
    let mend = match others.as_slice() {
        [] => "name its folder with --dir".to_owned(),
        others => format!("there is {}", others.join(", ")),
    };
    Err(Mistake::new(format!("there is no journal in {}", journal.display()), mend).into())
}

/// A record or call as `search` shows it: what stands behind `own/N:` is in the journal of a command that had a gateway of
/// its own.
fn placed<'a>(
    global: &Global,
    what: &'a str,
    named: Option<PathBuf>,
) -> anyhow::Result<(PathBuf, &'a str)> {
    if let (None, Some((own, rest))) = (&named, what.split_once(':')) {
        let folder = state::folder(global.state_dir.clone())?;
        let mut journals = state::journals(&folder).into_iter();
        let own = folder.join(own).join(state::JOURNAL);
        if let Some(journal) = journals.find(|journal| *journal == own) {
            return Ok((journal, rest));
        }
    }
    Ok((journal(global, named)?, what))
}

/// A key as it is, or the file that has it.
fn key(named: &str) -> Result<VerifierKey, Mistake> {
    const FORM: &str =
        "give the text of audit.pub, name+hash+base64, or a file with it: --key FILE|VKEY";
    if let Ok(key) = named.parse() {
        return Ok(key);
    }
    let text = std::fs::read_to_string(named)
        .map_err(|error| Mistake::new(format!("the public key {named}: {error}"), FORM))?;
    text.parse().map_err(|fault| Mistake::new(format!("{named}: {fault}"), FORM))
}

/// A root as it stands in a checkpoint.
fn root(root: [u8; 32]) -> String {
    STANDARD.encode(root)
}
