//! Lists: every server asked at once, what the caller may see joined in a fixed order. A slow or dead
//! server delays nobody for long and hides nobody; it is named in a warning.

use std::{sync::Arc, time::Instant};

use futures_util::future::join_all;
use identity::Verified;
use mcp::{Json, JsonBuf, Method, Patch, meta, quote};
use policy::{Action, Kind};
use upstream::Outgoing;

use crate::{
    Gateway,
    call::{Call, Reply, Scope},
    catalogue::Listed,
    gateway::Current,
    refusal::Refusal,
    rewrite,
    seal::Purpose,
    served::Served,
};

/// A cursor is good for this long, in seconds.
const CURSOR_TTL: u64 = 3600;

/// A server, and its own cursor to go on at.
type Asked = (Arc<Served>, Option<String>);

/// One server's part of a list.
struct Part {
    /// Items as they go out.
    items: Vec<String>,
    /// The server's own cursor to its next page.
    next: Option<String>,
    /// How many definitions wait for approval.
    held_back: usize,
    ttl: i64,
    /// The server's result without items and cursor.
    rest: JsonBuf,
}

impl Gateway {
    /// `tools/list`, `prompts/list`, `resources/list`, `resources/templates/list`.
    pub(crate) async fn list(&self, caller: &Verified, call: &Call) -> Result<Reply, Refusal> {
        let began = Instant::now();
        let id = self.next_call_id();
        let mut facts = self.facts(caller, call, &id);
        let intent = self.record_intent(&facts).await?;
        let reply = self.joined(caller, call).await.map(Reply::result);
        self.record_outcome(intent, &mut facts, began, &reply).await?;
        reply
    }

    async fn joined(&self, caller: &Verified, call: &Call) -> Result<JsonBuf, Refusal> {
        let current = self.current();
        let asked = self.asked(caller, call)?;
        let single = matches!(call.scope, Scope::One(_));
        let parts = join_all(
            asked.iter().map(|(served, cursor)| self.part(caller, call, &current, served, cursor)),
        )
        .await;
        let mut joined = Joined { ttl: i64::MAX, ..Joined::default() };
        let mut faults = Vec::new();
        for ((served, _), part) in asked.iter().zip(parts) {
            match part {
                Ok(part) => joined.add(served, part),
                Err(refusal) => faults.push((served, refusal)),
            }
        }
        if !asked.is_empty() && faults.len() == asked.len() {
            let (_, refusal) = faults.swap_remove(0);
            return Err(refusal);
        }
        for (served, refusal) in &faults {
            tracing::warn!(server = %served.name(), %refusal, "left out of a list");
            joined.warnings.push(format!("{}: {}", served.name(), refusal.error().message));
        }
        joined.result(call.method, single, |next| self.seal_cursor(caller, call, next))
    }

    /// Which servers, and where each is to go on: all from the start, or those named in the cursor.
    fn asked(&self, caller: &Verified, call: &Call) -> Result<Vec<Asked>, Refusal> {
        let served: Vec<_> = match &call.scope {
            Scope::All => self.touchable(caller).collect(),
            Scope::One(name) => {
                let served = self.served(name.as_str());
                vec![served.ok_or_else(|| Refusal::UnknownServer(name.to_string()))?]
            }
        };
        let Some(cursor) = call.params.json().get("cursor") else {
            return Ok(served.into_iter().map(|served| (served, None)).collect());
        };
        let cursor = cursor.string().ok_or(Refusal::CursorInvalid)?;
        let owner = caller.principal().partition();
        let plain = self
            .sealer
            .open(Purpose::Cursor, owner, crate::now(), &cursor)
            .map_err(|_| Refusal::CursorInvalid)?;
        let plain =
            Json::read(&plain, &mcp::Limits::default()).map_err(|_| Refusal::CursorInvalid)?;
        if plain.get("method").and_then(Json::string).as_deref() != Some(&*call.method_name) {
            return Err(Refusal::CursorInvalid);
        }
        let next = plain.get("next").unwrap_or(Json::EMPTY);
        let go_on = |served: Arc<Served>| {
            let cursor = next.get(served.name().as_str())?.string()?.into_owned();
            Some((served, Some(cursor)))
        };
        Ok(served.into_iter().filter_map(go_on).collect())
    }

