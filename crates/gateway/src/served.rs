//! One configured server at work: its link, its credential, what it is known to offer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use identity::Verified;
use mcp::ServerName;
use tokio::sync::mpsc;
use upstream::{
    Answer, ClientFacts, Credential, Events, HttpClient, HttpTarget, Link, LinkFault, LinkLimits,
    Offer, Outgoing, Partition, Subscription, Wanted,
};
use vault::Fetched;

use crate::{
    catalogue::Catalogue,
    config::{Limits, Reach, Server},
    credential::{How, Source},
    egress::Witness,
    grants::{GrantKind, Grants, Shared},
    hearing::{Look, Pass, hear},
    launch::launch,
    leak::{self, Guard, OnLeak},
    refusal::Refusal,
    telemetry::Meters,
};

/// A server that is being served.
pub struct Served {
    /// As configured.
    pub entry: Server,
    /// What it is, however it is called.
    pub identity: Box<str>,
    /// What it is known to offer.
    pub catalogue: Arc<Catalogue>,
    /// What its credential is called in records: never its value.
    pub(crate) credential_name: Box<str>,
    credential: Source,
    link: Link,
    pub(crate) guard: Guard,
    everyone: Partition,
    /// The handles of its metrics.
    pub(crate) meters: Arc<Meters>,
    prewarmed: AtomicBool,
}

impl Served {
    /// Prepares the link; nothing is started or contacted yet.
    pub(crate) fn new(
        entry: Server,
        client: &HttpClient,
        witness: &Witness,
        limits: &Limits,
        on_leak: OnLeak,
        shared: &Arc<Shared>,
    ) -> Result<Served, vault::VaultFault> {
        let bounds = LinkLimits {
            message_bytes: limits.message_bytes,
            idle: limits.session_idle,
            ..LinkLimits::default()
        };
        let credential_name = credential_name(&entry).into();
        let name = entry.name.clone();
        let meters = witness.meters(&name);
        let link = match &entry.reach {
            Reach::Http { url, allow_private } => {
                let target =
                    HttpTarget { url: url.clone(), era: entry.era, allow_private: *allow_private };
                Link::http(name, target, client.clone(), bounds)
            }
            Reach::Stdio { .. } => Link::stdio(name, launch(&entry, witness)?, entry.era, bounds),
        };
        let guard = Guard::new(&entry.name, on_leak, witness.journal());
        let everyone = Partition(Arc::from("everyone"));
        let named = || entry.credentials.clone();
        let credential = match (&entry.exchange, Grants::of(&entry, shared)) {
            (_, Some(grants)) => Source::new(&entry.name, How::Granted(grants), named(), shared),
            (Some(exchange), None) => {
                Source::exchanged(("server", &entry.name), exchange.clone(), named(), shared)
            }
            (None, None) => Source::configured(&entry.name, named(), shared),
        };
        let identity = crate::identity(&entry.reach).into();
        Ok(Served {
            entry,
            identity,
            catalogue: Arc::default(),
            credential_name,
            credential,
            link,
            guard,
            everyone,
            meters,
            prewarmed: AtomicBool::new(false),
        })
    }

    /// Starts a process before anybody calls, where the entry wants that.
    pub(crate) fn prewarm(&self) {
        if self.entry.prewarm && !self.prewarmed.swap(true, Ordering::Relaxed) {
            self.link.prewarm(!self.entry.shared);
        }
    }

    /// Its name.
    pub fn name(&self) -> &ServerName {
        &self.entry.name
    }

    /// Whose process or session serves this caller.
    pub fn partition(&self, caller: &Verified) -> Partition {
        if self.entry.shared {
            self.everyone.clone()
        } else {
            Partition(caller.principal().shared_partition())
        }
    }

    /// The caller's credential, or why it can't be had.
    pub async fn credential(&self, caller: &Verified) -> Result<Fetched, Refusal> {
        self.credential.fetch(caller).await
    }

    /// After the caller was shown a link to connect: until they have, or for a while.
    pub(crate) async fn await_connection(&self, caller: &Verified) {
        if let Some(grants) = self.grants() {
            grants.connected(caller).await;
        }
    }

    /// Where the server has an authorization server of its own.
    pub(crate) fn grants(&self) -> Option<&Grants> {
        self.credential.grants()
    }

