//! One span for each call, with another inside of it while the server has it; the steps are its events.

use std::time::{Duration, Instant, SystemTime};

use audit::Outcome;
use mcp::{Json, Method, Patch, quote};
use tokio::sync::mpsc;

use super::context::{Context, Ids};
use crate::{call::Call, resolve::Target};

/// Spans that wait to be sent; when there are more, they are dropped and counted.
const WAITING: usize = 4096;

/// Makes spans, where traces are sent anywhere.
pub(crate) struct Tracer {
    ids: Ids,
    kept: f64,
    queue: mpsc::Sender<Span>,
}

/// Steps of a call that are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Everything holds that must before it may leave.
    Cleared,
    /// The credential is there.
    Credential,
    /// The server answered.
    Answered,
    /// The answer was looked at.
    Inspected,
}

impl Step {
    pub fn as_str(self) -> &'static str {
        match self {
            Step::Cleared => "cleared",
            Step::Credential => "credential",
            Step::Answered => "answered",
            Step::Inspected => "inspected",
        }
    }
}

/// A call's span while it is under way.
pub(crate) struct Trace {
    /// The call's own place.
    own: Context,
    /// What the server is told.
    sent: Context,
    parent: Option<Box<str>>,
    began: (SystemTime, Instant),
    steps: Vec<(Step, Instant)>,
    queue: mpsc::Sender<Span>,
    ended: bool,
}

/// A span that has ended, with the names that it is told by.
pub(crate) struct Span {
    pub own: Context,
    pub sent: Context,
    pub parent: Option<Box<str>>,
    pub began: SystemTime,
    pub lasted: Duration,
    /// How long after the beginning each step was done.
    pub steps: Vec<(Step, Duration)>,
    pub server: Option<Upstream>,
    pub method: Box<str>,
    pub tool_call: bool,
    pub name: Option<Named>,
    pub version: &'static str,
    pub transport: &'static str,
    pub principal: Box<str>,
    pub id: Box<str>,
    pub outcome: Outcome,
    pub refusal: Option<&'static str>,
}

/// Which server had it.
pub(crate) struct Upstream {
    pub name: Box<str>,
    pub transport: &'static str,
}

/// What the call was about.
pub(crate) enum Named {
    Tool(Box<str>),
    Prompt(Box<str>),
    Resource(Box<str>),
}

/// How a call ended, for its span.
pub(crate) struct Told<'a> {
    pub id: &'a str,
    pub principal: &'a str,
    pub outcome: Outcome,
    pub refusal: Option<&'static str>,
}

impl Tracer {
    pub fn new(kept: f64) -> (Tracer, mpsc::Receiver<Span>) {
        let (queue, waiting) = mpsc::channel(WAITING);
        (Tracer { ids: Ids::new(), kept, queue }, waiting)
    }

    /// A place in the trace that the client is in, and its parent; or in a new one. None where the trace is not
    /// kept.
    fn place(&self, at: Option<&Context>) -> Option<(Context, Option<Box<str>>)> {
        match at {
            Some(at) if !at.parent.is_sampled() => None,
            Some(at) => Some((self.ids.child(at), Some(at.parent.span().into()))),
            None => Some((self.ids.root(self.kept)?, None)),
        }
    }

    /// A call begins, in the trace that its client is in or in one of its own; none where that trace is not
    /// kept. Then what the client said passes as it is.
    pub fn begin(&self, call: &Call) -> Option<Trace> {
        let (own, parent) = self.place(call.gist.trace.as_ref())?;
        Some(Trace {
            sent: self.ids.child(&own),
            own,
            parent,
            began: (SystemTime::now(), Instant::now()),
            steps: Vec::with_capacity(4),
            queue: self.queue.clone(),
            ended: false,
        })
    }

    /// A request was refused before it was a call; gives whether that was dropped for want of room.
    pub fn refused(&self, at: Option<&Context>, principal: &str, refusal: &'static str) -> bool {
        let Some((own, parent)) = self.place(at) else { return false };
        let Ok(place) = self.queue.try_reserve() else { return true };
        place.send(Span {
            sent: own.clone(),
            own,
            parent,
            began: SystemTime::now(),
            lasted: Duration::ZERO,
            steps: Vec::new(),
            server: None,
            method: Box::default(),
            tool_call: false,
            name: None,
            version: "",
            transport: "",
            principal: principal.into(),
            id: Box::default(),
            outcome: Outcome::Refused,
            refusal: Some(refusal),
        });
        false
    }
}

impl Trace {
    /// The trace's id.
    pub fn id(&self) -> &str {
        self.own.parent.trace()
    }

    pub fn step(&mut self, step: Step) {
        self.steps.push((step, Instant::now()));
    }

    /// What the server is told in a header.
    pub fn sent(&self) -> &Context {
        &self.sent
    }

    /// The params' `_meta` with the server's place in the trace.
    pub fn meta(&self, params: Json<'_>) -> String {
        let held = params.get(mcp::meta::META).unwrap_or(Json::EMPTY);
        let mut patch = Patch::of(held).set("traceparent", quote(self.sent.parent.as_str()));
        if let Some(state) = &self.sent.state {
            patch = patch.set("tracestate", quote(state));
        }
        patch.text()
    }

    /// Whether it is over.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// It is over; gives whether it was dropped for want of room.
    pub fn end(&mut self, call: &Call, target: Option<&Target>, told: &Told<'_>) -> bool {
        self.ended = true;
        let Ok(place) = self.queue.try_reserve() else { return true };
        let after = |at: Instant| at.saturating_duration_since(self.began.1);
        place.send(Span {
            own: self.own.clone(),
            sent: self.sent.clone(),
            parent: self.parent.take(),
            began: self.began.0,
            lasted: self.began.1.elapsed(),
            steps: self.steps.iter().map(|(step, at)| (*step, after(*at))).collect(),
            server: target.map(|target| Upstream {
                name: target.served.name().as_str().into(),
                transport: match target.served.entry.reach {
                    crate::config::Reach::Http { .. } => "tcp",
                    crate::config::Reach::Stdio { .. } => "pipe",
                },
            }),
            method: call.method_name.clone(),
            tool_call: call.method == Method::ToolsCall,
            name: named(call, target),
            version: call.version.as_str(),
            transport: match call.door {
                crate::call::Door::Http(_) => "tcp",
                crate::call::Door::Local | crate::call::Door::Stdio => "pipe",
            },
            principal: told.principal.into(),
            id: told.id.into(),
            outcome: told.outcome,
            refusal: told.refusal,
        });
        false
    }
}

/// Only what a server is known to have: what a caller made up is no name for a span.
fn named(call: &Call, target: Option<&Target>) -> Option<Named> {
    let target = target?;
    match call.method {
        Method::ToolsCall => target.item().map(|_| Named::Tool(target.name.as_str().into())),
        Method::PromptsGet => target.item().map(|_| Named::Prompt(target.name.as_str().into())),
        Method::ResourcesRead => Some(Named::Resource(target.name.as_str().into())),
        _ => None,
    }
}
