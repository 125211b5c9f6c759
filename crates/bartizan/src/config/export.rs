//! `[export.NAME]`: where the journal's records go.

use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
};

use gateway::export as resolved;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::{
    check::{is_private, is_this_machine},
    exchange::{self, Exchange},
    fault::Finding,
    file::Credential,
    receiver::{ExportKey, PathSegment, ReceiverUrl},
    resolve::ResolveFault,
    telemetry::Encoding,
};

/// One place that gets every record of the journal, in order, at least once: docs/export.md.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Export {
    /// What receives the records.
    #[schemars(with = "To", extend("x-is-kind" = true, "examples" = ["file"]))]
    pub to: Spanned<To>,
    /// The records' form.
    #[serde(default)]
    #[schemars(with = "Form")]
    pub format: Form,
    /// The file that lines are appended to. A relative path begins at this file's folder. It may be renamed at any time: a new one is begun.
    #[serde(default)]
    #[schemars(with = "Option<PathBuf>", extend("x-kind" = "file", "examples" = ["/var/log/bartizan/audit.jsonl"]))]
    pub path: Option<Spanned<PathBuf>>,
    /// The receiver's address, without its interface's own path; for syslog `tls://HOST:PORT`, or `tcp://HOST:PORT` without encryption.
    #[serde(default)]
    #[schemars(with = "Option<ReceiverUrl>", extend("x-kind" = "syslog splunk elastic otlp azure", "examples" = ["https://logs.example.com"], "x-samples" = serde_json::json!({"syslog": "tls://logs.example.com:6514", "splunk": "https://splunk.example.com:8088"})))]
    pub url: Option<Spanned<ReceiverUrl>>,
    /// What shows the receiver who is sending: a header, as for a server. Splunk wants `Splunk TOKEN`, Elasticsearch `ApiKey KEY`, Azure, where it has no `exchange`, `Bearer TOKEN`.
    #[serde(default)]
    #[schemars(with = "Option<Credential>", extend("x-kind" = "splunk elastic otlp"))]
    pub credential: Option<Spanned<Credential>>,
    /// The token that Azure wants, got from this machine or from a token endpoint as for a server (docs/exchange.md): of the kinds `managed-identity`, `workload-identity` and
    /// `client-credentials`. What it is for need not be said. The keys are those of `[servers.NAME.exchange]`.
    #[serde(default)]
    #[schemars(with = "Option<Exchange>", extend("x-kind" = "azure", "x-example" = serde_json::json!({"kind": "managed-identity"})))]
    pub exchange: Option<Spanned<Exchange>>,
    /// How messages are written.
    #[serde(default)]
    #[schemars(with = "Encoding", extend("x-kind" = "otlp"))]
    pub encoding: Encoding,
    /// The index or data stream.
    #[serde(default = "index")]
    #[schemars(extend("x-kind" = "elastic"))]
    pub index: String,
    /// The immutable id of the data collection rule.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("x-kind" = "azure", "examples" = ["dcr-00000000000000000000000000000000"]))]
    pub rule: Option<Spanned<PathSegment>>,
    /// The rule's stream that takes the records.
    #[serde(default = "stream")]
    #[schemars(with = "String", extend("x-kind" = "azure"))]
    pub stream: PathSegment,
    /// The authorities that the receiver's certificate is of, instead of the system's: a file in PEM form. A relative path begins at this file's folder.
    #[serde(default)]
    #[schemars(with = "Option<PathBuf>", extend("x-kind" = "syslog splunk elastic otlp azure", "examples" = ["/etc/bartizan/siem-ca.pem"]))]
    pub ca: Option<Spanned<PathBuf>>,
    /// Lets the address lead to a private network or to this machine.
    #[serde(default)]
    #[schemars(extend("x-kind" = "syslog splunk elastic otlp azure"))]
    pub allow_private: bool,
}

fn index() -> String {
    "bartizan-audit".to_owned()
}

fn stream() -> PathSegment {
    PathSegment("Custom-Bartizan_CL".to_owned())
}

/// What receives records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum To {
    /// Azure Monitor, by its Logs Ingestion interface: Log Analytics and Sentinel.
    Azure,
    /// Elasticsearch, by its bulk interface.
    Elastic,
    /// A file of lines.
    File,
    /// OpenTelemetry: a collector, or what speaks its protocol (OTLP/HTTP).
    Otlp,
    /// Splunk, by its HTTP Event Collector.
    Splunk,
    /// A syslog server (RFC 5424 over TLS).
    Syslog,
}

