//! Whether a caller who was let in is still to be: what ends sessions and streams that would otherwise
//! outlive the credential they began with.

use std::time::Duration;

use futures_util::StreamExt;
use identity::{AuthFault, PrincipalKind, Verified};

use crate::{Gateway, refusal::Refusal};

/// Sessions whose callers are looked at together: a provider that dawdles holds up few others.
const AT_ONCE: usize = 32;

impl Gateway {
    /// Whether this caller would be let in again. A provider that does not answer is no reason to let
    /// somebody stay: what can't be checked does not hold.
    pub(crate) async fn still_stands(&self, caller: &Verified) -> Result<(), Refusal> {
        let (principal, now) = (caller.principal(), crate::now());
        let gone = |fault| Err(Refusal::Authentication(fault));
        if principal.expires().is_some_and(|expires| now >= expires) {
            return gone(AuthFault::Expired);
        }
        if let Some(grant) = principal.grant() {
            return self.session_stands(grant).await;
        }
        match principal.kind() {
            PrincipalKind::Owner => Ok(()),
            PrincipalKind::Loopback if self.current().config.identity.loopback_open => Ok(()),
            PrincipalKind::Loopback => gone(AuthFault::Missing),
            PrincipalKind::Token => match principal.token() {
                Some(hash) => {
                    let record = self.token_record(hash).await?;
                    let record = record.ok_or(Refusal::Authentication(AuthFault::Unknown))?;
                    record.verify(hash, now).map(drop).map_err(Refusal::Authentication)
                }
                None => gone(AuthFault::Unknown),
            },
            PrincipalKind::User | PrincipalKind::Workload => {
                self.provider_stands(caller, now).await
            }
        }
    }

    /// The provider must still be configured, and its groups still be as they were where they were looked
    /// up.
    async fn provider_stands(&self, caller: &Verified, now: u64) -> Result<(), Refusal> {
        let principal = caller.principal();
        let current = self.current();
        if principal.provider() == Some(identity::CERTIFICATES) {
            return Ok(());
        }
        let named = principal.provider().and_then(identity::ProviderName::new);
        let provider = named.and_then(|name| current.providers.named(&name).cloned());
        let Some(provider) = provider else {
            return Err(Refusal::Authentication(AuthFault::Unknown));
        };
        if !principal.groups_looked_up() || provider.still_in_groups(caller, now).await? {
            return Ok(());
        }
        Err(Refusal::Authentication(AuthFault::Revoked))
    }

    /// Resolves when the caller no longer stands: at the credential's end, or at a check that fails.
    pub(crate) async fn outlived(&self, caller: &Verified) {
        loop {
            let recheck = self.current().config.identity.recheck;
            let left = caller.principal().expires().map(|end| end.saturating_sub(crate::now()));
            let next = left.map_or(recheck, |left| recheck.min(Duration::from_secs(left)));
            tokio::select! {
                () = tokio::time::sleep(next) => {}
                () = self.session_touched(caller) => {}
            }
            if let Err(refusal) = self.still_stands(caller).await {
                self.refuse(Some(caller), refusal).await;
                return;
            }
        }
    }

    /// How many handshake sessions there are.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Ends the sessions of callers who no longer stand. Done on a timer while the doors are open.
    pub async fn end_outlived_sessions(&self) {
        let recheck = self.current().config.identity.recheck.as_secs();
        let due = futures_util::stream::iter(self.sessions.due(crate::now(), recheck));
        due.for_each_concurrent(AT_ONCE, async |session| {
            let caller = session.caller();
            if let Err(refusal) = self.still_stands(&caller).await {
                self.sessions.end(&session);
                self.refuse(Some(&caller), refusal).await;
            }
        })
        .await;
    }
}
