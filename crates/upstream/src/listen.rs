//! Subscriptions: a server's unasked notifications, in either era.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mcp::{Era, Json, JsonBuf, Kind, Limits, Message, Patch, meta};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::call::{Sink, Wake};
use crate::detect::{self, METHOD_NOT_FOUND, Mode};
use crate::inner::{Inner, Road};
use crate::logs::Threshold;
use crate::post::{Http, outcome};
use crate::reply::{Reply, Stream};
use crate::session::Session;
use crate::waiting::Waiting;
use crate::{
    ClientFacts, Credential, Event, LinkFault, LogWish, Outgoing, Partition, Wanted, compose, web,
};

const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LAST: Duration = Duration::from_secs(30);
const UNSUBSCRIBE: Duration = Duration::from_secs(10);

/// Notifications as they come. Dropping it ends the subscription.
#[derive(Debug)]
pub struct Subscription {
    /// The notifications, without the server's subscription id. After a connection was lost and made
    /// again, each list that is listened to is reported as changed: what happened meanwhile is unknown.
    pub events: mpsc::Receiver<Event>,
    /// What the server agreed to send.
    pub honoured: Wanted,
}

/// Who listens, and for what: kept to do it again.
struct Listener {
    partition: Partition,
    client: ClientFacts,
    credential: Credential,
    wanted: Wanted,
}

/// Where the notifications come from.
enum Feed {
    /// A handshake session.
    Heard { _hearing: Hearing, heard: mpsc::Receiver<Event> },
    /// A stateless process.
    Piped(Waiting, mpsc::Receiver<Event>),
    /// The server honours nothing.
    Silent,
    /// A stateless HTTP server.
    Web(u64, Box<Stream>),
}

pub(crate) async fn open(
    link: &Arc<Inner>,
    partition: &Partition,
    client: &ClientFacts,
    credential: &Credential,
    wanted: Wanted,
) -> Result<Subscription, LinkFault> {
    let listener = Listener {
        partition: partition.clone(),
        // A listen stream carries no log messages.
        client: ClientFacts { log: LogWish::None, ..client.clone() },
        credential: credential.clone(),
        wanted,
    };
    let (feed, honoured) = listener.start(link).await?;
    let (tell, events) = mpsc::channel(link.limits.events.max(1));
    let link = Arc::downgrade(link);
    tokio::spawn(async move {
        let closed = tell.clone();
        tokio::select! {
            () = listener.keep(link, feed, tell) => {}
            () = closed.closed() => {}
        }
    });
    Ok(Subscription { events, honoured })
}

impl Listener {
    async fn start(&self, link: &Arc<Inner>) -> Result<(Feed, Wanted), LinkFault> {
        if let Road::Http(http) = &link.road {
            let mode = link.http_mode(http, &self.partition, &self.client, &self.credential);
            if mode.await? == Mode::Stateless {
                return self.start_http(http).await;
            }
        }
        let session = link.session(&self.partition, &self.client, &self.credential).await?;
        match session.era {
            Era::Handshake => self.start_handshake(link, &session).await,
            Era::Stateless => self.start_pipe(link, &session).await,
        }
    }

    /// Passes events on until nobody listens or the link is gone.
    async fn keep(self, link: Weak<Inner>, mut feed: Feed, tell: mpsc::Sender<Event>) {
        let mut pause = RETRY_FIRST;
        loop {
            while let Some(event) = feed.next().await {
                pause = RETRY_FIRST;
                if tell.send(event).await.is_err() {
                    return;
                }
            }
            drop(feed);
            feed = loop {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(RETRY_LAST);
                let Some(link) = link.upgrade().filter(|link| !link.pool.is_closed()) else {
                    return;
                };
                match timeout(link.limits.start, self.start(&link)).await {
                    Ok(Ok((feed, honoured))) => {
                        for event in missed(&honoured) {
                            let _ = tell.send(event).await;
                        }
                        break feed;
                    }
                    Ok(Err(fault)) => tracing::debug!(server = %link.name, %fault, "listen again"),
                    Err(_) => tracing::debug!(server = %link.name, "listen again: no answer"),
                }
            };
        }
    }

    fn params(&self) -> JsonBuf {
        let mut text = String::from("{\"notifications\":{");
        for (name, wanted) in [
            ("toolsListChanged", self.wanted.tools_list_changed),
            ("promptsListChanged", self.wanted.prompts_list_changed),
            ("resourcesListChanged", self.wanted.resources_list_changed),
        ] {
            if wanted {
                text.push_str(&format!("\"{name}\":true,"));
            }
        }
        for (name, list) in [
            ("resourceSubscriptions", &self.wanted.resource_uris),
            ("taskIds", &self.wanted.task_ids),
        ] {
            if !list.is_empty() {
                let quoted: Vec<String> = list.iter().map(|item| mcp::quote(item)).collect();
                text.push_str(&format!("\"{name}\":[{}],", quoted.join(",")));
            }
        }
        if text.ends_with(',') {
            text.pop();
        }
        text.push_str("}}");
        let empty = || JsonBuf::from(Json::EMPTY);
        JsonBuf::read(Bytes::from(text), &Limits::default()).unwrap_or_else(|_| empty())
    }

