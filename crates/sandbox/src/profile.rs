//! What is to run, and what it may touch.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// The number of the first of [`Profile::descriptors`].
pub const FIRST_DESCRIPTOR: u16 = 10;
/// How many a server may be given.
pub const DESCRIPTORS: usize = 4;

/// A file, a pipe, a socket.
#[cfg(unix)]
pub type OwnedDescriptor = std::os::fd::OwnedFd;
/// A file, a pipe, a socket.
#[cfg(not(unix))]
pub type OwnedDescriptor = std::fs::File;

/// A local server's command and its bounds. `Debug` prints no values of the environment and no
/// contents of files: they may be secrets.
#[derive(Clone)]
pub struct Profile {
    /// The server's name: names its control group.
    pub name: String,
    /// Whose server it is, for the user id that it gets where the gateway is root: two gateways on one machine have
    /// servers of one name.
    pub household: String,
    /// A name that is looked for on `PATH`, or a path.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables beyond the allow-list, or instead of what it would pass.
    pub env: Vec<(String, String)>,
    /// Where it runs. `None`: its private `/tmp`, or the gateway's own folder at [`Level::Off`].
    pub cwd: Option<PathBuf>,
    /// How strictly it is confined.
    pub level: Level,
    /// Files and folders that it may read, beside its runtime and its own program.
    pub read: Vec<PathBuf>,
    /// Files and folders that it may read and change.
    pub write: Vec<PathBuf>,
    /// What is the gateway's own: nothing that holds it can be named.
    pub hidden: Vec<PathBuf>,
    /// Files that exist only in the jail, read-only: the absolute path there, and the contents.
    pub files: Vec<(PathBuf, Vec<u8>)>,
    /// What it has open besides its standard input and outputs: as the descriptors from [`FIRST_DESCRIPTOR`] on, at most
    /// [`DESCRIPTORS`]. Linux only.
    pub descriptors: Vec<Arc<OwnedDescriptor>>,
    /// What it reaches.
    pub network: Network,
    /// Which system calls it may make, of those that are not denied to all.
    pub calls: Calls,
    /// What it may use up.
    pub limits: Limits,
    /// The program that becomes the jail: it calls [`crate::jail_main`] when its first argument is
    /// [`crate::JAIL`]. `None`: this very program.
    pub jailer: Option<PathBuf>,
}

/// How strictly a server is confined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Every layer: namespaces with a root file system of its own, Landlock, seccomp, limits.
    #[default]
    Strong,
    /// Landlock, seccomp and limits, without namespaces. No network and no Unix sockets at all, since
    /// without a network namespace neither UDP nor abstract sockets can be confined otherwise.
    Basic,
    /// None: the gateway's user's rights. Environment, descriptors and the process's end are
    /// still looked after.
    Off,
}

impl Level {
    /// As it is written in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Strong => "strong",
            Level::Basic => "basic",
            Level::Off => "off",
        }
    }
}

/// Which system calls a server may make, of those that are not denied to all.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Calls {
    /// All of them.
    #[default]
    All,
    /// All of them, and they are told of, with the paths that it asks for: slower by some microseconds for each.
    Learned,
    /// Those with these names, and the few that every program needs.
    Only(Vec<String>),
}

/// What a server reaches.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Network {
    /// Nothing; it can't even make an internet socket.
    #[default]
    None,
    /// Sockets in its own network namespace, on which somebody outside accepts. Whatever address it
    /// connects to, the connection ends at one of them or nowhere. Needs [`Level::Strong`].
    Gate(Request),
}

/// Which sockets are wanted inside of the jail's network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Request {
    /// TCP ports, at most 64, on which connections to any address are accepted.
    pub tcp: Vec<u16>,
    /// TCP on 127.0.0.1:3128, for an HTTP proxy.
    pub proxy: bool,
    /// UDP and TCP on 127.0.0.1:53, which `/etc/resolv.conf` in the jail names.
    pub dns: bool,
}

