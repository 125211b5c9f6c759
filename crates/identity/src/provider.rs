//! Identity providers: whose tokens are believed, and what they say of the caller.

mod cloud;
mod entra;
mod kubernetes;
mod oidc;
mod spiffe;

pub use cloud::Cloud;
pub use entra::{ClientProof, Entra, Groups, MissingGroups};
pub use kubernetes::Kubernetes;
pub use oidc::{Callers, ClaimNames, Oidc};
pub use spiffe::{Spiffe, is_spiffe_id, is_trust_domain};

use crate::jwks::{Jwks, KeyUse};
use crate::jwt::{Claims, Jwt, JwtFault, Profile, Purpose, Typ};
use crate::{ProviderName, Verified};

/// One configured provider.
#[derive(Clone, Debug, PartialEq)]
pub struct Provider {
    name: ProviderName,
    kind: Kind,
    profile: Profile,
}

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Entra(Entra),
    Oidc(Oidc),
    Kubernetes(Kubernetes),
    Spiffe,
}

/// What a good token proves.
#[derive(Clone, Debug)]
pub enum Proof {
    /// Who is calling.
    Caller(Verified),
    /// The same, but for the groups, of which there were too many for the token.
    WithoutGroups(Box<MissingGroups>),
}

/// Why a good token lets nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofFault {
    /// The token itself.
    #[error(transparent)]
    Jwt(#[from] JwtFault),
    /// Another client than those configured.
    #[error("the token was issued to a client that is not accepted here")]
    Client,
    /// The client did not prove itself as strongly as configured.
    #[error("the token's client did not authenticate strongly enough")]
    ClientProof,
    /// Neither a scope nor a role, or none of those configured.
    #[error("the token carries neither a scope nor a role of this application")]
    NoGrant,
    /// Groups that could not be found out.
    #[error("the caller's groups are not known")]
    Groups,
    /// An account that is disabled or gone.
    #[error("the caller's account is disabled or gone")]
    Account,
    /// The issuer was asked, and does not vouch for it.
    #[error("the token's issuer does not vouch for it")]
    Review,
    /// A program's token where only people are let in.
    #[error("tokens of applications are not accepted here")]
    Application,
}

impl ProofFault {
    /// A stable code for the audit record.
    pub fn code(self) -> &'static str {
        match self {
            ProofFault::Jwt(fault) => fault.code(),
            ProofFault::Account => "token_account",
            ProofFault::Client => "token_client",
            ProofFault::ClientProof => "token_client_proof",
            ProofFault::NoGrant => "token_no_grant",
            ProofFault::Groups => "token_groups",
            ProofFault::Application => "token_application",
            ProofFault::Review => "token_review",
        }
    }
}

/// A token that its issuer has to be asked about.
pub struct Review {
    request: String,
    claims: Claims,
    proof: Proof,
}

impl Review {
    /// The body of the request. It holds the token.
    pub fn request(&self) -> &str {
        &self.request
    }

    /// Believes the token if the answer vouches for it. `Ok(None)`: it is no answer.
    pub fn answered(self, answer: &[u8]) -> Result<Option<Proof>, ProofFault> {
        match Kubernetes::vouches(answer, &self.claims) {
            Some(true) => Ok(Some(self.proof)),
            Some(false) => Err(ProofFault::Review),
            None => Ok(None),
        }
    }
}

impl Provider {
    /// Microsoft Entra ID.
    pub fn entra(name: ProviderName, entra: Entra) -> Provider {
        Provider { name, profile: entra.profile(), kind: Kind::Entra(entra) }
    }

    /// Any provider of OpenID Connect, or of JWT access tokens.
    pub fn oidc(name: ProviderName, oidc: Oidc) -> Provider {
        Provider { name, profile: oidc.profile(), kind: Kind::Oidc(oidc) }
    }

