//! Grants: what people let Bartizan have at servers with an authorization server of their own.
//!
//! A grant belongs to one principal at one server. It is sealed in the store, renewed before it ends (by
//! one request, however many calls wait for it) and given up when the server says so; a person is asked
//! only then. `shared.rs` talks to authorization servers, `connect.rs` is the person's road there.

mod ask;
mod connect;
mod give_back;
pub(crate) mod own;
mod shared;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use identity::Verified;
use mcp::ServerName;
use url::Url;
use vault::{
    Fetched, Secret,
    oauth::{Challenge, Grant, Scopes, Terms, TokenError, TokenRequest},
};

pub(crate) use connect::{handle, is_ours};
pub use give_back::{GivenBack, give_back};
pub(crate) use shared::{Shared, send};

use crate::{
    config::{Reach, Server},
    refusal::Refusal,
    seal::{Purpose, Sealer, random_id},
    slots::Slots,
};

/// How the grants for a server are got.
#[derive(Clone, Debug, PartialEq)]
pub struct OAuth {
    /// Whose they are.
    pub grant: GrantKind,
    /// As which client, where that was registered beforehand.
    pub client: Option<Registered>,
    /// The URL of the document about the client, where it is not Bartizan's own.
    pub document: Option<Url>,
    /// Scopes that are asked for whatever the server says.
    pub scopes: Scopes,
}

/// Whose the grants for a server are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GrantKind {
    /// Each principal's own, got by a person in a browser.
    #[default]
    User,
    /// Bartizan's, for all principals.
    Client,
}

/// A client that was registered beforehand.
#[derive(Clone, Debug, PartialEq)]
pub struct Registered {
    /// `client_id`.
    pub id: String,
    /// Its secret, or its private key in PEM form.
    pub secret: Option<vault::Reference>,
    /// The issuer that knows it. When absent, the one that the server names, which then gets no secret.
    pub issuer: Option<String>,
}

impl Registered {
    /// Whether it may be used there. A server that somebody took over can name any issuer: what proves the client goes to
    /// none but the one that the operator named.
    fn is_known_to(&self, issuer: &str) -> bool {
        match &self.issuer {
            // What a person wrote may end with a slash or not.
            Some(written) => written.trim_end_matches('/') == issuer.trim_end_matches('/'),
            None => self.secret.is_none(),
        }
    }
}

/// The longest form of a page.
const FORM: usize = 8 << 10;
/// Whose client credentials are; no principal's partition is like it.
const GATEWAY: &str = "gateway";
/// For how long a grant at hand is believed to be in the store still, in seconds: how long a revocation
/// by another process takes.
pub const BELIEVED: u64 = 10;

/// One server's grants.
pub(crate) struct Grants {
    server: ServerName,
    url: Url,
    allow_private: bool,
    oauth: OAuth,
    shared: Arc<Shared>,
    slots: Slots<Slot>,
}

/// Whose a grant is: one principal's, and the same for people.
struct Owner {
    partition: Arc<str>,
    principal: String,
}

/// One owner's grant.
#[derive(Default)]
struct Slot {
    held: ArcSwapOption<Held>,
    /// Held by whoever reads or renews it.
    alone: tokio::sync::Mutex<()>,
}

struct Held {
    grant: Grant,
    fetched: Fetched,
    read: u64,
}

impl Grants {
    /// For an entry that has them.
    pub fn of(entry: &Server, shared: &Arc<Shared>) -> Option<Grants> {
        let Reach::Http { url, allow_private } = &entry.reach else { return None };
        Some(Grants {
            server: entry.name.clone(),
            url: Url::parse(&url.to_string()).ok()?,
            allow_private: *allow_private,
            oauth: entry.oauth.clone()?,
            shared: shared.clone(),
            slots: Slots::default(),
        })
    }

