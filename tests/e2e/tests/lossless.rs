//! What is allowed passes byte for byte, what belongs to one hop stays on it, and a message that two
//! readers could read in two ways is refused.

use e2e::{Client, Era, Gateway, Upstream, binary};
use http::StatusCode;
use serde_json::{Value, json};

/// What the hostile fixture's `odd` tool returns, in parts that must come through as they are.
const ODD: [&str; 5] = [
    r#""structuredContent":{"big":18446744073709551617,"low":-9223372036854775809,"decimal":1.10,"wide":1E300,"tiny":1e-999,"zero":-0,"escaped":"\u00e9\/\u0007","":{"empty name":null}}"#,
    r#"{"type":"text","text":"odd","vendor.example/block":1.10}"#,
    r#""vendor.example/n":123456789012345678901234567890"#,
    r#""vendorTop":{"z":1,"a":[2.0,2.00]}"#,
    r#""isError":false"#,
];

/// The same of its definition. A handshake client may not get what its era does not know.
const ODD_TOOL: [&str; 5] = [
    r#""inputSchema":{"type":"object","properties":{"n":{"type":"number","maximum":1e300,"multipleOf":0.10,"x-vendor":{"k":18446744073709551617}}}}"#,
    r#""annotations":{"readOnlyHint":true,"vendorHint":0.50}"#,
    r#""vendorMember":[1.0,1.00]"#,
    r#""vendor.example/t":1.10"#,
    r#""title":"Odd""#,
];

/// Arguments that a reader with opinions would change.
const ODD_ARGUMENTS: &str = r#"{"n":1.10,"m":18446744073709551617,"e":1E300,"s":"\u00e9\/","z":{"b":[ 1 , 2.00 ],"a":null},"":0}"#;

async fn gateway(transport: &str, era: &str) -> (Gateway, Option<Upstream>) {
    if transport == "http" {
        let upstream = Upstream::fixture("hostile", &["--era", era]).await;
        let url = &upstream.url;
        let configuration =
            format!("[servers.odd]\nurl = \"{url}\"\nallow-private = true\ntimeout = \"5s\"\n");
        return (Gateway::start(&configuration).await, Some(upstream));
    }
    let command = binary("hostile");
    let configuration = format!(
        "[servers.odd]\ncommand = {command:?}\nargs = [\"stdio\", \"--era\", \"{era}\"]\ntimeout = \"5s\"\n"
    );
    (Gateway::start(&configuration).await, None)
}

