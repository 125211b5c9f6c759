//! What servers say of themselves: reading it, and keeping it for a while.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use mcp::{Json, JsonBuf, Kind, Version, meta};

use crate::call::lock;
use crate::{Offer, Partition};

/// A `DiscoverResult` is kept at least and at most this long, whatever `ttlMs` it carries: asking before
/// every call would double the traffic, and `list_changed` does not announce its changes.
const KEEP_LEAST: Duration = Duration::from_secs(10);
const KEEP_MOST: Duration = Duration::from_secs(300);

/// Offers of a stateless server, by partition: it may say different things to different principals.
#[derive(Debug)]
pub(crate) struct Offers {
    kept: Mutex<HashMap<Partition, (Offer, Instant)>>,
    bound: usize,
}

impl Offers {
    pub fn new(bound: usize) -> Offers {
        Offers { kept: Mutex::default(), bound }
    }

    pub fn get(&self, partition: &Partition, now: Instant) -> Option<Offer> {
        let kept = lock(&self.kept);
        kept.get(partition).filter(|(_, until)| *until > now).map(|(offer, _)| offer.clone())
    }

    pub fn keep(&self, partition: &Partition, offer: &Offer, ttl: Option<i64>, now: Instant) {
        let ttl = ttl.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis);
        let ttl = ttl.unwrap_or(KEEP_LEAST).clamp(KEEP_LEAST, KEEP_MOST);
        let mut kept = lock(&self.kept);
        if kept.len() >= self.bound {
            kept.retain(|_, (_, until)| *until > now);
        }
        if kept.len() < self.bound {
            kept.insert(partition.clone(), (offer.clone(), now + ttl));
        }
    }

    pub fn clear(&self) {
        lock(&self.kept).clear();
    }
}

/// The offer in a `DiscoverResult`, if it lists a stateless revision.
pub(crate) fn discovered(result: Json<'_>) -> Option<Offer> {
    let versions = result.get("supportedVersions")?;
    let ours = |v: Json<'_>| v.string().is_some_and(|v| v == Version::LAST_STATELESS.as_str());
    if !versions.items().any(ours) {
        return None;
    }
    let named = result.get(meta::META).and_then(|m| m.get(meta::SERVER_INFO));
    Some(read(result, Version::LAST_STATELESS, named.or_else(|| result.get("serverInfo"))))
}

/// The offer in an `InitializeResult`, if it names a handshake revision.
pub(crate) fn initialized(result: Json<'_>) -> Option<Offer> {
    let version = result.get("protocolVersion")?.string()?;
    let version = Version::parse(&version).filter(|v| *v <= Version::LAST_HANDSHAKE)?;
    Some(read(result, version, result.get("serverInfo")))
}

fn read(result: Json<'_>, version: Version, info: Option<Json<'_>>) -> Offer {
    // Copies: the offer outlives the buffer that it came in.
    let object = |value: Option<Json<'_>>| {
        JsonBuf::from(value.filter(|v| v.kind() == Kind::Object).unwrap_or(Json::EMPTY))
    };
    let instructions = result.get("instructions").and_then(Json::string);
    Offer {
        version,
        capabilities: object(result.get("capabilities")),
        info: object(info),
        instructions: instructions.map(std::borrow::Cow::into_owned),
    }
}
