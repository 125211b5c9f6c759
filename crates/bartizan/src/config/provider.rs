//! `[identity.providers.NAME]` as it is written, and what the types alone can't tell about it.

mod check;
mod resolve;

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use toml::Spanned;

use super::value::{AlgorithmText, Guid, Period, Template, TrustDomain, WebUrl};

pub use check::check;
pub use resolve::resolve;

/// One identity provider.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Provider {
    /// Whose tokens these are.
    #[schemars(with = "Kind", extend("x-is-kind" = true, "examples" = ["entra"]))]
    pub kind: Spanned<Kind>,
    /// For whom tokens must be issued (`aud`), each exactly. By default: with `entra` the application's id and `api://` before it; otherwise
    /// this gateway's own URLs, `/mcp` for everything and `/mcp/SERVER` for one server, so that a token for one server opens only that one.
    #[serde(default)]
    #[schemars(with = "Vec<String>", extend("examples" = [json!(["https://mcp.example.com/mcp"])]))]
    pub audiences: Vec<Spanned<String>>,
    /// After how long its keys are fetched anew, at most a day.
    #[serde(default = "refresh")]
    #[schemars(with = "Period")]
    pub refresh: Spanned<Period>,
    /// For how long after that they still serve when they can't be fetched.
    #[serde(default = "stale")]
    pub stale: Period,
    /// Where its keys are (a JSON Web Key Set), instead of where its metadata says.
    #[serde(default)]
    #[schemars(with = "Option<WebUrl>", extend("x-kind" = "oidc kubernetes spiffe", "examples" = ["https://id.example.com/keys"], "x-samples" = json!({"kubernetes": null, "spiffe": null})))]
    pub jwks_url: Option<Spanned<WebUrl>>,
    /// The same in a file. A relative path begins at this file's folder; a changed file is read again at the next refresh, or when a token names a key that is not in it.
    #[serde(default)]
    #[schemars(with = "Option<PathBuf>", extend("x-kind" = "oidc kubernetes spiffe", "examples" = ["/etc/bartizan/bundle.json"], "x-samples" = json!({"oidc": null, "kubernetes": null})))]
    pub jwks_file: Option<Spanned<PathBuf>>,
    /// Lets the provider's URLs lead to private addresses.
    #[serde(default)]
    pub allow_private: bool,
    /// The authorities that the certificates of its servers are of, instead of the system's: a file in PEM form. A relative path begins at this file's folder.
    #[serde(default)]
    #[schemars(with = "Option<PathBuf>", extend("examples" = ["/etc/bartizan/provider-ca.pem"]))]
    pub ca: Option<Spanned<PathBuf>>,
    /// The tenants whose tokens are accepted, by id. There is no way to accept all.
    #[serde(default)]
    #[schemars(with = "Vec<Guid>", extend("x-kind" = "entra", "examples" = [json!(["11111111-2222-3333-4444-555555555555"])]))]
    pub tenants: Vec<Spanned<Guid>>,
    /// The id of the application that stands for this gateway in Entra.
    #[serde(default)]
    #[schemars(with = "Option<Guid>", extend("x-kind" = "entra", "examples" = ["66666666-7777-8888-9999-000000000000"]))]
    pub client_id: Option<Spanned<Guid>>,
    /// Which of Microsoft's clouds the tenants are in.
    #[serde(default)]
    #[schemars(with = "Cloud", extend("x-kind" = "entra"))]
    pub cloud: Cloud,
    /// Which groups a user is in.
    #[serde(default)]
    #[schemars(with = "GroupsFrom", extend("x-kind" = "entra"))]
    pub groups: GroupsFrom,
    /// The application's secret, with which it asks Graph for groups. It needs the application permission `GroupMember.Read.All`.
    #[serde(default)]
    #[schemars(with = "Option<Template>", extend("x-kind" = "entra", "examples" = ["${env:ENTRA_SECRET}"]))]
    pub graph_secret: Option<Spanned<Template>>,
    /// How the client must have authenticated to Entra.
    #[serde(default)]
    #[schemars(with = "ClientAuthentication", extend("x-kind" = "entra"))]
    pub client_authentication: ClientAuthentication,
    /// Whether tokens without a user are accepted. They need an app role in any case: without one, every application of the tenant could have come.
    #[serde(default = "yes")]
    #[schemars(extend("x-kind" = "entra"))]
    pub applications: bool,
    /// Instead of the cloud's own host for sign-in. For a stand-in in tests.
    #[serde(default)]
    #[schemars(with = "Option<WebUrl>", extend("x-kind" = "entra", "examples" = ["https://login.microsoftonline.com"]))]
    pub login_url: Option<Spanned<WebUrl>>,
    /// Instead of the cloud's own issuer of tokens of version 1. For a stand-in in tests.
    #[serde(default)]
    #[schemars(with = "Option<WebUrl>", extend("x-kind" = "entra", "examples" = ["https://sts.windows.net"]))]
    pub sts_url: Option<Spanned<WebUrl>>,
    /// Instead of the cloud's own host for Graph. For a stand-in in tests.
    #[serde(default)]
    #[schemars(with = "Option<WebUrl>", extend("x-kind" = "entra", "examples" = ["https://graph.microsoft.com"]))]
    pub graph_url: Option<Spanned<WebUrl>>,
    /// The provider's issuer, exactly as its tokens have it in `iss`.
    #[serde(default)]
    #[schemars(with = "Option<WebUrl>", extend("x-kind" = "oidc kubernetes", "examples" = ["https://id.example.com"], "x-samples" = json!({"kubernetes": "https://kubernetes.default.svc"})))]
    pub issuer: Option<Spanned<WebUrl>>,
    /// The only clients that are accepted, as tokens name them. All, when the list is empty.
    #[serde(default)]
    #[schemars(extend("x-kind" = "entra oidc", "examples" = [json!(["aebc6443-996d-45c2-90f0-388ff96faa56"])]))]
    pub clients: Vec<String>,
    /// The scopes that clients are told to ask for. With `entra`, a user's token must carry at least one of them.
    #[serde(default)]
    #[schemars(extend("x-kind" = "entra oidc", "examples" = [json!(["mcp.access"])]))]
    pub scopes: Vec<String>,
    /// With which algorithms it may sign. A key that says which one it is for is used with that one only.
    #[serde(default = "algorithms")]
    #[schemars(with = "Vec<AlgorithmText>", extend("x-kind" = "oidc"))]
    pub algorithms: Vec<AlgorithmText>,
    /// Lets tokens name other audiences beside ours. Whoever else is named could use them here.
    #[serde(default)]
    #[schemars(extend("x-kind" = "oidc"))]
    pub several_audiences: bool,
    /// Who its subjects are.
    #[serde(default)]
    #[schemars(with = "Callers", extend("x-kind" = "oidc"))]
    pub callers: Callers,
    /// The claim that says who it is. A name that begins with `/` leads into nested claims, as in `/realm_access/roles`.
    #[serde(default = "subject_claim")]
    #[schemars(extend("x-kind" = "oidc"))]
    pub subject_claim: String,
    /// The claim that lists groups.
    #[serde(default = "groups_claim")]
    #[schemars(extend("x-kind" = "oidc"))]
    pub groups_claim: String,
    /// The claim that lists roles.
    #[serde(default = "roles_claim")]
    #[schemars(extend("x-kind" = "oidc"))]
    pub roles_claim: String,
    /// The claim that lists scopes: words with spaces between them, or a list.
    #[serde(default = "scopes_claim")]
    #[schemars(extend("x-kind" = "oidc"))]
    pub scopes_claim: String,
    /// The claim that names the client; where it is missing, `azp` does.
    #[serde(default = "client_claim")]
    #[schemars(extend("x-kind" = "oidc"))]
    pub client_claim: String,
    /// The claim that names the tenant. Without it there are no tenants; with it, a token without the claim is refused.
    #[serde(default)]
    #[schemars(extend("x-kind" = "oidc", "examples" = ["org_id"]))]
    pub tenant_claim: Option<String>,
    /// The cluster's API server: it is asked about each token (`TokenReview`), so that one ends with its pod or account. Without it, tokens are verified by the cluster's keys.
    #[serde(default)]
    #[schemars(with = "Option<WebUrl>", extend("x-kind" = "kubernetes", "examples" = ["https://kubernetes.default.svc"]))]
    pub review_url: Option<Spanned<WebUrl>>,
    /// The file with the token as which it is asked. Its account needs the role `system:auth-delegator`. It is read each time.
    #[serde(default = "review_token_file")]
    #[schemars(extend("x-kind" = "kubernetes"))]
    pub review_token_file: PathBuf,
    /// The only namespaces whose service accounts are accepted. All, when the list is empty.
    #[serde(default)]
    #[schemars(extend("x-kind" = "kubernetes", "examples" = [json!(["agents"])]))]
    pub namespaces: Vec<String>,
    /// The SPIFFE trust domain. Its bundle is `jwks-url` or `jwks-file`.
    #[serde(default)]
    #[schemars(with = "Option<TrustDomain>", extend("x-kind" = "spiffe", "examples" = ["prod.example.org"]))]
    pub trust_domain: Option<Spanned<TrustDomain>>,
}

