//! What the detectors find, and what that leads to by configuration.

use std::{
    collections::BTreeMap,
    fmt::Write,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::{Duration, Instant},
};

use identity::Verified;
use inspect::{Class, Finding, Rule, Scanner, ScannerFault, Severity, Surface};
use mcp::{Json, JsonBuf, Kind, Patch, quote};
use policy::Question;
use upstream::{Event, Events, HttpClient};

use crate::{
    Gateway,
    approval::Asking,
    call::{Call, Reply},
    detector::{Detector, External},
    refusal::Refusal,
    resolve::Target,
    secrets::Secrets,
};

/// What a finding leads to. Findings of low severity are only recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Nobody looks.
    Off,
    /// It is recorded.
    Monitor,
    /// The client is told, in the result's `_meta`.
    Label,
    /// What was found is replaced before the client sees it.
    Mask,
    /// Of high severity: an approver decides. Of medium: the client is told.
    Ask,
    /// Of high severity: refused. Of medium: the client is told.
    Block,
}

/// The mode of each class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Modes(BTreeMap<Class, Mode>);

impl Default for Modes {
    /// Only what benign calls hardly ever have is refused: arguments that break out of their type. Text is
    /// labelled, since documentation of attacks looks like attacks.
    fn default() -> Modes {
        Modes(Class::ALL.into_iter().map(|class| (class, Modes::usual(class))).collect())
    }
}

impl Modes {
    fn usual(class: Class) -> Mode {
        match class {
            Class::Argument => Mode::Block,
            Class::Personal | Class::Schema => Mode::Monitor,
            _ => Mode::Label,
        }
    }

    /// The same with another mode for one class.
    pub fn with(mut self, class: Class, mode: Mode) -> Modes {
        self.0.insert(class, mode);
        self
    }

    /// The mode of a class.
    pub fn of(&self, class: Class) -> Mode {
        self.0.get(&class).copied().unwrap_or(Mode::Monitor)
    }

    fn all_off(&self) -> bool {
        self.0.values().all(|mode| *mode == Mode::Off)
    }
}

/// The section `[inspect]`, resolved.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// For servers without modes of their own.
    pub modes: Modes,
    /// By server.
    pub servers: BTreeMap<Box<str>, Modes>,
    /// The user's rules.
    pub rules: Vec<Rule>,
    /// How long one text may take.
    pub time: Duration,
    /// The named loosening: what takes longer is released as if nothing was found.
    pub release_late: bool,
    /// Whether texts in results are enclosed in marks that say where they come from.
    pub spotlight: bool,
    /// A detector of somebody else, asked about each result.
    pub external: Option<External>,
}

impl Default for Inspection {
    fn default() -> Self {
        Inspection {
            modes: Modes::default(),
            servers: BTreeMap::new(),
            rules: Vec::new(),
            time: Duration::from_secs(2),
            release_late: false,
            spotlight: false,
            external: None,
        }
    }
}

/// The detectors with their configuration.
pub(crate) struct Inspector {
    scanner: Scanner,
    inspection: Inspection,
    external: Option<Detector>,
    /// Makes tokens for what is masked: the same value has the same token while the process lives.
    tokens: RandomState,
}

/// A result that was looked at.
#[derive(Default)]
pub(crate) struct Examined {
    /// Instead of the original, if anything was changed.
    pub body: Option<JsonBuf>,
    /// What an approver has to say before it may pass.
    pub question: Option<Question>,
}

impl Inspector {
    pub fn new(
        inspection: Inspection,
        client: &HttpClient,
        secrets: &Arc<Secrets>,
    ) -> Result<Inspector, ScannerFault> {
        let scanner = Scanner::new(inspection.rules.clone())?;
        let external = inspection.external.clone();
        let external =
            external.map(|external| Detector::new(external, client.clone(), secrets.clone()));
        Ok(Inspector { scanner, inspection, external, tokens: RandomState::new() })
    }

    fn modes(&self, server: &str) -> &Modes {
        self.inspection.servers.get(server).unwrap_or(&self.inspection.modes)
    }

