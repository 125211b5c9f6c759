//! What is said in answer to a message, as steps that either transport can play.

use serde_json::{Value, json, value::RawValue};

use crate::Manners;

const HUGE: usize = 100 * 1024 * 1024;
const MANY: usize = 1_000_000;
const NOISE: &str = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"noise"}}"#;

/// Members and numbers that a reader with opinions would drop or change.
const ODD_RESULT: &str = r#"{"resultType":"complete","content":[{"type":"text","text":"odd","vendor.example/block":1.10}],"structuredContent":{"big":18446744073709551617,"low":-9223372036854775809,"decimal":1.10,"wide":1E300,"tiny":1e-999,"zero":-0,"escaped":"\u00e9\/\u0007","":{"empty name":null}},"isError":false,"_meta":{"vendor.example/n":123456789012345678901234567890},"vendorTop":{"z":1,"a":[2.0,2.00]}}"#;
const ODD_TOOL: &str = r#"{"name":"odd","title":"Odd","description":"Odd numbers and vendor members","inputSchema":{"type":"object","properties":{"n":{"type":"number","maximum":1e300,"multipleOf":0.10,"x-vendor":{"k":18446744073709551617}}}},"annotations":{"readOnlyHint":true,"vendorHint":0.50},"execution":{"taskSupport":"forbidden"},"vendorMember":[1.0,1.00],"_meta":{"vendor.example/t":1.10}}"#;

const TOOLS: [&str; 12] = [
    "die",
    "duplicate",
    "env",
    "flood",
    "garbage",
    "hang",
    "headers",
    "huge",
    "quick",
    "seen",
    "trickle",
    "wrong_id",
];

