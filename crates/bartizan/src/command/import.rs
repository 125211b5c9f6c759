//! `import`: servers of AI clients into the configuration here, their keys into the vault.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use gateway::secrets::{Fresh, Safe};
use serde::Serialize;
use serde_json::json;
use vault::{Secret, SecretName};

use super::{
    connect::{confirmed, count},
    now,
    servers::file_to_change,
    wait,
};
use crate::{
    cli::{Global, Output, clients::ImportArgs},
    clients::{
        Client, Home, Keys, Looked, Place, Server, Style, Survey, adopt, mask, server_name, short,
    },
    config::{self, Loaded, edit, edit::NewServer, file},
    outcome::Mistake,
    print, state,
};

/// As the store records who changed it.
const OWNER: &str = "owner";

pub fn run(global: &Global, args: &ImportArgs) -> anyhow::Result<()> {
    let home =
        Home::of_user().ok_or_else(|| Mistake::new("this user has no home folder", "set HOME"))?;
    let survey = Survey::of(places(&home, args)?);
    for fault in &survey.faults {
        eprintln!("warning: not looked at: {fault}");
    }
    let path = file_to_change(global)?;
    let old = if path.exists() { config::read(&path)? } else { Loaded::none() };
    wait(async {
        let folder = state::folder(global.state_dir.clone())?;
        state::make(&folder)?;
        let store = store::Store::open(&folder.join(state::STORE)).await?;
        let done = take_over(global, args, &home, &survey, &store, (&path, &old)).await;
        store.close().await;
        done
    })
}

fn places(home: &Home, args: &ImportArgs) -> anyhow::Result<Vec<Place>> {
    let mut places = Vec::new();
    for file in &args.file {
        places.push(Place::named(&std::path::absolute(file)?));
    }
    for client in &args.clients {
        places.extend(client.of_user(home));
    }
    if args.clients.is_empty() && args.file.is_empty() {
        places = home.places(std::env::current_dir().ok().as_deref());
    }
    Ok(places)
}

/// A client's server, and what becomes of it.
#[derive(Serialize)]
struct Row {
    client: String,
    file: PathBuf,
    server: String,
    /// Its name here; empty when it stays where it is.
    name: String,
    keys: Vec<String>,
    state: String,
}

impl print::Row for Row {
    const TITLES: &'static [&'static str] = &["CLIENT", "SERVER", "NAME HERE", "KEYS", "STATE"];

    fn cells(&self) -> Vec<String> {
        let keys = if self.keys.is_empty() { "-".to_owned() } else { self.keys.join(", ") };
        let name = if self.name.is_empty() { "-" } else { &self.name };
        [&self.client, &self.server, name, &keys, &self.state].map(print::tame).to_vec()
    }
}

async fn take_over(
    global: &Global,
    args: &ImportArgs,
    home: &Home,
    survey: &Survey,
    store: &store::Store,
    (path, old): (&Path, &Loaded),
) -> anyhow::Result<()> {
    let kept = store.secrets().await?.into_iter().map(|secret| secret.name).collect();
    let secrets = Secrets { kept, ..Secrets::default() };
    let (rows, servers, clients) = (Vec::new(), Vec::new(), Vec::new());
    let mut plan = Plan { keys: Keys::new()?, home, old, rows, servers, secrets, clients };
    for looked in &survey.files {
        looked
            .servers
            .iter()
            .filter(|server| !server.is_ours())
            .for_each(|server| plan.add(looked, server));
    }
    if global.output == Output::Table {
        print::rows(Output::Table, &plan.rows, "no client on this machine has an MCP server")?;
    }
    let report = |written: bool| match global.output {
        Output::Table => Ok(()),
        Output::Json => print::json(&json!({
            "written": written, "file": path, "servers": plan.rows, "unset": plan.secrets.unset,
        })),
    };
    if plan.servers.is_empty() || args.dry_run {
        return report(false);
    }
    let question = format!(
        "Write {} into {} and seal {}?",
        count(plan.servers.len(), "server"),
        short(path, &home.home),
        count(plan.secrets.sealed.len(), "key")
    );
    confirmed(args.yes, &question)?;
    // Checked before anything is sealed or written.
    let loaded = config::parse(path, with_servers(&old.text, &plan.servers)?)
        .map_err(|faulty| config::LoadFault::Faulty(Box::new(faulty)))?;
    let folder = state::folder(global.state_dir.clone())?;
    let settings = config::vault::resolve(&old.file, &old.folder(), &folder)?;
    let safe = Safe::new(store.clone(), settings, &upstream::HttpClient::new()?);
    for (name, value) in &plan.secrets.sealed {
        let (name, value) = (SecretName::new(name)?, Secret::new(value.clone().into_boxed_str()));
        safe.set(Fresh { name, value, expires: None, owner: None }, OWNER, now()).await?;
    }
    edit::write(path, &loaded.text)?;
    tell(&plan, &short(path, &home.home), &loaded);
    report(true)
}

fn with_servers(text: &str, servers: &[(String, NewServer)]) -> anyhow::Result<String> {
    let mut text = text.to_owned();
    for (name, server) in servers {
        let changed = edit::with_server(&text, name, server)?;
        text = changed.ok_or_else(|| {
            Mistake::new(
                format!("`{name}` can't be added to the configuration"),
                "edit the file by hand",
            )
        })?;
    }
    Ok(text)
}

