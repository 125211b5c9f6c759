//! What the clones of a link share, and the road that each call takes.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use mcp::{Era, Json, ServerName};
use tokio::sync::mpsc;
use tokio::time::timeout_at;

use crate::asks::essence;
use crate::call::{Ask, Outcome};
use crate::detect::{self, Evidence, Mode};
use crate::offers::Offers;
use crate::parked::Lot;
use crate::places::Places;
use crate::pool::{Found, Pool, shut};
use crate::post::{Http, Posted};
use crate::session::{Session, Wire};
use crate::spare::Spares;
use crate::status::Counters;
use crate::stderr::Tail;
use crate::waiting::{Progress, Waiting};
use crate::{
    Answer, ClientFacts, Credential, EraChoice, Events, Launch, LinkFault, LinkLimits, Offer,
    Outgoing, Partition, start,
};

/// One link's everything.
pub(crate) struct Inner {
    pub name: ServerName,
    pub road: Road,
    pub limits: LinkLimits,
    pub pool: Pool,
    pub offers: Offers,
    pub counters: Arc<Counters>,
    pub tail: Arc<Tail>,
    pub lot: Lot,
    mode: AtomicU8,
    /// Held by whoever asks an HTTP server for its era.
    detecting: tokio::sync::Mutex<()>,
    pub places: Places,
    sweeping: AtomicBool,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link")
            .field("name", &self.name)
            .field("mode", &self.mode())
            .finish_non_exhaustive()
    }
}

/// The transport.
pub(crate) enum Road {
    Http(Arc<Http>),
    Stdio { launch: Launch, era: EraChoice, spares: Arc<Spares> },
}

impl Inner {
    pub fn new(name: ServerName, road: Road, era: EraChoice, limits: LinkLimits) -> Inner {
        let counters = Arc::new(Counters::default());
        Inner {
            name,
            road,
            pool: Pool::new(limits.sessions, counters.clone()),
            offers: Offers::new(limits.sessions),
            counters,
            tail: Arc::default(),
            lot: Lot::new(limits.parked, limits.parked_ttl),
            mode: AtomicU8::new(Mode::pinned(era) as u8),
            detecting: tokio::sync::Mutex::default(),
            places: Places::new(limits.in_flight),
            sweeping: AtomicBool::new(false),
            limits,
        }
    }

    /// Starts the processes that are to wait. While the era is not known, two: the one that is asked for it is
    /// not the one that then works.
    pub fn prewarm(&self) {
        if let Road::Stdio { launch, spares, .. } = &self.road {
            let count = if self.mode() == Mode::Unknown { 2 } else { 1 };
            spares.fill(launch, count);
        }
    }

    /// The one clock of a call, and the one place where faults are noted.
    pub async fn within<T>(
        &self,
        deadline: Instant,
        doing: impl Future<Output = Result<T, LinkFault>>,
    ) -> Result<T, LinkFault> {
        let done = timeout_at(deadline.into(), doing).await.unwrap_or(Err(LinkFault::Deadline));
        if let Err(fault) = &done {
            self.counters.fault(fault);
        }
        done
    }

    pub fn mode(&self) -> Mode {
        Mode::of(self.mode.load(Ordering::Relaxed))
    }

    pub fn set_mode(&self, mode: Mode) {
        self.mode.store(mode as u8, Ordering::Relaxed);
    }

    pub fn is_pinned(&self) -> bool {
        let era = match &self.road {
            Road::Http(http) => http.target.era,
            Road::Stdio { era, .. } => *era,
        };
        era != EraChoice::Auto
    }

