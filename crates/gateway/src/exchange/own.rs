//! Tokens for Bartizan itself, where no caller is: what it sends by itself, such as its records.

use std::sync::Arc;

use tokio::sync::Mutex;
use upstream::HttpClient;
use vault::{
    Fetched,
    exchange::{ExchangeFault, ExchangeRequest, Exchanged},
};

use super::{Exchange, machine};
use crate::secrets::Secrets;

/// How a token is got, and the one that is held.
pub(crate) struct OwnToken {
    how: Exchange,
    client: HttpClient,
    secrets: Arc<Secrets>,
    held: Mutex<Option<Exchanged>>,
}

impl OwnToken {
    pub fn new(how: Exchange, client: HttpClient, secrets: Arc<Secrets>) -> OwnToken {
        OwnToken { how, client, secrets, held: Mutex::default() }
    }

    /// What to send now. Another token is asked for before the one that is held ends; while that fails, what
    /// is still good serves.
    pub async fn fetch(&self) -> Result<Fetched, ExchangeFault> {
        let unusable = |fault: vault::VaultFault| ExchangeFault::Unavailable(fault.to_string());
        let mut held = self.held.lock().await;
        let now = crate::now();
        if let Some(token) = held.as_ref().filter(|token| !token.is_due(now)) {
            return token.fetched().map_err(unusable);
        }
        match self.ask(now).await {
            Ok(token) => held.insert(token).fetched().map_err(unusable),
            Err(fault) => match held.as_ref().filter(|token| token.is_good(now)) {
                Some(token) if fault.is_passing() => token.fetched().map_err(unusable),
                _ => Err(fault),
            },
        }
    }

    /// After the token was refused: another one at the next use.
    pub async fn forget(&self) {
        *self.held.lock().await = None;
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
