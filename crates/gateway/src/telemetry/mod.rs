//! What the gateway tells monitoring systems: metrics, health and traces.
//!
//! Nothing here decides anything, and nothing that a caller waits for waits for this.

mod exposition;
mod health;
mod meters;
mod metrics;
mod serve;

pub use exposition::{Kind as SampleKind, Metric, Sample, parse};
pub(crate) use health::{is_alive, is_ready};
pub(crate) use meters::{Ended, Entered, Meters};
pub(crate) use metrics::Metrics;
pub(crate) use serve::accept;

/// What is told to whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Telemetry {
    /// Where `/metrics`, `/livez` and `/readyz` are served.
    pub listen: Option<std::net::SocketAddr>,
}