/// What a server may use up. What can't be enforced on this machine, [`crate::posture`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Limits {
    /// Memory of all its processes together, in bytes. Without control groups: of each process.
    pub memory: u64,
    /// Processes and threads.
    pub processes: u64,
    /// Open files of each process.
    pub descriptors: u64,
    /// The longest file that it may write, and the size of its private `/tmp`, in bytes.
    pub disk: u64,
    /// Processor time, in percent of one core; `None`: whatever is free. Needs control groups.
    pub cpu: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { memory: 1 << 30, processes: 128, descriptors: 1024, disk: 256 << 20, cpu: None }
    }
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let env: Vec<&str> = self.env.iter().map(|(name, _)| name.as_str()).collect();
        let files: Vec<_> = self.files.iter().map(|(path, _)| path).collect();
        f.debug_struct("Profile")
            .field("name", &self.name)
            .field("command", &self.command)
            .field("args", &self.args)
            .field("env", &env)
            .field("cwd", &self.cwd)
            .field("level", &self.level)
            .field("read", &self.read)
            .field("write", &self.write)
            .field("files", &files)
            .field("descriptors", &self.descriptors.len())
            .field("network", &self.network)
            .field("calls", &self.calls)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Variables of the gateway's own environment that a server gets at [`Level::Off`]: what programs
/// need to find themselves and to speak the user's language, and nothing that holds a secret.
const PASSED: [&str; 7] = ["HOME", "LANG", "PATH", "TERM", "TMPDIR", "TZ", "USER"];
/// What a confined server gets of it: its home, its user and its `PATH` are the jail's.
const PASSED_CONFINED: [&str; 3] = ["LANG", "TERM", "TZ"];
/// What Windows programs do not start without.
const PASSED_WINDOWS: [&str; 8] = [
    "APPDATA",
    "LOCALAPPDATA",
    "PATHEXT",
    "SYSTEMDRIVE",
    "SYSTEMROOT",
    "TEMP",
    "TMP",
    "USERPROFILE",
];

impl Profile {
    /// A command with every bound at its default: confined strongly, reading and reaching nothing.
    pub fn new(name: impl Into<String>, command: impl Into<String>) -> Profile {
        Profile {
            name: name.into(),
            household: String::new(),
            command: command.into(),
            args: Vec::new(),
            env: Vec::new(),
            cwd: None,
            level: Level::default(),
            read: Vec::new(),
            write: Vec::new(),
            hidden: Vec::new(),
            files: Vec::new(),
            descriptors: Vec::new(),
            network: Network::default(),
            calls: Calls::default(),
            limits: Limits::default(),
            jailer: None,
        }
    }

    /// All that decides what runs and what it may touch, as JSON: what an audit takes the digest of. Of
    /// variables and files the names alone, since values may be secrets and change.
    pub fn describe(&self) -> String {
        let env: Vec<&str> = self.env.iter().map(|(name, _)| name.as_str()).collect();
        let files: Vec<_> = self.files.iter().map(|(path, _)| path).collect();
        serde_json::json!({
            "command": self.command, "args": self.args, "env": env, "cwd": self.cwd,
            "level": self.level, "read": self.read, "write": self.write, "files": files,
            "descriptors": self.descriptors.len(), "network": self.network, "calls": self.calls,
            "limits": self.limits,
        })
        .to_string()
    }

    /// The variables of our own that the process gets, and those of the profile instead of or beside
    /// them.
    pub(crate) fn environment(&self) -> Vec<(OsString, OsString)> {
        let explicit = |name: &OsString| self.env.iter().any(|(ours, _)| name == ours.as_str());
        std::env::vars_os()
            .filter(|(name, _)| name.to_str().is_some_and(|n| self.passes(n)) && !explicit(name))
            .chain(self.env.iter().map(|(name, value)| (name.into(), value.into())))
            .collect()
    }

    fn passes(&self, name: &str) -> bool {
        let passed: &[&str] = if self.level == Level::Off { &PASSED } else { &PASSED_CONFINED };
        passed.contains(&name)
            || name.starts_with("LC_")
            || (cfg!(windows) && PASSED_WINDOWS.contains(&name.to_ascii_uppercase().as_str()))
    }
}
