//! Making sessions: probing the era, starting processes, `initialize`.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use mcp::{Era, Json, JsonBuf, Limits, Version};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::asks::essence;
use crate::detect::{self, Evidence, Mode};
use crate::inner::{Inner, Road};
use crate::pipe::Pipe;
use crate::pool::{Started, shut};
use crate::post::{Http, Posted};
use crate::session::{Sent, Session, Wire};
use crate::status::Counters;
use crate::waiting::{Progress, Waiting};
use crate::web::{self, Web};
use crate::{
    ClientFacts, Credential, Launch, Launched, LinkFault, Outgoing, Partition, compose, offers,
};

/// Starts a session in its own task: a caller that gives up does not undo a slow start that others wait for.
pub(crate) fn spawn(
    link: &Arc<Inner>,
    partition: &Partition,
    client: &ClientFacts,
    credential: &Credential,
    tell: watch::Sender<Started>,
) {
    let (link, partition) = (link.clone(), partition.clone());
    let (client, credential) = (client.clone(), credential.clone());
    tokio::spawn(async move {
        let patience = link.limits.start;
        let starting = start(&link, &partition, &client, &credential);
        let started = match timeout(patience, starting).await {
            Ok(started) => started,
            Err(_) => Err(LinkFault::Start("it took too long".into())),
        };
        if matches!(link.road, Road::Stdio { .. }) {
            link.pool.report(&partition, started.is_ok(), Instant::now());
        }
        if link.pool.is_closed()
            && let Ok(Some(session)) = &started
        {
            session.end();
        }
        if let Err(fault) = &started {
            link.counters.fault(fault);
            tracing::warn!(server = %link.name, %fault, "no session");
        }
        tell.send_replace(Some(started));
    });
}

async fn start(
    link: &Arc<Inner>,
    partition: &Partition,
    client: &ClientFacts,
    credential: &Credential,
) -> Result<Option<Arc<Session>>, LinkFault> {
    match &link.road {
        Road::Http(http) => start_web(link, http, client, credential).await.map(Some),
        Road::Stdio { launch, spares, .. } => {
            let mode = link.mode();
            let child = || async {
                let process = launched(launch, spares.take(), partition).await;
                if spares.is_kept() {
                    link.prewarm();
                }
                process
            };
            if mode == Mode::Stateless && link.is_pinned() {
                return start_pipe(link, child().await?, Era::Stateless, client).map(Some);
            }
            // Also when the era is known as stateless: the program may have been replaced, and it
            // costs one message.
            if matches!(mode, Mode::Unknown | Mode::Stateless) {
                let session = start_pipe(link, child().await?, Era::Stateless, client)?;
                if let Evidence::Stateless(offer) = probe_pipe(link, &session, client).await {
                    if let Some(found) = offer {
                        link.offers.keep(partition, &found.0, found.1, Instant::now());
                    }
                    link.set_mode(Mode::Stateless);
                    return Ok(Some(session));
                }
                // A fresh process: some servers are confused by a request before `initialize`.
                session.end();
            }
            let session = start_pipe(link, child().await?, Era::Handshake, client)?;
            let done = initialize(&session, client).await;
            settle(
                link,
                &session,
                done.map_err(|fault| refused_start(fault.into())),
                Mode::Handshake,
            )?;
            if mode == Mode::Handshake {
                return Ok(Some(session));
            }
            // It was started under the probe's key: filed under its own, and found there.
            link.pool.add(partition, &essence(client.capabilities.json()), &session);
            Ok(None)
        }
    }
}

/// A launch takes some milliseconds, during which no other call may wait.
async fn launched(
    launch: &Launch,
    spare: Option<Launched>,
    partition: &Partition,
) -> Result<Launched, LinkFault> {
    let (launch, partition) = (launch.clone(), partition.clone());
    let launching = tokio::task::spawn_blocking(move || match spare {
        None => launch(&partition),
        Some(mut spare) => {
            let assign = spare.assign.take();
            assign.map_or(Ok(()), |assign| assign(&partition)).map(|()| spare)
        }
    });
    let launched = launching.await.map_err(|fault| LinkFault::Start(fault.to_string()))?;
    launched.map_err(LinkFault::Start)
}

