//! Every way a request can end other than with a reply from a server: one variant for each reason.

use http::StatusCode;
use mcp::{Code, HeaderFault, MessageFault, RpcError, ServerName, Version, quote};
use upstream::LinkFault;

use crate::call::Reply;

/// A request that was not answered by a server. Knows what the client may see, what the operator
/// sees, whose fault it was and whether a retry makes sense.
#[derive(Clone, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what it is")]
pub enum Refusal {
    #[error("{rule}: denied{}", named(by))]
    ApprovalDenied { id: String, rule: String, by: String },
    #[error("{rule}: waits for the approval {id}")]
    ApprovalWaits { id: String, rule: String, told: String, question: Option<mcp::JsonBuf> },
    #[error("{0}")]
    Approver(String),
    #[error("arguments refused by rule {rule}: {detail}")]
    ArgumentsUnsafe { rule: &'static str, detail: String },
    #[error("the audit log can't be written: {0}")]
    AuditUnavailable(String),
    #[error("authentication failed: {0}")]
    Authentication(identity::AuthFault),
    #[error("the body did not arrive")]
    BodyLost,
    #[error("body is longer than {limit} bytes")]
    BodyTooLong { limit: usize },
    #[error("call stack: {0}")]
    CallStack(String),
    #[error("the call has to be signed: {0}")]
    CallUnsigned(String),
    #[error("the client did not declare {0}")]
    CapabilityMissing(&'static str),
    #[error("denied by {rule}")]
    Denied { rule: String },
    #[error("the client cancelled")]
    Cancelled,
    #[error("the identity provider wants more than the credential shows")]
    ClaimsRequired { claims: String },
    #[error("the caller has not connected {server} yet")]
    Connect { server: ServerName, url: String, question: Option<mcp::JsonBuf> },
    #[error("credential for {server} can't be had: {detail}")]
    CredentialUnavailable { server: ServerName, detail: String },
    #[error("cursor is not valid here")]
    CursorInvalid,
    #[error("{0}")]
    Exchange(Box<crate::exchange::ExchangeRefusal>),
    #[error("{0}")]
    Flow(Box<crate::flow::FlowRefusal>),
    #[error("host {0:?} is not accepted")]
    Host(String),
    #[error("header against body: {0}")]
    HeaderMismatch(HeaderFault),
    #[error(
        "{server}/{name} is held back, its definition being {}: bartizan trust diff {server} {name}",
        state.as_str()
    )]
    HeldBack { server: ServerName, name: String, state: trust::State },
    #[error("header MCP-Protocol-Version says {header:?}, the body {body:?}")]
    EraMismatch { header: String, body: String },
    #[error("who is calling can't be found out: {0}")]
    IdentityUnavailable(String),
    #[error("inputResponses must be an object whose values are objects")]
    InputResponses,
    #[error("the client can't be asked: {0}")]
    InputUnsupported(&'static str),
    #[error("scope is missing: {}", scopes.join(" "))]
    InsufficientScope { scopes: Vec<String> },
    #[error("strict reading failed: {0}")]
    Json(mcp::Fault),
    #[error("limit {limit}: no more {what}")]
    Limited { limit: String, what: &'static str, retry_after: std::time::Duration },
    #[error("the body's media type is not application/json")]
    MediaType,
    #[error("not a message: {0}")]
    Message(MessageFault),
    #[error("{0}")]
    Model(crate::models::ModelFault),
    #[error("params._meta lacks {0}")]
    MetaMissing(&'static str),
    #[error("no method {0:?}")]
    MethodNotFound(String),
    #[error("params lack a text {0:?}")]
    NameMissing(&'static str),
    #[error("{0}")]
    Network(policy::NetworkFault),
    #[error("origin {0:?} is not accepted")]
    Origin(String),
    #[error("requestState is not valid here")]
    RequestState,
    #[error("result refused by rule {rule}: {detail}")]
    ResultUnsafe { rule: &'static str, detail: String },
    #[error("{server}: {fault}")]
    Server { server: ServerName, fault: LinkFault },
    #[error("{server} asked for {method}, which the client did not declare")]
    ServerAsked { server: ServerName, method: String },
    #[error("no session, or not this principal's")]
    SessionUnknown,
    #[error("MCP-Session-Id is required")]
    SessionMissing,
    #[error("the store failed: {0}")]
    StoreUnavailable(String),
    #[error("the token has to be bound to the tool: {0}")]
    TokenUnbound(String),
    #[error("too many {0}")]
    TooMany(&'static str),
    #[error("unknown prompt {name:?}{}", by(rule))]
    UnknownPrompt { name: String, rule: Option<String> },
    #[error("unknown resource {uri:?}{}", by(rule))]
    UnknownResource { uri: String, rule: Option<String> },
    #[error("no server {0:?}")]
    UnknownServer(String),
    #[error("task is not valid here")]
    UnknownTask,
    #[error("unknown tool {name:?}{}", by(rule))]
    UnknownTool { name: String, rule: Option<String> },
    #[error("protocol version {0:?} is not supported")]
    Version(String),
}

fn named(by: &str) -> String {
    if by.is_empty() { " by nobody in time".to_owned() } else { format!(" by {by}") }
}

/// The operator is told which rule hid what the client is told does not exist.
fn by(rule: &Option<String>) -> String {
    rule.as_ref().map(|rule| format!(" (hidden by {rule})")).unwrap_or_default()
}

/// Whose fault it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The client's.
    Client,
    /// Ours.
    Gateway,
    /// The server's.
    Server,
}

impl Refusal {
    /// What an identity provider wants beside the credential (a claims challenge, as JSON): passed on to a
    /// client that can answer it, and otherwise a credential that no longer does.
    pub fn claims_required(caller: &identity::Verified, claims: String) -> Refusal {
        if caller.principal().answers_claims_challenges() {
            Refusal::ClaimsRequired { claims }
        } else {
            Refusal::Authentication(identity::AuthFault::Expired)
        }
    }

    /// The label in the audit log and in metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::ApprovalDenied { .. } => "approval-denied",
            Self::ApprovalWaits { .. } => "approval-waits",
            Self::Approver(_) => "approver",
            Self::ArgumentsUnsafe { .. } => "arguments-unsafe",
            Self::AuditUnavailable(_) => "audit-unavailable",
            Self::Authentication(_) => "authentication",
            Self::BodyLost => "body-lost",
            Self::BodyTooLong { .. } => "body-too-long",
            Self::CallStack(_) => "call-stack",
            Self::CallUnsigned(_) => "call-unsigned",
            Self::Cancelled => "cancelled",
            Self::CapabilityMissing(_) => "capability-missing",
            Self::ClaimsRequired { .. } => "claims-required",
            Self::Connect { .. } => "connect",
            Self::CredentialUnavailable { .. } => "credential-unavailable",
            Self::CursorInvalid => "cursor-invalid",
            Self::Denied { .. } => "denied",
            Self::EraMismatch { .. } => "era-mismatch",
            Self::Exchange(refusal) => refusal.label(),
            Self::Flow(_) => "flow",
            Self::HeaderMismatch(_) => "header-mismatch",
            Self::HeldBack { .. } => "held-back",
            Self::Host(_) => "host",
            Self::IdentityUnavailable(_) => "identity-unavailable",
            Self::InputResponses => "input-responses",
            Self::InputUnsupported(_) => "input-unsupported",
            Self::InsufficientScope { .. } => "insufficient-scope",
            Self::Json(_) => "json",
            Self::Limited { .. } => "limited",
            Self::MediaType => "media-type",
            Self::Message(_) => "message",
            Self::Model(fault) => fault.label(),
            Self::MetaMissing(_) => "meta-missing",
            Self::MethodNotFound(_) => "method-not-found",
            Self::NameMissing(_) => "name-missing",
            Self::Network(_) => "network",
            Self::Origin(_) => "origin",
            Self::RequestState => "request-state",
            Self::ResultUnsafe { .. } => "result-unsafe",
            Self::Server { .. } => "server",
            Self::ServerAsked { .. } => "server-asked",
            Self::SessionMissing => "session-missing",
            Self::SessionUnknown => "session-unknown",
            Self::StoreUnavailable(_) => "store-unavailable",
            Self::TokenUnbound(_) => "token-unbound",
            Self::TooMany(_) => "too-many",
            Self::UnknownPrompt { .. } => "unknown-prompt",
            Self::UnknownResource { .. } => "unknown-resource",
            Self::UnknownServer(_) => "unknown-server",
            Self::UnknownTask => "unknown-task",
            Self::UnknownTool { .. } => "unknown-tool",
            Self::Version(_) => "version",
        }
    }

    /// What is no refusal to the client but a question.
    pub(crate) fn into_question(self) -> Result<Reply, Refusal> {
        match self {
            Self::ApprovalWaits { question: Some(question), .. }
            | Self::Connect { question: Some(question), .. } => {
                Ok(Reply::of(Ok(question), mcp::Era::Stateless))
            }
            refusal => Err(refusal),
        }
    }

    /// Whose fault it was.
    pub fn blame(&self) -> Blame {
        match self {
            Self::AuditUnavailable(_)
            | Self::CredentialUnavailable { .. }
            | Self::IdentityUnavailable(_)
            | Self::StoreUnavailable(_) => Blame::Gateway,
            Self::Exchange(refusal) if !refusal.is_callers() => Blame::Gateway,
            Self::HeldBack { .. }
            | Self::ResultUnsafe { .. }
            | Self::Server { .. }
            | Self::ServerAsked { .. } => Blame::Server,
            _ => Blame::Client,
        }
    }

    /// The rule that made it, where one did.
    pub fn rule(&self) -> Option<&str> {
        match self {
            Self::Denied { rule }
            | Self::ApprovalDenied { rule, .. }
            | Self::ApprovalWaits { rule, .. } => Some(rule),
            Self::Flow(flow) => Some(&flow.rule),
            Self::UnknownPrompt { rule, .. }
            | Self::UnknownResource { rule, .. }
            | Self::UnknownTool { rule, .. } => rule.as_deref(),
            _ => None,
        }
    }

    /// The request for an approval that it is about.
    pub fn approval(&self) -> Option<&str> {
        match self {
            Self::ApprovalDenied { id, .. } | Self::ApprovalWaits { id, .. } => Some(id),
            _ => None,
        }
    }

    /// In how many seconds it is worth trying again, where that is known.
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Limited { retry_after, .. } => Some(
                u64::try_from(retry_after.as_millis().div_ceil(1000)).unwrap_or(u64::MAX).max(1),
            ),
            Self::TooMany(_) => Some(1),
            _ => None,
        }
    }

    /// Whether the same request may succeed later.
    pub fn retry(&self) -> bool {
        match self {
            Self::AuditUnavailable(_)
            | Self::IdentityUnavailable(_)
            | Self::ApprovalWaits { .. }
            | Self::Limited { .. }
            | Self::StoreUnavailable(_)
            | Self::TooMany(_) => true,
            Self::Exchange(refusal) => refusal.fault.is_passing(),
            Self::Server { fault, .. } => {
                !matches!(fault, LinkFault::Forbidden(_) | LinkFault::Parked)
            }
            _ => false,
        }
    }

    /// What the client is told: fixed text, and only what it said itself.
    pub fn error(&self) -> RpcError {
        match self {
            Self::ApprovalDenied { id, .. } => {
                RpcError::new(Code::Refused, "An approver did not allow this.")
                    .with_data(format!("{{\"approval\":{}}}", quote(id)))
            }
            Self::ApprovalWaits { id, told, .. } => RpcError::new(
                Code::Refused,
                format!(
                    "This waits for an approval{}; the same call may be made again when it is there.",
                    if told.is_empty() { String::new() } else { format!(" ({told})") }
                ),
            )
            .with_data(format!("{{\"approval\":{}}}", quote(id))),
            Self::Approver(why) => RpcError::new(Code::InvalidParams, why.as_str()),
            Self::ArgumentsUnsafe { rule, .. } => {
                RpcError::new(Code::Refused, format!("The arguments were refused by rule {rule}."))
            }
            Self::AuditUnavailable(_) => {
                RpcError::new(Code::Internal, "Refused: the call can't be recorded right now.")
            }
            Self::Authentication(_) => RpcError::new(Code::Refused, "Authentication is required."),
            Self::BodyLost => {
                RpcError::new(Code::InvalidRequest, "The message did not arrive whole or in time.")
            }
            Self::BodyTooLong { limit } => RpcError::new(
                Code::InvalidRequest,
                format!("The message is longer than {limit} bytes."),
            ),
            Self::CapabilityMissing(extension) => RpcError::new(
                Code::MissingClientCapability,
                "The client did not declare a capability that this needs.",
            )
            .with_data(format!(
                "{{\"requiredCapabilities\":{{\"extensions\":{{{}:{{}}}}}}}}",
                quote(extension)
            )),
            Self::CallStack(why) => RpcError::new(Code::Refused, format!("Refused: {why}.")),
            Self::CallUnsigned(why) => {
                RpcError::new(Code::Refused, format!("This call has to be signed: {why}."))
            }
            Self::Cancelled => RpcError::new(Code::InvalidRequest, "The request was cancelled."),
            Self::ClaimsRequired { .. } => {
                RpcError::new(Code::Refused, "Sign in again: more is asked for.")
            }
            Self::IdentityUnavailable(_) => {
                RpcError::new(Code::Internal, "Refused: the identity provider does not answer.")
            }
            Self::InsufficientScope { scopes } => {
                RpcError::new(Code::Refused, format!("This needs the scopes {}.", scopes.join(" ")))
            }
            Self::Connect { server, url, .. } => {
                let message = format!("Sign in at server \"{server}\" first: open {url}");
                let elicitation = format!(
                    "{{\"mode\":\"url\",\"elicitationId\":{},\"url\":{},\"message\":{}}}",
                    quote(url.rsplit('/').next().unwrap_or_default()),
                    quote(url),
                    quote(&message)
                );
                RpcError::new(Code::UrlElicitationRequired, message)
                    .with_data(format!("{{\"elicitations\":[{elicitation}]}}"))
            }
            Self::CredentialUnavailable { server, .. } => RpcError::new(
                Code::Upstream,
                format!("The credential for server \"{server}\" is not available."),
            ),
            Self::CursorInvalid => RpcError::new(Code::InvalidParams, "Invalid cursor."),
            Self::Denied { .. } => {
                RpcError::new(Code::Refused, "This is not permitted in this way.")
            }
            Self::EraMismatch { .. } => RpcError::new(
                Code::HeaderMismatch,
                "MCP-Protocol-Version does not match params._meta.",
            ),
            Self::Exchange(refusal) => refusal.error(),
            Self::Flow(flow) => RpcError::new(
                Code::Refused,
                format!(
                    "Refused by {}: {}. Only a person can let it go on, by beginning the conversation anew.",
                    flow.rule, flow.reason
                ),
            ),
            Self::HeaderMismatch(fault) => {
                RpcError::new(Code::HeaderMismatch, format!("Header mismatch: {fault}."))
            }
            Self::HeldBack { server, name, state } => RpcError::new(
                Code::Refused,
                format!(
                    "{name:?} of server {:?} is held back until somebody approves it (it is {}): bartizan trust approve {} '{name}'",
                    server.as_str(),
                    state.as_str(),
                    server.as_str()
                ),
            ),
            Self::Host(_) => RpcError::new(Code::Refused, "This Host is not served here."),
            Self::InputResponses => RpcError::new(
                Code::InvalidParams,
                "inputResponses must be an object whose values are objects.",
            ),
            Self::InputUnsupported(why) => RpcError::new(
                Code::Refused,
                format!("The server needs an answer that this client can't give: {why}."),
            ),
            Self::Json(fault) => RpcError::new(Code::Parse, format!("Parse error: {fault}.")),
            Self::MediaType => {
                RpcError::new(Code::InvalidRequest, "Content-Type must be application/json.")
            }
            Self::Message(fault) => {
                RpcError::new(Code::InvalidRequest, format!("Invalid request: {fault}."))
            }
            Self::MetaMissing(key) => RpcError::new(
                Code::InvalidParams,
                format!("Invalid params: params._meta lacks {key}."),
            ),
            Self::Model(fault) => RpcError::new(Code::InvalidRequest, format!("{fault}.")),
            Self::MethodNotFound(_) => RpcError::new(Code::MethodNotFound, "Method not found."),
            Self::NameMissing(member) => RpcError::new(
                Code::InvalidParams,
                format!("Invalid params: {member:?} must be a text."),
            ),
            Self::Network(_) => RpcError::new(Code::Refused, "Nobody is let in from this address."),
            Self::Origin(_) => RpcError::new(Code::Refused, "This Origin is not accepted."),
            Self::RequestState => {
                RpcError::new(Code::InvalidParams, "requestState is not valid or has expired.")
            }
            Self::ResultUnsafe { rule, .. } => {
                RpcError::new(Code::Refused, format!("The result was refused by rule {rule}."))
            }
            Self::Server { server, fault } => RpcError::new(
                Code::Upstream,
                format!("Server {:?} {}.", server.as_str(), server_fault(fault)),
            ),
            Self::ServerAsked { server, .. } => RpcError::new(
                Code::Upstream,
                format!("Server {:?} asked for what this client did not offer.", server.as_str()),
            ),
            Self::SessionMissing => {
                RpcError::new(Code::InvalidRequest, "MCP-Session-Id is required.")
            }
            Self::SessionUnknown => {
                RpcError::new(Code::InvalidRequest, "Session not found; initialize again.")
            }
            Self::StoreUnavailable(_) => {
                RpcError::new(Code::Internal, "Refused: the store does not answer right now.")
            }
            Self::Limited { .. } => {
                let seconds = self.retry_after().unwrap_or(1);
                RpcError::new(Code::Limited, format!("Too many calls; try again in {seconds} s."))
                    .with_data(format!("{{\"retryAfter\":{seconds}}}"))
            }
            Self::TokenUnbound(why) => RpcError::new(
                Code::Refused,
                format!("This needs a token that is bound to the tool: {why}."),
            ),
            Self::TooMany(what) => {
                RpcError::new(Code::Limited, format!("Too many {what}; try again later."))
            }
            Self::UnknownPrompt { name, .. } => {
                RpcError::new(Code::InvalidParams, format!("Unknown prompt: {name}"))
            }
            Self::UnknownResource { uri, .. } => {
                RpcError::new(Code::InvalidParams, "Resource not found.")
                    .with_data(format!("{{\"uri\":{}}}", quote(uri)))
            }
            Self::UnknownServer(_) => RpcError::new(Code::InvalidRequest, "No such server here."),
            Self::UnknownTask => RpcError::new(Code::InvalidParams, "Unknown task."),
            Self::UnknownTool { name, .. } => {
                RpcError::new(Code::InvalidParams, format!("Unknown tool: {name}"))
            }
            Self::Version(requested) => {
                RpcError::new(Code::UnsupportedVersion, "Unsupported protocol version.")
                    .with_data(unsupported(requested))
            }
        }
    }

    /// What the owner is told at a terminal of this machine: the same, and the operator's reason where the client is told
    /// none. Never through another door: what is in it may come from a server, and an agent would read it.
    pub fn error_for_owner(&self) -> RpcError {
        let reason = match self {
            Self::ArgumentsUnsafe { detail, .. } | Self::ResultUnsafe { detail, .. } => {
                format!("{detail}; see `bartizan audit search --refused`")
            }
            Self::AuditUnavailable(fault) => {
                format!("{fault}; once that is mended, restart the gateway")
            }
            Self::CredentialUnavailable { detail, .. } => detail.clone(),
            Self::IdentityUnavailable(why) | Self::StoreUnavailable(why) => why.clone(),
            Self::Server { fault, .. } => fault.to_string(),
            _ => return self.error(),
        };
        let mut error = self.error();
        error.message = format!("{} ({reason})", error.message);
        error
    }

    /// The HTTP status, where the refusal is of the request itself. Refusals of what the request
    /// asks for stay in band (200), as the specification has it.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Authentication(fault) => {
                StatusCode::from_u16(fault.status()).unwrap_or(StatusCode::UNAUTHORIZED)
            }
            Self::Model(fault) => fault.status(),
            Self::BodyLost => StatusCode::REQUEST_TIMEOUT,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::EraMismatch { .. }
            | Self::HeaderMismatch(_)
            | Self::Json(_)
            | Self::Message(_)
            | Self::CapabilityMissing(_)
            | Self::MetaMissing(_)
            | Self::SessionMissing
            | Self::Version(_) => StatusCode::BAD_REQUEST,
            Self::ClaimsRequired { .. } => StatusCode::UNAUTHORIZED,
            Self::Host(_) | Self::InsufficientScope { .. } | Self::Network(_) | Self::Origin(_) => {
                StatusCode::FORBIDDEN
            }
            Self::MethodNotFound(_) | Self::SessionUnknown | Self::UnknownServer(_) => {
                StatusCode::NOT_FOUND
            }
            Self::AuditUnavailable(_)
            | Self::IdentityUnavailable(_)
            | Self::StoreUnavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Limited { .. } | Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::OK,
        }
    }
}

