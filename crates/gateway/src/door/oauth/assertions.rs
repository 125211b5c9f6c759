//! Grants without a browser: a workload for itself, and a person for whom the provider vouches by an ID-JAG.

use http::Response;
use identity::{
    broker::{
        Client, ClientProof, Code, OAuthError, Params, SignedIn, assertion, request_resource,
        request_scopes,
    },
    jwt::Jwt,
};

use super::{Asked, Event, session::Held, token::invalid_grant, unavailable};
use crate::door::exchange::Body;

/// What stands for a provider where the configuration itself vouches for a client.
const SELF: &str = "sign-in";

impl Asked<'_> {
    /// `client_credentials`: for clients of the configuration that can prove themselves and may act for themselves.
    pub(super) async fn by_itself(
        &self,
        client: &Client,
        form: &Params,
        jkt: Option<String>,
    ) -> Result<Response<Body>, OAuthError> {
        if !client.workload || client.proof == ClientProof::None {
            return Err(OAuthError::new(
                Code::UnauthorizedClient,
                "this client can not act for itself",
            ));
        }
        let identity = SignedIn {
            id: format!("workload:{SELF}/{}", client.id),
            provider: SELF.to_owned(),
            subject: client.id.as_str().to_owned(),
            name: Some(client.name.clone()),
            ..SignedIn::default()
        };
        self.without_browser(client, form, jkt, identity, None).await
    }

    /// `jwt-bearer` with an ID-JAG of the provider's: enterprise-managed authorization.
    pub(super) async fn by_id_jag(
        &self,
        client: &Client,
        form: &Params,
        jkt: Option<String>,
    ) -> Result<Response<Body>, OAuthError> {
        let refused = |fault: &dyn std::fmt::Display| {
            invalid_grant(&format!("the assertion is not accepted: {fault}"))
        };
        // Whoever found the assertion could show it in the name of a client that proves nothing.
        if client.proof == ClientProof::None {
            return Err(OAuthError::new(
                Code::UnauthorizedClient,
                "only a client that proves itself may show an assertion",
            ));
        }
        let text = form
            .get("assertion")
            .ok_or_else(|| OAuthError::new(Code::InvalidRequest, "assertion is missing"))?;
        let jwt = Jwt::read(text).map_err(|fault| refused(&fault))?;
        let provider = self.gateway.sign_in_provider(&self.broker).map_err(unavailable)?;
        let proved = provider.prove_id_jag(&jwt, self.broker.issuer(), client, crate::now()).await;
        let (verified, jag) = proved.map_err(|fault| refused(&fault))?;
        self.only_once(&jag.once, "the assertion").await?;
        let identity = SignedIn::of(verified.principal());
        self.without_browser(client, form, jkt, identity, Some(jag)).await
    }

    async fn without_browser(
        &self,
        client: &Client,
        form: &Params,
        jkt: Option<String>,
        identity: SignedIn,
        jag: Option<assertion::IdJag>,
    ) -> Result<Response<Body>, OAuthError> {
        let offer = self.offer(client);
        let mut resource = request_resource(form, &offer)?;
        let mut scopes = request_scopes(form.get("scope"), client.bound(), &offer)?;
        if let Some(jag) = &jag {
            let target =
                || OAuthError::new(Code::InvalidTarget, "the assertion is for another resource");
            if let Some(named) = &jag.resource {
                let named = self.broker.door(named).ok_or_else(target)?;
                if form.get("resource").is_some() && resource != named {
                    return Err(target());
                }
                resource = named;
            }
            if let Some(granted) = &jag.scopes {
                scopes = scopes.within(granted);
            }
        }
        let held = Held { resource, scopes, jkt, refreshable: false, identity };
        let id = self.gateway.next_call_id();
        self.record(&Event {
            id: &id,
            what: "sign-in",
            principal: &held.identity.id,
            client: Some(&client.id),
            resource: &held.resource,
            detail: if jag.is_some() { "by an ID-JAG" } else { "by itself" },
            ..Event::default()
        })
        .await?;
        let session = self.open_session(&client.id, &held, None).await?;
        let session = self.live(&session).await?;
        self.issue(client, &session, &held, &held.scopes).await
    }
}
