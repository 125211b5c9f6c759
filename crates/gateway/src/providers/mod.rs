//! Identity providers at work: their keys fetched, kept and refreshed; a token taken to its provider.

mod fetch;
mod graph;
mod keys;
mod review;

use std::{sync::Arc, time::Duration};

use identity::{
    Discovery, ProviderName, Verified,
    broker::{
        Client,
        assertion::{IdJag, verify_id_jag},
    },
    jwt::{Jwt, JwtFault},
    provider::{Proof, ProofFault},
};
use upstream::HttpClient;

use crate::{StartFault, config, refusal::Refusal, secrets::Secrets};
use graph::Graph;
use keys::{Held, Keys};
use review::Reviewer;

/// The configured providers.
#[derive(Default)]
pub(crate) struct Providers(Vec<Arc<Provider>>);

/// One provider, its keys or whom to ask instead, and, for Entra, the way to Graph.
pub(crate) struct Provider {
    entry: config::Provider,
    keys: Arc<Keys>,
    graph: Option<Graph>,
    reviewer: Option<Reviewer>,
}

/// Why a provider can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProviderFault {
    /// The token is not good.
    #[error(transparent)]
    Proof(#[from] ProofFault),
    /// The provider, or Graph, does not answer as it should.
    #[error("{provider}: {detail}")]
    Unavailable { provider: String, detail: String },
}

impl From<ProviderFault> for Refusal {
    fn from(fault: ProviderFault) -> Refusal {
        match fault {
            ProviderFault::Proof(fault) => {
                Refusal::Authentication(identity::AuthFault::Proof(fault))
            }
            ProviderFault::Unavailable { .. } => Refusal::IdentityUnavailable(fault.to_string()),
        }
    }
}

impl Providers {
    /// From the configuration. What did not change keeps its keys.
    pub(crate) fn new(
        entries: &[config::Provider],
        old: Option<&Providers>,
        client: &HttpClient,
        secrets: &Arc<Secrets>,
    ) -> Result<Providers, StartFault> {
        let provider = |entry: &config::Provider| match old
            .and_then(|old| old.0.iter().find(|held| held.entry == *entry))
        {
            Some(kept) => Ok(kept.clone()),
            None => Provider::new(entry.clone(), client, secrets).map(Arc::new),
        };
        entries.iter().map(provider).collect::<Result<_, _>>().map(Providers)
    }

    /// Who a token proves. Its unverified issuer chooses the provider, and nothing else.
    pub(crate) async fn prove(&self, token: &str, now: u64) -> Result<Verified, ProviderFault> {
        let jwt = Jwt::read(token).map_err(ProofFault::Jwt)?;
        let claimed = |held: &&Arc<Provider>| held.entry.provider.is_claimed_by(&jwt);
        let provider = self.0.iter().find(claimed).ok_or(ProofFault::Jwt(JwtFault::Issuer))?;
        provider.prove(&jwt, token, now).await
    }

    /// By its name in the configuration.
    pub(crate) fn named(&self, name: &ProviderName) -> Option<&Arc<Provider>> {
        self.0.iter().find(|held| held.entry.provider.name() == name)
    }
}

impl Provider {
    fn new(
        entry: config::Provider,
        shared: &HttpClient,
        secrets: &Arc<Secrets>,
    ) -> Result<Provider, StartFault> {
        let client = match &entry.ca {
            None => shared.clone(),
            Some(file) => HttpClient::trusting(file).map_err(|fault| StartFault::Provider {
                provider: entry.provider.name().as_str().to_owned(),
                fault: fault.to_string(),
            })?,
        };
        let keys = Keys::new(&entry, client.clone());
        let reviewer = Reviewer::of(&entry, &client);
        let graph = entry.graph.clone().map(|access| Graph::new(access, client, secrets.clone()));
        Ok(Provider { entry, keys: Arc::new(keys), graph, reviewer })
    }

