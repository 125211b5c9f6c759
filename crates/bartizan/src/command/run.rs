//! `run`: a process with secrets in its environment, for as long as it lives.

use std::{os::unix::process::CommandExt, process::Command};

use audit::{Journal, Kind, Outcome, Record};
use gateway::secrets::Secrets;
use vault::Reference;

use super::{load, servers::known_server, wait};
use crate::{
    cli::{Global, clients::RunArgs},
    config::{self, Loaded, fault::nearest, find_program},
    gate,
    outcome::Mistake,
    state,
};

/// A variable, and what it is filled with.
type Variable = (String, Reference);

pub fn run(global: &Global, args: &RunArgs) -> anyhow::Result<()> {
    let loaded = load(global)?;
    let variables = variables(&loaded, args)?;
    let Some((program, rest)) = args.command.split_first() else {
        return Err(
            Mistake::new("which command?", "bartizan run --secret NAME=VAR -- COMMAND").into()
        );
    };
    if find_program(program, std::path::Path::new(".")).is_none() {
        let mend = "write its whole path, or the name of one that is on the PATH";
        return Err(Mistake::new(format!("there is no program `{program}`"), mend).into());
    }
    let environment = wait(resolve(global, &loaded, &variables, args, program))?;
    // This process becomes the other one: signals and its exit code need nobody in between, and the secrets
    // are in no memory but its own.
    let fault = Command::new(program).args(rest).envs(environment).exec();
    let folder = state::folder(global.state_dir.clone())?;
    let detail = format!("{program} was not started: {fault}");
    wait(async {
        let journal = gate::own_journal(&folder)?;
        note(&journal, Outcome::Error, &detail).await?;
        Ok(journal.close()?)
    })?;
    Err(Mistake::new(
        format!("{program} can't be started: {fault}"),
        "name a program that this user may run",
    )
    .into())
}

fn variables(loaded: &Loaded, args: &RunArgs) -> anyhow::Result<Vec<Variable>> {
    let mut variables = Vec::new();
    if let Some(name) = &args.server {
        known_server(loaded, name)?;
        let server = loaded.file.servers.iter().find(|(key, _)| key.0.as_str() == name);
        for (variable, value) in server.into_iter().flat_map(|(_, server)| &server.get_ref().env) {
            let reference = value.get_ref().template().reference.clone();
            variables.push((variable.clone(), reference));
        }
    }
    for pair in &args.secret {
        let (name, variable) = pair.split_once('=').ok_or_else(|| {
            Mistake::new(
                format!("`{pair}` does not say which variable"),
                format!("write --secret {pair}=VARIABLE"),
            )
        })?;
        let reference = Reference::parse(&format!("${{secret:{name}}}"))
            .map_err(|fault| Mistake::new(fault.to_string(), "`bartizan secret list` shows all"))?;
        variables.push((variable.to_owned(), reference));
    }
    if variables.is_empty() {
        return Err(Mistake::new(
            "no secret is named, so the command needs no help to run",
            "add --secret NAME=VARIABLE, or --server NAME for the environment of its entry",
        )
        .into());
    }
    Ok(variables)
}

/// The values, once it is on record who gets them.
async fn resolve(
    global: &Global,
    loaded: &Loaded,
    variables: &[Variable],
    args: &RunArgs,
    program: &str,
) -> anyhow::Result<Vec<(String, String)>> {
    let folder = state::folder(global.state_dir.clone())?;
    state::make(&folder)?;
    let store = store::Store::open(&folder.join(state::STORE)).await?;
    let known: Vec<String> = store.secrets().await?.into_iter().map(|secret| secret.name).collect();
    for (name, _) in args.secret.iter().filter_map(|pair| pair.split_once('=')) {
        if !known.iter().any(|known| known == name) {
            let mend = match nearest(name, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`bartizan secret list` shows all".to_owned(),
            };
            return Err(Mistake::new(format!("there is no secret `{name}`"), mend).into());
        }
    }
    let settings = config::vault::resolve(&loaded.file, &loaded.folder(), &folder)?;
    let secrets = Secrets::new(store.clone(), settings, upstream::HttpClient::new()?);
    let values = async {
        secrets.unlock().await?;
        let mut values = Vec::new();
        for (variable, reference) in variables {
            let resolved = secrets.resolve(reference).await?;
            values.push((variable.clone(), resolved.secret.expose().to_owned()));
        }
        anyhow::Ok(values)
    };
    let values = values.await;
    store.close().await;
    let values = values?;
    let journal = gate::own_journal(&folder)?;
    record(&journal, variables, program).await?;
    journal.close()?;
    Ok(values)
}

async fn record(journal: &Journal, variables: &[Variable], program: &str) -> anyhow::Result<()> {
    let given: Vec<String> =
        variables.iter().map(|(variable, reference)| format!("{variable}={reference:?}")).collect();
    note(journal, Outcome::Ok, &format!("{program} was given {}", given.join(", "))).await
}

async fn note(journal: &Journal, outcome: Outcome, detail: &str) -> anyhow::Result<()> {
    let record = Record {
        kind: Kind::Spawn,
        principal: "owner",
        outcome: Some(outcome),
        detail,
        ..Record::default()
    };
    journal.append(&record).await?;
    Ok(())
}
