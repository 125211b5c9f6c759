//! The handles of one server's metrics, found once and then only counted with.

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use audit::Outcome;
use mcp::{Era, Method};
use prometheus_client::metrics::{
    counter::Counter, family::Family, gauge::Gauge, histogram::Histogram,
};

use super::metrics::{BytesLabels, CallLabels, ServerLabel};
use crate::call::Call;

/// Tools of one server that have series of their own; those that are called later share one.
const TOOLS: usize = 100;
/// The longest name of such a tool.
const NAME: usize = 128;
const OTHER: &str = "other";

/// The handles of one server.
pub(crate) struct Meters {
    server: Arc<str>,
    calls: Family<CallLabels, Counter>,
    duration: Histogram,
    bytes_in: Counter,
    bytes_out: Counter,
    in_flight: Gauge,
    tools: RwLock<HashMap<Box<str>, Arc<Series>>>,
    methods: RwLock<HashMap<Method, Arc<Series>>>,
}

/// One tool or method: a counter for each outcome and era, made when it is first counted.
struct Series {
    method: Arc<str>,
    tool: Arc<str>,
    counters: [[OnceLock<Counter>; 2]; 6],
}

/// A call under way. Dropped before its end was told, it counts as `unknown`.
pub(crate) struct Entered {
    meters: Arc<Meters>,
    series: Arc<Series>,
    era: Era,
    streams: bool,
    ended: AtomicBool,
}

/// What came of a call.
pub(crate) struct Ended<'a> {
    pub outcome: Outcome,
    pub refusal: Option<&'static str>,
    pub findings: &'a str,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub duration: Duration,
}

impl Meters {
    pub(super) fn new(
        server: &str,
        calls: &Family<CallLabels, Counter>,
        durations: &Family<ServerLabel, Histogram, fn() -> Histogram>,
        bytes: &Family<BytesLabels, Counter>,
        in_flight: &Family<ServerLabel, Gauge>,
    ) -> Meters {
        let server: Arc<str> = server.into();
        let label = ServerLabel { server: server.clone() };
        let bytes = |direction| {
            bytes.get_or_create_owned(&BytesLabels { server: server.clone(), direction })
        };
        Meters {
            calls: calls.clone(),
            duration: durations.get_or_create_owned(&label),
            bytes_in: bytes("in"),
            bytes_out: bytes("out"),
            in_flight: in_flight.get_or_create_owned(&label),
            tools: RwLock::default(),
            methods: RwLock::default(),
            server,
        }
    }

    /// A call that begins. `tool` is one that the server is known to have: what a caller made up must not
    /// make series.
    pub fn enter(self: &Arc<Self>, call: &Call, tool: Option<&str>) -> Entered {
        let series = match call.method {
            Method::ToolsCall => self.tool(tool.filter(|name| name.len() <= NAME)),
            method => self.method(method, &call.method_name),
        };
        self.in_flight.inc();
        Entered {
            meters: self.clone(),
            series,
            era: call.version.era(),
            streams: call.method == Method::SubscriptionsListen,
            ended: AtomicBool::new(false),
        }
    }

    fn tool(&self, name: Option<&str>) -> Arc<Series> {
        let mut name = name.unwrap_or(OTHER);
        {
            let tools = self.tools.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(series) = tools.get(name) {
                return series.clone();
            }
            if tools.len() >= TOOLS {
                name = OTHER;
            }
        }
        let mut tools = self.tools.write().unwrap_or_else(PoisonError::into_inner);
        let made = || Arc::new(Series::new("tools/call", name));
        tools.entry(name.into()).or_insert_with(made).clone()
    }

    fn method(&self, method: Method, name: &str) -> Arc<Series> {
        let known = self.methods.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(series) = known.get(&method) {
            return series.clone();
        }
        drop(known);
        let name = if method == Method::Other { OTHER } else { name };
        let mut methods = self.methods.write().unwrap_or_else(PoisonError::into_inner);
        methods.entry(method).or_insert_with(|| Arc::new(Series::new(name, ""))).clone()
    }
}

impl Series {
    fn new(method: &str, tool: &str) -> Series {
        Series { method: method.into(), tool: tool.into(), counters: Default::default() }
    }

    fn count(&self, meters: &Meters, outcome: Outcome, era: Era) {
        let Some(counter) = self.counters.get(outcome as usize) else { return };
        let counter = counter[usize::from(era == Era::Stateless)].get_or_init(|| {
            meters.calls.get_or_create_owned(&CallLabels {
                server: meters.server.clone(),
                method: self.method.clone(),
                tool: self.tool.clone(),
                outcome: outcome.as_str(),
                era: if era == Era::Stateless { "stateless" } else { "handshake" },
            })
        });
        counter.inc();
    }
}

