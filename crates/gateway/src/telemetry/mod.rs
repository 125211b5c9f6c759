//! What the gateway tells monitoring systems: metrics, health and traces.
//!
//! Nothing here decides anything, and nothing that a caller waits for waits for this.

mod context;
mod export;
mod exposition;
mod health;
mod meters;
mod metrics;
mod otlp;
mod serve;
mod span;

pub(crate) use context::{Context, TRACEPARENT, TRACESTATE};
pub use export::Otlp;
pub(crate) use export::run as export;
pub use exposition::{Kind as SampleKind, Metric, Sample, parse};
pub(crate) use health::{is_alive, is_ready};
pub(crate) use meters::{Ended, Entered, Meters};
pub(crate) use metrics::Metrics;
pub(crate) use serve::accept;
pub(crate) use span::{Span, Step, Told, Trace, Tracer};

/// What is told to whom.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Telemetry {
    /// Where `/metrics`, `/livez` and `/readyz` are served.
    pub listen: Option<std::net::SocketAddr>,
    /// A collector of OpenTelemetry.
    pub otlp: Option<Otlp>,
}
