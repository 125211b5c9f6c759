//! Tokens for Bartizan itself, where no caller is: what it sends by itself, such as its records.

use std::sync::Arc;

use audit::{Journal, Record};
use tokio::sync::Mutex;
use upstream::HttpClient;
use vault::{
    Fetched,
    exchange::{ExchangeFault, ExchangeRequest, Exchanged},
};

use super::{Exchange, machine, recorded, said};
use crate::{leak, secrets::Secrets};

/// How a token is got, and the one that is held.
pub(crate) struct OwnToken {
    /// What needs it, as records name it.
    of: String,
    how: Exchange,
    /// What records call it.
    name: String,
    client: HttpClient,
    secrets: Arc<Secrets>,
    journal: Journal,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    token: Option<Exchanged>,
    /// When one was asked for last.
    asked: u64,
    /// Why there was none.
    failed: Option<String>,
}

impl OwnToken {
    /// `of` needs it, such as `export siem`.
    pub fn new(
        of: String,
        how: Exchange,
        client: HttpClient,
        secrets: Arc<Secrets>,
        journal: Journal,
    ) -> OwnToken {
        OwnToken { of, name: how.name(), how, client, secrets, journal, held: Mutex::default() }
    }

    /// What to send now. Another token is asked for before the one that is held ends; while that fails, what
    /// is still good serves.
    pub async fn fetch(&self) -> Result<Fetched, ExchangeFault> {
        let mut held = self.held.lock().await;
        let now = crate::now();
        if held.token.as_ref().is_none_or(|token| token.is_due(now))
            && let Err(fault) = self.renew(&mut held, now).await
            && !(fault.is_passing() && held.token.as_ref().is_some_and(|token| token.is_good(now)))
        {
            return Err(fault);
        }
        let token = held.token.as_ref().ok_or(ExchangeFault::Nobody)?;
        token.fetched().map_err(|fault| ExchangeFault::Unavailable(fault.to_string()))
    }

    /// After the token was refused: another one at the next use.
    pub async fn forget(&self) {
        self.held.lock().await.token = None;
    }

    /// Asks, and records what came of it: each token, and a failure once as long as it stays the same. That
    /// record may be what is exported next, so nobody makes it ask twice in a second.
    async fn renew(&self, held: &mut Held, now: u64) -> Result<(), ExchangeFault> {
        if held.asked == now {
            let why = "another token is asked for in a second".to_owned();
            return Err(ExchangeFault::Unavailable(why));
        }
        held.asked = now;
        let got = self.ask(now).await;
        let failed = got.as_ref().err().map(ToString::to_string);
        if failed.is_none() || failed != held.failed {
            let came = got.as_ref().map(|token| token.expires);
            let detail = said(came);
            let record = Record { name: &self.of, detail: &detail, ..Record::default() };
            // What can't be recorded is not used: what is left when the gateway ends goes out after the next start.
            let written = self.journal.append(&recorded(came, &self.name, record)).await;
            written.map_err(|fault| ExchangeFault::Unavailable(fault.to_string()))?;
        }
        held.failed = failed;
        let token = got?;
        leak::learn(&format!("{} of {}", self.name, self.of), token.access.expose());
        held.token = Some(token);
        Ok(())
    }

    async fn ask(&self, now: u64) -> Result<Exchanged, ExchangeFault> {
        match &self.how {
            Exchange::ClientCredentials(at) => {
                at.ask(ExchangeRequest::ClientCredentials, &self.client, &self.secrets, now).await
            }
            Exchange::ManagedIdentity(identity) => {
                machine::token(&self.client, identity, now).await
            }
            // For a caller, who is not there: the configuration has refused it.
            Exchange::OnBehalfOf(_) | Exchange::TokenExchange(..) => Err(ExchangeFault::Nobody),
        }
    }
}
