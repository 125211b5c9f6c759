//! Definitions: what a server says about its tools, prompts and resource templates.

use mcp::Json;

use crate::Digest;

/// What is defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are the protocol's own")]
pub enum Kind {
    Prompt,
    ResourceTemplate,
    Tool,
}
impl Kind {
    /// `prompt`, `resource_template` or `tool`, as stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Prompt => "prompt",
            Kind::ResourceTemplate => "resource_template",
            Kind::Tool => "tool",
        }
    }
}

/// Why a definition can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustFault {
    /// `name` (`uriTemplate` for a resource template) is missing, empty or not a string.
    #[error("a definition has no name")]
    NameMissing,
    /// Not a JSON object.
    #[error("a definition is not an object")]
    NotAnObject,
}

/// A definition's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// What is defined.
    pub kind: Kind,
    /// Its name on its server; the `uriTemplate` of a resource template.
    pub name: String,
    /// The digest of all of it.
    pub digest: Digest,
}

impl Definition {
    /// Reads a definition. It costs a parse and a canonicalisation: for lists, not for calls.
    pub fn read(kind: Kind, raw: Json<'_>) -> Result<Definition, TrustFault> {
        if raw.kind() != mcp::Kind::Object {
            return Err(TrustFault::NotAnObject);
        }
        let member = match kind {
            Kind::Prompt | Kind::Tool => "name",
            Kind::ResourceTemplate => "uriTemplate",
        };
        let name = raw.get(member).and_then(Json::string).filter(|name| !name.is_empty());
        let name = name.ok_or(TrustFault::NameMissing)?.into_owned();
        Ok(Definition { kind, name, digest: Digest::of(raw) })
    }
}

#[cfg(test)]
mod tests {
    use mcp::Limits;

    use super::*;

    fn read(kind: Kind, text: &str) -> Result<Definition, TrustFault> {
        Definition::read(kind, Json::read(text.as_bytes(), &Limits::default()).unwrap())
    }

    #[test]
    fn names_come_from_the_member_of_their_kind() {
        let text = r#"{"name":"t","uriTemplate":"file:///{path}"}"#;
        assert_eq!(read(Kind::Tool, text).unwrap().name, "t");
        assert_eq!(read(Kind::Prompt, text).unwrap().name, "t");
        assert_eq!(read(Kind::ResourceTemplate, text).unwrap().name, "file:///{path}");
    }

    #[test]
    fn a_definition_without_a_name_is_refused() {
        assert_eq!(read(Kind::Tool, "[]"), Err(TrustFault::NotAnObject));
        for text in ["{}", r#"{"name":""}"#, r#"{"name":7}"#, r#"{"Name":"a"}"#] {
            assert_eq!(read(Kind::Tool, text), Err(TrustFault::NameMissing), "{text}");
        }
    }

    #[test]
    fn every_member_counts() {
        let plain = read(Kind::Tool, r#"{"name":"t","description":"d"}"#).unwrap();
        for changed in [
            r#"{"name":"t","description":"d "}"#,
            r#"{"name":"t","description":"d","annotations":{"readOnlyHint":true}}"#,
            r#"{"name":"t","description":"d","x-unknown":null}"#,
        ] {
            assert_ne!(read(Kind::Tool, changed).unwrap().digest, plain.digest, "{changed}");
        }
    }
}
