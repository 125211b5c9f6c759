//! The Streamable HTTP binding on hyper: both eras at one URL.

use std::{
    convert::Infallible,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::{Echo, Reply, STATELESS};

const SESSION: &str = "mcp-session-id";
const LONGEST_REQUEST: usize = 8 << 20;

/// Serves until the process ends.
///
/// # Errors
/// When the listener breaks.
pub async fn serve(listener: TcpListener, echo: Echo) -> io::Result<()> {
    let server = Arc::new(Server { echo, sessions: AtomicU64::new(0) });
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            let service = service_fn(|request| server.answer(request));
            // A client that hangs up is no event worth a line.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

struct Server {
    echo: Echo,
    sessions: AtomicU64,
}

impl Server {
    async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        if request.method() != Method::POST {
            let status = if request.method() == Method::DELETE {
                StatusCode::OK
            } else {
                StatusCode::METHOD_NOT_ALLOWED
            };
            return Ok(plain(status, Bytes::new()));
        }
        let stateless = request
            .headers()
            .get("mcp-protocol-version")
            .is_some_and(|version| version == STATELESS);
        let session = request.headers().contains_key(SESSION);
        let Ok(body) = Limited::new(request.into_body(), LONGEST_REQUEST).collect().await else {
            return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE, Bytes::new()));
        };
        let reply = self.echo.answer(&body.to_bytes());
        Ok(match reply {
            Reply::Failed(status, body) => {
                json(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST), body)
            }
            Reply::Initialized(body) => {
                let mut response = json(StatusCode::OK, body);
                let id = format!("bench-{}", self.sessions.fetch_add(1, Ordering::Relaxed));
                if let Ok(id) = HeaderValue::try_from(id) {
                    response.headers_mut().insert(SESSION, id);
                }
                response
            }
            _ if !stateless && !session => {
                plain(StatusCode::BAD_REQUEST, Bytes::from_static(b"no session"))
            }
            Reply::Accepted => plain(StatusCode::ACCEPTED, Bytes::new()),
            Reply::Json(body) => json(StatusCode::OK, body),
            Reply::Sse(body) => event(body),
        })
    }
}

fn plain(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
}

fn json(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = plain(status, body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn event(body: Bytes) -> Response<Full<Bytes>> {
    let mut response = plain(StatusCode::OK, body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}
