//! The HTTP proxy at 127.0.0.1:3128, for programs that look for one: CONNECT and the absolute form.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::Shared;
use super::event::{At, Reason};
use super::flow::{self, Target};
use super::forward::{Reply, Way, refusal, unreachable};
use super::meter::{Activity, Metered};
use super::rule::{Host, Tls};

const HEADER_LIMIT: usize = 64 << 10;
const HEADER_PATIENCE: Duration = Duration::from_secs(30);

/// Serves one connection to the proxy.
pub(super) async fn serve(gate: Arc<Shared>, stream: TcpStream) {
    let activity = Activity::new();
    let stream = Metered::new(stream, gate.budget.clone(), activity.clone());
    let service = service_fn(|request| async {
        Ok::<_, Infallible>(answer(&gate, &activity, request).await)
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_PATIENCE)
        .max_buf_size(HEADER_LIMIT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::select! {
        // A client that breaks off or breaks the protocol is answered by hyper, if at all.
        _ = serving => {}
        () = activity.idle() => {}
    }
}

async fn answer(gate: &Arc<Shared>, activity: &Arc<Activity>, request: Request<Incoming>) -> Reply {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let Some(target) = target(&request) else {
        let nowhere = Host::Name("".into());
        let at = At { host: &nowhere, port: 0, method: Some(&method), path: &path };
        let reason = Reason::Malformed("a proxy request names a host and port, or an http URL");
        return refused(gate, reason, &at).await;
    };
    let outcome = if method == Method::CONNECT {
        connect(gate, &target, activity, request)
    } else {
        absolute(gate, &target, activity, request).await
    };
    match outcome {
        Ok(reply) => reply,
        Err(reason) => {
            let at = At { method: Some(&method), path: &path, ..target.at() };
            refused(gate, reason, &at).await
        }
    }
}

async fn refused(gate: &Shared, reason: Reason, at: &At<'_>) -> Reply {
    let reply = refusal(&reason, at);
    gate.tally.refused(reason, &at.subject()).await;
    reply
}

/// What a request to a proxy names. TLS goes through CONNECT alone.
fn target(request: &Request<Incoming>) -> Option<Target> {
    let authority = request.uri().authority()?;
    if authority.as_str().contains('@') {
        return None;
    }
    let host = Host::parse(authority.host())?;
    let port = match (request.method() == Method::CONNECT, request.uri().scheme_str()) {
        (true, _) => authority.port_u16()?,
        (false, Some("http")) => authority.port_u16().unwrap_or(80),
        (false, _) => return None,
    };
    Some(Target { host, port })
}

/// A tunnel is served as if the connection had been opened to its target directly.
fn connect(
    gate: &Arc<Shared>,
    target: &Target,
    activity: &Arc<Activity>,
    mut request: Request<Incoming>,
) -> Result<Reply, Reason> {
    flow::admit(gate, target)?;
    // The request's own place ends with the request.
    let slot = gate.slots.clone().try_acquire_owned().map_err(|_| Reason::Connections)?;
    let upgrade = hyper::upgrade::on(&mut request);
    let (shared, target, activity) = (gate.clone(), target.clone(), activity.clone());
    gate.spawn(async move {
        if let Ok(stream) = upgrade.await {
            flow::connection(&shared, target, TokioIo::new(stream), activity).await;
        }
        drop(slot);
    });
    let body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
    let mut reply = Response::new(body);
    *reply.status_mut() = StatusCode::OK;
    Ok(reply)
}

/// A request that is not encrypted: it has a connection of its own, which is opened when the request may go.
async fn absolute(
    gate: &Arc<Shared>,
    target: &Target,
    activity: &Arc<Activity>,
    request: Request<Incoming>,
) -> Result<Reply, Reason> {
    let admission = flow::admit(gate, target)?;
    if admission.tls != Tls::Terminate {
        return Err(Reason::Greeting);
    }
    let way = Way::new(gate.clone(), target.clone(), false, activity.clone());
    let send = async |request| {
        let server = flow::dial(gate, target, admission).await?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(server)).await;
        let (mut sender, connection) = handshake.map_err(|error| unreachable(&error))?;
        gate.spawn(async move {
            let _ = connection.with_upgrades().await;
        });
        sender.send_request(request).await.map_err(|error| unreachable(&error))
    };
    Ok(way.answer(request, send).await)
}