    pub async fn send(
        self: &Arc<Self>,
        out: &Outgoing<'_>,
        events: &Events,
    ) -> Result<Answer, LinkFault> {
        let Road::Http(http) = &self.road else {
            return Box::pin(self.send_on_session(out, events)).await;
        };
        if self.http_mode(http, out.partition, out.client, &out.credential).await?
            != Mode::Stateless
        {
            return Box::pin(self.send_on_session(out, events)).await;
        }
        let posted = http.call(out, events, &self.counters).await;
        let contradicted = !self.is_pinned()
            && match &posted {
                Ok(Posted::Refused { status, error }) => detect::contradicts(*status, Some(error)),
                Err(LinkFault::Http { status, .. }) => detect::contradicts(*status, None),
                _ => false,
            };
        // Such a refusal came before anything ran, so it is safe to send the call again.
        if contradicted && self.detect_again(http, out).await != Mode::Stateless {
            return Box::pin(self.send_on_session(out, events)).await;
        }
        let outcome = match posted? {
            Posted::Answered(outcome) => outcome,
            Posted::Refused { error, .. } => Err(error),
        };
        Ok(Answer { outcome, era: Era::Stateless })
    }

    async fn detect_again(self: &Arc<Self>, http: &Arc<Http>, out: &Outgoing<'_>) -> Mode {
        self.set_mode(Mode::Unknown);
        self.offers.clear();
        let found =
            Box::pin(self.http_mode(http, out.partition, out.client, &out.credential)).await;
        found.unwrap_or_else(|_| {
            self.set_mode(Mode::Stateless);
            Mode::Stateless
        })
    }

    /// The era of an HTTP server: known, or found out with the caller's own credential.
    pub async fn http_mode(
        self: &Arc<Self>,
        http: &Arc<Http>,
        partition: &Partition,
        client: &ClientFacts,
        credential: &Credential,
    ) -> Result<Mode, LinkFault> {
        if self.mode() != Mode::Unknown {
            return Ok(self.mode());
        }
        let _alone = self.detecting.lock().await;
        if self.mode() != Mode::Unknown {
            return Ok(self.mode());
        }
        match Box::pin(start::probe_http(http, partition, client, credential)).await? {
            Evidence::Stateless(offer) => {
                if let Some(found) = offer {
                    self.offers.keep(partition, &found.0, found.1, Instant::now());
                }
                self.set_mode(Mode::Stateless);
                Ok(Mode::Stateless)
            }
            // Remembered only when an `initialize` has succeeded.
            Evidence::Handshake => Ok(Mode::Handshake),
        }
    }

    async fn send_on_session(
        self: &Arc<Self>,
        out: &Outgoing<'_>,
        events: &Events,
    ) -> Result<Answer, LinkFault> {
        let state = out.params.get("requestState").and_then(Json::string);
        if let Some(state) = state.as_deref().filter(|state| self.lot.knows(state)) {
            let progress = self.lot.resume(out, events, state).await?;
            return self.answer(out, events, progress, Era::Handshake).await;
        }
        let mut again = true;
        loop {
            let session = self.session(out.partition, out.client, &out.credential).await?;
            if state.is_some() && session.era == Era::Handshake {
                return Err(LinkFault::Parked);
            }
            let done = session.call(out, events).await;
            let forgotten = matches!(done, Err(LinkFault::Http { status: 404, .. }))
                && matches!(&session.wire, Wire::Web(web) if web.is_gone());
            if forgotten && again {
                again = false;
                continue;
            }
            return self.answer(out, events, done?, session.era).await;
        }
    }

    async fn answer(
        &self,
        out: &Outgoing<'_>,
        events: &Events,
        progress: Progress,
        era: Era,
    ) -> Result<Answer, LinkFault> {
        let outcome = match progress {
            Progress::Done(outcome) => outcome,
            Progress::Asked(waiting, asks) => self.park(out, events, waiting, asks).await?,
        };
        Ok(Answer { outcome, era })
    }

    /// Parks a call that the server asked something in. A client that answered before it was asked
    /// (`inputResponses` with the first request) is taken at its word, once for each round.
    async fn park(
        &self,
        out: &Outgoing<'_>,
        events: &Events,
        mut waiting: Waiting,
        mut asks: Vec<Ask>,
    ) -> Result<Outcome, LinkFault> {
        const EARLY: usize = 8;
        for _ in 0..EARLY {
            let (state, result) = self.lot.park(out, waiting, asks)?;
            if !self.lot.is_answered_early(out, &result) {
                return Ok(Ok(result));
            }
            match self.lot.resume(out, events, &state).await? {
                Progress::Done(outcome) => return Ok(outcome),
                Progress::Asked(next, more) => (waiting, asks) = (next, more),
            }
        }
        Ok(Ok(self.lot.park(out, waiting, asks)?.1))
    }

