//! Who somebody is at an identity provider.

use crate::{Attributes, Verified};

/// A provider's name in the configuration: 1 to 32 of `a-z0-9-`, a letter first. Too short to be mistaken
/// for a tenant's GUID in a principal's id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProviderName(String);

impl ProviderName {
    /// Checks and keeps.
    pub fn new(name: &str) -> Option<ProviderName> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        (first && name.len() <= 32 && name.bytes().all(plain)).then(|| ProviderName(name.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Who it is, in the words of its provider. The only way to a principal's id, so that no two providers
/// can name the same one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A person in Entra: a tenant's id and the object's id, both GUIDs.
    EntraUser(EntraId),
    /// A person at another provider.
    User(ProviderName, SubjectText),
    /// A program at any provider.
    Workload(ProviderName, SubjectText),
}

/// `tid` and `oid`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntraId {
    tenant: String,
    object: String,
}

impl EntraId {
    /// Both must be GUIDs.
    pub fn new(tenant: &str, object: &str) -> Option<EntraId> {
        (is_guid(tenant) && is_guid(object)).then(|| EntraId {
            tenant: tenant.to_ascii_lowercase(),
            object: object.to_ascii_lowercase(),
        })
    }

    /// The tenant.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The object.
    pub fn object(&self) -> &str {
        &self.object
    }
}

/// A subject's name at its provider: 1 to 255 characters, none of them a control character or space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectText(String);

impl SubjectText {
    /// Checks and keeps.
    pub fn new(text: &str) -> Option<SubjectText> {
        let plain = |c: char| !c.is_control() && !c.is_whitespace();
        let fits = (1..=255).contains(&text.chars().count()) && text.chars().all(plain);
        fits.then(|| SubjectText(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Subject {
    /// From a principal's id as [`std::fmt::Display`] writes it. The forms do not overlap: a provider's name
    /// is never a GUID.
    pub fn parse(id: &str) -> Option<Subject> {
        let (kind, rest) = id.split_once(':')?;
        let (first, second) = rest.split_once('/')?;
        let named = || Some((ProviderName::new(first)?, SubjectText::new(second)?));
        match kind {
            "user" if is_guid(first) => EntraId::new(first, second).map(Subject::EntraUser),
            "user" => named().map(|(provider, subject)| Subject::User(provider, subject)),
            "workload" => named().map(|(provider, subject)| Subject::Workload(provider, subject)),
            _ => None,
        }
    }

    /// The principal, of whom its provider said `attributes`.
    pub(crate) fn verified(self, mut attributes: Attributes) -> Verified {
        // This role is built in: it allows everything, and is nobody's to give but the operator's.
        attributes.roles.retain(|role| role != "all");
        let id = self.to_string();
        match self {
            Subject::EntraUser(_) | Subject::User(..) => Verified::user(id, attributes),
            Subject::Workload(..) => Verified::workload(id, attributes),
        }
    }
}

/// The principal's id.
impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Subject::EntraUser(EntraId { tenant, object }) => write!(f, "user:{tenant}/{object}"),
            Subject::User(provider, subject) => {
                write!(f, "user:{}/{}", provider.as_str(), subject.as_str())
            }
            Subject::Workload(provider, subject) => {
                write!(f, "workload:{}/{}", provider.as_str(), subject.as_str())
            }
        }
    }
}

/// Whether a text is a GUID in its usual form.
pub fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: &str = "11111111-2222-3333-4444-555555555555";

    #[test]
    fn ids_are_read_back_and_never_mistaken_for_another_kind() {
        for id in [
            format!("user:{TENANT}/{TENANT}"),
            "user:corp/alice".into(),
            "user:corp/a/b".into(),
            "workload:k8s/system:serviceaccount:ns:name".into(),
            "workload:mesh/spiffe://example.org/ns/a".into(),
        ] {
            assert_eq!(Subject::parse(&id).unwrap().to_string(), id);
        }
        for id in [
            "owner",
            "token:ci",
            "user:corp",
            "user:corp/",
            "user:Corp/a",
            "user:/a",
            "user:corp/a b",
        ] {
            assert!(Subject::parse(id).is_none(), "{id}");
        }
        assert!(Subject::parse(&format!("user:{TENANT}/alice")).is_none());
        assert!(ProviderName::new(TENANT).is_none());
    }

    #[test]
    fn the_built_in_role_is_not_a_providers_to_give() {
        let attributes =
            Attributes { roles: vec!["all".into(), "dev".into()], ..Attributes::default() };
        let caller = Subject::parse("user:corp/alice").unwrap().verified(attributes);
        assert_eq!(caller.principal().roles(), ["dev"]);
    }
}
