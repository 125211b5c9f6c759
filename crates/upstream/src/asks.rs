//! What a handshake server may ask of the client, and what tells clients apart.

use std::fmt::Write as _;

use mcp::{Code, Json, Kind, RpcError};

/// Whether the client's declared capabilities cover an ask; the error for the server if not.
pub(crate) fn covered(
    capabilities: Json<'_>,
    method: &str,
    params: Json<'_>,
) -> Result<(), RpcError> {
    let name = match method {
        "elicitation/create" => "elicitation",
        "roots/list" => "roots",
        "sampling/createMessage" => "sampling",
        _ => return Err(RpcError::new(Code::MethodNotFound, "method not found")),
    };
    let Some(declared) = capabilities.get(name).filter(|c| c.kind() == Kind::Object) else {
        let text = format!("the client does not offer {name}");
        return Err(RpcError::new(Code::MethodNotFound, text));
    };
    let missing = match name {
        "elicitation" => elicitation_gap(declared, params),
        "sampling" => sampling_gap(declared, params),
        _ => None,
    };
    match missing {
        None => Ok(()),
        Some(what) => {
            let text = format!("the client does not offer {name} with {what}");
            Err(RpcError::new(Code::InvalidParams, text))
        }
    }
}

/// An empty `elicitation` means form mode (2025-06-18 knew no other).
fn elicitation_gap(declared: Json<'_>, params: Json<'_>) -> Option<&'static str> {
    let mode = params.get("mode").and_then(Json::string);
    let url = declared.get("url").is_some();
    match mode.as_deref() {
        Some("url") => (!url).then_some("mode url"),
        _ => (url && declared.get("form").is_none()).then_some("mode form"),
    }
}

fn sampling_gap(declared: Json<'_>, params: Json<'_>) -> Option<&'static str> {
    let tools = params.get("tools").is_some() || params.get("toolChoice").is_some();
    (tools && declared.get("tools").is_none()).then_some("tools")
}

/// What [`covered`] reads of a client's capabilities, and whether it announces changes of its roots.
const READ: [(&str, &[&str]); 3] = [
    ("elicitation", &["form", "url"]),
    ("roots", &["listChanged"]),
    ("sampling", &["context", "tools"]),
];

/// A client's capabilities cut down to what matters to a server of the handshake era, as text of our
/// own. It is both what `initialize` declares and what tells sessions apart: were anything else of the
/// client's in it, a client could have a new process with each request.
pub(crate) fn essence(capabilities: Json<'_>) -> String {
    let mut out = String::from("{");
    for (name, parts) in READ {
        let Some(declared) = capabilities.get(name).filter(|c| c.kind() == Kind::Object) else {
            continue;
        };
        let _ = write!(out, "\"{name}\":{{");
        for part in parts {
            match declared.get(part) {
                None => {}
                Some(_) if name != "roots" => {
                    let _ = write!(out, "\"{part}\":{{}},");
                }
                Some(flag) if flag.boolean() == Some(true) => {
                    let _ = write!(out, "\"{part}\":true,");
                }
                Some(_) => {}
            }
        }
        end_object(&mut out);
        out.push(',');
    }
    end_object(&mut out);
    out
}

fn end_object(out: &mut String) {
    if out.ends_with(',') {
        out.pop();
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcp::Limits;

    fn json(text: &str) -> Json<'_> {
        Json::read(text.as_bytes(), &Limits::default()).unwrap()
    }

    #[test]
    fn coverage() {
        let code = |caps: &str, method: &str, params: &str| {
            covered(json(caps), method, json(params)).err().map(|e| e.code)
        };
        assert_eq!(code(r#"{"elicitation":{}}"#, "elicitation/create", "{}"), None);
        assert_eq!(
            code(r#"{"elicitation":{}}"#, "elicitation/create", r#"{"mode":"url"}"#),
            Some(-32602)
        );
        assert_eq!(
            code(r#"{"elicitation":{"url":{}}}"#, "elicitation/create", r#"{"mode":"url"}"#),
            None
        );
        assert_eq!(code(r#"{"elicitation":{"url":{}}}"#, "elicitation/create", "{}"), Some(-32602));
        assert_eq!(code("{}", "elicitation/create", "{}"), Some(-32601));
        assert_eq!(code(r#"{"roots":{}}"#, "roots/list", "{}"), None);
        assert_eq!(code(r#"{"sampling":{}}"#, "sampling/createMessage", "{}"), None);
        assert_eq!(
            code(r#"{"sampling":{}}"#, "sampling/createMessage", r#"{"tools":[]}"#),
            Some(-32602)
        );
        assert_eq!(code(r#"{"roots":{}}"#, "something/else", "{}"), Some(-32601));
    }

    #[test]
    fn only_what_is_read_tells_clients_apart() {
        let of = |text: &str| essence(json(text));
        let full = r#"{"elicitation":{"form":{},"url":{}},"roots":{"listChanged":true},"sampling":{"context":{},"tools":{}}}"#;
        assert_eq!(of(full), full);
        let odd = r#"{ "x":{}, "sampling":{"tools":{"a":1},"b":[1],"context":{}}, "roots":{"listChanged":true,"n":2},
            "elicitation":{"url":{"z":0},"y":"y","form":{}}, "experimental":{"e":{}} }"#;
        assert_eq!(of(odd), full);
        assert_eq!(of(r#"{"roots":{"listChanged":false},"sampling":[1]}"#), r#"{"roots":{}}"#);
        assert_eq!(of(r#"{"x0":{},"elicitation":{"x1":{}}}"#), r#"{"elicitation":{}}"#);
        assert_eq!(of("{}"), "{}");
        assert_ne!(of(r#"{"elicitation":{"url":{}}}"#), of(r#"{"elicitation":{"form":{}}}"#));
    }
}
