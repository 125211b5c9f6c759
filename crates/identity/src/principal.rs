//! The caller, and the proof that it is the caller.

use std::sync::{Arc, OnceLock};

use crate::{Attributes, Grant, ProviderName, Shown, Subject, SubjectText, TokenHash, TokenRecord};

/// What made the caller known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrincipalKind {
    /// Anyone on the loopback: the loosening `[identity] loopback = "open"`.
    Loopback,
    /// Whoever runs this gateway.
    Owner,
    /// The holder of a token.
    Token,
    /// A person, by the word of an identity provider.
    User,
    /// A program, by the word of an identity provider or by its certificate.
    Workload,
}

/// The provider's name of callers that a client certificate proves: no provider can be called so.
pub const CERTIFICATES: &str = "tls";

/// A caller. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal(Arc<Facts>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Facts {
    kind: PrincipalKind,
    id: String,
    partition: Arc<str>,
    token: Option<TokenHash>,
    shown: Option<Shown>,
    attributes: Attributes,
    digest: Kept,
}

/// What was computed of a caller: says nothing that the caller's facts do not say.
#[derive(Clone, Debug, Default)]
struct Kept(OnceLock<u128>);

impl PartialEq for Kept {
    fn eq(&self, _: &Kept) -> bool {
        true
    }
}

impl Eq for Kept {}

impl Principal {
    /// What made the caller known.
    pub fn kind(&self) -> PrincipalKind {
        self.0.kind
    }

    /// For people, rules and records: `owner`, `loopback`, `token:ci`, `user:TENANT/OBJECT` (Entra),
    /// `user:PROVIDER/SUBJECT`, `workload:PROVIDER/SUBJECT`.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// What sessions, cursors and caches are bound to. Unlike [`Principal::id`], it differs
    /// between two tokens that had the same name one after the other.
    pub fn partition(&self) -> &str {
        &self.0.partition
    }

    /// The same, shared.
    pub fn shared_partition(&self) -> Arc<str> {
        self.0.partition.clone()
    }

    /// The provider's name in the configuration. None for callers that no provider vouches for.
    pub fn provider(&self) -> Option<&str> {
        self.0.attributes.provider.as_deref()
    }

    /// The tenant, where the provider has tenants.
    pub fn tenant(&self) -> Option<&str> {
        self.0.attributes.tenant.as_deref()
    }

    /// Who it is in the provider's own words: `oid` for Entra, otherwise `sub`.
    pub fn subject(&self) -> Option<&str> {
        self.0.attributes.subject.as_deref()
    }

    /// A name to show to people. Its owner or an administrator can change it at will, so no decision may
    /// rest on it.
    pub fn name(&self) -> Option<&str> {
        self.0.attributes.name.as_deref()
    }

    /// Groups, as the provider names them (object ids for Entra).
    pub fn groups(&self) -> &[String] {
        &self.0.attributes.groups
    }

    /// Roles that came with the credential: those a token was minted with, or a provider's app roles.
    pub fn roles(&self) -> &[String] {
        &self.0.attributes.roles
    }

    /// Scopes that the client was granted.
    pub fn scopes(&self) -> &[String] {
        &self.0.attributes.scopes
    }

    /// The client through which the caller comes, as the issuer names it.
    pub fn client(&self) -> Option<&str> {
        self.0.attributes.client.as_deref()
    }

    /// The authentication context class (`acr`).
    pub fn acr(&self) -> Option<&str> {
        self.0.attributes.acr.as_deref()
    }

    /// How the caller was authenticated (`amr`), such as `pwd` and `mfa`.
    pub fn amr(&self) -> &[String] {
        &self.0.attributes.amr
    }

    /// When the person last gave their credentials (`auth_time`), in seconds since 1970.
    pub fn authenticated_at(&self) -> Option<u64> {
        self.0.attributes.authenticated_at
    }

    /// What stands behind a token that the authorization server here minted.
    pub fn grant(&self) -> Option<&Grant> {
        self.0.attributes.grant.as_ref()
    }

    /// The one tool that the credential is for (`tool_id`), where it says so.
    pub fn tool(&self) -> Option<&str> {
        self.0.attributes.tool.as_deref()
    }

    /// And in which version (`tool_version`).
    pub fn tool_version(&self) -> Option<&str> {
        self.0.attributes.tool_version.as_deref()
    }

    /// The first second at which the credential is no longer valid.
    pub fn expires(&self) -> Option<u64> {
        self.0.attributes.expires
    }

