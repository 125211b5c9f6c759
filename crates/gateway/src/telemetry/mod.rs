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
pub(crate) mod protobuf;
mod serve;
mod span;

pub(crate) use context::{Context, TRACEPARENT, TRACESTATE};
pub use export::Otlp;
pub(crate) use export::run as export;
pub use exposition::{Kind as SampleKind, Metric, Sample, parse};
pub(crate) use health::{is_alive, is_ready};
pub(crate) use meters::{Ended, Entered, Meters};
pub(crate) use metrics::{ExportMeters, Metrics};
pub(crate) use serve::run as serve;
pub(crate) use span::{Step, Told, Trace, Tracer};

/// How a message to a collector is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// OTLP's JSON.
    #[default]
    Json,
    /// Protobuf.
    Protobuf,
}

impl Encoding {
    /// Its media type.
    pub(crate) fn media(self) -> &'static str {
        match self {
            Encoding::Json => "application/json",
            Encoding::Protobuf => "application/x-protobuf",
        }
    }

    /// A message as it is sent.
    pub(crate) fn write(self, message: &serde_json::Value) -> Result<Vec<u8>, String> {
        match self {
            Encoding::Json => Ok(message.to_string().into_bytes()),
            Encoding::Protobuf => protobuf::encode(message)
                .map_err(|member| format!("`{member}` has no place in protobuf")),
        }
    }
}

/// What is told to whom.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Telemetry {
    /// Where `/metrics`, `/livez` and `/readyz` are served.
    pub listen: Option<std::net::SocketAddr>,
    /// A collector of OpenTelemetry.
    pub otlp: Option<Otlp>,
}
