//! What is recorded.

use std::fmt::Write;
use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};

use crate::members::{hex, member, micros, number, optional, quoted, text};

/// The version of the records' schema, written into each. docs/audit.md says what changed.
pub const SCHEMA: u32 = 3;

/// What a record is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A person was asked to approve a call, or did, or did not.
    Approval,
    /// Someone tried to get in and could not.
    Auth,
    /// The journal's own: which intents have no outcome yet.
    Checkpoint,
    /// A configuration was applied or refused.
    Config,
    /// A definition changed, or a new one says what it should not.
    Drift,
    /// A local server reached out, or tried to.
    Egress,
    /// The authorization server did something: a client registered, a person consented or signed in, a token was given out or taken back. Or a token endpoint gave a token for a server.
    Grant,
    /// A call is about to be sent.
    Intent,
    /// A server said a secret that is known here; `detail` names it.
    Leak,
    /// What came of it.
    Outcome,
    /// A call was refused before it was sent.
    Refusal,
    /// The journal's oldest records were removed.
    Retention,
    /// A sealed secret was set, replaced or removed; or a secret is about to die, or can't be had.
    Secret,
    /// A child process was started or ended.
    Spawn,
    /// The gateway started or stopped.
    #[default]
    System,
    /// Somebody decided about a definition.
    Trust,
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A JSON-RPC error.
    Error,
    /// The server asks something first.
    InputRequired,
    /// A result.
    Ok,
    /// Refused by Bartizan.
    Refused,
    /// A result with `isError`.
    ToolError,
    /// Nobody knows: the gateway stopped, or the caller left, before an answer came.
    Unknown,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 16] = [
        Kind::Approval,
        Kind::Auth,
        Kind::Checkpoint,
        Kind::Config,
        Kind::Drift,
        Kind::Egress,
        Kind::Grant,
        Kind::Intent,
        Kind::Leak,
        Kind::Outcome,
        Kind::Refusal,
        Kind::Retention,
        Kind::Secret,
        Kind::Spawn,
        Kind::System,
        Kind::Trust,
    ];

    /// By its name.
    pub fn named(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Approval => "approval",
            Kind::Auth => "auth",
            Kind::Checkpoint => "checkpoint",
            Kind::Config => "config",
            Kind::Drift => "drift",
            Kind::Egress => "egress",
            Kind::Grant => "grant",
            Kind::Intent => "intent",
            Kind::Leak => "leak",
            Kind::Outcome => "outcome",
            Kind::Refusal => "refusal",
            Kind::Retention => "retention",
            Kind::Secret => "secret",
            Kind::Spawn => "spawn",
            Kind::System => "system",
            Kind::Trust => "trust",
        }
    }
}

impl Outcome {
    /// All of them.
    pub const ALL: [Outcome; 6] = [
        Outcome::Error,
        Outcome::InputRequired,
        Outcome::Ok,
        Outcome::Refused,
        Outcome::ToolError,
        Outcome::Unknown,
    ];

    /// By its name.
    pub fn named(name: &str) -> Option<Outcome> {
        Outcome::ALL.into_iter().find(|outcome| outcome.as_str() == name)
    }

    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Error => "error",
            Outcome::InputRequired => "input_required",
            Outcome::Ok => "ok",
            Outcome::Refused => "refused",
            Outcome::ToolError => "tool_error",
            Outcome::Unknown => "unknown",
        }
    }
}

/// What a body was, without the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// Its length.
    pub bytes: u64,
}
impl Payload {
    /// Hashes a body.
    pub fn of(body: &[u8]) -> Payload {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest(&SHA256, body).as_ref());
        Payload { sha256, bytes: body.len() as u64 }
    }
}

/// What is kept of what a call said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Body<'a> {
    /// Nothing but digest and length.
    #[default]
    Nothing,
    /// All of it, sealed by [`crate::seal`]: kept beside the journal, its digest in the record.
    Sealed(&'a [u8]),
    /// Nothing, since there was more of it than is kept.
    TooLarge,
}

