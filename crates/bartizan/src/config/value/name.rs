//! Names that the user chooses.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ValueFault;

/// The name of a server: it stands before its tools' names and in its URL path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[a-z](-?[a-z0-9])*$", "maxLength" = 32))]
pub struct ServerKey(pub mcp::ServerName);

impl std::str::FromStr for ServerKey {
    type Err = ValueFault;

    fn from_str(text: &str) -> Result<Self, ValueFault> {
        mcp::ServerName::new(text).map(ServerKey).map_err(|fault| {
            let mend = match plausible_name(text) {
                Some(name) => format!("call it `{name}`"),
                None => "choose a name such as `github`".to_owned(),
            };
            ValueFault::new(format!("`{text}` can't be a server's name: {fault}"), mend)
        })
    }
}

/// The nearest name that would be allowed.
pub fn plausible_name(text: &str) -> Option<String> {
    let mapped: String = text
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    let mut name = mapped.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
    name = name.trim_start_matches(|c: char| !c.is_ascii_lowercase()).to_owned();
    name.truncate(32);
    let name = name.trim_end_matches('-');
    mcp::ServerName::new(name).ok().map(|name| name.to_string())
}

impl TryFrom<String> for ServerKey {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        text.parse()
    }
}

impl From<ServerKey> for String {
    fn from(key: ServerKey) -> String {
        key.0.to_string()
    }
}

/// What joins a server's and a tool's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Joint {
    text: String,
    pub separator: mcp::Separator,
}

impl Default for Joint {
    fn default() -> Self {
        Joint { text: "__".to_owned(), separator: mcp::Separator::default() }
    }
}

impl TryFrom<String> for Joint {
    type Error = ValueFault;

    fn try_from(text: String) -> Result<Self, ValueFault> {
        match mcp::Separator::new(&text) {
            Ok(separator) => Ok(Joint { text, separator }),
            Err(fault) => Err(ValueFault::new(
                format!("`{text}` can't separate names: {fault}"),
                "leave it out, or write \"__\" or \".\"",
            )),
        }
    }
}

impl From<Joint> for String {
    fn from(joint: Joint) -> String {
        joint.text
    }
}

/// The name of a role.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[a-z0-9_-]{1,64}$"))]
pub struct RoleKey(pub String);

impl TryFrom<String> for RoleKey {
    type Error = ValueFault;

    fn try_from(name: String) -> Result<Self, ValueFault> {
        match policy::Role::check_name(&name) {
            Ok(()) => Ok(RoleKey(name)),
            Err(fault) => {
                Err(ValueFault::new(fault.to_string(), "choose a name such as `readers`"))
            }
        }
    }
}

impl From<RoleKey> for String {
    fn from(key: RoleKey) -> String {
        key.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_name_comes_with_one_that_is_allowed() {
        assert_eq!(plausible_name("My_GitHub Server").as_deref(), Some("my-github-server"));
        assert_eq!(plausible_name("9lives").as_deref(), Some("lives"));
        assert_eq!(plausible_name("***"), None);
    }
}