/// Where Kubernetes puts a pod's own.
fn review_token_file() -> PathBuf {
    PathBuf::from("/var/run/secrets/kubernetes.io/serviceaccount/token")
}

fn refresh() -> Spanned<Period> {
    Spanned::new(0..0, Period(Duration::from_secs(3600)))
}

fn stale() -> Period {
    Period(Duration::from_secs(24 * 3600))
}

fn yes() -> bool {
    true
}

fn algorithms() -> Vec<AlgorithmText> {
    use identity::Algorithm::{ES256, EdDSA, RS256};
    [RS256, ES256, EdDSA].map(AlgorithmText).to_vec()
}

fn subject_claim() -> String {
    "sub".to_owned()
}

fn groups_claim() -> String {
    "groups".to_owned()
}

fn roles_claim() -> String {
    "roles".to_owned()
}

fn scopes_claim() -> String {
    "scope".to_owned()
}

fn client_claim() -> String {
    "client_id".to_owned()
}

/// What kind of provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Microsoft Entra ID.
    Entra,
    /// Any other provider that speaks OpenID Connect.
    Oidc,
    /// Service accounts of a Kubernetes cluster.
    Kubernetes,
    /// JWT-SVIDs of a SPIFFE trust domain.
    Spiffe,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Entra => "entra",
            Kind::Oidc => "oidc",
            Kind::Kubernetes => "kubernetes",
            Kind::Spiffe => "spiffe",
        }
    }
}

/// Which of Microsoft's clouds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cloud {
    /// The one for everybody.
    #[default]
    Public,
    /// Azure Government (GCC High, L4).
    UsGovernment,
    /// Azure Government for the Department of Defense (L5).
    UsDod,
    /// Azure operated by 21Vianet.
    China,
}

/// Which groups a user is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GroupsFrom {
    /// Those that the token lists. A user in too many for a token (more than 200) is refused.
    #[default]
    Token,
    /// Those that the token lists; where they are too many for it, those that Graph lists.
    Overage,
    /// Those that Graph lists, asked again at every `recheck`: a lost group ends access within that time, and not only with the token.
    Graph,
    /// None: groups mean nothing here.
    Ignore,
}

/// How the client must have authenticated to Entra.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClientAuthentication {
    /// Not at all, as programs on people's own machines do.
    #[default]
    Any,
    /// By a secret or a certificate.
    Secret,
    /// By a certificate.
    Certificate,
}

/// Who a provider's subjects are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Callers {
    /// People, but for a subject that is its own client (RFC 9068): a program.
    #[default]
    UsersAndClients,
    /// People only.
    Users,
    /// Programs only, as with a build service's tokens.
    Workloads,
}
