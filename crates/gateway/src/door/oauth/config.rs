//! How people sign in: what `[sign-in]` says, resolved.

use std::time::Duration;

use identity::{
    ProviderName,
    broker::{Client, Scopes},
};

use crate::exchange::ClientProof;

/// The authorization server in front of an identity provider.
#[derive(Clone, Debug, PartialEq)]
pub struct SignIn {
    /// The provider in `[identity.providers]` at which people sign in.
    pub provider: ProviderName,
    /// Where clients reach this gateway, without a path or a final slash: the issuer.
    pub public_url: String,
    /// What this gateway is called at the provider.
    pub client_id: String,
    /// How it proves itself to the provider.
    pub proof: ClientProof,
    /// The scopes that it asks the provider for.
    pub provider_scopes: Scopes,
    /// The scopes that clients may have.
    pub scopes: Scopes,
    /// Those of them that clients are told to begin with.
    pub initial_scopes: Scopes,
    /// How long an access token is valid.
    pub access_token: Duration,
    /// How long a session lives without being used.
    pub idle: Duration,
    /// How long a session lives at most.
    pub session: Duration,
    /// How long a consent is remembered.
    pub consent: Duration,
    /// Whose client ID metadata documents are read.
    pub documents: Documents,
    /// The named loosening: documents may be fetched from addresses that are not public.
    pub documents_private: bool,
    /// Whether clients may register themselves, and how many.
    pub registration: Option<Registration>,
    /// Whether every token must be bound to a key of its client's.
    pub dpop_required: bool,
    /// Whether the provider's ID-JAGs let somebody in.
    pub id_jag: bool,
    /// The clients that the operator vouches for.
    pub clients: Vec<Client>,
}

/// Whose client ID metadata documents are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Documents {
    /// Nobody's.
    None,
    /// Everybody's.
    Any,
    /// Those of these hosts and of what is below them.
    Domains(Vec<String>),
}

impl Documents {
    /// Whether a document of this host is read.
    pub fn trusts(&self, host: &str) -> bool {
        match self {
            Documents::None => false,
            Documents::Any => true,
            Documents::Domains(domains) => domains.iter().any(|domain| {
                host.strip_suffix(domain.as_str())
                    .is_some_and(|below| below.is_empty() || below.ends_with('.'))
            }),
        }
    }
}

/// Clients that register themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration {
    /// How many there may be.
    pub limit: u32,
    /// How many may register in an hour.
    pub hourly: u32,
    /// One through which nobody signed in for so long makes room.
    pub unused: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_covers_what_is_below_it_and_nothing_beside_it() {
        let documents = Documents::Domains(vec!["example.com".into()]);
        assert!(documents.trusts("example.com") && documents.trusts("a.example.com"));
        assert!(!documents.trusts("badexample.com") && !documents.trusts("example.com.evil.org"));
        assert!(Documents::Any.trusts("x") && !Documents::None.trusts("x"));
    }
}
