//! Keys that a kind of provider needs or can't have, and what is probably not meant.

use std::{collections::BTreeMap, ops::Range, path::Path, time::Duration};

use super::{GroupsFrom, Kind, Provider};
use crate::config::{
    check::{is_private, is_this_machine},
    fault::Finding,
    file::Identity,
    value::{ProviderKey, WebUrl},
};

/// A day: Entra rolls its keys without a word.
const REFRESH_LIMIT: u64 = 24 * 3600;

/// Shorter, and the looks are all that is done.
const SHORTEST_RECHECK: Duration = Duration::from_secs(5);

/// All findings about the providers.
pub fn check(identity: &Identity, folder: &Path, findings: &mut Vec<Finding>) {
    if identity.recheck.get_ref().0 < SHORTEST_RECHECK {
        findings.push(Finding::error(
            "every look at a caller costs a signature check or a request to their provider",
            identity.recheck.span(),
            "write recheck = \"5s\" or longer",
        ));
    }
    let mut issuers: BTreeMap<String, &str> = BTreeMap::new();
    for (ProviderKey(name), spanned) in &identity.providers {
        let (name, provider) = (name.as_str(), spanned.get_ref());
        if name == identity::CERTIFICATES {
            findings.push(Finding::error(
                "`tls` is what callers with a client certificate are called",
                spanned.span(),
                "give this provider another name",
            ));
        }
        strays(name, provider, findings);
        needs(name, provider, spanned.span(), findings);
        check_keys(provider, folder, findings);
        for url in urls(provider) {
            check_url(name, provider, url, findings);
        }
        for issuer in claimed(provider) {
            if let Some(other) = issuers.insert(issuer, name) {
                findings.push(Finding::error(
                    format!("`{name}` and `{other}` are the same issuer"),
                    spanned.span(),
                    "make one section of them",
                ));
            }
        }
    }
}

/// Keys of another kind.
fn strays(name: &str, provider: &Provider, findings: &mut Vec<Finding>) {
    let kind = *provider.kind.get_ref();
    let span = |range: Option<Range<usize>>| range.unwrap_or_else(|| provider.kind.span());
    let entra = kind == Kind::Entra;
    let oidc = kind == Kind::Oidc;
    let wrong = [
        ("tenants", !entra, provider.tenants.first().map(|one| one.span())),
        ("client-id", !entra, provider.client_id.as_ref().map(|one| one.span())),
        ("graph-secret", !entra, provider.graph_secret.as_ref().map(|one| one.span())),
        ("login-url", !entra, provider.login_url.as_ref().map(|one| one.span())),
        ("sts-url", !entra, provider.sts_url.as_ref().map(|one| one.span())),
        ("graph-url", !entra, provider.graph_url.as_ref().map(|one| one.span())),
        ("groups", !entra, (provider.groups != GroupsFrom::Token).then(|| span(None))),
        ("issuer", entra || kind == Kind::Spiffe, provider.issuer.as_ref().map(|one| one.span())),
        ("jwks-url", entra, provider.jwks_url.as_ref().map(|one| one.span())),
        (
            "trust-domain",
            kind != Kind::Spiffe,
            provider.trust_domain.as_ref().map(|one| one.span()),
        ),
        (
            "namespaces",
            kind != Kind::Kubernetes,
            (!provider.namespaces.is_empty()).then(|| span(None)),
        ),
        (
            "review-url",
            kind != Kind::Kubernetes,
            provider.review_url.as_ref().map(|one| one.span()),
        ),
        ("clients", !entra && !oidc, (!provider.clients.is_empty()).then(|| span(None))),
        ("scopes", !entra && !oidc, (!provider.scopes.is_empty()).then(|| span(None))),
        ("several-audiences", !oidc, provider.several_audiences.then(|| span(None))),
        ("tenant-claim", !oidc, provider.tenant_claim.as_ref().map(|_| span(None))),
    ];
    for (key, is_wrong, place) in wrong {
        if let (true, Some(place)) = (is_wrong, place) {
            findings.push(Finding::error(
                format!("`{key}` means nothing to a provider of kind `{}`", kind.as_str()),
                place,
                format!("take it out, or give `{name}` another kind"),
            ));
        }
    }
}

