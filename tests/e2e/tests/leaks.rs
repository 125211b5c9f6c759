//! Canaries in every kind of credential, servers that say them back wherever something can be said, every door:
//! no byte that leaves has one of them, in any encoding.

use std::{collections::BTreeSet, fs, path::Path};

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE},
};
use e2e::{Client, Era, Gateway, Request, Upstream, source};
use serde_json::{Value, json};
use tokio::process::Command;

const BEARER: &str = "canary/Bearer+k2J8sR4mX9qWv7LtZ1nB=";
const ENVIRONMENT: &str = "canary \"env\" Qw7Er5Ty3Ui1Op9As7Df\\5";
const GRANT: &str = "canary-grant-Zx9Cv8Bn7Mq6Wp5Lk4Jh3";
const CLIENT_SECRET: &str = "canary-client-Gf5Ds4Aq3We2Rt1Yu0";

/// What remains recognisable of a canary, in every encoding.
fn traces() -> Vec<String> {
    let mut traces = BTreeSet::new();
    for secret in [BEARER, ENVIRONMENT, GRANT, CLIENT_SECRET] {
        // What no escaping changes is enough to know it by.
        let plain = ["k2J8sR4mX9", "Qw7Er5Ty3U", "Zx9Cv8Bn7M", "Gf5Ds4Aq3W"];
        traces.extend(plain.map(str::to_owned));
        for shift in 0..3 {
            let padded = format!("{}{secret}", "x".repeat(shift));
            for engine in [&BASE64_STANDARD, &BASE64_URL_SAFE] {
                let text = engine.encode(&padded);
                traces.insert(text[12..36].to_owned());
            }
        }
        let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        traces.extend([hex[20..40].to_owned(), hex[20..40].to_uppercase()]);
        let percent: String = secret.bytes().map(|byte| format!("%{byte:02x}")).collect();
        traces.insert(percent[30..60].to_owned());
        let unicode = |c: char| format!("\\u{:04x}", u32::from(c));
        traces.insert(secret[8..12].chars().map(unicode).collect());
    }
    traces.into_iter().collect()
}

fn assert_clean(what: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for trace in traces() {
        if let Some(at) = text.find(&trace) {
            let around: String =
                text[..at].chars().rev().take(80).collect::<Vec<_>>().into_iter().rev().collect();
            panic!("{what}: {trace} behind …{around}");
        }
    }
}

async fn leaky(web: &str, more: &str) -> Gateway {
    let script = source("servers/leaky.py");
    let (origin, granted) = (web.replace("/mcp", ""), web.replace("/mcp", "/granted"));
    let configuration = format!(
        "[trust]\non-first-use = \"approve\"\n[identity]\nloopback = \"open\"\n{more}\n\
         [servers.web]\nurl = \"{web}\"\nallow-private = true\n\
         [servers.web.credential]\nvalue = \"Bearer ${{env:CANARY_BEARER}}\"\n\
         [servers.granted]\nurl = \"{granted}\"\nallow-private = true\n\
         [servers.granted.oauth]\ngrant = \"client\"\nclient-id = \"bartizan\"\n\
         client-secret = \"${{env:CANARY_SECRET}}\"\nissuer = \"{origin}\"\n\
         [servers.local]\ncommand = \"python3\"\nargs = [{script:?}, \"stdio\"]\nsandbox = {{ level = \"off\" }}\n\
         env = {{ CANARY = \"${{env:CANARY_ENVIRONMENT}}\" }}\n"
    );
    let environment = [
        ("CANARY_BEARER", BEARER),
        ("CANARY_ENVIRONMENT", ENVIRONMENT),
        ("CANARY_SECRET", CLIENT_SECRET),
        ("BARTIZAN_LOG", "trace"),
    ];
    Gateway::start_with(&configuration, &environment).await
}

async fn upstream() -> Upstream {
    let script = source("servers/leaky.py");
    Upstream::start(Path::new("python3"), &[script.to_str().unwrap(), "http", GRANT]).await
}

/// Sends a request and reads everything that comes back, notifications too.
async fn whole(client: &Client, method: &str, params: Value) -> String {
    let mut reply = client.send(method, params).await;
    let headers = format!("{:?}", reply.headers);
    headers + &reply.text().await
}

