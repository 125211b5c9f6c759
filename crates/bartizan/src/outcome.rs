//! How a command ends.

use std::process::ExitCode;

use crate::config::{LoadFault, fault};

/// What the user can mend: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Mistake {
    what: String,
    mend: Option<String>,
}

impl Mistake {
    pub fn new(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Mistake { what: what.into(), mend: Some(mend.into()) }
    }
}

/// What went wrong has been told to the user already.
#[derive(Debug, thiserror::Error)]
#[error("failed")]
pub struct Told(u8);

impl Told {
    /// Refused or failed.
    pub fn failure() -> Self {
        Told(1)
    }

    /// The user's mistake.
    pub fn mistake() -> Self {
        Told(2)
    }
}

/// Tells standard error what went wrong, and the shell by the code.
pub fn report(error: &anyhow::Error) -> ExitCode {
    if let Some(Told(code)) = error.downcast_ref() {
        return ExitCode::from(*code);
    }
    match error.downcast_ref::<LoadFault>() {
        Some(LoadFault::Faulty(faulty)) => {
            eprintln!(
                "{}",
                fault::render(&faulty.path, &faulty.text, &faulty.findings, fault::coloured())
            );
            return ExitCode::from(2);
        }
        Some(unreadable) => {
            eprintln!("error: {unreadable}");
            return ExitCode::from(2);
        }
        None => {}
    }
    eprintln!("error: {}", gateway::leak::clean(format!("{error:#}")));
    match error.downcast_ref::<Mistake>() {
        Some(mistake) => {
            if let Some(mend) = &mistake.mend {
                eprintln!("  = help: {mend}");
            }
            ExitCode::from(2)
        }
        None => ExitCode::from(1),
    }
}