/// Sends a call whose arguments are written as given, and returns the whole answer as it was written.
async fn call_raw(client: &Client, tool: &str, arguments: &str) -> String {
    let name = json!({ "name": tool });
    let params = client.with_meta(name).to_string();
    let params = format!(r#"{},"arguments":{arguments}}}"#, params.strip_suffix('}').unwrap());
    let mut reply = client.prepare_raw("\"odd id\"", "tools/call", &params).send().await;
    reply.next_text().await.unwrap()
}

async fn nothing_is_lost(transport: &str, upstream: &str, era: Era) {
    let (gateway, _upstream) = gateway(transport, upstream).await;
    for (path, prefix) in [("/mcp/odd", ""), ("/mcp", "odd__")] {
        let client = Client::connect(&gateway.address, path, era).await;

        let list = client.send("tools/list", json!({})).await.next_text().await.unwrap();
        for part in ODD_TOOL {
            assert!(list.contains(part), "{path}: {part} is not in {list}");
        }

        let answer = call_raw(&client, &format!("{prefix}odd"), "{}").await;
        for part in ODD {
            assert!(answer.contains(part), "{path}: {part} is not in {answer}");
        }
        assert!(answer.contains(r#""id":"odd id""#), "{answer}");

        let answer = call_raw(&client, &format!("{prefix}seen"), ODD_ARGUMENTS).await;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let seen = answer["result"]["content"][0]["text"].as_str().unwrap();
        let arguments = format!(r#""arguments":{ODD_ARGUMENTS}"#);
        assert!(seen.contains(&arguments), "{path}: {arguments} is not in {seen}");
    }
}

#[tokio::test]
async fn nothing_is_lost_from_handshake_to_handshake() {
    nothing_is_lost("stdio", "handshake", Era::Handshake).await;
    nothing_is_lost("http", "handshake", Era::Handshake).await;
}

#[tokio::test]
async fn nothing_is_lost_from_handshake_to_stateless() {
    nothing_is_lost("stdio", "stateless", Era::Handshake).await;
    nothing_is_lost("http", "stateless", Era::Handshake).await;
}

#[tokio::test]
async fn nothing_is_lost_from_stateless_to_handshake() {
    nothing_is_lost("stdio", "handshake", Era::Stateless).await;
    nothing_is_lost("http", "handshake", Era::Stateless).await;
}

#[tokio::test]
async fn nothing_is_lost_from_stateless_to_stateless() {
    nothing_is_lost("stdio", "stateless", Era::Stateless).await;
    nothing_is_lost("http", "stateless", Era::Stateless).await;
}

#[tokio::test]
async fn a_clients_secrets_stay_with_the_gateway() {
    for upstream in ["handshake", "stateless"] {
        let (gateway, _upstream) = gateway("http", upstream).await;
        let token = gateway.token("somebody").await;
        for era in Era::ALL {
            let client = Client::connect_as(&gateway.address, "/mcp/odd", era, Some(&token)).await;
            let params = client.with_meta(json!({ "name": "headers", "arguments": {} }));
            let mut request = client.prepare("tools/call", params);
            for name in ["cookie", "x-api-key", "proxy-authorization", "forwarded", "x-custom"] {
                request = request.header(name, "a-clients-secret");
            }
            request = request.header("authorization", &format!("Bearer {token}"));
            let answer = request.send().await.next().await.unwrap();
            let text = answer["result"]["content"][0]["text"].as_str();
            let seen = text.unwrap_or_else(|| panic!("{answer}"));
            assert!(!seen.contains("a-clients-secret"), "{upstream}, {era:?}: {seen}");
            assert!(!seen.contains(&token), "{upstream}, {era:?}: {seen}");
            assert!(!seen.to_lowercase().contains("authorization"), "{upstream}, {era:?}: {seen}");
            if let Some(session) = client.session {
                assert!(!seen.contains(&session), "{upstream}: the session id got through: {seen}");
            }
        }
    }
}

#[tokio::test]
async fn the_credential_reaches_the_upstream_and_nobody_else() {
    let upstream = Upstream::fixture("hostile", &[]).await;
    let url = &upstream.url;
    let configuration = format!(
        r#"
        [trust]
        on-first-use = "approve"
        [identity]
        loopback = "open"
        [servers.odd]
        url = "{url}"
        allow-private = true
        [servers.odd.credential]
        header = "Authorization"
        value = "Bearer ${{env:REMOTE_TOKEN}}"
        "#
    );
    let gateway =
        Gateway::start_with(&configuration, &[("REMOTE_TOKEN", "the-upstreams-secret")]).await;
    for era in Era::ALL {
        let client = gateway.client_of("odd", era).await;
        let seen = client.call_text("headers", json!({})).await.to_lowercase();
        // It was there, and is masked on its way back.
        assert!(seen.contains("authorization: bearer [secret]"), "{seen}");
    }
    assert!(!gateway.log().contains("the-upstreams-secret"));
    for file in walk(&gateway.folder()) {
        let text = std::fs::read(&file).unwrap_or_default();
        let found = text.windows(20).any(|part| part == b"the-upstreams-secret");
        assert!(!found, "the credential is in {}", file.display());
    }
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn a_child_does_not_inherit_the_environment() {
    let command = binary("hostile");
    let configuration = format!(
        r#"
        [trust]
        on-first-use = "approve"
        [identity]
        loopback = "open"
        [servers.odd]
        command = {command:?}
        args = ["stdio"]
        env = {{ GIVEN = "${{env:ANOTHER}}" }}
        "#
    );
    let environment = [("GATEWAY_SECRET", "not for children"), ("ANOTHER", "for this child")];
    let gateway = Gateway::start_with(&configuration, &environment).await;
    let seen = gateway.client_of("odd", Era::Stateless).await.call_text("env", json!({})).await;
    // It was given, and nobody is told.
    assert!(seen.contains("GIVEN=[secret]"), "{seen}");
    assert!(!seen.contains("not for children"), "{seen}");
    assert!(!seen.contains("BARTIZAN"), "{seen}");
}

#[tokio::test]
async fn replies_to_nobodys_request_are_never_taken() {
    for upstream in ["handshake", "stateless"] {
        let (gateway, _upstream) = gateway("stdio", upstream).await;
        let client = gateway.client_of("odd", Era::Stateless).await;
        assert_eq!(client.call_text("wrong_id", json!({})).await, "done", "{upstream}");
    }
    // A response to one HTTP request belongs to that request: there it is the server's fault.
    let (gateway, _upstream) = gateway("http", "stateless").await;
    let client = gateway.client_of("odd", Era::Stateless).await;
    let answer = client.call("wrong_id", json!({})).await;
    assert!(!answer.to_string().contains("forged"), "{answer}");
}

#[tokio::test]
async fn a_result_with_a_name_twice_is_refused() {
    for transport in ["stdio", "http"] {
        let (gateway, _upstream) = gateway(transport, "stateless").await;
        let client = gateway.client_of("odd", Era::Stateless).await;
        let answer = client.call("duplicate", json!({})).await;
        assert!(answer.get("error").is_some(), "{transport}: {answer}");
        assert_eq!(client.call_text("quick", json!({})).await, "done", "{transport}");
    }
}

#[tokio::test]
async fn host_and_origin_are_checked_separately() {
    let (gateway, _upstream) = gateway("stdio", "stateless").await;
    for era in Era::ALL {
        let client = gateway.client_of("odd", era).await;
        let request = || client.prepare("tools/list", json!({}));
        assert_eq!(request().send().await.status, StatusCode::OK);
        let origin = request().header("origin", "http://evil.example").send().await;
        assert_eq!(origin.status, StatusCode::FORBIDDEN, "a foreign Origin, {era:?}");
        let null = request().header("origin", "null").send().await;
        assert_eq!(null.status, StatusCode::FORBIDDEN, "Origin null, {era:?}");
        let host = request().header("host", "evil.example").send().await;
        let refused = [StatusCode::FORBIDDEN, StatusCode::MISDIRECTED_REQUEST];
        assert!(refused.contains(&host.status), "a foreign Host: {}", host.status);
        let own = request().header("origin", &gateway.url("")).send().await;
        assert_eq!(own.status, StatusCode::OK, "its own Origin, {era:?}");
    }
}

/// Bodies that two readers could read in two ways, or that no reader should read.
#[tokio::test]
async fn ambiguous_bodies_are_refused() {
    let (gateway, _upstream) = gateway("stdio", "stateless").await;
    let client = gateway.client_of("odd", Era::Stateless).await;
    let meta = client.with_meta(json!({}))["_meta"].to_string();
    let call = |middle: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{{middle},"_meta":{meta}}}}}"#
        )
    };
    let deep =
        format!(r#""name":"quick","arguments":{{"a":{}{}}}"#, "[".repeat(500), "]".repeat(500));
    let bodies = [
        call(r#""name":"quick","name":"env""#),
        call(r#""name":"quick","arguments":{"a":1,"a":2}"#),
        call(r#""name":"quick","arguments":{"a":{"b":[{"c":1,"c":2}]}}"#),
        call(r#""name":"quick","arguments":{"a":1,"\u0061":2}"#),
        call(r#""name":"quick","arguments":{"a":"\ud800"}"#),
        call(r#""name":"quick","arguments":{"a":01}"#),
        call(r#""name":"quick","arguments":{"a":1,}"#),
        call(r#""name":"quick","arguments":{"a":1e400}"#),
        call(&deep),
        call(r#""name":"quick""#).replacen(r#""id":1"#, r#""id":1,"id":2"#, 1),
        call(r#""name":"quick""#).replacen(r#""id":1"#, r#""id":null"#, 1),
        call(r#""name":"quick""#).replacen(
            r#""method":"tools/call""#,
            r#""method":"tools/call","method":"tools/list""#,
            1,
        ),
        call(r#""name":"quick""#) + "{}",
        format!("[{}]", call(r#""name":"quick""#)),
        "\u{feff}".to_owned() + &call(r#""name":"quick""#),
    ];
    for body in bodies {
        let request =
            client.post(&body).header("mcp-method", "tools/call").header("mcp-name", "quick");
        let mut reply = request.send().await;
        let text = reply.text().await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{body}\n{text}");
        assert!(text.contains("-32700") || text.contains("-32600"), "{body}\n{text}");
    }
    let mut not_utf8 = call(r#""name":"quick","arguments":{"a":"?"}"#).into_bytes();
    let at = not_utf8.iter().position(|byte| *byte == b'?').unwrap();
    not_utf8[at] = 0xff;
    let request = e2e::Request::post(&gateway.address, "/mcp/odd", not_utf8)
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/call")
        .header("mcp-name", "quick");
    assert_eq!(request.send().await.status, StatusCode::BAD_REQUEST);
}

/// A name in another case is another name: it is never taken for the one it resembles.
#[tokio::test]
async fn names_are_never_folded() {
    let (gateway, _upstream) = gateway("stdio", "stateless").await;
    let client = gateway.client_of("odd", Era::Stateless).await;
    let with_meta = client.with_meta(json!({ "Name": "env", "name": "quick", "Arguments": {} }));
    let answer = client.request("tools/call", with_meta).await;
    assert_eq!(answer["result"]["content"][0]["text"], "done", "{answer}");
    let body = client.with_meta(json!({ "Name": "env" }));
    let answer = client.request("tools/call", body).await;
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
    let answer = client.call("QUICK", json!({})).await;
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
    let body = json!({ "jsonrpc": "2.0", "id": 1, "Method": "tools/list", "params": client.with_meta(json!({})) });
    let reply = client.post(&body.to_string()).header("mcp-method", "tools/list").send().await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn headers_must_say_what_the_body_says() {
    let (gateway, _upstream) = gateway("stdio", "stateless").await;
    let client = gateway.client_of("odd", Era::Stateless).await;
    let call = || client.prepare("tools/call", json!({ "name": "quick", "arguments": {} }));
    assert_eq!(call().send().await.status, StatusCode::OK);
    let encoded = call().header("mcp-name", "=?base64?cXVpY2s=?=").send().await;
    assert_eq!(encoded.status, StatusCode::OK, "an encoded name is the name");
    let wrong = [
        call().header("mcp-name", "env"),
        call().header("mcp-name", "QUICK"),
        call().header("mcp-name", "=?base64?!!?="),
        call().without("mcp-name"),
        call().also_header("mcp-name", "env"),
        call().header("mcp-method", "tools/list"),
        call().header("mcp-method", "TOOLS/CALL"),
        call().without("mcp-method"),
        call().header("mcp-protocol-version", "2025-11-25"),
        call().without("mcp-protocol-version"),
        call().also_header("mcp-protocol-version", "2025-11-25"),
    ];
    for request in wrong {
        let said = format!("{request:?}");
        let mut reply = request.send().await;
        let text = reply.text().await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{said}\n{text}");
        assert!(text.contains("-32020"), "{said}\n{text}");
    }
    let unknown = call().header("mcp-protocol-version", "2099-01-01").send().await;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST);
}

/// The argument that a tool mirrors in a header must be there too.
#[tokio::test]
async fn mirrored_arguments_are_compared() {
    let upstream = Upstream::fixture("everything", &["--era", "stateless"]).await;
    let url = &upstream.url;
    let gateway =
        Gateway::start(&format!("[servers.one]\nurl = \"{url}\"\nallow-private = true\n")).await;
    let client = gateway.client_of("one", Era::Stateless).await;
    client.tools().await;
    let call = |value: &str| {
        let arguments = json!({ "value": value });
        client
            .prepare("tools/call", json!({ "name": "test_custom_header", "arguments": arguments }))
    };
    let mut right =
        call("Zürich").header("mcp-param-value", "=?base64?WsO8cmljaA==?=").send().await;
    let answer = right.next().await.unwrap();
    assert_eq!(answer["result"]["content"][0]["text"], "Zürich", "{answer}");
    let twice = || call("a").header("mcp-param-value", "a");
    for wrong in [
        call("a").header("mcp-param-value", "b"),
        call("a"),
        twice().also_header("mcp-param-value", "b"),
    ] {
        let mut reply = wrong.send().await;
        let text = reply.text().await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{text}");
        assert!(text.contains("-32020"), "{text}");
    }
}
