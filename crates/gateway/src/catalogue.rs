//! What a server offers, as last listed: the one source for showing and for calling (law 9).

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use mcp::{HeaderParam, Json, JsonBuf, Patch, header_params, quote};
use trust::Approved;
use upstream::{ClientFacts, Outgoing};

use crate::{Gateway, approved::Shown, refusal::Refusal, served::Served};

/// The two kinds of definition that are called by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// `prompts/list`.
    Prompts,
    /// `tools/list`.
    Tools,
}

impl Listed {
    /// The list method.
    pub fn method(self) -> &'static str {
        match self {
            Listed::Prompts => "prompts/list",
            Listed::Tools => "tools/list",
        }
    }

    /// The result's member that holds the items.
    pub fn member(self) -> &'static str {
        match self {
            Listed::Prompts => "prompts",
            Listed::Tools => "tools",
        }
    }

    /// What policy decides on.
    pub fn kind(self) -> policy::Kind {
        match self {
            Listed::Prompts => policy::Kind::Prompt,
            Listed::Tools => policy::Kind::Tool,
        }
    }

    fn definition(self) -> trust::Kind {
        match self {
            Listed::Prompts => trust::Kind::Prompt,
            Listed::Tools => trust::Kind::Tool,
        }
    }
}

/// One definition.
#[derive(Debug)]
pub struct Item {
    /// Its own name.
    pub name: Box<str>,
    /// Byte for byte as listed.
    pub raw: JsonBuf,
    /// What a tool says of itself.
    pub annotations: policy::Annotations,
    /// That it is the approved one.
    pub approved: Approved,
    /// Arguments mirrored in headers.
    pub header_params: Vec<HeaderParam>,
    /// Who may call it, and whom it may call, as it says itself.
    pub constraints: Option<trust::Constraints>,
}

/// A server's whole list of one kind.
#[derive(Debug)]
pub struct Listing {
    /// Those that are approved, in the server's order.
    pub items: Vec<Item>,
    by_name: BTreeMap<Box<str>, usize>,
    /// What is there and not approved: shown to nobody, callable by nobody.
    pub held_back: BTreeMap<Box<str>, trust::State>,
    /// The first page's result without its items and cursor.
    pub rest: JsonBuf,
    /// The SHA-256 of its approved definitions: for each, by their names, a line of name and digest.
    pub digest: [u8; 32],
    /// For how long it is fresh.
    pub ttl: Duration,
    fetched: Instant,
    /// When all of it had arrived.
    arrived: Instant,
}

impl Listing {
    /// Whether the server has a definition with this name, approved or not.
    pub fn knows(&self, name: &str) -> bool {
        self.by_name.contains_key(name) || self.held_back.contains_key(name)
    }

    /// The definition with this name.
    pub fn find(&self, name: &str) -> Option<&Item> {
        self.by_name.get(name).map(|at| &self.items[*at])
    }
}

/// A server's lists.
#[derive(Default)]
pub struct Catalogue {
    tools: Slot,
    prompts: Slot,
}

#[derive(Default)]
struct Slot {
    held: ArcSwapOption<Listing>,
    /// Held while the server is asked; inside, the last failure and when that asking began.
    fetching: tokio::sync::Mutex<Option<(Instant, Refusal)>>,
    /// Whether an asking runs that no client waits for.
    detached: AtomicBool,
}

/// Bounds on what one server may list.
const PAGES: usize = 100;
const ITEMS: usize = 10_000;
const BYTES: usize = 16 << 20;

impl Catalogue {
    fn slot(&self, listed: Listed) -> &Slot {
        match listed {
            Listed::Prompts => &self.prompts,
            Listed::Tools => &self.tools,
        }
    }

    /// Forgets a list, as after the server said that it changed.
    pub fn forget(&self, listed: Listed) {
        self.slot(listed).held.store(None);
    }

    /// What is known, however old.
    pub fn held(&self, listed: Listed) -> Option<Arc<Listing>> {
        self.slot(listed).held.load_full()
    }

