//! Secrets on their way back: whatever a server says is cleaned of every value that is known here, before anybody
//! sees it. So are the log and the texts of records.

use std::{
    io,
    path::Path,
    sync::{Arc, LazyLock},
};

use audit::{Journal, Kind, Outcome, Record};
use mcp::{JsonBuf, ServerName};
use tokio::sync::mpsc;
use upstream::{Answer, Event, Events, Offer};
use vault::{
    Fetched,
    leak::{Filter, Known},
};

use crate::refusal::Refusal;

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

/// What was found in a message.
struct Leak {
    /// The names of the values.
    names: String,
    /// The message without them; `None` where that is no message any more, or is not wanted.
    clean: Option<JsonBuf>,
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
        let Some(leak) = self.look(&body) else { return Ok(body) };
        let outcome = if leak.clean.is_some() { Outcome::Ok } else { Outcome::Refused };
        let record = Record {
            kind: Kind::Leak,
            principal,
            server: self.server.as_str(),
            method,
            outcome: Some(outcome),
            detail: &leak.names,
            ..Record::default()
        };
        self.journal
            .append(&record)
            .await
            .map_err(|fault| Refusal::AuditUnavailable(fault.to_string()))?;
        leak.clean.ok_or(Refusal::ResultUnsafe { rule: "leak", detail: leak.names })
    }

    fn look(&self, body: &JsonBuf) -> Option<Leak> {
        let filter = filter();
        let masked = filter.mask(body.bytes());
        if masked.found.is_empty() {
            return None;
        }
        let names: Vec<&str> = masked.found.iter().map(|name| &**name).collect();
        let read = |text: Vec<u8>| JsonBuf::read(text.into(), &mcp::Limits::default()).ok();
        let clean = match self.on_leak {
            OnLeak::Mask => read(masked.text.into_owned()),
            OnLeak::Block => None,
        };
        Some(Leak { names: names.join(", "), clean })
    }

    /// Cleans what comes in on `heard` until `sending`, which fills it, has ended.
    pub async fn hear<T>(
        &self,
        principal: &str,
        mut heard: mpsc::Receiver<Event>,
        events: &Events,
        sending: impl Future<Output = T>,
    ) -> T {
        let mut sending = std::pin::pin!(sending);
        let pass = async |event| {
            if let Some(event) = self.event(principal, event).await {
                // A client that is gone has dropped the call, or does not care.
                let _ = events.send(event).await;
            }
        };
        loop {
            tokio::select! {
                biased;
                Some(event) = heard.recv() => pass(event).await,
                done = &mut sending => {
                    while let Ok(event) = heard.try_recv() {
                        pass(event).await;
                    }
                    return done;
                }
            }
        }
    }
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
