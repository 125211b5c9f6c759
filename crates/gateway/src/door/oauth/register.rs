//! Dynamic client registration (RFC 7591): open to all, and therefore bounded, short-lived, and worth nothing in itself.

use bytes::Bytes;
use http::{Response, StatusCode};
use identity::broker::{
    ClientFault, ClientId, ClientProof, Code, Description, OAuthError, metadata::grant,
};
use serde_json::json;

use super::{Asked, Counted, Event, answer, unavailable};
use crate::door::exchange::Body;

impl Asked<'_> {
    pub(super) async fn register(&self, body: Bytes) -> Result<Response<Body>, OAuthError> {
        let Some(rules) = self.broker.config.registration else {
            return Ok(answer::plain(StatusCode::NOT_FOUND));
        };
        let refused = |fault: ClientFault| {
            let code = match &fault {
                ClientFault::Redirect(_) | ClientFault::Redirects | ClientFault::Web => {
                    Code::InvalidRedirectUri
                }
                _ => Code::InvalidClientMetadata,
            };
            OAuthError::new(code, fault.to_string())
        };
        let described = Description::parse(&body).map_err(refused)?;
        let now = crate::now();
        let full = || {
            OAuthError::new(
                Code::TemporarilyUnavailable,
                "too many clients have registered; try again later",
            )
        };
        if !self.broker.count(Counted::Registrations, rules.hourly, 3600, now) {
            return Err(full());
        }
        let id = crate::seal::random_id().map_err(unavailable)?;
        let id = ClientId::parse(&format!("bza_{id}")).map_err(unavailable)?;
        let client = described.of_registration(id).map_err(refused)?;
        let document = serde_json::to_string(&client).map_err(unavailable)?;
        let unused = now.saturating_sub(rules.unused.as_secs());
        let store = &self.gateway.store;
        let kept = store
            .oauth_client_insert(client.id.as_str(), &document, now, unused, rules.limit)
            .await;
        if !kept.map_err(unavailable)? {
            return Err(full());
        }
        let id = self.gateway.next_call_id();
        let detail = format!("{} registered itself", client.name);
        let event = Event {
            id: &id,
            what: "register",
            client: Some(&client.id),
            detail: &detail,
            ..Event::default()
        };
        self.record(&event).await?;
        let method = match client.proof {
            ClientProof::Keys(_) => "private_key_jwt",
            _ => "none",
        };
        let redirects: Vec<_> = client.redirects.iter().map(|redirect| redirect.as_str()).collect();
        let mut answered = json!({
            "client_id": client.id.as_str(),
            "client_id_issued_at": now,
            "client_name": client.name,
            "redirect_uris": redirects,
            "grant_types": [grant::AUTHORIZATION_CODE, grant::REFRESH_TOKEN, grant::DEVICE_CODE],
            "response_types": ["code"],
            "token_endpoint_auth_method": method,
            "application_type": if client.is_loopback_only() { "native" } else { "web" },
        });
        if let Some(uri) = &client.uri {
            answered["client_uri"] = uri.as_str().into();
        }
        if let Some(scopes) = &client.scopes {
            answered["scope"] = scopes.to_string().into();
        }
        Ok(answer::json(StatusCode::CREATED, &answered))
    }
}
