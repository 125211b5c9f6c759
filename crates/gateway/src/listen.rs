//! `subscriptions/listen`: the servers' streams joined into one, filtered by what was asked for and
//! by what the caller may read.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use identity::Verified;
use mcp::{Json, JsonBuf, ServerName, quote};
use policy::{Action, Kind, Operation};
use tokio::{sync::mpsc, task::JoinSet};
use upstream::{Event, Events, Wanted};

use crate::{
    Gateway,
    call::{Call, Reply, Scope},
    catalogue::Listed,
    refusal::Refusal,
    rewrite,
    served::Served,
    task,
    telemetry::Step,
};

/// How long the acknowledgement waits for servers to say what they honour. Later ones still join.
const ACKNOWLEDGE: Duration = Duration::from_secs(2);

/// Events kept until then.
const EARLY: usize = 64;

/// What arrives from the servers' streams.
enum Arrival {
    /// The server said what it honours; `None` when it can't be listened to.
    Honoured(Option<Wanted>),
    Event(ServerName, Event),
}

impl Gateway {
    pub(crate) async fn listen(
        &self,
        caller: &Verified,
        call: &Call,
        events: &Events,
    ) -> Result<Reply, Refusal> {
        let wanted = wanted(call.params.json());
        let id = self.next_call_id();
        let mut facts = self.facts(caller, call, &id);
        let began = Instant::now();
        let intent = self.record_intent(&facts).await?;
        facts.step(Step::Cleared);
        let mut changes = self.changes.subscribe();
        let mut ending = self.ending.subscribe();
        let mut applied = self.applied.subscribe();
        let (sender, mut arrivals) = mpsc::channel(64);
        // Dropped with this future: every stream to a server ends with the client's.
        let mut streams = JoinSet::new();
        let joined = self.join_streams(caller, call, &wanted, &sender, &mut streams);
        drop(sender);
        let (honoured, early) = acknowledged(&wanted, joined, &mut arrivals).await;
        facts.step(Step::Answered);
        let notice = format!("{{\"notifications\":{}}}", notice(&honoured, &wanted));
        let method = "notifications/subscriptions/acknowledged".to_owned();
        let mut alive = events.send(Event { method, params: crate::made(notice) }).await.is_ok();
        for (server, event) in early {
            let asked = self.asked_for(caller, call, &wanted, &server, event);
            alive = alive && self.forward(&server, asked, &mut facts.findings, events).await;
        }
        while alive {
            tokio::select! {
                Some(arrival) = arrivals.recv() => if let Arrival::Event(server, event) = arrival {
                    let asked = self.asked_for(caller, call, &wanted, &server, event);
                    alive = self.forward(&server, asked, &mut facts.findings, events).await;
                },
                Ok(listed) = changes.recv() => {
                    let asked = match listed {
                        Listed::Prompts => wanted.prompts_list_changed,
                        Listed::Tools => wanted.tools_list_changed,
                    };
                    let method = format!("notifications/{}/list_changed", listed.member());
                    let event = Event { method, params: Json::EMPTY.into() };
                    alive = !asked || events.send(event).await.is_ok();
                },
                _ = events.closed() => alive = false,
                _ = ending.changed() => break,
                // Servers and roles are not what they were: the client listens again, to those of now.
                _ = applied.changed() => break,
            }
        }
        let ended = Ok(Reply::result(crate::made("{\"resultType\":\"complete\"}".to_owned())));
        self.record_outcome(intent, &mut facts, began, &ended).await?;
        ended
    }

    /// Starts a stream to each server that has something to say on what is wanted.
    fn join_streams(
        &self,
        caller: &Verified,
        call: &Call,
        wanted: &Wanted,
        sender: &mpsc::Sender<Arrival>,
        streams: &mut JoinSet<()>,
    ) -> usize {
        let mut joined = 0;
        for served in self.touchable(caller) {
            if let Scope::One(only) = &call.scope
                && only != served.name()
            {
                continue;
            }
            let Some(own) = self.own_wanted(caller, call, wanted, &served) else { continue };
            joined += 1;
            let (caller, client) = (caller.clone(), call.client.clone());
            let sender = sender.clone();
            streams.spawn(async move {
                let listening = served.listen(&caller, &client, own).await.ok();
                let honoured = listening.as_ref().map(|listening| listening.honoured.clone());
                let _ = sender.send(Arrival::Honoured(honoured)).await;
                let Some(mut listening) = listening else { return };
                while let Some(event) = listening.events.recv().await {
                    let Some(event) = served.guard.event(caller.principal().id(), event).await
                    else {
                        continue;
                    };
                    let arrival = Arrival::Event(served.name().clone(), event);
                    if sender.send(arrival).await.is_err() {
                        return;
                    }
                }
            });
        }
        joined
    }

