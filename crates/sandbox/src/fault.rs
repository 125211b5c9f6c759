//! Why a process was not started.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Why a process was not started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnFault {
    /// The command is not there, or can't be executed.
    #[error("{command}: {error}")]
    Command {
        /// As it was written.
        command: String,
        /// Why.
        error: io::Error,
    },
    /// This machine lacks a layer of the level that was asked for.
    #[error("{0}")]
    Layer(#[from] LayerFault),
    /// Starting or talking to the process that becomes the jail failed.
    #[error("the sandbox could not be set up: {0}")]
    Jail(io::Error),
    /// A path of the profile is not there.
    #[error("{}: {error}", path.display())]
    Path {
        /// As it was written.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A path that would give everything away.
    #[error("{} can't be given to a server: it holds what is the machine's own, or the gateway's", .0.display())]
    Forbidden(PathBuf),
    /// The level can't do what the profile asks for.
    #[error("{0}")]
    Level(&'static str),
}

/// A layer that could not be put in place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{} is not available: {detail}; {}", layer.name(), layer.ways_out())]
pub struct LayerFault {
    /// Which.
    pub layer: Layer,
    /// What the system said.
    pub detail: String,
}

/// A part of the confinement that can be missing on a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Layer {
    Capabilities,
    CgroupNamespace,
    Exec,
    Identity,
    IpcNamespace,
    Landlock,
    Limits,
    MountNamespace,
    Network,
    NetworkNamespace,
    PidNamespace,
    Process,
    Root,
    Seccomp,
    TimeNamespace,
    UserNamespace,
    UtsNamespace,
}

impl Layer {
    /// As a sentence names it.
    pub fn name(self) -> &'static str {
        match self {
            Layer::Capabilities => "dropping capabilities",
            Layer::CgroupNamespace => "the cgroup namespace",
            Layer::Exec => "the program",
            Layer::Identity => "what the server's own user needs",
            Layer::IpcNamespace => "the IPC namespace",
            Layer::Landlock => "Landlock",
            Layer::Limits => "the limits of resources",
            Layer::MountNamespace => "the mount namespace",
            Layer::Network => "the jail's own network",
            Layer::NetworkNamespace => "the network namespace",
            Layer::PidNamespace => "the process namespace",
            Layer::Process => "the supervised process",
            Layer::Root => "the root file system",
            Layer::Seccomp => "seccomp",
            Layer::TimeNamespace => "the time namespace",
            Layer::UserNamespace => "the user namespace",
            Layer::UtsNamespace => "the host name namespace",
        }
    }

    /// What to install or enable, and which weaker level does without it.
    fn ways_out(self) -> &'static str {
        match self {
            Layer::UserNamespace
            | Layer::CgroupNamespace
            | Layer::IpcNamespace
            | Layer::MountNamespace
            | Layer::Network
            | Layer::NetworkNamespace
            | Layer::PidNamespace
            | Layer::Root
            | Layer::TimeNamespace
            | Layer::UtsNamespace => {
                "run the gateway where namespaces are allowed (Linux 5.12 or newer; user.max_user_namespaces above 0; on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0 or an AppArmor profile with `userns`; in a container, one that lets it mount), or name the weaker level in the server's entry: sandbox = { level = \"basic\" }"
            }
            Layer::Landlock | Layer::Seccomp => {
                "use a kernel with it (Landlock: 5.13 or newer, 6.2 at the level \"basic\", and `landlock` in /sys/kernel/security/lsm), or let the server run unconfined by naming that in its entry: sandbox = { level = \"off\" }"
            }
            Layer::Exec => "look at the command, and at the paths that the server's entry names",
            Layer::Capabilities | Layer::Identity | Layer::Limits | Layer::Process => {
                "see what the system says, or let the server run unconfined by naming that in its entry: sandbox = { level = \"off\" }"
            }
        }
    }
}
/// Names the layer in which a system call failed.
pub(crate) trait InLayer<T> {
    fn layer(self, layer: Layer, doing: &str) -> Result<T, LayerFault>;
}

impl<T, E: std::fmt::Display> InLayer<T> for Result<T, E> {
    fn layer(self, layer: Layer, doing: &str) -> Result<T, LayerFault> {
        self.map_err(|error| LayerFault { layer, detail: format!("{doing}: {error}") })
    }
}
