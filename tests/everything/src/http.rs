//! The Streamable HTTP transport at `/mcp`.

use std::{
    convert::Infallible,
    error::Error,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rmcp::transport::{
    StreamableHttpServerConfig, StreamableHttpService,
    streamable_http_server::session::local::LocalSessionManager,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    era::{Era, STATELESS},
    server::Everything,
    shared::Shared,
};

/// Short, so that a test of reconnection does not wait long.
const RETRY: Duration = Duration::from_millis(300);
const LARGEST_BODY: usize = 64 * 1024 * 1024;

type Service = StreamableHttpService<Everything, LocalSessionManager>;
type Reply = Response<BoxBody<Bytes, Infallible>>;

pub async fn serve(
    listener: TcpListener,
    era: Era,
    shared: Arc<Shared>,
) -> Result<(), Box<dyn Error>> {
    let config = StreamableHttpServerConfig::default()
        .with_sse_retry(Some(RETRY))
        .with_max_request_body_bytes(LARGEST_BODY)
        .with_legacy_session_mode(era != Era::Stateless)
        .with_stateless_protocol_metadata_required(era == Era::Stateless);
    let factory = move || Ok(Everything::new(era, Arc::clone(&shared)));
    let mut sessions = LocalSessionManager::default();
    sessions.session_config.sse_retry = Some(RETRY);
    let service = Service::new(factory, sessions.into(), config);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = service.clone();
        tokio::spawn(async move {
            let handler = service_fn(move |request| handle(service.clone(), era, request));
            let builder = auto::Builder::new(TokioExecutor::new());
            // A client that goes away is none of the server's business.
            let _ = builder.serve_connection(TokioIo::new(stream), handler).await;
        });
    }
}

async fn handle(
    service: Service,
    era: Era,
    request: Request<Incoming>,
) -> Result<Reply, Infallible> {
    if request.uri().path() != "/mcp" {
        return Ok(reply(StatusCode::NOT_FOUND, &Value::Null));
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return Ok(reply(StatusCode::BAD_REQUEST, &Value::Null));
    };
    let body = body.to_bytes();
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    if parts.method == Method::POST
        && let Some(refusal) = refuse(era, &parts.headers, &message)
    {
        return Ok(refusal);
    }
    let cut = message.pointer("/params/name").is_some_and(|name| name == "test_reconnection")
        && parts.headers.contains_key("mcp-session-id");
    let reply = service.handle(Request::from_parts(parts, Full::new(body))).await;
    // The first event primes the client with an id; the rest waits for its reconnection.
    Ok(if cut { reply.map(|body| FirstFrame(Some(body)).boxed()) } else { reply })
}

/// What an HTTP server of this era says to a message of the other one.
fn refuse(era: Era, headers: &http::HeaderMap, message: &Value) -> Option<Reply> {
    let unknown_version = headers.get("mcp-protocol-version").is_some_and(|v| v == STATELESS);
    let error = match (era, era.refuse(message)) {
        (Era::Handshake, refusal) if unknown_version || refusal.is_some() => {
            json!({ "code": -32000, "message": "Bad Request: Server not initialized" })
        }
        (_, Some(error)) => error,
        (_, None) => return None,
    };
    let id = if era == Era::Handshake { &Value::Null } else { &message["id"] };
    Some(reply(StatusCode::BAD_REQUEST, &json!({ "jsonrpc": "2.0", "id": id, "error": error })))
}

fn reply(status: StatusCode, body: &Value) -> Reply {
    let body = Full::new(Bytes::from(body.to_string())).boxed();
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    let json = header::HeaderValue::from_static("application/json");
    reply.headers_mut().insert(header::CONTENT_TYPE, json);
    reply
}

/// A body that ends after its first frame.
struct FirstFrame(Option<BoxBody<Bytes, Infallible>>);

impl Body for FirstFrame {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(body) = self.0.as_mut() else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(context);
        if frame.is_ready() {
            self.0 = None;
        }
        frame
    }
}