    /// Takes the one place for an asking that outlives its client; given back when dropped.
    pub fn detach(self: &Arc<Self>, listed: Listed) -> Option<Detached> {
        let taken = self.slot(listed).detached.swap(true, Ordering::AcqRel);
        (!taken).then(|| Detached { catalogue: self.clone(), listed })
    }

    /// For a call: what is known, unless it is older than it may be, or than the process that would take
    /// the call, which may be another program by now.
    pub fn for_call(
        &self,
        listed: Listed,
        recheck: Duration,
        process: Duration,
    ) -> Option<Arc<Listing>> {
        self.held(listed).filter(|listing| {
            listing.fetched.elapsed() < recheck && listing.arrived.elapsed() < process
        })
    }

    /// For a list: what is known, if the server said that it is still fresh.
    pub fn for_list(&self, listed: Listed) -> Option<Arc<Listing>> {
        self.held(listed).filter(|listing| listing.fetched.elapsed() < listing.ttl)
    }
}

/// The one asking of a list that no client waits for.
pub struct Detached {
    catalogue: Arc<Catalogue>,
    listed: Listed,
}

impl Drop for Detached {
    fn drop(&mut self) {
        self.catalogue.slot(self.listed).detached.store(false, Ordering::Release);
    }
}

impl Gateway {
    /// The server's list, asked for now. Concurrent askers share one asking.
    pub(crate) async fn fetch_listing(
        &self,
        served: &Served,
        listed: Listed,
        caller: &identity::Verified,
        client: &ClientFacts,
    ) -> Result<Arc<Listing>, Refusal> {
        let asking = self.fetch_or_share(served, listed, caller, client);
        tokio::time::timeout(served.entry.timeout, asking)
            .await
            .unwrap_or_else(|_| Err(served.fault(upstream::LinkFault::Deadline)))
    }

    async fn fetch_or_share(
        &self,
        served: &Served,
        listed: Listed,
        caller: &identity::Verified,
        client: &ClientFacts,
    ) -> Result<Arc<Listing>, Refusal> {
        let slot = served.catalogue.slot(listed);
        let asked = Instant::now();
        let mut failed = slot.fetching.lock().await;
        // What was asked while this waited is as good as asking again, whatever came of it.
        if let Some(held) = served.catalogue.held(listed)
            && held.fetched >= asked
        {
            return Ok(held);
        }
        if let Some((began, refusal)) = &*failed
            && *began >= asked
        {
            return Err(refusal.clone());
        }
        let began = Instant::now();
        let fetched = async {
            let pages = pages(served, listed, caller, client).await?;
            self.record(served, listed, pages, began).await.map(Arc::new)
        };
        let fetched = fetched.await;
        match &fetched {
            Ok(listing) => slot.held.store(Some(listing.clone())),
            Err(refusal) => *failed = Some((began, refusal.clone())),
        }
        fetched
    }

    /// Reads the definitions and holds them against what was approved.
    async fn record(
        &self,
        served: &Served,
        listed: Listed,
        pages: Vec<JsonBuf>,
        fetched: Instant,
    ) -> Result<Listing, Refusal> {
        let kind = listed.definition();
        let (mut found, mut names) = (Vec::new(), HashSet::new());
        for page in &pages {
            let items = page.json().get(listed.member()).unwrap_or(Json::EMPTY);
            for item in items.items().take(ITEMS - found.len()) {
                let Some(read) = read_item(served, listed, kind, page, item) else { continue };
                // Two definitions of one name: neither shadows the other by its place, the first stays.
                if names.insert(read.0.name.clone()) {
                    found.push(read);
                } else {
                    tracing::warn!(server = %served.name(), name = read.0.name, "listed twice");
                }
            }
        }
        let shown: Vec<_> = found
            .iter()
            .map(|(definition, raw, _)| Shown { definition, text: raw.json().text() })
            .collect();
        let standings = self.judge(served, &shown).await?;
        let (mut by_name, mut held_back) = (BTreeMap::new(), BTreeMap::new());
        let mut items: Vec<Item> = Vec::with_capacity(found.len());
        for ((definition, raw, header_params), standing) in found.into_iter().zip(standings) {
            let name: Box<str> = definition.name.into();
            match standing {
                Ok(approved) => {
                    by_name.insert(name.clone(), items.len());
                    let constraints = trust::Constraints::read(raw.json());
                    let annotations = policy::Annotations::of(raw.json());
                    items.push(Item {
                        name,
                        raw,
                        annotations,
                        approved,
                        header_params,
                        constraints,
                    });
                }
                Err(state) => drop(held_back.insert(name, state)),
            }
        }
        let first = pages.first().map(JsonBuf::json).unwrap_or(Json::EMPTY);
        let ttl = first.get("ttlMs").and_then(Json::integer).unwrap_or_default();
        let rest = Patch::of(first).remove(listed.member()).remove("nextCursor").build();
        let ttl = Duration::from_millis(ttl.clamp(0, 3_600_000) as u64);
        let arrived = Instant::now();
        let digest = digest(by_name.values().map(|at| &items[*at]));
        Ok(Listing { items, by_name, held_back, rest, digest, ttl, fetched, arrived })
    }
}