/// One line of the journal. Sequence number and time are added by the journal; what is empty
/// or `None` is left out. Texts longer than 1 KiB are cut; control characters are escaped, so that a
/// line can be shown in a terminal.
///
/// ```
/// use audit::{Kind, Record};
/// let record = Record { kind: Kind::Refusal, id: "c-17", refusal: "denied", ..Record::default() };
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Record<'a> {
    /// What the record is about.
    pub kind: Kind,
    /// The call's id, the same in all its records.
    pub id: &'a str,
    /// Who called.
    pub principal: &'a str,
    /// The caller's tenant, where the principal does not say it.
    pub tenant: &'a str,
    /// The identity provider that vouches for the caller, by its name in the configuration.
    pub provider: &'a str,
    /// The agent or program through which the caller comes, as the provider names it.
    pub agent: &'a str,
    /// The authentication context class (`acr`) of the caller's sign-in.
    pub acr: &'a str,
    /// How the caller was authenticated (`amr`), with spaces between.
    pub amr: &'a str,
    /// What the client calls itself.
    pub client: &'a str,
    /// How the call came in: `http`, `local`, `stdio`.
    pub door: &'a str,
    /// Where the client is, when that is not this machine.
    pub address: Option<IpAddr>,
    /// The client's protocol version.
    pub era: &'a str,
    /// The server's name.
    pub server: &'a str,
    /// The protocol's method.
    pub method: &'a str,
    /// The tool's or prompt's name, or the resource's URI.
    pub name: &'a str,
    /// The arguments.
    pub arguments: Option<Payload>,
    /// The SHA-256 of the params, as they were read.
    pub request: Option<[u8; 32]>,
    /// Arguments that the configuration names, in clear: names and texts.
    pub fields: &'a [(Box<str>, String)],
    /// What is kept of the arguments, or of the result.
    pub body: Body<'a>,
    /// The rule that allowed or denied it.
    pub rule: &'a str,
    /// The configuration under which that was decided: how its SHA-256 begins. Left empty, it is the one that
    /// [`crate::Journal::under`] named last.
    pub policy: &'a str,
    /// The request for approval that was decided by a person.
    pub approval: &'a str,
    /// What the conversation had read before, with spaces between.
    pub labels: &'a str,
    /// The credential that went along, by its name.
    pub credential: &'a str,
    /// The digest of the definition that was called.
    pub definition: Option<[u8; 32]>,
    /// The digest of all approved definitions of its kind that the server had then.
    pub catalogue: Option<[u8; 32]>,
    /// What came of it.
    pub outcome: Option<Outcome>,
    /// Bytes received from the client.
    pub bytes_in: Option<u64>,
    /// Bytes of the reply.
    pub bytes_out: Option<u64>,
    /// How long it took.
    pub duration: Option<Duration>,
    /// How much of that went by before the call was sent.
    pub before: Option<Duration>,
    /// How much it took then to get the credential.
    pub credential_took: Option<Duration>,
    /// How much of that the server took, the credential included.
    pub upstream: Option<Duration>,
    /// What the detectors found: rules and severities.
    pub findings: &'a str,
    /// The refusal's code.
    pub refusal: &'a str,
    /// The trace id.
    pub trace: &'a str,
    /// The last of the records that were removed.
    pub pruned: Option<u64>,
    /// For the operator.
    pub detail: &'a str,
    /// What names people, where it is sealed. The journal's own: leave it empty.
    pub sealed: &'a str,
}

