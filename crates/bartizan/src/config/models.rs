//! `[models]`: how it is written, what is wrong with it, and what it becomes.

use std::{collections::BTreeMap, path::Path, time::Duration};

use gateway::models as resolved;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use toml::Spanned;

use super::{
    check::{check_secret, is_private, is_this_machine},
    exchange::{self, Exchange},
    fault::Finding,
    file::{Credential, File},
    injection::{Aws, ClientCertificate, Injected},
    resolve::ResolveFault,
    value::{ByteSize, HeaderText, Period, QueryText, ServerKey, ServerUrl, Template},
};

/// One language model, or a server of several.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Model {
    /// Which protocol it speaks.
    #[schemars(with = "Kind", extend("x-is-kind" = true, "examples" = ["azure-openai"]))]
    pub kind: Kind,
    /// Where it is. What stands behind `/models/NAME` in a request is appended.
    #[schemars(with = "ServerUrl", extend("x-kind" = "azure-openai openai anthropic", "examples" = ["https://contoso.openai.azure.com"], "x-samples" = json!({"openai": "https://api.openai.com", "anthropic": "https://api.anthropic.com"})))]
    pub url: Spanned<ServerUrl>,
    /// Lets `url` lead to a private address, as that of a local server.
    #[serde(default)]
    pub allow_private: bool,
    /// The deployments (or models) that can be called; `*` stands for any text. All, when the list is empty. Those without a `*` are what `GET …/v1/models` lists. Who may call which is in the roles: `model:NAME/DEPLOYMENT`.
    #[serde(default)]
    #[schemars(extend("examples" = [json!(["gpt-5*"])]))]
    pub deployments: Vec<String>,
    /// The paths that are passed on, where the kind's own are not to be: each whole, `{deployment}` for one segment.
    #[serde(default)]
    #[schemars(extend("examples" = [json!(["/openai/v1/chat/completions"])]))]
    pub paths: Vec<String>,
    /// The longest request, and the longest answer that is no stream.
    #[serde(default = "body")]
    pub body: ByteSize,
    /// How long it may be silent: before its answer begins, and between two parts of a stream.
    #[serde(default = "timeout")]
    pub timeout: Period,
    /// OUTGOING authentication: the key that the gateway adds to each request. What the client showed never gets there.
    #[serde(default)]
    #[schemars(with = "Option<Credential>", extend("x-kind" = "openai anthropic"))]
    pub credential: Option<Spanned<Credential>>,
    /// More headers that it adds to each request. Values are as in `credential`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<HeaderText, Template>", extend("x-kind" = "openai", "examples" = [json!({"OpenAI-Organization": "org-acme"})]))]
    pub headers: BTreeMap<HeaderText, Spanned<Template>>,
    /// Parameters that it adds to the query of each request.
    #[serde(default)]
    #[schemars(with = "BTreeMap<QueryText, Template>", extend("x-kind" = "openai", "examples" = [json!({"key": "${secret:model}"})]))]
    pub query: BTreeMap<QueryText, Spanned<Template>>,
    /// OUTGOING authentication by a client certificate (mutual TLS).
    #[serde(default)]
    #[schemars(extend("x-kind" = "azure-openai"))]
    pub certificate: Option<ClientCertificate>,
    /// OUTGOING authentication by AWS's Signature Version 4, as Bedrock takes it.
    #[serde(default)]
    #[schemars(extend("x-kind" = "bedrock"))]
    pub aws: Option<Aws>,
    /// The same by a token that a token endpoint gives, such as that of a managed identity: then nobody has a key.
    #[serde(default)]
    #[schemars(with = "Option<Exchange>", extend("x-kind" = "azure-openai"))]
    pub exchange: Option<Spanned<Exchange>>,
}

impl Model {
    /// What is added to each request to it.
    pub fn injected(&self, name: &str) -> Injected<'_> {
        Injected {
            section: format!("models.{name}"),
            credential: self.credential.as_ref(),
            headers: &self.headers,
            query: &self.query,
            certificate: self.certificate.as_ref(),
            aws: self.aws.as_ref(),
            has_token: self.exchange.is_some(),
            is_plain: self.url.get_ref().0.scheme_str() == Some("http"),
        }
    }
}

/// Which protocol a model speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// OpenAI's with Azure's paths: `/openai/deployments/{deployment}/chat/completions`, `…/completions`, `…/embeddings`; `/openai/v1/chat/completions`, `/openai/v1/embeddings`, `/openai/v1/responses`.
    AzureOpenai,
    /// OpenAI's, which many local servers speak too: `/v1/chat/completions`, `/v1/completions`, `/v1/embeddings`, `/v1/responses`.
    Openai,
    /// Anthropic's: `/v1/messages`, `/v1/messages/count_tokens`.
    Anthropic,
}

