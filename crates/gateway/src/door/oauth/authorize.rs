//! The front half of a sign-in: the request, the question to the person, and only then the way to the provider.

use http::{Response, StatusCode};
use identity::broker::{
    Authorization, Client, ClientId, Code, OAuthError, Params, Provenance, Scopes, hash,
};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    Asked, Event, answer,
    browser::{Browser, is_own_form},
    pages::{Consent, Message, Voucher},
    unavailable,
};
use crate::{door::exchange::Body, seal::Purpose};

/// A question may be answered for so many seconds.
const QUESTION: u64 = 15 * 60;

/// What a sign-in is for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Asking {
    /// A client that waits for a code.
    Code(Authorization),
    /// A device that waits for a token.
    Device(DeviceAsking),
}

/// What a device asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct DeviceAsking {
    pub client: ClientId,
    pub resource: String,
    pub scopes: Scopes,
    /// The hash of the device's code, in hexadecimal once it is known.
    #[serde(default)]
    pub device: Vec<u8>,
}

impl Asking {
    pub fn client(&self) -> &ClientId {
        match self {
            Asking::Code(asked) => &asked.client,
            Asking::Device(asked) => &asked.client,
        }
    }

    pub fn resource(&self) -> &str {
        match self {
            Asking::Code(asked) => &asked.resource,
            Asking::Device(asked) => &asked.resource,
        }
    }

    pub fn scopes(&self) -> &Scopes {
        match self {
            Asking::Code(asked) => &asked.scopes,
            Asking::Device(asked) => &asked.scopes,
        }
    }

    /// Where the answer goes, as a consent keeps it.
    pub fn destination(&self) -> &str {
        match self {
            Asking::Code(asked) => asked.redirect.as_str(),
            Asking::Device(_) => "device",
        }
    }
}

