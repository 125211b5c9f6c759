//! What servers show is held against what was approved, before anybody sees or calls it: the store's
//! pins, `trust`'s judgement, and the records of both.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use futures_util::future::try_join_all;
use mcp::{Json, JsonBuf, ServerName, quote};
use policy::Kind;
use trust::{Approved, Definition, Digest, FirstUse, Judgement, Objection, Pin, State};

use crate::{
    Gateway, call::Reply, catalogue::Listed, config::Reach, refusal::Refusal, resolve::Target,
    served::Served,
};

/// What one definition is, for all time: how its server is reached. The server's name in the configuration
/// is only what it is called.
pub fn identity(reach: &Reach) -> String {
    match reach {
        Reach::Http { url, .. } => format!("{{\"url\":{}}}", quote(&url.to_string())),
        Reach::Stdio { command, args, cwd, .. } => {
            let words: Vec<_> = std::iter::once(command).chain(args).map(|w| quote(w)).collect();
            let cwd = cwd.as_ref().map(|cwd| format!(",\"cwd\":{}", quote(&cwd.to_string_lossy())));
            format!("{{\"command\":[{}]{}}}", words.join(","), cwd.unwrap_or_default())
        }
    }
}

/// A definition and its text.
pub(crate) struct Shown<'a> {
    pub definition: &'a Definition,
    pub text: &'a str,
}

/// By kind and name, how the server is reached whose it was.
type Moved = HashMap<(String, String), String>;

/// How a definition stands: the proof, or why there is none.
pub(crate) type Standing = Result<Approved, State>;

/// Which decisions this gateway has taken up. Others decide too: commands beside it, other replicas.
pub(crate) struct Decisions {
    began: Instant,
    /// When the store was asked last, in milliseconds since `began`; zero before the first time.
    looked: AtomicU64,
    generation: tokio::sync::Mutex<u64>,
}

impl Default for Decisions {
    fn default() -> Self {
        let generation = tokio::sync::Mutex::new(0);
        Decisions { began: Instant::now(), looked: AtomicU64::new(0), generation }
    }
}

/// A decision holds within this time, in milliseconds.
const LOOK_AGAIN: u64 = 1000;

impl Decisions {
    /// Whether it is time to ask again. Of those who ask at once, one is told so.
    fn due(&self) -> bool {
        let now = self.began.elapsed().as_millis() as u64 + 1;
        let looked = self.looked.load(Ordering::Relaxed);
        (looked == 0 || now - looked.min(now) >= LOOK_AGAIN)
            && self
                .looked
                .compare_exchange(looked, now, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
    }
}

impl Gateway {
    /// Takes up what was decided since the last look: recorded first, then in force.
    pub(crate) async fn take_up_decisions(&self) -> Result<(), Refusal> {
        if !self.decisions.due() {
            return Ok(());
        }
        self.take_up_secrets().await?;
        self.take_up_policies().await?;
        let mut known = self.decisions.generation.lock().await;
        let generation = self.store.pins_generation().await.map_err(unavailable)?;
        if generation == *known {
            return Ok(());
        }
        self.record_decisions().await?;
        self.flows.forget();
        for served in self.current().servers.values() {
            served.catalogue.forget(Listed::Tools);
            served.catalogue.forget(Listed::Prompts);
        }
        *known = generation;
        self.changed(Listed::Tools);
        self.changed(Listed::Prompts);
        Ok(())
    }

    /// Writes decisions into the audit log that are not there yet.
    async fn record_decisions(&self) -> Result<(), Refusal> {
        loop {
            let decided = self.store.decisions_unrecorded().await.map_err(unavailable)?;
            let Some(last) = decided.last().map(|last| last.id) else { return Ok(()) };
            try_join_all(decided.iter().map(|decided| self.record_decision(decided))).await?;
            self.store.decisions_recorded(last).await.map_err(unavailable)?;
        }
    }

