//! `posture`: every protection, and honestly whether it is there.

use serde::Serialize;

use super::{load, wait};
use crate::{
    cli::Global,
    config::{
        Loaded,
        alerts::MailTls,
        file::{File, Level, Loopback, Server},
        flow::Conversation,
        trust::OnFirstUse,
    },
    lock, print, state,
};

pub fn run(global: &Global) -> anyhow::Result<()> {
    let all = wait(all(global, &load(global)?))?;
    print::rows(global.output, &all, "")
}

/// What the configuration says, and what this machine was seen to do.
pub async fn all(global: &Global, loaded: &Loaded) -> anyhow::Result<Vec<Protection>> {
    let folder = state::folder(global.state_dir.clone())?;
    let store = folder.join(state::STORE);
    let loaded = &super::policy::stored::beside(loaded.clone(), &store).await?;
    let mut all = protections(loaded);
    let tokens = super::token::valid(global).await?;
    let unlimited = super::token::unlimited(loaded, &tokens);
    if let Some(row) = all.iter_mut().find(|row| row.name == "policy" && !unlimited.is_empty()) {
        row.state = State::Partial;
        row.means = format!(
            "the token {} has the role `all`, whatever other roles say",
            unlimited.join(", ")
        );
        row.mend = "`bartizan token revoke NAME`, then mint it anew".to_owned();
    }
    if let Some(row) = all.iter_mut().find(|row| row.name == "audit")
        && let Some(fault) = log_fault(&folder).await
    {
        row.state = State::Off;
        row.means = format!("the running gateway can't record, so it refuses every call: {fault}");
        row.mend = "mend that, then restart the gateway".to_owned();
    }
    // What was tried belongs behind what was written about it.
    let at =
        all.iter().position(|row| row.name == "sandbox: levels").map_or(all.len(), |at| at + 1);
    all.splice(at..at, tried().await?);
    let at = all.iter().position(|row| row.name == "credentials").map_or(all.len(), |at| at + 1);
    all.splice(at..at, super::secret::protections(global, loaded).await?);
    Ok(all)
}

/// Why the gateway that runs on this folder can't write its log; `None` where it can, or none runs.
#[cfg(unix)]
async fn log_fault(folder: &std::path::Path) -> Option<String> {
    let answer = gateway::door::control(folder, &gateway::Control::Fault).await?.ok()?;
    serde_json::from_str(&answer).ok()?
}

#[cfg(not(unix))]
async fn log_fault(_: &std::path::Path) -> Option<String> {
    None
}

/// How far a protection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    On,
    Partial,
    Off,
}

/// One protection.
#[derive(Clone, Debug, Serialize)]
pub struct Protection {
    pub name: &'static str,
    pub state: State,
    /// What that means on this machine.
    pub means: String,
    /// How it gets better; empty where nothing can be done.
    pub mend: String,
    /// What is missing, said alone: where `means` begins with what is there.
    #[serde(skip)]
    pub gap: Option<String>,
}

impl print::Row for Protection {
    const TITLES: &'static [&'static str] =
        &["PROTECTION", "STATE", "WHAT THAT MEANS", "HOW IT GETS BETTER"];

    fn cells(&self) -> Vec<String> {
        let state = match self.state {
            State::On => "on",
            State::Partial => "partial",
            State::Off => "off",
        };
        vec![self.name.to_owned(), state.to_owned(), self.means.clone(), self.mend.clone()]
    }
}

pub(super) fn protection(
    name: &'static str,
    state: State,
    means: impl Into<String>,
    mend: impl Into<String>,
) -> Protection {
    Protection { name, state, means: means.into(), mend: mend.into(), gap: None }
}

