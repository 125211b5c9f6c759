//! The token endpoint: who asks, with what right, and the tokens.

use std::sync::PoisonError;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{Response, StatusCode};
use identity::broker::{
    Claims, Client, ClientProof, Code, Confirmation, OAuthError, Opaque, Params, Scopes,
    assertion::{self, CLIENT_ASSERTION},
    dpop, hash,
    metadata::{grant, path},
};
use serde_json::json;
use store::{Poll, Session, Taken};

use super::{
    Asked, Event, answer,
    authorize::DeviceAsking,
    callback::Bound,
    session::{Held, Over},
    unavailable,
};
use crate::{
    door::exchange::Body,
    seal::{Purpose, random},
};

/// A nonce for DPoP proofs is good for so many seconds.
const NONCE: u64 = 5 * 60;

pub(super) fn invalid_grant(text: &str) -> OAuthError {
    OAuthError::new(Code::InvalidGrant, text)
}

impl Asked<'_> {
    /// `POST /oauth/token`
    pub(super) async fn token(&self, form: Params) -> Result<Response<Body>, OAuthError> {
        let kind = form.get("grant_type");
        let kind =
            kind.ok_or_else(|| OAuthError::new(Code::InvalidRequest, "grant_type is missing"))?;
        let client = self.proved_client(&form).await?;
        let jkt = self.proof_key()?;
        match kind {
            grant::AUTHORIZATION_CODE => self.by_code(&client, &form, jkt).await,
            grant::REFRESH_TOKEN => self.by_refresh(&client, &form, jkt).await,
            grant::DEVICE_CODE => self.by_device(&client, &form, jkt).await,
            grant::CLIENT_CREDENTIALS => self.by_itself(&client, &form, jkt).await,
            grant::JWT_BEARER if self.broker.config.id_jag => {
                self.by_id_jag(&client, &form, jkt).await
            }
            _ => Err(OAuthError::new(
                Code::UnsupportedGrantType,
                "this grant type is not offered here",
            )),
        }
    }

    /// The client, which has proved that it is the client if it can.
    pub(super) async fn proved_client(&self, form: &Params) -> Result<Client, OAuthError> {
        let refused = |text: &str| OAuthError::new(Code::InvalidClient, text);
        let basic = self.basic()?;
        let named = form.get("client_id").or(basic.as_ref().map(|(id, _)| id.as_str()));
        let assertion = form.get("client_assertion");
        let subject = match (named, assertion) {
            (Some(named), _) => Some(named.to_owned()),
            // The assertion says who it is; whether that is so, is checked with that client's keys.
            (None, Some(assertion)) => identity::jwt::Jwt::read(assertion)
                .ok()
                .and_then(|jwt| jwt.claimed_issuer().map(str::to_owned)),
            (None, None) => None,
        };
        let client = self.client(subject.as_deref()).await?;
        if basic.as_ref().is_some_and(|(id, _)| id != client.id.as_str()) {
            return Err(refused("two clients are named"));
        }
        let secret =
            basic.as_ref().map(|(_, secret)| secret.as_str()).or(form.get("client_secret"));
        match (&client.proof, secret, assertion) {
            // A secret that nobody asked for proves nothing, and harms nothing.
            (ClientProof::None, _, None) => {}
            (ClientProof::Secret(own), Some(secret), None) => {
                let (guesses, now) = (&self.broker.guesses, crate::now());
                if !guesses.admit(&client.id, self.from, now) {
                    return Err(OAuthError::new(
                        Code::TemporarilyUnavailable,
                        "too many wrong secrets; wait a minute",
                    ));
                }
                if verify_slices_are_equal(&hash(secret), own).is_err() {
                    guesses.wrong(&client.id, self.from, now);
                    return Err(refused("the secret is wrong"));
                }
            }
            (ClientProof::Keys(_), None, Some(assertion)) => {
                if form.get("client_assertion_type") != Some(CLIENT_ASSERTION) {
                    return Err(refused("client_assertion_type is not known"));
                }
                let audiences = [self.broker.issuer().to_owned(), self.url(path::TOKEN)];
                let once = assertion::verify_client(&client, assertion, &audiences, crate::now())
                    .map_err(|fault| {
                    refused(&format!("the client assertion is not accepted: {fault}"))
                })?;
                self.only_once(&once, "the client assertion")
                    .await
                    .map_err(|error| refused(&error.description))?;
            }
            _ => {
                return Err(refused(
                    "the client must prove itself in the way that it is registered for",
                ));
            }
        }
        Ok(client)
    }

    /// Notes that an assertion was used, unless it was.
    pub(super) async fn only_once(
        &self,
        once: &assertion::Once,
        what: &str,
    ) -> Result<(), OAuthError> {
        let first = self
            .gateway
            .store
            .oauth_first_seen(&once.hash, once.until)
            .await
            .map_err(unavailable)?;
        if first { Ok(()) } else { Err(invalid_grant(&format!("{what} was used before"))) }
    }

    /// Id and secret of the `Authorization` header, each form-encoded (RFC 6749 §2.3.1).
    fn basic(&self) -> Result<Option<(String, String)>, OAuthError> {
        let Some(header) = self.header("authorization") else { return Ok(None) };
        let read = || {
            let (scheme, rest) = header.split_once(' ')?;
            let text = BASE64_STANDARD.decode(rest.trim()).ok()?;
            let (id, secret) = std::str::from_utf8(&text).ok()?.split_once(':')?;
            let decode = |text: &str| {
                let pair = format!("v={text}");
                Some(Params::parse(pair.as_bytes()).ok()?.get("v")?.to_owned())
            };
            scheme.eq_ignore_ascii_case("basic").then_some((decode(id)?, decode(secret)?))
        };
        let text = "the Authorization header is not Basic with an id and a secret";
        read().map(Some).ok_or_else(|| OAuthError::new(Code::InvalidClient, text))
    }

    /// The key of the request's DPoP proof.
    fn proof_key(&self) -> Result<Option<String>, OAuthError> {
        let refused = |text: &str| OAuthError::new(Code::InvalidDpopProof, text);
        let mut proofs = self.headers().get_all("dpop").iter();
        let Some(proof) = proofs.next() else {
            if self.broker.config.dpop_required {
                return Err(refused("tokens are bound to a key here: a DPoP proof is required"));
            }
            return Ok(None);
        };
        let text = proof.to_str().ok().filter(|_| proofs.next().is_none());
        let text = text.ok_or_else(|| refused("there must be one DPoP proof"))?;
        let url = self.url(path::TOKEN);
        let expected = dpop::Expected { method: "POST", url: &url, token: None };
        let now = crate::now();
        let proof =
            dpop::verify(text, &expected, now).map_err(|fault| refused(&fault.to_string()))?;
        if self.broker.config.dpop_required {
            let fresh =
                |nonce: &str| self.gateway.sealer.open(Purpose::DpopNonce, "", now, nonce).is_ok();
            if !proof.nonce.as_deref().is_some_and(fresh) {
                return Err(OAuthError::new(
                    Code::UseDpopNonce,
                    "the proof must hold the nonce of this answer",
                ));
            }
        }
        let mut replays = self.broker.replays.lock().unwrap_or_else(PoisonError::into_inner);
        if !replays.first(&proof, now) {
            return Err(refused("the proof was used before"));
        }
        Ok(Some(proof.jkt))
    }

    /// A nonce for the next proof.
    pub(super) fn nonce(&self) -> Option<String> {
        self.gateway
            .sealer
            .seal(Purpose::DpopNonce, "", crate::now().saturating_add(NONCE), b"")
            .ok()
    }

    async fn by_code(
        &self,
        client: &Client,
        form: &Params,
        jkt: Option<String>,
    ) -> Result<Response<Body>, OAuthError> {
        let unknown = || invalid_grant("the code is not known, has expired, or was used");
        let hash = form.get("code").and_then(|code| Opaque::Code.read(code)).ok_or_else(unknown)?;
        let taken =
            self.gateway.store.oauth_code_take(&hash, crate::now()).await.map_err(unavailable)?;
        let (id, payload) = match taken {
            Taken::Fresh { session, payload } => (session, payload),
            Taken::Again { session } => {
                self.end(&session, "an authorization code was shown twice").await?;
                return Err(unknown());
            }
            Taken::Unknown => return Err(unknown()),
        };
        let Bound { asked } = serde_json::from_str(&payload).map_err(unavailable)?;
        let fits = asked.client == client.id
            && form.get("redirect_uri").is_none_or(|uri| uri == asked.redirect.as_str())
            && form.get("code_verifier").is_some_and(|verifier| asked.challenge.verify(verifier))
            && asked.jkt.as_ref().is_none_or(|bound| jkt.as_ref() == Some(bound))
            && self.names(form, &asked.resource);
        if !fits {
            self.end(&id, "an authorization code was shown with what it is not bound to").await?;
            return Err(invalid_grant(
                "the code belongs to another client, redirect URI, verifier, key or resource",
            ));
        }
        let mut session = self.live(&id).await?;
        let mut held = Held::of(&session)?;
        held.jkt = jkt;
        session.payload = serde_json::to_string(&held).map_err(unavailable)?;
        self.gateway.store.oauth_session_checked(&session).await.map_err(unavailable)?;
        self.issue(client, &session, &held, &held.scopes).await
    }

    async fn by_refresh(
        &self,
        client: &Client,
        form: &Params,
        jkt: Option<String>,
    ) -> Result<Response<Body>, OAuthError> {
        let unknown = || invalid_grant("the refresh token is not known, has expired, or was used");
        let token = form.get("refresh_token").and_then(|token| Opaque::Refresh.read(token));
        let hash = token.ok_or_else(unknown)?;
        let store = &self.gateway.store;
        // First whether the session lives, so that a provider that does not answer costs nobody their token.
        let id =
            store.oauth_refresh_session(&hash).await.map_err(unavailable)?.ok_or_else(unknown)?;
        let session = self.live(&id).await?;
        match store.oauth_refresh_take(&hash, crate::now()).await.map_err(unavailable)? {
            Taken::Fresh { .. } => {}
            Taken::Again { session } => {
                self.end(&session, "a refresh token was shown twice").await?;
                return Err(unknown());
            }
            Taken::Unknown => return Err(unknown()),
        }
        let held = Held::of(&session)?;
        if session.client != client.id.as_str() || (held.jkt.is_some() && held.jkt != jkt) {
            self.end(&id, "a refresh token was shown by another client, or without its key")
                .await?;
            return Err(unknown());
        }
        if !self.names(form, &held.resource) {
            return Err(OAuthError::new(
                Code::InvalidTarget,
                "the session is for another resource",
            ));
        }
        let scopes = match form.get("scope").map(Scopes::parse) {
            None => held.scopes.clone(),
            Some(Ok(scopes)) if scopes.is_within(&held.scopes) && !scopes.is_empty() => scopes,
            Some(_) => {
                return Err(OAuthError::new(Code::InvalidScope, "a refresh can't add scopes"));
            }
        };
        self.issue(client, &session, &held, &scopes).await
    }

    async fn by_device(
        &self,
        client: &Client,
        form: &Params,
        jkt: Option<String>,
    ) -> Result<Response<Body>, OAuthError> {
        let unknown = || {
            OAuthError::new(
                Code::ExpiredToken,
                "the device code is not known, has expired, or was used",
            )
        };
        let hash = form
            .get("device_code")
            .and_then(|code| Opaque::Device.read(code))
            .ok_or_else(unknown)?;
        let pending = |code, text| Err(OAuthError::new(code, text));
        let (id, payload) = match self
            .gateway
            .store
            .oauth_device_poll(&hash, crate::now())
            .await
            .map_err(unavailable)?
        {
            Poll::Granted { session, payload } => (session, payload),
            Poll::Denied => return pending(Code::AccessDenied, "the person said no"),
            Poll::Pending => return pending(Code::AuthorizationPending, "nobody has answered yet"),
            Poll::TooSoon => return pending(Code::SlowDown, "wait longer before asking again"),
            Poll::Unknown => return Err(unknown()),
        };
        let asked: DeviceAsking = serde_json::from_str(&payload).map_err(unavailable)?;
        if asked.client != client.id || !self.names(form, &asked.resource) {
            self.end(&id, "a device code was shown by another client").await?;
            return Err(unknown());
        }
        let mut session = self.live(&id).await?;
        let mut held = Held::of(&session)?;
        held.jkt = jkt;
        session.payload = serde_json::to_string(&held).map_err(unavailable)?;
        self.gateway.store.oauth_session_checked(&session).await.map_err(unavailable)?;
        self.issue(client, &session, &held, &held.scopes).await
    }

    /// Whether the request's `resource`, if it has one, is this.
    fn names(&self, form: &Params, resource: &str) -> bool {
        form.all("resource").all(|shown| self.broker.door(shown).as_deref() == Some(resource))
    }

    pub(super) async fn live(&self, id: &str) -> Result<Session, OAuthError> {
        self.gateway.live_session(&self.broker, id).await.map_err(|over| match over {
            Over::Ended => invalid_grant("the session has ended; sign in again"),
            Over::Unconfirmed => OAuthError::new(
                Code::TemporarilyUnavailable,
                "the identity provider does not answer; try again in a minute",
            ),
            Over::Store(fault) => unavailable(fault),
        })
    }

    pub(super) async fn end(&self, session: &str, reason: &str) -> Result<(), OAuthError> {
        match self.gateway.end_session(&self.broker, session, reason).await {
            Ok(()) => Ok(()),
            Err(Over::Store(fault)) => Err(unavailable(fault)),
            Err(Over::Ended | Over::Unconfirmed) => Ok(()),
        }
    }

    /// Mints the tokens of a session.
    pub(super) async fn issue(
        &self,
        client: &Client,
        session: &Session,
        held: &Held,
        scopes: &Scopes,
    ) -> Result<Response<Body>, OAuthError> {
        let (now, config) = (crate::now(), &self.broker.config);
        let expires = if session.provider.is_some() {
            let latest = session.created.saturating_add(config.session.as_secs());
            now.saturating_add(config.idle.as_secs()).min(latest)
        } else {
            session.expires
        };
        let claims = Claims {
            iss: self.broker.issuer().to_owned(),
            aud: held.resource.clone(),
            client_id: client.id.as_str().to_owned(),
            scope: scopes.clone(),
            iat: now,
            exp: now.saturating_add(config.access_token.as_secs()).min(expires),
            jti: crate::seal::random_id().map_err(unavailable)?,
            sid: session.id.clone(),
            epoch: session.epoch,
            cnf: held.jkt.clone().map(|jkt| Confirmation { jkt }),
            identity: held.identity.clone(),
        };
        let token = self.broker.keys.now().current.mint(&claims).map_err(unavailable)?;
        let store = &self.gateway.store;
        store.oauth_session_used(&session.id, now, expires).await.map_err(unavailable)?;
        let mut answered = json!({
            "access_token": token,
            "token_type": if held.jkt.is_some() { "DPoP" } else { "Bearer" },
            "expires_in": claims.exp.saturating_sub(now),
            "scope": scopes.to_string(),
        });
        if held.refreshable {
            let random = random().ok_or_else(|| unavailable("no randomness"))?;
            let (refresh, hash) = Opaque::Refresh.mint(random);
            store.oauth_refresh_put(&hash, &session.id, expires).await.map_err(unavailable)?;
            answered["refresh_token"] = refresh.into();
        }
        let id = self.gateway.next_call_id();
        self.record(&Event {
            id: &id,
            what: "token",
            principal: &held.identity.id,
            client: Some(&client.id),
            resource: &held.resource,
            ..Event::default()
        })
        .await?;
        Ok(answer::json(StatusCode::OK, &answered))
    }
}
