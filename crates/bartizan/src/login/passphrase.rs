//! The passphrase that opens the sign-ins: from a file that a variable names, or from whoever sits at the terminal.

use std::{path::Path, sync::Mutex};

use vault::Secret;

use crate::outcome::Mistake;

/// Names a file with the passphrase, for programs that start this one where nobody can type.
const FILE: &str = "BARTIZAN_LOGIN_PASSPHRASE_FILE";

/// What was typed once: sign-ins are renewed while a command runs, and nobody is there to type it again.
static TYPED: Mutex<Option<Secret>> = Mutex::new(None);

/// Asks for it; twice for a new one.
pub fn asked(new: bool) -> anyhow::Result<Secret> {
    if let Some(path) = std::env::var_os(FILE) {
        return Ok(vault::read_file(Path::new(&path))?);
    }
    let mut typed = TYPED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(passphrase) = &*typed {
        return Ok(passphrase.clone());
    }
    let ask = |question: &str| {
        vault::prompt(question).map_err(|fault| {
            let what = format!("the passphrase of the sign-ins can't be asked for here ({fault})");
            Mistake::new(what, format!("name a file with it in {FILE}"))
        })
    };
    let answer = if new {
        let first = ask("New passphrase for the sign-ins kept here")?;
        if first.expose() != ask("The same again")?.expose() {
            anyhow::bail!("what was typed is not twice the same");
        }
        first
    } else {
        ask("Passphrase of the sign-ins kept here")?
    };
    Ok(typed.insert(answer).clone())
}