    /// The credential of this caller; none, where nothing is granted: the server then says what it wants.
    pub async fn credential(&self, caller: &Verified) -> Result<Fetched, Refusal> {
        let owner = self.owner(caller);
        let slot = self.slots.of(&owner.partition);
        let now = crate::now();
        if let Some(held) = &*slot.held.load()
            && held.grant.is_fresh(now)
            && now < held.read + BELIEVED
        {
            return Ok(held.fetched.clone());
        }
        let _alone = slot.alone.lock().await;
        let Some(held) = self.read(&owner, &slot, now).await? else { return Ok(Fetched::none()) };
        if held.grant.is_fresh(now) {
            return Ok(held.fetched.clone());
        }
        Ok(self.renew(&owner, &slot, &held.grant, now).await?.unwrap_or_else(Fetched::none))
    }

    /// After the server refused `used`: another credential to try once more, or what the person has to
    /// do.
    pub async fn challenged(
        &self,
        caller: &Verified,
        used: &Fetched,
        status: u16,
        challenge: &str,
    ) -> Result<Fetched, Refusal> {
        let challenge = Challenge::parse(challenge);
        let owner = self.owner(caller);
        let slot = self.slots.of(&owner.partition);
        let now = crate::now();
        let _alone = slot.alone.lock().await;
        let held = self.read(&owner, &slot, now).await?;
        if let Some(held) = held.as_deref().filter(|held| held.fetched != *used) {
            // Another call was refused at the same time, and renewed it.
            return Ok(held.fetched.clone());
        }
        if let Some(held) = held.as_deref().filter(|_| status == 401)
            && let Some(fetched) = self.renew(&owner, &slot, &held.grant, now).await?
        {
            return Ok(fetched);
        }
        let asked = held.map(|held| held.grant.terms.scopes.clone()).unwrap_or_default();
        if let Some(wanted) = challenge.scope.as_ref().filter(|_| challenge.step_up)
            && asked.covers(wanted)
        {
            let detail = format!("it wants the scopes {wanted}, which were asked for already");
            return Err(self.unavailable(&detail));
        }
        match self.oauth.grant {
            GrantKind::User => Err(self.connect(caller, challenge, asked)),
            GrantKind::Client => self.for_bartizan(&owner, &slot, &challenge, now).await,
        }
    }

    /// Client credentials (RFC 6749 §4.4): nobody is asked.
    async fn for_bartizan(
        &self,
        owner: &Owner,
        slot: &Slot,
        challenge: &Challenge,
        now: u64,
    ) -> Result<Fetched, Refusal> {
        let terms = self.terms(challenge, &Scopes::default(), None).await;
        let terms = terms.map_err(|fault| self.unavailable(&fault))?;
        let got = self.ask(TokenRequest::ClientCredentials, &terms, now).await;
        let grant = got
            .and_then(|(status, body)| Grant::read(terms, status, &body, now))
            .map_err(|fault| self.unavailable(&fault))?;
        self.keep(owner, slot, grant, now).await
    }

    /// What is to be asked for. A server that has no client of ours yet gets one, which comes back to
    /// `redirect`; nobody registers for client credentials.
    async fn terms(
        &self,
        challenge: &Challenge,
        had: &Scopes,
        redirect: Option<&Url>,
    ) -> Result<Terms, vault::oauth::OAuthFault> {
        let known = self.oauth.client.as_ref().and_then(|client| client.issuer.as_deref());
        let (resource, issuer) =
            self.shared.discover(&self.url, challenge, known, self.allow_private).await?;
        let client = self.shared.client(&self.oauth, &issuer, redirect, self.allow_private).await?;
        let asked = challenge.scope.as_ref().unwrap_or(&resource.scopes);
        let scopes = asked.union(had).union(&self.oauth.scopes);
        Ok(Terms { issuer, client, resource: resource.resource, scopes })
    }

    async fn ask(
        &self,
        request: TokenRequest<'_>,
        terms: &Terms,
        now: u64,
    ) -> Result<(u16, bytes::Bytes), TokenError> {
        let id = random_id().unwrap_or_default();
        let form = request.form(terms, now, &id)?;
        Ok(self.shared.post(form, self.allow_private).await?)
    }