impl To {
    fn as_str(self) -> &'static str {
        match self {
            To::Azure => "azure",
            To::Elastic => "elastic",
            To::File => "file",
            To::Otlp => "otlp",
            To::Splunk => "splunk",
            To::Syslog => "syslog",
        }
    }
}

/// The form of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// As it stands in the journal.
    #[default]
    Native,
    /// The Open Cybersecurity Schema Framework.
    Ocsf,
    /// ArcSight's Common Event Format.
    Cef,
}

/// All findings about the exports.
pub fn check(
    exports: &BTreeMap<ExportKey, Spanned<Export>>,
    folder: &Path,
    findings: &mut Vec<Finding>,
) {
    for (ExportKey(name), spanned) in exports {
        let export = spanned.get_ref();
        strays(name, export, findings);
        needs(name, export, spanned.span(), findings);
        if let Some(url) = &export.url {
            check_url(name, export, url, findings);
        }
        if let Some(credential) = &export.credential {
            check_credential(credential.get_ref(), findings);
        }
        if let Some(exchange) = &export.exchange {
            check_exchange(name, export, exchange, findings);
        }
        if let Some(ca) = &export.ca
            && let Err(error) = std::fs::File::open(folder.join(ca.get_ref()))
        {
            findings.push(Finding::error(
                format!("`{}` can't be read: {error}", ca.get_ref().display()),
                ca.span(),
                "name a file in PEM form that this user may read",
            ));
        }
    }
}

/// Keys of another kind.
fn strays(name: &str, export: &Export, findings: &mut Vec<Finding>) {
    let to = *export.to.get_ref();
    let file = to == To::File;
    let wrong = [
        ("path", !file, export.path.as_ref().map(Spanned::span)),
        ("url", file, export.url.as_ref().map(Spanned::span)),
        (
            "credential",
            matches!(to, To::File | To::Syslog),
            export.credential.as_ref().map(Spanned::span),
        ),
        ("exchange", to != To::Azure, export.exchange.as_ref().map(Spanned::span)),
        ("rule", to != To::Azure, export.rule.as_ref().map(Spanned::span)),
        ("ca", file, export.ca.as_ref().map(Spanned::span)),
    ];
    for (key, is_wrong, place) in wrong {
        if let (true, Some(place)) = (is_wrong, place) {
            findings.push(Finding::error(
                format!("`{key}` means nothing to an export to `{}`", to.as_str()),
                place,
                format!("take it out, or let `{name}` go elsewhere"),
            ));
        }
    }
}

/// Keys that a kind can't do without.
fn needs(name: &str, export: &Export, span: Range<usize>, findings: &mut Vec<Finding>) {
    let to = *export.to.get_ref();
    let mut missing = |key: &str, mend: &str| {
        let what = format!("the export `{name}` to `{}` has no `{key}`", to.as_str());
        findings.push(Finding::error(what, span.clone(), mend));
    };
    match to {
        To::File if export.path.is_none() => {
            missing("path", "add path = \"audit.jsonl\"");
        }
        To::File => {}
        To::Syslog if export.url.is_none() => {
            missing("url", "add url = \"tls://logs.example.com:6514\"");
        }
        _ if export.url.is_none() => missing("url", "add url = \"https://…\""),
        _ => {}
    }
    if to == To::Azure && export.rule.is_none() {
        missing("rule", "add rule = \"dcr-…\", the immutable id of the data collection rule");
    }
}

fn check_url(name: &str, export: &Export, url: &Spanned<ReceiverUrl>, findings: &mut Vec<Finding>) {
    let (to, address) = (*export.to.get_ref(), url.get_ref());
    if address.is_syslog() != (to == To::Syslog) {
        findings.push(Finding::error(
            format!("an export to `{}` is not reached by {}", to.as_str(), address.0.scheme()),
            url.span(),
            match to {
                To::Syslog => "write \"tls://HOST:PORT\"",
                _ => "write \"https://…\"",
            },
        ));
    }
    let near = is_this_machine(address.host());
    if !export.allow_private && (near || is_private(address.host())) {
        findings.push(Finding::warning(
            format!("`{}` is a private address, so `{name}` will get nothing", address.host()),
            url.span(),
            "if that is meant, add allow-private = true",
        ));
    }
    if address.is_plain() && !near {
        findings.push(Finding::warning(
            format!("the records for `{name}` travel unencrypted"),
            url.span(),
            if to == To::Syslog { "write tls://" } else { "write https://" },
        ));
    }
}

