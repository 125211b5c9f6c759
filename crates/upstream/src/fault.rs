//! Why a server could not be reached or made no sense.

/// Why a server could not be reached or made no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkFault {
    /// No answer before the call's deadline; the call was cancelled.
    #[error("the server did not answer in time")]
    Deadline,
    /// The address guard said no.
    #[error("the address is not allowed: {0}")]
    Forbidden(String),
    /// A bound was reached: calls in flight, sessions, parked requests or unwritten bytes.
    #[error("too many calls are in flight to this server")]
    Full,
    /// Not JSON, not JSON-RPC, a foreign id, too long.
    #[error("the server answered with something that is not the protocol: {0}")]
    Garbage(String),
    /// An HTTP status without a JSON-RPC body, or one that is about the credential.
    #[error("the server refused: HTTP {status}")]
    Http {
        /// The status.
        status: u16,
        /// `WWW-Authenticate`.
        challenge: Option<String>,
    },
    /// The connection or process ended while the call was in flight: it may have run.
    #[error("the call was lost: {0}")]
    Lost(String),
    /// An unknown, foreign or used `requestState`.
    #[error("the parked request has expired or was answered already")]
    Parked,
    /// The process did not start, or `initialize` failed.
    #[error("the server could not be started: {0}")]
    Start(String),
    /// No connection.
    #[error("the server could not be reached: {0}")]
    Unreachable(String),
}

impl LinkFault {
    /// The challenge of a status that is about the credential: 401, or 403 with `insufficient_scope`
    /// (RFC 6750 §3.1).
    pub fn challenge(status: u16, challenge: Option<&str>) -> Option<&str> {
        match (status, challenge) {
            (401, challenge) => Some(challenge.unwrap_or_default()),
            (403, Some(challenge)) if challenge.contains("insufficient_scope") => Some(challenge),
            _ => None,
        }
    }
}