    fn seal_cursor(
        &self,
        caller: &Verified,
        call: &Call,
        next: &[(String, String)],
    ) -> Result<String, Refusal> {
        let members: Vec<_> = next
            .iter()
            .map(|(server, cursor)| format!("{}:{}", quote(server), quote(cursor)))
            .collect();
        let plain = format!(
            "{{\"method\":{},\"next\":{{{}}}}}",
            quote(&call.method_name),
            members.join(",")
        );
        let owner = caller.principal().partition();
        let expires = crate::now() + CURSOR_TTL;
        self.sealer
            .seal(Purpose::Cursor, owner, expires, plain.as_bytes())
            .map_err(|_| Refusal::CursorInvalid)
    }

    /// One server's part, within the deadline for lists.
    async fn part(
        &self,
        caller: &Verified,
        call: &Call,
        current: &Arc<Current>,
        served: &Arc<Served>,
        cursor: &Option<String>,
    ) -> Result<Part, Refusal> {
        let deadline = match call.scope {
            Scope::All => current.config.limits.list_deadline,
            Scope::One(_) => served.entry.timeout,
        };
        let part = async {
            match call.method {
                Method::ToolsList => {
                    self.definitions(caller, call, current, served, Listed::Tools).await
                }
                Method::PromptsList => {
                    self.definitions(caller, call, current, served, Listed::Prompts).await
                }
                _ => self.resources(caller, call, current, served, cursor).await,
            }
        };
        tokio::time::timeout(deadline, part)
            .await
            .unwrap_or_else(|_| Err(served.fault(upstream::LinkFault::Deadline)))
    }

    /// Tools or prompts: from the catalogue, in one page.
    async fn definitions(
        &self,
        caller: &Verified,
        call: &Call,
        current: &Current,
        served: &Arc<Served>,
        listed: Listed,
    ) -> Result<Part, Refusal> {
        let listing = match served.catalogue.for_list(listed) {
            Some(listing) => listing,
            None => self.fetch_detached(caller, call, served, listed).await?,
        };
        let server = served.name().as_str();
        let visible = listing.items.iter().filter(|item| {
            let action = Action::new(server, listed.kind(), &item.name);
            let action = Action { annotations: item.annotations, ..action };
            self.foresee(caller, call, &action).is_possible()
        });
        let items = visible.map(|item| shown(call, current, served, item.raw.json())).collect();
        let ttl = listing.ttl.as_millis() as i64;
        let held = listing.held_back.keys().filter(|name| {
            let action = Action::new(server, listed.kind(), name);
            self.foresee(caller, call, &action).is_possible()
        });
        let held_back = held.count();
        Ok(Part { items, next: None, held_back, ttl, rest: listing.rest.clone() })
    }

    /// Fetched by a task of its own: a server that is too slow for this list still gets into the
    /// catalogue, and listeners hear that the list changed.
    async fn fetch_detached(
        &self,
        caller: &Verified,
        call: &Call,
        served: &Arc<Served>,
        listed: Listed,
    ) -> Result<Arc<crate::catalogue::Listing>, Refusal> {
        let (Some(gateway), Some(detached)) = (self.arc(), served.catalogue.detach(listed)) else {
            return self.fetch_listing(served, listed, caller, &call.client).await;
        };
        let served = served.clone();
        let (caller, client) = (caller.clone(), call.client.clone());
        let (sender, receiver) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            let _detached = detached;
            let fetched = gateway.fetch_listing(&served, listed, &caller, &client).await;
            let arrived = fetched.is_ok();
            if sender.send(fetched).is_err() && arrived {
                gateway.changed(listed);
            }
        });
        receiver.await.unwrap_or(Err(Refusal::TooMany("lists")))
    }

    /// Resources or templates: a page from the server.
    async fn resources(
        &self,
        caller: &Verified,
        call: &Call,
        current: &Current,
        served: &Served,
        cursor: &Option<String>,
    ) -> Result<Part, Refusal> {
        let own = call.params.json();
        let params = match cursor {
            Some(cursor) => Patch::of(own).set("cursor", quote(cursor)).build(),
            None => call.params.clone(),
        };
        let outgoing = Outgoing {
            partition: &served.partition(caller),
            principal: caller.principal().partition(),
            method: &call.method_name,
            params: params.json(),
            client: &call.client,
            param_headers: Vec::new(),
            credential: upstream::Credential::default(),
            deadline: Instant::now() + served.entry.timeout,
        };
        let page = match served.ask(caller, outgoing).await?.outcome {
            Ok(page) => page,
            Err(error) => return none_of(served, &error),
        };
        let (member, uri) = members(call.method);
        let json = page.json();
        let listed = json.get(member).unwrap_or(Json::EMPTY);
        let kind = match call.method {
            Method::ResourcesTemplatesList => trust::Kind::ResourceTemplate,
            _ => trust::Kind::UiResource,
        };
        let held = self.held_back(served, kind, &page, listed).await?;
        let allowed = |name: &str| {
            let action = Action::new(served.name().as_str(), Kind::Resource, name);
            self.foresee(caller, call, &action).is_possible()
        };
        let visible = |item: &Json<'_>| {
            // What has no name can't be pinned.
            let name = item.get(uri).and_then(Json::string).filter(|name| !name.is_empty());
            let Some(name) = name else { return false };
            allowed(&name) && !held.iter().any(|held| *held == name)
        };
        let held_back = held.iter().filter(|name| allowed(name)).count();
        let items = listed.items().filter(visible);
        let items = items.map(|item| shown(call, current, served, item)).collect();
        let next = json.get("nextCursor").and_then(Json::string).map(|next| next.into_owned());
        let ttl = json.get("ttlMs").and_then(Json::integer).unwrap_or_default();
        let rest = Patch::of(json).remove(member).remove("nextCursor").build();
        Ok(Part { items, next, held_back, ttl, rest })
    }
}

