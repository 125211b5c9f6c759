//! Where the credential for something behind this gateway comes from, and how it gets into requests.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::HeaderMap;
use identity::Verified;
use mcp::ServerName;
use upstream::{Credential, HttpClient, LinkFault};
use vault::{ClientIdentity, Credentials, Fetched};

use crate::{
    exchange::{Exchange, Exchanges},
    grants::{Grants, Shared},
    leak,
    refusal::Refusal,
    secrets::Injection,
};

/// The credential of one server or model.
pub(crate) struct Source {
    name: ServerName,
    how: How,
    /// What goes with a token that is not configured: more headers, a certificate.
    besides: Injection,
    connections: Connections,
}

/// Where it comes from.
pub(crate) enum How {
    /// The configuration names it; the same for all callers.
    Configured(Injection),
    /// A token endpoint gives it, for the caller or for Bartizan.
    Exchanged(Exchanges),
    /// The server's own authorization server grants it.
    Granted(Grants),
}

/// The connections that show a certificate, as long as it is the same one.
#[derive(Default)]
struct Connections(ArcSwapOption<(Arc<ClientIdentity>, HttpClient)>);

impl Source {
    /// With what the configuration names.
    pub fn configured(name: &ServerName, credentials: Credentials, shared: &Shared) -> Source {
        let configured = Injection::new(credentials, shared.secrets.clone());
        Source::new(name, How::Configured(configured), Credentials::default(), shared)
    }

    /// With what somebody gives, and what the configuration names besides.
    pub fn new(name: &ServerName, how: How, besides: Credentials, shared: &Shared) -> Source {
        let besides = Injection::new(besides, shared.secrets.clone());
        Source { name: name.clone(), how, besides, connections: Connections::default() }
    }

    /// `of`: `server` or `model`, and which.
    pub fn exchanged(
        of: (&'static str, &ServerName),
        exchange: Exchange,
        besides: Credentials,
        shared: &Arc<Shared>,
    ) -> Source {
        let exchanges = Exchanges::new((of.0, of.1.as_str()), exchange, shared);
        Source::new(of.1, How::Exchanged(exchanges), besides, shared)
    }

    /// Where the server has an authorization server of its own.
    pub fn grants(&self) -> Option<&Grants> {
        match &self.how {
            How::Granted(grants) => Some(grants),
            How::Configured(_) | How::Exchanged(_) => None,
        }
    }

    /// The credential for this caller's calls, or why it can't be had.
    pub async fn fetch(&self, caller: &Verified) -> Result<Fetched, Refusal> {
        match &self.how {
            How::Exchanged(exchanges) => exchanges.credential(caller).await,
            How::Granted(grants) => grants.credential(caller).await,
            How::Configured(credentials) => self.resolved(credentials).await,
        }
    }

    async fn resolved(&self, credentials: &Injection) -> Result<Fetched, Refusal> {
        credentials.fetch().await.map_err(|fault| Refusal::CredentialUnavailable {
            server: self.name.clone(),
            detail: fault.to_string(),
        })
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
        match (&self.how, challenge) {
            (How::Granted(grants), Some(challenge)) => {
                grants.challenged(caller, used, *status, challenge).await.map(Some)
            }
            (How::Exchanged(exchanges), Some(challenge)) if *status == 401 => {
                exchanges.challenged(caller, used, challenge).await.map(Some)
            }
            // It may have been rotated.
            (How::Configured(credentials), Some(_)) if *status == 401 => {
                Ok(credentials.renewed(used).await)
            }
            _ => Ok(None),
        }
    }

    /// What was fetched, ready to be written into requests. Nobody may say it back from now on.
    pub async fn show(&self, fetched: &Fetched) -> Result<Credential, Refusal> {
        let besides = self.resolved(&self.besides).await?;
        let mut headers = HeaderMap::new();
        // A token goes before what is configured besides it.
        for one in [&besides, fetched] {
            leak::learn_fetched(&self.name, one);
            one.inject(&mut headers);
        }
        let certificate = besides.certificate().or(fetched.certificate());
        let client = certificate.map(|shown| self.connections.showing(shown)).transpose();
        let client = client.map_err(|fault| Refusal::CredentialUnavailable {
            server: self.name.clone(),
            detail: fault.to_string(),
        })?;
        let finishing: Vec<Fetched> =
            [&besides, fetched].into_iter().filter(|one| one.finishes()).cloned().collect();
        let finish = (!finishing.is_empty()).then(|| -> upstream::Finish {
            Arc::new(move |head: &mut http::request::Parts, body: &[u8]| {
                let mut each = finishing.iter();
                each.try_for_each(|one| one.finish(head, body, crate::now()))
                    .map_err(|fault| fault.to_string())
            })
        });
        Ok(Credential { headers, finish, client })
    }
}

impl Connections {
    fn showing(&self, shown: &Arc<ClientIdentity>) -> Result<HttpClient, LinkFault> {
        if let Some(held) = &*self.0.load()
            && held.0 == *shown
        {
            return Ok(held.1.clone());
        }
        let (cert, key) = (shown.cert().expose(), shown.key().expose());
        let client = HttpClient::showing(cert, key, shown.ca())?;
        self.0.store(Some(Arc::new((shown.clone(), client.clone()))));
        Ok(client)
    }
}
