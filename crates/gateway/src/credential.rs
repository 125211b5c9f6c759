//! Where the credential for something behind this gateway comes from.

use std::sync::Arc;

use identity::Verified;
use mcp::ServerName;
use upstream::LinkFault;
use vault::Fetched;

use crate::{
    exchange::{Exchange, Exchanges},
    grants::{Grants, Shared},
    refusal::Refusal,
    secrets::Injection,
};

/// Where a credential comes from.
pub(crate) enum Source {
    /// The configuration names it; the same for all callers.
    Configured(Injection),
    /// A token endpoint gives it, for the caller or for Bartizan.
    Exchanged(Exchanges),
    /// The server's own authorization server grants it.
    Granted(Grants),
}

impl Source {
    /// With what the configuration names.
    pub fn configured(
        list: Vec<vault::Credential>,
        shared: &Shared,
    ) -> Result<Source, vault::VaultFault> {
        let credentials = vault::Credentials::new(list)?;
        Ok(Source::Configured(Injection::new(credentials, shared.secrets.clone())))
    }

    /// `of`: `server` or `model`, and which.
    pub fn exchanged(of: (&'static str, &str), exchange: Exchange, shared: &Arc<Shared>) -> Source {
        Source::Exchanged(Exchanges::new(of, exchange, shared))
    }

    /// The credential for this caller's calls, or why it can't be had.
    pub async fn fetch(&self, caller: &Verified, server: &ServerName) -> Result<Fetched, Refusal> {
        match self {
            Source::Exchanged(exchanges) => exchanges.credential(caller).await,
            Source::Granted(grants) => grants.credential(caller).await,
            Source::Configured(credentials) => credentials.fetch().await.map_err(|fault| {
                Refusal::CredentialUnavailable { server: server.clone(), detail: fault.to_string() }
            }),
        }
    }

    /// After a fault that is about the credential `used`: another one, to do the same with once more. What was
    /// refused for its credential never ran. `None`: there is no other, or it is about something else.
    pub async fn another(
        &self,
        caller: &Verified,
        used: &Fetched,
        fault: &LinkFault,
    ) -> Result<Option<Fetched>, Refusal> {
        let LinkFault::Http { status, challenge } = fault else { return Ok(None) };
        let challenge = LinkFault::challenge(*status, challenge.as_deref());
        match (self, challenge) {
            (Source::Granted(grants), Some(challenge)) => {
                grants.challenged(caller, used, *status, challenge).await.map(Some)
            }
            (Source::Exchanged(exchanges), Some(challenge)) if *status == 401 => {
                exchanges.challenged(caller, used, challenge).await.map(Some)
            }
            // It may have been rotated.
            (Source::Configured(credentials), Some(_)) if *status == 401 => {
                Ok(credentials.renewed(used).await)
            }
            _ => Ok(None),
        }
    }
}

/// What configured credentials are called in records: a reference's own form hides what stands in the
/// configuration itself.
pub(crate) fn names(list: &[vault::Credential]) -> String {
    let name = |one: &vault::Credential| format!("{} {:?}", one.header(), one.value());
    list.iter().map(name).collect::<Vec<_>>().join(", ")
}