/// The status that a JSON-RPC error from a server must travel under (2026-07-28, error codes).
pub fn status_of_code(code: i64) -> StatusCode {
    const MISMATCH: i64 = Code::HeaderMismatch as i64;
    const CAPABILITY: i64 = Code::MissingClientCapability as i64;
    const VERSION: i64 = Code::UnsupportedVersion as i64;
    const METHOD: i64 = Code::MethodNotFound as i64;
    match code {
        METHOD => StatusCode::NOT_FOUND,
        MISMATCH | CAPABILITY | VERSION => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    }
}

/// What a client may know of a server's trouble: its kind, not its words.
fn server_fault(fault: &LinkFault) -> &'static str {
    match fault {
        LinkFault::Deadline => "did not answer in time",
        LinkFault::Forbidden(_) => "has an address that is not allowed",
        LinkFault::Full => "has too many calls in flight",
        LinkFault::Garbage(_) => "answered with something that is not the protocol",
        LinkFault::Http { status: 401 | 403, .. } => "refused Bartizan's credential",
        LinkFault::Http { .. } => "refused the request",
        LinkFault::Lost(_) => "was lost while it worked on the call",
        LinkFault::Parked => "no longer waits for this answer",
        LinkFault::Start(_) => "could not be started",
        LinkFault::Unreachable(_) => "could not be reached",
    }
}

fn unsupported(requested: &str) -> String {
    format!("{{\"supported\":{},\"requested\":{}}}", versions(), quote(requested))
}

/// The revisions spoken at the door, newest first, as a JSON array.
pub fn versions() -> String {
    let mut text = String::from("[");
    for version in Version::ALL.into_iter().rev() {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&quote(version.as_str()));
    }
    text.push(']');
    text
}
