//! Each feature in each cell: clients of both eras, in front of servers of both eras on both
//! transports, through the door of one server and through the door of all.

use e2e::{Client, Era, Gateway, Upstream, binary, eventually};
use serde_json::{Value, json};

/// The servers, by transport and era.
const SERVERS: [&str; 4] = ["http-old", "http-new", "stdio-old", "stdio-new"];

struct Cells {
    gateway: Gateway,
    _upstreams: [Upstream; 2],
}

/// One door of one server, in one era.
struct Cell {
    client: Client,
    server: &'static str,
    /// What stands before names, and before URIs.
    prefixes: (String, String),
    name: String,
}

impl Cells {
    async fn start() -> Self {
        let old = Upstream::fixture("everything", &["--era", "handshake"]).await;
        let new = Upstream::fixture("everything", &["--era", "stateless"]).await;
        let (old_url, new_url, command) = (&old.url, &new.url, binary("everything"));
        let gateway = Gateway::start(&format!(
            r#"
            [servers.http-old]
            url = "{old_url}"
            allow-private = true
            [servers.http-new]
            url = "{new_url}"
            allow-private = true
            [servers.stdio-old]
            command = {command:?}
            args = ["stdio", "--era", "handshake"]
            [servers.stdio-new]
            command = {command:?}
            args = ["stdio", "--era", "stateless"]
            "#
        ))
        .await;
        Self { gateway, _upstreams: [old, new] }
    }

    /// Does something in every cell of an era, one after the other.
    async fn each(era: Era, test: impl AsyncFn(&Cell)) {
        let cells = Self::start().await;
        for server in SERVERS {
            let single = (format!("/mcp/{server}"), String::new(), String::new());
            let all = ("/mcp".to_owned(), format!("{server}__"), format!("{server}+"));
            for (path, name_prefix, uri_prefix) in [single, all] {
                let name = format!("{era:?} client at {path} of {server}");
                println!("{name}");
                let client = Client::connect(&cells.gateway.address, &path, era).await;
                let prefixes = (name_prefix, uri_prefix);
                test(&Cell { client, server, prefixes, name }).await;
            }
        }
    }
}

impl Cell {
    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefixes.0)
    }

    fn uri(&self, uri: &str) -> String {
        format!("{}{uri}", self.prefixes.1)
    }

    async fn call(&self, tool: &str, arguments: Value) -> Value {
        self.client.call(&self.name(tool), arguments).await
    }

    async fn ask(&self, tool: &str, arguments: Value) -> String {
        self.client.call_answering(&self.name(tool), arguments, answer).await
    }
}

/// What this client says when it is asked.
fn answer(method: &str, params: &Value) -> Value {
    match method {
        "elicitation/create" => {
            let wanted =
                params["requestedSchema"]["properties"].as_object().cloned().unwrap_or_default();
            let content = wanted.iter().map(|(field, schema)| {
                let value = if schema["type"] == "boolean" { json!(true) } else { json!("Ada") };
                (field.clone(), value)
            });
            json!({ "action": "accept", "content": content.collect::<Value>() })
        }
        "sampling/createMessage" => {
            let asked = params["messages"][0]["content"]["text"].as_str().unwrap_or_default();
            let text = format!("You said {asked}");
            json!({ "role": "assistant", "model": "none", "content": { "type": "text", "text": text } })
        }
        "roots/list" => json!({ "roots": [{ "uri": "file:///home/ada" }] }),
        other => panic!("asked for {other}"),
    }
}

