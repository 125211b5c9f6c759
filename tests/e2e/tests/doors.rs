//! The other doors: the pair of endpoints of 2024-11-05, and standard input and output. And what
//! happens to all of them when the gateway restarts, or its configuration changes.

use e2e::{Client, Era, Gateway, Reply, Request, binary, eventually, python, run, source};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::process::Command;

async fn gateway() -> Gateway {
    let command = binary("everything");
    Gateway::start(&format!(
        r#"
        [servers.new]
        command = {command:?}
        args = ["stdio", "--era", "stateless"]
        [servers.old]
        command = {command:?}
        args = ["stdio", "--era", "handshake"]
        "#
    ))
    .await
}

/// A client of the transport of 2024-11-05.
struct Sse<'a> {
    gateway: &'a Gateway,
    stream: Reply,
    endpoint: String,
}

impl<'a> Sse<'a> {
    async fn connect(gateway: &'a Gateway, path: &str) -> Self {
        let request = Request::new(Method::GET, &gateway.address, path);
        let mut stream = request.header("accept", "text/event-stream").send().await;
        assert_eq!(stream.status, StatusCode::OK, "{path}");
        let event = stream.event().await.unwrap();
        assert!(event.contains("event: endpoint"), "{event}");
        let data = event.lines().find_map(|line| line.strip_prefix("data:")).unwrap().trim();
        let own = gateway.url("");
        let endpoint = data.strip_prefix(&own).unwrap_or(data).to_owned();
        let mut client = Self { gateway, stream, endpoint };
        let params = json!({
            "protocolVersion": "2024-11-05",
            "capabilities": {},
            "clientInfo": { "name": "e2e", "version": "1" },
        });
        let answer = client.request("initialize", params).await;
        assert_eq!(answer["result"]["protocolVersion"], "2024-11-05", "{answer}");
        client.post(json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
        client
    }

    async fn post(&self, message: Value) {
        let body = message.to_string();
        let reply = Request::post(&self.gateway.address, &self.endpoint, body).send().await;
        assert_eq!(reply.status, StatusCode::ACCEPTED, "{message}");
    }

    async fn request(&mut self, method: &str, params: Value) -> Value {
        self.post(json!({ "jsonrpc": "2.0", "id": method, "method": method, "params": params }))
            .await;
        loop {
            let message = self.stream.next().await.expect("an answer on the stream");
            if message["id"] == method && message.get("method").is_none() {
                return message;
            }
        }
    }
}

#[tokio::test]
async fn the_pair_of_2024() {
    let gateway = gateway().await;
    for (path, tools) in [
        ("/sse", ["new__echo", "old__echo"]),
        ("/sse/new", ["echo", "echo"]),
        ("/sse/old", ["echo", "echo"]),
    ] {
        let mut client = Sse::connect(&gateway, path).await;
        for tool in tools {
            let list = client.request("tools/list", json!({})).await;
            let listed = list["result"]["tools"].as_array().unwrap();
            assert!(listed.iter().any(|t| t["name"] == tool), "{path}: {tool}");
            let call = json!({ "name": tool, "arguments": { "text": "hello" } });
            let answer = client.request("tools/call", call).await;
            assert_eq!(answer["result"]["content"][0]["text"], "hello", "{path}: {answer}");
        }
    }
}

#[tokio::test]
async fn the_endpoint_ends_with_its_stream() {
    let gateway = gateway().await;
    let client = Sse::connect(&gateway, "/sse").await;
    let endpoint = client.endpoint.clone();
    drop(client);
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }).to_string();
    eventually("the endpoint is gone", async || {
        let reply = Request::post(&gateway.address, &endpoint, message.clone()).send().await;
        reply.status == StatusCode::NOT_FOUND
    })
    .await;
}

async fn through_stdio(program: &mut Command) -> Value {
    let output = run(program).await;
    serde_json::from_str(&output).unwrap_or_else(|e| panic!("{e}: {output}"))
}

#[tokio::test]
async fn standard_input_and_output() {
    let mut gateway = gateway().await;
    let folder = gateway.folder();
    for running in [true, false] {
        if !running {
            gateway.stop().await;
        }
        for server in ["new", "old"] {
            for mode in ["legacy", "auto"] {
                let mut client = Command::new(python("python"));
                client
                    .arg(source("clients/stdio.py"))
                    .arg(mode)
                    .arg(binary("bartizan"))
                    .arg("--config")
                    .arg(folder.join("bartizan.toml"))
                    .arg("--state-dir")
                    .arg(folder.join("state"))
                    .args(["stdio", "--server", server])
                    .env("HOME", &folder);
                let seen = through_stdio(&mut client).await;
                let what = format!("{server}, {mode}, running: {running}");
                assert_eq!(seen["echo"], "hello", "{what}: {seen}");
                assert_eq!(seen["elicited"], "Hello, Ada!", "{what}: {seen}");
            }
        }
    }
}

#[tokio::test]
async fn a_restart_ends_sessions_and_nothing_else() {
    let gateway = gateway().await;
    let token = gateway.token("ada").await;
    let old = Client::connect_as(&gateway.address, "/mcp", Era::Handshake, Some(&token)).await;
    let session = old.session.clone().unwrap();
    let gateway = gateway.restart().await;
    let mut client =
        Client::connect_as(&gateway.address, "/mcp", Era::Handshake, Some(&token)).await;
    assert_eq!(client.call_text("new__echo", json!({ "text": "hi" })).await, "hi");
    client.session = Some(session);
    let reply = client.prepare("tools/list", json!({})).send().await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_changed_configuration_is_taken_up_and_a_broken_one_is_not() {
    let gateway = gateway().await;
    let client = gateway.client(Era::Stateless).await;
    let command = binary("everything");
    let offers = async |tool: &str| client.tools().await.iter().any(|name| name == tool);
    assert!(offers("old__echo").await && !offers("third__echo").await);

    gateway.configure(&format!("[servers.third]\ncommand = {command:?}\nargs = [\"stdio\"]\n"));
    eventually("the new server is there", async || offers("third__echo").await).await;
    assert!(!offers("old__echo").await, "the server that was taken out is still there");

    gateway.configure("[servers.third]\ncomand = 1\n");
    eventually("it says what is wrong", async || gateway.log().contains("comand")).await;
    assert!(offers("third__echo").await, "a broken configuration was taken up");
    assert_eq!(client.call_text("third__echo", json!({ "text": "hi" })).await, "hi");
}

#[tokio::test]
async fn the_gateway_ends_well() {
    let mut gateway = gateway().await;
    assert_eq!(
        gateway.client(Era::Stateless).await.call_text("old__echo", json!({ "text": "a" })).await,
        "a"
    );
    let status = gateway.stop().await;
    assert!(status.success(), "{status}");
}
