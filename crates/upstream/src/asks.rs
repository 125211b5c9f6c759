//! What a handshake server may ask of the client, and the key that tells clients apart.

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

/// The same capabilities give the same key, however their members are ordered or spaced.
pub(crate) fn capabilities_key(capabilities: Json<'_>) -> String {
    let mut out = String::with_capacity(capabilities.text().len());
    canonical(capabilities, &mut out);
    out
}

fn canonical(value: Json<'_>, out: &mut String) {
    match value.kind() {
        Kind::Object => {
            let mut members: Vec<_> = value.members().collect();
            members.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            out.push('{');
            for (name, member) in members {
                let _ = write!(out, "{name:?}:");
                canonical(member, out);
                out.push(',');
            }
            out.push('}');
        }
        Kind::Array => {
            out.push('[');
            for item in value.items() {
                canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Kind::String => {
            let _ = write!(out, "{:?}", value.string().unwrap_or_default());
        }
        Kind::Boolean | Kind::Null | Kind::Number => out.push_str(value.text()),
    }
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
    fn keys_ignore_order_and_space() {
        let one = capabilities_key(json(r#"{"roots":{},"sampling":{"tools":{}, "a":[1,"x"]}}"#));
        let two =
            capabilities_key(json(r#"{ "sampling":{"a":[ 1,"\u0078"],"tools":{}},"roots":{} }"#));
        assert_eq!(one, two);
        assert_ne!(one, capabilities_key(json(r#"{"roots":{}}"#)));
    }
}
