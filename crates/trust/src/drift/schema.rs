//! Changes of JSON Schemas: what is taken now that was not, and what has to be given.

use std::collections::BTreeSet;

use mcp::{Json, Kind};

use super::{Changes, Class, members, same};

/// Nesting that is followed; what is deeper is one change.
const DEPTH: usize = 32;

/// A schema, or a part of one.
pub(super) fn compare(
    found: &mut Changes,
    path: &str,
    before: Option<Json<'_>>,
    after: Option<Json<'_>>,
    depth: usize,
) {
    let object = |json: &Json<'_>| json.kind() == Kind::Object;
    let (Some(old), Some(new)) = (before.filter(object), after.filter(object)) else {
        let class = if after.is_none() { Class::WidenedSchema } else { Class::Schema };
        found.push(class, path, before, after);
        return;
    };
    if depth >= DEPTH {
        found.push(Class::Schema, path, before, after);
        return;
    }
    members(found, path, Some(old), Some(new), |found, path, name, before, after| match name {
        "$comment" | "description" | "title" => found.text(path, before, after),
        "examples" => found.push(Class::Documentation, path, before, after),
        "properties" => properties(found, path, (old, new), depth),
        "required" => required(found, path, (old, new)),
        "$defs" | "definitions" | "patternProperties" => {
            members(found, path, before, after, |found, path, _, before, after| {
                compare(found, path, before, after, depth + 1);
            });
        }
        "items" | "not" | "if" | "then" | "else" | "contains" | "propertyNames" => {
            compare(found, path, before, after, depth + 1);
        }
        "additionalProperties" => found.push(additional(before, after), path, before, after),
        "enum" | "type" => found.push(set(before, after), path, before, after),
        "maxItems" | "maxLength" | "maxProperties" | "maximum" | "exclusiveMaximum" => {
            found.push(bound(before, after, |old, new| new > old), path, before, after);
        }
        "minItems" | "minLength" | "minProperties" | "minimum" | "exclusiveMinimum" => {
            found.push(bound(before, after, |old, new| new < old), path, before, after);
        }
        "const" | "format" | "multipleOf" | "pattern" if after.is_none() => {
            found.push(Class::WidenedSchema, path, before, after);
        }
        _ => found.push(Class::Schema, path, before, after),
    });
}

fn properties(found: &mut Changes, path: &str, (old, new): (Json<'_>, Json<'_>), depth: usize) {
    let [before, after] = [old, new].map(|schema| schema.get("properties"));
    let needed = names(new.get("required"));
    members(found, path, before, after, |found, path, name, before, after| match (before, after) {
        (None, Some(_)) if needed.contains(name) => {
            found.push(Class::RequiredParameter, path, before, after);
        }
        (None, Some(_)) => found.push(Class::OptionalParameter, path, before, after),
        (Some(_), None) => found.push(Class::Schema, path, before, after),
        _ => compare(found, path, before, after, depth + 1),
    });
}

/// Names that have to be given. New parameters among them are told where they are new.
fn required(found: &mut Changes, path: &str, (old, new): (Json<'_>, Json<'_>)) {
    let [before, after] = [old, new].map(|schema| schema.get("required"));
    let (was, is) = (names(before), names(after));
    let known = old.get("properties").unwrap_or(Json::EMPTY);
    let fresh = new.get("properties").unwrap_or(Json::EMPTY);
    let told = |name: &&String| known.get(name).is_none() && fresh.get(name).is_some();
    let (told, added): (Vec<_>, Vec<_>) = is.difference(&was).partition(told);
    let class = if !added.is_empty() {
        Class::RequiredParameter
    } else if was.difference(&is).next().is_some() {
        Class::WidenedSchema
    } else if told.is_empty() {
        Class::Schema
    } else {
        return;
    };
    found.push(class, path, before, after);
}

fn names(list: Option<Json<'_>>) -> BTreeSet<String> {
    let items = list.into_iter().flat_map(Json::items);
    items.filter_map(|name| Some(name.string()?.into_owned())).collect()
}

