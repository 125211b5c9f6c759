//! Starting a server's process.

use tokio::process::Child;

use crate::{DESCRIPTORS, GateSockets, Level, Network, Profile, SpawnFault};

/// A started server.
#[derive(Debug)]
pub struct Spawned {
    /// Its process: stdin, stdout and stderr piped. Its end is the end of all that it started.
    pub child: Child,
    /// The sockets of its network namespace, if the profile asked for some.
    pub gate: Option<GateSockets>,
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
    start(profile)
}

#[cfg(target_os = "linux")]
use crate::confined::start;

/// Without the Linux kernel's means: unconfined where that is asked for by name, or not at all.
#[cfg(not(target_os = "linux"))]
fn start(profile: &Profile) -> Result<Spawned, SpawnFault> {
    use std::ffi::OsStr;
    use std::process::Stdio;

    if profile.level != Level::Off {
        return Err(SpawnFault::Level(
            "servers are confined on Linux only; name that in the server's entry to start it unconfined: sandbox = { level = \"off\" }",
        ));
    }
    if !profile.descriptors.is_empty() {
        return Err(SpawnFault::Level("descriptors are passed on Linux only"));
    }
    let fault = |error| SpawnFault::Command { command: profile.command.clone(), error };
    let environment = profile.environment();
    let path =
        environment.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_os_str());
    let program =
        crate::resolve::resolve(&profile.command, path, profile.cwd.as_deref()).map_err(fault)?;
    let mut command = tokio::process::Command::new(&program);
    #[cfg(unix)]
    command.arg0(OsStr::new(&profile.command)).process_group(0);
    command
        .args(&profile.args)
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
