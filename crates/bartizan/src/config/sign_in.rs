//! `[sign-in]`: how it is written, what is wrong with it, and what it becomes.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use gateway::config as resolved;
use identity::broker::{Client, ClientId, ClientProof, Provenance, RedirectUri, Scopes, hash};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use toml::Spanned;

use super::{
    fault::Finding,
    file::File,
    resolve::ResolveFault,
    value::{Bounded, ClientKey, HostText, Period, RedirectText, ScopeText, Template},
};

/// Sign-in for people.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SignIn {
    /// The name of the provider in `[identity.providers]` at which people sign in.
    #[schemars(with = "String", extend("examples" = ["entra"]))]
    pub provider: Spanned<String>,
    /// What this gateway is called at the provider: the id of its application or client there. Its only redirect URI is `PUBLIC-URL/oauth/callback`.
    #[schemars(extend("examples" = ["00000000-0000-0000-0000-000000000000"]))]
    pub client_id: String,
    /// The secret with which this gateway proves itself to the provider. Better is none: `client-token-file` or `[sign-in.certificate]`.
    #[schemars(with = "Option<Template>", extend("examples" = ["${env:ENTRA_CLIENT_SECRET}"]))]
    pub client_secret: Option<Spanned<Template>>,
    /// A file with a token that proves this gateway to the provider: a federated credential, as Kubernetes and managed identities keep one. It is read each time.
    #[schemars(with = "Option<PathBuf>", extend("examples" = ["/var/run/secrets/azure/tokens/azure-identity-token"]))]
    pub client_token_file: Option<Spanned<PathBuf>>,
    /// The scopes that this gateway asks the provider for. Without `offline_access` (or what the provider has in its place) a session can't be confirmed again, and ends with the provider's own token.
    #[serde(default = "provider_scopes")]
    pub provider_scopes: Vec<ScopeText>,
    /// The scopes that clients may ask for. Policies can require them; what a person may do is up to their roles, whatever the scope.
    #[serde(default = "scopes")]
    pub scopes: Vec<ScopeText>,
    /// Those of them that clients are told to ask for at first; all, when the list is empty. A client that needs more for what it does is told so (`insufficient_scope`), and its person is asked for that.
    #[serde(default)]
    #[schemars(extend("examples" = [json!(["mcp"])]))]
    pub initial_scopes: Vec<ScopeText>,
    /// How long an access token is valid.
    #[serde(default = "access_token")]
    pub access_token: Period,
    /// How long a session lives without being used.
    #[serde(default = "idle")]
    pub idle: Period,
    /// How long a session lives at most: then the person signs in again.
    #[serde(default = "session")]
    pub session: Period,
    /// How long it is remembered that a person let a client act for them, in the same browser.
    #[serde(default = "consent")]
    pub consent: Period,
    /// Binds every token to a key that its client holds (DPoP), so that a stolen token is of no use. Clients that can do it are always bound; this refuses those that can't.
    #[serde(default)]
    pub require_dpop: bool,
    /// Lets the provider vouch for people to clients that can prove themselves, without a browser: enterprise-managed authorization by ID-JAG.
    #[serde(default)]
    pub id_jag: bool,
    /// The certificate with which this gateway proves itself to the provider.
    pub certificate: Option<Certificate>,
    /// Clients whose id is the https URL of a document that describes them.
    #[serde(default)]
    pub documents: Documents,
    /// Clients that register themselves. Nobody vouches for what they call themselves, which the consent page says.
    #[serde(default)]
    pub registration: Registration,
    /// Clients that you vouch for, by their `client_id`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<ClientKey, KnownClient>")]
    pub clients: BTreeMap<ClientKey, Spanned<KnownClient>>,
}

/// The certificate with which this gateway proves itself to the provider.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Certificate {
    /// The certificate in PEM form, as it was uploaded to the provider.
    #[schemars(with = "PathBuf", extend("examples" = ["/etc/bartizan/sign-in.pem"]))]
    pub cert: Spanned<PathBuf>,
    /// Its private RSA key in PEM form.
    #[schemars(with = "PathBuf", extend("examples" = ["/etc/bartizan/sign-in-key.pem"]))]
    pub key: Spanned<PathBuf>,
}

/// Clients whose id is the https URL of a document that describes them.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Documents {
    /// Whose documents are read.
    #[schemars(with = "Trust")]
    pub trust: Trust,
    /// The hosts, with all below them, for `trust = "domains"`.
    #[schemars(extend("examples" = [json!(["claude.ai", "vscode.dev"])]))]
    pub domains: Vec<HostText>,
    /// Lets a document be fetched from a private address. A loosening: with it whoever can reach this gateway can make it look around in your network.
    pub allow_private: bool,
}

/// Whose documents are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// Everybody's: the person decides on the consent page, which shows the domain.
    #[default]
    Any,
    /// Those of `domains` alone.
    Domains,
    /// Nobody's.
    None,
}