/// A server without this kind at all has an empty list of it.
fn none_of(served: &Served, error: &JsonBuf) -> Result<Part, Refusal> {
    let code = error.json().get("code").and_then(Json::integer);
    if code == Some(mcp::Code::MethodNotFound as i64) {
        return Ok(Part {
            items: Vec::new(),
            next: None,
            held_back: 0,
            ttl: 0,
            rest: Json::EMPTY.into(),
        });
    }
    if code == Some(mcp::Code::InvalidParams as i64) {
        return Err(Refusal::CursorInvalid);
    }
    let text = error.json().text().chars().take(200).collect();
    Err(served.fault(upstream::LinkFault::Garbage(text)))
}

fn shown(call: &Call, current: &Current, served: &Served, item: Json<'_>) -> String {
    // Without what no approval covers.
    let text = trust::lasting(item);
    match (&call.scope, text) {
        (Scope::One(_), text) => text.into_owned(),
        (Scope::All, text) => {
            let item = crate::made(text.into_owned());
            rewrite::listed(call.method, served.name(), &current.config.separator, item.json())
        }
    }
}

/// The result's member with the items, and the item's member with its URI.
fn members(method: Method) -> (&'static str, &'static str) {
    match method {
        Method::PromptsList => ("prompts", "name"),
        Method::ResourcesList => ("resources", "uri"),
        Method::ResourcesTemplatesList => ("resourceTemplates", "uriTemplate"),
        _ => ("tools", "name"),
    }
}

#[derive(Default)]
struct Joined {
    items: Vec<String>,
    next: Vec<(String, String)>,
    ttl: i64,
    rest: Option<JsonBuf>,
    warnings: Vec<String>,
}

/// A partial list is asked for again soon, in milliseconds.
const PARTIAL_TTL: i64 = 1000;

impl Joined {
    fn add(&mut self, served: &Served, part: Part) {
        self.items.extend(part.items);
        self.next.extend(part.next.map(|next| (served.name().to_string(), next)));
        if part.held_back > 0 {
            self.warnings.push(format!(
                "{name}: {} held back until somebody approves: bartizan trust approve {name}",
                part.held_back,
                name = served.name()
            ));
        }
        self.ttl = self.ttl.min(part.ttl.max(0));
        self.rest = Some(part.rest);
    }

    fn result(
        self,
        method: Method,
        single: bool,
        seal: impl FnOnce(&[(String, String)]) -> Result<String, Refusal>,
    ) -> Result<JsonBuf, Refusal> {
        let rest = self.rest.filter(|_| single);
        let rest = rest.as_ref().map_or(Json::EMPTY, JsonBuf::json);
        let ttl = if self.ttl == i64::MAX { 0 } else { self.ttl };
        let ttl = if self.warnings.is_empty() { ttl } else { ttl.min(PARTIAL_TTL) };
        let mut patch = Patch::of(rest)
            .set(members(method).0, format!("[{}]", self.items.join(",")))
            .set("resultType", "\"complete\"")
            .set("ttlMs", ttl.to_string())
            .set("cacheScope", "\"private\"");
        if !self.next.is_empty() {
            patch = patch.set("nextCursor", quote(&seal(&self.next)?));
        }
        if !self.warnings.is_empty() {
            let warnings: Vec<_> = self.warnings.iter().map(|warning| quote(warning)).collect();
            let warnings = format!("{{{}:[{}]}}", quote(meta::WARNINGS), warnings.join(","));
            patch = patch.set(meta::META, warnings);
        }
        Ok(patch.build())
    }
}
