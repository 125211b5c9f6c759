//! How a link is doing.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mcp::Era;

use crate::call::lock;
use crate::{LinkFault, Partition};

/// A look at a link, for people and metrics.
#[derive(Clone, Debug)]
pub struct Status {
    /// The server's era, once known.
    pub era: Option<Era>,
    /// Processes or handshake sessions alive.
    pub alive: usize,
    /// Calls in flight.
    pub in_flight: usize,
    /// Calls that wait for their client's answers.
    pub parked: usize,
    /// Processes that ended by themselves, and sessions that the server forgot.
    pub restarts: u64,
    /// Messages that were not the protocol.
    pub garbage: u64,
    /// Replies to no call of ours (a late answer to a cancelled one, or a foreign id).
    pub unknown_replies: u64,
    /// Notifications dropped: nobody waited for them, or their reader was too slow.
    pub dropped_events: u64,
    /// While processes die quickly: how long until the next may be started (the longest such pause).
    pub paused: Option<Duration>,
    /// The last fault of a call.
    pub last_fault: Option<LinkFault>,
    /// The last 64 KiB that processes wrote to stderr. Untrusted text.
    pub stderr: String,
}

/// A process that a link started.
#[derive(Clone, Debug)]
pub struct Process {
    /// Whose it is.
    pub partition: Partition,
    /// Its id, until it ends.
    pub pid: Option<u32>,
    /// How long it has lived.
    pub lived: Duration,
    /// How long no call has used it.
    pub idle: Duration,
}

/// Counts shared by everything that belongs to a link.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub restarts: AtomicU64,
    pub garbage: AtomicU64,
    pub unknown_replies: AtomicU64,
    pub dropped_events: AtomicU64,
    pub last_fault: Mutex<Option<LinkFault>>,
}

impl Counters {
    pub fn garbage(&self) {
        self.garbage.fetch_add(1, Ordering::Relaxed);
    }

    pub fn unknown(&self) {
        self.unknown_replies.fetch_add(1, Ordering::Relaxed);
    }

    pub fn dropped(&self) {
        self.dropped_events.fetch_add(1, Ordering::Relaxed);
    }

    pub fn restarted(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    pub fn fault(&self, fault: &LinkFault) {
        *lock(&self.last_fault) = Some(fault.clone());
    }
}
