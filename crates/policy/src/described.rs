//! What a policy can say of a tool's arguments: each with where conditions find it, and one that looks at it.

use std::collections::{BTreeMap, BTreeSet};

use mcp::Json;

use crate::{
    Argument, ArgumentType, Arguments,
    arguments::{is_pointer, member},
    compile::quoted,
    input::{NAMES, Walk},
};

/// An argument as its definition describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its JSON pointer.
    pub pointer: String,
    /// Of which types it is; empty where the definition leaves that open.
    pub types: BTreeSet<ArgumentType>,
    /// Whether it is always given, by the definition.
    pub required: bool,
}

/// How deep objects in objects are looked into.
const DEPTH: usize = 4;

/// A name in an object: what is said of it, and whether it is always there.
type Members<'a> = BTreeMap<String, (Vec<Json<'a>>, bool)>;

impl Arguments<'_> {
    /// All that it lists, with what is inside of objects; at most a hundred.
    pub fn described(&self) -> Vec<Described> {
        let mut found = Vec::new();
        match self {
            Arguments::Open => {}
            Arguments::Prompt(arguments) => {
                for one in arguments.items().take(NAMES) {
                    let Some(name) = one.get("name").and_then(Json::string) else { continue };
                    let required = one.get("required").and_then(Json::boolean) == Some(true);
                    self.describe(member("", &name), required, &mut found);
                }
            }
            Arguments::Schema(root) => self.inside("", &[*root], *root, true, DEPTH, &mut found),
        }
        found
    }

    fn inside(
        &self,
        at: &str,
        schemas: &[Json<'_>],
        root: Json<'_>,
        required: bool,
        depth: usize,
        found: &mut Vec<Described>,
    ) {
        let Some(depth) = depth.checked_sub(1) else { return };
        for (name, (schemas, always)) in members(schemas, root) {
            if found.len() >= NAMES {
                return;
            }
            let (pointer, required) = (member(at, &name), required && always);
            if self.describe(pointer.clone(), required, found) {
                self.inside(&pointer, &schemas, root, required, depth, found);
            }
        }
    }

    /// Whether there is such an argument, and it may have something inside.
    fn describe(&self, pointer: String, required: bool, found: &mut Vec<Described>) -> bool {
        let types = match self.at(&pointer) {
            Argument::None => return false,
            Argument::Open => BTreeSet::new(),
            Argument::Of(types) => types,
        };
        // A longer one is not a pointer to conditions.
        if !is_pointer(&pointer) {
            return false;
        }
        let inside = types.is_empty() || types.contains(&ArgumentType::Other);
        found.push(Described { pointer, types, required });
        inside
    }
}

fn members<'a>(schemas: &[Json<'a>], root: Json<'a>) -> Members<'a> {
    let mut parts = Vec::new();
    let mut walk = Walk::new(root);
    schemas.iter().for_each(|schema| walk.parts(*schema, true, &mut parts));
    let mut members = Members::new();
    for (schema, always) in parts {
        let [properties, required] = schema.pick(["properties", "required"]);
        for (name, held) in properties.unwrap_or(Json::EMPTY).members() {
            members.entry(name.into_owned()).or_default().0.push(held);
        }
        let required = required.filter(|_| always).unwrap_or(Json::EMPTY).items();
        for name in required.filter_map(Json::string) {
            members.entry(name.into_owned()).or_default().1 = true;
        }
    }
    members
}

impl Described {
    /// A condition in Cedar for each of its types, such as a policy may hold.
    pub fn conditions(&self) -> Vec<String> {
        let pointer = quoted(&self.pointer);
        let typed = |held: &str, test: &str| {
            let held = format!("context.arguments.{held}");
            format!("{held}.hasTag({pointer}) && {held}.getTag({pointer}){test}")
        };
        let condition = |one: &ArgumentType| match one {
            ArgumentType::Flag => typed("flags", ""),
            ArgumentType::Number => typed("numbers", ".lessThan(decimal(\"100.0\"))"),
            ArgumentType::Text => typed("text", " == \"…\""),
            ArgumentType::Other => format!("context.arguments.given.contains({pointer})"),
        };
        let types: Vec<ArgumentType> = match self.types.is_empty() {
            true => vec![ArgumentType::Other],
            false => self.types.iter().copied().collect(),
        };
        types.iter().map(condition).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CedarFile, Kind, Policy};

    const SCHEMA: &str = r##"{"inputSchema":{"type":"object","required":["repo","mode"],
        "$defs":{"Repo":{"type":"object","required":["id"],"properties":{"id":{"type":"integer"},"a/b":{"type":"string"}}}},
        "properties":{"repo":{"$ref":"#/$defs/Repo"},"force":{"type":"boolean"},"list":{"type":"array","items":{}},
        "maybe":{"type":["string","null"]},"any":{},"no":false},
        "anyOf":[{"properties":{"mode":{"enum":["a",1]}},"required":["force"]}]}}"##;

    fn described(text: &str, kind: Kind) -> Vec<Described> {
        let read = Json::read(text.as_bytes(), &mcp::Limits::default()).unwrap();
        Arguments::of(kind, read).described()
    }

    #[test]
    fn all_that_a_definition_lists() {
        use ArgumentType::{Flag, Number, Other, Text};
        let found = described(SCHEMA, Kind::Tool);
        let found: Vec<_> = found
            .iter()
            .map(|one| (one.pointer.as_str(), one.types.iter().copied().collect(), one.required))
            .collect();
        let expected: Vec<(&str, Vec<ArgumentType>, bool)> = vec![
            ("/any", vec![], false),
            ("/force", vec![Flag], false),
            ("/list", vec![Other], false),
            ("/maybe", vec![Text, Other], false),
            ("/mode", vec![Number, Text], true),
            ("/repo", vec![Other], true),
            ("/repo/a~1b", vec![Text], false),
            ("/repo/id", vec![Number], true),
        ];
        assert_eq!(found, expected);
        let prompt = r#"{"arguments":[{"name":"style","required":true},{"name":"x"}]}"#;
        let prompt = described(prompt, Kind::Prompt);
        assert!(prompt[0].required);
        assert_eq!(
            prompt[1],
            Described { pointer: "/x".into(), types: [Text].into(), required: false }
        );
    }

    #[test]
    fn its_conditions_are_valid_and_look_at_what_there_is() {
        let found = described(SCHEMA, Kind::Tool);
        let conditions = found.iter().flat_map(Described::conditions);
        let policy = |condition: String| {
            format!(
                "permit(principal, action, resource == Tool::\"a/b\")\nwhen {{ {condition} }};\n"
            )
        };
        let text: String = conditions.map(policy).collect();
        let file = CedarFile { name: "test.cedar".into(), text };
        let policy = Policy::new(&[], &[file]).unwrap();
        let definition = Json::read(SCHEMA.as_bytes(), &mcp::Limits::default()).unwrap();
        let action = crate::Action::new("a", Kind::Tool, "b");
        assert_eq!(policy.misread(&[crate::Offered { action, definition }]), []);
    }

    #[test]
    fn a_schema_inside_itself_ends() {
        let tree = r##"{"inputSchema":{"properties":{"kid":{"$ref":"#/properties/kid","type":"object",
            "properties":{"kid":{"$ref":"#/properties/kid"}}}}}}"##;
        let found = described(tree, Kind::Tool);
        assert_eq!(found.last().unwrap().pointer, "/kid/kid/kid/kid");
    }
}
