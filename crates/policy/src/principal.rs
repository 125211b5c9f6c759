//! Who asks, and which roles that makes.

use cedar_policy::{EntityId, EntityTypeName, EntityUid};

use crate::{cache::Key, names::Names};

/// Who asks: what authentication proved, and nothing that the caller merely says.
#[derive(Clone, Copy, Debug, Default)]
pub struct PrincipalView<'a> {
    /// `owner`, `loopback`, `token:ci`, `user:{tenant}/{object}`, `workload:{provider}/{subject}`.
    pub id: &'a str,
    /// The identity provider's name in the configuration.
    pub provider: &'a str,
    /// The tenant that the provider names.
    pub tenant: &'a str,
    /// The provider's own id of the caller.
    pub subject: &'a str,
    /// The OAuth client that the credential was issued to.
    pub client: &'a str,
    /// Groups by their ids.
    pub groups: &'a [String],
    /// Roles of the credential. Unknown names grant nothing.
    pub roles: &'a [String],
    /// OAuth scopes of the credential.
    pub scopes: &'a [String],
    /// How the user was authenticated (`acr`).
    pub acr: &'a str,
    /// By which methods (`amr`).
    pub amr: &'a [String],
    /// When, in seconds since 1970.
    pub authenticated_at: Option<u64>,
    /// What [`PrincipalView::digest`] said of the very same view, where that was kept: a caller may be in
    /// hundreds of groups. Whoever changes another field takes this away.
    pub digest: Option<u128>,
}

/// What made a caller known; the type of a principal in Cedar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum PrincipalType {
    Loopback,
    Owner,
    Token,
    User,
    Workload,
}

impl PrincipalType {
    pub(crate) const ALL: [PrincipalType; 5] = [
        PrincipalType::Loopback,
        PrincipalType::Owner,
        PrincipalType::Token,
        PrincipalType::User,
        PrincipalType::Workload,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            PrincipalType::Loopback => "Loopback",
            PrincipalType::Owner => "Owner",
            PrincipalType::Token => "Token",
            PrincipalType::User => "User",
            PrincipalType::Workload => "Workload",
        }
    }
}

impl std::hash::Hash for PrincipalView<'_> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.digest().hash(state);
    }
}

impl PrincipalView<'_> {
    /// Stands for all of a caller that a decision without circumstances depends on, as long as this process runs.
    pub fn digest(&self) -> u128 {
        if let Some(digest) = self.digest {
            return digest;
        }
        // Whoever adds a member decides here whether it is one of those.
        let PrincipalView {
            id,
            provider,
            tenant,
            subject,
            client,
            groups,
            roles,
            scopes,
            acr: _,
            amr: _,
            authenticated_at: _,
            digest: _,
        } = *self;
        Key::of(&((id, provider, tenant, subject, client), (groups, roles, scopes))).number()
    }

    pub(crate) fn kind(&self) -> PrincipalType {
        match self.id.split_once(':').map_or(self.id, |(kind, _)| kind) {
            "loopback" => PrincipalType::Loopback,
            "owner" => PrincipalType::Owner,
            "token" => PrincipalType::Token,
            "workload" => PrincipalType::Workload,
            _ => PrincipalType::User,
        }
    }
}

/// One line of a role's `members`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Member {
    /// Signed in through this OAuth client.
    Client(String),
    /// In this group.
    Group(String),
    /// `owner`, `loopback`, `token:…`, `user:…`, `workload:…`: exactly this id.
    Id(String),
    /// With this role of the credential.
    Role(String),
    /// With this scope.
    Scope(String),
    /// Of this tenant.
    Tenant(String),
}

/// Why a text is not a member.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a member")]
pub struct MemberFault(pub String);

impl Member {
    /// Whether a caller is meant.
    pub fn covers(&self, view: &PrincipalView<'_>) -> bool {
        match self {
            Member::Client(client) => view.client == client,
            Member::Group(group) => view.groups.contains(group),
            Member::Id(id) => view.id == id,
            Member::Role(role) => view.roles.contains(role),
            Member::Scope(scope) => view.scopes.contains(scope),
            Member::Tenant(tenant) => view.tenant == tenant,
        }
    }
}

impl std::str::FromStr for Member {
    type Err = MemberFault;

