//! Devices and terminals without a browser (RFC 8628): they show a code, and a person types it into a browser elsewhere.

use http::{Response, StatusCode};
use identity::broker::{
    Code, OAuthError, Opaque, Params, UserCode, metadata::path, request_resource, request_scopes,
};
use serde_json::json;

use super::{
    Asked, Counted, answer,
    authorize::{Asking, DeviceAsking},
    browser::Browser,
    pages::Device,
    unavailable,
};
use crate::{
    door::exchange::Body,
    seal::{Purpose, random},
};

/// A device waits for so many seconds.
const LIFE: u64 = 15 * 60;
/// And asks no more often than every so many seconds.
const PAUSE: u64 = 5;
/// Devices that wait at once.
const WAITING: u32 = 1000;
/// Devices that may begin in a minute.
const DEVICES: u32 = 120;
/// Codes that people may type in a minute, all together: a guess at one of 2·10¹⁰ is then worth nothing.
const TYPED: u32 = 60;

impl Asked<'_> {
    /// `POST /oauth/device_authorization`
    pub(super) async fn device_authorization(
        &self,
        form: Params,
    ) -> Result<Response<Body>, OAuthError> {
        let client = self.proved_client(&form).await?;
        let offer = self.offer(&client);
        let asked = DeviceAsking {
            resource: request_resource(&form, &offer)?,
            scopes: request_scopes(form.get("scope"), client.bound(), &offer)?,
            client: client.id,
            device: Vec::new(),
        };
        let now = crate::now();
        let full = || {
            OAuthError::new(Code::TemporarilyUnavailable, "too many devices wait; try again later")
        };
        if !self.broker.count(Counted::Devices, DEVICES, 60, now) {
            return Err(full());
        }
        let lack = || unavailable("no randomness");
        let (code, hash) = Opaque::Device.mint(random().ok_or_else(lack)?);
        let typed = random().and_then(|random| UserCode::mint(&random)).ok_or_else(lack)?;
        let payload = serde_json::to_string(&asked).map_err(unavailable)?;
        let store = &self.gateway.store;
        let kept = store
            .oauth_device_put(
                &hash,
                &typed.hash(),
                &payload,
                PAUSE,
                now.saturating_add(LIFE),
                WAITING,
            )
            .await;
        if !kept.map_err(unavailable)? {
            return Err(full());
        }
        let page = self.url(path::DEVICE);
        Ok(answer::json(
            StatusCode::OK,
            &json!({
                "device_code": code,
                "user_code": typed.to_string(),
                "verification_uri": page,
                "verification_uri_complete": format!("{page}?user_code={typed}"),
                "expires_in": LIFE,
                "interval": PAUSE,
            }),
        ))
    }

    /// `GET /oauth/device`: where the code is typed.
    pub(super) fn device_page(&self) -> Response<Body> {
        let params = self.query().unwrap_or_default();
        let typed = params.get("user_code").and_then(UserCode::parse);
        let filled = typed.map(|code| code.to_string()).unwrap_or_default();
        match Browser::of(self.headers(), self.secure()) {
            Some(browser) => self.ask_for_code(&browser, &filled, false),
            None => answer::plain(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    fn ask_for_code(&self, browser: &Browser, code: &str, wrong: bool) -> Response<Body> {
        let expires = crate::now().saturating_add(LIFE);
        let Ok(question) =
            self.gateway.sealer.seal(Purpose::Question, &browser.owner(), expires, b"\"code\"")
        else {
            return answer::plain(StatusCode::INTERNAL_SERVER_ERROR);
        };
        let status = if wrong { StatusCode::BAD_REQUEST } else { StatusCode::OK };
        let page = Device { code, wrong, question: &question };
        browser.remember(answer::page(status, &page), self.secure())
    }

    /// `POST /oauth/device`: the code that was typed.
    pub(super) async fn device_code(&self, form: Params) -> Response<Body> {
        match self.typed(form).await {
            Ok(response) => response,
            Err(error) => self.trouble(&error).await,
        }
    }

    async fn typed(&self, form: Params) -> Result<Response<Body>, OAuthError> {
        let (browser, _): (_, String) = self.opened(&form)?;
        let now = crate::now();
        if !self.broker.count(Counted::UserCodes, TYPED, 60, now) {
            return Err(OAuthError::new(
                Code::TemporarilyUnavailable,
                "too many codes were tried; wait a minute",
            ));
        }
        let shown = form.get("user_code").unwrap_or_default();
        let found = match UserCode::parse(shown) {
            Some(code) => {
                self.gateway.store.oauth_device(&code.hash(), now).await.map_err(unavailable)?
            }
            None => None,
        };
        let Some(found) = found else { return Ok(self.ask_for_code(&browser, "", true)) };
        let mut asked: DeviceAsking = serde_json::from_str(&found.payload).map_err(unavailable)?;
        asked.device = found.hash;
        let client = self.client(Some(asked.client.as_str())).await?;
        self.question(&browser, &client, &Asking::Device(asked))
    }
}
