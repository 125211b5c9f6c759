//! A patched object is what an edited list of members would be, and the rest keeps its bytes.

use mcp::{Json, Limits, Patch};

/// JSON `[object, changes, changes, …]`: each member of `changes` that is null removes, any other sets.
pub fn target(data: &[u8]) {
    let Ok(input) = Json::read(data, &Limits::default()) else { return };
    let mut items = input.items();
    let Some(object) = items.next() else { return };
    let changes: Vec<(String, Option<String>)> = items
        .flat_map(Json::members)
        .map(|(name, value)| (name.into_owned(), text(value)))
        .collect();
    check(object, &changes);
}

fn text(value: Json<'_>) -> Option<String> {
    if value.is_null() { None } else { Some(value.text().to_owned()) }
}

/// Applies the changes and compares with the model.
fn check(object: Json<'_>, changes: &[(String, Option<String>)]) {
    let mut patch = Patch::of(object);
    let mut model: Vec<(String, String)> = object
        .members()
        .map(|(name, value)| (name.into_owned(), value.text().to_owned()))
        .collect();
    for (name, value) in changes {
        patch = match value {
            Some(value) => patch.set(name, value.as_str()),
            None => patch.remove(name),
        };
    }
    for (index, (name, value)) in changes.iter().enumerate() {
        if changes.iter().skip(index + 1).any(|(later, _)| later == name) {
            continue;
        }
        let place = model.iter().position(|(known, _)| known == name);
        match (place.and_then(|place| model.get_mut(place)), value) {
            (Some((_, old)), Some(value)) => old.clone_from(value),
            (None, Some(value)) => model.push((name.clone(), value.clone())),
            (Some(_), None) => model.retain(|(known, _)| known != name),
            (None, None) => {}
        }
    }
    let built = patch.build();
    assert_eq!(built.json().text(), patch.text());
    let Ok(read) = Json::read(built.bytes(), &Limits { depth: 65, ..Limits::default() }) else {
        panic!("patched into {}", patch.text())
    };
    let mut members: Vec<(String, String)> =
        read.members().map(|(name, value)| (name.into_owned(), value.text().to_owned())).collect();
    // Where several are added, their order is that of their first mention.
    let kept =
        object.members().filter(|(name, _)| model.iter().any(|(known, _)| known == name)).count();
    assert_eq!(members.get(..kept), model.get(..kept));
    members.sort();
    model.sort();
    assert_eq!(members, model);
    untouched_bytes(object, changes, &patch);
}

/// When every change replaces a member, all but the values is the same text.
fn untouched_bytes(object: Json<'_>, changes: &[(String, Option<String>)], patch: &Patch<'_>) {
    let replaces =
        |(name, value): &(String, Option<String>)| value.is_some() && object.get(name).is_some();
    if changes.is_empty() && object.text().starts_with('{') {
        assert_eq!(patch.text(), object.text());
    }
    if changes.is_empty() || !changes.iter().all(replaces) {
        return;
    }
    let source = object.text();
    let (mut expect, mut done) = (String::new(), 0);
    for (name, value) in object.members() {
        let at = value.text().as_ptr().addr() - source.as_ptr().addr();
        let new = changes
            .iter()
            .rev()
            .find(|(changed, _)| *changed == name)
            .and_then(|(_, value)| value.as_deref());
        expect.push_str(source.get(done..at).unwrap_or_default());
        expect.push_str(new.unwrap_or(value.text()));
        done = at + value.text().len();
    }
    expect.push_str(source.get(done..).unwrap_or_default());
    assert_eq!(patch.text(), expect);
}
