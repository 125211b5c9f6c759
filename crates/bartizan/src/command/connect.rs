//! `connect` and `disconnect`: one keyless entry in place of all servers of a client, and back.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde_json::json;
use similar::TextDiff;

use super::trust::{confirm, present};
use crate::{
    cli::{
        Global, Output,
        clients::{ConnectArgs, DisconnectArgs},
    },
    clients::{
        Backup, Backups, Client, Entry, FileFault, Home, Keys, Looked, Original, Place,
        RewriteFault, give_back, hide, leaks, rewrite, short,
    },
    config::{self, Search, edit},
    outcome::{Mistake, Told},
    print, state,
};

/// One file before and after.
struct Change {
    client: String,
    path: PathBuf,
    before: Option<String>,
    /// `None`: the file goes.
    after: Option<String>,
    /// The servers that are taken out.
    servers: Vec<String>,
    /// The difference, keys masked.
    shown: String,
}

pub fn connect(global: &Global, args: &ConnectArgs) -> anyhow::Result<()> {
    let home = home()?;
    let entry = entry(global)?;
    let keys = Keys::new()?;
    let mut changes = Vec::new();
    for (place, entry) in places(&home, args, &entry)? {
        changes.extend(change(&home, place, entry, &keys)?);
    }
    if !args.replace {
        require_taken_over(global, &changes)?;
    }
    if changes.is_empty() {
        if global.output == Output::Json {
            return report(&[], false);
        }
        return print::line("nothing to change: Bartizan is the only entry already");
    }
    let question = format!("Change {}?", count(changes.len(), "file"));
    if !agreed(global, &changes, args.dry_run, args.yes, &question)? {
        return Ok(());
    }
    let backups = Backups::open(&state::folder(global.state_dir.clone())?)?;
    for change in &changes {
        let after = change.after.as_deref().unwrap_or_default();
        backups.push(Backup::new(&change.path, change.before.as_deref(), after))?;
        if let Err(error) = unchanged(change).and_then(|()| Ok(edit::write(&change.path, after)?)) {
            backups.pop(&change.path)?;
            return Err(error).with_context(|| change.path.display().to_string());
        }
        eprintln!("connected {}: {}", change.client, short(&change.path, &home.home));
    }
    eprintln!("Restart the clients. `bartizan disconnect` puts back what was there.");
    done(global, &changes)
}

pub fn disconnect(global: &Global, args: &DisconnectArgs) -> anyhow::Result<()> {
    if args.clients.is_empty() && args.file.is_empty() && !args.all {
        let mend = "name a client, a file with --file, or --all for every file that was connected";
        return Err(Mistake::new("which client?", mend).into());
    }
    let home = home()?;
    let backups = Backups::open(&state::folder(global.state_dir.clone())?)?;
    let mut changes = Vec::new();
    for backup in chosen(&home, &backups, args)? {
        let now = Original::read(&backup.path)?;
        let now = now.map(|original| original.whole().to_owned());
        let as_written = now.as_deref().is_some_and(|now| backup.wrote(now));
        let after = match &now {
            Some(now) if !as_written && backup.original.as_ref() != Some(now) && !args.force => {
                Some(given_back(&home, &backup, now)?)
            }
            _ => backup.original.clone(),
        };
        let texts = [now.as_deref(), after.as_deref()]
            .map(|text| masked(&home, &backup.path, text.unwrap_or_default()));
        changes.push(Change {
            client: client_of(&home, &backup.path),
            shown: diff(&home, &backup.path, (&texts[0], &texts[1])),
            before: now,
            after,
            path: backup.path,
            servers: Vec::new(),
        });
    }
    let question = format!("Restore {}?", count(changes.len(), "file"));
    if !agreed(global, &changes, args.dry_run, args.yes, &question)? {
        return Ok(());
    }
    for change in &changes {
        unchanged(change)?;
        match &change.after {
            Some(text) => edit::write(&change.path, text)?,
            None if change.before.is_some() => fs::remove_file(&change.path)?,
            None => {}
        }
        backups.pop(&change.path)?;
        eprintln!("restored {}", short(&change.path, &home.home));
    }
    done(global, &changes)
}

