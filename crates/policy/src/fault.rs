//! What can be wrong with what is configured.

use crate::{Policy, SourceFault, names::NameFault};

/// Why roles and files do not make a policy.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PolicyFault {
    /// Two roles of one name.
    #[error("role `{0}` is defined twice")]
    Duplicate(String),
    /// A name with other characters.
    #[error("`{0}`: a role name is 1 to 64 of a-z, 0-9, _ and -")]
    Name(String),
    /// `all` is built in.
    #[error("role `all` is built in: it allows everything")]
    Reserved,
    /// A condition on annotations, which only tools have.
    #[error("role `{0}`: `{1}` is about no tools, and only tools are annotated")]
    Annotated(String, String),
    /// A role that Cedar does not take.
    #[error("a role could not be compiled: {0}")]
    Role(String),
    /// Files with policies, and all that is wrong with them.
    #[error("{}", listed(.0))]
    Files(Vec<SourceFault>),
    /// More than can be decided in time.
    #[error("there are more than {} rules and policies", Policy::MOST)]
    TooMany,
    /// This program's own mistake.
    #[error(transparent)]
    Own(#[from] NameFault),
}

fn listed(faults: &[SourceFault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
