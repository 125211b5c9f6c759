//! Where the authorization server meets the rest of the gateway: its start, its tokens at the doors, its records.

use std::sync::{Arc, PoisonError};

use http::request::Parts;
use identity::{
    AuthFault, Verified,
    broker::{ClientId, dpop},
    jwt::Jwt,
};

use super::{Broker, session};
use crate::{Gateway, gateway::StartFault, refusal::Refusal};

impl Gateway {
    /// The authorization server, if people sign in here.
    pub(crate) fn broker(&self) -> Option<Arc<Broker>> {
        self.broker.load_full()
    }

    /// Starts, keeps or ends the authorization server, as the configuration of now says.
    pub(crate) async fn serve_sign_in(&self) -> Result<(), StartFault> {
        let wanted = self.current().config.sign_in.clone();
        let running = self.broker();
        if running.as_ref().map(|broker| &broker.config) == wanted.as_ref() {
            return Ok(());
        }
        let broker = match wanted {
            Some(config) => Some(Arc::new(Broker::open(config, self).await?)),
            None => None,
        };
        self.broker.store(broker.clone());
        self.forget_verified();
        if let (Some(broker), Some(gateway)) = (broker, self.arc()) {
            tokio::spawn(session::tend(Arc::downgrade(&gateway), Arc::downgrade(&broker)));
        }
        Ok(())
    }

    /// Who shows this token, if it claims to be one of ours.
    pub(crate) async fn own_token(&self, token: &str) -> Option<Result<Verified, Refusal>> {
        let broker = self.broker()?;
        let jwt = Jwt::read(token).ok()?;
        if jwt.claimed_issuer() != Some(broker.issuer()) {
            return None;
        }
        Some(self.believe_own(&broker, &jwt).await)
    }

    /// Records what the authorization server did.
    pub(crate) async fn record_grant(&self, event: &Event<'_>) -> Result<(), Refusal> {
        let refused = !event.refused.is_empty();
        self.append(&audit::Record {
            kind: audit::Kind::Grant,
            id: event.id,
            principal: event.principal,
            client: event.client.map(ClientId::as_str).unwrap_or_default(),
            door: "http",
            method: event.what,
            name: event.resource,
            outcome: Some(if refused { audit::Outcome::Refused } else { audit::Outcome::Ok }),
            refusal: event.refused,
            detail: event.detail,
            ..audit::Record::default()
        })
        .await
    }
}

/// One thing that the authorization server did, for the record.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Event<'a> {
    /// The request's id.
    pub id: &'a str,
    /// What it was: `consent`, `sign-in`, `token`, …
    pub what: &'a str,
    /// Who signed in.
    pub principal: &'a str,
    /// Through which client.
    pub client: Option<&'a ClientId>,
    /// For which route.
    pub resource: &'a str,
    /// Whether it was refused, and why.
    pub refused: &'a str,
    /// For the operator.
    pub detail: &'a str,
}

/// Whether the caller has the key that the token is bound to (RFC 9449 §7). A bound token without its proof is as good as none, and
/// the scheme `DPoP` is for bound tokens alone.
pub(crate) fn check_possession(
    gateway: &Gateway,
    caller: &Verified,
    head: &Parts,
) -> Result<(), Refusal> {
    let authorization = head.headers.get(http::header::AUTHORIZATION).map(|value| value.as_bytes());
    let scheme = authorization.and_then(|value| value.trim_ascii_start().get(..4));
    let shown = scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"dpop"));
    let key = caller.principal().grant().and_then(|grant| grant.key.as_deref());
    let refused = |fault| Refusal::Authentication(AuthFault::Possession(fault));
    match (key, shown) {
        (None, false) => Ok(()),
        (Some(key), true) => {
            prove(gateway, key, authorization.unwrap_or_default(), head).map_err(refused)
        }
        _ => Err(refused(dpop::DpopFault::Absent)),
    }
}

fn prove(
    gateway: &Gateway,
    key: &str,
    authorization: &[u8],
    head: &Parts,
) -> Result<(), dpop::DpopFault> {
    use dpop::DpopFault;
    let broker = gateway.broker().ok_or(DpopFault::Absent)?;
    let mut proofs = head.headers.get_all("dpop").iter();
    let (Some(proof), None) = (proofs.next(), proofs.next()) else { return Err(DpopFault::Absent) };
    let proof = proof.to_str().map_err(|_| DpopFault::Malformed)?;
    let token = std::str::from_utf8(authorization).map_err(|_| DpopFault::Malformed)?;
    let token = token.trim().split_once(' ').map_or("", |(_, token)| token.trim_start());
    let url = format!("{}{}", broker.issuer(), head.uri.path());
    let expected = dpop::Expected { method: head.method.as_str(), url: &url, token: Some(token) };
    let now = crate::now();
    let proof = dpop::verify(proof, &expected, now)?;
    if proof.jkt != key {
        return Err(DpopFault::OtherKey);
    }
    let mut replays = broker.replays.lock().unwrap_or_else(PoisonError::into_inner);
    if replays.first(&proof, now) { Ok(()) } else { Err(DpopFault::Replayed) }
}