fn digest<'a>(items: impl Iterator<Item = &'a Item>) -> [u8; 32] {
    let line = |item: &Item| format!("{} {}\n", item.name, item.approved.digest());
    audit::Payload::of(items.map(line).collect::<String>().as_bytes()).sha256
}

type Read = (trust::Definition, JsonBuf, Vec<HeaderParam>);

/// One definition, or nothing when it can't be used: without a name, or (for an HTTP server) with
/// `x-mcp-header` annotations against the specification, which says to drop the whole tool.
fn read_item(
    served: &Served,
    listed: Listed,
    kind: trust::Kind,
    page: &JsonBuf,
    item: Json<'_>,
) -> Option<Read> {
    let server = served.name();
    let definition = match trust::Definition::read(kind, item) {
        Ok(definition) => definition,
        Err(fault) => {
            tracing::warn!(%server, %fault, "a definition was left out");
            return None;
        }
    };
    if let Err(fault) = mcp::ToolName::new(&definition.name) {
        tracing::warn!(%server, %fault, "a definition was left out");
        return None;
    }
    let schema = item.get("inputSchema").filter(|_| listed == Listed::Tools);
    match schema.map_or(Ok(Vec::new()), header_params) {
        Ok(params) => Some((definition, page.share(item), params)),
        Err(fault) => {
            tracing::warn!(%server, tool = definition.name, %fault, "a tool was left out");
            None
        }
    }
}

async fn pages(
    served: &Served,
    listed: Listed,
    caller: &identity::Verified,
    client: &ClientFacts,
) -> Result<Vec<JsonBuf>, Refusal> {
    let deadline = Instant::now() + served.entry.timeout;
    let partition = served.partition(caller);
    let mut pages: Vec<JsonBuf> = Vec::new();
    let mut cursor: Option<String> = None;
    let mut held = 0;
    loop {
        let params = match &cursor {
            None => "{}".to_owned(),
            Some(cursor) => format!("{{\"cursor\":{}}}", quote(cursor)),
        };
        let params = crate::made(params);
        let outgoing = Outgoing {
            partition: &partition,
            principal: caller.principal().partition(),
            method: listed.method(),
            params: params.json(),
            client,
            param_headers: Vec::new(),
            credential: upstream::Credential::default(),
            deadline,
        };
        let page = match served.ask(caller, outgoing).await?.outcome {
            Ok(page) => page,
            // A server without this kind at all has an empty list of it.
            Err(error) if is_method_not_found(&error) => return Ok(pages),
            Err(error) => {
                let text = error.json().text().chars().take(200).collect();
                return Err(served.fault(upstream::LinkFault::Garbage(text)));
            }
        };
        let next = page.json().get("nextCursor").and_then(Json::string).map(|c| c.into_owned());
        held += page.bytes().len();
        if held > BYTES {
            return Err(served.fault(upstream::LinkFault::Garbage("its list is too long".into())));
        }
        pages.push(page);
        if next.is_none() || next == cursor || pages.len() >= PAGES {
            return Ok(pages);
        }
        cursor = next;
    }
}

fn is_method_not_found(error: &JsonBuf) -> bool {
    let code = error.json().get("code").and_then(Json::integer);
    code == Some(mcp::Code::MethodNotFound as i64)
}
