//! The Open Cybersecurity Schema Framework, version 1.3: docs/export.md has the mapping.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::{Severity, key, millis, sentence};
use crate::{Entry, Kind, Outcome};

/// Members that have a place of their own below; all others go to `unmapped`.
const MAPPED: [&str; 10] = [
    "id",
    "principal",
    "client",
    "agent",
    "server",
    "method",
    "name",
    "refusal",
    "detail",
    "address",
];

pub(super) fn render(origin: &str, entry: &Entry) -> Value {
    let class = Class::of(entry);
    let (status_id, status) = status(entry);
    let severity = match Severity::of(entry) {
        Severity::Informational => 1,
        Severity::Low => 2,
        Severity::Medium => 3,
    };
    let mut event = json!({
        "class_uid": class.uid,
        "category_uid": class.uid / 1000,
        "activity_id": class.activity,
        "activity_name": class.name,
        "type_uid": class.uid * 100 + class.activity,
        "severity_id": severity,
        "time": millis(entry),
        "status_id": status_id,
        "status": status,
        "message": sentence(entry),
        "metadata": {
            "version": "1.3.0",
            "uid": key(origin, entry.seq),
            "sequence": entry.seq,
            "log_name": origin,
            "event_code": entry.kind.as_str(),
            "product": product(),
        },
    });
    let mut put = |member: &str, value: Value| event[member] = value;
    let optional = [("status_code", "refusal"), ("status_detail", "detail")];
    for (member, ours) in optional.into_iter().filter(|(_, ours)| !entry.text(ours).is_empty()) {
        put(member, entry.text(ours).into());
    }
    if let Some(duration) = entry.number("duration_us") {
        put("duration", (duration / 1000).into());
    }
    for (member, value) in class.objects(entry) {
        put(member, value);
    }
    let rest = entry.rest.iter().filter(|(name, _)| !MAPPED.contains(&name.as_str()));
    let mut rest: Map<String, Value> = rest.map(|(k, v)| (k.clone(), v.clone())).collect();
    if class.uid == NETWORK_ACTIVITY {
        rest.insert("target".to_owned(), entry.text("name").into());
    }
    rest.extend(entry.intent.map(|intent| ("intent".to_owned(), intent.into())));
    put("unmapped", rest.into());
    if !entry.text("id").is_empty() {
        event["metadata"]["correlation_uid"] = entry.text("id").into();
    }
    // Of these classes, the profile is what brings the actor.
    if matches!(class.uid, APPLICATION_LIFECYCLE | ENTITY_MANAGEMENT) {
        event["metadata"]["profiles"] = json!(["host"]);
    }
    event
}

fn product() -> Value {
    json!({"name": "Bartizan", "vendor_name": "Bartizan", "version": env!("CARGO_PKG_VERSION")})
}

fn status(entry: &Entry) -> (u8, &'static str) {
    match entry.outcome {
        Some(Outcome::Ok | Outcome::InputRequired) => (1, "Success"),
        Some(Outcome::Unknown) => (0, "Unknown"),
        Some(failed) => (2, failed.as_str()),
        None if entry.kind == Kind::Auth => (2, "Failure"),
        None => (0, "Unknown"),
    }
}

/// An event's class and activity.
struct Class {
    uid: u32,
    activity: u32,
    name: String,
}

const APPLICATION_LIFECYCLE: u32 = 6002;
const API_ACTIVITY: u32 = 6003;
const AUTHENTICATION: u32 = 3002;
const BASE: u32 = 0;
const DETECTION_FINDING: u32 = 2004;
const ENTITY_MANAGEMENT: u32 = 3004;
const NETWORK_ACTIVITY: u32 = 4001;
/// The activity that only its name tells.
const OTHER: u32 = 99;

impl Class {
    fn of(entry: &Entry) -> Class {
        let method = entry.text("method");
        let refused = entry.outcome == Some(Outcome::Refused);
        let (uid, activity, name) = match entry.kind {
            Kind::Intent | Kind::Outcome | Kind::Refusal => (API_ACTIVITY, api(method), method),
            Kind::Auth => (AUTHENTICATION, 1, "Logon"),
            Kind::Grant if method == "session-end" => (AUTHENTICATION, 2, "Logoff"),
            Kind::Grant if method == "sign-in" => (AUTHENTICATION, 1, "Logon"),
            Kind::Grant => (AUTHENTICATION, OTHER, method),
            Kind::Approval | Kind::Secret | Kind::Trust => (ENTITY_MANAGEMENT, 3, "Update"),
            Kind::Config => (APPLICATION_LIFECYCLE, 8, "Update"),
            Kind::Spawn => (APPLICATION_LIFECYCLE, 3, "Start"),
            Kind::Retention | Kind::System => (APPLICATION_LIFECYCLE, OTHER, "Other"),
            Kind::Drift | Kind::Leak => (DETECTION_FINDING, 1, "Create"),
            Kind::Egress if refused => (NETWORK_ACTIVITY, 5, "Refuse"),
            Kind::Egress => (NETWORK_ACTIVITY, 6, "Traffic"),
            Kind::Checkpoint => (BASE, OTHER, "Checkpoint"),
        };
        let name = if name.is_empty() { "Other" } else { name };
        Class { uid, activity, name: name.to_owned() }
    }

