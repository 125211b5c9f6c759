//! The link: one server, whatever its transport and era.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mcp::{Era, Json, ServerName};
use tokio::task::JoinSet;

use crate::call::lock;
use crate::detect::Mode;
use crate::inner::{Inner, Road};
use crate::listen::{self, Subscription};
use crate::post::Http;
use crate::session::{Session, Wire};
use crate::status::{Process, Status};
use crate::{
    Answer, ClientFacts, Credential, EraChoice, Events, HttpClient, HttpTarget, Launch, LinkFault,
    LinkLimits, Offer, Outgoing, Partition, Wanted,
};

/// A server and the connections to it. Clones share everything; the last one dropped ends it.
#[derive(Clone, Debug)]
pub struct Link {
    inner: Arc<Inner>,
}

impl Link {
    /// A server at an URL.
    pub fn http(
        name: ServerName,
        target: HttpTarget,
        client: HttpClient,
        limits: LinkLimits,
    ) -> Link {
        let era = target.era;
        let http = Arc::new(Http::new(client, target, limits.message_bytes));
        Link::new(name, Road::Http(http), era, limits)
    }

    /// A server that is a child process: one for each partition (and, in the handshake era, for each
    /// set of client capabilities, since there a process is a session).
    pub fn stdio(name: ServerName, launch: Launch, era: EraChoice, limits: LinkLimits) -> Link {
        Link::new(name, Road::Stdio { launch, era, spares: Arc::default() }, era, limits)
    }

    /// Starts a process before anybody needs one, in the background. `again`: another one each time that one is
    /// taken, for a server that has one process for each partition.
    pub fn prewarm(&self, again: bool) {
        if let Road::Stdio { spares, .. } = &self.inner.road {
            if again {
                spares.keep();
            }
            self.inner.sweep_from_now_on();
            self.inner.prewarm();
        }
    }

    fn new(name: ServerName, road: Road, era: EraChoice, limits: LinkLimits) -> Link {
        Link { inner: Arc::new(Inner::new(name, road, era, limits)) }
    }

    /// What the server says of itself; kept for a while.
    pub async fn offer(
        &self,
        partition: &Partition,
        client: &ClientFacts,
        credential: &Credential,
        deadline: Instant,
    ) -> Result<Offer, LinkFault> {
        if let Some(offer) = self.inner.offers.get(partition, Instant::now()) {
            return Ok(offer);
        }
        let asking = self.inner.offer(partition, client, credential, deadline);
        self.inner.within(deadline, asking).await
    }

    /// Sends one request and waits for its answer. Notifications of this call go to `events` meanwhile.
    /// Dropping the future cancels the call at the server.
    pub async fn send(&self, out: Outgoing<'_>, events: &Events) -> Result<Answer, LinkFault> {
        let _place = self.inner.places.enter(out.principal)?;
        self.inner.within(out.deadline, self.inner.send(&out, events)).await
    }

    /// Subscribes to the server's unasked notifications. Gives what the server honours; dropping the
    /// subscription ends it. A lost connection is made again in the background.
    pub async fn listen(
        &self,
        partition: &Partition,
        client: &ClientFacts,
        credential: &Credential,
        wanted: Wanted,
    ) -> Result<Subscription, LinkFault> {
        let deadline = Instant::now() + self.inner.limits.start;
        let opening = listen::open(&self.inner, partition, client, credential, wanted);
        self.inner.within(deadline, opening).await
    }

    /// Tells every handshake session of a partition something that its client said unasked
    /// (`notifications/roots/list_changed`). The stateless era has no such notifications.
    pub fn notify(&self, partition: &Partition, method: &str, params: Json<'_>) {
        for session in self.inner.pool.of(partition) {
            if session.era == Era::Handshake && session.is_alive() {
                session.tell(mcp::notification(method, params.text()), None);
            }
        }
    }

    /// Gives up a parked call, by the `requestState` that its partition was given: the call is
    /// cancelled at the server, and what the server asked is answered with an error. An unknown or
    /// foreign state changes nothing.
    pub fn abandon(&self, partition: &Partition, state: &str) {
        self.inner.lot.abandon(partition, state);
    }

    /// How long the process has lived that would take a partition's next call: zero when one would have
    /// to be started, and for ever where there is none to start.
    pub fn age(&self, partition: &Partition) -> Duration {
        match &self.inner.road {
            Road::Http(_) => Duration::MAX,
            Road::Stdio { .. } => self.inner.pool.age(partition),
        }
    }

    /// How the link is doing.
    pub fn status(&self) -> Status {
        let inner = &self.inner;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Status {
            era: match inner.mode() {
                Mode::Unknown => None,
                Mode::Stateless => Some(Era::Stateless),
                Mode::Handshake | Mode::Pair => Some(Era::Handshake),
            },
            alive: inner.pool.sessions().iter().filter(|session| session.is_alive()).count(),
            in_flight: inner.places.len(),
            parked: inner.lot.len(),
            restarts: read(&inner.counters.restarts),
            garbage: read(&inner.counters.garbage),
            unknown_replies: read(&inner.counters.unknown_replies),
            dropped_events: read(&inner.counters.dropped_events),
            paused: inner.pool.paused(Instant::now()),
            last_fault: lock(&inner.counters.last_fault).clone(),
            stderr: inner.tail.text(),
        }
    }

    /// Ends every process and session; returns when the processes are reaped. Calls in flight are lost,
    /// later ones fail.
    pub async fn shutdown(&self) {
        self.inner.lot.clear();
        if let Road::Stdio { spares, .. } = &self.inner.road {
            spares.close();
            spares.end().await;
        }
        end_all(self.inner.pool.close()).await;
    }

    /// Ends every process and session there is; returns when the processes are reaped. Calls in flight
    /// are lost, the next one starts anew, and earlier crashes are forgotten.
    pub async fn restart(&self) {
        self.inner.lot.clear();
        if let Road::Stdio { spares, .. } = &self.inner.road {
            let waited = !spares.waiting(Instant::now()).is_empty();
            spares.end().await;
            if waited {
                self.inner.prewarm();
            }
        }
        end_all(self.inner.pool.clear()).await;
    }

    /// The processes that wait for their first call: their ids, and how long they have waited.
    pub fn waiting(&self) -> Vec<(Option<u32>, Duration)> {
        match &self.inner.road {
            Road::Http(_) => Vec::new(),
            Road::Stdio { spares, .. } => spares.waiting(Instant::now()),
        }
    }

    /// The processes that are alive and somebody's.
    pub fn processes(&self) -> Vec<Process> {
        let process = |(partition, session): (Partition, Arc<Session>)| match &session.wire {
            Wire::Pipe(pipe) if session.is_alive() => Some(Process {
                partition,
                pid: pipe.pid(),
                lived: pipe.life().0,
                idle: session.idle(),
            }),
            _ => None,
        };
        self.inner.pool.partitioned().into_iter().filter_map(process).collect()
    }
}

async fn end_all(sessions: Vec<Arc<Session>>) {
    let mut leaving = JoinSet::new();
    for session in sessions {
        leaving.spawn(async move {
            if let Wire::Web(web) = &session.wire {
                web.leave().await;
            }
            session.end();
            if let Wire::Pipe(pipe) = &session.wire {
                pipe.gone().await;
            }
        });
    }
    while leaving.join_next().await.is_some() {}
}