/// Keys that a kind can't do without.
fn needs(name: &str, provider: &Provider, span: Range<usize>, findings: &mut Vec<Finding>) {
    let mut missing = |what: &str, mend: &str| {
        findings.push(Finding::error(
            format!("the provider `{name}` has no {what}"),
            span.clone(),
            mend,
        ));
    };
    match provider.kind.get_ref() {
        Kind::Entra => {
            if provider.tenants.is_empty() {
                missing(
                    "`tenants`",
                    "add tenants = [\"…\"], the ids of the tenants whose people may come in",
                );
            }
            if provider.client_id.is_none() && provider.audiences.is_empty() {
                missing("`client-id`", "add client-id = \"…\", the application's id in Entra");
            }
            let asks = matches!(provider.groups, GroupsFrom::Overage | GroupsFrom::Graph);
            if asks && (provider.graph_secret.is_none() || provider.client_id.is_none()) {
                missing(
                    "`graph-secret` and `client-id` with which to ask Graph",
                    "add graph-secret = \"${env:ENTRA_SECRET}\" and client-id = \"…\", or write groups = \"token\"",
                );
            }
        }
        Kind::Oidc | Kind::Kubernetes => {
            if provider.issuer.is_none() {
                missing(
                    "`issuer`",
                    "add issuer = \"https://…\", exactly as its tokens have it in `iss`",
                );
            }
        }
        Kind::Spiffe => {
            if provider.trust_domain.is_none() {
                missing("`trust-domain`", "add trust-domain = \"prod.example.org\"");
            }
            if provider.jwks_url.is_none() && provider.jwks_file.is_none() {
                missing("bundle", "add jwks-url = \"https://…\" or jwks-file = \"…\"");
            }
        }
    }
    if *provider.kind.get_ref() == Kind::Oidc && provider.algorithms.is_empty() {
        missing("`algorithms`", "take the empty list out, or write algorithms = [\"RS256\"]");
    }
}

fn check_keys(provider: &Provider, folder: &Path, findings: &mut Vec<Finding>) {
    let refresh = provider.refresh.get_ref().0;
    if refresh.as_secs() > REFRESH_LIMIT || refresh.as_secs() < 60 {
        findings.push(Finding::error(
            "keys are fetched anew after a minute at least and a day at most",
            provider.refresh.span(),
            "write refresh = \"1h\"",
        ));
    }
    if let (Some(_), Some(file)) = (&provider.jwks_url, &provider.jwks_file) {
        findings.push(Finding::error(
            "`jwks-url` and `jwks-file` are two places for the same keys",
            file.span(),
            "keep one of them",
        ));
    }
    let keys = provider.jwks_url.as_ref().map(|one| one.span());
    if let (Some(_), Some(keys)) =
        (&provider.review_url, keys.or(provider.jwks_file.as_ref().map(|one| one.span())))
    {
        findings.push(Finding::error(
            "whose tokens are asked about, their keys are not needed",
            keys,
            "take it or `review-url` out",
        ));
    }
    if let Some(file) = &provider.jwks_file
        && let Err(error) = std::fs::File::open(folder.join(file.get_ref()))
    {
        findings.push(Finding::warning(
            format!("`{}` can't be read: {error}", file.get_ref().display()),
            file.span(),
            "until it can, nobody of this provider gets in",
        ));
    }
    if let Some(file) = &provider.ca
        && let Err(error) = std::fs::File::open(folder.join(file.get_ref()))
    {
        findings.push(Finding::error(
            format!("`{}` can't be read: {error}", file.get_ref().display()),
            file.span(),
            "name a file in PEM form that this user may read",
        ));
    }
    if let Some(secret) = &provider.graph_secret {
        if secret.get_ref().reference.is_literal() {
            findings.push(Finding::warning(
                "the secret stands in this file as it is",
                secret.span(),
                "keep it elsewhere and write \"${env:ENTRA_SECRET}\" or \"${file:/path/to/it}\" in its place",
            ));
        } else if let Some(fault) = secret.get_ref().reference.local_fault() {
            findings.push(Finding::warning(
                fault.to_string(),
                secret.span(),
                "without it nobody whose groups have to be asked for gets in",
            ));
        }
    }
}

fn urls(provider: &Provider) -> impl Iterator<Item = &toml::Spanned<WebUrl>> {
    let Provider { issuer, jwks_url, login_url, graph_url, review_url, .. } = provider;
    [issuer, jwks_url, login_url, graph_url, review_url].into_iter().flatten()
}

fn check_url(
    name: &str,
    provider: &Provider,
    url: &toml::Spanned<WebUrl>,
    findings: &mut Vec<Finding>,
) {
    let host = url.get_ref().host();
    let near = is_this_machine(host);
    if !provider.allow_private && (near || is_private(host)) {
        findings.push(Finding::warning(
            format!("`{host}` is a private address"),
            url.span(),
            "if that is meant, add allow-private = true",
        ));
    }
    if url.get_ref().is_plain() && !near {
        findings.push(Finding::error(
            format!("whoever is on the way to `{host}` could give out the keys of `{name}`"),
            url.span(),
            "write https://",
        ));
    }
}

/// What its tokens name as their issuer.
fn claimed(provider: &Provider) -> Vec<String> {
    match provider.kind.get_ref() {
        Kind::Entra => {
            provider.tenants.iter().map(|tenant| tenant.get_ref().as_str().to_owned()).collect()
        }
        Kind::Oidc | Kind::Kubernetes => {
            provider.issuer.iter().map(|issuer| issuer.get_ref().as_str().to_owned()).collect()
        }
        Kind::Spiffe => provider
            .trust_domain
            .iter()
            .map(|domain| domain.get_ref().as_str().to_owned())
            .collect(),
    }
}
