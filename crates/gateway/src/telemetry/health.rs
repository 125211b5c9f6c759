//! Whether the gateway lives, and whether it should get calls.

use http::{HeaderValue, Response, StatusCode, header};

use crate::{Gateway, door::Body};

/// `/livez`: this process answers. Restarting it would not mend anything.
pub(crate) fn is_alive() -> Response<Body> {
    answer(StatusCode::OK, "ok\n")
}

/// `/readyz`: calls are answered. A log that can't be written refuses them all; a gateway that stops
/// should get no new ones.
pub(crate) fn is_ready(gateway: &Gateway) -> Response<Body> {
    if gateway.journal.fault().is_some() {
        return answer(StatusCode::SERVICE_UNAVAILABLE, "the audit log can't be written\n");
    }
    if *gateway.ending.borrow() {
        return answer(StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    answer(StatusCode::OK, "ok\n")
}

fn answer(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::text(text));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}
