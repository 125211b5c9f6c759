//! What is confined on this machine, honestly.

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
    pub detail: &'static str,
}

/// Every protection of local servers, and whether it is there.
pub fn posture() -> Vec<Protection> {
    let unix = if cfg!(unix) { State::On } else { State::Off };
    let parent = if cfg!(target_os = "linux") { State::On } else { State::Partial };
    let protection = |name, state, detail| Protection { name, state, detail };
    vec![
        protection(
            "environment",
            State::On,
            "a server gets an allow-list of variables and its own settings",
        ),
        protection("descriptors", unix, "a server inherits its three pipes and nothing else"),
        protection("process group", unix, "a server and what it started end together"),
        protection(
            "parent death",
            parent,
            "a server ends with the gateway, even when that is killed",
        ),
        protection("core dumps", unix, "a server leaves no core file"),
        protection(
            "file system",
            State::Off,
            "a server reads and writes whatever the gateway's user may",
        ),
        protection("network", State::Off, "a server connects wherever the machine may"),
        protection("system calls", State::Off, "a server may make any system call"),
        protection("resources", State::Off, "a server's memory and processor time are not limited"),
    ]
}