fn start_pipe(
    link: &Arc<Inner>,
    launched: Launched,
    era: Era,
    client: &ClientFacts,
) -> Result<Arc<Session>, LinkFault> {
    if link.pool.is_closed() {
        return Err(shut());
    }
    let limit = link.limits.message_bytes;
    let (pipe, feed) = Pipe::new(link.name.clone(), launched, limit, link.tail.clone())?;
    let session = make(link, era, Wire::Pipe(pipe), client);
    feed.run(Arc::downgrade(&session));
    Ok(session)
}

fn make(link: &Inner, era: Era, wire: Wire, client: &ClientFacts) -> Arc<Session> {
    // Few bytes of our own: never beyond the limits.
    let capabilities = Bytes::from(essence(client.capabilities.json()));
    let capabilities = JsonBuf::read(capabilities, &Limits::default())
        .unwrap_or_else(|_| JsonBuf::from(Json::EMPTY));
    let counters = link.counters.clone();
    Session::new(link.name.clone(), era, wire, capabilities, counters, link.limits.message_bytes)
}

/// Streamable HTTP, or where that is not spoken, the pair of 2024-11-05.
async fn start_web(
    link: &Arc<Inner>,
    http: &Arc<Http>,
    client: &ClientFacts,
    credential: &Credential,
) -> Result<Arc<Session>, LinkFault> {
    let mut refusal = None;
    if link.mode() != Mode::Pair {
        let wire = Wire::Web(Box::new(Web::new(http.clone(), credential.clone())));
        let session = make(link, Era::Handshake, wire, client);
        match initialize(&session, client).await {
            Err(NoSession { fault, status: Some(400 | 404 | 405), modern: false }) => {
                refusal = Some(fault);
            }
            done => {
                settle(link, &session, done.map_err(LinkFault::from), Mode::Handshake)?;
                if may_be_asked(client) {
                    web::open_stream(&session);
                }
                return Ok(session);
            }
        }
    }
    let (wire, stream) = match Web::pair(http.clone(), credential.clone()).await {
        Ok(pair) => pair,
        Err(fault) => {
            if link.mode() == Mode::Pair && !link.is_pinned() {
                link.set_mode(Mode::Unknown);
            }
            // The first refusal tells more than a second one, but not than a guard's.
            let guarded = matches!(fault, LinkFault::Forbidden(_));
            return Err(refusal.filter(|_| !guarded).unwrap_or(fault));
        }
    };
    let session = make(link, Era::Handshake, Wire::Web(Box::new(wire)), client);
    web::read_pair(&session, stream);
    let done = initialize(&session, client).await;
    settle(link, &session, done.map_err(LinkFault::from), Mode::Pair)?;
    Ok(session)
}

/// Remembers the era that an `initialize` proved, or forgets the one that it disproved.
fn settle(
    link: &Inner,
    session: &Session,
    done: Result<(), LinkFault>,
    mode: Mode,
) -> Result<(), LinkFault> {
    match done {
        Ok(()) => link.set_mode(mode),
        Err(fault) => {
            session.end();
            if !link.is_pinned() {
                link.set_mode(Mode::Unknown);
            }
            return Err(fault);
        }
    }
    Ok(())
}

/// Whether a server could ask this client something.
fn may_be_asked(client: &ClientFacts) -> bool {
    let declared = client.capabilities.json();
    ["elicitation", "roots", "sampling"].iter().any(|name| declared.get(name).is_some())
}

/// Why `initialize` failed.
struct NoSession {
    fault: LinkFault,
    /// The HTTP status, if it was refused by one.
    status: Option<u16>,
    /// Whether the refusal was a stateless server's.
    modern: bool,
}

impl From<LinkFault> for NoSession {
    fn from(fault: LinkFault) -> Self {
        let status = if let LinkFault::Http { status, .. } = fault { Some(status) } else { None };
        NoSession { fault, status, modern: false }
    }
}

impl From<NoSession> for LinkFault {
    fn from(no: NoSession) -> Self {
        no.fault
    }
}