/// Everything that a client of one server can ask for.
async fn ask_everything(client: &Client, prefix: &str, uri: &str) -> String {
    let mut said = String::new();
    for method in ["tools/list", "prompts/list", "resources/list", "resources/templates/list"] {
        said += &whole(client, method, json!({})).await;
    }
    for tool in ["say", "fail", "tell", "escape", "refuse", "unknown"] {
        let meta = json!({ "progressToken": 1, "io.modelcontextprotocol/logLevel": "debug" });
        let params = json!({ "name": format!("{prefix}{tool}"), "arguments": {}, "_meta": meta });
        let answer = whole(client, "tools/call", params).await;
        // It was said, and masked.
        let masked = answer.contains("[secret]");
        assert!(masked || matches!(tool, "refuse" | "unknown"), "{tool}: {answer}");
        said += &answer;
    }
    said += &whole(client, "prompts/get", json!({ "name": format!("{prefix}p") })).await;
    said += &whole(client, "resources/read", json!({ "uri": uri })).await;
    let argument = json!({ "name": "a", "value": "" });
    let reference = json!({ "type": "ref/prompt", "name": format!("{prefix}p") });
    said + &whole(client, "completion/complete", json!({ "ref": reference, "argument": argument }))
        .await
}

async fn ran(mut command: Command) -> Vec<u8> {
    let done = command.output().await.unwrap();
    [done.stdout, done.stderr].concat()
}

fn files(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.is_file() {
            found.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
}

#[tokio::test]
async fn no_byte_that_leaves_has_a_canary_in_it() {
    let web = upstream().await;
    let mut gateway = leaky(&web.url, "").await;
    for era in Era::ALL {
        for server in ["web", "local", "granted"] {
            let client = gateway.client_of(server, era).await;
            assert_clean(server, ask_everything(&client, "", "x://r").await.as_bytes());
            let discover = if era == Era::Stateless { "server/discover" } else { "ping" };
            assert_clean(server, whole(&client, discover, json!({})).await.as_bytes());
            let all = gateway.client(era).await;
            let (prefix, uri) = (format!("{server}__"), format!("{server}+x://r"));
            assert_clean("all", ask_everything(&all, &prefix, &uri).await.as_bytes());
        }
    }
    // The handshake's answer of one server, with its instructions.
    let hello = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "e2e", "version": "1" } } });
    for server in ["web", "local", "granted"] {
        let path = format!("/mcp/{server}");
        let mut reply = Request::post(&gateway.address, &path, hello.to_string()).send().await;
        let said = reply.text().await;
        assert!(said.contains("[secret]"), "{said}");
        assert_clean("initialize", said.as_bytes());
    }
    for arguments in [
        &["logs", "local"][..],
        &["list"],
        &["list", "--output", "json"],
        &["call", "web", "say"],
        &["call", "local", "fail"],
        &["call", "local", "tell", "--output", "json"],
        &["call", "web", "refuse"],
        &["call", "local", "die"],
        &["ps", "--output", "json"],
        &["trust", "status"],
        &["trust", "diff", "web"],
        &["audit", "tail", "-n", "1000", "--output", "json"],
        &["posture"],
    ] {
        let mut command = gateway.command();
        command.args(arguments);
        let said = ran(command).await;
        assert_clean(&arguments.join(" "), &said);
        if arguments == ["logs", "local"] {
            assert!(String::from_utf8_lossy(&said).contains("[secret]"));
        }
    }
    let records = {
        let mut command = gateway.command();
        command.args(["audit", "search", "--limit", "10000", "--output", "json"]);
        String::from_utf8(ran(command).await).unwrap()
    };
    for (server, name) in
        [("web", "env:CANARY_BEARER"), ("local", "env:CANARY_ENVIRONMENT"), ("granted", "granted")]
    {
        let leaks: Vec<Value> = serde_json::from_str(&records).unwrap();
        let leak =
            leaks.iter().find(|record| record["kind"] == "leak" && record["server"] == server);
        let leak = leak.unwrap_or_else(|| panic!("no record about {server}: {records}"));
        assert_eq!(leak["detail"], name);
    }
    gateway.stop().await;
    let mut found = Vec::new();
    files(&gateway.folder(), &mut found);
    assert!(found.iter().any(|(path, _)| path.ends_with("stderr")));
    for (path, bytes) in found {
        assert_clean(&path, &bytes);
    }
}

#[tokio::test]
async fn a_leak_is_refused_where_that_is_configured() {
    let web = upstream().await;
    let gateway = leaky(&web.url, "[leaks]\naction = \"block\"").await;
    let client = gateway.client_of("web", Era::Stateless).await;
    let answer = client.call("say", json!({})).await;
    let text = answer.to_string();
    assert!(text.contains("leak"), "{text}");
    assert_clean("refusal", text.as_bytes());
}
