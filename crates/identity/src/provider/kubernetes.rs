//! Kubernetes: tokens of service accounts, as the API server projects them into pods.

use serde::Deserialize;
use serde_json::json;

use super::ProofFault;
use crate::jwt::{Claims, Issuer, Issuers, JwtFault, Profile, Purpose, Typ};
use crate::{Algorithm, Attributes, ProviderName, Subject, SubjectText, Verified};

/// What the API server answers (`TokenReview` of `authentication.k8s.io/v1`), as far as it is believed.
#[derive(Deserialize)]
struct Answer {
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    authenticated: bool,
    user: User,
    audiences: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct User {
    username: String,
}

/// What is accepted from a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Kubernetes {
    /// The API server's `--service-account-issuer`.
    pub issuer: String,
    /// What `aud` may be: what the pod's `serviceAccountToken` volume asks for.
    pub audiences: Vec<String>,
    /// The only namespaces whose accounts are accepted; all when empty.
    pub namespaces: Vec<String>,
}

impl Kubernetes {
    pub(super) fn profile(&self) -> Profile {
        Profile {
            issuers: Issuers::Named(vec![Issuer::plain(&self.issuer)]),
            audiences: self.audiences.clone(),
            several_audiences: false,
            algorithms: vec![Algorithm::RS256, Algorithm::ES256, Algorithm::ES384],
            types: vec![Typ::Absent, Typ::Jwt],
            purpose: Purpose::Access,
        }
    }

    /// What the API server is asked about a token, as the body of a `TokenReview`.
    pub(super) fn review(token: &str, claims: &Claims) -> String {
        json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": claims.audiences()},
        })
        .to_string()
    }

    /// Whether its answer vouches for the token: for whom the token says, and for us. A server that knows of no audiences names none.
    /// `None`: it is no answer.
    pub(super) fn vouches(answer: &[u8], claims: &Claims) -> Option<bool> {
        let Answer { status } = serde_json::from_slice(answer).ok()?;
        let for_us = claims.audiences().iter().any(|one| status.audiences.contains(one));
        let who = claims.text("sub");
        Some(status.authenticated && for_us && who == Some(&*status.user.username))
    }

    /// The subject must be what the claim `kubernetes.io` says in detail. That also keeps out the older
    /// tokens that lie in secrets and never end: they have no such claim.
    pub(super) fn read(
        &self,
        provider: &ProviderName,
        claims: &Claims,
    ) -> Result<Verified, ProofFault> {
        let missing = ProofFault::Jwt(JwtFault::Claim("kubernetes.io"));
        let namespace = claims.text("/kubernetes.io/namespace").ok_or(missing)?;
        let account = claims.text("/kubernetes.io/serviceaccount/name").ok_or(missing)?;
        let expected = format!("system:serviceaccount:{namespace}:{account}");
        let subject = claims.text("sub").filter(|sub| *sub == expected).and_then(SubjectText::new);
        let subject = subject.ok_or(JwtFault::Claim("sub"))?;
        if !self.namespaces.is_empty() && !self.namespaces.iter().any(|one| one == namespace) {
            return Err(ProofFault::Client);
        }
        let attributes = Attributes {
            tenant: Some(namespace.to_owned()),
            groups: vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{namespace}"),
            ],
            ..Attributes::of(provider, subject.as_str(), claims)
        };
        Ok(Subject::Workload(provider.clone(), subject).verified(attributes))
    }
}
