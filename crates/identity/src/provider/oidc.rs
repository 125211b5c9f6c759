//! Any provider that signs access tokens (RFC 9068), with the names it gives to its claims.

use super::{ProofFault, bounded, listed};
use crate::jwt::{Claims, Issuer, Issuers, JwtFault, Profile, Purpose, Typ};
use crate::{Algorithm, Attributes, ProviderName, Subject, SubjectText, Verified};

/// What is accepted from a provider.
#[derive(Clone, Debug, PartialEq)]
pub struct Oidc {
    /// Exactly as in `iss`.
    pub issuer: String,
    /// What `aud` may be.
    pub audiences: Vec<String>,
    /// Whether `aud` may name others beside us.
    pub several_audiences: bool,
    /// What its keys may sign with.
    pub algorithms: Vec<Algorithm>,
    /// The only clients that are accepted; all when empty.
    pub clients: Vec<String>,
    /// Where its tokens say what.
    pub claims: ClaimNames,
    /// Who its subjects are.
    pub callers: Callers,
}

/// Where tokens say what: a claim's name, or a JSON Pointer (RFC 6901) into nested ones.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is a member of `Attributes`")]
pub struct ClaimNames {
    pub subject: String,
    pub name: String,
    pub groups: String,
    pub roles: String,
    pub scopes: String,
    pub client: String,
    pub tenant: Option<String>,
}

impl Default for ClaimNames {
    fn default() -> Self {
        ClaimNames {
            subject: "sub".into(),
            name: "name".into(),
            groups: "groups".into(),
            roles: "roles".into(),
            scopes: "scope".into(),
            client: "client_id".into(),
            tenant: None,
        }
    }
}

/// Who a provider's subjects are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callers {
    /// People, but for a subject that is its own client (RFC 9068 §2.2).
    UsersAndClients,
    /// People only: a subject that is its own client is refused.
    Users,
    /// Programs only, as for a build service's tokens.
    Workloads,
}

impl Oidc {
    pub(super) fn profile(&self) -> Profile {
        Profile {
            issuers: Issuers::Named(vec![Issuer::plain(&self.issuer)]),
            audiences: self.audiences.clone(),
            several_audiences: self.several_audiences,
            algorithms: self.algorithms.clone(),
            types: vec![Typ::AccessToken, Typ::Jwt],
            purpose: Purpose::Access,
        }
    }

    /// An access token.
    pub(super) fn read(
        &self,
        provider: &ProviderName,
        claims: &Claims,
    ) -> Result<Verified, ProofFault> {
        let client = claims.text(&self.claims.client).or_else(|| claims.text("azp"));
        if !self.clients.is_empty()
            && !client.is_some_and(|client| self.clients.iter().any(|one| one == client))
        {
            return Err(ProofFault::Client);
        }
        let (subject, mut attributes) = self.subject(provider, claims)?;
        attributes.client = client.map(str::to_owned);
        let itself = client == Some(subject.as_str());
        let subject = match self.callers {
            Callers::Users if itself => return Err(ProofFault::Application),
            Callers::Workloads => Subject::Workload(provider.clone(), subject),
            Callers::UsersAndClients if itself => Subject::Workload(provider.clone(), subject),
            Callers::Users | Callers::UsersAndClients => Subject::User(provider.clone(), subject),
        };
        Ok(subject.verified(attributes))
    }

    /// An ID token, at sign-in.
    pub(super) fn read_sign_in(
        &self,
        provider: &ProviderName,
        claims: &Claims,
    ) -> Result<Verified, ProofFault> {
        let (subject, attributes) = self.subject(provider, claims)?;
        Ok(Subject::User(provider.clone(), subject).verified(attributes))
    }

    fn subject(
        &self,
        provider: &ProviderName,
        claims: &Claims,
    ) -> Result<(SubjectText, Attributes), ProofFault> {
        let names = &self.claims;
        let subject = claims.text(&names.subject).and_then(SubjectText::new);
        let subject = subject.ok_or(JwtFault::Claim("sub"))?;
        let tenant = match &names.tenant {
            None => None,
            Some(name) => Some(claims.text(name).ok_or(JwtFault::Claim("tenant"))?.to_owned()),
        };
        let attributes = Attributes {
            tenant,
            name: claims.text(&names.name).map(str::to_owned),
            groups: listed(claims, &names.groups)?,
            roles: listed(claims, &names.roles)?,
            scopes: bounded(claims.words(&names.scopes))?,
            acr: claims.text("acr").map(str::to_owned),
            amr: listed(claims, "amr")?,
            ..Attributes::of(provider, subject.as_str(), claims)
        };
        Ok((subject, attributes))
    }
}
