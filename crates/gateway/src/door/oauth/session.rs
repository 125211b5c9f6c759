//! Sessions: opened by a sign-in, confirmed by the provider again and again, ended for good.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::StreamExt;
use identity::{
    AuthFault, Grant, Verified,
    broker::{AccessFault, Claims, ClientId, OAuthError, Scopes, SignedIn},
    jwt::Jwt,
};
use serde::{Deserialize, Serialize};
use store::Session;

use super::{
    Asked, Broker, Event,
    callback::session_id,
    provider::{SignInFault, Vouched},
    unavailable,
};
use crate::{Gateway, refusal::Refusal, seal::Purpose};

/// What a session may do, as the store keeps it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Held {
    /// The route that its tokens are for.
    pub resource: String,
    /// What they allow.
    pub scopes: Scopes,
    /// The key that they are bound to.
    pub jkt: Option<String>,
    /// Whether its client gets refresh tokens.
    pub refreshable: bool,
    /// Who signed in.
    pub identity: SignedIn,
}

impl Held {
    pub fn of(session: &Session) -> Result<Held, OAuthError> {
        serde_json::from_str(&session.payload).map_err(unavailable)
    }
}

/// Why a session can't be used.
#[derive(Debug)]
pub(super) enum Over {
    /// It has ended.
    Ended,
    /// The provider does not answer, and its last word is too old.
    Unconfirmed,
    /// The store.
    Store(store::StoreFault),
}

impl Asked<'_> {
    /// Opens a session. Without a refresh token of the provider's it ends with the provider's own token.
    pub(super) async fn open_session(
        &self,
        client: &ClientId,
        held: &Held,
        vouched: Option<Vouched>,
    ) -> Result<String, OAuthError> {
        let id = session_id().ok_or_else(|| unavailable("no randomness"))?;
        let now = crate::now();
        let config = &self.broker.config;
        let (refresh, life) = match vouched {
            Some(Vouched { refresh: Some(refresh), .. }) => {
                (Some(refresh), config.idle.min(config.session).as_secs())
            }
            Some(Vouched { expires_in, .. }) => (None, expires_in),
            None => (None, config.access_token.as_secs()),
        };
        let seal = |text: String| {
            self.gateway.sealer.seal(Purpose::ProviderToken, &id, u64::MAX, text.as_bytes())
        };
        let session = Session {
            subject: held.identity.id.clone(),
            client: client.as_str().to_owned(),
            payload: serde_json::to_string(held).map_err(unavailable)?,
            provider: refresh.map(seal).transpose().map_err(unavailable)?,
            epoch: 0,
            created: now,
            used: now,
            checked: now,
            expires: now.saturating_add(life),
            ended: None,
            id,
        };
        self.gateway.store.oauth_session_insert(&session).await.map_err(unavailable)?;
        Ok(session.id)
    }
}

impl Gateway {
    /// Who shows an access token of ours: signed by us, of a session that lives and still says the same of its person.
    pub(crate) async fn believe_own(
        &self,
        broker: &Arc<Broker>,
        jwt: &Jwt<'_>,
    ) -> Result<Verified, Refusal> {
        let refused = |fault| Err(Refusal::Authentication(fault));
        let keys = broker.keys.now();
        let claims = match Claims::verify(jwt, broker.issuer(), &keys.set, crate::now()) {
            Ok(claims) => claims,
            Err(AccessFault::Jwt(fault)) => return refused(AuthFault::Proof(fault.into())),
            Err(AccessFault::Claims) => return refused(AuthFault::Unknown),
        };
        let session = self.live_session(broker, &claims.sid).await?;
        // What it says is no longer so: the client refreshes it.
        if session.epoch != claims.epoch {
            return refused(AuthFault::Expired);
        }
        claims.verified().ok_or(Refusal::Authentication(AuthFault::Unknown))
    }

    /// A session that has not ended, confirmed by the provider within the configured time.
    pub(super) async fn live_session(
        &self,
        broker: &Arc<Broker>,
        id: &str,
    ) -> Result<Session, Over> {
        let session = self.stored_session(id).await?;
        let stale = crate::now().saturating_sub(session.checked)
            > self.current().config.identity.recheck.as_secs();
        if session.provider.is_some() && stale {
            self.recheck(broker, id).await
        } else {
            Ok(session)
        }
    }

