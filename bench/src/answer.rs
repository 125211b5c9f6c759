//! Servers of this process that give every request the same answer: a collector, a token endpoint, a model.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Either, Full, channel::Channel};
use hyper::{Request, Response, body::Incoming, header::CONTENT_TYPE, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

type Body = Either<Full<Bytes>, Channel<Bytes, Infallible>>;

/// Answers on a port of its own as long as the runtime lives.
pub async fn always(media_type: &'static str, body: &'static str) -> anyhow::Result<SocketAddr> {
    serve(media_type, move || Either::Left(Full::new(Bytes::from_static(body.as_bytes())))).await
}

/// The same with a stream of events, and a while between two of them.
pub async fn events(events: &'static [&str], pause: Duration) -> anyhow::Result<SocketAddr> {
    let stream = move || {
        let (mut sender, channel) = Channel::new(1);
        tokio::spawn(async move {
            for (at, event) in events.iter().enumerate() {
                if at > 0 {
                    tokio::time::sleep(pause).await;
                }
                if sender.send_data(Bytes::from_static(event.as_bytes())).await.is_err() {
                    return;
                }
            }
        });
        Either::Right(channel)
    };
    serve("text/event-stream", stream).await
}

async fn serve(
    media_type: &'static str,
    body: impl Fn() -> Body + Clone + Send + 'static,
) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("a port of its own")?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Otherwise the kernel holds back a body that comes after its head.
            let _ = stream.set_nodelay(true);
            let body = body.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let body = body.clone();
                async move {
                    let _ = request.into_body().collect().await;
                    let mut response = Response::new(body());
                    let value = hyper::header::HeaderValue::from_static(media_type);
                    response.headers_mut().insert(CONTENT_TYPE, value);
                    Ok::<_, Infallible>(response)
                }
            });
            let server = hyper::server::conn::http1::Builder::new();
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    Ok(address)
}
