//! One configured server at work: its link, its credential, what it is known to offer.

use std::{sync::Arc, time::Instant};

use http::HeaderMap;
use mcp::ServerName;
use upstream::{ClientFacts, HttpClient, HttpTarget, Link, LinkLimits, Offer, Partition};

use crate::{
    catalogue::Catalogue,
    config::{Limits, Reach, Server},
    egress::Witness,
    launch::launch,
    refusal::Refusal,
};

/// A server that is being served.
pub struct Served {
    /// As configured.
    pub entry: Server,
    /// What it is known to offer.
    pub catalogue: Arc<Catalogue>,
    credentials: vault::Credentials,
    link: Link,
    everyone: Partition,
}

impl Served {
    /// Prepares the link; nothing is started or contacted yet.
    pub(crate) fn new(
        entry: Server,
        client: &HttpClient,
        witness: &Witness,
        limits: &Limits,
    ) -> Result<Served, vault::VaultFault> {
        let bounds = LinkLimits {
            message_bytes: limits.message_bytes,
            idle: limits.session_idle,
            ..LinkLimits::default()
        };
        let credentials = vault::Credentials::new(entry.credentials.clone())?;
        let name = entry.name.clone();
        let link = match &entry.reach {
            Reach::Http { url, allow_private } => {
                let target =
                    HttpTarget { url: url.clone(), era: entry.era, allow_private: *allow_private };
                Link::http(name, target, client.clone(), bounds)
            }
            Reach::Stdio { .. } => Link::stdio(name, launch(&entry, witness)?, entry.era, bounds),
        };
        let everyone = Partition(Arc::from("everyone"));
        Ok(Served { entry, catalogue: Arc::default(), credentials, link, everyone })
    }

    /// Its name.
    pub fn name(&self) -> &ServerName {
        &self.entry.name
    }

    /// Whose process or session serves this caller.
    pub fn partition(&self, caller: &identity::Verified) -> Partition {
        if self.entry.shared {
            self.everyone.clone()
        } else {
            Partition(caller.principal().shared_partition())
        }
    }

    /// The credential, or why it can't be had.
    pub fn credential(&self) -> Result<vault::Fetched, Refusal> {
        self.credentials.fetch().map_err(|fault| Refusal::CredentialUnavailable {
            server: self.name().clone(),
            detail: fault.to_string(),
        })
    }

    /// What the server says of itself.
    pub async fn offer(
        &self,
        caller: &identity::Verified,
        client: &ClientFacts,
    ) -> Result<Offer, Refusal> {
        let mut headers = HeaderMap::new();
        self.credential()?.inject(&mut headers);
        let deadline = Instant::now() + self.entry.timeout;
        self.link
            .offer(&self.partition(caller), client, &headers, deadline)
            .await
            .map_err(|fault| self.fault(fault))
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