/// All of them, in the order of a call's way through the gateway.
pub fn protections(loaded: &Loaded) -> Vec<Protection> {
    let file = &loaded.file;
    let mut all = vec![tls(file)];
    all.push(protection("host and origin", State::On, "requests for other hosts and from other web pages are refused, so that neither DNS rebinding nor a page in a browser gets in", ""));
    all.push(identity(file));
    all.extend(sign_in(file));
    all.push(protection("sessions", State::On, "sessions, cursors and pending questions are sealed and bound to the caller they were made for", ""));
    all.push(definitions(file));
    all.push(policy(loaded));
    all.push(flow(file));
    all.push(protection("inspection", State::Partial, "size and structure of messages are bounded; detectors look at arguments and results, and miss a part of what is there (docs/detection.md)", "what they do with a finding: [inspect.modes]"));
    all.push(vault(file));
    all.push(private_addresses(file));
    all.push(levels(file));
    all.push(egress(file));
    all.push(packages(loaded));
    all.push(audit(file));
    all.extend(telemetry(file));
    all
}

/// Only where something is loosened.
fn telemetry(file: &File) -> Option<Protection> {
    let mut open = Vec::new();
    if file.telemetry.allow_remote && file.telemetry.listen.is_some() {
        open.push("other machines may read the metrics without a sign-in");
    }
    if file.alerts.mail.as_ref().is_some_and(|mail| mail.tls == MailTls::Off) {
        open.push("alerts are mailed unencrypted");
    }
    (!open.is_empty()).then(|| {
        let mend = "[telemetry] allow-remote = false; [alerts.mail] tls = \"start-tls\"";
        protection("telemetry", State::Partial, open.join("; "), mend)
    })
}

fn tls(file: &File) -> Protection {
    match &file.tls {
        Some(_) => protection("encryption", State::On, "clients connect by TLS", ""),
        None if file.listen.get_ref().0.ip().is_loopback() => protection(
            "encryption",
            State::Off,
            "plain HTTP, which does not leave this machine",
            "[tls] cert, key",
        ),
        None => protection(
            "encryption",
            State::Off,
            "tokens and calls cross the network as plain HTTP",
            "[tls] cert, key; or a TLS proxy in front",
        ),
    }
}

fn identity(file: &File) -> Protection {
    match file.identity.loopback {
        Loopback::Token => protection(
            "identity",
            State::On,
            format!(
                "{}; commands of this machine's owner come through a socket and by a token that nobody else can open",
                shown(file)
            ),
            "",
        ),
        Loopback::Open => protection(
            "identity",
            State::Off,
            if cfg!(target_os = "linux") {
                "any program of this user may call without a token"
            } else {
                "any program and any user on this machine may call without a token"
            },
            "[identity] loopback = \"token\"",
        ),
    }
}

/// Sign-in for people, where it is on.
fn sign_in(file: &File) -> Option<Protection> {
    let sign_in = file.sign_in.as_ref()?;
    Some(if sign_in.documents.allow_private {
        protection(
            "sign-in",
            State::Partial,
            "people sign in, but whoever reaches this gateway can make it fetch from private addresses",
            "[sign-in.documents] allow-private = false",
        )
    } else {
        let means = format!(
            "people sign in at {} and say which client may act for them; PKCE, exact redirect URIs, tokens for one endpoint",
            sign_in.provider.get_ref()
        );
        protection("sign-in", State::On, means, "")
    })
}

/// What callers show.
fn shown(file: &File) -> String {
    let names: Vec<&str> = file.identity.providers.keys().map(|key| key.0.as_str()).collect();
    let mut shown = match names.as_slice() {
        [] => "every caller shows a token".to_owned(),
        names => {
            format!("every caller shows a token, minted here or issued by {}", names.join(", "))
        }
    };
    if file.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some()) {
        shown.push_str(", or a client certificate");
    }
    shown
}

fn definitions(file: &File) -> Protection {
    let approves =
        |of: Option<OnFirstUse>| of.unwrap_or(file.trust.on_first_use) == OnFirstUse::Approve;
    let trusted: Vec<&str> = file
        .servers
        .iter()
        .filter(|(_, server)| approves(server.get_ref().on_first_use))
        .map(|(key, _)| key.0.as_str())
        .collect();
    match trusted.as_slice() {
        [] => protection(
            "trust",
            State::On,
            "a definition that nobody approved, or that changed, is listed to nobody and callable by nobody",
            "",
        ),
        names => protection(
            "trust",
            State::Partial,
            format!(
                "what {} showed first is trusted unseen; changes are held back",
                names.join(", ")
            ),
            "on-first-use = \"quarantine\"",
        ),
    }
}

