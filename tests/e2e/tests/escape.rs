//! A hostile local server behind the gateway: whatever it tries fails, every call is answered, and the
//! next one too. What it tries is counted by crates/sandbox/tests/escape.rs, at each level and as whom.

use std::{net::TcpListener, os::unix::fs::PermissionsExt as _};

use e2e::{Client, Era, Gateway, eventually, source};
use serde_json::{Value, json};

const TOOLS: [&str; 9] =
    ["forks", "threads", "memory", "disk", "descriptors", "orphan", "giant", "slow", "nothing"];

async fn nothing_happens(client: &Client) {
    eventually("the server is back", async || {
        client.call("nothing", json!({})).await["result"]["content"][0]["text"] == "done"
    })
    .await;
}

fn failed(answer: &Value) -> bool {
    answer.get("error").is_some() || answer["result"]["isError"] == true
}

#[tokio::test]
async fn every_attempt_is_answered_with_an_error() {
    let outside = tempfile::tempdir().unwrap();
    let path = |name: &str| outside.path().join(name);
    let open = |mode| std::fs::Permissions::from_mode(mode);
    for name in ["outside", "readable", "writable"] {
        std::fs::create_dir(path(name)).unwrap();
        std::fs::set_permissions(path(name), open(0o777)).unwrap();
    }
    std::fs::set_permissions(outside.path(), open(0o755)).unwrap();
    std::fs::write(path("secret"), "nobody's business").unwrap();
    std::fs::write(path("readable/note"), "a note").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let facts = json!({
        "secret": path("secret"), "state": path("secret"), "outside": path("outside"),
        "readable": path("readable"), "writable": path("writable"), "socket": path("socket"),
        "tcp": listener.local_addr().unwrap().port(), "udp": 9, "abstract": "nobody",
        "pid": std::process::id(), "token": env!("CARGO_MANIFEST_DIR"), "many": 2u64 << 30,
        "bounded": true, "shm": 0,
    });
    let programs = source("../../crates/sandbox/hostile").canonicalize().unwrap();
    let script = programs.join("server.py");
    let gateway = Gateway::start(&format!(
        r#"
        [servers.hostile]
        command = "/usr/bin/python3"
        args = [{script:?}, {facts:?}]
        timeout = "5s"
        era = "handshake"
        [servers.hostile.sandbox]
        read = [{readable:?}, {programs:?}]
        write = [{writable:?}]
        memory = "256MiB"
        processes = 40
        descriptors = 100
        disk = "16MiB"
        "#,
        facts = facts.to_string(),
        readable = path("readable"),
        writable = path("writable"),
    ))
    .await;
    let client = gateway.client_of("hostile", Era::Handshake).await;
    let tools = client.tools().await;
    let attempts: Vec<_> = tools.iter().filter(|name| !TOOLS.contains(&name.as_str())).collect();
    assert!(attempts.len() >= 112, "only {} attempts", attempts.len());
    let mut escaped = Vec::new();
    for name in &attempts {
        let answer = client.call(name, json!({})).await;
        if !failed(&answer) {
            escaped.push(answer);
        }
    }
    assert!(escaped.is_empty(), "{escaped:#?}");
    println!("{} attempts, each answered with an error", attempts.len());

    for bomb in &TOOLS[..8] {
        let answer = client.call(bomb, json!({})).await;
        assert!(failed(&answer), "{bomb}: {answer:.300}");
        println!("{bomb} was answered");
        // The last one goes on answering slowly for ever: it hurts its own callers alone.
        if *bomb != "slow" {
            nothing_happens(&client).await;
        }
    }
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "a connection came out");
    assert_eq!(std::fs::read_dir(path("outside")).unwrap().count(), 0);
}
