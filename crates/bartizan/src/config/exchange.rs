//! `exchange`: credentials that a token endpoint gives. How that is written, what is wrong with it, and what it
//! becomes.

use std::path::{Path, PathBuf};

use gateway::exchange as resolved;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use toml::Spanned;
use vault::exchange::{SubjectType, Wanted};

use super::{
    fault::Finding,
    resolve::ResolveFault,
    sign_in::Certificate,
    value::{ScopeText, Template, WebUrl},
};

/// A credential that is exchanged for each caller, or got for Bartizan itself.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Exchange {
    /// How it is got.
    #[schemars(with = "Kind", extend("examples" = ["client-credentials"]))]
    pub kind: Spanned<Kind>,
    /// The tenant in Entra, by its id or its domain: stands for `token-endpoint`.
    #[schemars(extend("examples" = ["contoso.onmicrosoft.com"]))]
    pub tenant: Option<String>,
    /// The token endpoint, where it is not that of a `tenant` in Microsoft's public cloud.
    #[schemars(with = "Option<WebUrl>", extend("examples" = ["https://login.microsoftonline.com/contoso.onmicrosoft.com/oauth2/v2.0/token"]))]
    pub token_endpoint: Option<Spanned<WebUrl>>,
    /// What Bartizan is called at the token endpoint. With `managed-identity`: the client id of a user-assigned identity, if it is not the machine's own.
    #[schemars(extend("examples" = ["66666666-7777-8888-9999-000000000000"]))]
    pub client_id: Option<String>,
    /// The secret that proves it. Better is none: `client-managed-identity`, `client-token-file` or a certificate.
    #[schemars(with = "Option<Template>", extend("examples" = ["${env:ORDERS_CLIENT_SECRET}"]))]
    pub client_secret: Option<Spanned<Template>>,
    /// The private key in PEM form that proves it (`private_key_jwt`).
    #[schemars(with = "Option<Template>", extend("examples" = ["${file:/run/secrets/client.pem}"]))]
    pub client_key: Option<Spanned<Template>>,
    /// A file with a token that proves it: a federated credential, as Kubernetes and SPIRE keep one. It is read each time.
    #[schemars(with = "Option<PathBuf>", extend("examples" = ["/var/run/secrets/azure/tokens/azure-identity-token"]))]
    pub client_token_file: Option<Spanned<PathBuf>>,
    /// The managed identity of this machine whose token proves it, by its client id, or `system` for the machine's own: a federated credential, and no secret anywhere.
    #[schemars(with = "Option<String>", extend("examples" = ["system"]))]
    pub client_managed_identity: Option<Spanned<String>>,
    /// What the token must allow. At Entra, those of one resource; `RESOURCE/.default` for all that was granted.
    #[serde(default)]
    #[schemars(extend("examples" = [json!(["api://orders/.default"])]))]
    pub scopes: Vec<ScopeText>,
    /// `audience` of RFC 8693: for whom the token is, as the token endpoint calls it.
    #[schemars(extend("examples" = ["orders"]))]
    pub audience: Option<String>,
    /// The resource that the token is for: with `managed-identity` as Entra calls it, otherwise the `resource` of RFC 8707. Entra's token endpoint takes none.
    #[schemars(extend("examples" = ["https://orders.example.com"]))]
    pub resource: Option<String>,
    /// What a caller's token is, with `token-exchange`.
    #[serde(default)]
    pub subject_token: SubjectToken,
    /// Lets the token endpoint have a private address.
    #[serde(default)]
    pub allow_private: bool,
    /// The certificate that proves it, as Entra asks (PS256, `x5t#S256`).
    pub certificate: Option<Certificate>,
}

/// How a credential is got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// For the caller, by Entra's on-behalf-of flow: the server sees the user, never the token that came in. Callers come with Entra's own tokens for this client, or have signed in here.
    EntraOnBehalfOf,
    /// For the caller, by OAuth 2.0 Token Exchange (RFC 8693).
    TokenExchange,
    /// For Bartizan itself, by client credentials: the same for all callers.
    ClientCredentials,
    /// For the machine that Bartizan runs on, in Azure: the same for all callers, without any secret.
    ManagedIdentity,
    /// As `client-credentials`, with what the workload identity of AKS puts in the environment: `AZURE_TENANT_ID`, `AZURE_CLIENT_ID`, `AZURE_FEDERATED_TOKEN_FILE`, `AZURE_AUTHORITY_HOST`.
    WorkloadIdentity,
}

/// What a caller's token is (RFC 8693 §3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SubjectToken {
    /// An access token.
    #[default]
    AccessToken,
    /// An ID token.
    IdToken,
    /// A JWT.
    Jwt,
}

