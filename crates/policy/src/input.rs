//! What arguments a tool or a prompt takes, as its definition says it.

use std::collections::BTreeSet;

use mcp::{Json, Kind as Form};

use crate::{Kind, arguments::pointed};

/// The type of an argument, as conditions tell types apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ArgumentType {
    /// `true` or `false`.
    Flag,
    /// A number.
    Number,
    /// A text.
    Text,
    /// A list, an object or null: conditions see only that it is given.
    Other,
}

impl ArgumentType {
    /// For sentences.
    pub fn as_str(self) -> &'static str {
        match self {
            ArgumentType::Flag => "a flag",
            ArgumentType::Number => "a number",
            ArgumentType::Other => "a list, an object or null",
            ArgumentType::Text => "a text",
        }
    }
}

/// What a definition says of one argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// There is none of that name.
    None,
    /// It may be anything, or the definition does not say.
    Open,
    /// It is of one of these types.
    Of(BTreeSet<ArgumentType>),
}

/// The arguments of a tool (its `inputSchema`) or of a prompt.
#[derive(Clone, Copy, Debug)]
pub enum Arguments<'a> {
    /// Nothing is said.
    Open,
    /// Texts with these names: `arguments` of a prompt.
    Prompt(Json<'a>),
    /// A JSON Schema.
    Schema(Json<'a>),
}

/// Subschemas that are looked at for one argument. A schema that refers to itself ends here, and counts as saying nothing.
const SCHEMAS: usize = 256;

/// Names that are told.
pub(crate) const NAMES: usize = 100;

impl<'a> Arguments<'a> {
    /// Of a definition as the server lists it.
    pub fn of(kind: Kind, definition: Json<'a>) -> Arguments<'a> {
        match kind {
            Kind::Tool => definition.get("inputSchema").map_or(Arguments::Open, Arguments::Schema),
            Kind::Prompt => Arguments::Prompt(definition.get("arguments").unwrap_or(Json::EMPTY)),
            Kind::Method | Kind::Model | Kind::Resource => Arguments::Open,
        }
    }

    /// What it says of the argument at a JSON pointer.
    pub fn at(&self, pointer: &str) -> Argument {
        let path: Vec<String> = pointer
            .split('/')
            .skip(1)
            .map(|token| token.replace("~1", "/").replace("~0", "~"))
            .collect();
        match self {
            Arguments::Open => Argument::Open,
            Arguments::Prompt(_) => match path.as_slice() {
                [name] if self.names().iter().any(|known| known == name) => {
                    Argument::Of([ArgumentType::Text].into())
                }
                _ => Argument::None,
            },
            Arguments::Schema(root) => match Walk::new(*root).says(*root, &path) {
                Said::Nothing | Said::Anything => Argument::Open,
                Said::None => Argument::None,
                Said::Of(types) => Argument::Of(types),
            },
        }
    }

    /// The names at its top, at most a hundred.
    pub fn names(&self) -> Vec<String> {
        match self {
            Arguments::Open => Vec::new(),
            Arguments::Prompt(arguments) => {
                let name = |one: Json<'_>| Some(one.get("name")?.string()?.into_owned());
                arguments.items().filter_map(name).take(NAMES).collect()
            }
            Arguments::Schema(root) => {
                let properties = root.get("properties").unwrap_or(Json::EMPTY);
                properties.members().map(|(name, _)| name.into_owned()).take(NAMES).collect()
            }
        }
    }
}

/// What a schema says of what is found by a path. In a combination the later of these wins.
#[derive(Debug)]
enum Said {
    /// It does not speak of it.
    Nothing,
    /// It is not among what it lists.
    None,
    /// It may be there, and be anything.
    Anything,
    Of(BTreeSet<ArgumentType>),
}

impl Said {
    fn rank(&self) -> u8 {
        match self {
            Said::Nothing => 0,
            Said::None => 1,
            Said::Anything => 2,
            Said::Of(_) => 3,
        }
    }

    /// What several subschemas say together. Whatever one of them lets be counts, also for `allOf`: this is for finding
    /// what can't be meant, not for validating.
    fn or(self, other: Said) -> Said {
        match (self, other) {
            (Said::Of(mut types), Said::Of(more)) => {
                types.extend(more);
                Said::Of(types)
            }
            (one, other) if one.rank() >= other.rank() => one,
            (_, other) => other,
        }
    }

    /// Of something that is listed.
    fn listed(self) -> Said {
        if matches!(self, Said::Nothing) { Said::Anything } else { self }
    }
}

pub(crate) struct Walk<'a> {
    root: Json<'a>,
    left: usize,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(root: Json<'a>) -> Walk<'a> {
        Walk { root, left: SCHEMAS }
    }

    /// What one schema says, and all that it is put together of: each with whether it always holds.
    pub(crate) fn parts(
        &mut self,
        schema: Json<'a>,
        always: bool,
        found: &mut Vec<(Json<'a>, bool)>,
    ) {
        let Some(left) = self.left.checked_sub(1) else { return };
        self.left = left;
        found.push((schema, always));
        for (combination, all) in [("allOf", always), ("anyOf", false), ("oneOf", false)] {
            for branch in schema.get(combination).unwrap_or(Json::EMPTY).items() {
                self.parts(branch, all, found);
            }
        }
        for branch in ["then", "else"].into_iter().filter_map(|name| schema.get(name)) {
            self.parts(branch, false, found);
        }
        let reference = schema.get("$ref").and_then(Json::string);
        if let Some(schema) = reference.and_then(|reference| self.referred(&reference)) {
            self.parts(schema, always, found);
        }
    }

    fn says(&mut self, schema: Json<'a>, path: &[String]) -> Said {
        let Some(left) = self.left.checked_sub(1) else { return Said::Anything };
        self.left = left;
        if schema.boolean() == Some(false) {
            return Said::None;
        }
        let mut said = match path.split_first() {
            None => types(schema).map_or(Said::Nothing, Said::Of),
            Some((first, rest)) => self.inside(schema, first, rest),
        };
        for combination in ["allOf", "anyOf", "oneOf"] {
            for branch in schema.get(combination).unwrap_or(Json::EMPTY).items() {
                said = said.or(self.says(branch, path));
            }
        }
        for branch in ["then", "else"].into_iter().filter_map(|name| schema.get(name)) {
            said = said.or(self.says(branch, path));
        }
        if let Some(reference) = schema.get("$ref").and_then(Json::string) {
            said = said.or(match self.referred(&reference) {
                Some(schema) => self.says(schema, path),
                None => Said::Anything,
            });
        }
        said
    }

    /// Within the same document; whatever else is referred to is not fetched.
    fn referred(&self, reference: &str) -> Option<Json<'a>> {
        let pointer = reference.strip_prefix('#')?;
        (pointer.is_empty() || pointer.starts_with('/')).then(|| pointed(self.root, pointer))?
    }

    fn inside(&mut self, schema: Json<'a>, first: &str, rest: &[String]) -> Said {
        let [properties, patterns, more, prefix, items] = schema.pick([
            "properties",
            "patternProperties",
            "additionalProperties",
            "prefixItems",
            "items",
        ]);
        if let Some(property) = properties.and_then(|held| held.get(first)) {
            return self.says(property, rest).listed();
        }
        if let Ok(at) = first.parse::<usize>() {
            let item = prefix.and_then(|held| held.items().nth(at)).or(items);
            if let Some(item) = item.filter(|item| item.kind() != Form::Array) {
                return self.says(item, rest).listed();
            }
        }
        if patterns.is_some_and(|held| held.members().next().is_some()) {
            return Said::Anything;
        }
        // Nothing is inside a text.
        let is_plain = types(schema).is_some_and(|types| !types.contains(&ArgumentType::Other));
        match more {
            Some(schema) => self.says(schema, rest).listed(),
            // A schema that lists some and leaves the rest open means those that it lists.
            None if properties.is_some() || is_plain => Said::None,
            None => Said::Nothing,
        }
    }
}

/// What a schema says of the type itself.
fn types(schema: Json<'_>) -> Option<BTreeSet<ArgumentType>> {
    let [named, value, values] = schema.pick(["type", "const", "enum"]);
    if let Some(named) = named {
        let one = |name: Json<'_>| Some(of_name(&name.string()?));
        return Some(match named.kind() {
            Form::Array => named.items().filter_map(one).collect(),
            _ => one(named).into_iter().collect(),
        });
    }
    let values = values.map(Json::items).into_iter().flatten().chain(value);
    let types: BTreeSet<ArgumentType> = values.map(of_value).collect();
    (!types.is_empty()).then_some(types)
}

fn of_name(name: &str) -> ArgumentType {
    match name {
        "boolean" => ArgumentType::Flag,
        "integer" | "number" => ArgumentType::Number,
        "string" => ArgumentType::Text,
        _ => ArgumentType::Other,
    }
}

fn of_value(value: Json<'_>) -> ArgumentType {
    match value.kind() {
        Form::Boolean => ArgumentType::Flag,
        Form::Number => ArgumentType::Number,
        Form::String => ArgumentType::Text,
        Form::Array | Form::Null | Form::Object => ArgumentType::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(schema: &str, pointer: &str) -> Argument {
        let schema = Json::read(schema.as_bytes(), &mcp::Limits::default()).unwrap();
        Arguments::Schema(schema).at(pointer)
    }

    fn of(types: &[ArgumentType]) -> Argument {
        Argument::Of(types.iter().copied().collect())
    }

    #[test]
    fn schemas_say_what_they_take() {
        use ArgumentType::{Flag, Number, Other, Text};
        let schema = r##"{"type":"object","$defs":{"Repo":{"type":"object","properties":{"id":{"type":"integer"}}}},
            "properties":{"branch":{"type":"string"},"amount":{"type":["number","null"]},"force":{"const":true},
            "mode":{"enum":["a",1]},"any":{},"all":true,"no":false,"repo":{"$ref":"#/$defs/Repo"},
            "maybe":{"anyOf":[{"type":"string"},{"type":"null"}]},"far":{"$ref":"https://example.com/x"},
            "list":{"type":"array","items":{"type":"string"}},"pair":{"prefixItems":[{"type":"boolean"}]},
            "map":{"type":"object","additionalProperties":{"type":"number"}},"a/b":{"type":"string"}}}"##;
        for (pointer, expected) in [
            ("/branch", of(&[Text])),
            ("/branch/x", Argument::None),
            ("/brnach", Argument::None),
            ("/amount", of(&[Number, Other])),
            ("/force", of(&[Flag])),
            ("/mode", of(&[Number, Text])),
            ("/any", Argument::Open),
            ("/any/x", Argument::Open),
            ("/all", Argument::Open),
            ("/no", Argument::None),
            ("/repo/id", of(&[Number])),
            ("/repo/name", Argument::None),
            ("/maybe", of(&[Text, Other])),
            ("/far", Argument::Open),
            ("/list/0", of(&[Text])),
            ("/pair/0", of(&[Flag])),
            ("/map/x", of(&[Number])),
            ("/a~1b", of(&[Text])),
        ] {
            assert_eq!(says(schema, pointer), expected, "{pointer}");
        }
    }

    #[test]
    fn what_a_schema_leaves_open_is_open() {
        assert_eq!(says(r#"{"type":"object"}"#, "/x"), Argument::Open);
        assert_eq!(says(r#"{"type":"object","properties":{}}"#, "/x"), Argument::None);
        assert_eq!(says(r#"{"properties":{},"additionalProperties":true}"#, "/x"), Argument::Open);
        assert_eq!(says(r#"{"additionalProperties":false}"#, "/x"), Argument::None);
        assert_eq!(says(r#"{"patternProperties":{"^x":{}}}"#, "/x"), Argument::Open);
        let either =
            r#"{"oneOf":[{"properties":{"a":{}}},{"properties":{"b":{"type":"string"}}}]}"#;
        assert_eq!(says(either, "/a"), Argument::Open);
        assert_eq!(says(either, "/b"), of(&[ArgumentType::Text]));
        assert_eq!(says(either, "/c"), Argument::None);
        assert_eq!(Arguments::Open.at("/x"), Argument::Open);
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let itself = r##"{"$ref":"#","anyOf":[{"$ref":"#"},{"$ref":"#"}]}"##;
        assert_eq!(says(itself, "/x"), Argument::Open);
        let tree = r##"{"properties":{"kids":{"items":{"$ref":"#"}},"name":{"type":"string"}}}"##;
        assert_eq!(says(tree, "/kids/0/kids/1/name"), of(&[ArgumentType::Text]));
        assert_eq!(says(tree, "/kids/0/nme"), Argument::None);
    }
}
