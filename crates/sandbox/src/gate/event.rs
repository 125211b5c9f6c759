//! What the gate tells of its decisions.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::future::Future;
use std::hash::BuildHasher as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::rule::{Host, Rule};

/// What is decided about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The name or address.
    pub host: String,
    /// The port; 0 for a look-up.
    pub port: u16,
    /// The HTTP method, `DNS` for a look-up, empty for a connection that is not looked into.
    pub method: String,
    /// The path, without its query: that may hold secrets.
    pub path: String,
}

/// The longest path that is told.
const PATH_LIMIT: usize = 256;

impl Subject {
    pub(super) fn lookup(name: &str) -> Subject {
        Subject { host: name.into(), method: "DNS".into(), ..Subject::default() }
    }

    pub(super) fn connection(host: &Host, port: u16) -> Subject {
        Subject { host: host.to_string(), port, ..Subject::default() }
    }

    pub(super) fn request(host: &Host, port: u16, method: &http::Method, path: &str) -> Subject {
        let path = path[..path.floor_char_boundary(PATH_LIMIT)].to_owned();
        Subject { host: host.to_string(), port, method: method.to_string(), path }
    }
}

/// One decision, or several of the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// About what.
    pub subject: Subject,
    /// What was decided.
    pub verdict: Verdict,
    /// How many times since the last such event.
    pub count: u64,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// By this rule.
    Allowed(String),
    /// Let through since the gate learns; no rule allows it.
    Learned,
    /// For this reason.
    Refused(Reason),
}

/// Why something was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The server has sent or received as much as it may.
    #[error("the server has moved as many bytes as it may")]
    Budget,
    /// The real server's certificate is not valid for the host.
    #[error("the host's certificate can't be trusted: {0}")]
    Certificate(String),
    /// Too many connections at once.
    #[error("the server has as many connections open as it may")]
    Connections,
    /// A compressed answer from a host that gets a secret: it can't be looked through.
    #[error("the answer is compressed, and may hold a secret")]
    Encoding,
    /// The connection begins with neither TLS nor HTTP.
    #[error("the connection is neither TLS nor HTTP; `tls = \"off\"` lets other protocols through")]
    Greeting,
    /// The request names another host than the connection.
    #[error("the request names another host than the connection")]
    HostMismatch,
    /// No rule reaches this host and port.
    #[error("no entry allows this host and port")]
    Host,
    /// A message that is not what it claims to be.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// No rule allows the method.
    #[error("no entry allows this method")]
    Method,
    /// The name does not exist here.
    #[error("no entry allows this name")]
    Name,
    /// No rule allows the path.
    #[error("no entry allows this path")]
    Path,
    /// The path could be read in several ways.
    #[error("the path can be read in more than one way")]
    PathAmbiguous,
    /// A placeholder at a place that its secret is not for.
    #[error("a placeholder for {0} stands where the secret is not meant to go")]
    Placeholder(String),
    /// A placeholder on a connection without TLS.
    #[error("a placeholder for {0} on a connection without TLS")]
    Plaintext(String),
    /// The name leads to an address that is not allowed.
    #[error("{0}")]
    PrivateAddress(String),
    /// The name in the TLS greeting is not the connection's.
    #[error("the name in the TLS greeting is not the connection's")]
    ServerName,
    /// It took too long.
    #[error("it took too long")]
    Timeout,
    /// The host can't be reached.
    #[error("{0}")]
    Unreachable(String),
    /// The decision can't be recorded.
    #[error("the decision can't be recorded")]
    Unrecorded,
}

impl Reason {
    /// A short name for the record.
    pub fn label(&self) -> &'static str {
        match self {
            Reason::Budget => "budget",
            Reason::Certificate(_) => "certificate",
            Reason::Connections => "connections",
            Reason::Encoding => "encoding",
            Reason::Greeting => "greeting",
            Reason::HostMismatch => "host_mismatch",
            Reason::Host => "host",
            Reason::Malformed(_) => "malformed",
            Reason::Method => "method",
            Reason::Name => "name",
            Reason::Path => "path",
            Reason::PathAmbiguous => "path_ambiguous",
            Reason::Placeholder(_) => "placeholder",
            Reason::Plaintext(_) => "plaintext",
            Reason::PrivateAddress(_) => "private_address",
            Reason::ServerName => "server_name",
            Reason::Timeout => "timeout",
            Reason::Unreachable(_) => "unreachable",
            Reason::Unrecorded => "unrecorded",
        }
    }
}