fn policy(loaded: &Loaded) -> Protection {
    let roles = || loaded.role_texts().flat_map(|(_, _, roles)| roles);
    if roles().next().is_none() {
        return protection(
            "policy",
            State::Off,
            "no roles: a token with the role `all` may call every tool",
            "[roles.NAME] members, allow",
        );
    }
    let wide = roles().filter(|(_, role)| {
        role.get_ref().allow.iter().any(|pattern| pattern.get_ref().is_everything())
    });
    let wide: Vec<&str> = wide.map(|(key, _)| key.0.as_str()).collect();
    match wide.as_slice() {
        [] => protection("policy", State::On, "what no role allows is denied and not listed", ""),
        wide => protection(
            "policy",
            State::Partial,
            format!("the role {} allows everything", wide.join(", ")),
            "name the tools: allow = [\"server/tool\"]",
        ),
    }
}

/// Where data may flow.
fn flow(file: &File) -> Protection {
    let labelled = |server: &Server| {
        !server.reads.is_empty() || !server.writes.is_empty() || !server.tools.is_empty()
    };
    let bare = file.servers.iter().filter(|(_, server)| !labelled(server.get_ref()));
    let bare: Vec<&str> = bare.map(|(key, _)| key.0.as_str()).collect();
    if file.flow.rules.is_empty() || bare.len() == file.servers.len() {
        return protection(
            "data flow",
            State::Off,
            "nothing says what servers read and write: what was read from one may be written to any other",
            "`bartizan trust suggest-labels NAME`, then reads and writes in its entry",
        );
    }
    let rules: Vec<String> = file.flow.rules.iter().map(ToString::to_string).collect();
    let mut found = protection("data flow", State::On, rules.join(", "), "");
    if !bare.is_empty() {
        found.state = State::Partial;
        found.gap = Some(format!("{} takes part in no rule", bare.join(", ")));
        found.mend = "reads and writes in every entry".to_owned();
    } else if file.flow.conversation == Conversation::Session {
        found.state = State::Partial;
        found.gap = Some("an agent that opens a new session begins anew".to_owned());
        found.mend = "[flow] conversation = \"principal\"".to_owned();
    }
    if let Some(gap) = &found.gap {
        found.means = format!("{}; {gap}", found.means);
    }
    found
}

/// What local servers are made of.
fn packages(loaded: &Loaded) -> Protection {
    let loose = lock::unlocked(&loaded.file, &loaded.folder());
    let loose: Vec<&str> = loose.into_iter().map(|(name, _)| name).collect();
    match loose.as_slice() {
        [] => protection("packages", State::On, "no server is fetched anew when it starts", ""),
        names => protection(
            "packages",
            State::Partial,
            format!("{} is whatever the registry has when it starts", names.join(", ")),
            "bartizan lock",
        ),
    }
}

fn vault(file: &File) -> Protection {
    let servers = file
        .servers
        .iter()
        .map(|(key, server)| (key.0.as_str(), server.get_ref().injected(key.0.as_str()).is_bare()));
    let models = file
        .models
        .iter()
        .map(|(key, model)| (key.0.as_str(), model.get_ref().injected(key.0.as_str()).is_bare()));
    let bare = servers.chain(models).filter_map(|(name, bare)| bare.then_some(name));
    let literal: Vec<&str> = bare.collect();
    match literal.as_slice() {
        [] => protection(
            "credentials",
            State::On,
            "kept out of clients, logs and records; resolved when they are sent",
            "",
        ),
        names => protection(
            "credentials",
            State::Off,
            format!("the credential of {} stands in the configuration as it is", names.join(", ")),
            "`bartizan secret set NAME`, then value = \"Bearer ${secret:NAME}\"",
        ),
    }
}

