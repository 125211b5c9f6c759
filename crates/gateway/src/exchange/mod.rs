//! Exchanged credentials at work: tokens for one server, got from a token endpoint for Bartizan itself or on
//! behalf of one caller. Nothing of them is stored.
//!
//! What a caller's token is exchanged for is held under that very token (or sign-in session), so it can be
//! nobody else's, and ends with it. One request is made at a time for each, before the old token ends.

mod machine;
mod own;
mod proof;
mod refusal;

use std::{
    borrow::Cow,
    sync::{Arc, Weak},
};

use arc_swap::ArcSwapOption;
use audit::{Kind, Outcome, Record};
use identity::Verified;
use tokio::sync::Mutex;
use upstream::HttpClient;
use url::Url;
use vault::{
    Fetched,
    exchange::{ExchangeFault, ExchangeRequest, Exchanged, SubjectType, Wanted},
    oauth::Challenge,
};

pub use machine::ManagedIdentity;
pub(crate) use machine::token as machine_token;
pub(crate) use own::OwnToken;
pub(crate) use proof::prove_with;
pub use proof::{ClientProof, prove};
pub use refusal::ExchangeRefusal;

use crate::{
    Gateway,
    grants::{self, Shared},
    refusal::Refusal,
    secrets::Secrets,
    slots::Slots,
    who::Who,
};

/// How a credential is got.
#[derive(Clone, Debug, PartialEq)]
pub enum Exchange {
    /// For Bartizan itself, at a token endpoint (RFC 6749 §4.4).
    ClientCredentials(TokenEndpoint),
    /// For the machine that this runs on, in Azure.
    ManagedIdentity(ManagedIdentity),
    /// For the caller, by Entra's on-behalf-of flow.
    OnBehalfOf(TokenEndpoint),
    /// For the caller, by RFC 8693.
    TokenExchange(TokenEndpoint, SubjectType),
}

/// Where tokens are asked for, as which client, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenEndpoint {
    /// Where.
    pub url: Url,
    /// What Bartizan is called there.
    pub client_id: String,
    /// How it proves that.
    pub proof: ClientProof,
    /// What the token is to be good for.
    pub wanted: Wanted,
    /// The named loosening: addresses that are not public are allowed.
    pub allow_private: bool,
}

impl TokenEndpoint {
    /// Asks it for a token.
    pub(crate) async fn ask(
        &self,
        request: ExchangeRequest<'_>,
        client: &HttpClient,
        secrets: &Secrets,
        now: u64,
    ) -> Result<Exchanged, ExchangeFault> {
        let proof = prove(&self.client_id, &self.proof, self.url.as_str(), client, secrets).await;
        let proof = proof.map_err(ExchangeFault::Unavailable)?;
        let form = request.form(&self.url, &self.wanted, &proof);
        let (status, body) = grants::send(client, form, self.allow_private)
            .await
            .map_err(|fault| ExchangeFault::Unavailable(fault.to_string()))?;
        Exchanged::read(status, &body, now)
    }
}

impl Exchange {
    /// What records call the credential.
    pub fn name(&self) -> String {
        let (kind, of) = match self {
            Exchange::ClientCredentials(at) => ("client-credentials", at.wanted.name()),
            Exchange::ManagedIdentity(identity) => ("managed-identity", identity.resource.as_str()),
            Exchange::OnBehalfOf(at) => ("entra-on-behalf-of", at.wanted.name()),
            Exchange::TokenExchange(at, _) => ("token-exchange", at.wanted.name()),
        };
        format!("{kind} {of}").trim_end().to_owned()
    }

    /// Whether it acts for callers: then their tokens are kept as long as they are used.
    pub fn is_for_callers(&self) -> bool {
        matches!(self, Exchange::OnBehalfOf(_) | Exchange::TokenExchange(..))
    }
}

/// A failure is believed for so many seconds: many calls that wait for one token ask once.
const PAUSE: u64 = 3;
/// Whose a token is that is everybody's.
const BARTIZAN: &str = "bartizan";

