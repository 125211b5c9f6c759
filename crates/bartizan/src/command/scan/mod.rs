//! `scan`: keys in plain sight, and MCP servers that nobody put behind Bartizan. It looks, and touches nothing.

mod listeners;
mod sarif;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::{
    cli::{Global, Output, clients::ScanArgs},
    clients::{Home, Keys, Looked, Place, Scope, Survey, leaks, mask, short, workspace_places},
    config::{self, Loaded, Search},
    outcome::{Mistake, Told},
    print,
};
use listeners::Listener;

pub fn run(global: &Global, args: &ScanArgs) -> anyhow::Result<()> {
    let home = Home::of_user();
    let survey = Survey::of(places(home.as_ref(), &args.paths)?);
    let keys = Keys::new()?;
    let base = home.map(|home| home.home).unwrap_or_default();
    let report = Report {
        keys: survey.files.iter().flat_map(|looked| of_file(&keys, looked, &base)).collect(),
        listeners: if args.paths.is_empty() && !args.no_ports {
            listening(global)?
        } else {
            Vec::new()
        },
        files: survey.files.iter().map(|looked| looked.place.path.clone()).collect(),
        faults: survey.faults.iter().map(ToString::to_string).collect(),
    };
    match (args.sarif, global.output) {
        (true, _) => print::json(&sarif::report(&report))?,
        (false, Output::Json) => print::json(&report)?,
        (false, Output::Table) => show(&report)?,
    }
    for fault in &report.faults {
        eprintln!("warning: not looked at: {fault}");
    }
    // What was not looked at is not clean.
    let clean = report.keys.is_empty() && report.listeners.is_empty() && report.faults.is_empty();
    if clean { Ok(()) } else { Err(Told::failure().into()) }
}

/// What was found.
#[derive(Serialize)]
struct Report {
    keys: Vec<Found>,
    listeners: Vec<Listener>,
    /// What was read.
    files: Vec<PathBuf>,
    /// What was not.
    faults: Vec<String>,
}

fn listening(global: &Global) -> anyhow::Result<Vec<Listener>> {
    // A broken configuration is `check`'s business: then every server is one that Bartizan does not have.
    let loaded = config::load(global.config.as_deref(), Search::Here);
    let loaded = loaded.unwrap_or_else(|_| Loaded::none());
    let waiting = print::waiting("asking what listens on this machine");
    let found = super::wait(async { Ok(listeners::look(&loaded).await) });
    waiting.finish_and_clear();
    found
}

fn places(home: Option<&Home>, paths: &[PathBuf]) -> anyhow::Result<Vec<Place>> {
    if paths.is_empty() {
        let here = std::env::current_dir().ok();
        let home = home.ok_or_else(|| {
            Mistake::new("this user has no home folder", "name folders or files to look at")
        })?;
        return Ok(home.places(here.as_deref()));
    }
    let mut places = Vec::new();
    for path in paths {
        let path = std::path::absolute(path)?;
        if path.is_dir() {
            places.extend(workspace_places(&path));
            // The folder of a client itself, such as ~/.cursor.
            let own = path.join("mcp.json");
            if own.is_file() {
                places.push(Place::named(&own));
            }
        } else if path.exists() {
            places.push(Place::named(&path));
        } else {
            let what = format!("`{}` is not there", path.display());
            return Err(Mistake::new(what, "name a folder or a file").into());
        }
    }
    Ok(places)
}

/// A key that was found. The key itself is not in it.
#[derive(Serialize)]
struct Found {
    client: String,
    scope: Scope,
    file: PathBuf,
    #[serde(skip)]
    shown: String,
    line: usize,
    server: Option<String>,
    part: String,
    what: String,
    key: String,
    /// Other users of this machine can read the file.
    exposed: bool,
}

fn of_file(keys: &Keys, looked: &Looked, home: &Path) -> Vec<Found> {
    let found = leaks(keys, looked).into_iter().map(|leak| Found {
        client: looked.place.client_name(),
        scope: looked.place.scope,
        file: looked.place.path.clone(),
        shown: short(&looked.place.path, home),
        line: looked.line(leak.at),
        server: leak.server.map(|server| server.name.clone()),
        part: leak.part,
        what: leak.what,
        key: mask(leak.value),
        exposed: looked.original.exposed,
    });
    found.collect()
}

impl print::Row for Found {
    const TITLES: &'static [&'static str] = &["CLIENT", "SERVER", "WHERE", "KEY", "WHAT", "FILE"];

    fn cells(&self) -> Vec<String> {
        let cells = [
            self.client.clone(),
            self.server.clone().unwrap_or_else(|| "-".to_owned()),
            self.part.clone(),
            self.key.clone(),
            self.what.clone(),
            format!("{}:{}", self.shown, self.line),
        ];
        cells.iter().map(|cell| print::tame(cell)).collect()
    }
}

fn show(report: &Report) -> anyhow::Result<()> {
    let nothing = match (report.files.len(), report.faults.len()) {
        (0, 0) => "no client's file was found to look at".to_owned(),
        (_, 0) => "no keys in the configuration of any client".to_owned(),
        (files, faults) => format!("no keys in {files} files; {faults} could not be looked at"),
    };
    print::rows(Output::Table, &report.keys, &nothing)?;
    if !report.keys.is_empty() {
        eprintln!(
            "`bartizan connect CLIENT` puts one entry without a key in place of a client's servers."
        );
    }
    if report.keys.iter().any(|one| one.exposed) {
        eprintln!("Some of these files can be read by every user of this machine: chmod 600.");
    }
    if !report.listeners.is_empty() {
        print::line("")?;
        print::rows(Output::Table, &report.listeners, "")?;
        eprintln!("These servers are not behind Bartizan: `bartizan add NAME URL` puts one there.");
    }
    if !cfg!(target_os = "linux") {
        eprintln!("What listens on this machine is looked at on Linux only.");
    }
    Ok(())
}
