//! Microsoft Entra ID: tokens of versions 1 and 2, of users and of applications.

use super::{Cloud, Proof, ProofFault, bounded, listed};
use crate::jwt::{Claims, Issuer, Issuers, JwtFault, Profile, Purpose, Typ};
use crate::{Algorithm, Attributes, EntraId, ProviderName, Subject, SubjectText, Verified};

/// What is accepted from Entra.
#[derive(Clone, Debug, PartialEq)]
pub struct Entra {
    /// Which of Microsoft's clouds.
    pub cloud: Cloud,
    /// The tenants whose tokens are accepted, as GUIDs in lower case. Never all of them.
    pub tenants: Vec<String>,
    /// What `aud` may be: the application's id, and its `api://` URI for tokens of version 1.
    pub audiences: Vec<String>,
    /// The only clients (`azp`, `appid`) that are accepted; all when empty.
    pub clients: Vec<String>,
    /// How the client must have authenticated.
    pub client_proof: ClientProof,
    /// A user's token must carry one of these scopes; any when empty.
    pub scopes: Vec<String>,
    /// Whether tokens without a user are accepted. They need a role in any case.
    pub applications: bool,
    /// What to do with groups.
    pub groups: Groups,
}

/// How a client must have authenticated (`azpacr`, `appidacr`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClientProof {
    /// Not at all: a public client.
    Any,
    /// By a secret or better.
    Secret,
    /// By a certificate.
    Certificate,
}

/// What to do with groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Groups {
    /// They are not looked at.
    Ignore,
    /// As the token lists them. Whoever is in too many for a token is refused.
    Token,
    /// As the token lists them, or as Graph does where they are too many for a token.
    Overage,
    /// As Graph lists them, whatever the token says: so a lost group is noticed before the token's end.
    Graph,
}

/// A user whose groups the token does not say. What the token names as the place to ask
/// (`_claim_sources`) is not kept: it is a URL chosen by somebody else.
#[derive(Clone, Debug)]
pub struct MissingGroups {
    id: EntraId,
    attributes: Attributes,
}

impl MissingGroups {
    /// Whose groups are asked for.
    pub fn id(&self) -> &EntraId {
        &self.id
    }

    /// With the groups that Graph knows.
    pub fn found(mut self, groups: Vec<String>) -> Verified {
        self.attributes.groups = groups;
        self.attributes.groups_looked_up = true;
        Subject::EntraUser(self.id).verified(self.attributes)
    }
}

/// What differs between the versions.
struct Names {
    client: &'static str,
    proof: &'static str,
}

impl Entra {
    pub(super) fn profile(&self) -> Profile {
        let issuers = self.tenants.iter().flat_map(|tenant| {
            let v2 = self.cloud.issuer_v2(tenant);
            [self.cloud.issuer_v1(tenant), v2.clone()].map(|name| Issuer {
                name,
                tenant: Some(tenant.clone()),
                // Keys name the issuer of version 2, whichever version they sign.
                keys: v2.clone(),
            })
        });
        Profile {
            issuers: Issuers::Named(issuers.collect()),
            audiences: self.audiences.clone(),
            several_audiences: false,
            algorithms: vec![Algorithm::RS256],
            types: vec![Typ::Jwt, Typ::AccessToken],
            purpose: Purpose::Access,
        }
    }

    /// An access token.
    pub(super) fn read(
        &self,
        provider: &ProviderName,
        claims: &Claims,
    ) -> Result<Proof, ProofFault> {
        let id = id(claims)?;
        let names = self.names(claims, id.tenant())?;
        // An ID token has no such claim, so this is also what keeps those out.
        let client = claims.text(names.client).ok_or(missing(names.client))?;
        if !self.clients.is_empty() && !self.clients.iter().any(|one| one == client) {
            return Err(ProofFault::Client);
        }
        if proof(claims, names.proof).ok_or(missing(names.proof))? < self.client_proof {
            return Err(ProofFault::ClientProof);
        }
        let mut attributes = attributes(provider, claims, &id)?;
        attributes.client = Some(client.to_owned());
        match (claims.text("idtyp"), attributes.scopes.is_empty()) {
            (Some("app") | None, true) => {
                self.application(provider, claims, &id, attributes).map(Proof::Caller)
            }
            (Some("user") | None, false) => {
                let granted = |scope: &String| self.scopes.contains(scope);
                if !self.scopes.is_empty() && !attributes.scopes.iter().any(granted) {
                    return Err(ProofFault::NoGrant);
                }
                self.user(claims, id, attributes)
            }
            // A user without a scope, an application with one, or something not heard of.
            _ => Err(ProofFault::NoGrant),
        }
    }

