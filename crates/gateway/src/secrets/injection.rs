//! A server's credentials, ready to be sent.

use arc_swap::ArcSwapOption;
use std::sync::Arc;
use tokio::time::Instant;
use vault::{Credentials, Fetched, Secret};

use super::{SecretFault, Secrets};

/// The credentials of one server. While nothing changed they are put together once.
pub(crate) struct Injection {
    credentials: Credentials,
    ready: ArcSwapOption<Ready>,
    secrets: Arc<Secrets>,
}

struct Ready {
    fetched: Fetched,
    epoch: u64,
    until: Instant,
}

impl Injection {
    pub fn new(credentials: Credentials, secrets: Arc<Secrets>) -> Injection {
        Injection { credentials, ready: ArcSwapOption::empty(), secrets }
    }

    /// What to send now.
    pub async fn fetch(&self) -> Result<Fetched, SecretFault> {
        if self.credentials.is_empty() {
            return Ok(Fetched::none());
        }
        // Taken before anything is read: a change in between makes what is put together old at once.
        let epoch = self.secrets.epoch();
        if let Some(ready) = &*self.ready.load()
            && ready.epoch == epoch
            && Instant::now() < ready.until
        {
            return Ok(ready.fetched.clone());
        }
        let mut values: Vec<Secret> = Vec::new();
        let mut until: Option<Instant> = None;
        for reference in self.credentials.references() {
            let resolved = Box::pin(self.secrets.resolve(reference)).await?;
            until = Some(until.map_or(resolved.until, |until| until.min(resolved.until)));
            values.push(resolved.secret);
        }
        let fetched = self.credentials.assemble(&values);
        let fetched = fetched.map_err(|fault| SecretFault::Unfit(Arc::new(fault)))?;
        let until = until.unwrap_or_else(Instant::now);
        self.ready.store(Some(Arc::new(Ready { fetched: fetched.clone(), epoch, until })));
        Ok(fetched)
    }

    /// After the server refused `used`: something else, if there is something else by now.
    pub async fn renewed(&self, used: &Fetched) -> Option<Fetched> {
        self.forget();
        self.fetch().await.ok().filter(|fetched| fetched != used)
    }

    /// Reads everything anew at the next use.
    pub fn forget(&self) {
        let references = self.credentials.references();
        self.secrets.forget(references.flat_map(|reference| reference.sources()));
    }
}