impl Record<'_> {
    /// Appends the members behind `kind`, each with a comma before it.
    pub(crate) fn write(&self, line: &mut String) {
        text(line, "id", self.id);
        text(line, "principal", self.principal);
        text(line, "tenant", self.tenant);
        text(line, "provider", self.provider);
        text(line, "agent", self.agent);
        text(line, "acr", self.acr);
        text(line, "amr", self.amr);
        text(line, "client", self.client);
        text(line, "door", self.door);
        if let Some(address) = self.address {
            member(line, "address");
            // Writing to a String can't fail.
            let _ = write!(line, "\"{address}\"");
        }
        text(line, "era", self.era);
        text(line, "server", self.server);
        text(line, "method", self.method);
        text(line, "name", self.name);
        if let Some(Payload { sha256, bytes }) = self.arguments {
            hex(line, "arguments_sha256", &sha256);
            number(line, "arguments_bytes", bytes);
        }
        if let Some(digest) = &self.request {
            hex(line, "request_sha256", digest);
        }
        if !self.fields.is_empty() {
            member(line, "fields");
            for (at, (name, value)) in self.fields.iter().enumerate() {
                line.push(if at == 0 { '{' } else { ',' });
                quoted(line, name);
                line.push(':');
                quoted(line, value);
            }
            line.push('}');
        }
        match self.body {
            Body::Nothing => {}
            Body::Sealed(sealed) => {
                let Payload { sha256, bytes } = Payload::of(sealed);
                hex(line, "payload_sha256", &sha256);
                number(line, "payload_bytes", bytes);
            }
            Body::TooLarge => text(line, "payload", "too_large"),
        }
        text(line, "rule", self.rule);
        text(line, "policy", self.policy);
        text(line, "approval", self.approval);
        text(line, "labels", self.labels);
        text(line, "credential", self.credential);
        if let Some(digest) = &self.definition {
            hex(line, "definition", digest);
        }
        if let Some(digest) = &self.catalogue {
            hex(line, "catalogue", digest);
        }
        text(line, "outcome", self.outcome.map_or("", Outcome::as_str));
        optional(line, "bytes_in", self.bytes_in);
        optional(line, "bytes_out", self.bytes_out);
        micros(line, "duration_us", self.duration);
        micros(line, "before_us", self.before);
        micros(line, "credential_us", self.credential_took);
        micros(line, "upstream_us", self.upstream);
        text(line, "findings", self.findings);
        text(line, "refusal", self.refusal);
        text(line, "trace", self.trace);
        optional(line, "pruned", self.pruned);
        text(line, "detail", self.detail);
        if !self.sealed.is_empty() {
            member(line, "sealed");
            // Base64, at its whole length: cut, it would be lost.
            let _ = write!(line, "\"{}\"", self.sealed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::TEXT_LIMIT;

    fn written(record: Record<'_>) -> serde_json::Value {
        let mut line = String::from("{\"seq\":1");
        record.write(&mut line);
        line.push('}');
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    #[test]
    fn every_member_is_written_and_empty_ones_are_not() {
        assert_eq!(written(Record::default()), serde_json::json!({"seq": 1}));
        let record = Record {
            kind: Kind::Outcome,
            id: "c-1",
            principal: "token:ci",
            tenant: "T",
            provider: "okta",
            agent: "a-1",
            acr: "1",
            amr: "pwd mfa",
            client: "cli 1",
            door: "http",
            address: Some(IpAddr::from([203, 0, 113, 7])),
            era: "2026-07-28",
            server: "github",
            method: "tools/call",
            name: "get_issue",
            arguments: Some(Payload::of(b"{}")),
            request: Some([0xcd; 32]),
            fields: &[("owner".into(), "a \"b\"".to_owned()), ("n\n".into(), "1".to_owned())],
            body: Body::Sealed(b"{}"),
            rule: "role dev allow github/*",
            policy: "0123456789abcdef",
            approval: "ap-1",
            labels: "private",
            credential: "authorization ${env:X}",
            definition: Some([0xab; 32]),
            catalogue: Some([0xef; 32]),
            outcome: Some(Outcome::ToolError),
            bytes_in: Some(1),
            bytes_out: Some(2),
            duration: Some(Duration::from_millis(3)),
            before: Some(Duration::from_micros(4)),
            credential_took: Some(Duration::from_micros(1)),
            upstream: Some(Duration::from_micros(5)),
            findings: "f",
            refusal: "r",
            trace: "t",
            pruned: Some(6),
            detail: "d",
            sealed: "AA==",
        };
        let expected = serde_json::json!({
            "seq": 1, "id": "c-1", "principal": "token:ci", "tenant": "T",
            "provider": "okta", "agent": "a-1", "acr": "1", "amr": "pwd mfa", "client": "cli 1", "door": "http", "address": "203.0.113.7", "era": "2026-07-28",
            "server": "github", "method": "tools/call", "name": "get_issue",
            "arguments_sha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
            "arguments_bytes": 2, "request_sha256": "cd".repeat(32), "fields": {"owner": "a \"b\"", "n\n": "1"},
            "payload_sha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
            "payload_bytes": 2, "rule": "role dev allow github/*", "policy": "0123456789abcdef", "approval": "ap-1",
            "labels": "private", "credential": "authorization ${env:X}", "definition": "ab".repeat(32), "catalogue": "ef".repeat(32),
            "outcome": "tool_error", "bytes_in": 1, "bytes_out": 2, "duration_us": 3000, "before_us": 4, "credential_us": 1, "upstream_us": 5, "findings": "f", "refusal": "r", "trace": "t",
            "pruned": 6, "detail": "d", "sealed": "AA==",
        });
        assert_eq!(written(record), expected);
    }

    #[test]
    fn hostile_text_is_escaped_and_cut() {
        let name = "a\"\\\n\u{1b}[2J\u{9b}\u{202e}\u{2028}é\0";
        let mut line = String::new();
        Record { name, ..Record::default() }.write(&mut line);
        assert_eq!(line, r#","name":"a\"\\\u000a\u001b[2J\u009b\u202e\u2028é\u0000""#);
        assert_eq!(written(Record { name, ..Record::default() })["name"], name);

        let long = "é".repeat(TEXT_LIMIT);
        let value = written(Record { client: &long, ..Record::default() });
        assert_eq!(value["client"].as_str().unwrap(), format!("{}…", "é".repeat(TEXT_LIMIT / 2)));
    }
}