/// The exchanged credentials of one server or model.
pub(crate) struct Exchanges {
    /// `server` or `model`, and which.
    of: (&'static str, Box<str>),
    name: String,
    how: Exchange,
    shared: Arc<Shared>,
    slots: Slots<Slot>,
}

/// One owner's token.
#[derive(Default)]
struct Slot {
    held: ArcSwapOption<Held>,
    /// Held by whoever asks for another one; how the last attempt failed, and until when that is believed.
    alone: Mutex<Option<(u64, ExchangeFault)>>,
}

struct Held {
    token: Exchanged,
    fetched: Fetched,
}

/// For whom a token is asked.
enum Whose<'a> {
    /// The caller, who showed this token of a provider's.
    Caller(&'a str),
    /// The person behind this sign-in session.
    Session(&'a str),
}

impl Exchanges {
    /// `of`: `server` or `model`, and which.
    pub fn new(of: (&'static str, &str), how: Exchange, shared: &Arc<Shared>) -> Exchanges {
        let (of, name) = ((of.0, of.1.into()), how.name());
        Exchanges { of, name, how, shared: shared.clone(), slots: Slots::default() }
    }

    /// The credential for this caller's calls.
    pub async fn credential(&self, caller: &Verified) -> Result<Fetched, Refusal> {
        let slot = self.slots.of(&self.owner(caller)?);
        if let Some(held) = &*slot.held.load()
            && !held.token.is_due(crate::now())
        {
            return Ok(held.fetched.clone());
        }
        Box::pin(self.renew(caller, &slot, None, None)).await
    }

    /// After the server refused `used`: another one, to try once more.
    pub async fn challenged(
        &self,
        caller: &Verified,
        used: &Fetched,
        challenge: &str,
    ) -> Result<Fetched, Refusal> {
        let slot = self.slots.of(&self.owner(caller)?);
        let claims = Challenge::parse(challenge).claims;
        self.renew(caller, &slot, Some(used), claims.as_deref()).await
    }

    /// Asks for another token, once for however many calls. While that lasts, what is still good serves;
    /// `refused` is not good any more.
    async fn renew(
        &self,
        caller: &Verified,
        slot: &Slot,
        refused: Option<&Fetched>,
        claims: Option<&str>,
    ) -> Result<Fetched, Refusal> {
        let good = |now| {
            let held = slot.held.load_full();
            held.filter(|held| held.token.is_good(now) && refused != Some(&held.fetched))
        };
        let mut failed = match (slot.alone.try_lock(), good(crate::now())) {
            (Ok(alone), _) => alone,
            (Err(_), Some(held)) => return Ok(held.fetched.clone()),
            (Err(_), None) => slot.alone.lock().await,
        };
        let now = crate::now();
        let held = good(now);
        // Somebody else may have got it, or have failed to, in the meantime.
        if let Some(held) = held.as_ref().filter(|held| !held.token.is_due(now)) {
            return Ok(held.fetched.clone());
        }
        let fault = match failed.as_ref().filter(|(until, _)| now < *until) {
            Some((_, fault)) => fault.clone(),
            None => match self.obtain(caller, claims, now).await {
                Ok(got) => {
                    *failed = None;
                    let fetched = got.fetched.clone();
                    slot.held.store(Some(Arc::new(got)));
                    return Ok(fetched);
                }
                Err(fault) => {
                    *failed = Some((now + PAUSE, fault.clone()));
                    fault
                }
            },
        };
        match held {
            Some(held) if fault.is_passing() => Ok(held.fetched.clone()),
            _ => {
                slot.held.store(None);
                Err(self.refusal(caller, fault))
            }
        }
    }

    /// Asks, and records what came of it.
    async fn obtain(
        &self,
        caller: &Verified,
        claims: Option<&str>,
        now: u64,
    ) -> Result<Held, ExchangeFault> {
        let got = self.ask(caller, claims, now).await.and_then(|token| {
            let end = caller.principal().expires().filter(|_| self.how.is_for_callers());
            let token = token.until(end);
            let fetched = token.fetched();
            let unusable = |fault: vault::VaultFault| ExchangeFault::Unavailable(fault.to_string());
            Ok(Held { fetched: fetched.map_err(unusable)?, token })
        });
        let came = got.as_ref().map(|held| held.token.expires);
        let (who, detail) = (Who::new(caller), said(came));
        let record = Record { server: &self.of.1, detail: &detail, ..who.record() };
        let record = recorded(came, &self.name, record);
        // What can't be recorded is not used.
        let recorded = self.gateway()?.append(&record).await;
        recorded.map_err(|fault| ExchangeFault::Unavailable(fault.to_string()))?;
        got
    }

    async fn ask(
        &self,
        caller: &Verified,
        claims: Option<&str>,
        now: u64,
    ) -> Result<Exchanged, ExchangeFault> {
        match &self.how {
            Exchange::ManagedIdentity(identity) => {
                machine::token(&self.shared.client, identity, now).await
            }
            Exchange::ClientCredentials(at) => {
                self.post(at, ExchangeRequest::ClientCredentials, now).await
            }
            Exchange::OnBehalfOf(at) => match whose(caller)? {
                Whose::Caller(assertion) => {
                    self.post(at, ExchangeRequest::OnBehalfOf { assertion, claims }, now).await
                }
                // Entra's refresh tokens are good for all that the application may have.
                Whose::Session(session) => {
                    self.gateway()?.onward_token(session, &at.wanted.scope).await
                }
            },
            Exchange::TokenExchange(at, kind) => {
                let session;
                let subject = match whose(caller)? {
                    Whose::Caller(token) => token,
                    Whose::Session(id) => {
                        session = self.gateway()?.onward_token(id, "").await?;
                        session.access.expose()
                    }
                };
                self.post(at, ExchangeRequest::TokenExchange { subject, kind: *kind }, now).await
            }
        }
    }

    async fn post(
        &self,
        at: &TokenEndpoint,
        request: ExchangeRequest<'_>,
        now: u64,
    ) -> Result<Exchanged, ExchangeFault> {
        at.ask(request, &self.shared.client, &self.shared.secrets, now).await
    }

    /// Whose token serves this caller.
    fn owner(&self, caller: &Verified) -> Result<Cow<'static, str>, Refusal> {
        if !self.how.is_for_callers() {
            return Ok(BARTIZAN.into());
        }
        let principal = caller.principal();
        match (principal.grant(), principal.shown()) {
            (Some(grant), _) => Ok(format!("{} {}", principal.partition(), grant.session).into()),
            (None, Some(shown)) => Ok(format!("{} {}", principal.partition(), shown.key()).into()),
            (None, None) => Err(self.refusal(caller, ExchangeFault::Nobody)),
        }
    }

    fn gateway(&self) -> Result<Arc<Gateway>, ExchangeFault> {
        let gateway = self.shared.gateway.get().and_then(Weak::upgrade);
        gateway.ok_or_else(|| ExchangeFault::Unavailable("the gateway stops".to_owned()))
    }

    fn refusal(&self, caller: &Verified, fault: ExchangeFault) -> Refusal {
        let (what, which) = &self.of;
        ExchangeRefusal { to: format!("{what} {which}"), fault }.towards(caller)
    }
}

/// The record of what came of asking for a token for this credential.
fn recorded<'a>(
    came: Result<u64, &ExchangeFault>,
    credential: &'a str,
    record: Record<'a>,
) -> Record<'a> {
    let (outcome, refusal) = match came {
        Ok(_) => (Outcome::Ok, ""),
        Err(fault) => (Outcome::Refused, refusal::label(fault)),
    };
    let (kind, outcome) = (Kind::Grant, Some(outcome));
    Record { kind, method: "exchange", credential, outcome, refusal, ..record }
}

/// Its detail: until when the token is good, or why there is none.
fn said(came: Result<u64, &ExchangeFault>) -> String {
    came.map_or_else(ToString::to_string, |until| format!("a token until {until}"))
}

fn whose(caller: &Verified) -> Result<Whose<'_>, ExchangeFault> {
    let principal = caller.principal();
    let session = principal.grant().map(|grant| Whose::Session(&grant.session));
    let shown = || principal.shown().map(|shown| Whose::Caller(shown.expose()));
    session.or_else(shown).ok_or(ExchangeFault::Nobody)
}