    async fn start_http(&self, http: &Http) -> Result<(Feed, Wanted), LinkFault> {
        let params = self.params();
        let out = Outgoing {
            partition: &self.partition,
            principal: &self.partition.0,
            method: "subscriptions/listen",
            params: params.json(),
            client: &self.client,
            param_headers: Vec::new(),
            credential: self.credential.clone(),
            deadline: Instant::now(), // kept by the caller
        };
        let (id, mut stream) = match http.open(&out).await? {
            (id, Reply::Stream(stream)) => (id, stream),
            (id, Reply::Json(body)) => return refused(outcome(&body, id)?.err().as_ref()),
            (_, Reply::Refused(refusal)) => {
                if refusal.error().as_ref().and_then(detect::code) == Some(METHOD_NOT_FOUND) {
                    return Ok((Feed::Silent, Wanted::default()));
                }
                return Err(refusal.fault());
            }
            (_, Reply::Empty) => return Err(LinkFault::Garbage("an empty answer".into())),
        };
        let Some(first) = stream.message().await? else {
            return Err(LinkFault::Lost("the stream ended at once".into()));
        };
        match Message::of(first.json()) {
            Ok(Message::Notification(note)) if note.method == ACKNOWLEDGED => {
                let honoured = honoured(note.params, &self.wanted);
                Ok((Feed::Web(id, stream), honoured))
            }
            Ok(Message::Response(_)) => refused(outcome(&first, id)?.err().as_ref()),
            _ => Err(LinkFault::Garbage("a subscription without acknowledgement".into())),
        }
    }

    async fn start_pipe(
        &self,
        link: &Inner,
        session: &Arc<Session>,
    ) -> Result<(Feed, Wanted), LinkFault> {
        let waiting = Waiting::open(session, "subscriptions/listen", None)?;
        let (events, mut heard) = mpsc::channel(link.limits.events.max(1));
        let threshold = Threshold::of(&LogWish::None);
        waiting.call.set_sink(Sink { events, token: None, threshold, listens: true });
        let params = self.params();
        let body =
            compose::stateless(waiting.id, "subscriptions/listen", params.json(), &self.client);
        session.send(waiting.id, body.body, None).await?;
        tokio::select! {
            wake = waiting.call.next() => match wake {
                Wake::Done(done) => refused(done?.err().as_ref()),
                Wake::Asked(_) => refused(None),
            },
            first = heard.recv() => match first {
                Some(note) if note.method == ACKNOWLEDGED => {
                    let honoured = honoured(note.params.json(), &self.wanted);
                    Ok((Feed::Piped(waiting, heard), honoured))
                }
                _ => refused(None),
            },
        }
    }

    async fn start_handshake(
        &self,
        link: &Inner,
        session: &Arc<Session>,
    ) -> Result<(Feed, Wanted), LinkFault> {
        let offer = session.offer().ok_or_else(|| LinkFault::Garbage("no offer".into()))?;
        let capabilities = offer.capabilities.json();
        let has = |of: &str, what: &str| {
            capabilities.get(of).and_then(|c| c.get(what)).and_then(Json::boolean) == Some(true)
        };
        let mut honoured = Wanted {
            tools_list_changed: self.wanted.tools_list_changed && has("tools", "listChanged"),
            prompts_list_changed: self.wanted.prompts_list_changed && has("prompts", "listChanged"),
            resources_list_changed: self.wanted.resources_list_changed
                && has("resources", "listChanged"),
            ..Wanted::default()
        };
        web::open_stream(session);
        let mut hearing = Hearing { session: session.clone(), id: None, uris: Vec::new() };
        if has("resources", "subscribe") {
            for uri in &self.wanted.resource_uris {
                if hearing.subscribe(uri).await? {
                    honoured.resource_uris.push(uri.clone());
                }
            }
        }
        if honoured == Wanted::default() {
            return Ok((Feed::Silent, honoured));
        }
        let (events, heard) = mpsc::channel(link.limits.events.max(1));
        hearing.id = Some(session.listeners.add(honoured.clone(), events));
        if !session.is_alive() {
            // It was closed before the listener was there to be told.
            return Err(LinkFault::Lost("the session ended".into()));
        }
        Ok((Feed::Heard { _hearing: hearing, heard }, honoured))
    }
}

