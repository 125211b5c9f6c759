//! The names of Cedar's side, parsed once.

use cedar_policy::{EntityTypeName, EntityUid};

use crate::{
    Kind,
    action::Operation,
    principal::{PrincipalType, uid},
};

#[derive(Debug)]
pub(crate) struct Names {
    pub role: EntityTypeName,
    pub group: EntityTypeName,
    pub tenant: EntityTypeName,
    pub client: EntityTypeName,
    pub server: EntityTypeName,
    pub texts: EntityTypeName,
    pub numbers: EntityTypeName,
    pub flags: EntityTypeName,
    principals: Vec<(PrincipalType, EntityTypeName)>,
    resources: Vec<(Kind, EntityTypeName)>,
    actions: Vec<(Operation, EntityUid)>,
}

/// A name of this crate's own that is none. It can't happen; a test shows it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0} is not a name in Cedar")]
pub struct NameFault(String);

impl Names {
    pub(crate) fn new() -> Result<Names, NameFault> {
        let action = name("Action")?;
        let mut principals = Vec::new();
        for kind in PrincipalType::ALL {
            principals.push((kind, name(kind.as_str())?));
        }
        let mut resources = Vec::new();
        for kind in [Kind::Method, Kind::Model, Kind::Prompt, Kind::Resource, Kind::Tool] {
            resources.push((kind, name(kind.type_name())?));
        }
        Ok(Names {
            role: name("Role")?,
            group: name("Group")?,
            tenant: name("Tenant")?,
            client: name("Client")?,
            server: name("Server")?,
            texts: name("Texts")?,
            numbers: name("Numbers")?,
            flags: name("Flags")?,
            actions: Operation::ALL.map(|own| (own, uid(&action, own.as_str()))).to_vec(),
            principals,
            resources,
        })
    }

    pub(crate) fn principal(&self, kind: PrincipalType) -> &EntityTypeName {
        find(&self.principals, kind, &self.role)
    }

    pub(crate) fn resource(&self, kind: Kind) -> &EntityTypeName {
        find(&self.resources, kind, &self.server)
    }

    pub(crate) fn action(&self, operation: Operation) -> Option<&EntityUid> {
        self.actions.iter().find(|(own, _)| *own == operation).map(|(_, uid)| uid)
    }
}

/// The tables are complete, so the name that grants nothing is never taken.
fn find<'a, K: PartialEq>(
    table: &'a [(K, EntityTypeName)],
    key: K,
    nothing: &'a EntityTypeName,
) -> &'a EntityTypeName {
    table.iter().find(|(own, _)| *own == key).map_or(nothing, |(_, name)| name)
}

fn name(text: &str) -> Result<EntityTypeName, NameFault> {
    text.parse().map_err(|_| NameFault(text.to_owned()))
}
