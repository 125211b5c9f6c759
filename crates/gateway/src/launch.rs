//! How a fresh process of a local server is started, and that it leaves a record.

use std::{io::Write, sync::Arc};

use audit::{Kind, Outcome, Payload, Record};
use mcp::ServerName;
use sandbox::{Profile, Spawned};
use tokio::runtime::Handle;
use upstream::{Assign, Launch, Launched, Partition};

use crate::{
    config::{Descriptor, DescriptorSaid, Reach, Server},
    egress::Witness,
    secrets::{SecretFault, Secrets},
};

/// Starts processes of this server. The environment is resolved at each start, so a rotated secret is
/// picked up by the next process.
pub(crate) fn launch(entry: &Server, witness: &Witness) -> Result<Launch, vault::VaultFault> {
    let Reach::Stdio { command, args, env, descriptors, egress, package, cwd, sandbox } =
        entry.reach.clone()
    else {
        return Ok(Arc::new(|_| Err("not a local server".into())));
    };
    let environment = vault::Environment::new(env)?;
    let (name, witness) = (entry.name.clone(), witness.clone());
    Ok(Arc::new(move |partition| {
        let env = resolve(&environment, witness.secrets())?;
        let env = env.into_iter().map(|(name, value)| (name, value.expose().to_owned()));
        let mut profile = Profile {
            args: args.clone(),
            cwd: cwd.clone(),
            level: sandbox.level,
            read: sandbox.read.clone(),
            write: sandbox.write.clone(),
            limits: sandbox.limits,
            calls: sandbox.calls.clone(),
            household: witness.state_dir().display().to_string(),
            hidden: vec![witness.state_dir().to_owned()],
            ..Profile::new(name.as_str(), &command)
        };
        for descriptor in &descriptors {
            hand_over(descriptor, witness.secrets(), &mut profile)?;
        }
        let equipped = witness.equip(&name, egress.as_deref(), package.as_deref(), &mut profile)?;
        profile.env.extend(env);
        let spawned = start(&profile, partition, &witness)?;
        #[cfg(target_os = "linux")]
        learn(spawned.watch, &name, &witness)?;
        let pid = spawned.child.id().unwrap_or_default();
        let assign = (*partition == Partition::nobody()).then(|| assign(&name, pid, &witness));
        Ok(Launched { child: spawned.child, kept: Some(equipped.run(spawned.gate)?), assign })
    }))
}

/// How much a pipe takes at once, whatever the machine's bounds are.
const AT_ONCE: usize = 4096;

/// Puts a secret into a pipe that the process will have open: it is neither in its environment nor in a file, and gone
/// once it was read.
fn hand_over(
    descriptor: &Descriptor,
    secrets: &Secrets,
    profile: &mut Profile,
) -> Result<(), String> {
    let value = Handle::current().block_on(secrets.resolve(&descriptor.value));
    let value = value.map_err(|fault| fault.to_string())?.secret;
    let (read, mut write) = std::io::pipe().map_err(|fault| fault.to_string())?;
    if value.expose().len() <= AT_ONCE {
        write.write_all(value.expose().as_bytes()).map_err(|fault| fault.to_string())?;
    } else {
        // It ends when all is read, or when nobody is left who could.
        tokio::task::spawn_blocking(move || write.write_all(value.expose().as_bytes()));
    }
    let number = usize::from(sandbox::FIRST_DESCRIPTOR) + profile.descriptors.len();
    let said = match descriptor.said {
        DescriptorSaid::Number => number.to_string(),
        DescriptorSaid::Path => format!("/dev/fd/{number}"),
    };
    profile.env.push((descriptor.variable.clone(), said));
    profile.descriptors.push(Arc::new(read.into()));
    Ok(())
}

/// Keeps what a server calls and which files it asks for, if that is to be learned.
#[cfg(target_os = "linux")]
fn learn(
    watch: Option<sandbox::Watch>,
    server: &ServerName,
    witness: &Witness,
) -> Result<(), String> {
    let Some(watch) = watch else { return Ok(()) };
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    // It ends with the process, whose calls wait for it.
    let watching = move || watch.run(|want| drop(tell.send(want)));
    let thread = std::thread::Builder::new().name("watch".into()).spawn(watching);
    thread.map_err(|fault| fault.to_string())?;
    let (server, store) = (server.clone(), witness.store().clone());
    Handle::current().spawn(async move {
        let mut wants = Vec::new();
        while told.recv_many(&mut wants, 256).await > 0 {
            let seen: Vec<store::Want> = wants.drain(..).filter_map(seen).collect();
            let kept = store.wants_record(server.as_str(), &seen, crate::now()).await;
            if let Err(fault) = kept {
                tracing::warn!(%fault, "what the server wants can't be kept");
            }
        }
    });
    Ok(())
}

/// As the store keeps it. A path that is no text can't be written into a configuration.
#[cfg(target_os = "linux")]
fn seen(want: sandbox::Want) -> Option<store::Want> {
    Some(match want {
        sandbox::Want::Call(name) => store::Want::Call(name.to_owned()),
        sandbox::Want::Path { path, write: false } => store::Want::Read(path.to_str()?.to_owned()),
        sandbox::Want::Path { path, write: true } => store::Want::Write(path.to_str()?.to_owned()),
    })
}

/// A process that waited may work for somebody only once that is on record.
fn assign(server: &ServerName, pid: u32, witness: &Witness) -> Assign {
    let (server, witness) = (server.clone(), witness.clone());
    Box::new(move |partition| {
        let record = Record {
            kind: Kind::Spawn,
            principal: &partition.0,
            server: server.as_str(),
            outcome: Some(Outcome::Ok),
            detail: &format!("the waiting process {pid} is theirs"),
            ..Record::default()
        };
        let noted = Handle::current().block_on(witness.journal().append(&record));
        noted.map(drop).map_err(|fault| fault.to_string())
    })
}

/// Blocks until all are read.
fn resolve(
    environment: &vault::Environment,
    secrets: &Secrets,
) -> Result<Vec<(String, vault::Secret)>, String> {
    let reading = async {
        let mut values = Vec::new();
        for (_, reference) in environment.list() {
            values.push(secrets.resolve(reference).await?.secret);
        }
        Ok(values)
    };
    let values = Handle::current().block_on(reading);
    let values = values.map_err(|fault: SecretFault| fault.to_string())?;
    environment.fill(values).map_err(|fault| fault.to_string())
}

/// A process may work only once its start is on record. Blocks until it is.
fn start(profile: &Profile, partition: &Partition, witness: &Witness) -> Result<Spawned, String> {
    let started = sandbox::spawn(profile).map_err(|fault| fault.to_string());
    let command: Vec<&str> =
        std::iter::once(&profile.command).chain(&profile.args).map(String::as_str).collect();
    let mut detail = format!("{}: {}", profile.level.as_str(), command.join(" "));
    if *partition == Partition::nobody() {
        detail.push_str(" (before anybody calls)");
    }
    if let Err(fault) = &started {
        detail = format!("{fault} ({detail})");
    }
    let record = Record {
        kind: Kind::Spawn,
        principal: &partition.0,
        server: &profile.name,
        definition: Some(Payload::of(profile.describe().as_bytes()).sha256),
        outcome: Some(if started.is_ok() { Outcome::Ok } else { Outcome::Error }),
        detail: &detail,
        ..Record::default()
    };
    Handle::current()
        .block_on(witness.journal().append(&record))
        .map_err(|fault| fault.to_string())?;
    started
}
