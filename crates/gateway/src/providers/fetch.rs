//! Requests to a provider: small documents, by the guarded client.

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use upstream::{Fetch, HttpClient};

use super::DEADLINE;

/// The longest answer, in bytes.
const BYTES: usize = 1 << 20;

/// A document by GET.
pub(super) async fn get(
    client: &HttpClient,
    url: &str,
    allow_private: bool,
) -> Result<Bytes, String> {
    let request = Request::get(url).header(header::ACCEPT, "application/json");
    match send(client, url, request.body(Full::default()), allow_private).await? {
        (StatusCode::OK, body) => Ok(body),
        (status, _) => Err(refused(url, status)),
    }
}

/// What is said of an answer that was not wanted.
pub(super) fn refused(url: &str, status: StatusCode) -> String {
    format!("{url} answered HTTP {}", status.as_u16())
}

/// Sends; the answer may be any.
pub(super) async fn send(
    client: &HttpClient,
    url: &str,
    request: Result<Request<Full<Bytes>>, http::Error>,
    allow_private: bool,
) -> Result<(StatusCode, Bytes), String> {
    let request = request.map_err(|fault| format!("{url}: {fault}"))?;
    let rules = Fetch { bytes: BYTES, deadline: DEADLINE, allow_private };
    let response = client.fetch(request, rules).await.map_err(|fault| format!("{url}: {fault}"))?;
    Ok((response.status(), response.into_body()))
}