    /// What of `wanted` concerns this server, under its own names; `None` when nothing does.
    fn own_wanted(
        &self,
        caller: &Verified,
        call: &Call,
        wanted: &Wanted,
        served: &Arc<Served>,
    ) -> Option<Wanted> {
        let own_uri = |uri: &String| match call.scope {
            Scope::One(_) => Some(uri.clone()),
            Scope::All => {
                let (server, own) = ServerName::unwrap_uri(uri)?;
                (server == served.name().as_str()).then_some(own)
            }
        };
        let own_task = |task: &String| {
            let own = self.own_task(caller, call, task).filter(|_| task::declared(call))?;
            (own.server == served.name().as_str()).then_some(own.task)
        };
        let may = |uri: &String| self.may_read(caller, call, served.name(), uri);
        let own = Wanted {
            resource_uris: wanted.resource_uris.iter().filter_map(own_uri).filter(may).collect(),
            task_ids: wanted.task_ids.iter().filter_map(own_task).collect(),
            ..wanted.clone()
        };
        (own != Wanted::default()).then_some(own)
    }

    /// A handshake client's roots are not what they were: the sessions that servers hold for it are told,
    /// and those that care ask for them in their next call.
    pub(crate) fn roots_changed(&self, caller: &Verified, scope: &Scope) {
        const METHOD: &str = "notifications/roots/list_changed";
        for served in self.current().servers.values() {
            if matches!(scope, Scope::One(only) if only != served.name()) {
                continue;
            }
            served.link().notify(&served.partition(caller), METHOD, Json::EMPTY);
        }
    }

    /// Whether the caller may read a server's resource.
    pub(crate) fn may_read(
        &self,
        caller: &Verified,
        call: &Call,
        server: &ServerName,
        uri: &str,
    ) -> bool {
        let action = Action::new(server.as_str(), Kind::Resource, uri);
        let action = action.with(Operation::SubscribeResource);
        self.foresee(caller, call, &action).is_possible()
    }

    /// Passes an event on as the detectors let it; `false` when the client is gone.
    async fn forward(
        &self,
        server: &ServerName,
        event: Option<Event>,
        noted: &mut String,
        events: &Events,
    ) -> bool {
        let current = self.current();
        match event.and_then(|event| current.inspector.event(server.as_str(), event, noted)) {
            Some(event) => events.send(event).await.is_ok(),
            None => true,
        }
    }

    /// The event as this client knows it, if it was asked for.
    fn asked_for(
        &self,
        caller: &Verified,
        call: &Call,
        wanted: &Wanted,
        server: &ServerName,
        mut event: Event,
    ) -> Option<Event> {
        let served = self.served(server.as_str());
        let forget = |listed| {
            if let Some(served) = &served {
                served.catalogue.forget(listed);
            }
        };
        let asked = match event.method.as_str() {
            "notifications/tools/list_changed" => {
                forget(Listed::Tools);
                wanted.tools_list_changed
            }
            "notifications/prompts/list_changed" => {
                forget(Listed::Prompts);
                wanted.prompts_list_changed
            }
            "notifications/resources/list_changed" => wanted.resources_list_changed,
            "notifications/resources/updated" => {
                let uri = event.params.json().get("uri").and_then(Json::string);
                let may = uri.is_some_and(|uri| self.may_read(caller, call, server, &uri));
                if call.scope == Scope::All {
                    event.params = rewrite::updated(server, event.params.json());
                }
                may
            }
            "notifications/tasks" => self.task_event(caller, call, wanted, server, &mut event),
            _ => false,
        };
        asked.then_some(event)
    }