impl Feed {
    /// The next notification; `None` when the connection is lost or the server ended it.
    async fn next(&mut self) -> Option<Event> {
        match self {
            Feed::Heard { heard, .. } => heard.recv().await,
            Feed::Piped(waiting, heard) => tokio::select! {
                biased;
                event = heard.recv() => event.map(untagged),
                _ = waiting.call.next() => None,
            },
            Feed::Silent => std::future::pending().await,
            Feed::Web(id, stream) => loop {
                let message = stream.message().await.ok().flatten()?;
                let Ok(Message::Notification(note)) = Message::of(message.json()) else {
                    return None; // the closing result, or nonsense
                };
                let tag = note.params.get(meta::META).and_then(|m| m.get(meta::SUBSCRIPTION_ID));
                if tag.and_then(Json::integer).and_then(|tag| u64::try_from(tag).ok()) == Some(*id)
                {
                    let params = JsonBuf::from(note.params);
                    return Some(untagged(Event { method: note.method.into_owned(), params }));
                }
            },
        }
    }
}

/// A place among a session's listeners. Dropping it gives back its resource subscriptions.
struct Hearing {
    session: Arc<Session>,
    id: Option<u64>,
    uris: Vec<String>,
}

impl Hearing {
    /// Whether the server watches the resource now.
    async fn subscribe(&mut self, uri: &str) -> Result<bool, LinkFault> {
        let session = self.session.clone();
        let _telling = session.listeners.telling.lock().await;
        self.uris.push(uri.to_owned());
        if !self.session.listeners.retain_uri(uri) {
            return Ok(true);
        }
        let params = format!("{{\"uri\":{}}}", mcp::quote(uri));
        let done = self.session.ask_server("resources/subscribe", &params).await?;
        if done.is_err() {
            self.uris.pop();
            self.session.listeners.release_uri(uri);
        }
        Ok(done.is_ok())
    }
}

impl Drop for Hearing {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.session.listeners.remove(id);
        }
        let released = |uri: &String| self.session.listeners.release_uri(uri);
        let last: Vec<String> = self.uris.drain(..).filter(released).collect();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if last.is_empty() || !self.session.is_alive() {
            return;
        }
        let session = self.session.clone();
        runtime.spawn(async move {
            for uri in last {
                let _telling = session.listeners.telling.lock().await;
                // Somebody else began to listen in the meantime.
                if session.listeners.is_watched(&uri) {
                    continue;
                }
                let params = format!("{{\"uri\":{}}}", mcp::quote(&uri));
                let asking = session.ask_server("resources/unsubscribe", &params);
                let _ = timeout(UNSUBSCRIBE, asking).await;
            }
        });
    }
}

/// A server without subscriptions honours nothing; any other refusal is a fault.
fn refused(error: Option<&JsonBuf>) -> Result<(Feed, Wanted), LinkFault> {
    match error.and_then(detect::code) {
        Some(METHOD_NOT_FOUND) => Ok((Feed::Silent, Wanted::default())),
        Some(code) => Err(LinkFault::Garbage(format!("the subscription was refused: {code}"))),
        None => Err(LinkFault::Garbage("a subscription without acknowledgement".into())),
    }
}

/// What was acknowledged, and never more than what was asked for.
fn honoured(params: Json<'_>, wanted: &Wanted) -> Wanted {
    let given = params.get("notifications").unwrap_or(Json::EMPTY);
    let flag = |name: &str| given.get(name).and_then(Json::boolean) == Some(true);
    let list = |name: &str, wanted: &[String]| {
        let given = given.get(name).unwrap_or(Json::EMPTY);
        let has = |item: &&String| given.items().any(|g| g.string().is_some_and(|g| g == **item));
        wanted.iter().filter(has).cloned().collect()
    };
    Wanted {
        tools_list_changed: wanted.tools_list_changed && flag("toolsListChanged"),
        prompts_list_changed: wanted.prompts_list_changed && flag("promptsListChanged"),
        resources_list_changed: wanted.resources_list_changed && flag("resourcesListChanged"),
        resource_uris: list("resourceSubscriptions", &wanted.resource_uris),
        task_ids: list("taskIds", &wanted.task_ids),
    }
}

/// Without the tag of the server's subscription: it means nothing to anyone else.
fn untagged(event: Event) -> Event {
    let params = event.params.json();
    let Some(theirs) = params.get(meta::META).filter(|m| m.kind() == Kind::Object) else {
        return event;
    };
    let alone = theirs.members().all(|(name, _)| name == meta::SUBSCRIPTION_ID);
    let patch = Patch::of(params);
    let patch = if alone {
        patch.remove(meta::META)
    } else {
        patch.set(meta::META, Patch::of(theirs).remove(meta::SUBSCRIPTION_ID).text())
    };
    Event { params: patch.build(), method: event.method }
}

/// Reports of change for each list, after a gap.
fn missed(honoured: &Wanted) -> impl Iterator<Item = Event> {
    let lists = [
        ("notifications/tools/list_changed", honoured.tools_list_changed),
        ("notifications/prompts/list_changed", honoured.prompts_list_changed),
        ("notifications/resources/list_changed", honoured.resources_list_changed),
    ];
    let event = |method: &str| Event { method: method.into(), params: JsonBuf::from(Json::EMPTY) };
    lists.into_iter().filter(|(_, wanted)| *wanted).map(move |(method, _)| event(method))
}
