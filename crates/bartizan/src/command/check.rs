//! `check`

use serde_json::json;

use super::{policy, wait};

use crate::{
    cli::{Global, Output},
    config::{self, Finding, LoadFault, Loaded, Search, Severity, fault},
    outcome::{Mistake, Told},
    print, state,
};

pub fn run(global: &Global) -> anyhow::Result<()> {
    let Some(path) = config::find(global.config.as_deref(), Search::Here) else {
        return Err(Mistake::new(
            "there is no configuration to check",
            "name one with --config, or begin with `bartizan config example > bartizan.toml`",
        )
        .into());
    };
    let read = config::read(&path).map(|mut loaded| {
        loaded.warnings.extend(unknown_secrets(global, &loaded));
        if let Ok(folder) = state::folder(global.state_dir.clone()) {
            loaded.warnings.extend(config::confinement::opens_state(
                &loaded.file,
                &loaded.folder(),
                &folder,
            ));
        }
        loaded
    });
    let read = read.and_then(|loaded| beside_store(global, loaded));
    match (read, global.output) {
        (Ok(loaded), Output::Table) => table(&loaded),
        (Ok(loaded), Output::Json) => print::json(&report(&loaded.text, &loaded.warnings)),
        (Err(LoadFault::Faulty(faulty)), Output::Json) => {
            print::json(&report(&faulty.text, &faulty.findings))?;
            Err(Told::mistake().into())
        }
        (Err(fault), _) => Err(fault.into()),
    }
}

/// Whether it makes a policy together with what the store holds, as far as the state folder can be looked into.
fn beside_store(global: &Global, loaded: Loaded) -> Result<Loaded, LoadFault> {
    let all = policy::stored::with(loaded.clone(), global);
    match all.and_then(|all| policy::of(&all)).map_err(anyhow::Error::downcast) {
        Ok(_) => Ok(loaded),
        Err(Ok(fault)) => Err(fault),
        Err(Err(fault)) => {
            tracing::warn!("what the store holds can't be looked up: {fault:#}");
            Ok(loaded)
        }
    }
}

/// Sealed secrets that are used and not there, as far as the state folder can be looked into.
fn unknown_secrets(global: &Global, loaded: &Loaded) -> Vec<Finding> {
    let names = wait(async {
        let path = state::folder(global.state_dir.clone())?.join(state::STORE);
        if !path.exists() {
            return Ok(Vec::new());
        }
        let store = store::Store::open(&path).await?;
        let secrets = store.secrets().await?;
        store.close().await;
        Ok(secrets.into_iter().map(|secret| secret.name).collect())
    });
    match names {
        Ok(names) => config::vault::unknown(&loaded.text, &names),
        Err(fault) => {
            tracing::warn!("which secrets there are can't be looked up: {fault:#}");
            Vec::new()
        }
    }
}

fn table(loaded: &Loaded) -> anyhow::Result<()> {
    if let Some(warnings) = loaded.rendered_warnings(fault::coloured()) {
        eprintln!("{warnings}\n");
    }
    let path =
        loaded.path.as_deref().unwrap_or_else(|| std::path::Path::new(config::FILE_NAME)).display();
    let servers = count(loaded.file.servers.len(), "server");
    match loaded.warnings.len() {
        0 => print::line(&format!("{path}: ok, {servers}")),
        warnings => print::line(&format!("{path}: ok, {servers}, {}", count(warnings, "warning"))),
    }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn report(text: &str, findings: &[Finding]) -> serde_json::Value {
    let ok = findings.iter().all(|finding| finding.severity == Severity::Warning);
    let findings: Vec<_> = findings
        .iter()
        .map(|finding| {
            let (line, column) = finding.position(text).unzip();
            json!({"severity": finding.severity, "message": finding.title, "line": line, "column": column, "help": finding.mend})
        })
        .collect();
    json!({"ok": ok, "findings": findings})
}