impl Entered {
    /// The server's name; empty where the call is about none.
    pub fn server(&self) -> &str {
        &self.meters.server
    }

    /// Told once; what is told later is not counted.
    pub fn end(&self, ended: &Ended<'_>) {
        if self.ended.swap(true, Ordering::Relaxed) {
            return;
        }
        let Entered { meters, series, era, .. } = self;
        series.count(meters, ended.outcome, *era);
        meters.bytes_in.inc_by(ended.bytes_in);
        meters.bytes_out.inc_by(ended.bytes_out);
        // A subscription lasts as long as its client likes.
        if !self.streams {
            meters.duration.observe(ended.duration.as_secs_f64());
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.meters.in_flight.dec();
        if !*self.ended.get_mut() {
            self.series.count(&self.meters, Outcome::Unknown, self.era);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::metrics::Metrics;
    use super::*;
    use crate::call::{Door, Gist, Scope};
    use mcp::{Json, Version};

    fn call(method: &str) -> Call {
        let (name, method) = (method, Method::of(method));
        Call {
            scope: Scope::All,
            method,
            method_name: name.into(),
            gist: Gist::of(method, &Json::EMPTY.into()),
            params: Json::EMPTY.into(),
            client: upstream::ClientFacts {
                capabilities: Json::EMPTY.into(),
                info: None,
                log: upstream::LogWish::None,
            },
            version: Version::LAST_STATELESS,
            door: Door::Stdio,
            param_headers: None,
            signature: None,
        }
    }

    fn ended(outcome: Outcome) -> Ended<'static> {
        Ended {
            outcome,
            refusal: None,
            findings: "",
            bytes_in: 1,
            bytes_out: 2,
            duration: Duration::from_millis(3),
        }
    }

    #[test]
    fn made_up_and_too_many_tools_share_one_series() {
        let metrics = Metrics::new();
        let meters = metrics.server("files");
        for number in 0..TOOLS + 50 {
            let name = format!("t{number}");
            meters.enter(&call("tools/call"), Some(&name)).end(&ended(Outcome::Ok));
        }
        meters.enter(&call("tools/call"), None).end(&ended(Outcome::Refused));
        meters.enter(&call("tools/call"), Some(&"x".repeat(NAME + 1))).end(&ended(Outcome::Ok));
        meters.enter(&call("no/such/method"), None).end(&ended(Outcome::Error));
        let tools = meters.tools.read().unwrap();
        assert!(tools.len() <= TOOLS + 1, "{}", tools.len());
        let labels = |tool: &str, method: &str, outcome| CallLabels {
            server: "files".into(),
            method: method.into(),
            tool: tool.into(),
            outcome,
            era: "stateless",
        };
        let other = metrics.calls.get(&labels(OTHER, "tools/call", "ok")).unwrap().get();
        assert_eq!(other, 51);
        assert_eq!(metrics.calls.get(&labels(OTHER, "tools/call", "refused")).unwrap().get(), 1);
        assert_eq!(metrics.calls.get(&labels("", OTHER, "error")).unwrap().get(), 1);
    }

    #[test]
    fn a_call_that_is_dropped_counts_as_unknown_and_is_no_longer_in_flight() {
        let metrics = Metrics::new();
        let meters = metrics.server("files");
        let entered = meters.enter(&call("tools/call"), Some("t"));
        assert_eq!(meters.in_flight.get(), 1);
        drop(entered);
        assert_eq!(meters.in_flight.get(), 0);
        let text = {
            let found = meters.tools.read().unwrap();
            found["t"].counters[Outcome::Unknown as usize][1].get().unwrap().get()
        };
        assert_eq!(text, 1);
    }

    #[test]
    fn every_outcome_has_a_counter() {
        let metrics = Metrics::new();
        let meters = metrics.server("files");
        for outcome in [
            Outcome::Error,
            Outcome::InputRequired,
            Outcome::Ok,
            Outcome::Refused,
            Outcome::ToolError,
            Outcome::Unknown,
        ] {
            meters.enter(&call("tools/call"), Some("t")).end(&ended(outcome));
            let tools = meters.tools.read().unwrap();
            let counter = tools["t"].counters[outcome as usize][1].get().unwrap();
            assert_eq!(counter.get(), 1, "{outcome:?}");
        }
    }
}
