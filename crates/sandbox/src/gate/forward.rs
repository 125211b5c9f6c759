//! HTTP through the gate: each request is decided, each answer is looked through.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::Shared;
use super::event::{At, Reason};
use super::flow::Target;
use super::head;
use super::meter::Activity;
use super::placeholder::Pair;
use super::replace::{Replaced, Replacer, Stream};
use super::rule::RequestFault;

/// All headers of a message together.
const HEADER_LIMIT: usize = 64 << 10;
/// For a request's headers to arrive.
const HEADER_PATIENCE: Duration = Duration::from_secs(30);
const STREAMS: u32 = 128;
const WINDOW: u32 = 1 << 20;
/// `Basic` credentials of one connection that are remembered.
const ECHOES: usize = 16;

pub(super) type Reply = Response<UnsyncBoxBody<Bytes, hyper::Error>>;

/// The way of one connection's requests.
pub(super) struct Way {
    gate: Arc<Shared>,
    target: Target,
    secure: bool,
    activity: Arc<Activity>,
    /// What the host must not give away. Replaced as a whole when a request adds to it.
    pairs: Mutex<(Vec<Pair>, Option<Arc<Replacer>>)>,
}

/// Serves HTTP/1.1 on one side and speaks it on the other until either ends.
pub(super) async fn http1<C, S>(way: Way, client: C, server: S) -> Result<(), Reason>
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = hyper::client::conn::http1::Builder::new()
        .max_buf_size(HEADER_LIMIT)
        .handshake(TokioIo::new(server))
        .await;
    let (sender, connection) = handshake.map_err(|error| unreachable(&error))?;
    let sender = tokio::sync::Mutex::new(sender);
    let service = service_fn(|request| async {
        let send = async |request| {
            // One at a time: the other side is read one request after another, too.
            let mut sender = sender.lock().await;
            sender.ready().await.map_err(|error| unreachable(&error))?;
            sender.send_request(request).await.map_err(|error| unreachable(&error))
        };
        Ok::<_, Infallible>(way.answer(request, send).await)
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_PATIENCE)
        .max_buf_size(HEADER_LIMIT)
        .serve_connection(TokioIo::new(client), service)
        .with_upgrades();
    carry(serving, connection.with_upgrades(), |serving| serving.graceful_shutdown()).await;
    Ok(())
}

/// The same in HTTP/2.
pub(super) async fn http2<C, S>(way: Way, client: C, server: S) -> Result<(), Reason>
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .max_header_list_size(HEADER_LIMIT as u32)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(4 * WINDOW)
        .handshake(TokioIo::new(server))
        .await;
    let (sender, connection) = handshake.map_err(|error| unreachable(&error))?;
    let way = Arc::new(way);
    let service = service_fn(move |request| {
        let (way, sender) = (way.clone(), sender.clone());
        async move {
            let send = async |request| {
                let mut sender = sender.clone();
                sender.ready().await.map_err(|error| unreachable(&error))?;
                sender.send_request(request).await.map_err(|error| unreachable(&error))
            };
            Ok::<_, Infallible>(way.answer(request, send).await)
        }
    });
    let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_header_list_size(HEADER_LIMIT as u32)
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(4 * WINDOW)
        .serve_connection(TokioIo::new(client), service);
    carry(serving, connection, |serving| serving.graceful_shutdown()).await;
    Ok(())
}

/// Keeps both sides going until the client's ends; once the server's has, `end` takes no new request.
async fn carry<C: Future>(serving: C, connection: impl Future, end: impl Fn(Pin<&mut C>)) {
    let (mut serving, mut connection) = (pin!(serving), pin!(connection));
    let mut open = true;
    loop {
        tokio::select! {
            _ = &mut serving => return,
            _ = &mut connection, if open => {
                open = false;
                end(serving.as_mut());
            }
        }
    }
}

pub(super) fn unreachable(error: &hyper::Error) -> Reason {
    Reason::Unreachable(format!("no HTTP connection: {error}"))
}

