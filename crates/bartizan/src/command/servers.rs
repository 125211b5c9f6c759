//! `add`, `remove` and `list`.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use gateway::call::Scope;
use mcp::{Json, Limits};
use serde::Serialize;
use serde_json::json;

use super::{load, trust, wait};
use crate::{
    cli::{AddArgs, Global, Output},
    client::ClientFault,
    config::{
        self, Finding, Loaded,
        confinement::{Named, Unseen},
        edit::{self, NewServer},
        fault::{self, nearest},
        file::Server,
        resolve::DEMO,
        value::ServerUrl,
    },
    gate::Gate,
    lock,
    outcome::{Mistake, Told},
    print::{self, tame},
    state,
};

/// A package runner may have to fetch the server first.
const FIRST_START: Duration = Duration::from_secs(180);

pub fn add(global: &Global, args: &AddArgs) -> anyhow::Result<()> {
    let path = file_to_change(global)?;
    let old = if path.exists() { config::read(&path)? } else { Loaded::none() };
    let name = args.name.0.as_str();
    let Some(changed) = edit::with_server(&old.text, name, &new_server(args)?)? else {
        return Err(Mistake::new(
            format!("there is a server `{name}` in {} already", path.display()),
            format!("choose another name, or begin with: bartizan remove {name}"),
        )
        .into());
    };
    let loaded = config::parse(&path, changed)
        .map_err(|faulty| config::LoadFault::Faulty(Box::new(faulty)))?;
    let folder = state::folder(global.state_dir.clone())?;
    let old_opens = config::confinement::opens_state(&old.file, &old.folder(), &folder);
    let opens = config::confinement::opens_state(&loaded.file, &loaded.folder(), &folder);
    if let Some(finding) = opens.get(old_opens.len()..).and_then(<[_]>::first) {
        let mend = "name the files and folders that it needs, one by one";
        return Err(Mistake::new(finding.title.clone(), mend).into());
    }
    edit::write(&path, &loaded.text)?;
    eprintln!("added {name} to {}", path.display());
    tell_new_warnings(&old.warnings, &loaded);
    if args.no_connect {
        return if global.output == Output::Json {
            print::json(&json!({"server": name, "file": path}))
        } else {
            Ok(())
        };
    }
    let folder = state::folder(global.state_dir.clone())?;
    wait(async {
        let desk = trust::Desk::of(global, loaded, folder).await?;
        let done = show_and_approve(&desk, &path, name, args).await;
        desk.store.close().await;
        done
    })
}

/// The configuration that serves here, or where the user's own would be.
pub fn file_to_change(global: &Global) -> Result<PathBuf, Mistake> {
    match super::file(global)? {
        Some(path) => Ok(path),
        None => config::user_file().ok_or_else(|| {
            Mistake::new("this user has no home folder", "name a file with --config")
        }),
    }
}

/// Shows what the new server offers, and has it approved.
async fn show_and_approve(
    desk: &trust::Desk<'_>,
    path: &Path,
    name: &str,
    args: &AddArgs,
) -> anyhow::Result<()> {
    if let Err(mistake) = lock::must_be_locked(&desk.loaded, name) {
        if desk.global.output == Output::Json {
            let error = mistake.to_string();
            print::json(&json!({"server": name, "file": path, "error": error}))?;
        }
        eprintln!("error: {mistake}");
        eprintln!(
            "  = help: the entry stays; run `bartizan lock {name}`, then `bartizan trust approve {name}`"
        );
        return Err(Told::failure().into());
    }
    let offer = offer_of(desk, args.name.0.clone()).await?;
    match (offer, desk.global.output) {
        (Ok(offer), Output::Json) => {
            let waiting = trust::approve_offer(desk, name, args.yes).await?;
            print::json(&json!({"server": name, "file": path, "offer": offer, "waiting": waiting}))
        }
        (Ok(offer), Output::Table) => {
            show_offer(name, &offer)?;
            trust::approve_offer(desk, name, args.yes).await.map(drop)
        }
        (Err(fault), output) => {
            if output == Output::Json {
                print::json(&json!({"server": name, "file": path, "error": fault.to_string()}))?;
            }
            eprintln!("error: it does not answer: {}", tame(&fault.to_string()));
            eprintln!(
                "  = help: the entry stays; `bartizan list` tries again, `bartizan remove {name}` takes it out"
            );
            Err(Told::failure().into())
        }
    }
}