/// What can't be meant. `of` is the section that has it.
pub fn check(of: &str, exchange: &Spanned<Exchange>, findings: &mut Vec<Finding>) {
    check_client(of, exchange, findings);
    let written = exchange.get_ref();
    let kind = *written.kind.get_ref();
    if !matches!(kind, Kind::TokenExchange | Kind::ManagedIdentity) && written.scopes.is_empty() {
        findings.push(Finding::error(
            format!("the exchange of `{of}` asks for no scopes"),
            written.kind.span(),
            "name what the token is for, such as scopes = [\"api://orders/.default\"]",
        ));
    }
}

/// The same for Key Vaults, which say themselves what the token has to be for.
pub fn check_key_vault(exchange: &Spanned<Exchange>, findings: &mut Vec<Finding>) {
    let written = exchange.get_ref();
    let place = written.kind.span();
    if !matches!(written.kind.get_ref(), Kind::ClientCredentials | Kind::WorkloadIdentity) {
        return findings.push(Finding::error(
            "a Key Vault is read as Bartizan itself",
            place,
            "write \"client-credentials\" or \"workload-identity\"; without this section it is the machine's managed identity",
        ));
    }
    let named = written.resource.is_some() || written.audience.is_some();
    if named || !written.scopes.is_empty() {
        findings.push(Finding::warning(
            "a Key Vault says itself what a token for it is for: scopes, resource and audience are not used",
            place,
            "take them out",
        ));
    }
    for value in [&written.client_secret, &written.client_key].into_iter().flatten() {
        if !value.get_ref().reference.is_local() {
            findings.push(Finding::error(
                "what proves Bartizan to a vault can't be in a vault",
                value.span(),
                "write ${file:/PATH} or ${env:NAME}",
            ));
        }
    }
    check_client("vault.key-vault", exchange, findings);
}

fn check_client(of: &str, exchange: &Spanned<Exchange>, findings: &mut Vec<Finding>) {
    let written = exchange.get_ref();
    let (kind, span) = (*written.kind.get_ref(), written.kind.span());
    let mut error = |what: String, mend: &str| {
        findings.push(Finding::error(what, span.clone(), mend));
    };
    if kind == Kind::ManagedIdentity {
        if written.resource.is_none() {
            error(
                format!("the managed identity of `{of}` has no `resource`"),
                "name what the token is for, such as resource = \"https://cognitiveservices.azure.com\"",
            );
        }
        return;
    }
    if kind == Kind::WorkloadIdentity {
        if let Err(name) = WorkloadIdentity::read() {
            error(
                format!("{name} is not set, so `{of}` has no workload identity"),
                "label the pod azure.workload.identity/use: \"true\", or choose another kind",
            );
        }
    } else {
        if written.tenant.is_none() && written.token_endpoint.is_none() {
            error(
                format!("the exchange of `{of}` has no token endpoint"),
                "add tenant for Entra, or token-endpoint",
            );
        }
        if written.client_id.is_none() {
            error(
                format!("the exchange of `{of}` has no `client-id`"),
                "add what Bartizan is called at the token endpoint",
            );
        }
        if kind != Kind::TokenExchange && proofs(written).is_empty() {
            error(
                format!("nothing proves the client of `{of}`"),
                "add one of client-managed-identity, client-token-file, certificate, client-key, client-secret",
            );
        }
    }
    for (name, unused) in proofs(written).into_iter().skip(1) {
        findings.push(Finding::warning(
            format!("`{of}` proves itself in one way, and `{name}` is not used"),
            unused,
            "keep one: client-managed-identity goes before client-token-file, then certificate, client-key, client-secret",
        ));
    }
    if let Some(url) = written.token_endpoint.as_ref().filter(|url| {
        url.get_ref().is_plain() && !super::check::is_this_machine(url.get_ref().host())
    }) {
        findings.push(Finding::error(
            "tokens would cross the network unencrypted",
            url.span(),
            "write https://",
        ));
    }
    for value in [&written.client_secret, &written.client_key].into_iter().flatten() {
        super::check::check_secret(value, "CLIENT_SECRET", findings);
    }
}

/// What proves the client, the one that is used first.
fn proofs(exchange: &Exchange) -> Vec<(&'static str, std::ops::Range<usize>)> {
    let found = [
        ("client-managed-identity", exchange.client_managed_identity.as_ref().map(Spanned::span)),
        ("client-token-file", exchange.client_token_file.as_ref().map(Spanned::span)),
        ("certificate", exchange.certificate.as_ref().map(|certificate| certificate.cert.span())),
        ("client-key", exchange.client_key.as_ref().map(Spanned::span)),
        ("client-secret", exchange.client_secret.as_ref().map(Spanned::span)),
    ];
    found.into_iter().filter_map(|(name, span)| Some((name, span?))).collect()
}

impl Exchange {
    /// Whether it needs a caller.
    pub fn is_for_callers(&self) -> bool {
        matches!(self.kind.get_ref(), Kind::EntraOnBehalfOf | Kind::TokenExchange)
    }