    /// Renews it, once. `None`: only a person can get another one.
    async fn renew(
        &self,
        owner: &Owner,
        slot: &Slot,
        grant: &Grant,
        now: u64,
    ) -> Result<Option<Fetched>, Refusal> {
        let request = match (&grant.refresh, self.oauth.grant) {
            (Some(token), _) => TokenRequest::Refresh(token),
            (None, GrantKind::Client) => TokenRequest::ClientCredentials,
            (None, GrantKind::User) => return Ok(None),
        };
        let answer = self.ask(request, &grant.terms, now).await;
        match answer.and_then(|(status, body)| grant.renewed(status, &body, now)) {
            Ok(renewed) => self.keep(owner, slot, renewed, now).await.map(Some),
            Err(TokenError::Grant | TokenError::Client) => {
                tracing::info!(server = %self.server, "a grant is over: it could not be renewed");
                Ok(None)
            }
            Err(fault) => Err(self.unavailable(&fault)),
        }
    }

    /// What the store has, if it can still be opened.
    async fn read(
        &self,
        owner: &Owner,
        slot: &Slot,
        now: u64,
    ) -> Result<Option<Arc<Held>>, Refusal> {
        if let Some(held) = slot.held.load_full().filter(|held| now < held.read + BELIEVED) {
            return Ok(Some(held));
        }
        let sealed = self.shared.store.grant(self.server.as_str(), &owner.partition).await;
        let sealed = sealed.map_err(|fault| Refusal::StoreUnavailable(fault.to_string()))?;
        let sealer = &self.shared.sealer;
        let grant =
            sealed.and_then(|sealed| opened(sealer, &self.url, &owner.partition, &sealed, now));
        let held = match grant {
            Some(grant) => Some(self.held(grant, now)?),
            None => None,
        };
        slot.held.store(held.clone());
        Ok(held)
    }

    async fn keep(
        &self,
        owner: &Owner,
        slot: &Slot,
        grant: Grant,
        now: u64,
    ) -> Result<Fetched, Refusal> {
        let sealed = self
            .shared
            .sealer
            .seal(
                Purpose::Grant,
                &sealed_for(&self.url, &owner.partition),
                u64::MAX,
                grant.to_plain().expose().as_bytes(),
            )
            .map_err(|fault| self.unavailable(&fault))?;
        let row = store::Grant {
            server: self.server.as_str().to_owned(),
            owner: owner.partition.to_string(),
            principal: owner.principal.clone(),
            issuer: grant.terms.issuer.issuer.clone(),
            scopes: grant.scopes.to_string(),
            sealed,
            updated: now,
        };
        self.shared
            .store
            .grant_keep(&row)
            .await
            .map_err(|fault| Refusal::StoreUnavailable(fault.to_string()))?;
        let held = self.held(grant, now)?;
        slot.held.store(Some(held.clone()));
        self.shared.kept.send_modify(|count| *count += 1);
        Ok(held.fetched.clone())
    }

    fn held(&self, grant: Grant, now: u64) -> Result<Arc<Held>, Refusal> {
        let fetched = grant.fetched().map_err(|fault| self.unavailable(&fault))?;
        Ok(Arc::new(Held { grant, fetched, read: now }))
    }

    /// Whose the grant is.
    fn owner(&self, caller: &Verified) -> Owner {
        let principal = caller.principal();
        match self.oauth.grant {
            GrantKind::User => Owner {
                partition: principal.shared_partition(),
                principal: principal.id().to_owned(),
            },
            GrantKind::Client => {
                Owner { partition: Arc::from(GATEWAY), principal: GATEWAY.to_owned() }
            }
        }
    }

    fn unavailable(&self, detail: &dyn std::fmt::Display) -> Refusal {
        let (server, detail) = (self.server.clone(), detail.to_string());
        Refusal::CredentialUnavailable { server, detail }
    }
}

/// A grant opens for its owner at the server that it was made for: an entry that was pointed elsewhere does not
/// bring it there.
fn sealed_for(url: &Url, owner: &str) -> String {
    format!("{url}\n{owner}")
}

/// What the store has, if it can still be opened.
fn opened(sealer: &Sealer, url: &Url, owner: &str, sealed: &str, now: u64) -> Option<Grant> {
    let plain = sealer.open(Purpose::Grant, &sealed_for(url, owner), now, sealed).ok()?;
    let text = String::from_utf8(plain).ok()?;
    Grant::from_plain(&Secret::new(text.into_boxed_str()))
}
