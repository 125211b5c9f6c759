//! What is confined on this machine, as tried.

use std::path::Path;

use crate::Level;

/// How far a protection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum State {
    Off,
    On,
    Partial,
}

/// One protection of local servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protection {
    /// Its short name.
    pub name: &'static str,
    /// Whether it is there.
    pub state: State,
    /// What that means, in a sentence.
    pub detail: String,
    /// What would make it better; empty where nothing is missing.
    pub mend: String,
}

/// Tries on this machine what each layer is to forbid, in throw-away servers at a level. `program`: one
/// that calls [`crate::jail_main`] and [`crate::probe_main`]. Must be called inside a tokio runtime; takes
/// a fraction of a second.
#[cfg(target_os = "linux")]
pub async fn posture(level: Level, program: &Path) -> Vec<Protection> {
    use crate::probe::{What, probe};

    const LAYERS: [(What, &str, &str); 11] = [
        (
            What::Files,
            "sandbox: files",
            "a server sees its own program, the system's libraries and what its entry names",
        ),
        (What::Network, "sandbox: network", "neither TCP nor UDP leaves a server"),
        (
            What::Sockets,
            "sandbox: sockets",
            "a server does not reach this machine's abstract sockets",
        ),
        (
            What::Signals,
            "sandbox: processes",
            "a server can't signal the gateway, nor see what else runs",
        ),
        (
            What::Calls,
            "sandbox: system calls",
            "bpf, io_uring, ptrace, namespaces, keyrings, vsock and some 60 more are refused",
        ),
        (What::Privileges, "sandbox: privileges", "a server has no capabilities and can gain none"),
        (
            What::Environment,
            "sandbox: environment",
            "a server gets an allow-list of variables and its own settings",
        ),
        (What::Memory, "sandbox: memory", "a server that takes more than its limit is stopped"),
        (
            What::Processes,
            "sandbox: process count",
            "a server can't start more processes and threads than its limit",
        ),
        (What::Descriptors, "sandbox: open files", "a server can't open more files than its limit"),
        (
            What::Disk,
            "sandbox: disk",
            "a server can't write a longer file than its limit, and its /tmp is bounded; what it writes to named paths is not counted together",
        ),
    ];
    let tried = match probe(level, program).await {
        Ok(tried) => tried,
        Err(fault) => {
            return vec![Protection {
                name: "sandbox",
                state: State::Off,
                detail: format!("no server can be started at the level \"{}\"", level.as_str()),
                mend: fault.to_string(),
            }];
        }
    };
    let protection = |(what, name, detail): (What, &'static str, &str)| {
        let mut own = tried.iter().filter(|tried| tried.what == what).peekable();
        let missing = own.peek().is_none();
        let worked = own.find_map(|tried| tried.worked.clone());
        let (state, detail) = match worked {
            Some(worked) => (State::Off, format!("tried on this machine: {worked}")),
            None if missing => (State::Off, "the attempt did not come to an end".to_owned()),
            None => (State::On, format!("{detail} (tried on this machine, and refused)")),
        };
        Protection { name, state, detail, mend: String::new() }
    };
    LAYERS.into_iter().map(protection).collect()
}

/// Nothing is confined here.
#[cfg(not(target_os = "linux"))]
pub async fn posture(_: Level, _: &Path) -> Vec<Protection> {
    vec![Protection {
        name: "sandbox",
        state: State::Off,
        detail: match cfg!(target_os = "macos") {
            true => "Seatbelt confines servers whose entry says level = \"basic\", which was never tried on a Mac by those who made it; others start only with level = \"off\"",
            false => "servers are confined on Linux only; here they start only where their entry says level = \"off\"",
        }
        .to_owned(),
        mend: "run the gateway on Linux, or in a virtual machine with it".to_owned(),
    }]
}
