//! One configured server at work: its link, its credential, what it is known to offer.

use std::{sync::Arc, time::Instant};

use http::HeaderMap;
use identity::Verified;
use mcp::ServerName;
use upstream::{
    Answer, ClientFacts, Events, HttpClient, HttpTarget, Link, LinkFault, LinkLimits, Offer,
    Outgoing, Partition, Subscription, Wanted,
};
use vault::Fetched;

use crate::{
    catalogue::Catalogue,
    config::{Limits, Reach, Server},
    egress::Witness,
    grants::{GrantKind, Grants, Shared},
    launch::launch,
    refusal::Refusal,
    secrets::Injection,
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
    credentials: Injection,
    /// Where the server has an authorization server of its own.
    pub(crate) grants: Option<Grants>,
    link: Link,
    everyone: Partition,
    /// The handles of its metrics.
    pub(crate) meters: Arc<Meters>,
}

impl Served {
    /// Prepares the link; nothing is started or contacted yet.
    pub(crate) fn new(
        entry: Server,
        client: &HttpClient,
        witness: &Witness,
        limits: &Limits,
        shared: &Arc<Shared>,
    ) -> Result<Served, vault::VaultFault> {
        let bounds = LinkLimits {
            message_bytes: limits.message_bytes,
            idle: limits.session_idle,
            ..LinkLimits::default()
        };
        let credentials = vault::Credentials::new(entry.credentials.clone())?;
        let credential_name = credential_name(&entry).into();
        let credentials = Injection::new(credentials, witness.secrets().clone());
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
        let everyone = Partition(Arc::from("everyone"));
        let grants = Grants::of(&entry, shared);
        let identity = crate::identity(&entry.reach).into();
        Ok(Served {
            entry,
            identity,
            catalogue: Arc::default(),
            credential_name,
            credentials,
            grants,
            link,
            everyone,
            meters,
        })
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
        match &self.grants {
            Some(grants) => grants.credential(caller).await,
            None => {
                self.credentials.fetch().await.map_err(|fault| Refusal::CredentialUnavailable {
                    server: self.name().clone(),
                    detail: fault.to_string(),
                })
            }
        }
    }

    /// After a link's fault: where it was about the credential, and there is another one by now, that one, to do the
    /// same with once more. What was refused for its credential never ran.
    async fn renewed(
        &self,
        caller: &Verified,
        used: &Fetched,
        fault: LinkFault,
    ) -> Result<Fetched, Refusal> {
        if let (LinkFault::Http { status, challenge }, Some(grants)) = (&fault, &self.grants)
            && let Some(challenge) = LinkFault::challenge(*status, challenge.as_deref())
        {
            return grants.challenged(caller, used, *status, challenge).await;
        }
        if let (LinkFault::Http { status: 401, .. }, None) = (&fault, &self.grants)
            && let Some(rotated) = self.credentials.renewed(used).await
        {
            return Ok(rotated);
        }
        Err(self.fault(fault))
    }

    /// Sends something of the gateway's own, as a list.
    pub(crate) async fn ask(
        &self,
        caller: &Verified,
        outgoing: Outgoing<'_>,
    ) -> Result<Answer, Refusal> {
        let (events, _) = tokio::sync::mpsc::channel(1);
        self.deliver(caller, self.credential(caller).await?, outgoing, &events).await
    }

    /// Sends it with this credential.
    pub(crate) async fn deliver(
        &self,
        caller: &Verified,
        fetched: Fetched,
        outgoing: Outgoing<'_>,
        events: &Events,
    ) -> Result<Answer, Refusal> {
        let again = (self.grants.is_some() || fetched.is_some()).then(|| outgoing.clone());
        let first = Outgoing { credential: headers(&fetched), ..outgoing };
        match (self.link.send(first, events).await, again) {
            (Ok(answer), _) => Ok(answer),
            (Err(fault), None) => Err(self.fault(fault)),
            (Err(fault), Some(again)) => {
                let credential = headers(&self.renewed(caller, &fetched, fault).await?);
                let sent = self.link.send(Outgoing { credential, ..again }, events).await;
                sent.map_err(|fault| self.fault(fault))
            }
        }
    }

    /// What the server says of itself.
    pub async fn offer(&self, caller: &Verified, client: &ClientFacts) -> Result<Offer, Refusal> {
        let partition = self.partition(caller);
        let deadline = Instant::now() + self.entry.timeout;
        let fetched = self.credential(caller).await?;
        match self.link.offer(&partition, client, &headers(&fetched), deadline).await {
            Ok(offer) => Ok(offer),
            Err(fault) => {
                let credential = headers(&self.renewed(caller, &fetched, fault).await?);
                let offer = self.link.offer(&partition, client, &credential, deadline).await;
                offer.map_err(|fault| self.fault(fault))
            }
        }
    }

    /// Listens for what the server says unasked.
    pub(crate) async fn listen(
        &self,
        caller: &Verified,
        client: &ClientFacts,
        wanted: Wanted,
    ) -> Result<Subscription, Refusal> {
        let partition = self.partition(caller);
        let fetched = self.credential(caller).await?;
        match self.link.listen(&partition, client, &headers(&fetched), wanted.clone()).await {
            Ok(listening) => Ok(listening),
            Err(fault) => {
                let credential = headers(&self.renewed(caller, &fetched, fault).await?);
                let listening = self.link.listen(&partition, client, &credential, wanted).await;
                listening.map_err(|fault| self.fault(fault))
            }
        }
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

fn headers(fetched: &Fetched) -> HeaderMap {
    let mut headers = HeaderMap::new();
    fetched.inject(&mut headers);
    headers
}

/// What a server's credentials are called: the header and where its value comes from, or whose grant it is.
fn credential_name(entry: &Server) -> String {
    if let Some(oauth) = &entry.oauth {
        let whose = match oauth.grant {
            GrantKind::Client => "Bartizan",
            GrantKind::User => "the caller",
        };
        return format!("oauth grant of {whose}");
    }
    // A reference's own form hides what stands in the configuration itself.
    let name = |one: &vault::Credential| format!("{} {:?}", one.header(), one.value());
    entry.credentials.iter().map(name).collect::<Vec<_>>().join(", ")
}
