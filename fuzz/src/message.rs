//! The envelope is read as a plain walk over the parsed value would read it.

use mcp::{Id, Json, Limits, Message, MessageFault, RpcError};
use mcp::{error_reply, notification, request, result_reply};

use super::oracle::{self, Tree};

/// Any bytes; what matters begins where they are JSON.
pub fn target(data: &[u8]) {
    let Ok(json) = Json::read(data, &Limits::default()) else { return };
    let Ok(tree) = oracle::read(data, &Limits::default()) else { return };
    let read = Message::of(json);
    assert_eq!(read.as_ref().map(kind), expected(&tree, json).as_ref().copied(), "{}", json.text());
    let Ok(message) = read else { return };
    // What is written from its parts is read as the same.
    let written = write(&message);
    let Ok(again) = Json::read(written.as_bytes(), &Limits { depth: 65, ..Limits::default() })
    else {
        panic!("wrote what can't be read: {written}")
    };
    match Message::of(again) {
        Ok(again) => assert_eq!(write(&again), written),
        Err(fault) => panic!("wrote {written}: {fault}"),
    }
}

fn write(message: &Message<'_>) -> String {
    match message {
        Message::Notification(n) => notification(&n.method, n.params.text()),
        Message::Request(r) => request(r.id.raw(), &r.method, r.params.text()),
        Message::Response(r) => match r.outcome {
            Ok(result) => result_reply(r.id.map_or("0", Id::raw), result.text()),
            Err(error) => {
                let (code, message) = (error.get("code"), error.get("message"));
                let error = RpcError {
                    code: code
                        .and_then(Json::integer)
                        .and_then(|code| i32::try_from(code).ok())
                        .unwrap_or(0),
                    message: message.and_then(Json::string).unwrap_or_default().into_owned(),
                    data: error.get("data").map(|data| data.text().to_owned()),
                };
                error_reply(r.id.map(Id::raw), &error)
            }
        },
    }
}

fn kind(message: &Message<'_>) -> &'static str {
    match message {
        Message::Notification(_) => "notification",
        Message::Request(_) => "request",
        Message::Response(_) => "response",
    }
}

fn expected(tree: &Tree, json: Json<'_>) -> Result<&'static str, MessageFault> {
    let members = match tree {
        Tree::Object(members) => members,
        Tree::Array(_) => return Err(MessageFault::Batch),
        _ => return Err(MessageFault::Shape),
    };
    let known = ["error", "id", "jsonrpc", "method", "params", "result"];
    let variant = |name: &str| {
        let folded = name.to_lowercase().replace('ſ', "s");
        !known.contains(&name) && known.contains(&&*folded)
    };
    if members.iter().any(|(name, _)| variant(name)) {
        return Err(MessageFault::CaseVariant);
    }
    if tree.get("jsonrpc") != Some(&Tree::String("2.0".to_owned())) {
        return Err(MessageFault::JsonRpc);
    }
    let object = |value: &Tree| matches!(value, Tree::Object(_));
    let id = json.get("id").map(|id| match tree.get("id") {
        Some(Tree::String(_)) => true,
        Some(Tree::Number(_)) => {
            id.text().bytes().all(|byte| byte == b'-' || byte.is_ascii_digit())
        }
        _ => false,
    });
    match (tree.get("method"), tree.get("result"), tree.get("error")) {
        (Some(Tree::String(_)), None, None) => match (tree.get("params").is_none_or(object), id) {
            (false, _) => Err(MessageFault::Params),
            (true, None) => Ok("notification"),
            (true, Some(true)) => Ok("request"),
            (true, Some(false)) => Err(MessageFault::Id),
        },
        (None, Some(result), None) if object(result) => {
            if id == Some(true) {
                Ok("response")
            } else {
                Err(MessageFault::Id)
            }
        }
        (None, None, Some(error)) if object(error) => {
            let usable = id.is_none_or(|id| id) || tree.get("id") == Some(&Tree::Null);
            if usable { Ok("response") } else { Err(MessageFault::Id) }
        }
        _ => Err(MessageFault::Shape),
    }
}