    /// What it is for, where it does not say that itself: a resource as Entra calls it.
    pub fn default_to(&mut self, resource: &str) {
        if *self.kind.get_ref() == Kind::ManagedIdentity {
            self.resource.get_or_insert_with(|| resource.to_owned());
        } else if self.scopes.is_empty() {
            self.scopes.extend(ScopeText::try_from(format!("{resource}/.default")));
        }
    }

    /// What the gateway serves.
    pub fn resolve(&self, folder: &Path) -> Result<resolved::Exchange, ResolveFault> {
        let fault = |what: &str| ResolveFault::Exchange(what.to_owned());
        Ok(match self.kind.get_ref() {
            Kind::ManagedIdentity => {
                resolved::Exchange::ManagedIdentity(resolved::ManagedIdentity {
                    resource: self.resource.clone().ok_or_else(|| fault("no resource"))?,
                    client_id: self.client_id.clone(),
                })
            }
            Kind::WorkloadIdentity => {
                let found = WorkloadIdentity::read()
                    .map_err(|name| fault(&format!("{name} is not set")))?;
                let proof = resolved::ClientProof::Federated(found.token_file);
                let id = self.client_id.clone().unwrap_or(found.client_id);
                resolved::Exchange::ClientCredentials(self.at(&found.endpoint, id, proof)?)
            }
            Kind::ClientCredentials => resolved::Exchange::ClientCredentials(self.there(folder)?),
            Kind::EntraOnBehalfOf => resolved::Exchange::OnBehalfOf(self.there(folder)?),
            Kind::TokenExchange => {
                let subject = match self.subject_token {
                    SubjectToken::AccessToken => SubjectType::AccessToken,
                    SubjectToken::IdToken => SubjectType::IdToken,
                    SubjectToken::Jwt => SubjectType::Jwt,
                };
                resolved::Exchange::TokenExchange(self.there(folder)?, subject)
            }
        })
    }

    fn there(&self, folder: &Path) -> Result<resolved::TokenEndpoint, ResolveFault> {
        let url = match (&self.token_endpoint, &self.tenant) {
            (Some(url), _) => url.get_ref().as_str().to_owned(),
            (None, Some(tenant)) => entra("https://login.microsoftonline.com", tenant),
            (None, None) => String::new(),
        };
        self.at(&url, self.client_id.clone().unwrap_or_default(), self.proof(folder))
    }

    fn at(
        &self,
        url: &str,
        client_id: String,
        proof: resolved::ClientProof,
    ) -> Result<resolved::TokenEndpoint, ResolveFault> {
        let scopes: Vec<&str> = self.scopes.iter().map(|scope| scope.0.as_str()).collect();
        Ok(resolved::TokenEndpoint {
            url: url.parse().map_err(|_| ResolveFault::Exchange(format!("`{url}` is no URL")))?,
            client_id,
            proof,
            wanted: Wanted {
                scope: scopes.join(" "),
                audience: self.audience.clone(),
                resource: self.resource.clone(),
            },
            allow_private: self.allow_private,
        })
    }

    fn proof(&self, folder: &Path) -> resolved::ClientProof {
        if let Some(id) = &self.client_managed_identity {
            let id = Some(id.get_ref().clone()).filter(|id| id != "system");
            return resolved::ClientProof::ManagedIdentity(id);
        }
        if let Some(file) = &self.client_token_file {
            return resolved::ClientProof::Federated(folder.join(file.get_ref()));
        }
        if let Some(certificate) = &self.certificate {
            return certificate.resolve(folder);
        }
        match (&self.client_key, &self.client_secret) {
            (Some(key), _) => resolved::ClientProof::Key(key.get_ref().reference.clone()),
            (None, Some(secret)) => {
                resolved::ClientProof::Secret(secret.get_ref().reference.clone())
            }
            (None, None) => resolved::ClientProof::None,
        }
    }
}

/// What AKS puts in the environment.
struct WorkloadIdentity {
    endpoint: String,
    client_id: String,
    token_file: PathBuf,
}

impl WorkloadIdentity {
    /// `Err`: the variable that is missing.
    fn read() -> Result<WorkloadIdentity, &'static str> {
        let variable = |name: &'static str| {
            std::env::var(name).ok().filter(|value| !value.is_empty()).ok_or(name)
        };
        let (authority, tenant) = (variable("AZURE_AUTHORITY_HOST")?, variable("AZURE_TENANT_ID")?);
        Ok(WorkloadIdentity {
            endpoint: entra(authority.trim_end_matches('/'), &tenant),
            client_id: variable("AZURE_CLIENT_ID")?,
            token_file: variable("AZURE_FEDERATED_TOKEN_FILE")?.into(),
        })
    }
}

fn entra(authority: &str, tenant: &str) -> String {
    format!("{authority}/{tenant}/oauth2/v2.0/token")
}
