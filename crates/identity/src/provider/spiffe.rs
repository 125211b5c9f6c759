//! SPIFFE: JWT-SVIDs of one trust domain.

use super::ProofFault;
use crate::jwt::{Claims, Issuer, Issuers, JwtFault, Profile, Purpose, Typ};
use crate::{Algorithm, Attributes, ProviderName, Subject, SubjectText, Verified};

/// What is accepted from a trust domain.
#[derive(Clone, Debug, PartialEq)]
pub struct Spiffe {
    /// Its name, such as `prod.example.org`.
    pub trust_domain: String,
    /// What `aud` may be.
    pub audiences: Vec<String>,
}

impl Spiffe {
    pub(super) fn profile(&self) -> Profile {
        let domain = format!("spiffe://{}", self.trust_domain);
        Profile {
            issuers: Issuers::TrustDomain(Issuer::plain(&domain)),
            audiences: self.audiences.clone(),
            several_audiences: false,
            algorithms: vec![
                Algorithm::RS256,
                Algorithm::RS384,
                Algorithm::RS512,
                Algorithm::ES256,
                Algorithm::ES384,
                Algorithm::PS256,
                Algorithm::PS384,
                Algorithm::PS512,
            ],
            types: vec![Typ::Absent, Typ::Jwt, Typ::Jose],
            purpose: Purpose::Access,
        }
    }
}

pub(super) fn read(provider: &ProviderName, claims: &Claims) -> Result<Verified, ProofFault> {
    let subject = claims.text("sub").filter(|sub| is_spiffe_id(sub)).and_then(SubjectText::new);
    let subject = subject.ok_or(JwtFault::Claim("sub"))?;
    let attributes = Attributes::of(provider, subject.as_str(), claims);
    Ok(Subject::Workload(provider.clone(), subject).verified(attributes))
}

/// SPIFFE-ID §2: a trust domain and a path of plain segments, nothing else.
pub fn is_spiffe_id(text: &str) -> bool {
    let Some((domain, path)) = text.strip_prefix("spiffe://").and_then(|rest| rest.split_once('/'))
    else {
        return false;
    };
    let segment = |segment: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(plain)
    };
    text.len() <= 2048 && is_trust_domain(domain) && path.split('/').all(segment)
}

/// Lower case letters, digits, dots, dashes and underscores.
pub fn is_trust_domain(text: &str) -> bool {
    let plain = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-')
    };
    (1..=255).contains(&text.len()) && text.bytes().all(plain)
}