impl Way {
    pub fn new(gate: Arc<Shared>, target: Target, secure: bool, activity: Arc<Activity>) -> Way {
        let pairs = gate.secrets.pairs(&target.host);
        let replacer = Replacer::new(pairs.clone()).map(Arc::new);
        Way { gate, target, secure, activity, pairs: Mutex::new((pairs, replacer)) }
    }

    /// Sends a request if it may go, and answers in any case.
    pub async fn answer(
        &self,
        request: Request<Incoming>,
        send: impl AsyncFnOnce(Request<Incoming>) -> Result<Response<Incoming>, Reason>,
    ) -> Reply {
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        match self.forward(request, send).await {
            Ok(reply) => reply,
            Err(reason) => {
                let at = At { method: Some(&method), path: &path, ..self.target.at() };
                let reply = refusal(&reason, &at);
                self.gate.tally.refused(reason, &at.subject()).await;
                reply
            }
        }
    }

    async fn forward(
        &self,
        mut request: Request<Incoming>,
        send: impl AsyncFnOnce(Request<Incoming>) -> Result<Response<Incoming>, Reason>,
    ) -> Result<Reply, Reason> {
        let to_client = hyper::upgrade::on(&mut request);
        let (mut parts, body) = request.into_parts();
        head::check_host(&self.target, self.secure, &parts)?;
        self.decide(&parts).await?;
        let echoes = self.gate.secrets.swap(&self.target.host, self.secure, &mut parts)?;
        let replacer = self.remember(echoes);
        let websocket = head::is_websocket(&parts);
        head::clean_request(&mut parts, &self.target, self.secure, websocket);
        if replacer.is_some() {
            head::ask_for_plain(&mut parts.headers);
        }
        let mut response = send(Request::from_parts(parts, body)).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            if !websocket || !head::upgrades_to_websocket(response.headers()) {
                return Err(Reason::Malformed("a protocol that was not asked for"));
            }
            let to_server = hyper::upgrade::on(&mut response);
            self.join(to_client, to_server, replacer.clone())?;
        } else {
            head::clean_response(response.headers_mut());
        }
        self.reply(response, replacer)
    }

    /// Asks the rules, and tells.
    async fn decide(&self, parts: &Parts) -> Result<(), Reason> {
        let Target { host, port } = &self.target;
        let path = parts.uri.path();
        if parts.method == Method::CONNECT {
            return Err(Reason::Method);
        }
        let ask = |method: &Method| {
            self.gate.rules.request(host, *port, method, path).map_err(|fault| match fault {
                RequestFault::Method => Reason::Method,
                RequestFault::Path => Reason::Path,
                RequestFault::PathAmbiguous => Reason::PathAmbiguous,
            })
        };
        let rule = ask(&parts.method)?;
        for method in head::other_methods(&parts.headers)? {
            ask(&method)?;
        }
        if head::names_other_path(&parts.headers) && rule.is_some_and(|rule| !rule.paths.is_empty())
        {
            return Err(Reason::PathAmbiguous);
        }
        let at = At { method: Some(&parts.method), path, ..self.target.at() };
        self.gate.tally.allowed(rule, &at).await
    }

    /// What the answer is looked through for, with what this request adds to it.
    fn remember(&self, echoes: Vec<Pair>) -> Option<Arc<Replacer>> {
        let mut known = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        let (pairs, replacer) = &mut *known;
        let fresh = |echo: &Pair| pairs.iter().all(|pair| pair.real != echo.real);
        let new: Vec<Pair> = echoes.into_iter().filter(fresh).collect();
        if !new.is_empty() {
            let kept = self.gate.secrets.pairs(&self.target.host).len();
            if pairs.len() + new.len() > kept + ECHOES {
                pairs.truncate(kept);
            }
            pairs.extend(new);
            *replacer = Replacer::new(pairs.clone()).map(Arc::new);
        }
        replacer.clone()
    }

    fn reply(
        &self,
        response: Response<Incoming>,
        replacer: Option<Arc<Replacer>>,
    ) -> Result<Reply, Reason> {
        let (mut parts, body) = response.into_parts();
        parts.extensions.clear();
        let Some(replacer) = replacer else {
            return Ok(Response::from_parts(parts, body.boxed_unsync()));
        };
        let encodings = parts.headers.get_all(header::CONTENT_ENCODING);
        let plain = |encoding: &HeaderValue| encoding.as_bytes().eq_ignore_ascii_case(b"identity");
        if !encodings.iter().all(plain) || !head::is_sent_plainly(&parts.headers) {
            return Err(Reason::Encoding);
        }
        replacer.headers(&mut parts.headers);
        if !replacer.keeps_lengths() {
            parts.headers.remove(header::CONTENT_LENGTH);
        }
        Ok(Response::from_parts(parts, Replaced::new(body, replacer).boxed_unsync()))
    }

    /// Joins the two ends of a WebSocket.
    fn join(
        &self,
        client: hyper::upgrade::OnUpgrade,
        server: hyper::upgrade::OnUpgrade,
        replacer: Option<Arc<Replacer>>,
    ) -> Result<(), Reason> {
        // The request's own place ends with the request.
        let slot = self.gate.slots.clone().try_acquire_owned().map_err(|_| Reason::Connections)?;
        let activity = self.activity.clone();
        let joined = async move {
            let (Ok(client), Ok(server)) = (client.await, server.await) else { return };
            let (mut client, mut server) = (TokioIo::new(client), TokioIo::new(server));
            // How it ends is between the two ends.
            let _ = match replacer {
                None => tokio::io::copy_bidirectional(&mut client, &mut server).await.map(drop),
                Some(replacer) => {
                    let (from_client, to_client) = tokio::io::split(client);
                    let (from_server, to_server) = tokio::io::split(server);
                    tokio::select! {
                        done = copy(from_client, to_server) => done,
                        done = copy_replaced(from_server, to_client, replacer) => done,
                    }
                }
            };
        };
        self.gate.spawn(async move {
            tokio::select! {
                () = joined => {}
                () = activity.idle() => {}
            }
            drop(slot);
        });
        Ok(())
    }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
) -> std::io::Result<()> {
    tokio::io::copy(&mut from, &mut to).await?;
    to.shutdown().await
}