    async fn record_decision(&self, decided: &store::Decided) -> Result<(), Refusal> {
        let detail = format!("{} {} by {}", decided.decision, decided.kind, decided.decider);
        let about_flow = decided.kind == "flow";
        let record = audit::Record {
            kind: audit::Kind::Trust,
            principal: &decided.decider,
            server: &decided.server,
            name: if about_flow { &decided.identity } else { &decided.name },
            definition: (!about_flow).then_some(decided.digest),
            detail: &detail,
            ..audit::Record::default()
        };
        self.append(&record).await
    }

    /// Holds definitions of one server against what is kept of them, keeps what is new, and records
    /// what changed. The answer has the order of what was shown.
    pub(crate) async fn judge(
        &self,
        served: &Served,
        shown: &[Shown<'_>],
    ) -> Result<Vec<Standing>, Refusal> {
        self.record_decisions().await?;
        let kept = self.store.pins(&served.identity).await.map_err(unavailable)?;
        let kept: HashMap<(&str, &str), &store::Pin> =
            kept.iter().map(|pin| ((pin.kind.as_str(), pin.name.as_str()), pin)).collect();
        let moved = self.moved(served, shown, &kept).await?;
        let (mut standings, mut news) = (Vec::with_capacity(shown.len()), Vec::new());
        for one in shown {
            let Definition { kind, name, digest } = one.definition;
            let pin = kept.get(&(kind.as_str(), name)).map(|pin| read(pin));
            let from = moved.get(&(kind.as_str().to_owned(), name.clone()));
            let judgement = self.judge_one(served, one, pin.as_ref(), from.is_some()).await?;
            if pin != Some(judgement.pin) {
                let before = pin.and_then(|pin| pin.approved).map(|digest| *digest.as_bytes());
                news.push(store::Showing {
                    kind: kind.as_str(),
                    name,
                    digest: *digest.as_bytes(),
                    text: one.text,
                    by_policy: judgement.by_policy.then_some(before),
                });
                self.report(served, one, pin.as_ref(), from, &judgement).await?;
            }
            let signed = judgement.outcome.is_ok() && self.is_signed(served, one).await?;
            standings.push(match judgement.outcome {
                Ok(_) if !signed => Err(State::Unsigned),
                outcome => outcome,
            });
        }
        if news.is_empty() {
            return Ok(standings);
        }
        let (identity, name) = (&served.identity, served.name().as_str());
        let showing = self.store.pins_show(identity, name, &news, crate::now()).await;
        if showing.map_err(unavailable)? > 0 {
            let text = format!("it has shown more than {} definitions", store::PINS);
            return Err(served.fault(upstream::LinkFault::Garbage(text)));
        }
        self.record_decisions().await?;
        Ok(standings)
    }

    /// What was another server's under this one's name; asked for only when something new is shown.
    async fn moved(
        &self,
        served: &Served,
        shown: &[Shown<'_>],
        kept: &HashMap<(&str, &str), &store::Pin>,
    ) -> Result<Moved, Refusal> {
        let is_new = |one: &Shown<'_>| {
            !kept.contains_key(&(one.definition.kind.as_str(), one.definition.name.as_str()))
        };
        if !shown.iter().any(is_new) {
            return Ok(Moved::new());
        }
        let (name, identity) = (served.name().as_str(), &served.identity);
        let found = self.store.pins_under(name, identity).await.map_err(unavailable)?;
        Ok(found.into_iter().map(|(kind, name, whose)| ((kind, name), whose)).collect())
    }

    async fn judge_one(
        &self,
        served: &Served,
        shown: &Shown<'_>,
        pin: Option<&Pin>,
        moved: bool,
    ) -> Result<Judgement, Refusal> {
        let Definition { kind, name, digest } = shown.definition;
        let may_move = || self.glance().config.trust.pass.contains(&trust::Class::Moved);
        let first_use = match moved && !may_move() {
            true => FirstUse::Quarantine,
            false => served.entry.first_use,
        };
        let other = pin.is_some_and(|pin| pin.approved.is_some_and(|approved| approved != *digest));
        let passes = match other {
            false => false,
            true => {
                let texts = self.store.pin_texts(&served.identity, kind.as_str(), name).await;
                let approved = texts.map_err(unavailable)?.and_then(|texts| texts.approved);
                approved.is_some_and(|before| self.may_pass(*kind, &before, shown.text))
            }
        };
        Ok(trust::judge(pin, *digest, first_use, |_| passes))
    }

    /// Whether a definition has the signature that its server's have to have: in itself, or kept beside it.
    async fn is_signed(&self, served: &Served, shown: &Shown<'_>) -> Result<bool, Refusal> {
        let Some(provider) = &served.entry.proofs.definitions else { return Ok(true) };
        let Definition { kind, digest, .. } = shown.definition;
        let current = self.current();
        let keys = &current.config.trust.keys;
        let Ok(json) = Json::read(shown.text.as_bytes(), &mcp::Limits::default()) else {
            return Ok(false);
        };
        let mut statements = trust::carried(json);
        let kept = self.store.signatures(kind.as_str(), digest.as_bytes()).await;
        statements.extend(kept.map_err(unavailable)?);
        let now = crate::now();
        let by = |signed: trust::Signed| signed.provider == *provider;
        Ok(statements.iter().any(|jws| trust::verify(jws, *kind, digest, keys, now).is_ok_and(by))
            || trust::etdi::verify(json, keys, now).is_ok_and(by))
    }

    /// Whether policy lets a change pass without a person.
    fn may_pass(&self, kind: trust::Kind, before: &str, after: &str) -> bool {
        let limits = mcp::Limits::default();
        let [before, after] = [before, after].map(|text| Json::read(text.as_bytes(), &limits));
        let (Ok(before), Ok(after)) = (before, after) else { return false };
        trust::pass(&trust::changes(kind, before, after), &self.current().config.trust.pass)
    }

    /// Tells of what is not what it was.
    async fn report(
        &self,
        served: &Served,
        shown: &Shown<'_>,
        pin: Option<&Pin>,
        from: Option<&String>,
        judgement: &Judgement,
    ) -> Result<(), Refusal> {
        let Definition { kind, name, digest } = shown.definition;
        let server = served.name().as_str();
        let was = match (pin, from) {
            (Some(pin), _) => (pin.seen != *digest).then(|| format!("was {}", pin.seen)),
            (None, Some(whose)) => Some(format!("was another server's, {whose}")),
            (None, None) => None,
        };
        if pin.is_some() && was.is_none() {
            return Ok(());
        }
        let found = self.current().inspector.definition(server, shown.text);
        let Some(was) = was else {
            if judgement.outcome.is_err() {
                tracing::info!(server, kind = kind.as_str(), name, "new: waits for approval");
            }
            if found.is_empty() {
                return Ok(());
            }
            return self
                .tell_of(server, shown, &format!("{} is new; found: {found}", kind.as_str()))
                .await;
        };
        let held = match judgement.outcome {
            Ok(_) if judgement.by_policy => "passed by policy",
            Ok(_) => "approved again",
            Err(_) => "held back",
        };
        tracing::warn!(server, kind = kind.as_str(), name, held, "a definition changed");
        let mut detail = format!("{} {was}; {held}", kind.as_str());
        if !found.is_empty() {
            detail.push_str(&format!("; found: {found}"));
        }
        self.tell_of(server, shown, &detail).await
    }

    async fn tell_of(&self, server: &str, shown: &Shown<'_>, detail: &str) -> Result<(), Refusal> {
        let Definition { name, digest, .. } = shown.definition;
        let record = audit::Record {
            kind: audit::Kind::Drift,
            server,
            name,
            definition: Some(*digest.as_bytes()),
            detail,
            ..audit::Record::default()
        };
        self.append(&record).await
    }

    /// Whether what a server says of itself may be passed on.
    pub(crate) async fn judge_introduction(
        &self,
        served: &Served,
        offer: &upstream::Offer,
    ) -> Result<Standing, Refusal> {
        let text = trust::introduction(offer.info.json(), offer.instructions.as_deref());
        let text = crate::made(text);
        self.judge_text(served, trust::Kind::Server, &text).await
    }

    async fn judge_text(
        &self,
        served: &Served,
        kind: trust::Kind,
        text: &JsonBuf,
    ) -> Result<Standing, Refusal> {
        let definition = trust::Definition::read(kind, text.json())
            .map_err(|fault| served.fault(upstream::LinkFault::Garbage(fault.to_string())))?;
        let shown = [Shown { definition: &definition, text: text.json().text() }];
        let standing = self.judge(served, &shown).await?.pop();
        Ok(standing.unwrap_or(Err(State::New)))
    }

    /// A page that a client will show and run is a definition too: the approved one passes.
    pub(crate) async fn require_approved_page(
        &self,
        target: &Target,
        answer: Result<Reply, Refusal>,
    ) -> Result<Reply, Refusal> {
        let reply = answer?;
        let Ok(result) = &reply.outcome else { return Ok(reply) };
        if target.kind != Kind::Resource || !is_page(&target.name) {
            return Ok(reply);
        }
        let contents = result.json().get("contents").unwrap_or(Json::EMPTY);
        let text = format!("{{\"uri\":{},\"contents\":{}}}", quote(&target.name), contents.text());
        let served = &target.served;
        let text = crate::made(text);
        match Box::pin(self.judge_text(served, trust::Kind::UiContent, &text)).await? {
            Ok(_) => Ok(reply),
            Err(state) => Err(held(served.name(), &target.name, state)),
        }
    }

    /// Of resources and templates as a server lists them, the names of those that are held back.
    pub(crate) async fn held_back(
        &self,
        served: &Served,
        kind: trust::Kind,
        page: &JsonBuf,
        items: Json<'_>,
    ) -> Result<Vec<String>, Refusal> {
        let mut found = Vec::new();
        for item in items.items() {
            let Ok(definition) = trust::Definition::read(kind, item) else { continue };
            if kind != trust::Kind::UiResource || is_page(&definition.name) {
                found.push((definition, page.share(item)));
            }
        }
        let shown: Vec<_> = found
            .iter()
            .map(|(definition, item)| Shown { definition, text: item.json().text() })
            .collect();
        let standings = self.judge(served, &shown).await?;
        let found = found.into_iter().zip(standings);
        Ok(found.filter_map(|((of, _), standing)| standing.is_err().then_some(of.name)).collect())
    }
}

/// Whether a URI is that of a page of the apps extension.
fn is_page(uri: &str) -> bool {
    uri.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("ui://"))
}

/// The refusal of what is held back.
pub(crate) fn held(server: &ServerName, name: &str, state: State) -> Refusal {
    Refusal::HeldBack { server: server.clone(), name: name.to_owned(), state }
}

fn unavailable(fault: store::StoreFault) -> Refusal {
    Refusal::StoreUnavailable(fault.to_string())
}

/// A pin as it is judged.
pub fn read(pin: &store::Pin) -> Pin {
    let objection = match (pin.revoked, pin.rejected) {
        (true, _) => Some(Objection::Revoked),
        (false, Some(digest)) => Some(Objection::Rejected(Digest::from_bytes(digest))),
        (false, None) => None,
    };
    Pin {
        approved: pin.approved.map(Digest::from_bytes),
        seen: Digest::from_bytes(pin.seen),
        objection,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_what_is_reached() {
        let stdio = |args: &[&str], cwd: Option<&str>| {
            identity(&Reach::Stdio {
                command: "node".into(),
                args: args.iter().map(|arg| (*arg).to_owned()).collect(),
                descriptors: Vec::new(),
                env: Vec::new(),
                egress: None,
                package: None,
                cwd: cwd.map(Into::into),
                sandbox: Box::default(),
            })
        };
        assert_eq!(stdio(&["a b", "c"], None), r#"{"command":["node","a b","c"]}"#);
        assert_ne!(stdio(&["a b", "c"], None), stdio(&["a", "b c"], None));
        assert_ne!(stdio(&["a"], None), stdio(&["a"], Some("/srv")));
        let http = |allow_private| {
            identity(&Reach::Http { url: "https://a.example/mcp".parse().unwrap(), allow_private })
        };
        assert_eq!(http(true), http(false));
    }
}