/// A list of what is possible, or one value that is.
fn set(before: Option<Json<'_>>, after: Option<Json<'_>>) -> Class {
    let of = |json: Json<'_>| -> BTreeSet<String> {
        let text = |json: Json<'_>| json.text().to_owned();
        match json.kind() {
            Kind::Array => json.items().map(text).collect(),
            _ => BTreeSet::from([text(json)]),
        }
    };
    match (before, after) {
        (Some(_), None) => Class::WidenedSchema,
        (Some(before), Some(after)) if of(after).is_superset(&of(before)) => Class::WidenedSchema,
        _ => Class::Schema,
    }
}

fn additional(before: Option<Json<'_>>, after: Option<Json<'_>>) -> Class {
    let open = |json: Option<Json<'_>>| json.is_none_or(|json| json.boolean() == Some(true));
    if open(after) && !open(before) { Class::WidenedSchema } else { Class::Schema }
}

fn bound(
    before: Option<Json<'_>>,
    after: Option<Json<'_>>,
    wider: impl Fn(f64, f64) -> bool,
) -> Class {
    let number = |json: Json<'_>| json.text().parse::<f64>().ok();
    match (before, after) {
        (Some(_), None) => Class::WidenedSchema,
        (Some(before), Some(after)) => match (number(before), number(after)) {
            (Some(old), Some(new)) if wider(old, new) => Class::WidenedSchema,
            _ => Class::Schema,
        },
        _ => Class::Schema,
    }
}

/// A prompt's arguments, by their names.
pub(super) fn arguments(found: &mut Changes, before: Option<Json<'_>>, after: Option<Json<'_>>) {
    let count = found.0.len();
    let path = |name: &str| format!("arguments.{name}");
    let named = |list: Option<Json<'_>>| -> Vec<(String, String)> {
        let items = list.into_iter().flat_map(Json::items);
        let named = |item: Json<'_>| {
            Some((item.get("name")?.string()?.into_owned(), item.text().to_owned()))
        };
        items.filter_map(named).collect()
    };
    let (was, is) = (named(before), named(after));
    let find = |list: &'_ [(String, String)], name: &str| -> Option<String> {
        list.iter().find(|(known, _)| known == name).map(|(_, text)| text.clone())
    };
    for (name, text) in &is {
        let Ok(new) = Json::read(text.as_bytes(), &mcp::Limits::default()) else { continue };
        let needed = new.get("required").and_then(Json::boolean) == Some(true);
        let Some(old) = find(&was, name) else {
            let class = if needed { Class::RequiredParameter } else { Class::OptionalParameter };
            found.push(class, &path(name), None, Some(new));
            continue;
        };
        let Ok(old) = Json::read(old.as_bytes(), &mcp::Limits::default()) else { continue };
        members(found, &path(name), Some(old), Some(new), |found, path, member, before, after| {
            match member {
                "description" | "title" => found.text(path, before, after),
                "required" if needed => found.push(Class::RequiredParameter, path, before, after),
                "required" => found.push(Class::WidenedSchema, path, before, after),
                _ => found.push(Class::Other, path, before, after),
            }
        });
    }
    let gone = was.iter().any(|(name, _)| find(&is, name).is_none());
    // Also what names do not tell apart: another order, one twice, one without a name.
    if gone || (found.0.len() == count && !same(before, after)) {
        found.push(Class::Schema, "arguments", before, after);
    }
}

#[cfg(test)]
mod tests {
    use mcp::Limits;

    use super::*;

    fn prompt(before: &str, after: &str) -> Vec<Class> {
        let read = |text| Json::read(text, &Limits::default()).unwrap();
        let mut found = Changes(Vec::new());
        arguments(&mut found, Some(read(before.as_bytes())), Some(read(after.as_bytes())));
        found.0.into_iter().map(|change| change.class).collect()
    }

    #[test]
    fn arguments_of_prompts() {
        let base = r#"[{"name":"a","description":"x","required":false}]"#;
        for (after, class) in [
            (r#"[{"name":"a","description":"y","required":false}]"#, Class::Documentation),
            (r#"[{"name":"a","description":"x","required":true}]"#, Class::RequiredParameter),
            (
                r#"[{"name":"a","description":"x","required":false},{"name":"b"}]"#,
                Class::OptionalParameter,
            ),
            (r#"[]"#, Class::Schema),
            (
                r#"[{"name":"a","description":"x","required":false},{"name":"a","description":"x","required":false}]"#,
                Class::Schema,
            ),
        ] {
            assert_eq!(prompt(base, after), [class], "{after}");
        }
    }
}
