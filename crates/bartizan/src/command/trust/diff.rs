//! `trust diff`: what a reviewer has to see.

use std::io::IsTerminal;

use gateway::config::Server;
use inspect::Scanner;
use mcp::{Json, Limits};
use serde::Serialize;
use store::{Pin, PinTexts};
use trust::{Kind, State, Stretch};

use super::{Desk, affected, ask, decide, state_of};
use crate::{cli::Output, print};

pub async fn run(desk: &Desk<'_>, server: &str, name: Option<String>) -> anyhow::Result<()> {
    let entry = desk.server(server)?;
    ask::refresh(desk, &entry.name).await?;
    let pins = desk.pins(entry).await?;
    let chosen: Vec<&Pin> = match name {
        Some(name) => decide::named(server, &pins, &[name])?,
        None => pins.iter().filter(|pin| state_of(pin) != State::Approved).collect(),
    };
    if desk.global.output == Output::Json {
        let scanner = scanner(desk)?;
        let mut reviews = Vec::new();
        for pin in chosen {
            reviews.push(review(desk, &scanner, entry, pin).await?);
        }
        return print::json(&reviews);
    }
    if chosen.is_empty() {
        return print::line(&format!("all that {server} shows is approved"));
    }
    show(desk, entry, &chosen).await
}

/// Prints each.
pub async fn show(desk: &Desk<'_>, entry: &Server, pins: &[&Pin]) -> anyhow::Result<()> {
    let scanner = scanner(desk)?;
    for pin in pins {
        print::line(&review(desk, &scanner, entry, pin).await?.text())?;
    }
    Ok(())
}

