//! The leg towards the identity provider: one redirect URI, our own PKCE, nonce and state, our own proof of who we are. What clients
//! send never gets there, `resource` least of all: Entra refuses it (AADSTS9010010).

use std::{sync::Arc, time::Duration};

use base64::Engine;
use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use identity::{
    broker::{
        Challenge, OAuthError, SignedIn, encode, hash,
        metadata::{grant, path},
    },
    jwt::Jwt,
};
use serde::{Deserialize, Serialize};
use upstream::Fetch;

use super::{Asked, Broker, authorize::Asking, browser::Browser, unavailable};
use crate::{
    Gateway,
    exchange::prove,
    providers::{Provider, ProviderFault},
    seal::{Purpose, random},
};

/// A person may take so many seconds at the provider.
const STATE: u64 = 10 * 60;

/// What is sealed into the `state` of a sign-in.
#[derive(Serialize, Deserialize)]
pub(super) struct SigningIn {
    pub asking: Asking,
    pub nonce: String,
    pub verifier: String,
    /// Whose earlier consent this rests on; none when the person has just been asked.
    pub consented: Option<String>,
    /// What the provider asked for of the person before.
    #[serde(default)]
    pub claims: Option<String>,
}

/// What the provider answers at its token endpoint. Its access token is not even read.
#[derive(Deserialize)]
struct TokenAnswer {
    id_token: Option<String>,
    refresh_token: Option<String>,
    expires_in: Option<serde_json::Value>,
    error: Option<String>,
    error_description: Option<String>,
    /// What it would take, where the person can do something about it.
    claims: Option<String>,
}

/// A person whom the provider vouches for.
pub(super) struct Vouched {
    /// Who it is; none when a refresh brought no new ID token.
    pub identity: Option<SignedIn>,
    /// With which the provider is asked again.
    pub refresh: Option<String>,
    /// How long the provider's own token lives, in seconds.
    pub expires_in: u64,
}

/// Why the provider vouches for nobody.
#[derive(Debug, thiserror::Error)]
pub(super) enum SignInFault {
    /// It said no.
    #[error("the provider refused: {error}: {description}")]
    Refused { error: String, description: String, claims: Option<String> },
    /// Its ID token is not believed.
    #[error("the provider's ID token is not accepted: {0}")]
    Identity(String),
    /// It can't be reached or makes no sense; later it might.
    #[error("the provider does not answer: {0}")]
    Silent(String),
    /// What this gateway should prove itself with can't be read.
    #[error("this gateway can't prove itself to the provider: {0}")]
    Proof(String),
}

impl Asked<'_> {
    /// Where the browser goes to sign in. Only here the `state` comes into being.
    pub(super) async fn to_provider(
        &self,
        browser: &Browser,
        asking: Asking,
        consented: Option<String>,
        claims: Option<String>,
    ) -> Result<String, OAuthError> {
        let endpoints = self.gateway.endpoints(&self.broker).await.map_err(unavailable)?;
        let text =
            || random::<32>().map(|bytes| base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(bytes));
        let (Some(nonce), Some(verifier)) = (text(), text()) else {
            return Err(unavailable("no randomness"));
        };
        let challenge = Challenge::of(&verifier);
        let signing_in = SigningIn { asking, nonce, verifier, consented, claims };
        let payload = serde_json::to_vec(&signing_in).map_err(unavailable)?;
        let expires = crate::now().saturating_add(STATE);
        let sealer = &self.gateway.sealer;
        let state = sealer
            .seal(Purpose::SignIn, &browser.owner(), expires, &payload)
            .map_err(unavailable)?;
        let config = &self.broker.config;
        let (scope, redirect) = (config.provider_scopes.to_string(), self.url(path::CALLBACK));
        let query = encode([
            ("response_type", Some("code".into())),
            ("response_mode", Some("query".into())),
            ("client_id", Some(config.client_id.as_str().into())),
            ("redirect_uri", Some(redirect.as_str().into())),
            ("scope", Some(scope.as_str().into())),
            ("state", Some(state.as_str().into())),
            ("nonce", Some(signing_in.nonce.as_str().into())),
            ("code_challenge", Some(challenge.as_str().into())),
            ("code_challenge_method", Some("S256".into())),
            ("claims", signing_in.claims.as_deref().map(Into::into)),
        ]);
        let joint = if endpoints.authorization.contains('?') { '&' } else { '?' };
        Ok(format!("{}{joint}{query}", endpoints.authorization))
    }
}

impl Gateway {
    /// Redeems the provider's code, and says who signed in.
    pub(super) async fn sign_in_redeem(
        &self,
        broker: &Broker,
        code: &str,
        signing_in: &SigningIn,
    ) -> Result<Vouched, SignInFault> {
        let redirect = format!("{}{}", broker.issuer(), path::CALLBACK);
        let form = [
            ("grant_type", grant::AUTHORIZATION_CODE),
            ("code", code),
            ("redirect_uri", &redirect),
            ("code_verifier", &signing_in.verifier),
        ];
        let answer = self.ask_provider(broker, &form).await?;
        let token = answer.id_token.as_deref();
        let token = token.ok_or_else(|| SignInFault::Identity("there is none".to_owned()))?;
        let identity = self.sign_in_identity(broker, token, Some(&signing_in.nonce)).await?;
        Ok(vouched(answer, Some(identity)))
    }