    fn from_str(text: &str) -> Result<Member, MemberFault> {
        let fault = || MemberFault(text.to_owned());
        if matches!(text, "owner" | "loopback") {
            return Ok(Member::Id(text.to_owned()));
        }
        let (kind, value) = text.split_once(':').ok_or_else(fault)?;
        if value.is_empty() || value.len() > 512 || value.chars().any(char::is_whitespace) {
            return Err(fault());
        }
        let owned = value.to_owned();
        Ok(match kind {
            "client" => Member::Client(owned),
            "group" => Member::Group(owned),
            "role" => Member::Role(owned),
            "scope" => Member::Scope(owned),
            "tenant" => Member::Tenant(owned),
            "token" | "user" | "workload" => Member::Id(text.to_owned()),
            _ => return Err(fault()),
        })
    }
}

impl std::fmt::Display for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Member::Client(value) => write!(f, "client:{value}"),
            Member::Group(value) => write!(f, "group:{value}"),
            Member::Id(value) => f.write_str(value),
            Member::Role(value) => write!(f, "role:{value}"),
            Member::Scope(value) => write!(f, "scope:{value}"),
            Member::Tenant(value) => write!(f, "tenant:{value}"),
        }
    }
}

/// Which roles a caller has.
#[derive(Debug, Default)]
pub(crate) struct Membership {
    roles: Vec<(String, Vec<Member>)>,
}

/// The built-in role that allows everything.
pub(crate) const ALL: &str = "all";

impl Membership {
    pub(crate) fn add(&mut self, role: &str, members: Vec<Member>) {
        self.roles.push((role.to_owned(), members));
    }

    pub(crate) fn members(&self, role: &str) -> &[Member] {
        let found = self.roles.iter().find(|(name, _)| name == role);
        found.map_or(&[], |(_, members)| members)
    }

    /// The scopes that some role has as members.
    pub(crate) fn scopes(&self) -> impl Iterator<Item = String> + '_ {
        let members = self.roles.iter().flat_map(|(_, members)| members);
        members.filter_map(|member| match member {
            Member::Scope(scope) => Some(scope.clone()),
            _ => None,
        })
    }

    /// A caller's roles, those of the credential first.
    ///
    /// The built-in role `all` comes with tokens minted here alone: an identity provider in which
    /// somebody may name a role `all` does not hand out everything.
    pub(crate) fn roles_of(&self, view: &PrincipalView<'_>) -> Vec<String> {
        let is_token = view.kind() == PrincipalType::Token;
        let mut roles: Vec<String> = view.roles.to_vec();
        roles.retain(|role| role != ALL || is_token);
        for (role, members) in &self.roles {
            if !roles.contains(role) && members.iter().any(|member| member.covers(view)) {
                roles.push(role.clone());
            }
        }
        roles
    }

    /// What the caller is in, as Cedar sees it: roles, groups, tenant, client.
    pub(crate) fn parents(&self, view: &PrincipalView<'_>, names: &Names) -> Vec<EntityUid> {
        let roles = self.roles_of(view);
        let mut parents: Vec<EntityUid> = roles.iter().map(|role| uid(&names.role, role)).collect();
        parents.extend(view.groups.iter().map(|group| uid(&names.group, group)));
        for (name, value) in [(&names.tenant, view.tenant), (&names.client, view.client)] {
            if !value.is_empty() {
                parents.push(uid(name, value));
            }
        }
        parents
    }
}

pub(crate) fn uid(name: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(name.clone(), EntityId::new(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_tells_callers_apart_and_not_their_circumstances() {
        let (a, b) = (["a".to_owned()], ["b".to_owned()]);
        let view = PrincipalView { id: "user:t/o", groups: &a, roles: &b, ..Default::default() };
        let others = [
            PrincipalView { id: "user:t/p", ..view },
            PrincipalView { provider: "x", ..view },
            PrincipalView { tenant: "x", ..view },
            PrincipalView { subject: "x", ..view },
            PrincipalView { client: "x", ..view },
            PrincipalView { groups: &b, roles: &a, ..view },
            PrincipalView { groups: &[], ..view },
            PrincipalView { scopes: &a, ..view },
        ];
        let mut digests: Vec<u128> =
            others.iter().chain([&view]).map(PrincipalView::digest).collect();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), others.len() + 1);
        let elsewhere = PrincipalView { acr: "x", amr: &a, authenticated_at: Some(1), ..view };
        assert_eq!(elsewhere.digest(), view.digest());
        let kept = PrincipalView { digest: Some(view.digest()), ..view };
        assert_eq!(Key::of(&kept), Key::of(&view));
    }
}
