//! Which era a message is in. Headers and body must agree: two hops that decide by different parts of
//! the same request would read it differently.

use http::HeaderMap;
use mcp::{Era, HeaderFault, Json, Message, Version, meta};

use crate::refusal::Refusal;

/// The era of a message that came by HTTP.
pub fn of_http(headers: &HeaderMap, message: &Message<'_>) -> Result<Era, Refusal> {
    let header = match headers.get("mcp-protocol-version") {
        None => None,
        Some(value) => Some(
            std::str::from_utf8(value.as_bytes().trim_ascii())
                .map_err(|_| Refusal::HeaderMismatch(HeaderFault::Character))?,
        ),
    };
    let known = header.and_then(Version::parse);
    let body = claimed(message);
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
