//! Asking for a grant in the way of the client's era: as a question that it answers and comes back from, where it
//! can show a link; otherwise the refusal carries the link.

use std::{sync::Arc, time::Duration};

use identity::Verified;

use super::Grants;
use crate::{
    Gateway,
    call::Call,
    catalogue::{Listed, Listing},
    mrtr,
    refusal::Refusal,
    resolve::Target,
};

/// How long a call waits for a person who has been shown the link.
const PATIENCE: Duration = Duration::from_secs(120);

impl Grants {
    /// Until the caller has a grant, or for a while. What then is missing is asked for as ever.
    pub async fn connected(&self, caller: &Verified) {
        let owner = self.owner(caller);
        let slot = self.slots.of(&owner.partition);
        let mut kept = self.shared.kept.subscribe();
        let granted = async {
            loop {
                let held = {
                    let _alone = slot.alone.lock().await;
                    self.read(&owner, &slot, crate::now()).await
                };
                // A store that fails says so when the credential is fetched.
                if !matches!(held, Ok(None)) || kept.changed().await.is_err() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(PATIENCE, granted).await;
    }
}

impl Gateway {
    /// The listing of a server, which may want the caller to connect first.
    pub(crate) async fn listing(
        &self,
        caller: &Verified,
        call: &Call,
        target: &Target,
        listed: Listed,
    ) -> Result<Arc<Listing>, Refusal> {
        let fetch = || self.fetch_listing(&target.served, listed, caller, &call.client);
        match fetch().await {
            Err(Refusal::Connect { .. }) if call.gist.retry => {
                target.served.await_connection(caller).await;
                fetch().await
            }
            Err(refusal) => Err(self.asking_to_connect(caller, call, target, refusal)),
            listing => listing,
        }
    }

    /// Puts a question to the refusal that tells a caller to connect, where this client can answer one.
    pub(crate) fn asking_to_connect(
        &self,
        caller: &Verified,
        call: &Call,
        target: &Target,
        refusal: Refusal,
    ) -> Refusal {
        let Refusal::Connect { server, url, .. } = refusal else { return refusal };
        let link = mrtr::Link {
            key: "connect",
            id: url.rsplit('/').next().unwrap_or_default(),
            url: &url,
            message: &format!("Sign in at {server}, so that it can act for you."),
        };
        let question = mrtr::ask_to_open(&self.sealer, caller, call, target, link);
        Refusal::Connect { server, url, question }
    }
}