fn body() -> ByteSize {
    ByteSize(32 << 20)
}

fn timeout() -> Period {
    Period(Duration::from_secs(10 * 60))
}

/// What can't be meant.
pub fn check(file: &File, folder: &Path, findings: &mut Vec<Finding>) {
    for (key, model) in &file.models {
        let (name, span) = (key.0.as_str(), model.span());
        if file.servers.contains_key(key) {
            findings.push(Finding::error(
                format!("a server and a model are both called `{name}`"),
                span.clone(),
                "rename one of them: rules could not tell them apart",
            ));
        }
        check_one(name, model.get_ref(), span, findings);
        model.get_ref().injected(name).check(folder, findings);
    }
}

fn check_one(name: &str, model: &Model, span: std::ops::Range<usize>, findings: &mut Vec<Finding>) {
    let url = &model.url;
    let host = url.get_ref().0.host().unwrap_or_default();
    let near = is_this_machine(host);
    if !model.allow_private && (near || is_private(host)) {
        findings.push(Finding::warning(
            format!("`{host}` is a private address, so calls to `{name}` will be refused"),
            url.span(),
            "if that is meant, add allow-private = true",
        ));
    }
    let plain = url.get_ref().0.scheme_str() == Some("http") && !near;
    if plain && (model.injected(name).place().is_some() || model.exchange.is_some()) {
        findings.push(Finding::warning(
            format!("the credential of `{name}`, and all that is said to it, travel unencrypted"),
            url.span(),
            "write https://",
        ));
    }
    if url.get_ref().0.query().is_some() {
        findings.push(Finding::error(
            format!("the url of `{name}` has a query"),
            url.span(),
            "leave it out: clients send api-version themselves",
        ));
    }
    if let (Some(_), Some(exchange)) = (&model.credential, &model.exchange) {
        findings.push(Finding::error(
            format!("`{name}` has both `credential` and `exchange`"),
            exchange.get_ref().kind.span(),
            "keep one of them",
        ));
    }
    for deployment in &model.deployments {
        if pattern(name, deployment).is_none() {
            findings.push(Finding::error(
                format!("`{deployment}` can't be a deployment of `{name}`"),
                span.clone(),
                "write its name, with * for any text, in at most 256 letters",
            ));
        }
    }
    for path in model.paths.iter().filter(|path| !path.starts_with('/')) {
        findings.push(Finding::error(
            format!("the path `{path}` of `{name}` does not begin with a slash"),
            span.clone(),
            "write such as \"/v1/chat/completions\"",
        ));
    }
    if let Some(credential) = &model.credential {
        check_secret(&credential.get_ref().value, "MODEL_KEY", findings);
    }
    if let Some(exchange) = &model.exchange {
        exchange::check(name, exchange, findings);
    }
}

fn pattern(name: &str, deployment: &str) -> Option<policy::Pattern> {
    let usable = !deployment.is_empty() && deployment.len() <= 256;
    usable.then(|| format!("model:{name}/{deployment}").parse().ok())?
}

/// What the gateway serves.
pub fn resolve(
    models: &BTreeMap<ServerKey, Spanned<Model>>,
    folder: &Path,
) -> Result<Vec<resolved::Model>, ResolveFault> {
    models.iter().map(|(key, model)| resolve_one(key, model.get_ref(), folder)).collect()
}

fn resolve_one(
    key: &ServerKey,
    model: &Model,
    folder: &Path,
) -> Result<resolved::Model, ResolveFault> {
    let name = key.0.clone();
    let kind = match model.kind {
        Kind::Anthropic => resolved::ModelKind::Anthropic,
        Kind::AzureOpenai => resolved::ModelKind::AzureOpenAi,
        Kind::Openai => resolved::ModelKind::OpenAi,
    };
    let paths = match model.paths.is_empty() {
        true => kind.paths().iter().map(|path| (*path).to_owned()).collect(),
        false => model.paths.clone(),
    };
    let named = model.injected(name.as_str()).resolve(folder)?;
    let credential = match &model.exchange {
        Some(exchange) => {
            let exchange = Box::new(exchange.get_ref().resolve(folder)?);
            resolved::ModelCredential::Exchanged(exchange, named)
        }
        None => resolved::ModelCredential::Configured(named),
    };
    let patterns = model.deployments.iter().filter_map(|text| pattern(name.as_str(), text));
    Ok(resolved::Model {
        kind,
        url: model.url.get_ref().0.clone(),
        allow_private: model.allow_private,
        deployments: patterns.collect(),
        listed: model.deployments.iter().filter(|text| !text.contains('*')).cloned().collect(),
        paths,
        credential,
        body_bytes: model.body.0,
        timeout: model.timeout.0,
        name,
    })
}
