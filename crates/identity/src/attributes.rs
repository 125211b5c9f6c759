//! What an identity provider says of somebody.

use crate::ProviderName;
use crate::jwt::Claims;

/// What is known of a caller beside who it is. Empty where nobody said anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is documented at its getter in `Principal`")]
pub struct Attributes {
    pub provider: Option<String>,
    pub tenant: Option<String>,
    pub subject: Option<String>,
    pub name: Option<String>,
    pub groups: Vec<String>,
    pub roles: Vec<String>,
    pub scopes: Vec<String>,
    pub client: Option<String>,
    pub acr: Option<String>,
    pub amr: Vec<String>,
    pub authenticated_at: Option<u64>,
    pub expires: Option<u64>,
    pub audiences: Vec<String>,
    pub answers_claims: bool,
    pub groups_looked_up: bool,
    pub grant: Option<Grant>,
    pub tool: Option<String>,
    pub tool_version: Option<String>,
}

/// What stands behind an access token that the authorization server here minted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The session, whose end ends the token.
    pub session: String,
    /// Which state of its person it speaks of: when that changes, the token ends.
    pub epoch: u64,
    /// The thumbprint of the key that must be shown with it (`cnf.jkt`).
    pub key: Option<String>,
}

impl Attributes {
    /// What every token says.
    pub(crate) fn of(provider: &ProviderName, subject: &str, claims: &Claims) -> Attributes {
        Attributes {
            provider: Some(provider.as_str().to_owned()),
            subject: Some(subject.to_owned()),
            authenticated_at: claims.time("auth_time"),
            expires: Some(claims.expires()),
            audiences: claims.audiences().to_vec(),
            tool: claims.text("tool_id").map(str::to_owned),
            tool_version: claims.text("tool_version").map(str::to_owned),
            ..Attributes::default()
        }
    }
}
