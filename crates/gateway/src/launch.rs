//! How a fresh process of a local server is started, and that it leaves a record.

use std::{io::Write, sync::Arc};

use audit::{Kind, Outcome, Payload, Record};
use sandbox::{Profile, Spawned};
use tokio::runtime::Handle;
use upstream::{Launch, Launched, Partition};

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
        Ok(Launched { child: spawned.child, kept: Some(equipped.run(spawned.gate)?) })
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