    /// Asks whether the provider still vouches for somebody.
    pub(super) async fn sign_in_refresh(
        &self,
        broker: &Broker,
        refresh: &str,
    ) -> Result<Vouched, SignInFault> {
        // No scope: a provider that did not grant all that was asked for would refuse (RFC 6749 §6).
        let form = [("grant_type", grant::REFRESH_TOKEN), ("refresh_token", refresh)];
        let answer = self.ask_provider(broker, &form).await?;
        let identity = match answer.id_token.as_deref() {
            Some(token) => Some(self.sign_in_identity(broker, token, None).await?),
            None => None,
        };
        Ok(vouched(answer, identity))
    }

    async fn ask_provider(
        &self,
        broker: &Broker,
        form: &[(&str, &str)],
    ) -> Result<TokenAnswer, SignInFault> {
        let silent = |fault: String| SignInFault::Silent(fault);
        let endpoints = self.endpoints(broker).await?;
        let (id, proof) = (&broker.config.client_id, &broker.config.proof);
        let proof = prove(id, proof, &endpoints.token, &self.client, &self.secrets).await;
        let proof = proof.map_err(SignInFault::Proof)?;
        let pairs =
            form.iter().copied().chain(proof.iter().map(|(name, value)| (*name, value.as_str())));
        let body = encode(pairs.map(|(name, value)| (name, Some(value.into()))));
        let request = Request::post(&endpoints.token)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|fault| silent(fault.to_string()))?;
        let rules = Fetch {
            bytes: 256 << 10,
            deadline: Duration::from_secs(10),
            allow_private: endpoints.allow_private,
        };
        let response =
            self.client.fetch(request, rules).await.map_err(|fault| silent(fault.to_string()))?;
        let status = response.status();
        if status.is_server_error() || status.as_u16() == 429 {
            return Err(silent(format!("status {}", status.as_u16())));
        }
        let answer: TokenAnswer = serde_json::from_slice(response.body())
            .map_err(|_| silent(format!("status {} and no JSON", status.as_u16())))?;
        match answer.error {
            Some(error) if error == "temporarily_unavailable" => Err(silent(error)),
            Some(error) => Err(SignInFault::Refused {
                error,
                description: first_line(answer.error_description.as_deref().unwrap_or_default()),
                claims: answer.claims,
            }),
            None if status.is_success() => Ok(answer),
            None => Err(silent(format!("status {}", status.as_u16()))),
        }
    }

    /// Who an ID token is about.
    async fn sign_in_identity(
        &self,
        broker: &Broker,
        token: &str,
        nonce: Option<&str>,
    ) -> Result<SignedIn, SignInFault> {
        let fault = |fault: &dyn std::fmt::Display| SignInFault::Identity(fault.to_string());
        let jwt = Jwt::read(token).map_err(|f| fault(&f))?;
        let provider = self.sign_in_provider(broker)?;
        let client = &broker.config.client_id;
        let (verified, shown) = provider.prove_sign_in(&jwt, client, crate::now()).await?;
        if nonce.is_some_and(|nonce| hash(nonce) != hash(shown.as_deref().unwrap_or_default())) {
            return Err(fault(&"its nonce is another sign-in's"));
        }
        Ok(SignedIn::of(verified.principal()))
    }

    /// The provider at which people sign in.
    pub(super) fn sign_in_provider(&self, broker: &Broker) -> Result<Arc<Provider>, SignInFault> {
        let name = &broker.config.provider;
        let found = self.current().providers.named(name).cloned();
        found.ok_or_else(|| SignInFault::Silent(format!("no provider is called {}", name.as_str())))
    }

    pub(super) async fn endpoints(&self, broker: &Broker) -> Result<Endpoints, SignInFault> {
        let provider = self.sign_in_provider(broker)?;
        let about = provider.about(crate::now()).await?;
        let there = |url: Option<&str>, name: &str| {
            let lacks = || SignInFault::Silent(format!("its metadata has no {name}"));
            url.map(str::to_owned).ok_or_else(lacks)
        };
        Ok(Endpoints {
            authorization: there(about.authorization_endpoint(), "authorization_endpoint")?,
            token: there(about.token_endpoint(), "token_endpoint")?,
            allow_private: provider.allows_private(),
        })
    }
}

/// Where the provider is asked.
pub(super) struct Endpoints {
    pub authorization: String,
    pub token: String,
    pub allow_private: bool,
}

impl From<ProviderFault> for SignInFault {
    fn from(fault: ProviderFault) -> SignInFault {
        match fault {
            ProviderFault::Proof(fault) => SignInFault::Identity(fault.to_string()),
            ProviderFault::Unavailable { .. } => SignInFault::Silent(fault.to_string()),
        }
    }
}

fn vouched(answer: TokenAnswer, identity: Option<SignedIn>) -> Vouched {
    // Some providers write the number as a text.
    let seconds =
        |value: &serde_json::Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
    Vouched {
        identity,
        refresh: answer.refresh_token,
        expires_in: answer.expires_in.as_ref().and_then(seconds).unwrap_or(3600),
    }
}

/// Entra's descriptions go on with trace ids and times, a line each.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(300).collect()
}
