//! Definitions: what a server says about its tools, prompts and resource templates.

use std::str::FromStr;

use mcp::Json;

use crate::Digest;

/// What is defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are the protocol's own")]
pub enum Kind {
    Prompt,
    ResourceTemplate,
    /// What the server says of itself: its identity and its instructions to the model.
    Server,
    Tool,
    /// What a `ui://` resource holds: a page that the client shows, and runs.
    UiContent,
    /// A `ui://` resource as it is listed.
    UiResource,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 6] = [
        Kind::Server,
        Kind::Tool,
        Kind::Prompt,
        Kind::ResourceTemplate,
        Kind::UiResource,
        Kind::UiContent,
    ];

    /// As stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Prompt => "prompt",
            Kind::ResourceTemplate => "resource_template",
            Kind::Server => "server",
            Kind::Tool => "tool",
            Kind::UiContent => "ui_content",
            Kind::UiResource => "ui_resource",
        }
    }

    /// The member that names a definition of this kind; a server has none.
    pub(crate) fn member(self) -> &'static str {
        match self {
            Kind::Prompt | Kind::Tool => "name",
            Kind::ResourceTemplate => "uriTemplate",
            Kind::UiContent | Kind::UiResource => "uri",
            Kind::Server => "",
        }
    }
}

impl FromStr for Kind {
    type Err = TrustFault;
    fn from_str(text: &str) -> Result<Kind, TrustFault> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(TrustFault::Kind)
    }
}

/// Why a definition can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustFault {
    /// A word that names no kind.
    #[error("not a kind of definition")]
    Kind,
    /// The member that names it (`name`, `uriTemplate`, `uri`) is missing, empty or not a string.
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
    /// Its name on its server; the `uriTemplate` of a resource template, the `uri` of a resource,
    /// empty for the server itself.
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
        let name = match kind {
            Kind::Server => String::new(),
            _ => {
                let name = raw.get(kind.member()).and_then(Json::string);
                name.filter(|name| !name.is_empty()).ok_or(TrustFault::NameMissing)?.into_owned()
            }
        };
        Ok(Definition { kind, name, digest: Digest::of(raw) })
    }
}

/// What a server says of itself, as one definition: an object of `info` and `instructions`.
pub fn introduction(info: Json<'_>, instructions: Option<&str>) -> String {
    let mut text = format!("{{\"info\":{}", info.text());
    if let Some(instructions) = instructions {
        text.push_str(",\"instructions\":");
        text.push_str(&mcp::quote(instructions));
    }
    text.push('}');
    text
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
            r#"{"name":"t","description":"d","icons":[{"src":"https://x/i.png"}]}"#,
            r#"{"name":"t","description":"d","_meta":{"com.example/a":1}}"#,
            r#"{"name":"t","description":"d","x-unknown":null}"#,
        ] {
            assert_ne!(read(Kind::Tool, changed).unwrap().digest, plain.digest, "{changed}");
        }
    }

    #[test]
    fn volatile_keys_and_signatures_in_meta_do_not_count() {
        let plain = read(Kind::Tool, r#"{"name":"t","_meta":{"com.example/a":1}}"#).unwrap();
        for same in [
            r#"{"name":"t","_meta":{"com.example/a":1,"traceparent":"00-1-2-3"}}"#,
            r#"{"name":"t","_meta":{"dev.bartizan/signature":"x","com.example/a":1}}"#,
        ] {
            assert_eq!(read(Kind::Tool, same).unwrap().digest, plain.digest, "{same}");
        }
        // Nothing is left of such a `_meta`, so it is as if it were not there.
        let bare = read(Kind::Tool, r#"{"name":"t"}"#).unwrap().digest;
        let signed = read(Kind::Tool, r#"{"name":"t","_meta":{"dev.bartizan/signature":[]}}"#);
        assert_eq!(signed.unwrap().digest, bare);
        assert_ne!(read(Kind::Tool, r#"{"name":"t","_meta":{}}"#).unwrap().digest, plain.digest);
        // Elsewhere than in the definition's own `_meta` the same names count.
        let inner = r#"{"name":"t","inputSchema":{"_meta":{"traceparent":"x"}}}"#;
        assert_ne!(read(Kind::Tool, inner).unwrap().digest, bare);
    }

    #[test]
    fn a_server_is_its_identity_and_its_instructions() {
        let info = Json::read(br#"{"name":"s","version":"1"}"#, &Limits::default()).unwrap();
        let of = |text: &str| read(Kind::Server, text).unwrap();
        let plain = of(&introduction(info, None));
        assert_eq!(plain.name, "");
        assert_ne!(plain.digest, of(&introduction(info, Some(""))).digest);
        assert_ne!(plain.digest, of(&introduction(Json::EMPTY, None)).digest);
    }
}
