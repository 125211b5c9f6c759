//! What outlives one session: subscribers, counters, sealed state, tasks.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
};

use rmcp::{
    Peer, RoleServer, model::RequestStateCodec, model::ResourceUpdatedNotificationParam,
    service::SubscriptionSink, task_manager::TaskManager,
};

/// A fixed key is right for a fixture: restarts must not lose the tests' state.
const STATE_KEY: &[u8] = b"the everything fixture seals with this key";
/// More subscribers than any test opens.
const MOST_SUBSCRIBERS: usize = 4096;

/// URIs that one handshake session subscribed to.
pub type Watched = Arc<Mutex<HashSet<String>>>;

pub struct Shared {
    pub codec: RequestStateCodec,
    pub tasks: TaskManager,
    /// Calls of `slow` that ended before their time.
    pub cancelled: AtomicU64,
    subscriptions: Mutex<Vec<SubscriptionSink>>,
    sessions: Mutex<Vec<(Peer<RoleServer>, Watched)>>,
}

/// What changed, to be told to whoever asked to know.
#[derive(Clone, Copy)]
pub enum Change<'a> {
    Prompts,
    Resource(&'a str),
    Tools,
}

impl Shared {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            codec: RequestStateCodec::new_unchecked(STATE_KEY),
            tasks: TaskManager::new(),
            cancelled: AtomicU64::new(0),
            subscriptions: Mutex::default(),
            sessions: Mutex::default(),
        })
    }

    pub fn add_subscription(&self, sink: SubscriptionSink) {
        push(&self.subscriptions, sink);
    }

    pub fn remove_subscription(&self, sink: &SubscriptionSink) {
        let mut all = self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|other| other.id() != sink.id());
    }

    pub fn add_session(&self, peer: Peer<RoleServer>, watched: Watched) {
        let mut all = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(peer, _)| !peer.is_transport_closed());
        drop(all);
        push(&self.sessions, (peer, watched));
    }

    /// Tells every listen stream and every session. One that has gone is not an error.
    pub async fn announce(&self, change: Change<'_>) {
        for sink in copy(&self.subscriptions) {
            let _ = match change {
                Change::Prompts => sink.notify_prompt_list_changed().await,
                Change::Resource(uri) => sink.notify_resource_updated(uri).await,
                Change::Tools => sink.notify_tool_list_changed().await,
            };
        }
        for (peer, watched) in copy(&self.sessions) {
            let _ = match change {
                Change::Prompts => peer.notify_prompt_list_changed().await,
                Change::Tools => peer.notify_tool_list_changed().await,
                Change::Resource(uri) if copy(&watched).contains(uri) => {
                    peer.notify_resource_updated(ResourceUpdatedNotificationParam::new(uri)).await
                }
                Change::Resource(_) => Ok(()),
            };
        }
    }
}

fn push<T>(list: &Mutex<Vec<T>>, item: T) {
    let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
    if list.len() < MOST_SUBSCRIBERS {
        list.push(item);
    }
}

fn copy<T: Clone>(list: &Mutex<T>) -> T {
    list.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