async fn questions(cell: &Cell) {
    let name = &cell.name;
    let said = cell.ask("test_elicitation", json!({ "message": "Who?" })).await;
    assert!(
        said.contains("action=accept") && said.contains(r#""username":"Ada""#),
        "{name}: {said}"
    );
    let said = cell.ask("test_sampling", json!({ "prompt": "hi" })).await;
    assert_eq!(said, "LLM response: You said hi", "{name}");
    let said = cell.ask("test_input_required_result_list_roots", json!({})).await;
    assert!(said.contains("file:///home/ada"), "{name}: {said}");
    let said = cell.ask("test_input_required_result_multi_round", json!({})).await;
    assert_eq!(said, r#""Ada" likes "Ada""#, "{name}");
    let said = cell.ask("test_input_required_result_multiple_inputs", json!({})).await;
    assert_eq!(said, "All three questions answered", "{name}");
    let said = cell.ask("test_input_required_result_request_state", json!({})).await;
    assert_eq!(said, "Confirmed: state-ok", "{name}");

    let prompt = json!({ "name": cell.name("test_input_required_result_prompt") });
    let got = cell.client.request_answering("prompts/get", prompt, answer).await;
    assert_eq!(got["result"]["messages"][0]["content"]["text"], r#"Use "Ada""#, "{name}: {got}");

    let no = |_: &str, _: &Value| json!({ "action": "decline" });
    let tool = cell.name("test_elicitation");
    let said = cell.client.call_answering(&tool, json!({ "message": "Who?" }), no).await;
    assert!(said.contains("action=decline"), "{name}: {said}");
}

async fn progress(cell: &Cell) {
    for token in [json!("a token"), json!(7), json!(0)] {
        let params = json!({
            "name": cell.name("test_tool_with_progress"),
            "arguments": {},
            "_meta": { "progressToken": token },
        });
        let mut reply = cell.client.send("tools/call", params).await;
        let mut reports = Vec::new();
        loop {
            let message = reply.next().await.unwrap_or_else(|| panic!("{}: no answer", cell.name));
            if message.get("method").is_none() {
                break;
            }
            assert_eq!(message["method"], "notifications/progress", "{message}");
            assert_eq!(message["params"]["progressToken"], token, "{}: {message}", cell.name);
            reports.push(message["params"]["progress"].as_f64().unwrap());
        }
        assert_eq!(reports, [0.0, 50.0, 100.0], "{}", cell.name);
    }
}

/// Calls the logging tool and counts what it logs.
async fn logged(cell: &Cell, level: Option<&str>) -> usize {
    let mut params = json!({ "name": cell.name("test_tool_with_logging"), "arguments": {} });
    if let Some(level) = level {
        if cell.client.era == Era::Stateless {
            params["_meta"]["io.modelcontextprotocol/logLevel"] = json!(level);
        } else {
            let set = cell.client.request("logging/setLevel", json!({ "level": level })).await;
            assert!(set.get("result").is_some(), "{}: {set}", cell.name);
        }
    }
    let mut reply = cell.client.send("tools/call", params).await;
    let mut count = 0;
    while let Some(message) = reply.next().await {
        if message["method"] == "notifications/message" {
            assert_eq!(message["params"]["level"], "info", "{message}");
            count += 1;
        }
    }
    count
}

async fn logs(cell: &Cell) {
    assert_eq!(logged(cell, Some("info")).await, 3, "{} at info", cell.name);
    assert_eq!(logged(cell, Some("error")).await, 0, "{} at error", cell.name);
    assert_eq!(logged(cell, Some("debug")).await, 3, "{} at debug", cell.name);
    if cell.client.era == Era::Stateless {
        assert_eq!(logged(cell, None).await, 0, "{} without a level", cell.name);
    }
}

async fn cancellation(cell: &Cell) {
    let count = async || {
        let answer = cell.call("cancelled_count", json!({})).await;
        answer["result"]["content"][0]["text"].as_str().unwrap().parse::<u32>().unwrap()
    };
    let before = count().await;
    let params = json!({
        "name": cell.name("slow"),
        "arguments": { "ms": 600_000 },
        "_meta": { "progressToken": "begun" },
    });
    let params = cell.client.with_meta(params).to_string();
    let request = cell.client.prepare_raw("\"to be cancelled\"", "tools/call", &params);
    let mut reply = request.send().await;
    let begun = reply.next().await.unwrap_or_else(|| panic!("{}: no answer", cell.name));
    assert_eq!(begun["method"], "notifications/progress", "{}: {begun}", cell.name);
    if cell.client.era == Era::Stateless {
        drop(reply);
    } else {
        let params = json!({ "requestId": "to be cancelled", "reason": "a test" });
        cell.client.notify("notifications/cancelled", params).await;
    }
    eventually(&format!("{}: cancelled", cell.name), async || count().await == before + 1).await;
}

async fn changes(cell: &Cell) {
    let name = &cell.name;
    let uri = cell.uri("test://watched-resource");
    let mut stream = cell.client.listen(&[&uri]).await;
    let mut next = async |method: &str| loop {
        let message = stream.next().await.unwrap_or_else(|| panic!("{name}: the stream ended"));
        if message["method"] == method {
            return message;
        }
        // Another server behind the same door may have a change of its own to tell.
        assert!(
            message["method"].as_str().is_some_and(|m| m.ends_with("list_changed")),
            "{message}"
        );
    };
    cell.call("test_trigger_tool_change", json!({})).await;
    next("notifications/tools/list_changed").await;
    cell.call("test_trigger_prompt_change", json!({})).await;
    next("notifications/prompts/list_changed").await;
    cell.call("test_trigger_resource_update", json!({ "uri": "test://static-text" })).await;
    cell.call("test_trigger_resource_update", json!({ "uri": "test://watched-resource" })).await;
    let updated = next("notifications/resources/updated").await;
    assert_eq!(updated["params"]["uri"], uri, "{name}: {updated}");
    if cell.client.era == Era::Handshake {
        let answer = cell.client.request("resources/unsubscribe", json!({ "uri": uri })).await;
        assert!(answer.get("result").is_some(), "{name}: {answer}");
        assert!(
            updated["params"].pointer("/_meta/io.modelcontextprotocol~1subscriptionId").is_none()
        );
    } else {
        let tag = &updated["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"];
        assert!(!tag.is_null(), "{name}: {updated}");
    }
}

async fn content(cell: &Cell) {
    let (client, name) = (&cell.client, &cell.name);
    let read =
        async |uri: &str| client.request("resources/read", json!({ "uri": cell.uri(uri) })).await;
    let text = read("test://static-text").await;
    assert_eq!(
        text["result"]["contents"][0]["uri"],
        cell.uri("test://static-text"),
        "{name}: {text}"
    );
    let made = read("test://template/7/data").await;
    assert!(
        made["result"]["contents"][0]["text"].as_str().unwrap().contains("Data for ID: 7"),
        "{made}"
    );
    let missing = read("test://nothing").await;
    let code = if client.era == Era::Stateless { -32602 } else { -32002 };
    assert_eq!(missing["error"]["code"], code, "{name}: {missing}");

    let templates = client.request("resources/templates/list", json!({})).await.to_string();
    assert!(templates.contains(&cell.uri("test://template/{id}/data")), "{name}: {templates}");
    let embedded = cell.call("test_embedded_resource", json!({})).await;
    let uri = &embedded["result"]["content"][0]["resource"]["uri"];
    assert_eq!(*uri, cell.uri("test://embedded-resource"), "{name}: {embedded}");

    let arguments = json!({ "arg1": "a", "arg2": "b" });
    let prompt = json!({ "name": cell.name("test_prompt_with_arguments"), "arguments": arguments });
    let got = client.request("prompts/get", prompt).await;
    let said = "Prompt with arguments: arg1='a', arg2='b'";
    assert_eq!(got["result"]["messages"][0]["content"]["text"], said, "{name}: {got}");

    let prompt = json!({ "type": "ref/prompt", "name": cell.name("test_prompt_with_arguments") });
    let template = json!({ "type": "ref/resource", "uri": cell.uri("test://template/{id}/data") });
    for reference in [prompt, template] {
        let argument = json!({ "name": "arg1", "value": "par" });
        let params = json!({ "ref": reference, "argument": argument });
        let done = client.request("completion/complete", params).await;
        assert_eq!(
            done["result"]["completion"]["values"],
            json!(["paris", "park", "party"]),
            "{name}: {done}"
        );
    }
}

async fn failures(cell: &Cell) {
    let (client, name) = (&cell.client, &cell.name);
    let failed = cell.call("test_error_handling", json!({})).await;
    assert_eq!(failed["result"]["isError"], true, "{name}: {failed}");
    let unknown = cell.call("no_such_tool", json!({})).await;
    assert_eq!(unknown["error"]["code"], -32602, "{name}: {unknown}");
    let unknown = client.request("prompts/get", json!({ "name": cell.name("none") })).await;
    assert_eq!(unknown["error"]["code"], -32602, "{name}: {unknown}");
    let unknown = client.request("no/such/method", json!({})).await;
    assert_eq!(unknown["error"]["code"], -32601, "{name}: {unknown}");
    // Whatever the server's era, nothing of one leaks into the other.
    let listed = client.request("tools/list", json!({})).await;
    let is_stateless = client.era == Era::Stateless;
    for member in ["resultType", "ttlMs", "cacheScope"] {
        assert_eq!(listed["result"].get(member).is_some(), is_stateless, "{name}: {member}");
    }
    let same = cell.server.ends_with("new") == is_stateless;
    println!("{name}: same era {same}");
    if !is_stateless {
        let pong = client.request("ping", json!({})).await;
        assert_eq!(pong["result"], json!({}), "{name}: {pong}");
    }
}

#[tokio::test]
async fn questions_to_handshake_clients() {
    Cells::each(Era::Handshake, questions).await;
}

#[tokio::test]
async fn questions_to_stateless_clients() {
    Cells::each(Era::Stateless, questions).await;
}

#[tokio::test]
async fn progress_to_handshake_clients() {
    Cells::each(Era::Handshake, progress).await;
}

#[tokio::test]
async fn progress_to_stateless_clients() {
    Cells::each(Era::Stateless, progress).await;
}

#[tokio::test]
async fn logs_to_handshake_clients() {
    Cells::each(Era::Handshake, logs).await;
}

#[tokio::test]
async fn logs_to_stateless_clients() {
    Cells::each(Era::Stateless, logs).await;
}

#[tokio::test]
async fn cancellation_by_handshake_clients() {
    Cells::each(Era::Handshake, cancellation).await;
}

#[tokio::test]
async fn cancellation_by_stateless_clients() {
    Cells::each(Era::Stateless, cancellation).await;
}

#[tokio::test]
async fn changes_to_handshake_clients() {
    Cells::each(Era::Handshake, changes).await;
}

#[tokio::test]
async fn changes_to_stateless_clients() {
    Cells::each(Era::Stateless, changes).await;
}

#[tokio::test]
async fn content_for_handshake_clients() {
    Cells::each(Era::Handshake, content).await;
}

#[tokio::test]
async fn content_for_stateless_clients() {
    Cells::each(Era::Stateless, content).await;
}

#[tokio::test]
async fn failures_for_handshake_clients() {
    Cells::each(Era::Handshake, failures).await;
}

#[tokio::test]
async fn failures_for_stateless_clients() {
    Cells::each(Era::Stateless, failures).await;
}