fn private_addresses(file: &File) -> Protection {
    let open = file
        .servers
        .iter()
        .filter(|(_, server)| server.get_ref().allow_private)
        .map(|(key, _)| key.0.as_str());
    let providers = file
        .identity
        .providers
        .iter()
        .filter(|(_, provider)| provider.get_ref().allow_private)
        .map(|(key, _)| key.0.as_str());
    let open: Vec<&str> = open.chain(providers).collect();
    match open.as_slice() {
        [] => protection(
            "private addresses",
            State::On,
            "a remote server can't lead the gateway into the local network, and redirects are not followed",
            "",
        ),
        names => protection(
            "private addresses",
            State::Partial,
            format!("{} may be at a private address", names.join(", ")),
            "take allow-private out where it is not needed",
        ),
    }
}

/// What local servers reach.
fn egress(file: &File) -> Protection {
    let learning = file
        .servers
        .iter()
        .filter(|(_, server)| server.get_ref().egress.as_ref().is_some_and(|egress| egress.learn));
    let learning: Vec<&str> = learning.map(|(key, _)| key.0.as_str()).collect();
    match learning.as_slice() {
        [] => protection(
            "egress",
            State::On,
            "a confined local server reaches the hosts that its entry names, through a gate that decides and records each, and nothing else",
            "",
        ),
        names => protection(
            "egress",
            State::Partial,
            format!("{} may reach every public host", names.join(", ")),
            "`bartizan sandbox suggest NAME`, then take learn = true out",
        ),
    }
}

/// What the entries of local servers say.
fn levels(file: &File) -> Protection {
    let at = |level: Level| -> Vec<&str> {
        let local = file.servers.iter().filter(|(_, server)| {
            server.get_ref().command.is_some() && server.get_ref().sandbox.level == level
        });
        local.map(|(key, _)| key.0.as_str()).collect()
    };
    let mend = "take the level out of its entry where the machine can do more";
    match (at(Level::Off).as_slice(), at(Level::Basic).as_slice()) {
        ([], []) => protection(
            "sandbox: levels",
            State::On,
            "every server that is started here is confined strongly, or not started",
            "",
        ),
        ([], weak) => protection(
            "sandbox: levels",
            State::Partial,
            format!("{} without namespaces, by their entries", weak.join(", ")),
            mend,
        ),
        (off, _) => protection(
            "sandbox: levels",
            State::Off,
            format!("{} may do whatever the gateway's user may", off.join(", ")),
            mend,
        ),
    }
}

/// What this machine was seen to forbid. Where it can't do everything, also what it does at the weaker level.
async fn tried() -> anyhow::Result<Vec<Protection>> {
    let program = std::env::current_exe()?;
    let mut found = sandbox::posture(sandbox::Level::Strong, &program).await;
    if cfg!(target_os = "linux") && found.len() == 1 {
        found.extend(sandbox::posture(sandbox::Level::Basic, &program).await);
    }
    let row = |found: sandbox::Protection| {
        let state = match found.state {
            sandbox::State::On => State::On,
            sandbox::State::Partial => State::Partial,
            sandbox::State::Off => State::Off,
        };
        protection(found.name, state, found.detail, found.mend)
    };
    Ok(found.into_iter().map(row).collect())
}

fn audit(file: &File) -> Protection {
    let (written, lost) = if file.audit.sync {
        ("on the disk before its reply leaves", "")
    } else {
        (
            "written before its reply leaves, though a failing machine may lose the last ones",
            "a failing machine may lose the last records; ",
        )
    };
    let strict = if file.audit.strict { "; the intent too, before a call is sent" } else { "" };
    let mut found = protection(
        "audit",
        State::Partial,
        format!(
            "every call's record is {written}{strict}; the log is a signed Merkle tree: an edit, deletion or reordering shows in `bartizan audit verify` once a checkpoint covers it (within 10 s)"
        ),
        "keep audit.pub and checkpoints on another machine: [audit.anchors]",
    );
    found.gap = Some(if file.audit.anchors.is_empty() {
        format!(
            "{lost}whoever holds audit.key or rolls the whole folder back is found out only by a checkpoint kept elsewhere"
        )
    } else {
        format!("{lost}whoever holds audit.key can still change what is not in an anchor yet")
    });
    found
}