impl Asked<'_> {
    /// `GET /oauth/authorize`
    pub(super) async fn authorize(&self) -> Response<Body> {
        let request = async {
            let params = self.query()?;
            let client = self.client(params.get("client_id")).await?;
            let redirect = params.get("redirect_uri").and_then(|shown| client.redirect(shown));
            let redirect = redirect.ok_or_else(|| {
                OAuthError::new(
                    Code::InvalidRequest,
                    "redirect_uri is missing, or is not registered for this client",
                )
            })?;
            Ok::<_, OAuthError>((params, client, redirect))
        };
        // Until both are known, nobody is redirected: the person reads what is wrong.
        let (params, client, redirect) = match request.await {
            Ok(known) => known,
            Err(error) => return self.trouble(&error).await,
        };
        let offer = self.offer(&client);
        let asked = Authorization::parse(
            client.id.clone(),
            client.bound(),
            redirect.clone(),
            &params,
            &offer,
        );
        let asked = match asked {
            Ok(asked) => asked,
            Err(error) => {
                let state = params.get("state").filter(|state| state.len() <= 2048);
                let back = self.error_url(redirect.as_str(), state, &error);
                // Anybody can register a client, or publish a document about one: a link to this host that leads anywhere would
                // serve those who phish (RFC 9700 §4.11.2). On the person's own machine nobody is gone to.
                if client.provenance == Provenance::Configured || redirect.is_loopback() {
                    self.note("sign-in", &error).await;
                    return answer::redirect(&back);
                }
                return self.trouble_at(&error, Some((&back, redirect.host()))).await;
            }
        };
        let Some(browser) = Browser::of(self.headers(), self.secure()) else {
            return self.trouble(&unavailable("no randomness")).await;
        };
        let asking = Asking::Code(asked);
        let answered = match self.consented(&browser, &asking).await {
            Ok(Some(subject)) => {
                let claims = self.broker.challenges.of(&subject, crate::now());
                let url = self.to_provider(&browser, asking, Some(subject), claims).await;
                url.map(|url| answer::redirect(&url))
            }
            Ok(None) => self.question(&browser, &client, &asking),
            Err(error) => Err(error),
        };
        match answered {
            Ok(response) => browser.remember(response, self.secure()),
            Err(error) => self.trouble(&error).await,
        }
    }

    /// Who consented to exactly this in this browser, if somebody did.
    async fn consented(
        &self,
        browser: &Browser,
        asking: &Asking,
    ) -> Result<Option<String>, OAuthError> {
        let since = crate::now().saturating_sub(self.broker.config.consent.as_secs());
        let store = &self.gateway.store;
        let found = store
            .oauth_consent(
                &browser.hash(),
                asking.client().as_str(),
                asking.destination(),
                asking.resource(),
                since,
            )
            .await
            .map_err(unavailable)?;
        let enough =
            |scopes: &str| Scopes::parse(scopes).is_ok_and(|held| asking.scopes().is_within(&held));
        Ok(found
            .filter(|(subject, scopes)| !subject.is_empty() && enough(scopes))
            .map(|(subject, _)| subject))
    }

    /// Asks the person. What is asked is sealed for their browser: nobody else can answer it.
    pub(super) fn question(
        &self,
        browser: &Browser,
        client: &Client,
        asking: &Asking,
    ) -> Result<Response<Body>, OAuthError> {
        let payload = serde_json::to_vec(asking).map_err(unavailable)?;
        let expires = crate::now().saturating_add(QUESTION);
        let sealer = &self.gateway.sealer;
        let question = sealer
            .seal(Purpose::Question, &browser.owner(), expires, &payload)
            .map_err(unavailable)?;
        let home = client
            .uri
            .as_deref()
            .and_then(|uri| Some(Url::parse(uri).ok()?.host_str()?.to_owned()));
        let domain = client
            .id
            .document()
            .and_then(|url| url.host_str().map(str::to_owned))
            .unwrap_or_default();
        let (destination, loopback) = match asking {
            Asking::Code(asked) => (asked.redirect.host(), asked.redirect.is_loopback()),
            Asking::Device(_) => ("the device that shows the code", false),
        };
        let page = Consent {
            client: &client.name,
            home: home.as_deref(),
            destination,
            resource: asking.resource(),
            scopes: asking.scopes().iter().collect(),
            voucher: match client.provenance {
                Provenance::Configured => Voucher::Operator,
                Provenance::Document => Voucher::Domain(&domain),
                Provenance::Registered => Voucher::Nobody,
            },
            loopback,
            device: matches!(asking, Asking::Device(_)),
            question: &question,
        };
        Ok(answer::page(StatusCode::OK, &page))
    }

    /// `POST /oauth/consent`: the person's answer.
    pub(super) async fn consent(&self, form: Params) -> Response<Body> {
        match self.answered(form).await {
            Ok(response) => response,
            Err(error) => self.trouble(&error).await,
        }
    }

    /// What a question was, if this browser was asked it and the form is our own page's.
    pub(super) fn opened<T: for<'de> Deserialize<'de>>(
        &self,
        form: &Params,
    ) -> Result<(Browser, T), OAuthError> {
        let refused = |text: &str| OAuthError::new(Code::AccessDenied, text);
        if !is_own_form(self.headers(), self.broker.issuer()) {
            return Err(refused("the answer did not come from this page"));
        }
        let browser = Browser::known(self.headers(), self.secure()).ok_or_else(|| {
            refused(
                "the browser did not send its cookie; allow cookies for this page and start again",
            )
        })?;
        let question = form.get("csrf_token").unwrap_or_default();
        let payload = self
            .gateway
            .sealer
            .open(Purpose::Question, &browser.owner(), crate::now(), question)
            .map_err(|_| {
                refused("this question is too old, or was asked in another browser; start again")
            })?;
        Ok((
            browser,
            serde_json::from_slice(&payload)
                .map_err(|_| refused("this is another page's question"))?,
        ))
    }

    async fn answered(&self, form: Params) -> Result<Response<Body>, OAuthError> {
        let (browser, asking): (_, Asking) = self.opened(&form)?;
        // The client may have been taken away since.
        let client = self.client(Some(asking.client().as_str())).await?;
        let allowed = form.get("answer") == Some("allow");
        let id = self.gateway.next_call_id();
        let detail = format!("{} for {}", asking.scopes(), asking.destination());
        self.record(&Event {
            id: &id,
            what: "consent",
            client: Some(&client.id),
            resource: asking.resource(),
            refused: if allowed { "" } else { "access_denied" },
            detail: &detail,
            ..Event::default()
        })
        .await?;
        if !allowed {
            return self.denied(&asking).await;
        }
        // Kept before the provider is asked anything; who the person is, is added when the provider has said so.
        self.keep_consent(&browser, &asking, "").await?;
        let url = self.to_provider(&browser, asking, None, None).await?;
        Ok(answer::page(
            StatusCode::OK,
            &Message {
                title: "Signing in",
                text: "You are being sent to your organisation's sign-in page.",
                next: Some((&url, "Go on")),
                ..Message::default()
            },
        ))
    }

    /// Keeps what was consented to, by whom.
    pub(super) async fn keep_consent(
        &self,
        browser: &Browser,
        asking: &Asking,
        subject: &str,
    ) -> Result<(), OAuthError> {
        let consent = store::Consent {
            browser: browser.hash(),
            client: asking.client().as_str().to_owned(),
            redirect: asking.destination().to_owned(),
            resource: asking.resource().to_owned(),
            scopes: asking.scopes().to_string(),
            subject: subject.to_owned(),
        };
        self.gateway.store.oauth_consent_set(&consent, crate::now()).await.map_err(unavailable)
    }

    /// Tells whoever asked that the person, or the provider, said no.
    pub(super) async fn denied(&self, asking: &Asking) -> Result<Response<Body>, OAuthError> {
        let error = OAuthError::new(Code::AccessDenied, "the sign-in was refused");
        let page = |next| Message {
            title: "Not signed in",
            text: "Nothing was granted. You can close this page.",
            next,
            ..Message::default()
        };
        match asking {
            Asking::Code(asked) => {
                let url = self.error_url(asked.redirect.as_str(), asked.state.as_deref(), &error);
                Ok(answer::page(StatusCode::OK, &page(Some((&url, "Back to the application")))))
            }
            Asking::Device(asked) => {
                let store = &self.gateway.store;
                store
                    .oauth_device_answer(&asked.device, None, crate::now())
                    .await
                    .map_err(unavailable)?;
                Ok(answer::page(StatusCode::OK, &page(None)))
            }
        }
    }

    /// A redirect URI with an error, and with who says so (RFC 9207).
    pub(super) fn error_url(
        &self,
        redirect: &str,
        state: Option<&str>,
        error: &OAuthError,
    ) -> String {
        self.back(
            redirect,
            &[
                ("error", Some(error.code.as_str())),
                ("error_description", Some(&error.description)),
                ("state", state),
            ],
        )
    }

    /// A redirect URI with an answer's parameters, `iss` always among them.
    pub(super) fn back(&self, redirect: &str, params: &[(&str, Option<&str>)]) -> String {
        let iss = [("iss", Some(self.broker.issuer()))];
        let pairs = params.iter().chain(&iss).map(|(name, value)| (*name, value.map(Into::into)));
        let query = identity::broker::encode(pairs);
        let joint = if redirect.contains('?') { '&' } else { '?' };
        format!("{redirect}{joint}{query}")
    }

    /// Tells the person what went wrong, and the log under the same id.
    pub(super) async fn trouble(&self, error: &OAuthError) -> Response<Body> {
        self.trouble_at(error, None).await
    }

    /// The same, with a way back to the client, which the person may take: its URL and its host.
    async fn trouble_at(&self, error: &OAuthError, back: Option<(&str, &str)>) -> Response<Body> {
        let id = self.note("sign-in", error).await;
        let status = match error.code {
            Code::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
            Code::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Code::AccessDenied => StatusCode::FORBIDDEN,
            _ => StatusCode::BAD_REQUEST,
        };
        let named = back.map(|(_, host)| format!("Back to {host}"));
        let page = Message {
            title: "This sign-in can't go on",
            text: &format!("{}.", sentence(&error.description)),
            request: Some(&id),
            link: back.map(|(url, _)| url).zip(named.as_deref()),
            ..Message::default()
        };
        answer::page(status, &page)
    }
}

/// With a capital letter.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    characters
        .next()
        .map(|first| first.to_uppercase().chain(characters).collect())
        .unwrap_or_default()
}

/// The hash under which a used state is remembered.
pub(super) fn state_hash(state: &str) -> [u8; 32] {
    hash(state)
}
