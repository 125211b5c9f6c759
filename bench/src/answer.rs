//! Servers of this process that give every request the same answer: a collector, a token endpoint, a model.

use std::{convert::Infallible, net::SocketAddr};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming, header::CONTENT_TYPE, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// Answers on a port of its own as long as the runtime lives.
pub async fn always(media_type: &'static str, body: &'static str) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("a port of its own")?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Otherwise the kernel holds back a body that comes after its head.
            let _ = stream.set_nodelay(true);
            let service = service_fn(move |request: Request<Incoming>| async move {
                let _ = request.into_body().collect().await;
                let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
                let value = hyper::header::HeaderValue::from_static(media_type);
                response.headers_mut().insert(CONTENT_TYPE, value);
                Ok::<_, Infallible>(response)
            });
            let server = hyper::server::conn::http1::Builder::new();
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    Ok(address)
}