/// A file that was changed since: what is in it stays, and the servers come back.
fn given_back(home: &Home, backup: &Backup, now: &str) -> Result<String, Mistake> {
    let before = Original::of(backup.original.clone().unwrap_or_default());
    let now = Original::of(now.to_owned());
    match give_back(&known(home, &backup.path), before.text(), now.text()) {
        Ok(text) => {
            eprintln!("{} was changed since: only its servers come back", backup.path.display());
            Ok(now.with_text(&text))
        }
        Err(_) => Err(Mistake::new(
            format!("{} was changed since it was connected", backup.path.display()),
            "--force restores it all the same; these changes are lost",
        )),
    }
}

fn home() -> Result<Home, Mistake> {
    Home::of_user().ok_or_else(|| {
        Mistake::new("this user has no home folder", "name a file with --file, and set HOME")
    })
}

/// The files to change, and what each gets: of a client's own files, the first has the entry.
fn places<'e>(
    home: &Home,
    args: &ConnectArgs,
    entry: &'e Entry,
) -> anyhow::Result<Vec<(Place, Option<&'e Entry>)>> {
    if args.clients.is_empty() && args.file.is_empty() {
        let mend = format!("bartizan connect CLIENT, of {}; or --file PATH", Client::names());
        return Err(Mistake::new("which client?", mend).into());
    }
    let mut places = Vec::new();
    for client in &args.clients {
        for (at, place) in client.of_user(home).into_iter().enumerate() {
            places.push((place, (at == 0).then_some(entry)));
        }
    }
    for file in &args.file {
        places.push((Place::named(&std::path::absolute(file)?), Some(entry)));
    }
    Ok(places)
}

/// `None` when the file is as it should be.
fn change(
    home: &Home,
    place: Place,
    entry: Option<&Entry>,
    keys: &Keys,
) -> anyhow::Result<Option<Change>> {
    let there = Original::read(&place.path).map_err(|fault| mistake(&fault))?;
    if there.is_none() && entry.is_none() {
        return Ok(None);
    }
    let before = there.as_ref().map(|original| original.whole().to_owned());
    let looked = Looked::of(place.clone(), there.unwrap_or_default());
    let looked = looked.map_err(|fault| mistake(&fault))?;
    let as_it_should_be = match entry {
        Some(entry) => entry.is_all_of(&looked.servers),
        None => looked.servers.is_empty(),
    };
    if as_it_should_be {
        return Ok(None);
    }
    let text = looked.original.text();
    let after = rewrite(&place, text, entry).map_err(|fault| refused(&place, &fault))?;
    let leaks = leaks(keys, &looked);
    let after = looked.original.with_text(&after);
    let texts = (hide(looked.original.whole(), &leaks), hide(&after, &leaks));
    Ok(Some(Change {
        client: place.client_name(),
        shown: diff(home, &place.path, (&texts.0, &texts.1)),
        before,
        after: Some(after),
        servers: looked
            .servers
            .iter()
            .filter(|server| !server.is_ours())
            .map(|server| server.name.clone())
            .collect(),
        path: place.path,
    }))
}

fn mistake(fault: &FileFault) -> Mistake {
    Mistake::new(fault.to_string(), "mend the file first, or leave this client out")
}

fn refused(place: &Place, fault: &RewriteFault) -> Mistake {
    Mistake::new(
        format!("{} is left as it is: {fault}", place.path.display()),
        "put the entry in by hand: the command is `bartizan stdio`",
    )
}

/// How clients start Bartizan: by whole paths, since they have neither this shell's PATH nor its folder.
fn entry(global: &Global) -> anyhow::Result<Entry> {
    let mut args = vec!["stdio".to_owned()];
    let mut name = |flag: &str, path: PathBuf| -> anyhow::Result<()> {
        args.push(flag.to_owned());
        args.push(std::path::absolute(path)?.display().to_string());
        Ok(())
    };
    let config = config::find(global.config.as_deref(), Search::Here);
    if let Some(config) = config.filter(|config| Some(config) != config::user_file().as_ref()) {
        name("--config", config)?;
    }
    if let Some(folder) = &global.state_dir {
        name("--state-dir", folder.clone())?;
    }
    Ok(Entry { command: std::env::current_exe()?.display().to_string(), args })
}

