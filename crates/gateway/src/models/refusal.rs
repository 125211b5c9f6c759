//! Refusals in the words of the models' own protocols, so that their clients understand them.

use http::{HeaderValue, Response, StatusCode, header};
use upstream::LinkFault;

use super::ModelKind;
use crate::{
    door::{exchange::Body, resource},
    refusal::Refusal,
};

/// What is wrong with a request to a model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelFault {
    /// The path names one deployment and the body another.
    #[error("the path names the deployment {path:?} and the body {body:?}")]
    Ambiguous {
        /// In the path.
        path: String,
        /// In the body.
        body: String,
    },
    /// Only what is asked for by POST, and the list, is passed on.
    #[error("only POST is passed on")]
    Method,
    /// Neither the path nor the body names one.
    #[error("the body must have a text \"model\"")]
    Missing,
    /// The entry does not pass this path on.
    #[error("the path {0:?} is not passed on")]
    Path(String),
    /// The entry does not offer it, or the caller may not know that it does.
    #[error("no model {0:?}")]
    Unknown(String),
}

impl ModelFault {
    /// The label in the audit log and in metrics.
    pub fn label(&self) -> &'static str {
        match self {
            ModelFault::Ambiguous { .. } => "model-ambiguous",
            ModelFault::Method => "model-method",
            ModelFault::Missing => "model-missing",
            ModelFault::Path(_) => "model-path",
            ModelFault::Unknown(_) => "model-unknown",
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            ModelFault::Ambiguous { .. } | ModelFault::Missing => StatusCode::BAD_REQUEST,
            ModelFault::Method => StatusCode::METHOD_NOT_ALLOWED,
            ModelFault::Path(_) | ModelFault::Unknown(_) => StatusCode::NOT_FOUND,
        }
    }
}

/// Here nothing is answered in band: each refusal has a status of its own.
fn status(refusal: &Refusal) -> StatusCode {
    match (refusal.status(), refusal) {
        (StatusCode::OK, Refusal::Server { fault: LinkFault::Deadline, .. }) => {
            StatusCode::GATEWAY_TIMEOUT
        }
        (StatusCode::OK, Refusal::Server { .. }) => StatusCode::BAD_GATEWAY,
        (StatusCode::OK, Refusal::CredentialUnavailable { .. }) => StatusCode::BAD_GATEWAY,
        (StatusCode::OK, Refusal::Exchange(refusal)) if !refusal.is_callers() => {
            StatusCode::BAD_GATEWAY
        }
        (StatusCode::OK, _) => StatusCode::FORBIDDEN,
        (status, _) => status,
    }
}

/// A refusal as this kind of model would say it.
pub(crate) fn refused(kind: ModelKind, refusal: &Refusal) -> Response<Body> {
    let status = status(refusal);
    let message = refusal.error().message;
    let body = match kind {
        ModelKind::Anthropic => serde_json::json!({
            "type": "error", "error": { "type": anthropic(status), "message": message },
        }),
        ModelKind::AzureOpenAi | ModelKind::OpenAi => serde_json::json!({
            "error": { "message": message, "type": openai(status), "param": null, "code": refusal.label() },
        }),
    };
    let mut response = Response::new(Body::text(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(challenge) = resource::challenge(refusal) {
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    if let Some(seconds) = refusal.retry_after() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn openai(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    }
}

fn anthropic(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}