/// One definition under review.
#[derive(Debug, Serialize)]
pub struct Review {
    server: String,
    kind: String,
    name: String,
    state: &'static str,
    digest: String,
    /// What differs from what was approved.
    changes: Vec<Change>,
    /// What the detectors see in it.
    findings: Vec<Found>,
    /// Likenesses to what other servers have, and words about their tools.
    likenesses: Vec<String>,
    /// The definition as it is shown now.
    definition: String,
    /// Who may call it once it is approved.
    affected: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Found {
    rule: String,
    severity: &'static str,
    message: String,
    /// The words that show it.
    words: String,
}

#[derive(Debug, Serialize)]
struct Change {
    class: &'static str,
    path: String,
    before: Option<String>,
    after: Option<String>,
    why: Vec<String>,
}

/// The bundled rules, those of the configuration, and the model.
fn scanner(desk: &Desk<'_>) -> anyhow::Result<Scanner> {
    Ok(Scanner::new(desk.config.inspection.rules.clone())?)
}

async fn review(
    desk: &Desk<'_>,
    scanner: &Scanner,
    entry: &Server,
    pin: &Pin,
) -> anyhow::Result<Review> {
    let texts = desk.store.pin_texts(&pin.identity, &pin.kind, &pin.name).await?;
    let texts = texts.unwrap_or(PinTexts { seen: String::new(), approved: None });
    let kind: Kind = pin.kind.parse()?;
    let mut changes =
        texts.approved.as_deref().map_or_else(Vec::new, |b| changes(kind, b, &texts.seen));
    if state_of(pin) == State::New {
        changes.extend(moved(desk, pin).await?);
    }
    Ok(Review {
        server: entry.name.to_string(),
        kind: pin.kind.clone(),
        name: pin.name.clone(),
        state: state_of(pin).as_str(),
        digest: trust::Digest::from_bytes(pin.seen).to_string(),
        changes,
        findings: findings(scanner, &texts.seen),
        likenesses: likenesses(desk, entry, kind, &texts.seen).await?,
        definition: texts.seen,
        affected: affected::by(desk, entry.name.as_str(), kind, &pin.name).await?,
    })
}

fn changes(kind: Kind, before: &str, after: &str) -> Vec<Change> {
    let limits = Limits::default();
    let [before, after] = [before, after].map(|text| Json::read(text.as_bytes(), &limits));
    let (Ok(before), Ok(after)) = (before, after) else { return Vec::new() };
    trust::changes(kind, before, after).into_iter().map(Change::from).collect()
}

/// Whether it was another server's under this server's name; and what it said there, if that was something else.
async fn moved(desk: &Desk<'_>, pin: &Pin) -> anyhow::Result<Vec<Change>> {
    let under = desk.store.pins_under(&pin.server, &pin.identity).await?;
    let mut whose =
        under.into_iter().filter(|(kind, name, _)| (kind, name) == (&pin.kind, &pin.name));
    let Some((_, _, whose)) = whose.next() else { return Ok(Vec::new()) };
    let mut found = vec![Change::from(trust::moved(&whose, &pin.identity))];
    let before = desk.store.pin_texts(&whose, &pin.kind, &pin.name).await?;
    let after = desk.store.pin_texts(&pin.identity, &pin.kind, &pin.name).await?;
    if let (Some(before), Some(after)) = (before, after) {
        found.extend(changes(pin.kind.parse()?, &before.seen, &after.seen));
    }
    Ok(found)
}

impl From<trust::Change> for Change {
    fn from(change: trust::Change) -> Change {
        Change {
            class: change.class.as_str(),
            path: change.path,
            before: change.before,
            after: change.after,
            why: change.why.iter().map(ToString::to_string).collect(),
        }
    }
}

/// What the detectors see in a definition, the worst first.
fn findings(scanner: &Scanner, text: &str) -> Vec<Found> {
    let Ok(definition) = Json::read(text.as_bytes(), &Limits::default()) else {
        return Vec::new();
    };
    let mut found = scanner.definition(definition);
    found.sort_by_key(|(finding, _)| std::cmp::Reverse(finding.severity));
    let found = found.into_iter().map(|(finding, words)| Found {
        rule: finding.rule.to_string(),
        severity: finding.severity.as_str(),
        message: finding.message.to_string(),
        words,
    });
    found.collect()
}

/// What other servers are known to have.
async fn likenesses(
    desk: &Desk<'_>,
    entry: &Server,
    kind: Kind,
    text: &str,
) -> anyhow::Result<Vec<String>> {
    let Ok(definition) = Json::read(text.as_bytes(), &Limits::default()) else {
        return Ok(Vec::new());
    };
    let mut known = Vec::new();
    for server in desk.config.servers.iter().filter(|server| server.name != entry.name) {
        known.extend(desk.pins(server).await?.into_iter().filter_map(|pin| {
            let (kind, server) = (pin.kind.parse().ok()?, server.name.to_string());
            // A server is known by its name here.
            let name = if kind == Kind::Server { server.clone() } else { pin.name };
            Some(trust::Known { server, kind, name })
        }));
    }
    Ok(trust::likenesses(entry.name.as_str(), kind, definition, &known))
}

impl Review {
    fn text(&self) -> String {
        let name =
            if self.name.is_empty() { "(its identity and instructions)" } else { &self.name };
        let mut text = format!(
            "{} {}  {}, {}",
            self.kind.replace('_', " "),
            trust::visible(name),
            self.state,
            match self.affected.as_slice() {
                [] => "nobody may use it".to_owned(),
                some => format!("for {}", some.join(", ")),
            }
        );
        if self.state == State::New.as_str() || self.changes.is_empty() {
            text.push_str(&indented(&definition(&self.definition)));
        }
        for Found { rule, severity, message, words } in &self.findings {
            let words: String = words.chars().take(WORDS).collect();
            text.push_str(&format!("\n  {severity}: {message} ({rule})"));
            text.push_str(&indented(&trust::visible(&words)));
        }
        for likeness in &self.likenesses {
            text.push_str(&format!("\n  look: {}", trust::visible(likeness)));
        }
        for change in &self.changes {
            let why = match change.why.as_slice() {
                [] => change.class.to_owned(),
                why => format!("{}: {}", change.class, why.join(", ")),
            };
            text.push_str(&format!("\n  {} ({why})", trust::visible(&change.path)));
            let [before, after] =
                [&change.before, &change.after].map(|side| side.as_deref().unwrap_or_default());
            text.push_str(&indented(&marked(before, after)));
        }
        text.push('\n');
        text
    }
}

/// What a person reads first: the texts; then everything, hidden characters shown.
fn definition(text: &str) -> String {
    let read = Json::read(text.as_bytes(), &Limits::default()).unwrap_or(Json::EMPTY);
    let said = ["title", "description", "instructions"].map(|name| read.get(name)?.string());
    let said: Vec<_> = said.iter().flatten().map(|text| trust::visible(text)).collect();
    let rest =
        ["inputSchema", "annotations", "info", "uri", "uriTemplate", "mimeType", "arguments"];
    let rest = rest.iter().filter_map(|name| Some((name, read.get(name)?)));
    let rest = rest.map(|(name, json)| format!("{name}: {}", trust::visible(json.text())));
    said.into_iter().chain(rest).collect::<Vec<_>>().join("\n")
}

fn marked(before: &str, after: &str) -> String {
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mark = |stretch: Stretch| match (stretch, colour) {
        (Stretch::Same(text), _) => text,
        (Stretch::Added(text), true) => format!("\u{1b}[32m{text}\u{1b}[0m"),
        (Stretch::Added(text), false) => format!("{{+{text}+}}"),
        (Stretch::Removed(text), true) => format!("\u{1b}[31m{text}\u{1b}[0m"),
        (Stretch::Removed(text), false) => format!("[-{text}-]"),
    };
    trust::words(before, after).into_iter().map(mark).collect()
}

/// Characters of what a finding points at.
const WORDS: usize = 240;
/// Long texts in the middle of a list of many.
const SHOWN: usize = 4000;

fn indented(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push_str(" …; --output json shows it whole");
    }
    shown.lines().map(|line| format!("\n    {line}")).collect()
}