    /// A Kubernetes cluster's service accounts.
    pub fn kubernetes(name: ProviderName, kubernetes: Kubernetes) -> Provider {
        Provider { name, profile: kubernetes.profile(), kind: Kind::Kubernetes(kubernetes) }
    }

    /// A SPIFFE trust domain.
    pub fn spiffe(name: ProviderName, spiffe: Spiffe) -> Provider {
        Provider { name, profile: spiffe.profile(), kind: Kind::Spiffe }
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &ProviderName {
        &self.name
    }

    /// What its access tokens must be.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// What its keys say they are for.
    pub fn key_use(&self) -> KeyUse {
        match self.kind {
            Kind::Spiffe => KeyUse::JwtSvid,
            Kind::Entra(_) | Kind::Oidc(_) | Kind::Kubernetes(_) => KeyUse::Signature,
        }
    }

    /// Whether a token claims to be this provider's.
    pub fn is_claimed_by(&self, jwt: &Jwt<'_>) -> bool {
        self.profile.issuer_of(jwt).is_ok()
    }

    /// Believes a token or says why not.
    pub fn prove(&self, jwt: &Jwt<'_>, keys: &Jwks, now: u64) -> Result<Proof, ProofFault> {
        self.read(&self.profile.verify(jwt, keys, now)?)
    }

    /// What an access token's verified claims say of the caller.
    pub fn read(&self, claims: &Claims) -> Result<Proof, ProofFault> {
        match &self.kind {
            Kind::Entra(entra) => entra.read(&self.name, claims),
            Kind::Oidc(oidc) => oidc.read(&self.name, claims).map(Proof::Caller),
            Kind::Kubernetes(kubernetes) => kubernetes.read(&self.name, claims).map(Proof::Caller),
            Kind::Spiffe => spiffe::read(&self.name, claims).map(Proof::Caller),
        }
    }

    /// What the issuer's API server is to be asked about a token that is good but for its signature, which nobody has looked at.
    /// `None` for a provider that can't be asked.
    pub fn review(&self, token: &str, now: u64) -> Result<Option<Review>, ProofFault> {
        let Kind::Kubernetes(kubernetes) = &self.kind else { return Ok(None) };
        let claims = self.profile.examine(&Jwt::read(token)?, now)?;
        // What would be refused anyhow is not asked about.
        let proof = Proof::Caller(kubernetes.read(&self.name, &claims)?);
        Ok(Some(Review { request: Kubernetes::review(token, &claims), claims, proof }))
    }

    /// What its ID tokens must be, for people who sign in through this client. `None` where nobody signs in.
    pub fn sign_in_profile(&self, client: &str) -> Option<Profile> {
        matches!(self.kind, Kind::Entra(_) | Kind::Oidc(_)).then(|| Profile {
            audiences: vec![client.to_owned()],
            several_audiences: false,
            types: vec![Typ::Jwt, Typ::Absent],
            purpose: Purpose::SignIn,
            ..self.profile.clone()
        })
    }

    /// What an ID token's verified claims say of the person who signed in. The nonce is the caller's to
    /// compare.
    pub fn read_sign_in(&self, claims: &Claims) -> Result<Proof, ProofFault> {
        match &self.kind {
            Kind::Entra(entra) => entra.read_sign_in(&self.name, claims),
            Kind::Oidc(oidc) => oidc.read_sign_in(&self.name, claims).map(Proof::Caller),
            Kind::Kubernetes(_) | Kind::Spiffe => Err(ProofFault::Application),
        }
    }
}

/// The most groups, roles or scopes that a token may carry.
const MANY: usize = 512;

/// The texts of a claim, which must not be more than anybody reads.
fn listed(claims: &Claims, name: &str) -> Result<Vec<String>, ProofFault> {
    bounded(claims.texts(name))
}

fn bounded(texts: Vec<String>) -> Result<Vec<String>, ProofFault> {
    if texts.len() > MANY { Err(JwtFault::TooLong.into()) } else { Ok(texts) }
}
