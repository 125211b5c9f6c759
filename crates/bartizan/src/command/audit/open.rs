//! `audit open`: what a call said, for whoever it was sealed for.

use std::{
    fs::File,
    io::{self, IsTerminal, Read, Write},
    path::{Path, PathBuf},
};

use ::audit::{Identity, OpenFault};
use zeroize::Zeroizing;

use crate::{cli::Global, outcome::Mistake, print::tame};

/// The longest file with a key.
const LIMIT: u64 = 64 << 10;

/// Prints it opened, or sealed where there is no identity.
pub fn run(
    global: &Global,
    seq: u64,
    identity: Option<&Path>,
    dir: Option<PathBuf>,
) -> anyhow::Result<()> {
    let identity = identity.map(read).transpose()?;
    let dir = super::journal(global, dir)?;
    let bytes = match &identity {
        Some(identity) => ::audit::open_payload(&dir, seq, identity),
        None => ::audit::sealed_payload(&dir, seq),
    };
    let bytes = bytes.map_err(|fault| explain(fault, &dir))?;
    let mut out = io::stdout().lock();
    // What was said may be anything, and a terminal obeys much.
    if out.is_terminal() {
        writeln!(out, "{}", tame(&String::from_utf8_lossy(&bytes)))?;
    } else {
        out.write_all(&bytes)?;
    }
    Ok(out.flush()?)
}

fn explain(fault: OpenFault, dir: &Path) -> anyhow::Error {
    let mend = match &fault {
        OpenFault::NoRecord(_) => "`bartizan audit search` shows the records with their numbers",
        OpenFault::Nothing(_) => {
            "only calls that [audit.payloads] covers have one, and not what is longer than its limit"
        }
        OpenFault::Changed(_)
        | OpenFault::Gone(_)
        | OpenFault::Sealed(..)
        | OpenFault::Unreadable(_) => return fault.into(),
    };
    Mistake::new(format!("{fault} in {}", dir.display()), mend).into()
}

fn read(file: &Path) -> Result<Identity, Mistake> {
    let mut text = Zeroizing::new(String::new());
    let read = match file.to_str() {
        Some("-") => io::stdin().lock().take(LIMIT).read_to_string(&mut text),
        _ => File::open(file).and_then(|file| file.take(LIMIT).read_to_string(&mut text)),
    };
    const FORM: &str = "name the file that age-keygen wrote";
    read.map_err(|error| Mistake::new(format!("{}: {error}", file.display()), FORM))?;
    let identity = Identity::read(&text);
    identity.map_err(|fault| Mistake::new(format!("{}: {fault}", file.display()), FORM))
}
