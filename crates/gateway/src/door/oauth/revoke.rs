//! Taking tokens back (RFC 7009), and looking into them (RFC 7662).

use http::{HeaderValue, Response, StatusCode, header};
use identity::{
    PrincipalKind, Verified,
    broker::{Claims, OAuthError, Opaque, Params},
    jwt::Jwt,
};
use serde_json::{Value, json};
use store::Session;

use super::{Asked, answer, session::Held, unavailable};
use crate::{door::exchange::Body, refusal::Refusal};

impl Asked<'_> {
    /// `POST /oauth/revoke`: whichever token of a session it is, all of them end. Whether there was one is not said.
    pub(super) async fn revoke(&self, form: Params) -> Result<Response<Body>, OAuthError> {
        let client = self.proved_client(&form).await?;
        if let Some(session) = self.session_of_token(form.get("token").unwrap_or_default()).await?
            && session.client == client.id.as_str()
        {
            self.end(&session.id, "the client revoked it").await?;
        }
        Ok(answer::json(StatusCode::OK, &json!({})))
    }

    /// The live session that a refresh or access token belongs to.
    async fn session_of_token(&self, token: &str) -> Result<Option<Session>, OAuthError> {
        let store = &self.gateway.store;
        let id = match Opaque::Refresh.read(token) {
            Some(hash) => store.oauth_refresh_session(&hash).await.map_err(unavailable)?,
            None => self.own_claims(token).map(|claims| claims.sid),
        };
        let Some(id) = id else { return Ok(None) };
        let session = store.oauth_session(&id).await.map_err(unavailable)?;
        Ok(session.filter(|session| session.ended.is_none() && session.expires > crate::now()))
    }

    fn own_claims(&self, token: &str) -> Option<Claims> {
        let jwt = Jwt::read(token).ok()?;
        Claims::verify(&jwt, self.broker.issuer(), &self.broker.keys.now().set, crate::now()).ok()
    }

    /// `POST /oauth/introspect`: for the owner and for minted tokens that may do everything.
    pub(super) async fn introspect(&self, form: Params) -> Response<Body> {
        let shown = self.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        let operator = match self.gateway.authenticate(shown, false, None).await {
            Ok(caller) if is_operator(&caller) => true,
            Ok(caller) => {
                let rule = "introspection, which is for the owner's tools".to_owned();
                self.gateway.refuse(Some(&caller), Refusal::Denied { rule }).await;
                false
            }
            Err(refusal) => {
                self.gateway.refuse(None, refusal).await;
                false
            }
        };
        if !operator {
            let mut response = answer::plain(StatusCode::UNAUTHORIZED);
            let challenge = HeaderValue::from_static("Bearer realm=\"bartizan\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            return response;
        }
        match self.described(form.get("token").unwrap_or_default()).await {
            Ok(described) => answer::json(StatusCode::OK, &described),
            Err(error) => answer::error(&error),
        }
    }

    async fn described(&self, token: &str) -> Result<Value, OAuthError> {
        let inactive = json!({"active": false});
        let Some(session) = self.session_of_token(token).await? else { return Ok(inactive) };
        let claims = self.own_claims(token);
        if claims.as_ref().is_some_and(|claims| claims.epoch != session.epoch) {
            return Ok(inactive);
        }
        let held = Held::of(&session)?;
        let scope = claims.as_ref().map_or(&held.scopes, |claims| &claims.scope);
        let expires = claims.as_ref().map_or(session.expires, |claims| claims.exp);
        let identity = &held.identity;
        Ok(json!({
            "active": true,
            "iss": self.broker.issuer(),
            "aud": held.resource,
            "sub": identity.id,
            "username": identity.name,
            "client_id": session.client,
            "scope": scope.to_string(),
            "exp": expires,
            "sid": session.id,
            "token_type": if claims.is_some() { "access_token" } else { "refresh_token" },
            "idp": identity.provider,
            "tid": identity.tenant,
            "groups": identity.groups,
            "roles": identity.roles,
            "acr": identity.acr,
            "amr": identity.amr,
        }))
    }
}

fn is_operator(caller: &Verified) -> bool {
    let principal = caller.principal();
    match principal.kind() {
        PrincipalKind::Owner => true,
        PrincipalKind::Token => principal.roles().iter().any(|role| role == "all"),
        _ => false,
    }
}
