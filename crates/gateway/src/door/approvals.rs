//! `/approvals/{id}`: for approvers, one request and the word on it; for anybody who has the link, whether
//! it is decided.

use std::sync::Arc;

use http::{HeaderValue, Response, StatusCode, header};
use identity::Verified;
use mcp::{Json, JsonBuf};

use super::{exchange::Body, streamable::status};
use crate::{Gateway, approval::NoApproval, approvals::written, refusal::Refusal};

/// What an approver sees of one request.
pub async fn show(gateway: &Gateway, approver: &Verified, id: &str) -> Response<Body> {
    match gateway.approval(approver, id).await {
        Ok(approval) => json(StatusCode::OK, written(&approval)),
        Err(fault) => no(gateway, approver, &fault).await,
    }
}

/// An approver's word: `{"approve":true}`.
pub async fn decide(
    gateway: Arc<Gateway>,
    approver: Verified,
    id: &str,
    message: &JsonBuf,
) -> Response<Body> {
    let Some(approve) = message.json().get("approve").and_then(Json::boolean) else {
        return status(StatusCode::BAD_REQUEST);
    };
    match gateway.decide_approval(&approver, id, approve).await {
        Ok(approval) => json(StatusCode::OK, written(&approval)),
        Err(fault) => no(&gateway, &approver, &fault).await,
    }
}

/// For whoever was shown the link: nothing but the state, since a link proves nobody.
pub async fn page(gateway: &Gateway, id: &str) -> Response<Body> {
    let state = gateway.approval_state(id).await;
    let (title, text) = match state.as_deref() {
        Some("pending") => ("Waiting", "An approver has not decided yet."),
        Some("approved" | "used") => ("Approved", "The call goes on. You can close this page."),
        Some("denied") => ("Denied", "An approver did not allow this call."),
        Some(_) => ("Expired", "Nobody approved this call in time."),
        None => return status(StatusCode::NOT_FOUND),
    };
    let text = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\"><meta http-equiv=refresh content=5><title>{title}</title><h1>{title}</h1><p>{text}</p>"
    );
    let mut response = Response::new(Body::text(text));
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
        ),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Who may not decide, and tried, is recorded as at the owner's socket.
async fn no(gateway: &Gateway, approver: &Verified, fault: &NoApproval) -> Response<Body> {
    gateway.refuse(Some(approver), Refusal::Approver(fault.to_string())).await;
    let code = match fault {
        NoApproval::NotAnApprover | NoApproval::Own => StatusCode::FORBIDDEN,
        NoApproval::Unknown => StatusCode::NOT_FOUND,
        NoApproval::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        NoApproval::Decided(_) | NoApproval::Expired | NoApproval::Twice => StatusCode::CONFLICT,
    };
    json(code, format!("{{\"error\":{}}}", mcp::quote(&fault.to_string())))
}

fn json(code: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::text(text));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
