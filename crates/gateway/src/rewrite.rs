//! The aggregate's names and URIs put into what a server wrote, everywhere they are part of the
//! protocol. Text inside content is never touched.

use mcp::{Json, JsonBuf, Kind, Method, Patch, ServerName, quote};

use crate::{
    call::{Call, Scope},
    resolve::Target,
};

/// A server's result as the aggregate's client must see it. Untouched where nothing has to change.
pub(crate) fn result(call: &Call, target: &Target, result: JsonBuf) -> JsonBuf {
    if call.scope != Scope::All {
        return result;
    }
    let server = target.served.name();
    let json = result.json();
    let changed = match call.method {
        Method::ToolsCall => tool_result(server, json),
        Method::PromptsGet => json
            .get("messages")
            .and_then(|messages| each(messages, |message| in_message(server, message)))
            .map(|messages| Patch::of(json).set("messages", messages).text()),
        Method::ResourcesRead => json
            .get("contents")
            .and_then(|contents| each(contents, |content| uri(server, content)))
            .map(|contents| Patch::of(json).set("contents", contents).text()),
        Method::TasksGet => json
            .get("result")
            .and_then(|inner| tool_result(server, inner))
            .map(|inner| Patch::of(json).set("result", inner).text()),
        _ => None,
    };
    changed.map_or(result, crate::made)
}

fn tool_result(server: &ServerName, result: Json<'_>) -> Option<String> {
    let content = result.get("content")?;
    let content = each(content, |block| in_content(server, block))?;
    Some(Patch::of(result).set("content", content).text())
}

fn in_message(server: &ServerName, message: Json<'_>) -> Option<String> {
    let content = message.get("content")?;
    let changed = match content.kind() {
        Kind::Array => each(content, |block| in_content(server, block)),
        _ => in_content(server, content),
    }?;
    Some(Patch::of(message).set("content", changed).text())
}

/// `resource_link` and embedded `resource` blocks.
fn in_content(server: &ServerName, block: Json<'_>) -> Option<String> {
    match block.get("type")?.text() {
        "\"resource_link\"" => uri(server, block),
        "\"resource\"" => {
            let resource = uri(server, block.get("resource")?)?;
            Some(Patch::of(block).set("resource", resource).text())
        }
        _ => None,
    }
}

fn uri(server: &ServerName, object: Json<'_>) -> Option<String> {
    wrapped(server, object, "uri")
}

fn wrapped(server: &ServerName, object: Json<'_>, member: &'static str) -> Option<String> {
    let uri = object.get(member)?.string()?;
    Some(Patch::of(object).set(member, quote(&server.wrap_uri(&uri))).text())
}

/// A listed item under the aggregate's name or URI.
pub(crate) fn listed(
    method: Method,
    server: &ServerName,
    separator: &mcp::Separator,
    item: Json<'_>,
) -> String {
    let changed = match method {
        Method::ResourcesList => uri(server, item),
        Method::ResourcesTemplatesList => wrapped(server, item, "uriTemplate"),
        _ => item.get("name").and_then(Json::string).map(|name| {
            let name = quote(&separator.join(server, &name));
            let patch = Patch::of(item).set("name", name);
            match ui_resource(server, item) {
                Some(held) => patch.set("_meta", held).text(),
                None => patch.text(),
            }
        }),
    };
    changed.unwrap_or_else(|| item.text().to_owned())
}

/// MCP Apps: `_meta.ui.resourceUri` (and its older flat spelling) names a resource of this server.
fn ui_resource(server: &ServerName, item: Json<'_>) -> Option<String> {
    let held = item.get("_meta")?;
    let ui = held.get("ui").and_then(|ui| wrapped(server, ui, "resourceUri"));
    let flat = held.get("ui/resourceUri").and_then(Json::string);
    let flat = flat.map(|uri| quote(&server.wrap_uri(&uri)));
    if ui.is_none() && flat.is_none() {
        return None;
    }
    let mut patch = Patch::of(held);
    if let Some(ui) = ui {
        patch = patch.set("ui", ui);
    }
    if let Some(flat) = flat {
        patch = patch.set("ui/resourceUri", flat);
    }
    Some(patch.text())
}

/// `params.uri` of `notifications/resources/updated`.
pub(crate) fn updated(server: &ServerName, params: Json<'_>) -> JsonBuf {
    uri(server, params).map_or_else(|| params.into(), crate::made)
}

/// An array with its items changed; `None` when no item had to.
fn each(array: Json<'_>, change: impl Fn(Json<'_>) -> Option<String>) -> Option<String> {
    let mut text = String::with_capacity(array.text().len() + 64);
    let mut any = false;
    text.push('[');
    for item in array.items() {
        if text.len() > 1 {
            text.push(',');
        }
        match change(item) {
            Some(changed) => {
                any = true;
                text.push_str(&changed);
            }
            None => text.push_str(item.text()),
        }
    }
    text.push(']');
    any.then_some(text)
}
