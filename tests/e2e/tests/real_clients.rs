//! Clients that people really use, in front of the gateway: each lists, calls, reads, hears progress
//! and answers a question, whatever the era of the client and of the server.

use e2e::{Gateway, Upstream, binary, node, node_module, python, run, source};
use serde_json::Value;
use tokio::process::Command;

/// A gateway with the everything fixture as `old` and as `new`, by stdio and by HTTP.
async fn gateway() -> (Gateway, Upstream) {
    let upstream = Upstream::fixture("everything", &["--era", "stateless"]).await;
    let (command, url) = (binary("everything"), &upstream.url);
    let gateway = Gateway::start(&format!(
        r#"
        [servers.new]
        url = "{url}"
        allow-private = true
        [servers.old]
        command = {command:?}
        args = ["stdio", "--era", "handshake"]
        "#
    ))
    .await;
    (gateway, upstream)
}

/// Runs an SDK's client against each server, and looks at what it saw.
async fn sdk(program: impl Fn() -> Command, mode: &str) {
    let (gateway, _upstream) = gateway().await;
    for server in ["old", "new"] {
        let url = gateway.url(&format!("/mcp/{server}"));
        let output = run(program().arg(&url).arg(mode)).await;
        let seen: Value = serde_json::from_str(&output).unwrap_or_else(|e| panic!("{e}: {output}"));
        let tools = seen["tools"].as_array().unwrap();
        assert!(tools.iter().any(|name| name == "echo"), "{seen}");
        assert_eq!(seen["resources"][0], "test://static-text");
        assert_eq!(seen["read"], "This is the content of the static text resource.");
        assert_eq!(seen["echo"], "hello");
        assert_eq!(seen["elicited"], "Hello, Ada!", "{server}, {mode}");
        let progress: Vec<f64> =
            seen["progress"].as_array().unwrap().iter().filter_map(Value::as_f64).collect();
        assert_eq!(progress, [0.0, 50.0, 100.0], "{server}, {mode}");
    }
}

fn python_client() -> Command {
    let mut command = Command::new(python("python"));
    command.arg(source("clients/client.py"));
    command
}

fn typescript_client() -> Command {
    let mut command = Command::new(node());
    command.arg(source("clients/client.mjs"));
    command
}

#[tokio::test]
async fn python_sdk_auto() {
    sdk(python_client, "auto").await;
}

#[tokio::test]
async fn python_sdk_legacy() {
    sdk(python_client, "legacy").await;
}

#[tokio::test]
async fn typescript_sdk_auto() {
    sdk(typescript_client, "auto").await;
}

#[tokio::test]
async fn typescript_sdk_legacy() {
    sdk(typescript_client, "legacy").await;
}

async fn inspector(gateway: &Gateway, path: &str, arguments: &[&str]) -> Value {
    let mut command = Command::new(node());
    command
        .arg(node_module(".bin/mcp-inspector"))
        .args(["--cli", "--server-url", &gateway.url(path), "--transport", "http"])
        .args(arguments)
        .env("HOME", gateway.folder());
    let output = run(&mut command).await;
    serde_json::from_str(&output).unwrap_or_else(|e| panic!("{e}: {output}"))
}

#[tokio::test]
async fn inspector_in_every_era() {
    let (gateway, _upstream) = gateway().await;
    for era in ["legacy", "auto", "modern"] {
        let era = ["--protocol-era", era];
        let list =
            inspector(&gateway, "/mcp", &[&era[..], &["--method", "tools/list"]].concat()).await;
        let tools = list["tools"].as_array().unwrap();
        for tool in ["old__echo", "new__echo"] {
            assert!(tools.iter().any(|t| t["name"] == tool), "{era:?}: no {tool}");
        }
        for tool in ["old__echo", "new__echo"] {
            let call = ["--method", "tools/call", "--tool-name", tool, "--tool-arg", "text=hello"];
            let result = inspector(&gateway, "/mcp", &[&era[..], &call].concat()).await;
            assert_eq!(result["content"][0]["text"], "hello", "{era:?}, {tool}");
        }
    }
}

#[tokio::test]
async fn mcp_remote() {
    let (gateway, _upstream) = gateway().await;
    for protocol in ["auto", "legacy"] {
        for server in ["old", "new"] {
            let mut command = Command::new(python("python"));
            command
                .arg(source("clients/stdio.py"))
                .arg("legacy")
                .arg(node())
                .arg(node_module(".bin/mcp-remote"))
                .arg(gateway.url(&format!("/mcp/{server}")))
                .args(["--allow-http", "--protocol", protocol])
                .env("HOME", gateway.folder())
                .env("MCP_REMOTE_CONFIG_DIR", gateway.folder());
            let output = run(&mut command).await;
            let seen: Value =
                serde_json::from_str(&output).unwrap_or_else(|e| panic!("{e}: {output}"));
            assert_eq!(seen["echo"], "hello", "{server}, {protocol}");
            assert_eq!(seen["elicited"], "Hello, Ada!", "{server}, {protocol}");
        }
    }
}