    /// What a definition says that it should not, for the record: `rule severity, …`.
    pub fn definition(&self, server: &str, definition: &str) -> String {
        let (mut noted, modes) = (String::new(), self.modes(server));
        let Ok(json) = Json::read(definition.as_bytes(), &mcp::Limits::default()) else {
            return noted;
        };
        if !modes.all_off() {
            let found: Vec<Finding> =
                self.scanner.definition(json).into_iter().map(|(finding, _)| finding).collect();
            note(&found, modes, &mut noted);
        }
        noted
    }

    /// Looks at what of a call its client wrote: the arguments, the answers to a server's questions, and what
    /// else there is. What was found is added to `noted`.
    pub fn arguments(
        &self,
        target: &Target,
        call: &Call,
        noted: &mut String,
    ) -> Result<Option<Question>, Refusal> {
        let modes = self.modes(target.served.name().as_str());
        if modes.all_off() {
            return Ok(None);
        }
        let mut found = Vec::new();
        if call.arguments().text().len() > 2 {
            let schema = target.item().and_then(|item| item.raw.json().get("inputSchema"));
            found = self.scanner.arguments(call.arguments(), schema);
        }
        for (name, member) in call.others().filter(|(_, member)| member.text().len() > 2) {
            // Roots are files, and what a model or a person answers is text: no parameter says what it is for.
            found.extend(match &*name {
                "inputResponses" => {
                    self.scanner.scan_while(Surface::Arguments, member.text(), || true).0
                }
                _ => self.scanner.arguments(member, None),
            });
        }
        note(&found, modes, noted);
        match found.iter().find(|finding| leads_to(finding, modes, Mode::Block)) {
            Some(finding) => {
                Err(Refusal::ArgumentsUnsafe { rule: known(finding), detail: sentence(finding) })
            }
            None => Ok(question(&found, modes)),
        }
    }