    /// For whom the credential was issued: those of a token's audiences that are ours. Where one is the URL
    /// of a door, the credential is good at that door only.
    pub fn audiences(&self) -> &[String] {
        &self.0.attributes.audiences
    }

    /// Whether the groups were looked up at the provider, and not in the token: then they can be looked up
    /// again.
    pub fn groups_looked_up(&self) -> bool {
        self.0.attributes.groups_looked_up
    }

    /// The token that was minted here, by which it is found again in the store.
    pub fn token(&self) -> Option<&TokenHash> {
        self.0.token.as_ref()
    }

    /// The provider's token, where [`Verified::showing`] kept it.
    pub fn shown(&self) -> Option<&Shown> {
        self.0.shown.as_ref()
    }

    /// What `digest` says of this caller, computed once for as long as the caller is known: it must stand for nothing but
    /// what this type tells.
    pub fn digested(&self, digest: impl FnOnce() -> u128) -> u128 {
        *self.0.digest.0.get_or_init(digest)
    }

    /// Whether the client can answer a claims challenge (Entra's `xms_cc` has `cp1`).
    pub fn answers_claims_challenges(&self) -> bool {
        self.0.attributes.answers_claims
    }
}

/// A principal that authentication proved: only this crate makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified(Principal);

impl Verified {
    /// The person who started this very process and talks to it by its standard input:
    /// the operating system has proved them.
    pub fn process_owner() -> Verified {
        Verified::owner()
    }

    /// The proved caller.
    pub fn principal(&self) -> &Principal {
        &self.0
    }

    /// The same caller, with the provider's token that proved it: it must be that one.
    pub fn showing(self, token: &str) -> Verified {
        let mut facts = Arc::unwrap_or_clone(self.0.0);
        facts.shown = Some(Shown::new(token));
        Verified(Principal(Arc::new(facts)))
    }

    /// Whether it is the very same proof, and not only an equal one.
    pub fn is(&self, other: &Verified) -> bool {
        Arc::ptr_eq(&self.0.0, &other.0.0)
    }

    /// The program that a client certificate names, by a URI (SPIFFE) or a DNS name. The caller has verified
    /// the certificate against an authority of the configuration; `expires` is its end. `None` for a name
    /// that is no subject.
    pub fn certificate(name: &str, expires: u64) -> Option<Verified> {
        let subject = SubjectText::new(name)?;
        let attributes = Attributes {
            provider: Some(CERTIFICATES.to_owned()),
            subject: Some(name.to_owned()),
            expires: Some(expires),
            ..Attributes::default()
        };
        let provider = ProviderName::new(CERTIFICATES)?;
        Some(Subject::Workload(provider, subject).verified(attributes))
    }

    pub(crate) fn loopback() -> Verified {
        Verified::plain(PrincipalKind::Loopback, "loopback")
    }

    pub(crate) fn owner() -> Verified {
        Verified::plain(PrincipalKind::Owner, "owner")
    }

    pub(crate) fn token(record: &TokenRecord) -> Verified {
        let id = format!("token:{}", record.name);
        let partition = format!("{id}#{}", record.hash.short()).into();
        let attributes = Attributes {
            roles: record.roles.clone(),
            expires: record.expires,
            ..Attributes::default()
        };
        let token = Some(record.hash);
        let kind = PrincipalKind::Token;
        let (shown, digest) = (None, Kept::default());
        Verified(Principal(Arc::new(Facts {
            kind,
            id,
            partition,
            token,
            shown,
            attributes,
            digest,
        })))
    }

    /// A person of whom a provider says `attributes`.
    pub(crate) fn user(id: String, attributes: Attributes) -> Verified {
        let partition = id.as_str().into();
        Verified::of(PrincipalKind::User, id, partition, attributes)
    }

    /// A program of which a provider says `attributes`.
    pub(crate) fn workload(id: String, attributes: Attributes) -> Verified {
        let partition = id.as_str().into();
        Verified::of(PrincipalKind::Workload, id, partition, attributes)
    }

    fn plain(kind: PrincipalKind, id: &str) -> Verified {
        Verified::of(kind, id.into(), id.into(), Attributes::default())
    }

    fn of(
        kind: PrincipalKind,
        id: String,
        partition: Arc<str>,
        attributes: Attributes,
    ) -> Verified {
        Verified(Principal(Arc::new(Facts {
            kind,
            id,
            partition,
            token: None,
            shown: None,
            attributes,
            digest: Kept::default(),
        })))
    }
}
