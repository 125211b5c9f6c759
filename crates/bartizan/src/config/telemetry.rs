//! The section `[telemetry]`.

use std::time::Duration;

use gateway::telemetry as resolved;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::{
    fault::Finding,
    file::Credential,
    value::{Bounded, Listen, Period, ServerUrl},
};

/// What is told to monitoring systems: docs/telemetry.md. The metrics can always be had with `bartizan metrics`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Telemetry {
    /// Where a scraper finds `/metrics`, and an orchestrator `/livez` and `/readyz`. Nobody signs in there: it tells the names of servers and tools, and how often
    /// they are used.
    #[schemars(with = "Option<Listen>", extend("examples" = ["127.0.0.1:9464"]))]
    pub listen: Option<Spanned<Listen>>,
    /// Lets other machines reach it: a loosening.
    pub allow_remote: bool,
    /// A collector of OpenTelemetry that gets traces and metrics, by OTLP over HTTP.
    pub otlp: Option<Otlp>,
}

/// A collector of OpenTelemetry.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Otlp {
    /// Its base, to which `/v1/traces` and `/v1/metrics` are added.
    #[schemars(with = "ServerUrl", extend("examples" = ["https://collector.example.com:4318"]))]
    pub endpoint: Spanned<ServerUrl>,
    /// How messages are written.
    #[serde(default)]
    #[schemars(with = "Encoding")]
    pub encoding: Encoding,
    /// Lets it be at an address that is not public: a loosening. An address that is written as digits needs none.
    #[serde(default)]
    pub allow_private: bool,
    /// A header that it wants to see, with a key for instance.
    #[schemars(with = "Option<Credential>")]
    pub credential: Option<Spanned<Credential>>,
    /// Tells each call as a span. A call that comes with a `traceparent`, in `_meta` or in its headers, is told in that trace and as it says; the server gets one
    /// in either case.
    #[serde(default = "yes")]
    pub traces: bool,
    /// Which part of the traces that begin here is told, in percent.
    #[serde(default = "all")]
    #[schemars(with = "Bounded<0, 100>")]
    pub sample: Bounded<0, 100>,
    /// Tells the metrics.
    #[serde(default = "yes")]
    pub metrics: bool,
    /// How often. At least a second.
    #[serde(default = "minute")]
    #[schemars(with = "Period")]
    pub every: Spanned<Period>,
}

/// How messages to a collector are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// OTLP's JSON.
    #[default]
    Json,
    /// Protobuf: for receivers that read no JSON.
    Protobuf,
}

impl Encoding {
    /// As the gateway takes it.
    pub fn resolve(self) -> resolved::Encoding {
        match self {
            Encoding::Json => resolved::Encoding::Json,
            Encoding::Protobuf => resolved::Encoding::Protobuf,
        }
    }
}

fn yes() -> bool {
    true
}

fn all() -> Bounded<0, 100> {
    Bounded(100)
}

fn minute() -> Spanned<Period> {
    Spanned::new(0..0, Period(Duration::from_secs(60)))
}

impl Telemetry {
    pub(super) fn check(&self, findings: &mut Vec<Finding>) {
        if let Some(listen) = &self.listen
            && !listen.get_ref().0.ip().is_loopback()
            && !self.allow_remote
        {
            findings.push(Finding::error(
                "other machines could read the metrics, without a sign-in",
                listen.span(),
                "listen on 127.0.0.1, or say allow-remote = true where the network is trusted",
            ));
        }
        if let Some(otlp) = &self.otlp
            && otlp.every.get_ref().0 < Duration::from_secs(1)
        {
            findings.push(Finding::error(
                "metrics can't be told more often than once in a second",
                otlp.every.span(),
                "write every = \"10s\" or more",
            ));
        }
    }

    /// As the gateway takes it.
    pub fn resolve(&self) -> resolved::Telemetry {
        resolved::Telemetry {
            listen: self.listen.as_ref().map(|listen| listen.get_ref().0),
            otlp: self.otlp.as_ref().map(Otlp::resolve),
        }
    }
}

impl Otlp {
    fn resolve(&self) -> resolved::Otlp {
        let credential = self.credential.as_ref().map(Spanned::get_ref);
        resolved::Otlp {
            endpoint: self.endpoint.get_ref().0.clone(),
            encoding: self.encoding.resolve(),
            allow_private: self.allow_private,
            // Both were parsed as what they are when they were read.
            credential: credential.and_then(|credential| credential.resolve().ok()),
            traces: self.traces,
            kept: f64::from(self.sample.0) / 100.0,
            metrics_every: self.metrics.then_some(self.every.get_ref().0),
        }
    }
}
