//! Secrets on their way back: whatever a server says is cleaned of every value that is known here, before anybody
//! sees it. So are the log and the texts of records.

use std::{
    collections::BTreeSet,
    io,
    path::Path,
    sync::{Arc, LazyLock},
};

use audit::{Append, Journal, Kind, Outcome, Record};
use bytes::Bytes;
use mcp::{JsonBuf, ServerName};
use upstream::{Answer, Event, Offer};
use vault::{
    Fetched,
    leak::{Filter, Known},
};

use crate::refusal::Refusal;

/// What records call a request to a model.
const MODELS: &str = "models/call";

/// One for the process, since its log and its standard error are one, too.
static KNOWN: LazyLock<Known> = LazyLock::new(Known::default);

/// What finds all values that this process knows.
pub fn filter() -> Arc<Filter> {
    KNOWN.filter()
}

/// A text without them.
pub fn clean(text: String) -> String {
    match filter().mask_str(&text) {
        std::borrow::Cow::Borrowed(_) => text,
        std::borrow::Cow::Owned(clean) => clean,
    }
}

/// Looks for this value from now on, unless it is a path or an address: variables hold such things, too.
pub(crate) fn learn(name: &str, value: &str) {
    let address = value.starts_with("http") && !value.contains(['@', '?']);
    let harmless = address || (value.starts_with(['/', '.']) && Path::new(value).exists());
    if !harmless {
        KNOWN.learn(name, value);
    }
}

/// Looks for what is sent with requests to a server.
pub(crate) fn learn_fetched(server: &ServerName, fetched: &Fetched) {
    for (_, value) in fetched.headers() {
        if let Ok(value) = value.to_str() {
            KNOWN.learn_header(server.as_str(), value);
        }
    }
    fetched.others().for_each(|value| KNOWN.learn(server.as_str(), value.expose()));
}

/// What a leak leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLeak {
    /// A mask stands where the value stood.
    #[default]
    Mask,
    /// The answer is refused, the notification dropped.
    Block,
}

/// What stands between one server and everybody else.
#[derive(Clone)]
pub(crate) struct Guard {
    server: ServerName,
    on_leak: OnLeak,
    journal: Journal,
}

impl Guard {
    pub fn new(server: &ServerName, on_leak: OnLeak, journal: &Journal) -> Guard {
        Guard { server: server.clone(), on_leak, journal: journal.clone() }
    }

    /// Whether this is what a leak leads to.
    pub fn acts(&self, on_leak: OnLeak) -> bool {
        self.on_leak == on_leak
    }

    /// A result or an error.
    pub async fn answer(
        &self,
        principal: &str,
        method: &str,
        answer: Answer,
    ) -> Result<Answer, Refusal> {
        let outcome = match answer.outcome {
            Ok(result) => Ok(self.pass(principal, method, result).await?),
            Err(error) => Err(self.pass(principal, method, error).await?),
        };
        Ok(Answer { outcome, ..answer })
    }

    /// What a server says of itself.
    pub async fn offer(&self, principal: &str, offer: Offer) -> Result<Offer, Refusal> {
        const METHOD: &str = "server/discover";
        let instructions = match offer.instructions {
            Some(text) => {
                let quoted = self.pass(principal, METHOD, crate::made(mcp::quote(&text))).await?;
                quoted.json().string().map(|text| text.into_owned())
            }
            None => None,
        };
        Ok(Offer {
            capabilities: self.pass(principal, METHOD, offer.capabilities).await?,
            info: self.pass(principal, METHOD, offer.info).await?,
            instructions,
            ..offer
        })
    }

    /// A notification; `None` when it is dropped.
    pub async fn event(&self, principal: &str, event: Event) -> Option<Event> {
        match self.pass(principal, &event.method, event.params).await {
            Ok(params) => Some(Event { params, ..event }),
            Err(refusal) => {
                tracing::warn!(server = %self.server, %refusal, "a notification was dropped");
                None
            }
        }
    }

    async fn pass(&self, principal: &str, method: &str, body: JsonBuf) -> Result<JsonBuf, Refusal> {
        let read = |text: Vec<u8>| JsonBuf::read(text.into(), &mcp::Limits::default()).ok();
        let refused = |detail| Refusal::ResultUnsafe { rule: "leak", detail };
        let clean = self.clean(principal, method, body.bytes(), read, refused).await?;
        Ok(clean.unwrap_or(body))
    }

    /// The answer of a model that is no stream.
    pub async fn answered(&self, principal: &str, body: Bytes) -> Result<Bytes, Refusal> {
        // What was JSON stays so.
        let is_json = |text: &[u8]| serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok();
        let read = |text: Vec<u8>| (is_json(&text) || !is_json(&body)).then_some(text);
        let refused = |detail| Refusal::ResultUnsafe { rule: "leak", detail };
        let clean = self.clean(principal, MODELS, &body, read, refused).await?;
        Ok(clean.map_or(body, Bytes::from))
    }

    /// A request to a model: it must not learn them either.
    pub async fn asked(
        &self,
        principal: &str,
        body: &Bytes,
        limits: &mcp::Limits,
    ) -> Result<Bytes, Refusal> {
        let read = |text: Vec<u8>| JsonBuf::read(text.into(), limits).ok();
        let refused = |detail| Refusal::ArgumentsUnsafe { rule: "leak", detail };
        let clean = self.clean(principal, MODELS, body, read, refused).await?;
        Ok(clean.map_or_else(|| body.clone(), |clean| clean.bytes().clone()))
    }

    /// A text without the values, recorded; `None` when there are none in it. What can't be read without them, or is not
    /// to be, is refused.
    async fn clean<T>(
        &self,
        principal: &str,
        method: &str,
        text: &[u8],
        read: impl FnOnce(Vec<u8>) -> Option<T>,
        refused: impl FnOnce(String) -> Refusal,
    ) -> Result<Option<T>, Refusal> {
        let filter = filter();
        let masked = filter.mask(text);
        if masked.found.is_empty() {
            return Ok(None);
        }
        let clean = match self.on_leak {
            OnLeak::Mask => read(masked.text.into_owned()),
            OnLeak::Block => None,
        };
        let names = names(&masked.found);
        self.record(principal, method, &names, clean.is_some())
            .await
            .map_err(crate::pipeline::unavailable)?;
        clean.map(Some).ok_or_else(|| refused(names))
    }

    /// Records what was found.
    pub fn record(&self, principal: &str, method: &str, names: &str, passed: bool) -> Append {
        self.journal.append(&Record {
            kind: Kind::Leak,
            principal,
            server: self.server.as_str(),
            method,
            outcome: Some(if passed { Outcome::Ok } else { Outcome::Refused }),
            detail: names,
            ..Record::default()
        })
    }
}

/// The names of what was found, as records have them.
pub(crate) fn names(found: &BTreeSet<Arc<str>>) -> String {
    found.iter().map(|name| &**name).collect::<Vec<_>>().join(", ")
}

/// Writes text without the values that are known, such as the log.
pub struct Clean<W>(pub W);

impl<W: io::Write> io::Write for Clean<W> {
    /// A whole line at once, as the log's are.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write_all(&filter().mask(line).text)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
