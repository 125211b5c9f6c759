//! The back half of a sign-in: what the provider said, whose browser came back with it, and the code for the client.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{Response, StatusCode};
use identity::broker::{Authorization, Code, OAuthError, Opaque, Params, SignedIn};
use serde::{Deserialize, Serialize};
use vault::exchange::is_challenge;

use super::{
    Asked, Event, answer,
    authorize::{Asking, state_hash},
    browser::Browser,
    pages::Message,
    provider::{SignInFault, SigningIn, Vouched},
    session::Held,
    unavailable,
};
use crate::{
    door::exchange::Body,
    seal::{Purpose, random},
};

/// A code is valid for so many seconds.
const CODE: u64 = 60;

/// What a code is bound to.
#[derive(Serialize, Deserialize)]
pub(super) struct Bound {
    pub asked: Authorization,
}

impl Asked<'_> {
    /// `GET /oauth/callback`
    pub(super) async fn callback(&self) -> Response<Body> {
        match self.came_back().await {
            Ok(response) => response,
            Err(error) => self.trouble(&error).await,
        }
    }

    async fn came_back(&self) -> Result<Response<Body>, OAuthError> {
        let params = self.query()?;
        let (browser, signing_in) = self.state(&params).await?;
        if let Some(claims) = params.get("claims").filter(|_| params.get("error").is_some())
            && signing_in.claims.is_none()
        {
            return self.stepped_up(&browser, signing_in, claims).await;
        }
        if let Some(error) = params.get("error") {
            let description = params.get("error_description").unwrap_or_default();
            tracing::info!(error, description, "the provider refused a sign-in");
            self.refused(&signing_in.asking, error).await?;
            return self.back_with_denial(&signing_in.asking).await;
        }
        let code = params.get("code").ok_or_else(|| {
            OAuthError::new(Code::InvalidRequest, "the provider sent neither a code nor an error")
        })?;
        let vouched = match self.gateway.sign_in_redeem(&self.broker, code, &signing_in).await {
            Ok(vouched) => vouched,
            Err(SignInFault::Silent(fault)) => {
                tracing::warn!(%fault, "the provider does not answer");
                let text = "the identity provider does not answer; try again in a minute";
                return Err(OAuthError::new(Code::TemporarilyUnavailable, text));
            }
            Err(SignInFault::Refused { claims: Some(claims), .. })
                if signing_in.claims.is_none() =>
            {
                return self.stepped_up(&browser, signing_in, &claims).await;
            }
            Err(fault) => {
                tracing::warn!(%fault, "a sign-in failed");
                self.refused(&signing_in.asking, &fault.to_string()).await?;
                return Err(OAuthError::new(
                    Code::AccessDenied,
                    "the identity provider does not vouch for this sign-in",
                ));
            }
        };
        let Vouched { identity: Some(identity), .. } = &vouched else {
            return Err(unavailable("a sign-in without an identity"));
        };
        // Somebody else consented in this browser, at another time: this person is asked themselves.
        if signing_in.consented.as_ref().is_some_and(|subject| *subject != identity.id) {
            let client = self.client(Some(signing_in.asking.client().as_str())).await?;
            let store = &self.gateway.store;
            store
                .oauth_consent_forget(&browser.hash(), client.id.as_str())
                .await
                .map_err(unavailable)?;
            return self.question(&browser, &client, &signing_in.asking);
        }
        match self.broker.challenges.of(&identity.id, crate::now()) {
            Some(claims) if signing_in.claims.is_none() => {
                let signing_in = SigningIn { consented: Some(identity.id.clone()), ..signing_in };
                return self.stepped_up(&browser, signing_in, &claims).await;
            }
            _ => self.broker.challenges.met(&identity.id),
        }
        self.keep_consent(&browser, &signing_in.asking, &identity.id).await?;
        self.granted(signing_in.asking, identity.clone(), vouched).await
    }

    /// Sends the person to the provider once more, with what it asked for of them.
    async fn stepped_up(
        &self,
        browser: &Browser,
        signing_in: SigningIn,
        claims: &str,
    ) -> Result<Response<Body>, OAuthError> {
        let SigningIn { asking, consented, .. } = signing_in;
        if !is_challenge(claims) {
            let text = "the identity provider asks for something that can't be understood";
            return Err(OAuthError::new(Code::AccessDenied, text));
        }
        let url = self.to_provider(browser, asking, consented, Some(claims.to_owned())).await?;
        Ok(answer::redirect(&url))
    }

    /// What a `state` was made of: for this browser, a moment ago, and never shown before.
    async fn state(&self, params: &Params) -> Result<(Browser, SigningIn), OAuthError> {
        let refused = |text: &str| OAuthError::new(Code::AccessDenied, text);
        let browser = Browser::known(self.headers(), self.secure()).ok_or_else(|| {
            refused("the browser did not send its cookie; start again in the same browser")
        })?;
        let state = params.get("state").unwrap_or_default();
        let now = crate::now();
        let old = || refused("this sign-in is over, or was begun in another browser; start again");
        let opened = self.gateway.sealer.open(Purpose::SignIn, &browser.owner(), now, state);
        let payload = opened.map_err(|_| old())?;
        let first =
            self.gateway.store.oauth_first_seen(&state_hash(state), now.saturating_add(3600)).await;
        if !first.map_err(unavailable)? {
            return Err(old());
        }
        Ok((browser, serde_json::from_slice(&payload).map_err(unavailable)?))
    }

    async fn refused(&self, asking: &Asking, detail: &str) -> Result<(), OAuthError> {
        let id = self.gateway.next_call_id();
        self.record(&Event {
            id: &id,
            what: "sign-in",
            client: Some(asking.client()),
            resource: asking.resource(),
            refused: "access_denied",
            detail,
            ..Event::default()
        })
        .await
    }

    async fn back_with_denial(&self, asking: &Asking) -> Result<Response<Body>, OAuthError> {
        match asking {
            Asking::Code(asked) => {
                let error = OAuthError::new(
                    Code::AccessDenied,
                    "the identity provider refused the sign-in",
                );
                let url = self.error_url(asked.redirect.as_str(), asked.state.as_deref(), &error);
                Ok(answer::redirect(&url))
            }
            Asking::Device(_) => self.denied(asking).await,
        }
    }

    /// Opens a session and hands out what leads to its tokens.
    async fn granted(
        &self,
        asking: Asking,
        identity: SignedIn,
        vouched: Vouched,
    ) -> Result<Response<Body>, OAuthError> {
        let held = Held {
            resource: asking.resource().to_owned(),
            scopes: asking.scopes().clone(),
            jkt: None,
            refreshable: true,
            identity,
        };
        let id = self.gateway.next_call_id();
        self.record(&Event {
            id: &id,
            what: "sign-in",
            principal: &held.identity.id,
            client: Some(asking.client()),
            resource: asking.resource(),
            ..Event::default()
        })
        .await?;
        let session = self.open_session(asking.client(), &held, Some(vouched)).await?;
        let store = &self.gateway.store;
        let now = crate::now();
        store.oauth_client_used(asking.client().as_str(), now).await.map_err(unavailable)?;
        match asking {
            Asking::Code(asked) => {
                let random = random().ok_or_else(|| unavailable("no randomness"))?;
                let (code, hash) = Opaque::Code.mint(random);
                let url = self.back(
                    asked.redirect.as_str(),
                    &[("code", Some(&code)), ("state", asked.state.as_deref())],
                );
                let bound = serde_json::to_string(&Bound { asked }).map_err(unavailable)?;
                store
                    .oauth_code_put(&hash, &session, &bound, now.saturating_add(CODE))
                    .await
                    .map_err(unavailable)?;
                Ok(answer::redirect(&url))
            }
            Asking::Device(asked) => {
                let answered = store.oauth_device_answer(&asked.device, Some(&session), now).await;
                if !answered.map_err(unavailable)? {
                    return Err(OAuthError::new(
                        Code::ExpiredToken,
                        "the device's code has expired; start again there",
                    ));
                }
                let text = "The device goes on by itself. You can close this page.";
                Ok(answer::page(
                    StatusCode::OK,
                    &Message { title: "Signed in", text, ..Message::default() },
                ))
            }
        }
    }
}

/// A new session's id.
pub(super) fn session_id() -> Option<String> {
    random::<18>().map(|bytes| format!("bzs_{}", BASE64_URL_SAFE_NO_PAD.encode(bytes)))
}