    /// What the class wants beside what all have.
    fn objects(&self, entry: &Entry) -> Vec<(&'static str, Value)> {
        let actor = ("actor", actor(entry));
        let source = ("src_endpoint", source(entry));
        match self.uid {
            API_ACTIVITY => {
                let mut objects = vec![actor, ("api", api_object(entry)), source];
                if !entry.text("name").is_empty() {
                    let resource =
                        json!([{"type": entry.text("method"), "name": entry.text("name")}]);
                    objects.push(("resources", resource));
                }
                objects
            }
            AUTHENTICATION => {
                vec![("user", user(entry)), ("service", json!({"name": "Bartizan"})), source]
            }
            ENTITY_MANAGEMENT => {
                let name = [entry.text("server"), entry.text("name")].join("/");
                vec![actor, ("entity", json!({"type": entry.kind.as_str(), "name": name}))]
            }
            APPLICATION_LIFECYCLE if entry.kind == Kind::Spawn => {
                vec![
                    actor,
                    ("app", json!({"name": entry.text("server"), "vendor_name": "unknown"})),
                ]
            }
            APPLICATION_LIFECYCLE => vec![actor, ("app", product())],
            DETECTION_FINDING => {
                let title = match entry.kind {
                    Kind::Leak => {
                        format!("{} said the secret {}", entry.text("server"), entry.text("detail"))
                    }
                    _ => format!("{} {} changed", entry.text("server"), entry.text("name")),
                };
                vec![("finding_info", json!({"title": title, "uid": entry.seq.to_string()}))]
            }
            NETWORK_ACTIVITY => {
                let process = json!({"name": entry.text("server")});
                vec![("src_endpoint", process), ("dst_endpoint", destination(entry.text("name")))]
            }
            _ => Vec::new(),
        }
    }
}

/// Reading, changing, removing; what a tool does its name alone would tell.
fn api(method: &str) -> u32 {
    match method {
        "tools/call" => OTHER,
        "tasks/cancel" => 4,
        "tasks/update" | "logging/setLevel" => 3,
        "" => 0,
        _ => 2,
    }
}

fn user(entry: &Entry) -> Value {
    let principal = entry.text("principal");
    json!({"uid": principal, "name": principal})
}

fn actor(entry: &Entry) -> Value {
    let program = [entry.text("agent"), entry.text("client")];
    let mut actor = json!({"user": user(entry)});
    if let Some(program) = program.into_iter().find(|name| !name.is_empty()) {
        actor["app_name"] = program.into();
    }
    actor
}

fn api_object(entry: &Entry) -> Value {
    json!({
        "operation": entry.text("method"),
        "request": {"uid": entry.text("id")},
        "service": {"name": entry.text("server")},
    })
}

/// Of a host, a port and a path, or of a host alone: the endpoint. Not all hosts are names as the schema has them.
fn destination(target: &str) -> Value {
    let authority = target.split(['/', '?']).next().unwrap_or_default();
    let split =
        authority.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']'));
    let (host, port) = match split.and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)))
    {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty()
            && label.bytes().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let kind = match host {
        _ if host.parse::<IpAddr>().is_ok() => "ip",
        _ if host.split('.').all(label) => "hostname",
        _ => "name",
    };
    let mut endpoint = json!({kind: host});
    if let Some(port) = port {
        endpoint["port"] = port.into();
    }
    endpoint
}

fn source(entry: &Entry) -> Value {
    match entry.text("address") {
        "" => json!({"name": entry.text("door")}),
        address => json!({"ip": address}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_becomes_an_endpoint() {
        for (target, endpoint) in [
            ("api.example.com:443/v1/x", json!({"hostname": "api.example.com", "port": 443})),
            ("api.example.com", json!({"hostname": "api.example.com"})),
            ("203.0.113.7:80/", json!({"ip": "203.0.113.7", "port": 80})),
            ("[2001:db8::1]:443/x?y:1", json!({"ip": "2001:db8::1", "port": 443})),
            ("2001:db8::1", json!({"ip": "2001:db8::1"})),
            ("_srv.example.com:53", json!({"name": "_srv.example.com", "port": 53})),
            ("", json!({"name": ""})),
        ] {
            assert_eq!(destination(target), endpoint, "{target}");
        }
    }
}