    pub(super) async fn stored_session(&self, id: &str) -> Result<Session, Over> {
        let session =
            self.store.oauth_session(id).await.map_err(Over::Store)?.ok_or(Over::Ended)?;
        if session.ended.is_some() || session.expires <= crate::now() {
            Err(Over::Ended)
        } else {
            Ok(session)
        }
    }

    /// Asks the provider whether it still vouches for the person. A no ends the session.
    async fn recheck(&self, broker: &Arc<Broker>, id: &str) -> Result<Session, Over> {
        // One at a time for each session: providers take a refresh token that is shown twice for stolen.
        let _turn = broker.turn(id).lock().await;
        let session = self.stored_session(id).await?;
        let now = crate::now();
        if now.saturating_sub(session.checked) <= self.soon() {
            return Ok(session);
        }
        let Some(sealed) = &session.provider else { return Ok(session) };
        let Ok(refresh) = self.sealer.open(Purpose::ProviderToken, id, now, sealed) else {
            self.end_session(broker, id, "the provider's token does not open").await?;
            return Err(Over::Ended);
        };
        let (refresh, epoch) = (String::from_utf8(refresh).unwrap_or_default(), session.epoch);
        let subject = session.subject.clone();
        let reason = match self.sign_in_refresh(broker, &refresh).await {
            Ok(vouched) => match self.confirmed(session, vouched, now)? {
                Some(session) => {
                    self.store.oauth_session_checked(&session).await.map_err(Over::Store)?;
                    if session.epoch != epoch {
                        self.session_changed(broker, id);
                    }
                    return Ok(session);
                }
                None => "the provider speaks of somebody else".to_owned(),
            },
            Err(SignInFault::Silent(fault) | SignInFault::Proof(fault)) => {
                tracing::warn!(session = id, fault, "a session can't be confirmed");
                return Err(Over::Unconfirmed);
            }
            Err(fault) => {
                // The next sign-in takes it along: without it, the provider would refuse again.
                if let SignInFault::Refused { claims: Some(claims), .. } = &fault {
                    broker.challenges.keep(&subject, claims, now);
                }
                fault.to_string()
            }
        };
        self.end_session(broker, id, &reason).await?;
        Err(Over::Ended)
    }

    /// The session with what the provider says now; `None` when that is about somebody else.
    fn confirmed(
        &self,
        mut session: Session,
        vouched: Vouched,
        now: u64,
    ) -> Result<Option<Session>, Over> {
        let lost = |_| Over::Ended;
        if let Some(identity) = vouched.identity {
            let mut held = Held::of(&session).map_err(lost)?;
            if identity.id != held.identity.id {
                return Ok(None);
            }
            session.epoch += u64::from(identity.differs(&held.identity));
            held.identity = identity;
            session.payload = serde_json::to_string(&held).map_err(|_| Over::Ended)?;
        }
        if let Some(refresh) = vouched.refresh {
            let sealed =
                self.sealer.seal(Purpose::ProviderToken, &session.id, u64::MAX, refresh.as_bytes());
            session.provider = Some(sealed.map_err(|_| Over::Unconfirmed)?);
        }
        session.checked = now;
        Ok(Some(session))
    }

    /// Ends a session, with its tokens and streams.
    pub(super) async fn end_session(
        &self,
        broker: &Broker,
        id: &str,
        reason: &str,
    ) -> Result<(), Over> {
        let now = crate::now();
        let session = self.store.oauth_session(id).await.map_err(Over::Store)?;
        if !self.store.oauth_session_end(id, reason, now).await.map_err(Over::Store)? {
            return Ok(());
        }
        self.session_changed(broker, id);
        let Some(session) = session else { return Ok(()) };
        let client = ClientId::parse(&session.client).ok();
        let call = self.next_call_id();
        let event = Event {
            id: &call,
            what: "session-end",
            principal: &session.subject,
            client: client.as_ref(),
            detail: reason,
            ..Event::default()
        };
        // It has ended already; a log that fails refuses the calls that follow.
        if let Err(fault) = self.record_grant(&event).await {
            tracing::error!(%fault, "the end of a session could not be recorded");
        }
        Ok(())
    }

