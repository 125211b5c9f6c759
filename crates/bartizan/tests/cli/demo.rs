//! The demo server on its own, in both eras.

use serde_json::{Value, json};

use crate::home::Home;

fn answers(lines: &[Value]) -> Vec<Value> {
    let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let ran = Home::new().run_with_input(&["demo-server"], &input).ok();
    ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn stateless(id: u64, method: &str, mut params: Value, capabilities: Value) -> Value {
    params["_meta"] = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": capabilities});
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

#[test]
fn handshake() {
    let initialize = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18", "capabilities": {"elicitation": {}}, "clientInfo": {"name": "t", "version": "1"}}});
    let call = |id: u64, name: &str, arguments: Value| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": name, "arguments": arguments}});
    let said = answers(&[
        json!({"jsonrpc": "2.0", "id": 0, "method": "tools/list"}),
        initialize,
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        call(2, "add", json!({"a": 1, "b": 2})),
        call(3, "greet", json!({})),
        json!({"jsonrpc": "2.0", "id": "ask-1", "result": {"action": "accept", "content": {"name": "Ada"}}}),
        json!({"jsonrpc": "2.0", "id": 4, "method": "server/discover"}),
        json!({"jsonrpc": "2.0", "id": 5, "method": "ping"}),
    ]);
    assert_eq!(said[0]["error"]["code"], -32600);
    assert_eq!(said[1]["result"]["protocolVersion"], "2025-06-18");
    assert_eq!(said[2]["result"]["content"][0]["text"], "3");
    assert_eq!(
        (said[3]["method"].as_str(), said[3]["id"].as_str()),
        (Some("elicitation/create"), Some("ask-1"))
    );
    assert_eq!(
        (said[4]["id"].as_u64(), said[4]["result"]["content"][0]["text"].as_str()),
        (Some(3), Some("Hello, Ada!"))
    );
    assert_eq!(said[5]["error"]["code"], -32601);
    assert_eq!(said[6], json!({"jsonrpc": "2.0", "id": 5, "result": {}}));
}

#[test]
fn stateless_requests_need_nothing_before_them() {
    let said = answers(&[
        stateless(1, "server/discover", json!({}), json!({})),
        stateless(2, "tools/call", json!({"name": "greet"}), json!({})),
        stateless(3, "tools/call", json!({"name": "greet"}), json!({"elicitation": {}})),
        stateless(
            4,
            "tools/call",
            json!({"name": "greet", "inputResponses": {"name": {"action": "accept", "content": {"name": "Ada"}}}}),
            json!({"elicitation": {}}),
        ),
        stateless(5, "tools/call", json!({"name": "fly"}), json!({})),
        json!({"jsonrpc": "2.0", "id": 6, "method": "tools/list", "params": {"_meta": {"io.modelcontextprotocol/protocolVersion": "2027-01-01"}}}),
    ]);
    assert_eq!(said[0]["result"]["supportedVersions"], json!(["2026-07-28"]));
    assert_eq!(said[1]["error"]["code"], -32021);
    assert_eq!(said[2]["result"]["resultType"], "input_required");
    assert_eq!(said[3]["result"]["content"][0]["text"], "Hello, Ada!");
    assert_eq!(said[4]["error"]["code"], -32602);
    assert_eq!(said[5]["error"]["code"], -32022);
}
