//! The listener for monitoring systems: `/metrics`, `/livez`, `/readyz`. A door of its own, so that what is
//! open to callers never shows how much others do.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};

use super::health::{is_alive, is_ready};
use crate::{Gateway, applied::while_configured, door::Body};

/// Connections at once.
const ROOM: usize = 16;
/// How long one connection may last.
const PATIENCE: Duration = Duration::from_secs(60);

/// Serves where the configuration says so, until the gateway stops. `first` is the listener of the start.
pub(crate) async fn run(
    gateway: Arc<Gateway>,
    first: Option<TcpListener>,
    stopping: watch::Receiver<bool>,
) {
    let first = Mutex::new(first);
    let serve = |address: Option<SocketAddr>, ending| {
        let (gateway, first) = (gateway.clone(), lock(&first).take());
        async move {
            let listener = match (first, address) {
                (Some(listener), _) => Ok(listener),
                (None, Some(address)) => TcpListener::bind(address).await,
                (None, None) => return,
            };
            match listener.and_then(|listener| Ok((listener.local_addr()?, listener))) {
                Ok((address, listener)) => {
                    tracing::info!(%address, "metrics are served");
                    accept(gateway, listener, ending).await;
                }
                Err(fault) => tracing::error!(?address, %fault, "metrics can't be served"),
            }
        }
    };
    while_configured(gateway.clone(), stopping, |config| config.telemetry.listen, serve).await;
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves until told to stop.
async fn accept(gateway: Arc<Gateway>, listener: TcpListener, mut stopping: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(ROOM));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(fault) => {
                    tracing::warn!(%fault, "a connection for metrics could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            _ = stopping.changed() => return,
        };
        let gateway = gateway.clone();
        tokio::spawn(async move {
            let _permit = permit;
            let _ = tokio::time::timeout(PATIENCE, connection(gateway, stream)).await;
        });
    }
}

async fn connection(gateway: Arc<Gateway>, stream: TcpStream) {
    let service = service_fn(move |request: Request<Incoming>| {
        let gateway = gateway.clone();
        async move {
            Ok::<_, Infallible>(answer(&gateway, request.method(), request.uri().path()).await)
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(15));
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(gateway: &Gateway, method: &Method, path: &str) -> Response<Body> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        return response;
    }
    match path {
        "/metrics" => {
            let mut response = Response::new(Body::text(gateway.exposition().await));
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            let kind = HeaderValue::from_static(kind);
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
        "/livez" => is_alive(),
        "/readyz" => is_ready(gateway),
        _ => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    }
}