    /// Lets the tokens and streams of a session be looked at again.
    fn session_changed(&self, broker: &Broker, id: &str) {
        self.forget_verified();
        // No stream is no fault.
        let _ = broker.changed.send(id.to_owned());
    }

    /// Returns when the session behind this caller is not what it was; never for others.
    pub(crate) async fn session_touched(&self, caller: &Verified) {
        if let (Some(grant), Some(broker)) = (caller.principal().grant(), self.broker()) {
            let mut changed = broker.changed.subscribe();
            // Too many at once to be told of each: then this one is looked at too.
            while changed.recv().await.is_ok_and(|id| id != grant.session) {}
            return;
        }
        std::future::pending().await
    }

    /// Whether the session behind a token of ours still lives, and says the same of its person.
    pub(crate) async fn session_stands(&self, grant: &Grant) -> Result<(), Refusal> {
        let broker = self.broker().ok_or(Refusal::Authentication(AuthFault::Unknown))?;
        let session = self.live_session(&broker, &grant.session).await?;
        if session.epoch == grant.epoch {
            Ok(())
        } else {
            Err(Refusal::Authentication(AuthFault::Expired))
        }
    }

    /// When the provider is asked again although its last word still holds, so that it always does.
    fn soon(&self) -> u64 {
        self.current().config.identity.recheck.as_secs() * 4 / 5
    }
}

impl From<Over> for Refusal {
    fn from(over: Over) -> Refusal {
        match over {
            Over::Ended => Refusal::Authentication(AuthFault::Revoked),
            Over::Unconfirmed => {
                Refusal::IdentityUnavailable("the provider does not confirm the session".to_owned())
            }
            Over::Store(fault) => Refusal::StoreUnavailable(fault.to_string()),
        }
    }
}

impl Broker {
    pub(super) fn turn(&self, id: &str) -> &tokio::sync::Mutex<()> {
        let at = identity::broker::hash(id)[0];
        &self.turns[usize::from(at) % self.turns.len()]
    }
}

/// How often sessions are looked after.
const TICK: Duration = Duration::from_secs(5);
/// A session that was used within so many seconds is kept confirmed; others are asked about when they are used again.
const RECENT: u64 = 60 * 60;
/// Sessions that are asked about in one round.
const ROUND: u32 = 256;
/// Asked about at once.
const AT_ONCE: usize = 8;

/// Looks after sessions and keys as long as this broker serves.
pub(super) async fn tend(gateway: Weak<Gateway>, broker: Weak<Broker>) {
    let mut ticks = tokio::time::interval(TICK);
    let mut rounds = 0_u64;
    loop {
        ticks.tick().await;
        let (Some(gateway), Some(broker)) = (gateway.upgrade(), broker.upgrade()) else { return };
        if *gateway.ending.borrow() {
            return;
        }
        if let Err(fault) = round(&gateway, &broker, rounds.is_multiple_of(720)).await {
            tracing::error!(%fault, "sessions could not be looked after");
        }
        rounds += 1;
    }
}

async fn round(
    gateway: &Gateway,
    broker: &Arc<Broker>,
    rarely: bool,
) -> Result<(), store::StoreFault> {
    let now = crate::now();
    if rarely {
        gateway.store.oauth_prune(now).await?;
        if let Err(fault) = broker.keys.renew(&gateway.store, &gateway.sealer, now).await {
            tracing::error!(%fault, "the signing key could not be renewed");
        }
    }
    let before = now.saturating_sub(gateway.soon());
    let due =
        gateway.store.oauth_sessions_due(now.saturating_sub(RECENT), before, now, ROUND).await?;
    futures_util::stream::iter(due)
        .for_each_concurrent(AT_ONCE, async |session| {
            // What comes of it is recorded where it happens.
            let _ = gateway.recheck(broker, &session.id).await;
        })
        .await;
    Ok(())
}