fn tell(plan: &Plan<'_>, path: &str, loaded: &Loaded) {
    eprintln!("wrote {} into {path}", count(plan.servers.len(), "server"));
    for name in &plan.secrets.unset {
        eprintln!("the client asks for it, so somebody has to set it: bartizan secret set {name}");
    }
    if !plan.clients.is_empty() {
        let clients = plan.clients.join(" ");
        eprintln!("The clients still have their servers and keys: bartizan connect {clients}");
    }
    if !plan.secrets.sealed.is_empty() {
        eprintln!(
            "Whoever could read the files may have the keys: replace them where they were issued, then `bartizan secret rotate NAME`."
        );
    }
    eprintln!("Before they can be used:");
    let names = |name: &&str| plan.servers.iter().any(|(known, _)| known == name);
    let loose = crate::lock::unlocked(&loaded.file, &loaded.folder()).into_iter();
    for name in loose.map(|(name, _)| name).filter(names) {
        eprintln!("  bartizan lock {name}");
    }
    for (name, _) in &plan.servers {
        eprintln!("  bartizan trust approve {name}");
    }
    eprintln!("A command reaches no network until its entry says which: docs/egress.md.");
}

/// What is going to be written.
struct Plan<'p> {
    keys: Keys,
    home: &'p Home,
    old: &'p Loaded,
    rows: Vec<Row>,
    servers: Vec<(String, NewServer)>,
    secrets: Secrets,
    /// Clients to connect.
    clients: Vec<String>,
}

/// The secrets that entries refer to.
#[derive(Clone, Default)]
struct Secrets {
    /// Names that the store has.
    kept: BTreeSet<String>,
    /// Values to seal, by name.
    sealed: BTreeMap<String, String>,
    /// Those that somebody has to set.
    unset: BTreeSet<String>,
}

impl Secrets {
    /// A name for this value: one name for one value, and none that the store has.
    fn named(&mut self, proposed: &str, value: Option<&str>) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let name: String = proposed.chars().map(|c| if plain(c) { c } else { '-' }).collect();
        let name = name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        let name = if name.is_empty() { "key" } else { name };
        let Some(value) = value else {
            let name = numbered(name, 64, |_| false);
            if !self.kept.contains(&name) {
                self.unset.insert(name.clone());
            }
            return name;
        };
        let taken = |name: &str| {
            let other = self.sealed.get(name).is_some_and(|known| known != value);
            other || self.kept.contains(name) || self.unset.contains(name)
        };
        let name = numbered(name, 64, taken);
        self.sealed.insert(name.clone(), value.to_owned());
        name
    }
}

impl Plan<'_> {
    fn add(&mut self, looked: &Looked, server: &Server) {
        let (name, state) = self.decide(looked, server);
        let client = looked.place.client_name();
        if looked.place.client.is_some() && !name.is_empty() && !self.clients.contains(&client) {
            self.clients.push(client.clone());
        }
        let keys = self.keys.of(server);
        let keys =
            keys.iter().map(|key| format!("{} {}", key.slot.name(server), mask(key.value(server))));
        self.rows.push(Row {
            client,
            file: looked.place.path.clone(),
            server: server.name.clone(),
            name,
            keys: keys.collect(),
            state,
        });
    }

    /// Its name here, and what is said of it.
    fn decide(&mut self, looked: &Looked, server: &Server) -> (String, String) {
        let bare = looked.place.client == Some(Client::Gemini);
        let style = Style { home: &self.home.home, bare };
        let mut secrets = self.secrets.clone();
        let mut named = |proposed: &str, value: Option<&str>| secrets.named(proposed, value);
        let adopted = match adopt(server, &self.keys, style, &mut named) {
            Ok(adopted) => adopted,
            Err(unfit) => return (String::new(), format!("stays: {unfit}")),
        };
        if let Some(name) = self.present(&adopted.server) {
            return (name, "is here already".to_owned());
        }
        self.secrets = secrets;
        let mut state = if server.enabled { "new" } else { "new, disabled" }.to_owned();
        if !adopted.lost.is_empty() {
            state.push_str(", without ");
            state.push_str(&adopted.lost.join(", "));
        }
        let name = self.server_name(&server_name(&server.name));
        self.servers.push((name.clone(), adopted.server));
        (name, state)
    }

    /// The name of an entry that is the same.
    fn present(&self, new: &NewServer) -> Option<String> {
        let known =
            self.old.file.servers.iter().find(|(_, server)| reaches_as(server.get_ref(), new));
        let planned = self.servers.iter().find(|(_, server)| server == new);
        known.map(|(key, _)| key.0.to_string()).or_else(|| planned.map(|(name, _)| name.clone()))
    }

    fn server_name(&self, wanted: &str) -> String {
        let taken = |name: &str| {
            self.old.file.servers.keys().any(|key| key.0.as_str() == name)
                || self.servers.iter().any(|(known, _)| known == name)
        };
        numbered(wanted, 32, taken)
    }
}

/// Whether an entry reaches what a new one would.
fn reaches_as(server: &file::Server, new: &NewServer) -> bool {
    match new {
        NewServer::Url { url, .. } => server.url.as_ref().is_some_and(|known| {
            known.get_ref().0.to_string().trim_end_matches('/') == url.trim_end_matches('/')
        }),
        NewServer::Command { command, args, .. } => {
            server.command.as_ref().is_some_and(|known| known.get_ref() == command)
                && server.args.iter().map(|arg| arg.get_ref()).eq(args)
        }
    }
}

/// The name, or the first with a number behind it that is free.
fn numbered(name: &str, longest: usize, taken: impl Fn(&str) -> bool) -> String {
    let cut = |room: usize| name.chars().take(longest - room).collect::<String>();
    let mut candidate = cut(0);
    let mut number = 2;
    while taken(&candidate) {
        let suffix = format!("-{number}");
        candidate = cut(suffix.len()) + &suffix;
        number += 1;
    }
    candidate
}
