//! A gateway in front of which people sign in at Entra ID.

use entra::{Entra, GATEWAY, GATEWAY_SECRET, PASSWORD, TENANT};
use serde_json::Value;

use crate::{Gateway, Person, Sdk, SigningClient, binary, free_url};

/// The gateway, and its Entra.
#[derive(Debug)]
pub struct Place {
    /// The gateway's public URL.
    pub url: String,
    /// The gateway, with the fixture `everything` behind it.
    pub gateway: Gateway,
    /// Where people sign in.
    pub entra: Entra,
}

impl Place {
    /// Administrators may use everything, everybody else `echo`. The text holds sections of the configuration more.
    pub async fn new(more: &str) -> Place {
        let url = free_url();
        let entra = Entra::start().await;
        entra.register_redirect(&format!("{url}/oauth/callback"));
        let (everything, (certificate, key)) = (binary("everything"), entra.client_certificate());
        let configuration = format!(
            r#"
            public-url = "{url}"
            [identity]
            recheck = "5s"
            [identity.providers.entra]
            kind = "entra"
            tenants = ["{TENANT}"]
            client-id = "{GATEWAY}"
            login-url = "{login}"
            graph-url = "{login}"
            allow-private = true
            groups = "overage"
            graph-secret = "${{env:ENTRA_SECRET}}"
            [sign-in]
            provider = "entra"
            client-id = "{GATEWAY}"
            [sign-in.certificate]
            cert = {certificate:?}
            key = {key:?}
            [sign-in.documents]
            allow-private = true
            {more}
            [roles.users]
            members = ["role:Tools.User", "role:Tools.Worker"]
            allow = ["everything/echo"]
            [roles.administrators]
            members = ["role:Tools.Admin"]
            allow = ["*"]
            [trust]
            on-first-use = "approve"
            [servers.everything]
            command = {everything:?}
            args = ["stdio", "--era", "stateless"]
            "#,
            login = entra.url,
        );
        let authority = entra.authority();
        let environment =
            [("ENTRA_SECRET", GATEWAY_SECRET), ("SSL_CERT_FILE", authority.to_str().unwrap())];
        let gateway = Gateway::start_at(&url, &configuration, &environment).await;
        Place { url, gateway, entra }
    }

    /// Somebody who signs in here.
    pub fn person(&self, name: &str) -> Person {
        Person::new(name, PASSWORD, &[&self.url, &self.entra.url])
    }

    /// A client of `everything`, with somebody who signs in.
    pub async fn client(&self, sdk: Sdk, name: &str, options: Value) -> SigningClient {
        let url = format!("{}/mcp/everything", self.url);
        SigningClient::connect(sdk, &url, self.person(name), &options).await
    }
}