/// A server that a client loses must be there behind Bartizan.
fn require_taken_over(global: &Global, changes: &[Change]) -> anyhow::Result<()> {
    let loaded = super::load(global)?;
    let known: Vec<String> =
        loaded.file.servers.keys().map(|key| key.0.as_str().to_owned()).collect();
    let lost: Vec<String> = changes
        .iter()
        .flat_map(|change| &change.servers)
        .filter(|name| !known.contains(&crate::clients::server_name(name)))
        .cloned()
        .collect();
    if lost.is_empty() {
        return Ok(());
    }
    Err(Mistake::new(
        format!("the configuration here does not have {}, and the client would lose it", lost.join(", ")),
        "`bartizan import` takes over those that it can; --replace drops them (`bartizan disconnect` brings them back)",
    )
    .into())
}

/// Shows the changes and asks.
fn agreed(
    global: &Global,
    changes: &[Change],
    dry_run: bool,
    yes: bool,
    question: &str,
) -> anyhow::Result<bool> {
    if global.output == Output::Table {
        for change in changes {
            print::text(&change.shown)?;
        }
    }
    if dry_run {
        if global.output == Output::Json {
            report(changes, false)?;
        }
        return Ok(false);
    }
    confirmed(yes, question)?;
    Ok(true)
}

/// Goes on only when somebody says yes, or has said it before.
pub fn confirmed(yes: bool, question: &str) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !present() {
        let mend = "look at it with --dry-run, and say --yes";
        return Err(Mistake::new("there is no terminal to confirm at", mend).into());
    }
    if confirm(question)? { Ok(()) } else { Err(Told::failure().into()) }
}

/// The file may have been changed while somebody read the question.
fn unchanged(change: &Change) -> anyhow::Result<()> {
    let now = Original::read(&change.path)?.map(|original| original.whole().to_owned());
    anyhow::ensure!(now == change.before, "it was changed meanwhile; run the command again");
    Ok(())
}

fn chosen(home: &Home, backups: &Backups, args: &DisconnectArgs) -> anyhow::Result<Vec<Backup>> {
    if args.all {
        return backups.all();
    }
    let mut chosen = Vec::new();
    for client in &args.clients {
        let before = chosen.len();
        for place in client.of_user(home) {
            chosen.extend(backups.of(&place.path)?.pop());
        }
        if chosen.len() == before {
            let what = format!("{} is not connected", client.name());
            return Err(Mistake::new(what, "`bartizan disconnect --all` restores all").into());
        }
    }
    for file in &args.file {
        let path = std::path::absolute(file)?;
        let what = format!("{} is not connected", path.display());
        let last = backups.of(&path)?.pop();
        chosen.push(last.ok_or_else(|| Mistake::new(what, "name the file as `connect` did"))?);
    }
    Ok(chosen)
}

fn known(home: &Home, path: &Path) -> Place {
    let known = home.places(None).into_iter().find(|place| place.path == path);
    known.unwrap_or_else(|| Place::named(path))
}

fn client_of(home: &Home, path: &Path) -> String {
    known(home, path).client_name()
}

/// The text with its keys masked. What can't be read is not shown.
fn masked(home: &Home, path: &Path, text: &str) -> String {
    let looked = Looked::of(known(home, path), Original::of(text.to_owned()));
    match (looked, Keys::new()) {
        (Ok(looked), Ok(keys)) => hide(text, &leaks(&keys, &looked)),
        _ => "(not shown)\n".to_owned(),
    }
}

fn diff(home: &Home, path: &Path, texts: (&str, &str)) -> String {
    let name = short(path, &home.home);
    TextDiff::from_lines(texts.0, texts.1)
        .unified_diff()
        .context_radius(3)
        .header(&name, &name)
        .to_string()
}

fn done(global: &Global, changes: &[Change]) -> anyhow::Result<()> {
    if global.output == Output::Json { report(changes, true) } else { Ok(()) }
}

fn report(changes: &[Change], written: bool) -> anyhow::Result<()> {
    let changes: Vec<_> = changes
        .iter()
        .map(|change| {
            json!({
                "client": change.client,
                "file": change.path,
                "servers": change.servers,
                "diff": change.shown,
            })
        })
        .collect();
    print::json(&json!({"written": written, "changes": changes}))
}

pub fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