pub enum Step {
    /// Closes the connection, or ends the process, at once.
    Die,
    Hang,
    /// A whole message.
    Message(String),
    /// The same message many times.
    Repeat(&'static str, usize),
    /// Bytes without the framing of the transport.
    Raw(Vec<u8>),
    /// A whole message, slowly.
    Trickle(String),
}

/// The answer to one message; none for a notification.
pub fn answer(manners: &Manners, raw: &str, headers: &str) -> Vec<Step> {
    let steps = speak(manners, raw, headers);
    if raw.contains("io.modelcontextprotocol/protocolVersion") {
        steps
    } else {
        for_handshake(steps)
    }
}

fn speak(manners: &Manners, raw: &str, headers: &str) -> Vec<Step> {
    let Ok(message) = serde_json::from_str::<Value>(raw) else { return Vec::new() };
    if message.get("id").is_none() {
        return Vec::new();
    }
    if manners.start == "mute" {
        return vec![Step::Hang];
    }
    // Numbers wider than a float must come back as they were sent.
    let id = member(raw, "id");
    let params = &message["params"];
    let result = match message["method"].as_str().unwrap_or_default() {
        "initialize" if manners.handshake => {
            let version = params["protocolVersion"].as_str().unwrap_or("2025-11-25");
            let known = if version == "2026-07-28" { "2025-11-25" } else { version };
            initialize(known)
        }
        "initialize" => {
            return error(&id, -32022, r#"{"supported":["2026-07-28"],"requested":"2025-11-25"}"#);
        }
        "server/discover" if manners.stateless => discover(),
        "ping" => "{}".into(),
        "prompts/list" => prompts(params["cursor"].as_str()),
        "tools/list" => tools(),
        "tools/call" => {
            return for_tool(params["name"].as_str().unwrap_or_default(), &id, raw, headers);
        }
        _ => return error(&id, -32601, "null"),
    };
    vec![Step::Message(reply(&id, &result))]
}

/// Takes out of an answer what did not exist before the stateless era.
fn for_handshake(steps: Vec<Step>) -> Vec<Step> {
    let strip = |message: String| {
        let message = message.replacen(r#""resultType":"complete","#, "", 1);
        message.replacen(r#","ttlMs":0,"cacheScope":"private""#, "", 1)
    };
    let strip = |step| if let Step::Message(m) = step { Step::Message(strip(m)) } else { step };
    steps.into_iter().map(strip).collect()
}

/// What is said before the first request.
pub fn at_start(how: &str) -> Vec<Step> {
    match how {
        "flood" => vec![Step::Repeat(NOISE, MANY)],
        "garbage" => vec![garbage()],
        "huge" => vec![Step::Message("x".repeat(HUGE))],
        _ => Vec::new(),
    }
}

fn for_tool(name: &str, id: &str, raw: &str, headers: &str) -> Vec<Step> {
    let fine = || Step::Message(reply(id, &text("done")));
    match name {
        "die" => vec![Step::Raw(reply(id, &text("done")).into_bytes()[..20].to_vec()), Step::Die],
        "duplicate" => {
            let result = r#"{"content":[],"content":[{"type":"text","text":"second"}]}"#;
            vec![Step::Message(reply(id, result))]
        }
        "env" => {
            let environment: Vec<String> = std::env::vars_os()
                .map(|(k, v)| format!("{}={}", k.display(), v.display()))
                .collect();
            vec![Step::Message(reply(id, &text(&environment.join("\n"))))]
        }
        "flood" => vec![Step::Repeat(NOISE, MANY), fine()],
        "garbage" => vec![garbage(), fine()],
        "hang" => vec![Step::Hang],
        "headers" => vec![Step::Message(reply(id, &text(headers)))],
        "huge" => vec![Step::Message(reply(id, &text(&"x".repeat(HUGE))))],
        "odd" => vec![Step::Message(reply(id, ODD_RESULT))],
        "quick" => vec![fine()],
        "seen" => vec![Step::Message(reply(id, &text(raw)))],
        "trickle" => vec![Step::Trickle(reply(id, &text("done")))],
        "wrong_id" => {
            let forged = |id: &str| Step::Message(reply(id, &text("forged")));
            vec![forged("987654321"), forged("\"nobody\""), forged("null"), fine()]
        }
        _ => error(id, -32602, "null"),
    }
}

fn garbage() -> Step {
    Step::Raw(
        b"\x00\xff\xfe not json\n{\n[]\n{\"jsonrpc\":\"1.0\"}\n\"\n\xf0\x28\x8c\x28\n\n".to_vec(),
    )
}

fn initialize(version: &str) -> String {
    let server = json!({ "name": "hostile", "version": "1" });
    json!({ "protocolVersion": version, "capabilities": { "prompts": {}, "tools": {} }, "serverInfo": server })
        .to_string()
}

fn discover() -> String {
    json!({
        "resultType": "complete",
        "supportedVersions": ["2026-07-28"],
        "capabilities": { "prompts": {}, "tools": {} },
        "ttlMs": 0,
        "cacheScope": "private",
        "_meta": { "io.modelcontextprotocol/serverInfo": { "name": "hostile", "version": "1" } },
    })
    .to_string()
}

fn tools() -> String {
    let plain = TOOLS.map(|name| {
        json!({ "name": name, "description": name, "inputSchema": { "type": "object" } })
            .to_string()
    });
    let tools = plain.join(",");
    format!(
        r#"{{"resultType":"complete","tools":[{ODD_TOOL},{tools}],"ttlMs":0,"cacheScope":"private","vendorList":1.10}}"#
    )
}

/// One prompt on each of three pages.
fn prompts(cursor: Option<&str>) -> String {
    let (name, next) = match cursor {
        None => ("first_page", r#","nextCursor":"page-2""#),
        Some("page-2") => ("second_page", r#","nextCursor":"page-3""#),
        Some(_) => ("third_page", ""),
    };
    format!(
        r#"{{"resultType":"complete","prompts":[{{"name":"{name}"}}]{next},"ttlMs":0,"cacheScope":"private"}}"#
    )
}

fn text(text: &str) -> String {
    let block = json!({ "type": "text", "text": text });
    format!(r#"{{"resultType":"complete","content":[{block}],"isError":false}}"#)
}

fn reply(id: &str, result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
}

fn error(id: &str, code: i32, data: &str) -> Vec<Step> {
    let message = format!(
        r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"refused","data":{data}}}}}"#
    );
    vec![Step::Message(message)]
}

/// The text of one member of an object, as it was written.
fn member(raw: &str, name: &str) -> String {
    let members = serde_json::from_str::<std::collections::HashMap<String, &RawValue>>(raw);
    members.ok().and_then(|m| m.get(name).map(|v| v.get().to_owned())).unwrap_or("null".into())
}