fn new_server(args: &AddArgs) -> Result<NewServer, Mistake> {
    let pair = |text: &str, example: &str| match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err(Mistake::new(
            format!("`{text}` is not a name and a value"),
            format!("write {example}"),
        )),
    };
    if let Some((command, rest)) = args.command.split_first() {
        let env = args
            .env
            .iter()
            .map(|text| pair(text, "--env 'API_TOKEN=${env:API_TOKEN}'"))
            .collect::<Result<_, _>>()?;
        let write = absolute(&args.write)?;
        let mut read = absolute(&args.read)?;
        let named = named_by_arguments(command, rest, &read, &write)?;
        read.extend(named);
        let (command, args) = (command.clone(), rest.to_vec());
        let (cwd, disabled) = (None, false);
        return Ok(NewServer::Command {
            command,
            args,
            env,
            placeholders: Vec::new(),
            egress: Vec::new(),
            read,
            write,
            cwd,
            disabled,
        });
    }
    let text = args.url.clone().unwrap_or_default();
    let url: ServerUrl = text.parse().map_err(|_| Mistake::new(format!("`{text}` is not a URL"), format!("write a whole one, such as https://mcp.example.com/mcp; a command comes after `--`: bartizan add {} -- {text}", args.name.0)))?;
    let host = url.0.host().unwrap_or_default();
    // Whoever types a private address means it.
    let allow_private = config::is_this_machine(host) || config::is_private(host);
    let credential = args
        .header
        .as_deref()
        .map(|text| pair(text, "--header 'Authorization=Bearer ${env:TOKEN}'"))
        .transpose()?;
    let (headers, query) = (Vec::new(), Vec::new());
    Ok(NewServer::Url { url: text, allow_private, credential, headers, query, disabled: false })
}

fn absolute(paths: &[PathBuf]) -> Result<Vec<String>, Mistake> {
    let path = |path: &PathBuf| match std::path::absolute(path) {
        Ok(full) if full.exists() => Ok(full.to_string_lossy().into_owned()),
        _ => Err(Mistake::new(
            format!("`{}` is not there", path.display()),
            "name a file or folder that exists",
        )),
    };
    paths.iter().map(path).collect()
}

/// Whoever types a path behind a command means the command to read it. It is said, since more may be
/// meant, or less. Of what is not there nothing is granted: its folder may hold far more than is meant.
fn named_by_arguments(
    command: &str,
    args: &[String],
    read: &[String],
    write: &[String],
) -> Result<Vec<String>, Mistake> {
    let spanned = |text: &String| toml::Spanned::new(0..0, text.clone());
    let path = |text: &String| toml::Spanned::new(0..0, PathBuf::from(text));
    let mut server = Server { args: args.iter().map(spanned).collect(), ..Server::default() };
    server.sandbox.read = read.iter().map(path).collect();
    server.sandbox.write = write.iter().map(path).collect();
    let unseen = Unseen::by(&server, command, Path::new("/"));
    let mut found: Vec<String> = Vec::new();
    for named in args.iter().filter_map(|arg| unseen.named_in(arg)) {
        let path = named.path().to_string_lossy().into_owned();
        if let (Named::Missing(_), Some(folder)) = (named, named.path().parent()) {
            return Err(Mistake::new(
                format!("`{path}` is not there"),
                format!(
                    "create it; or say --read {0} or --write {0}, if the server may see all that is there",
                    folder.display()
                ),
            ));
        }
        if !found.contains(&path) {
            eprintln!(
                "it may read {path}, which is among its arguments; --write {path} lets it change that too"
            );
            found.push(path);
        }
    }
    Ok(found)
}

/// Only what was not said of the file before.
fn tell_new_warnings(old: &[Finding], loaded: &Loaded) {
    let known = |finding: &Finding| old.iter().any(|old| old.title == finding.title);
    let new: Vec<_> = loaded.warnings.iter().filter(|finding| !known(finding)).cloned().collect();
    if let (Some(path), false) = (&loaded.path, new.is_empty()) {
        eprintln!("{}", fault::render(path, &loaded.text, &new, fault::coloured()));
    }
}

pub fn remove(global: &Global, name: &str) -> anyhow::Result<()> {
    let loaded = load(global)?;
    let Some(path) = &loaded.path else {
        return Err(Mistake::new(
            "there is no configuration file, so there is nothing to remove",
            "`bartizan add` makes one",
        )
        .into());
    };
    let Some(changed) = edit::without_server(&loaded.text, name)? else {
        known_server(&loaded, name)?;
        return Err(Mistake::new(
            format!("`{name}` can't be taken out of {}", path.display()),
            "edit the file by hand",
        )
        .into());
    };
    edit::write(path, &changed)?;
    if global.output == Output::Json {
        return print::json(&json!({"removed": name, "file": path}));
    }
    print::line(&format!("removed {name} from {}", path.display()))
}