    /// What the detector of somebody else finds in a result, where there is one.
    async fn asked_elsewhere(
        &self,
        target: &Target,
        body: Json<'_>,
    ) -> Result<Vec<Finding>, Refusal> {
        let server = target.served.name().as_str();
        match &self.external {
            Some(detector) if self.modes(server).of(Class::Injection) != Mode::Off => {
                Box::pin(detector.judge(target, body)).await
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Looks at what a server answered, asked or told; `more` was found by others. What was found is added
    /// to `noted`.
    fn result(
        &self,
        server: &str,
        body: Json<'_>,
        more: Vec<Finding>,
        noted: &mut String,
    ) -> Result<Examined, Refusal> {
        let modes = self.modes(server);
        if modes.all_off() {
            return Ok(Examined::default());
        }
        let (mut found, whole) = self.scan(body.text());
        if !more.is_empty() {
            found.extend(more);
            found.sort_by_key(|finding| finding.at.start);
        }
        if !whole && !self.inspection.release_late {
            return Err(Refusal::ResultUnsafe {
                rule: "inspect.time",
                detail: format!("not read through in {:?}", self.inspection.time),
            });
        }
        let mut examined = Examined::default();
        if !found.is_empty() {
            note(&found, modes, noted);
            if let Some(finding) =
                found.iter().find(|finding| leads_to(finding, modes, Mode::Block))
            {
                return Err(Refusal::ResultUnsafe {
                    rule: known(finding),
                    detail: sentence(finding),
                });
            }
            examined.question = question(&found, modes);
            examined.body = self.masked(body.text(), &found, modes)?;
            let labelled = found
                .iter()
                .filter(|finding| finding.flagged() && modes.of(finding.class) >= Mode::Label);
            let current = examined.body.as_ref().map_or(body, |body| body.json());
            if let Some(text) = label(current, labelled) {
                examined.body = Some(crate::made(text));
            }
        }
        if self.inspection.spotlight {
            let current = examined.body.as_ref().map_or(body, |body| body.json());
            if let Some(text) = spotlight(current, server) {
                examined.body = Some(crate::made(text));
            }
        }
        Ok(examined)
    }

    /// Whether anybody looks at what this server says.
    pub fn listens_to(&self, server: &str) -> bool {
        self.inspection.spotlight || !self.modes(server).all_off()
    }

    /// A notification as it may pass; `None` when it is dropped. Nobody is asked about one: it comes while
    /// its call still runs, so that what an approver would have to see is dropped.
    pub fn event(&self, server: &str, event: Event, noted: &mut String) -> Option<Event> {
        let dropped = match self.result(server, event.params.json(), Vec::new(), noted) {
            Ok(Examined { question: None, body: Some(params) }) => {
                return Some(Event { params, ..event });
            }
            Ok(Examined { question: None, body: None }) => return Some(event),
            Ok(Examined { question: Some(question), .. }) => question.reason,
            Err(refusal) => refusal.to_string(),
        };
        tracing::warn!(
            server,
            method = event.method,
            reason = dropped,
            "a notification was dropped"
        );
        None
    }

    fn scan(&self, text: &str) -> (Vec<Finding>, bool) {
        let until = Instant::now() + self.inspection.time;
        self.scanner.scan_while(Surface::Result, text, || Instant::now() < until)
    }

    /// The text with tokens in place of what is to be masked. Structured content and its copy as text are
    /// parts of the same text, so that they are masked alike.
    fn masked(
        &self,
        text: &str,
        found: &[Finding],
        modes: &Modes,
    ) -> Result<Option<JsonBuf>, Refusal> {
        let mut out = String::new();
        let mut done = 0;
        let masked = found.iter().filter(|finding| {
            modes.of(finding.class) == Mode::Mask
                && (finding.flagged() || finding.class == Class::Personal)
        });
        for finding in masked {
            let at = unescaped(text, finding.at.clone());
            // What overlaps with what is masked already ends it later, under the same token.
            if at.start >= done {
                let hidden = &text[at.clone()];
                let token = self.tokens.hash_one(hidden) & 0xffff_ffff;
                let _ = write!(out, "{}[{} {token:08x}]", &text[done..at.start], finding.rule);
            }
            done = done.max(at.end);
        }
        if done == 0 {
            return Ok(None);
        }
        out.push_str(text.get(done..).unwrap_or_default());
        // What was found need not stand inside of one string.
        match JsonBuf::read(out.into_bytes().into(), &mcp::Limits::default()) {
            Ok(body) => Ok(Some(body)),
            Err(_) => Err(Refusal::ResultUnsafe {
                rule: "inspect.mask",
                detail: "what was found can't be masked without breaking the message".into(),
            }),
        }
    }
}

impl Gateway {
    /// A server's reply after the detectors: to pass as it was, masked or labelled, to be asked for, or refused.
    pub(crate) async fn examine(
        &self,
        target: &Target,
        reply: &Reply,
        noted: &mut String,
    ) -> Result<Examined, Refusal> {
        let (Ok(body) | Err(body)) = &reply.outcome;
        let current = self.current();
        let more = current.inspector.asked_elsewhere(target, body.json()).await?;
        current.inspector.result(target.served.name().as_str(), body.json(), more, noted)
    }

    /// Holds a result back until an approver has seen it. What nobody releases in time is refused: the call
    /// was made already, and making it again is not the way to get at what came of it.
    pub(crate) async fn require_release(
        &self,
        caller: &Verified,
        call: &Call,
        target: &Target,
        question: &Question,
        body: Json<'_>,
        events: &Events,
    ) -> Result<(), Refusal> {
        let (rule, reason) = (&question.rule, &question.reason);
        let asking = Asking { rule, reason, told: "", result: Some(body) };
        match self.require_approval(caller, call, target, asking, true, events).await {
            Err(Refusal::ApprovalWaits { id, .. }) => Err(Refusal::ResultUnsafe {
                rule: "inspect.ask",
                detail: format!("{rule}: nobody released it in time (approval {id})"),
            }),
            other => other.map(drop),
        }
    }
}

/// What an approver is asked for: all findings whose class says so.
fn question(found: &[Finding], modes: &Modes) -> Option<Question> {
    let asked: Vec<_> =
        found.iter().filter(|finding| leads_to(finding, modes, Mode::Ask)).collect();
    let mut rules: Vec<&str> = asked.iter().map(|finding| &*finding.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    let reasons: Vec<String> = asked.iter().map(|finding| sentence(finding)).take(5).collect();
    let rule = format!("finding {}", rules.join(", "));
    (!asked.is_empty()).then(|| Question { rule, reason: reasons.join("; "), open: false })
}

fn leads_to(finding: &Finding, modes: &Modes, mode: Mode) -> bool {
    finding.severity == Severity::High && modes.of(finding.class) == mode
}

/// The rule as the client may see it: the names of bundled rules are fixed, a user's rule is its class.
fn known(finding: &Finding) -> &'static str {
    finding.class.as_str()
}

fn sentence(finding: &Finding) -> String {
    format!("{}: {} (read as {})", finding.rule, finding.message, finding.via)
}

/// `rule severity, …`, each rule once.
fn note(found: &[Finding], modes: &Modes, noted: &mut String) {
    for finding in found.iter().filter(|finding| modes.of(finding.class) >= Mode::Monitor) {
        if !noted.contains(&*finding.rule) {
            let comma = if noted.is_empty() { "" } else { ", " };
            let _ = write!(noted, "{comma}{} {}", finding.rule, finding.severity.as_str());
        }
    }
}

/// The rules in what [`note`] wrote.
pub(crate) fn rules(noted: &str) -> Vec<&str> {
    noted.split(", ").filter_map(|one| one.split_once(' ')).map(|(rule, _)| rule).collect()
}

/// Findings that a client is told of.
const MOST_LABELS: usize = 64;

/// The result with the findings in its `_meta`.
fn label<'f>(body: Json<'_>, found: impl Iterator<Item = &'f Finding>) -> Option<String> {
    let mut list = String::new();
    for finding in found.take(MOST_LABELS) {
        let comma = if list.is_empty() { "" } else { "," };
        let (rule, class) = (quote(&finding.rule), finding.class.as_str());
        let severity = finding.severity.as_str();
        let _ =
            write!(list, r#"{comma}{{"rule":{rule},"class":"{class}","severity":"{severity}"}}"#);
    }
    if list.is_empty() || body.kind() != Kind::Object {
        return None;
    }
    let meta = body.get("_meta").filter(|meta| meta.kind() == Kind::Object).unwrap_or(Json::EMPTY);
    let meta = Patch::of(meta).set("dev.bartizan/findings", format!("[{list}]")).text();
    Some(Patch::of(body).set("_meta", meta).text())
}

/// Texts of the content, enclosed: a model can be told that what stands between the marks is no order.
fn spotlight(body: Json<'_>, server: &str) -> Option<String> {
    let content = body.get("content").filter(|content| content.kind() == Kind::Array)?;
    let block = |block: Json<'_>| match block.get("text").and_then(Json::string) {
        Some(text) => {
            // The end's mark inside of the text would end it early.
            let text = text.replace("⟦", "[").replace("⟧", "]");
            Patch::of(block)
                .set(
                    "text",
                    quote(&format!("⟦data from {server}⟧\n{text}\n⟦end of data from {server}⟧")),
                )
                .text()
        }
        None => block.text().to_owned(),
    };
    let blocks: Vec<String> = content.items().map(block).collect();
    Some(Patch::of(body).set("content", format!("[{}]", blocks.join(","))).text())
}

/// A range that cuts no letter and no escape sequence in two.
fn unescaped(text: &str, at: std::ops::Range<usize>) -> std::ops::Range<usize> {
    let bytes = text.as_bytes();
    let slashes = |end: usize| {
        bytes[..end.min(bytes.len())].iter().rev().take_while(|byte| **byte == b'\\').count()
    };
    let mut end = at.end;
    if slashes(end) % 2 == 1 {
        end += if bytes.get(end) == Some(&b'u') { 5 } else { 1 };
    }
    let start = at.start - slashes(at.start) % 2;
    text.floor_char_boundary(start)..text.ceil_char_boundary(end.min(bytes.len()))
}