fn check_credential(credential: &Credential, findings: &mut Vec<Finding>) {
    let (value, span) = (credential.value.get_ref(), credential.value.span());
    if let Some(fault) = value.reference.local_fault() {
        let mend = "without it nothing is delivered";
        findings.push(Finding::warning(fault.to_string(), span.clone(), mend));
    }
    if value.reference.is_literal() {
        findings.push(Finding::warning(
            "the credential stands in this file as it is",
            span,
            "keep it elsewhere and write \"${env:TOKEN}\" or \"${file:/path/to/it}\" in its place",
        ));
    }
}

fn check_exchange(
    name: &str,
    export: &Export,
    written: &Spanned<Exchange>,
    findings: &mut Vec<Finding>,
) {
    if export.credential.is_some() {
        findings.push(Finding::error(
            format!("`{name}` has a credential and an exchange"),
            written.span(),
            "keep one of them",
        ));
    }
    let meant = Spanned::new(written.span(), export.meant(written.get_ref()));
    exchange::check(name, &meant, findings);
    if meant.get_ref().is_for_callers() {
        findings.push(Finding::error(
            format!(
                "nobody calls when `{name}` gets records, so no caller's token can be exchanged"
            ),
            meant.get_ref().kind.span(),
            "write managed-identity, workload-identity or client-credentials",
        ));
    }
}

/// As the gateway takes them. What lacks what it needs, the check has refused already.
pub fn resolve(
    exports: &BTreeMap<ExportKey, Spanned<Export>>,
    folder: &Path,
) -> Result<Vec<resolved::Export>, ResolveFault> {
    let mut all = Vec::new();
    for (ExportKey(name), spanned) in exports {
        let written = spanned.get_ref();
        let Some(to) = written.destination(folder)? else { continue };
        let format = match written.format {
            Form::Native => audit::Format::Native,
            Form::Ocsf => audit::Format::Ocsf,
            Form::Cef => audit::Format::Cef,
        };
        all.push(resolved::Export { name: name.clone(), format, to });
    }
    Ok(all)
}

/// What tokens for Azure Monitor are for.
const AZURE_MONITOR: &str = "https://monitor.azure.com";

impl Export {
    /// An exchange, with what need not be said.
    fn meant(&self, written: &Exchange) -> Exchange {
        let mut meant = written.clone();
        if *self.to.get_ref() == To::Azure {
            meant.default_to(AZURE_MONITOR);
        }
        meant
    }

    fn destination(&self, folder: &Path) -> Result<Option<resolved::Destination>, ResolveFault> {
        let ca = self.ca.as_ref().map(|path| folder.join(path.get_ref()));
        let (to, allow_private) = (*self.to.get_ref(), self.allow_private);
        if to == To::File {
            let path = self.path.as_ref().map(|path| folder.join(path.get_ref()));
            return Ok(path.map(resolved::Destination::File));
        }
        let Some(ReceiverUrl(url)) = self.url.as_ref().map(Spanned::get_ref) else {
            return Ok(None);
        };
        let receiver = match to {
            To::Azure => {
                let Some(rule) = &self.rule else { return Ok(None) };
                let (rule, stream) = (rule.get_ref().0.clone(), self.stream.0.clone());
                resolved::Receiver::Azure { rule, stream }
            }
            To::Elastic => resolved::Receiver::Elastic { index: self.index.clone() },
            To::Otlp => resolved::Receiver::Otlp(self.encoding.resolve()),
            To::Splunk => resolved::Receiver::Splunk,
            To::File | To::Syslog => {
                let (Some(host), Some(port)) = (url.host_str(), url.port()) else {
                    return Ok(None);
                };
                let (host, tls) = (host.to_owned(), url.scheme() == "tls");
                let syslog = resolved::Syslog { host, port, tls, ca, allow_private };
                return Ok(Some(resolved::Destination::Syslog(syslog)));
            }
        };
        let credential = self.credential.as_ref().map(|credential| credential.get_ref().resolve());
        let credential = credential.transpose()?;
        let exchange = self.exchange.as_ref().map(|exchange| self.meant(exchange.get_ref()));
        let exchange =
            exchange.map(|exchange| exchange.resolve(folder).map(Box::new)).transpose()?;
        let url = url.as_str().to_owned();
        let http = resolved::Http { url, receiver, credential, exchange, ca, allow_private };
        Ok(Some(resolved::Destination::Http(http)))
    }
}