/// Takes an event, and says whether it was recorded. What is not recorded does not happen.
pub type Recorder = Arc<dyn Fn(Event) -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync>;

/// After this long an allowed host is told again, with how many times it was used.
const WINDOW: Duration = Duration::from_secs(60);
/// Different things that are counted at once.
const COUNTED: usize = 1024;
/// Refusals in a window that are told one by one.
const REFUSALS: u64 = 100;

/// Counts, so that the record of a busy server stays readable.
pub(super) struct Tally {
    record: Recorder,
    hasher: RandomState,
    allowed: Mutex<HashMap<u64, Counted>>,
    refused: Mutex<Flood>,
}

struct Counted {
    since: Instant,
    untold: u64,
    event: Event,
}

struct Flood {
    since: Instant,
    told: u64,
    untold: u64,
}

impl Tally {
    pub fn new(record: Recorder) -> Tally {
        let flood = Flood { since: Instant::now(), told: 0, untold: 0 };
        Tally {
            record,
            hasher: RandomState::new(),
            allowed: Mutex::default(),
            refused: Mutex::new(flood),
        }
    }

    /// Counts a connection or request that may go. `rule` is `None` for what is learned.
    pub async fn allowed(&self, rule: Option<&Rule>, at: &At<'_>) -> Result<(), Reason> {
        let key = match rule {
            Some(rule) => self.hasher.hash_one((std::ptr::from_ref(rule).addr(), at.host, at.port)),
            None => self.hasher.hash_one((at.host, at.port, at.method, at.path)),
        };
        let Some(event) = self.count(key, || at.event(rule)) else { return Ok(()) };
        if (self.record)(event).await {
            return Ok(());
        }
        self.allowed.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        Err(Reason::Unrecorded)
    }

    fn count(&self, key: u64, event: impl FnOnce() -> Event) -> Option<Event> {
        let mut allowed = self.allowed.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some(known) = allowed.get_mut(&key) {
            known.untold += 1;
            if now - known.since < WINDOW {
                return None;
            }
            known.since = now;
            let count = std::mem::take(&mut known.untold);
            return Some(Event { count, ..known.event.clone() });
        }
        if allowed.len() >= COUNTED {
            allowed.clear();
        }
        let event = event();
        allowed.insert(key, Counted { since: now, untold: 0, event: event.clone() });
        Some(event)
    }

    /// Tells a refusal.
    pub async fn refused(&self, reason: Reason, subject: &Subject) {
        let untold = {
            let mut flood = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            if now - flood.since >= WINDOW {
                flood.since = now;
                flood.told = 0;
            }
            if flood.told >= REFUSALS {
                flood.untold += 1;
                return;
            }
            flood.told += 1;
            std::mem::take(&mut flood.untold)
        };
        tracing::debug!(host = subject.host, port = subject.port, %reason, "egress refused");
        let verdict = Verdict::Refused(reason);
        // It is refused whether it could be recorded or not.
        let _ = (self.record)(Event { subject: subject.clone(), verdict, count: untold + 1 }).await;
    }

    /// Tells what was counted and not told yet.
    pub async fn finish(&self) {
        let rest: Vec<Event> = {
            let mut allowed = self.allowed.lock().unwrap_or_else(PoisonError::into_inner);
            let untold = allowed.drain().filter(|(_, counted)| counted.untold > 0);
            untold.map(|(_, counted)| Event { count: counted.untold, ..counted.event }).collect()
        };
        for event in rest {
            let _ = (self.record)(event).await;
        }
    }
}

/// A subject that is not written down yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<'a> {
    pub host: &'a Host,
    pub port: u16,
    pub method: Option<&'a http::Method>,
    pub path: &'a str,
}

impl At<'_> {
    pub fn subject(&self) -> Subject {
        match self.method {
            Some(method) => Subject::request(self.host, self.port, method, self.path),
            None => Subject::connection(self.host, self.port),
        }
    }

    fn event(&self, rule: Option<&Rule>) -> Event {
        let verdict = rule.map_or(Verdict::Learned, |rule| Verdict::Allowed(rule.to_string()));
        Event { subject: self.subject(), verdict, count: 1 }
    }
}

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tally").finish_non_exhaustive()
    }
}
