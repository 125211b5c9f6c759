//! Listening: connections within bounds, TLS, sockets without delay, a graceful end.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{server::conn::http1, server::conn::http2, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::GracefulConnection,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinSet,
};

use super::{
    connection::Connection,
    http::handle,
    run_token,
    stall::Unstalled,
    tls::{Certificates, client},
};
use crate::{Gateway, StartFault, alerts, telemetry};

/// A client that dawdles over its headers or its handshake is let go.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long open connections get to finish.
const GRACE: Duration = Duration::from_secs(5);
/// How often idle sessions and changed certificates are looked for.
const ROUND: Duration = Duration::from_secs(15);

/// A gateway that listens.
pub struct Running {
    gateway: Arc<Gateway>,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Gateway {
    /// Opens the HTTP door, and on Unix the owner's socket in the state folder.
    pub async fn listen_on_doors(self: &Arc<Self>) -> Result<Running, StartFault> {
        let config = &self.current().config;
        let address = config.listen;
        let failed = |fault| StartFault::Listen { address, fault };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        let public_url = config.public_url.clone();
        let _ = self.grants.public_url.set(public_url.unwrap_or(format!("{scheme}://{address}")));
        let certificates = match &config.tls {
            Some(files) => Some(Arc::new(Certificates::load(files).map_err(StartFault::Tls)?)),
            None => None,
        };
        let state = |fault| StartFault::State { path: config.state_dir.clone(), fault };
        self.take_run_token(run_token::make(&config.state_dir).map_err(state)?);
        self.export();
        self.prewarm();
        let (stop, stopping) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(self.clone(), listener, certificates.clone(), stopping.clone()));
        tasks.spawn(keep_house(self.clone(), certificates, stopping.clone()));
        tasks.spawn(crate::retention::keep_journal(self.clone(), stopping.clone()));
        tasks.spawn(crate::secrets::watch_ends(self.clone(), stopping.clone()));
        tasks.spawn(crate::anchors::keep_anchors(self.clone(), stopping.clone()));
        let first = match config.telemetry.listen {
            Some(address) => {
                let failed = |fault| StartFault::Listen { address, fault };
                Some(TcpListener::bind(address).await.map_err(failed)?)
            }
            None => None,
        };
        tasks.spawn(telemetry::serve(self.clone(), first, stopping.clone()));
        tasks.spawn(alerts::run(self.clone(), stopping.clone()));
        tasks.spawn(telemetry::export(self.clone(), stopping.clone()));
        #[cfg(unix)]
        if let Some(socket) = super::unix::bind(&config.state_dir) {
            tasks.spawn(super::unix::accept(self.clone(), socket, stopping));
        }
        Ok(Running { gateway: self.clone(), address, stop, tasks })
    }
}

impl Running {
    /// Where the HTTP door really listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends gracefully: no new connections, streams closed, processes stopped, the log flushed.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        self.gateway.ending.send_replace(true);
        let finished = async { while self.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(GRACE, finished).await;
        self.tasks.shutdown().await;
        if let Err(fault) = run_token::forget(&self.gateway.current().config.state_dir) {
            tracing::warn!(%fault, "the run's token stays behind; it opens nothing any more");
        }
        self.gateway.shutdown().await;
    }
}

async fn accept(
    gateway: Arc<Gateway>,
    listener: TcpListener,
    certificates: Option<Arc<Certificates>>,
    mut stopping: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(gateway.current().config.limits.connections));
    let mut connections = JoinSet::new();
    loop {
        let permit = tokio::select! {
            permit = room.clone().acquire_owned() => permit,
            _ = stopping.changed() => break,
        };
        let Ok(permit) = permit else { break };
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                // Out of descriptors, or the peer is gone already: a pause lets others finish.
                Err(fault) => {
                    tracing::warn!(%fault, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            _ = stopping.changed() => break,
            Some(_) = connections.join_next() => continue,
        };
        let _ = stream.set_nodelay(true);
        let stream = Unstalled::new(stream);
        let (gateway, stopping) = (gateway.clone(), stopping.clone());
        let acceptor = certificates.as_ref().map(|certificates| certificates.acceptor());
        connections.spawn(async move {
            let _permit = permit;
            match acceptor {
                None => {
                    let connection = Connection::new(peer, None);
                    sequential(gateway, stream, connection, stopping).await;
                }
                Some(acceptor) => {
                    let handshake = tokio::time::timeout(PATIENCE, acceptor.accept(stream));
                    let Ok(Ok(stream)) = handshake.await else { return };
                    let connection = Connection::new(peer, client(stream.get_ref().1));
                    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                        multiplexed(gateway, stream, connection, stopping).await;
                    } else {
                        sequential(gateway, stream, connection, stopping).await;
                    }
                }
            }
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// HTTP/1.1
async fn sequential(
    gateway: Arc<Gateway>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    connection: Connection,
    stopping: watch::Receiver<bool>,
) {
    let header_bytes = gateway.current().config.limits.header_bytes.max(8192);
    let connection = Arc::new(connection);
    let service = service_fn(move |request| {
        let (gateway, connection) = (gateway.clone(), connection.clone());
        async move { Ok::<_, Infallible>(handle(gateway, &connection, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(header_bytes)
        .serve_connection(TokioIo::new(stream), service);
    until_stopped(connection, stopping).await;
}

/// HTTP/2, over TLS only.
async fn multiplexed(
    gateway: Arc<Gateway>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    connection: Connection,
    stopping: watch::Receiver<bool>,
) {
    let header_bytes = gateway.current().config.limits.header_bytes;
    let connection = Arc::new(connection);
    let service = service_fn(move |request| {
        let (gateway, connection) = (gateway.clone(), connection.clone());
        async move { Ok::<_, Infallible>(handle(gateway, &connection, request).await) }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(128)
        .max_header_list_size(u32::try_from(header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(Duration::from_secs(30))
        .serve_connection(TokioIo::new(stream), service);
    until_stopped(connection, stopping).await;
}

/// Serves until the client goes away, or, once the gateway stops, for no longer than what is under way needs.
async fn until_stopped(connection: impl GracefulConnection, mut stopping: watch::Receiver<bool>) {
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        _ = stopping.changed() => None,
    };
    if ended.is_none() {
        connection.as_mut().graceful_shutdown();
        let _ = tokio::time::timeout(GRACE, connection).await;
    }
}

/// Idle sessions end, changed certificates are taken.
async fn keep_house(
    gateway: Arc<Gateway>,
    certificates: Option<Arc<Certificates>>,
    mut stopping: watch::Receiver<bool>,
) {
    let mut rounds = tokio::time::interval(ROUND);
    loop {
        tokio::select! {
            _ = rounds.tick() => {}
            _ = stopping.changed() => return,
        }
        let current = gateway.current();
        gateway.sessions.sweep(&current.config.limits, crate::now());
        tokio::select! {
            () = gateway.end_outlived_sessions() => {}
            _ = stopping.changed() => return,
        }
        if let Some(certificates) = &certificates
            && let Err(fault) = certificates.refresh()
        {
            tracing::error!(fault, "changed certificates can't be used; the old ones stay");
        }
    }
}
