//! Which era a server speaks, and what is evidence for it.

use mcp::{Json, JsonBuf, Version};

use crate::call::Outcome;
use crate::{EraChoice, LinkFault, Offer, offers};

pub(crate) const METHOD_NOT_FOUND: i64 = -32601;

/// How a server is spoken to, once known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Unknown = 0,
    Handshake = 1,
    /// HTTP+SSE, 2024-11-05.
    Pair = 2,
    Stateless = 3,
}

impl Mode {
    pub fn of(raw: u8) -> Mode {
        [Mode::Unknown, Mode::Handshake, Mode::Pair, Mode::Stateless]
            .into_iter()
            .find(|mode| *mode as u8 == raw)
            .unwrap_or(Mode::Unknown)
    }

    pub fn pinned(choice: EraChoice) -> Mode {
        match choice {
            EraChoice::Auto => Mode::Unknown,
            EraChoice::Handshake => Mode::Handshake,
            EraChoice::Stateless => Mode::Stateless,
        }
    }
}

/// What the answer to a `server/discover` says.
#[derive(Debug)]
pub(crate) enum Evidence {
    Handshake,
    Stateless(Option<Box<(Offer, Option<i64>)>>),
}

/// Any answer that is not recognisably of the stateless era speaks for the handshake: no single
/// error code does, since servers answered unknown methods in many ways.
pub(crate) fn weigh(outcome: &Outcome) -> Evidence {
    match outcome {
        Ok(result) => match offers::discovered(result.json()) {
            Some(offer) => {
                let ttl = result.json().get("ttlMs").and_then(Json::integer);
                Evidence::Stateless(Some(Box::new((offer, ttl))))
            }
            None => Evidence::Handshake,
        },
        Err(error) if is_stateless_error(error) => Evidence::Stateless(None),
        Err(_) => Evidence::Handshake,
    }
}

/// The codes that only the stateless era has; an `UnsupportedProtocolVersion` must also list its revision.
pub(crate) fn is_stateless_error(error: &JsonBuf) -> bool {
    match code(error) {
        Some(-32021 | -32020) => true,
        Some(-32022) => {
            let data = error.json().get("data");
            let supported = data.and_then(|data| data.get("supported"));
            supported.is_none_or(|versions| {
                versions
                    .items()
                    .any(|v| v.string().as_deref() == Some(Version::LAST_STATELESS.as_str()))
            })
        }
        _ => false,
    }
}

pub(crate) fn code(error: &JsonBuf) -> Option<i64> {
    error.json().get("code").and_then(Json::integer)
}

/// Whether a probe's HTTP refusal (without a JSON-RPC error) says anything of the era: credentials, limits
/// and outages do not.
pub(crate) fn refusal_is_evidence(fault: &LinkFault) -> bool {
    match fault {
        LinkFault::Http { status, .. } => {
            (400..500).contains(status) && !matches!(status, 401 | 403 | 407 | 408 | 425 | 429)
        }
        LinkFault::Garbage(_) => true,
        _ => false,
    }
}

/// Whether an answer to a stateless request can't come from a stateless server: it was replaced.
pub(crate) fn contradicts(status: u16, error: Option<&JsonBuf>) -> bool {
    let legacy = error.is_none_or(|e| matches!(code(e), Some(-32019..=-32000)));
    matches!(status, 400 | 404 | 405) && legacy
}