    /// The session or process for this client: the pool's, or a fresh one.
    pub async fn session(
        self: &Arc<Self>,
        partition: &Partition,
        client: &ClientFacts,
        credential: &Credential,
    ) -> Result<Arc<Session>, LinkFault> {
        self.sweep_from_now_on();
        loop {
            let stdio = matches!(self.road, Road::Stdio { .. });
            // A stateless process serves every client of its partition, and so does the probe.
            let one = stdio && matches!(self.mode(), Mode::Stateless | Mode::Unknown);
            let key = if one { String::new() } else { essence(client.capabilities.json()) };
            let mut coming = match self.pool.find(partition, &key, Instant::now())? {
                Found::Ready(session) => return Ok(session),
                Found::Coming(coming) => coming,
                Found::Paused(pause) if pause <= Duration::from_secs(1) => {
                    tokio::time::sleep(pause).await;
                    continue;
                }
                Found::Paused(pause) => {
                    let text =
                        format!("it ended quickly; the next try is in {} s", pause.as_secs());
                    return Err(LinkFault::Start(text));
                }
                Found::Start(tell, coming) => {
                    start::spawn(self, partition, client, credential, tell);
                    coming
                }
            };
            let started = coming.wait_for(Option::is_some).await.map_err(|_| shut())?.clone();
            match started {
                Some(Ok(Some(session))) => return Ok(session),
                Some(Ok(None)) | None => {}
                Some(Err(fault)) => return Err(fault),
            }
        }
    }

    pub async fn offer(
        self: &Arc<Self>,
        partition: &Partition,
        client: &ClientFacts,
        credential: &Credential,
        deadline: Instant,
    ) -> Result<Offer, LinkFault> {
        let stateless = match &self.road {
            Road::Http(http) => {
                self.http_mode(http, partition, client, credential).await? == Mode::Stateless
            }
            Road::Stdio { .. } => false,
        };
        if !stateless {
            let session = self.session(partition, client, credential).await?;
            if let Some(offer) = session.offer() {
                return Ok(offer.clone());
            }
        }
        // The probe may just have brought it.
        if let Some(offer) = self.offers.get(partition, Instant::now()) {
            return Ok(offer);
        }
        let out = Outgoing {
            partition,
            principal: &partition.0,
            method: "server/discover",
            params: Json::EMPTY,
            client,
            param_headers: Vec::new(),
            credential: credential.clone(),
            deadline,
        };
        let (events, _) = mpsc::channel(1);
        match detect::weigh(&self.send(&out, &events).await?.outcome) {
            Evidence::Stateless(Some(found)) => {
                self.offers.keep(partition, &found.0, found.1, Instant::now());
                Ok(found.0)
            }
            _ => Err(LinkFault::Garbage("no usable answer to server/discover".into())),
        }
    }

    /// Starts the sweeper with the first session. It holds no link alive.
    pub fn sweep_from_now_on(self: &Arc<Self>) {
        if self.sweeping.swap(true, Ordering::Relaxed) {
            return;
        }
        let shortest = self.limits.idle.min(self.limits.parked_ttl);
        let every = (shortest / 4).clamp(Duration::from_millis(20), Duration::from_secs(5));
        tokio::spawn(sweep(Arc::downgrade(self), every));
    }
}

/// Ends what is idle or overdue, for as long as the link lives.
async fn sweep(link: Weak<Inner>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let Some(link) = link.upgrade() else { return };
        let now = Instant::now();
        link.lot.sweep(now);
        for session in link.pool.sessions() {
            for ask in session.calls.expired_asks(now) {
                session.refuse_ask(&ask.id, "no call to ask its client", None);
            }
        }
        link.pool.sweep(link.limits.idle, now);
        if let Road::Stdio { spares, .. } = &link.road
            && spares.expire(link.limits.idle, now) > 0
        {
            link.prewarm();
        }
    }
}