/// A mistake when no server has this name.
pub fn known_server(loaded: &Loaded, name: &str) -> Result<(), Mistake> {
    let known: Vec<&str> = match loaded.path {
        Some(_) => loaded.file.servers.keys().map(|key| key.0.as_str()).collect(),
        None => vec![DEMO],
    };
    if known.contains(&name) {
        return Ok(());
    }
    let mend = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "`bartizan add` puts one into the configuration".to_owned(),
        None => format!("there are: {}", known.join(", ")),
    };
    Err(Mistake::new(format!("there is no server `{name}`"), mend))
}

/// What a server offers.
#[derive(Debug, Serialize)]
struct Offer {
    tools: Vec<Item>,
    prompts: Vec<Item>,
    resources: Vec<Item>,
}

#[derive(Debug, Serialize)]
struct Item {
    name: String,
    description: String,
}

impl Item {
    fn of(item: Json<'_>) -> Item {
        let string = |member: &str| item.get(member).and_then(Json::string).map(|text| tame(&text));
        Item {
            name: string("name").unwrap_or_default(),
            description: string("description").or_else(|| string("title")).unwrap_or_default(),
        }
    }
}

impl print::Row for Item {
    const TITLES: &'static [&'static str] = &["TOOL", "DESCRIPTION"];

    fn cells(&self) -> Vec<String> {
        let mut line = self.description.lines().next().unwrap_or_default().to_owned();
        if line.chars().count() > 100 {
            line = line.chars().take(99).chain(['…']).collect();
        }
        vec![self.name.clone(), line]
    }
}

fn show_offer(name: &str, offer: &Offer) -> anyhow::Result<()> {
    let also = [(offer.prompts.len(), "prompt"), (offer.resources.len(), "resource")];
    let also: Vec<String> = also
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}{}", if *count == 1 { "" } else { "s" }))
        .collect();
    if !also.is_empty() {
        print::line(&format!("{name} offers {}, and these tools:", also.join(" and ")))?;
    }
    print::rows(Output::Table, &offer.tools, &format!("{name} offers no tools"))
}

/// Asks one server through a gateway that has this server alone and a folder for its log that goes with it:
/// the one that may be running is not disturbed. What the server shows is kept in the store, held back.
async fn offer_of(
    desk: &trust::Desk<'_>,
    name: mcp::ServerName,
) -> anyhow::Result<Result<Offer, ClientFault>> {
    let scratch = state::Scratch::new()?;
    let mut alone = desk.config.clone();
    alone.servers.retain(|server| server.name == name);
    alone.limits.list_deadline = FIRST_START;
    alone.state_dir = scratch.path().to_owned();
    let waiting = print::waiting(&format!("asking {name} what it offers"));
    let identity = alone.servers.first().map(|server| gateway::identity(&server.reach));
    let gate = Gate::Own(gateway::Gateway::open(alone).await?);
    let asked = trust::ask(&gate, name).await;
    gate.close().await;
    waiting.finish_and_clear();
    let asked = match asked? {
        Ok(asked) => asked,
        Err(fault) => return Ok(Err(fault)),
    };
    let mut offer = Offer {
        tools: Vec::new(),
        prompts: Vec::new(),
        resources: asked.resources.iter().map(|item| Item::of(item.json())).collect(),
    };
    let identity = identity.unwrap_or_default();
    for pin in desk.store.pins(&identity).await? {
        let into = match pin.kind.as_str() {
            "tool" => &mut offer.tools,
            "prompt" => &mut offer.prompts,
            _ => continue,
        };
        let texts = desk.store.pin_texts(&identity, &pin.kind, &pin.name).await?;
        let text = texts.map(|texts| texts.seen).unwrap_or_default();
        into.push(Item::of(Json::read(text.as_bytes(), &Limits::default()).unwrap_or(Json::EMPTY)));
    }
    Ok(Ok(offer))
}

#[derive(Serialize)]
struct Line {
    name: String,
    kind: &'static str,
    era: &'static str,
    #[serde(rename = "where")]
    reached: String,
    tools: Option<usize>,
    state: String,
}