/// Clients that register themselves.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Registration {
    /// Whether they may.
    pub enabled: bool,
    /// How many there may be.
    pub limit: Bounded<1, 1_000_000>,
    /// How many may register in an hour.
    pub hourly: Bounded<1, 1_000_000>,
    /// One through which nobody signed in for so long makes room for others.
    pub unused: Period,
}

impl Default for Registration {
    fn default() -> Self {
        Registration { enabled: true, limit: Bounded(1000), hourly: Bounded(100), unused: days(30) }
    }
}

/// One client that you vouch for.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct KnownClient {
    /// What people read on the consent page; its id, if this is left out.
    #[schemars(extend("examples" = ["Build service"]))]
    pub name: Option<String>,
    /// Where browsers may be sent back to: https, or http on the loopback, where the port does not matter.
    #[schemars(extend("examples" = [json!(["https://build.example.com/callback"])]))]
    pub redirect_uris: Vec<RedirectText>,
    /// The client's secret, if it has one.
    #[schemars(with = "Option<Template>", extend("examples" = ["${env:BUILD_CLIENT_SECRET}"]))]
    pub secret: Option<Spanned<Template>>,
    /// A file with the client's public keys, a JSON Web Key Set: it signs to prove itself (`private_key_jwt`). It goes before `secret`.
    #[schemars(with = "Option<PathBuf>", extend("examples" = ["/etc/bartizan/build.jwks"]))]
    pub keys: Option<Spanned<PathBuf>>,
    /// The only scopes that it may have.
    #[schemars(extend("examples" = [json!(["mcp"])]))]
    pub scopes: Option<Vec<ScopeText>>,
    /// Lets it act for itself, without a person (`client_credentials`), as `workload:sign-in/ID`. It needs `keys` or a `secret`.
    pub workload: bool,
}

impl Certificate {
    pub fn resolve(&self, folder: &Path) -> resolved::ClientProof {
        resolved::ClientProof::Certificate {
            cert: folder.join(self.cert.get_ref()),
            key: folder.join(self.key.get_ref()),
        }
    }
}

fn scope(text: &str) -> ScopeText {
    ScopeText(text.to_owned())
}

fn provider_scopes() -> Vec<ScopeText> {
    ["openid", "profile", "offline_access"].map(scope).into()
}

fn scopes() -> Vec<ScopeText> {
    vec![scope("mcp")]
}

fn days(count: u64) -> Period {
    Period(Duration::from_secs(count * 24 * 60 * 60))
}

fn access_token() -> Period {
    Period(Duration::from_secs(10 * 60))
}

fn idle() -> Period {
    days(7)
}

fn session() -> Period {
    days(30)
}

fn consent() -> Period {
    days(90)
}

/// What can't be meant.
pub fn check(file: &File, findings: &mut Vec<Finding>) {
    let Some(sign_in) = &file.sign_in else { return };
    let provider = &sign_in.provider;
    if file.public_url.is_none() {
        findings.push(Finding::error(
            "sign-in needs to know where clients reach this gateway",
            provider.span(),
            "add public-url = \"https://mcp.example.com\" at the top",
        ));
    }
    if let Some(url) = file.public_url.as_ref().filter(|url| {
        url.get_ref().is_plain() && !super::check::is_this_machine(url.get_ref().host())
    }) {
        findings.push(Finding::error(
            "codes and tokens would cross the network unencrypted",
            url.span(),
            "write https://, with [tls] here or a TLS proxy in front",
        ));
    }
    if !file.identity.providers.keys().any(|key| key.0.as_str() == provider.get_ref()) {
        findings.push(Finding::error(
            format!("no provider is called `{}`", provider.get_ref()),
            provider.span(),
            format!("add a section [identity.providers.{}]", provider.get_ref()),
        ));
    }
    let unused = match (&sign_in.certificate, &sign_in.client_token_file, &sign_in.client_secret) {
        (Some(_), Some(file), _) => Some(file.span()),
        (Some(_), None, Some(secret)) | (None, Some(_), Some(secret)) => Some(secret.span()),
        _ => None,
    };
    if let Some(span) = unused {
        findings.push(Finding::warning(
            "this gateway proves itself to the provider in one way, and this is not used",
            span,
            "keep one: [sign-in.certificate] goes before client-token-file, and that before client-secret",
        ));
    }
    if let Some(scope) = sign_in.initial_scopes.iter().find(|one| !sign_in.scopes.contains(one)) {
        findings.push(Finding::error(
            format!("the scope `{}` is to be asked for at first, and is none of `scopes`", scope.0),
            provider.span(),
            "add it to scopes in [sign-in], or take it out of initial-scopes",
        ));
    }
    if sign_in.documents.trust == Trust::Domains && sign_in.documents.domains.is_empty() {
        findings.push(Finding::warning(
            "no domain is named, so no client's document is read",
            provider.span(),
            "name some in [sign-in.documents] domains, or write trust = \"none\"",
        ));
    }
    for (key, client) in &sign_in.clients {
        check_client(key, client, findings);
    }
}