    /// An ID token, at sign-in.
    pub(super) fn read_sign_in(
        &self,
        provider: &ProviderName,
        claims: &Claims,
    ) -> Result<Proof, ProofFault> {
        let id = id(claims)?;
        let attributes = attributes(provider, claims, &id)?;
        self.user(claims, id, attributes)
    }

    /// Version 1 and 2 tell themselves apart by `ver`, which must agree with the issuer.
    fn names(&self, claims: &Claims, tenant: &str) -> Result<Names, ProofFault> {
        let second = claims.issuer().name == self.cloud.issuer_v2(tenant);
        match (claims.text("ver"), second) {
            (Some("1.0"), false) => Ok(Names { client: "appid", proof: "appidacr" }),
            (Some("2.0"), true) => Ok(Names { client: "azp", proof: "azpacr" }),
            _ => Err(JwtFault::Claim("ver").into()),
        }
    }

    fn user(
        &self,
        claims: &Claims,
        id: EntraId,
        mut attributes: Attributes,
    ) -> Result<Proof, ProofFault> {
        let listed = match self.groups {
            Groups::Ignore => Some(Vec::new()),
            Groups::Token => Some(groups(claims).ok_or(ProofFault::Groups)?),
            Groups::Overage => groups(claims),
            Groups::Graph => None,
        };
        let Some(listed) = listed else {
            return Ok(Proof::WithoutGroups(Box::new(MissingGroups { id, attributes })));
        };
        attributes.groups = bounded(listed)?;
        Ok(Proof::Caller(Subject::EntraUser(id).verified(attributes)))
    }

    /// A token without a user. Any application of the tenant can get one, so that it means nothing unless
    /// an administrator gave that application a role.
    fn application(
        &self,
        provider: &ProviderName,
        claims: &Claims,
        id: &EntraId,
        attributes: Attributes,
    ) -> Result<Verified, ProofFault> {
        if attributes.roles.is_empty() {
            return Err(ProofFault::NoGrant);
        }
        if !self.applications {
            return Err(ProofFault::Application);
        }
        if claims.text("sub") != claims.text("oid") {
            return Err(JwtFault::Claim("sub").into());
        }
        let subject = SubjectText::new(&format!("{}/{}", id.tenant(), id.object()));
        let subject = subject.ok_or(JwtFault::Claim("sub"))?;
        Ok(Subject::Workload(provider.clone(), subject).verified(attributes))
    }
}

fn missing(claim: &'static str) -> ProofFault {
    ProofFault::Jwt(JwtFault::Claim(claim))
}

/// The tenant is the issuer's, to which the token's `tid` was compared.
fn id(claims: &Claims) -> Result<EntraId, ProofFault> {
    let tenant = claims.issuer().tenant.as_deref().ok_or(missing("tid"))?;
    claims.text("oid").and_then(|oid| EntraId::new(tenant, oid)).ok_or(missing("oid"))
}

fn attributes(
    provider: &ProviderName,
    claims: &Claims,
    id: &EntraId,
) -> Result<Attributes, ProofFault> {
    Ok(Attributes {
        tenant: Some(id.tenant().to_owned()),
        name: claims.text("name").map(str::to_owned),
        roles: listed(claims, "roles")?,
        scopes: bounded(claims.words("scp"))?,
        acr: acr(claims),
        amr: listed(claims, "amr")?,
        answers_claims: claims.texts("xms_cc").iter().any(|one| one.eq_ignore_ascii_case("cp1")),
        ..Attributes::of(provider, id.object(), claims)
    })
}

/// `None`: there are more than the token could hold.
fn groups(claims: &Claims) -> Option<Vec<String>> {
    let elsewhere = claims.get("/_claim_names/groups").is_some()
        || claims.get("hasgroups").is_some_and(|has| has != &serde_json::Value::Bool(false));
    (!elsewhere).then(|| claims.texts("groups"))
}

/// The authentication contexts that were satisfied (`acrs`), with spaces between them, or the class that
/// version 1 names.
fn acr(claims: &Claims) -> Option<String> {
    let contexts = claims.texts("acrs");
    if contexts.is_empty() {
        claims.text("acr").map(str::to_owned)
    } else {
        Some(contexts.join(" "))
    }
}

fn proof(claims: &Claims, name: &str) -> Option<ClientProof> {
    match claims.text(name)? {
        "0" => Some(ClientProof::Any),
        "1" => Some(ClientProof::Secret),
        "2" => Some(ClientProof::Certificate),
        _ => None,
    }
}