impl print::Row for Line {
    const TITLES: &'static [&'static str] = &["NAME", "KIND", "ERA", "TOOLS", "STATE", "WHERE"];

    fn cells(&self) -> Vec<String> {
        let tools = self.tools.map_or_else(|| "-".to_owned(), |count| count.to_string());
        vec![
            self.name.clone(),
            self.kind.to_owned(),
            self.era.to_owned(),
            tools,
            self.state.clone(),
            self.reached.clone(),
        ]
    }
}

pub fn list(global: &Global, offline: bool) -> anyhow::Result<()> {
    let loaded = load(global)?;
    let mut lines = configured(&loaded);
    if !offline && lines.iter().any(|line| line.state.is_empty()) {
        let folder = state::folder(global.state_dir.clone())?;
        wait(async {
            ask_all(&loaded, folder.clone(), &mut lines).await?;
            tell_held_back(&loaded, &folder, &mut lines).await
        })?;
    }
    for line in &mut lines {
        if line.state.is_empty() {
            line.state = "not asked".to_owned();
        }
    }
    print::rows(
        global.output,
        &lines,
        "no servers: `bartizan add NAME -- COMMAND…` or `bartizan add NAME URL`",
    )
}

/// One line for each server; those to ask have no state yet.
fn configured(loaded: &Loaded) -> Vec<Line> {
    if loaded.path.is_none() {
        return vec![Line {
            name: DEMO.to_owned(),
            kind: "command",
            era: "auto",
            reached: "built in".to_owned(),
            tools: None,
            state: String::new(),
        }];
    }
    let line = |name: &str, server: &Server| Line {
        name: name.to_owned(),
        kind: if server.url.is_some() { "remote" } else { "command" },
        era: server.era.as_str(),
        reached: match (&server.url, &server.command) {
            (Some(url), _) => url.get_ref().0.to_string(),
            (None, command) => command
                .iter()
                .map(|command| command.get_ref())
                .chain(server.args.iter().map(|arg| arg.get_ref()))
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(" "),
        },
        tools: None,
        state: match lock::must_be_locked(loaded, name) {
            _ if !server.enabled => "disabled".to_owned(),
            Ok(()) => String::new(),
            Err(_) => format!("not locked: bartizan lock {name}"),
        },
    };
    loaded.file.servers.iter().map(|(key, server)| line(key.0.as_str(), server.get_ref())).collect()
}

/// Asks every server, all at once, through the running gateway or our own.
async fn ask_all(loaded: &Loaded, folder: PathBuf, lines: &mut [Line]) -> anyhow::Result<()> {
    let waiting = print::waiting("asking the servers");
    let gate = match Gate::running(&folder).await {
        Some(gate) => gate,
        None => Gate::own(loaded, &folder).await?,
    };
    let gate = std::sync::Arc::new(gate);
    let mut asked = tokio::task::JoinSet::new();
    for (index, line) in lines.iter().enumerate().filter(|(_, line)| line.state.is_empty()) {
        let name = mcp::ServerName::new(&line.name)?;
        let gate = gate.clone();
        asked.spawn(async move { (index, count_tools(&gate, name).await) });
    }
    while let Some(done) = asked.join_next().await {
        let (index, counted) = done?;
        match counted {
            Ok(count) => (lines[index].tools, lines[index].state) = (Some(count), "ok".to_owned()),
            Err(error) => lines[index].state = tame(&error.to_string()),
        }
    }
    if let Some(gate) = std::sync::Arc::into_inner(gate) {
        gate.close().await;
    }
    waiting.finish_and_clear();
    Ok(())
}

/// What a server offers and nobody sees, since nobody approved it.
async fn tell_held_back(loaded: &Loaded, folder: &Path, lines: &mut [Line]) -> anyhow::Result<()> {
    let config = config::resolve::resolve(loaded, folder)?;
    let store = store::Store::open(&config.store).await?;
    for server in &config.servers {
        let named = |line: &&mut Line| line.name == server.name.as_str() && line.state == "ok";
        let Some(line) = lines.iter_mut().find(named) else { continue };
        let pins = store.pins(&gateway::identity(&server.reach)).await?;
        let held = |pin: &&store::Pin| {
            pin.kind == "tool" && gateway::pin(pin).state() != ::trust::State::Approved
        };
        match pins.iter().filter(held).count() {
            0 => {}
            count => line.state = format!("ok, {count} held back"),
        }
    }
    store.close().await;
    Ok(())
}

async fn count_tools(gate: &Gate, name: mcp::ServerName) -> anyhow::Result<usize> {
    let mut client = gate.client(Scope::One(name)).await?;
    Ok(client.list("tools/list", "tools").await?.0.len())
}