fn check_client(key: &ClientKey, client: &Spanned<KnownClient>, findings: &mut Vec<Finding>) {
    let known = client.get_ref();
    if known.redirect_uris.is_empty() && !known.workload {
        findings.push(Finding::warning(
            format!("nobody can sign in through `{}`", key.0),
            client.span(),
            "add redirect-uris, or workload = true for a program that acts for itself",
        ));
    }
    if let Some(secret) = &known.secret
        && !secret.get_ref().reference.is_local()
    {
        findings.push(Finding::error(
            "a client's secret is read when the configuration is, so it has to be on this machine",
            secret.span(),
            "write ${env:NAME} or ${file:/PATH}, or keys in its place",
        ));
    }
    if known.workload && known.keys.is_none() && known.secret.is_none() {
        findings.push(Finding::error(
            format!("anybody could act as `{}`", key.0),
            client.span(),
            "add keys (a file with its public keys) or a secret",
        ));
    }
}

/// What the gateway serves.
pub fn resolve(file: &File, folder: &Path) -> Result<Option<resolved::SignIn>, ResolveFault> {
    let (Some(sign_in), Some(public_url)) = (&file.sign_in, &file.public_url) else {
        return Ok(None);
    };
    let proof = match (&sign_in.certificate, &sign_in.client_token_file, &sign_in.client_secret) {
        (Some(certificate), ..) => certificate.resolve(folder),
        (None, Some(file), _) => resolved::ClientProof::Federated(folder.join(file.get_ref())),
        (None, None, Some(secret)) => {
            resolved::ClientProof::Secret(secret.get_ref().reference.clone())
        }
        (None, None, None) => resolved::ClientProof::None,
    };
    let registration = &sign_in.registration;
    let clients = sign_in
        .clients
        .iter()
        .map(|(key, client)| resolve_client(&key.0, client.get_ref(), folder));
    Ok(Some(resolved::SignIn {
        provider: identity::ProviderName::new(sign_in.provider.get_ref()).ok_or_else(|| {
            ResolveFault::SignIn(format!(
                "`{}` can't be a provider's name",
                sign_in.provider.get_ref()
            ))
        })?,
        public_url: public_url.get_ref().as_str().to_owned(),
        client_id: sign_in.client_id.clone(),
        proof,
        provider_scopes: joined(&sign_in.provider_scopes)?,
        scopes: joined(&sign_in.scopes)?,
        initial_scopes: match sign_in.initial_scopes.as_slice() {
            [] => joined(&sign_in.scopes)?,
            some => joined(some)?,
        },
        access_token: sign_in.access_token.0,
        idle: sign_in.idle.0,
        session: sign_in.session.0,
        consent: sign_in.consent.0,
        documents: match sign_in.documents.trust {
            Trust::Any => resolved::Documents::Any,
            Trust::Domains => resolved::Documents::Domains(
                sign_in.documents.domains.iter().map(|domain| domain.0.clone()).collect(),
            ),
            Trust::None => resolved::Documents::None,
        },
        documents_private: sign_in.documents.allow_private,
        registration: registration.enabled.then_some(resolved::Registration {
            limit: registration.limit.0,
            hourly: registration.hourly.0,
            unused: registration.unused.0,
        }),
        dpop_required: sign_in.require_dpop,
        id_jag: sign_in.id_jag,
        clients: clients.collect::<Result<_, _>>()?,
    }))
}

fn joined(scopes: &[ScopeText]) -> Result<Scopes, ResolveFault> {
    let words: Vec<&str> = scopes.iter().map(|scope| scope.0.as_str()).collect();
    Scopes::parse(&words.join(" ")).map_err(|fault| ResolveFault::SignIn(fault.to_string()))
}

fn resolve_client(
    id: &ClientId,
    client: &KnownClient,
    folder: &Path,
) -> Result<Client, ResolveFault> {
    let fault = |what: String| ResolveFault::SignIn(format!("the client {id}: {what}"));
    let proof = match (&client.keys, &client.secret) {
        (Some(keys), _) => {
            let path = folder.join(keys.get_ref());
            let text = std::fs::read_to_string(&path)
                .map_err(|f| fault(format!("{}: {f}", path.display())))?;
            let usage = identity::jwks::KeyUse::Signature;
            identity::jwks::Jwks::read(text.as_bytes(), usage).map_err(|f| fault(f.to_string()))?;
            ClientProof::Keys(text)
        }
        (None, Some(secret)) => {
            let reference = &secret.get_ref().reference;
            let values: Result<Vec<_>, _> =
                reference.sources().filter_map(vault::Source::read).collect();
            let values = values.map_err(|f| fault(f.to_string()))?;
            ClientProof::Secret(hash(reference.fill(&values).expose()))
        }
        (None, None) => ClientProof::None,
    };
    let redirects = client.redirect_uris.iter().map(|uri| RedirectUri::parse(&uri.0));
    Ok(Client {
        id: id.clone(),
        provenance: Provenance::Configured,
        name: client.name.clone().unwrap_or_else(|| id.to_string()),
        uri: None,
        redirects: redirects.collect::<Result<_, _>>().map_err(|f| fault(f.to_string()))?,
        proof,
        scopes: client.scopes.as_deref().map(joined).transpose()?,
        workload: client.workload,
    })
}