/// A frame says its length before it: where a placeholder has another length, the connection is cut instead.
async fn copy_replaced(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    replacer: Arc<Replacer>,
) -> std::io::Result<()> {
    let keeps = replacer.keeps_lengths();
    let mut stream = Stream::new(replacer);
    let (mut read, mut written) = (0, 0);
    let mut buffer = bytes::BytesMut::with_capacity(16 << 10);
    while from.read_buf(&mut buffer).await? > 0 {
        let piece = buffer.split().freeze();
        read += piece.len();
        let piece = stream.push(piece);
        written += piece.len();
        if !keeps && written + stream.held() != read {
            return Err(std::io::Error::other("a secret came back in a WebSocket"));
        }
        to.write_all(&piece).await?;
        buffer.reserve(16 << 10);
    }
    to.write_all(&stream.finish()).await?;
    to.shutdown().await
}

/// What the sandbox sees of a refusal.
pub(super) fn refusal(reason: &Reason, at: &At<'_>) -> Reply {
    let status = match reason {
        Reason::Certificate(_) | Reason::Encoding | Reason::Unreachable(_) => {
            StatusCode::BAD_GATEWAY
        }
        Reason::HostMismatch => StatusCode::MISDIRECTED_REQUEST,
        Reason::Malformed(_) => StatusCode::BAD_REQUEST,
        Reason::Timeout => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::FORBIDDEN,
    };
    let method = at.method.map_or("", Method::as_str);
    let text = format!(
        "Bartizan did not let this through: {reason}.\n{method} {}:{}{}\n\
         What this server may reach is written in its section `egress` in bartizan.toml.\n",
        at.host, at.port, at.path
    );
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}
