//! The section `[telemetry]`.

use gateway::telemetry as resolved;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::{fault::Finding, value::Listen};

/// What is told to monitoring systems: docs/telemetry.md. The metrics can always be had with `bartizan metrics`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Telemetry {
    /// Where a scraper finds `/metrics`, and an orchestrator `/livez` and `/readyz`. Nobody signs in there: it tells the names of servers and tools, and how often
    /// they are used. Takes effect at the next start.
    #[schemars(with = "Option<Listen>", extend("examples" = ["127.0.0.1:9464"]))]
    pub listen: Option<Spanned<Listen>>,
    /// Lets other machines reach it: a loosening.
    pub allow_remote: bool,
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
    }

    /// As the gateway takes it.
    pub fn resolve(&self) -> resolved::Telemetry {
        resolved::Telemetry { listen: self.listen.as_ref().map(|listen| listen.get_ref().0) }
    }
}