    /// Believes an access token or says why not.
    async fn prove(&self, jwt: &Jwt<'_>, token: &str, now: u64) -> Result<Verified, ProviderFault> {
        if let Some(reviewer) = &self.reviewer {
            let review = self.entry.provider.review(token, now)?.ok_or(ProofFault::Review)?;
            let answer = reviewer.ask(review.request()).await;
            let answer = answer.map_err(|detail| self.unavailable(detail))?;
            let proof = review.answered(&answer)?;
            let unread = || self.unavailable("its API server answered with something else".into());
            return self.complete(proof.ok_or_else(unread)?, now).await;
        }
        let held = self.keys_for(jwt, now).await?;
        self.complete(self.entry.provider.prove(jwt, &held.keys, now)?, now).await
    }

    /// Believes the ID token of somebody who signed in through this client, and gives its `nonce` for the
    /// caller to compare.
    pub(crate) async fn prove_sign_in(
        &self,
        jwt: &Jwt<'_>,
        client: &str,
        now: u64,
    ) -> Result<(Verified, Option<String>), ProviderFault> {
        let profile = self.entry.provider.sign_in_profile(client);
        let profile = profile.ok_or(ProofFault::Application)?;
        let held = self.keys_for(jwt, now).await?;
        let claims = profile.verify(jwt, &held.keys, now).map_err(ProofFault::Jwt)?;
        let proof = self.entry.provider.read_sign_in(&claims)?;
        let verified = self.complete(proof, now).await?;
        Ok((verified, claims.text("nonce").map(str::to_owned)))
    }

    /// Whether addresses that are not public are allowed.
    pub(crate) fn allows_private(&self) -> bool {
        self.entry.allow_private
    }

    /// Believes an ID-JAG of this provider's for `client` of the authorization server here.
    pub(crate) async fn prove_id_jag(
        &self,
        jwt: &Jwt<'_>,
        audience: &str,
        client: &Client,
        now: u64,
    ) -> Result<(Verified, IdJag), ProviderFault> {
        let issuers = self.entry.provider.profile().issuers.clone();
        let held = self.keys_for(jwt, now).await?;
        let jag = verify_id_jag(jwt, issuers, &held.keys, audience, client, now);
        let jag = jag.map_err(ProofFault::Jwt)?;
        let proof = self.entry.provider.read_sign_in(&jag.claims)?;
        Ok((self.complete(proof, now).await?, jag))
    }

    /// What the provider says of itself, such as where people sign in.
    pub(crate) async fn about(&self, now: u64) -> Result<Discovery, ProviderFault> {
        let held = self.keys.current(None, now).await.map_err(|detail| self.unavailable(detail))?;
        let none =
            || self.unavailable("its keys are configured by themselves, without metadata".into());
        held.about.clone().ok_or_else(none)
    }

    async fn keys_for(&self, jwt: &Jwt<'_>, now: u64) -> Result<Arc<Held>, ProviderFault> {
        let kid = jwt.kid().map_err(ProofFault::Jwt)?;
        self.keys.current(Some(kid), now).await.map_err(|detail| self.unavailable(detail))
    }

    async fn complete(&self, proof: Proof, now: u64) -> Result<Verified, ProviderFault> {
        match proof {
            Proof::Caller(verified) => Ok(verified),
            Proof::WithoutGroups(missing) => {
                let graph = self.graph.as_ref().ok_or(ProofFault::Groups)?;
                let groups = graph.groups_of(missing.id(), now).await;
                let groups = groups.map_err(|detail| self.unavailable(detail))?;
                Ok(missing.found(groups.ok_or(ProofFault::Account)?.to_vec()))
            }
        }
    }

    /// Whether somebody is still in every group that Graph said they were in when they came.
    pub(crate) async fn still_in_groups(
        &self,
        caller: &Verified,
        now: u64,
    ) -> Result<bool, ProviderFault> {
        let principal = caller.principal();
        let id = principal.tenant().zip(principal.subject());
        let id = id.and_then(|(tenant, object)| identity::EntraId::new(tenant, object));
        let (Some(graph), Some(id)) = (&self.graph, id) else { return Ok(false) };
        let groups = graph.groups_of(&id, now).await.map_err(|detail| self.unavailable(detail))?;
        Ok(groups.is_some_and(|groups| principal.groups().iter().all(|one| groups.contains(one))))
    }

    fn unavailable(&self, detail: String) -> ProviderFault {
        let provider = self.entry.provider.name().as_str().to_owned();
        ProviderFault::Unavailable { provider, detail }
    }
}

/// How long one request to a provider may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);