    /// Does it with this credential and, where the server refused that one, once more with another. What was
    /// refused for its credential never ran.
    async fn with<T, F: Future<Output = Result<T, LinkFault>>>(
        &self,
        caller: &Verified,
        fetched: Fetched,
        mut once: impl FnMut(Credential) -> F,
    ) -> Result<T, Refusal> {
        let fault = match once(self.credential.show(&fetched).await?).await {
            Ok(done) => return Ok(done),
            Err(fault) => fault,
        };
        let another = Box::pin(self.credential.another(caller, &fetched, &fault)).await?;
        let Some(another) = another else { return Err(self.fault(fault)) };
        let another = self.credential.show(&another).await?;
        once(another).await.map_err(|fault| self.fault(fault))
    }

    /// Sends something of the gateway's own, as a list.
    pub(crate) async fn ask(
        &self,
        caller: &Verified,
        outgoing: Outgoing<'_>,
    ) -> Result<Answer, Refusal> {
        let (events, _) = mpsc::channel(1);
        self.deliver(caller, self.credential(caller).await?, outgoing, &events, None).await
    }

    /// Sends it with this credential. Notifications that come meanwhile are cleaned, and then looked at.
    pub(crate) async fn deliver(
        &self,
        caller: &Verified,
        fetched: Fetched,
        outgoing: Outgoing<'_>,
        events: &Events,
        look: Option<Look<'_>>,
    ) -> Result<Answer, Refusal> {
        let (principal, method) = (caller.principal().id(), outgoing.method);
        let send = |credential| {
            self.send(principal, Outgoing { credential, ..outgoing.clone() }, events, look)
        };
        let answer = self.with(caller, fetched, send).await?;
        self.guard.answer(principal, method, answer).await
    }

    async fn send(
        &self,
        principal: &str,
        outgoing: Outgoing<'_>,
        events: &Events,
        look: Option<Look<'_>>,
    ) -> Result<Answer, LinkFault> {
        // Boxed, here and below: it is large, and whatever waits for it would be as large.
        if events.is_closed() || look.is_none() && leak::filter().is_empty() {
            return Box::pin(self.link.send(outgoing, events)).await;
        }
        let (inner, heard) = mpsc::channel(events.max_capacity());
        let pass = Pass { guard: &self.guard, principal, look };
        hear(heard, events, Box::pin(self.link.send(outgoing, &inner)), pass).await
    }

    /// What the server says of itself.
    pub async fn offer(&self, caller: &Verified, client: &ClientFacts) -> Result<Offer, Refusal> {
        let (link, partition) = (&self.link, &self.partition(caller));
        let deadline = Instant::now() + self.entry.timeout;
        let fetched = self.credential(caller).await?;
        let ask = |credential: Credential| async move {
            link.offer(partition, client, &credential, deadline).await
        };
        let offer = self.with(caller, fetched, ask).await?;
        self.guard.offer(caller.principal().id(), offer).await
    }

    /// Listens for what the server says unasked.
    pub(crate) async fn listen(
        &self,
        caller: &Verified,
        client: &ClientFacts,
        wanted: Wanted,
    ) -> Result<Subscription, Refusal> {
        let (link, partition) = (&self.link, &self.partition(caller));
        let fetched = self.credential(caller).await?;
        let listen = |credential: Credential| {
            let wanted = wanted.clone();
            async move { link.listen(partition, client, &credential, wanted).await }
        };
        self.with(caller, fetched, listen).await
    }

    /// The link, for [`crate::send`] and [`crate::listen`] alone: everything else goes through them.
    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// A link's fault as a refusal.
    pub fn fault(&self, fault: upstream::LinkFault) -> Refusal {
        Refusal::Server { server: self.name().clone(), fault }
    }

    /// What a tool is known to say of itself; the worst of one that is not known.
    pub(crate) fn annotations(&self, tool: &str) -> policy::Annotations {
        let held = self.catalogue.held(crate::catalogue::Listed::Tools);
        let item = held.as_ref().and_then(|listing| listing.find(tool));
        item.map(|item| item.annotations).unwrap_or_default()
    }

    /// Ends its processes and sessions.
    pub async fn shutdown(&self) {
        self.link.shutdown().await;
    }
}

/// What a server's credentials are called: where they stand and where their values come from, or whose grant it is.
fn credential_name(entry: &Server) -> String {
    let granted = entry.oauth.as_ref().map(|oauth| match oauth.grant {
        GrantKind::Client => "oauth grant of Bartizan".to_owned(),
        GrantKind::User => "oauth grant of the caller".to_owned(),
    });
    let exchanged = || entry.exchange.as_ref().map(|exchange| exchange.name());
    let named = Some(entry.credentials.names()).filter(|names| !names.is_empty());
    let all = granted.or_else(exchanged).into_iter().chain(named);
    all.collect::<Vec<_>>().join(", ")
}
