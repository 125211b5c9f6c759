//! What the operator decides about a link.

use std::sync::Arc;
use std::time::Duration;

use tokio::process::Child;

use crate::Partition;

/// The bounds of one link. Every one has a default that fits most servers.
#[derive(Clone, Debug)]
pub struct LinkLimits {
    /// The longest message (a line, a body, an SSE event), in bytes.
    pub message_bytes: usize,
    /// Calls in flight, of one principal at most half as many; the next one fails with
    /// [`crate::LinkFault::Full`].
    pub in_flight: usize,
    /// Processes and handshake sessions alive at once; of one partition at most 8.
    pub sessions: usize,
    /// Notifications that may wait inside one subscription.
    pub events: usize,
    /// Calls that may wait for a client's answers; of one principal at most 64.
    pub parked: usize,
    /// How long one waits before the server is told that nobody answers.
    pub parked_ttl: Duration,
    /// An unused session or process is ended after this time.
    pub idle: Duration,
    /// What a process start or an `initialize` may take.
    pub start: Duration,
    /// How long a process may think about the era probe before it counts as a handshake server.
    pub probe: Duration,
}

impl Default for LinkLimits {
    fn default() -> Self {
        LinkLimits {
            message_bytes: 10 << 20,
            in_flight: 256,
            sessions: 1000,
            events: 256,
            parked: 1000,
            parked_ttl: Duration::from_secs(600),
            idle: Duration::from_secs(900),
            start: Duration::from_secs(60),
            probe: Duration::from_secs(10),
        }
    }
}

/// Which era a server is spoken to in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EraChoice {
    /// Found out by asking it, remembered, and asked again when it behaves otherwise.
    #[default]
    Auto,
    /// `initialize`, without a probe.
    Handshake,
    /// 2026-07-28, without a probe.
    Stateless,
}

/// Where an HTTP server is.
#[derive(Clone, Debug)]
pub struct HttpTarget {
    /// Its endpoint, as the operator wrote it.
    pub url: http::Uri,
    /// Its era.
    pub era: EraChoice,
    /// Whether its name may resolve to a private, loopback or link-local address.
    pub allow_private: bool,
}

/// A fresh process.
pub struct Launched {
    /// Stdin, stdout and stderr piped, in its own process group.
    pub child: Child,
    /// What is dropped when the process has ended.
    pub kept: Option<Box<dyn Send + Sync>>,
    /// For a process that was started for nobody: is told whose it becomes, and says whether it may.
    pub assign: Option<Assign>,
}

/// Takes note of the partition that a waiting process is given to. May block.
pub type Assign = Box<dyn FnOnce(&Partition) -> Result<(), String> + Send + Sync>;

impl From<Child> for Launched {
    fn from(child: Child) -> Launched {
        Launched { child, kept: None, assign: None }
    }
}

/// Makes a fresh process for a partition, or for nobody yet ([`Partition::nobody`]). May block: it is called on a thread for that, inside of the
/// runtime.
pub type Launch = Arc<dyn Fn(&Partition) -> Result<Launched, String> + Send + Sync>;
