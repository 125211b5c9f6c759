//! Who listens on a handshake session, and to which resources it is subscribed.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use mcp::Notification;

use crate::call::lock;
use crate::{Events, Wanted};

/// Who listens on a handshake session.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    next: AtomicU64,
    list: Mutex<Vec<Listener>>,
    /// Listeners of each resource that the server was asked to watch.
    uris: Mutex<HashMap<String, usize>>,
    /// Held while the server is told, so that an end and a new beginning can't overtake each other.
    pub telling: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Listener {
    id: u64,
    wanted: Wanted,
    events: Events,
}

impl Listeners {
    pub fn add(&self, wanted: Wanted, events: Events) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.list).push(Listener { id, wanted, events });
        id
    }

    pub fn remove(&self, id: u64) {
        lock(&self.list).retain(|listener| listener.id != id);
    }

    pub fn is_empty(&self) -> bool {
        lock(&self.list).is_empty()
    }

    /// Ends every listener's channel.
    pub fn close(&self) {
        lock(&self.list).clear();
    }

    /// Counts a listener of a resource; true for the first.
    pub fn retain_uri(&self, uri: &str) -> bool {
        let mut uris = lock(&self.uris);
        let count = uris.entry(uri.to_owned()).or_default();
        *count += 1;
        *count == 1
    }

    /// Whether anybody listens to a resource.
    pub fn is_watched(&self, uri: &str) -> bool {
        lock(&self.uris).contains_key(uri)
    }

    /// The reverse; true for the last.
    pub fn release_uri(&self, uri: &str) -> bool {
        let mut uris = lock(&self.uris);
        let Some(count) = uris.get_mut(uri) else { return false };
        *count -= 1;
        let last = *count == 0;
        if last {
            uris.remove(uri);
        }
        last
    }

    /// Visits those that want this notification.
    pub fn each(&self, mut visit: impl FnMut(&Events), note: &Notification<'_>) {
        let list = lock(&self.list);
        list.iter().filter(|l| wants(&l.wanted, note)).for_each(|l| visit(&l.events));
    }
}

fn wants(wanted: &Wanted, note: &Notification<'_>) -> bool {
    match &*note.method {
        "notifications/tools/list_changed" => wanted.tools_list_changed,
        "notifications/prompts/list_changed" => wanted.prompts_list_changed,
        "notifications/resources/list_changed" => wanted.resources_list_changed,
        "notifications/resources/updated" => note
            .params
            .get("uri")
            .and_then(mcp::Json::string)
            .is_some_and(|uri| wanted.resource_uris.iter().any(|wanted| *wanted == uri)),
        _ => false,
    }
}