/// A process that ends during its start did not lose a call: it did not start.
fn refused_start(fault: LinkFault) -> LinkFault {
    match fault {
        LinkFault::Lost(why) => LinkFault::Start(why),
        other => other,
    }
}

async fn initialize(session: &Arc<Session>, client: &ClientFacts) -> Result<(), NoSession> {
    const OURS: &str =
        concat!("{\"name\":\"bartizan\",\"version\":\"", env!("CARGO_PKG_VERSION"), "\"}");
    let info = client.info.as_ref().map_or(OURS, |info| info.json().text());
    let params = format!(
        "{{\"protocolVersion\":\"{}\",\"capabilities\":{},\"clientInfo\":{info}}}",
        Version::LAST_HANDSHAKE.as_str(),
        session.capabilities.json().text(),
    );
    let mut waiting = Waiting::open(session, "initialize", None)?;
    let body = Bytes::from(mcp::request(&waiting.id.to_string(), "initialize", &params));
    match session.send(waiting.id, body, None).await? {
        Sent::Yes(stream) => waiting.follow(stream),
        Sent::Refused(refusal) => {
            let status = Some(refusal.status.as_u16());
            let modern = refusal.error().is_some_and(|e| detect::is_stateless_error(&e));
            return Err(NoSession { fault: refusal.fault(), status, modern });
        }
    }
    let result = match waiting.wait().await? {
        Progress::Done(Ok(result)) => result,
        Progress::Done(Err(error)) => return Err(LinkFault::Start(described(error.json())).into()),
        Progress::Asked(..) => return Err(LinkFault::Garbage("a request too early".into()).into()),
    };
    let offer = offers::initialized(result.json()).ok_or_else(|| {
        LinkFault::Start("it named no protocol version that is spoken here".into())
    })?;
    if let Wire::Web(web) = &session.wire {
        web.set_version(offer.version);
    }
    session.set_offer(offer);
    session.say(mcp::notification("notifications/initialized", "{}"), None).await?;
    Ok(())
}

/// An error's code and message, shortened: the text is the server's.
fn described(error: Json<'_>) -> String {
    let code = error.get("code").and_then(Json::integer).unwrap_or_default();
    let message = error.get("message").and_then(Json::string).unwrap_or_default();
    let message: String = message.chars().take(200).collect();
    format!("initialize was refused: {code} {}", message.escape_debug())
}

/// Asks a fresh process. An exit, an error or silence speaks for the handshake.
async fn probe_pipe(link: &Inner, session: &Arc<Session>, client: &ClientFacts) -> Evidence {
    let Ok(waiting) = Waiting::open(session, "server/discover", None) else {
        return Evidence::Handshake;
    };
    let body = compose::stateless(waiting.id, "server/discover", Json::EMPTY, client).body;
    match timeout(link.limits.probe, waiting.start(body)).await {
        Ok(Ok(Progress::Done(outcome))) => detect::weigh(&outcome),
        _ => Evidence::Handshake,
    }
}

/// Asks an HTTP server.
pub(crate) async fn probe_http(
    http: &Http,
    partition: &Partition,
    client: &ClientFacts,
    credential: &Credential,
) -> Result<Evidence, LinkFault> {
    let out = Outgoing {
        partition,
        principal: &partition.0,
        method: "server/discover",
        params: Json::EMPTY,
        client,
        param_headers: Vec::new(),
        credential: credential.clone(),
        deadline: Instant::now(), // the caller's deadline is kept further out
    };
    let (events, _) = mpsc::channel(1);
    match http.call(&out, &events, &Counters::default()).await {
        Ok(Posted::Answered(outcome)) => Ok(detect::weigh(&outcome)),
        Ok(Posted::Refused { status, error }) => {
            let fault = LinkFault::Http { status, challenge: None };
            if detect::is_stateless_error(&error) || detect::refusal_is_evidence(&fault) {
                Ok(detect::weigh(&Err(error)))
            } else {
                Err(fault)
            }
        }
        Err(fault) if detect::refusal_is_evidence(&fault) => Ok(Evidence::Handshake),
        Err(fault) => Err(fault),
    }
}
