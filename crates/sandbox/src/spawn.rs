//! Starting a server's process.

use tokio::process::Child;

#[cfg(target_os = "linux")]
use crate::Watch;
use crate::{Calls, DESCRIPTORS, GateSockets, Level, Network, Profile, SpawnFault};

/// A started server.
#[derive(Debug)]
pub struct Spawned {
    /// Its process: stdin, stdout and stderr piped. Its end is the end of all that it started.
    pub child: Child,
    /// The sockets of its network namespace, if the profile asked for some.
    pub gate: Option<GateSockets>,
    /// Its system calls, which wait to be looked at, if the profile asked for that.
    #[cfg(target_os = "linux")]
    pub watch: Option<Watch>,
}

/// Starts a fresh process, confined as the profile says; without exception: what this machine can't do is a
/// fault that names the layer. It has a clean environment, stdin, stdout and stderr piped, no other
/// descriptor than those of the profile, a session of its own, and ends with the gateway. Blocks for some milliseconds; must be
/// called inside a tokio runtime.
pub fn spawn(profile: &Profile) -> Result<Spawned, SpawnFault> {
    if profile.level != Level::Strong {
        if profile.network != Network::None {
            return Err(SpawnFault::Level("a network through the gate needs the level \"strong\""));
        }
        if !profile.files.is_empty() {
            return Err(SpawnFault::Level("files of the jail's own need the level \"strong\""));
        }
    }
    if profile.descriptors.len() > DESCRIPTORS {
        return Err(SpawnFault::Level("a server is given four descriptors at most"));
    }
    if profile.level == Level::Off && profile.calls != Calls::All {
        return Err(SpawnFault::Level(
            "a list of system calls needs the level \"strong\" or \"basic\"",
        ));
    }
    start(profile)
}

#[cfg(target_os = "linux")]
use crate::confined::start;

/// Without the Linux kernel's means: unconfined where that is asked for by name, or not at all.
#[cfg(not(target_os = "linux"))]
fn start(profile: &Profile) -> Result<Spawned, SpawnFault> {
    use std::process::Stdio;

    #[cfg(target_os = "macos")]
    let possible = profile.level != Level::Strong;
    #[cfg(not(target_os = "macos"))]
    let possible = profile.level == Level::Off;
    if !possible || profile.calls != Calls::All {
        return Err(SpawnFault::Level(
            "this system can't confine a server so; name a weaker level in its entry: sandbox = { level = \"basic\" } on macOS (Seatbelt, which was not verified), or sandbox = { level = \"off\" } for a server that is not confined",
        ));
    }
    if !profile.descriptors.is_empty() {
        return Err(SpawnFault::Level("descriptors are passed on Linux only"));
    }
    let fault = |error| SpawnFault::Command { command: profile.command.clone(), error };
    let environment = profile.environment();
    let given = environment.iter().find(|(name, _)| name == "PATH");
    let path = given.map(|(_, value)| value.clone()).or_else(|| std::env::var_os("PATH"));
    let cwd = profile.cwd.as_deref();
    let program = crate::resolve::resolve(&profile.command, path.as_deref(), cwd).map_err(fault)?;
    let mut command = tokio::process::Command::new(&program);
    #[cfg(unix)]
    command.arg0(&profile.command);
    command.args(&profile.args);
    #[cfg(target_os = "macos")]
    if profile.level == Level::Basic {
        // One for each server: it stays, and others of this user may read it.
        let scratch = std::env::temp_dir().join(format!("bartizan-{}", profile.name));
        std::fs::create_dir_all(&scratch).map_err(SpawnFault::Jail)?;
        let arguments = crate::seatbelt::arguments(profile, &program, &scratch).map_err(fault)?;
        command = tokio::process::Command::new("/usr/bin/sandbox-exec");
        command.args(arguments).current_dir(&scratch);
    }
    #[cfg(unix)]
    command.process_group(0);
    command
        .env_clear()
        .envs(environment)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if let Some(folder) = &profile.cwd {
        command.current_dir(folder);
    }
    let child = crate::launcher::launch(command).map_err(fault)?;
    Ok(Spawned { child, gate: None })
}
