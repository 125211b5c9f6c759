//! Which era a message is in. Headers and body must agree: two hops that decide by different parts of
//! the same request would read it differently.

use http::HeaderMap;
use mcp::{Era, HeaderFault, Json, Message, Version, meta};

use super::{MCP_PROTOCOL_VERSION, stateless::header};
use crate::{call::Shown, refusal::Refusal};

/// The era of a message that came by HTTP.
pub fn of_http(
    headers: &HeaderMap,
    message: &Message<'_>,
    shown: Option<&Shown<'_>>,
) -> Result<Era, Refusal> {
    let header = match header(headers, &MCP_PROTOCOL_VERSION, "MCP-Protocol-Version")? {
        None => None,
        Some(value) => Some(
            std::str::from_utf8(value)
                .map_err(|_| Refusal::HeaderMismatch(HeaderFault::Character))?,
        ),
    };
    let known = header.and_then(Version::parse);
    let body = match shown {
        Some(shown) => shown.version.clone(),
        None => claimed(message),
    };
    match (header, body) {
        (Some(header), Some(body)) if header == body => Ok(Era::Stateless),
        (header, Some(body)) => Err(Refusal::EraMismatch {
            header: header.unwrap_or_default().to_owned(),
            body: body.into_owned(),
        }),
        (_, None) if known.is_some_and(|version| version.era() == Era::Stateless) => {
            match message {
                Message::Request(request)
                    if request.method == "initialize" && has_version(request) =>
                {
                    // A handshake client that already sends the header of the newest revision.
                    Ok(Era::Handshake)
                }
                Message::Request(_) => Err(Refusal::MetaMissing(meta::PROTOCOL_VERSION)),
                _ => Ok(Era::Stateless),
            }
        }
        (Some(header), None) if known.is_none() => {
            let initialize =
                matches!(message, Message::Request(request) if request.method == "initialize");
            if initialize { Ok(Era::Handshake) } else { Err(Refusal::Version(header.to_owned())) }
        }
        _ => Ok(Era::Handshake),
    }
}

/// The era of a message on a channel without headers.
pub fn of_line(message: &Message<'_>) -> Era {
    if claimed(message).is_some() { Era::Stateless } else { Era::Handshake }
}

fn has_version(request: &mcp::Request<'_>) -> bool {
    request.params.get("protocolVersion").is_some() && request.params.get(meta::META).is_none()
}

/// The revision that the body claims in `_meta`, which only the stateless era has.
fn claimed<'a>(message: &Message<'a>) -> Option<std::borrow::Cow<'a, str>> {
    let params = match message {
        Message::Notification(notification) => notification.params,
        Message::Request(request) => request.params,
        Message::Response(_) => return None,
    };
    params.get(meta::META)?.get(meta::PROTOCOL_VERSION).and_then(Json::string)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a request with this header and body is taken for; a refusal by its label.
    fn taken(header: Option<&str>, body: &str) -> Result<Era, &'static str> {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert("mcp-protocol-version", header.parse().unwrap());
        }
        let json = Json::read(body.as_bytes(), &mcp::Limits::default()).unwrap();
        of_http(&headers, &Message::of(json).unwrap(), None).map_err(|refusal| refusal.label())
    }

    fn request(method: &str, params: &str) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)
    }

    fn claims(version: &str) -> String {
        let params =
            format!(r#"{{"_meta":{{"io.modelcontextprotocol/protocolVersion":"{version}"}}}}"#);
        request("tools/list", &params)
    }

    #[test]
    fn header_and_body_must_agree() {
        use Era::{Handshake, Stateless};
        let bare = request("tools/list", "{}");
        let initialize = request("initialize", r#"{"protocolVersion":"2025-11-25"}"#);
        let rows = [
            (Some("2026-07-28"), claims("2026-07-28"), Ok(Stateless)),
            (Some(" 2026-07-28 "), claims("2026-07-28"), Ok(Stateless)),
            (None, claims("2026-07-28"), Err("era-mismatch")),
            (Some("2025-11-25"), claims("2026-07-28"), Err("era-mismatch")),
            (Some("2026-07-28"), claims("2025-11-25"), Err("era-mismatch")),
            (Some("v999"), claims("v999"), Ok(Stateless)),
            (Some("2026-07-28"), bare.clone(), Err("meta-missing")),
            (Some("2025-11-25"), bare.clone(), Ok(Handshake)),
            (None, bare.clone(), Ok(Handshake)),
            (Some("v999"), bare, Err("version")),
            (Some("2026-07-28"), initialize.clone(), Ok(Handshake)),
            (Some("v999"), initialize.clone(), Ok(Handshake)),
            (None, initialize, Ok(Handshake)),
        ];
        for (header, body, expected) in rows {
            assert_eq!(taken(header, &body), expected, "{header:?} {body}");
        }
    }

    #[test]
    fn notifications_and_answers_follow_the_header() {
        let cancelled = r#"{"jsonrpc":"2.0","method":"notifications/cancelled"}"#;
        assert_eq!(taken(Some("2026-07-28"), cancelled), Ok(Era::Stateless));
        assert_eq!(taken(Some("2025-11-25"), cancelled), Ok(Era::Handshake));
        let answer = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
        assert_eq!(taken(None, answer), Ok(Era::Handshake));
    }
}