    /// A task's event under the id that the client knows.
    fn task_event(
        &self,
        caller: &Verified,
        call: &Call,
        wanted: &Wanted,
        server: &ServerName,
        event: &mut Event,
    ) -> bool {
        let json = event.params.json();
        let Some(own) = json.get("taskId").and_then(Json::string) else { return false };
        let known = wanted.task_ids.iter().find(|sealed| {
            self.own_task(caller, call, sealed)
                .is_some_and(|known| known.server == server.as_str() && known.task == own)
        });
        let Some(known) = known else { return false };
        // What the task holds is fetched by `tasks/get`, where it is inspected and recorded.
        event.params = mcp::Patch::of(json)
            .set("taskId", quote(known))
            .remove("result")
            .remove("error")
            .remove("inputRequests")
            .build();
        true
    }
}

/// Waits until every server has said what it honours, or long enough.
async fn acknowledged(
    wanted: &Wanted,
    mut joined: usize,
    arrivals: &mut mpsc::Receiver<Arrival>,
) -> (Wanted, Vec<(ServerName, Event)>) {
    let mut honoured = Wanted {
        // The gateway itself tells when its lists change.
        tools_list_changed: wanted.tools_list_changed,
        prompts_list_changed: wanted.prompts_list_changed,
        ..Wanted::default()
    };
    let mut early = Vec::new();
    let gather = async {
        while joined > 0 {
            match arrivals.recv().await {
                Some(Arrival::Honoured(said)) => {
                    joined -= 1;
                    let said = said.unwrap_or_default();
                    honoured.resources_list_changed |= said.resources_list_changed;
                    honoured.resource_uris.extend(said.resource_uris);
                    honoured.task_ids.extend(said.task_ids);
                }
                Some(Arrival::Event(server, event)) if early.len() < EARLY => {
                    early.push((server, event));
                }
                Some(Arrival::Event(..)) => {}
                None => return,
            }
        }
    };
    let _ = tokio::time::timeout(ACKNOWLEDGE, gather).await;
    (honoured, early)
}

/// The honoured subset, in the client's own words.
fn notice(honoured: &Wanted, wanted: &Wanted) -> String {
    let mut members = Vec::new();
    for (name, is) in [
        ("toolsListChanged", honoured.tools_list_changed),
        ("promptsListChanged", honoured.prompts_list_changed),
        ("resourcesListChanged", honoured.resources_list_changed),
    ] {
        if is {
            members.push(format!("\"{name}\":true"));
        }
    }
    let quoted = |texts: &[String]| {
        format!("[{}]", texts.iter().map(|text| quote(text)).collect::<Vec<_>>().join(","))
    };
    if !honoured.resource_uris.is_empty() {
        members.push(format!("\"resourceSubscriptions\":{}", quoted(&wanted.resource_uris)));
    }
    if !honoured.task_ids.is_empty() {
        members.push(format!("\"taskIds\":{}", quoted(&wanted.task_ids)));
    }
    format!("{{{}}}", members.join(","))
}

/// Bounds what one stream may name.
const NAMED: usize = 1024;

fn wanted(params: Json<'_>) -> Wanted {
    let asked = params.get("notifications").unwrap_or(Json::EMPTY);
    let is = |name| asked.get(name).and_then(Json::boolean) == Some(true);
    let texts = |name| {
        let items = asked.get(name).unwrap_or(Json::EMPTY).items();
        items.filter_map(|item| Some(item.string()?.into_owned())).take(NAMED).collect()
    };
    Wanted {
        tools_list_changed: is("toolsListChanged"),
        prompts_list_changed: is("promptsListChanged"),
        resources_list_changed: is("resourcesListChanged"),
        resource_uris: texts("resourceSubscriptions"),
        task_ids: texts("taskIds"),
    }
}

/// The params of a `subscriptions/listen` made on behalf of a handshake session.
pub(crate) fn listen_params(uris: &[String]) -> JsonBuf {
    let uris: Vec<_> = uris.iter().map(|uri| quote(uri)).collect();
    crate::made(format!(
        "{{\"notifications\":{{\"toolsListChanged\":true,\"promptsListChanged\":true,\"resourcesListChanged\":true,\"resourceSubscriptions\":[{}]}}}}",
        uris.join(",")
    ))
}
