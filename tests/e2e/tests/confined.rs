//! What a local server's entry is learned from, and processes that wait for their callers.

use std::{fs, os::unix::fs::PermissionsExt as _};

use e2e::{Client, Era, Gateway, eventually, run, source};
use serde_json::{Value, json};

fn entry(more: &str) -> String {
    let script = source("servers/reader.py");
    format!(
        "[servers.reader]\ncommand = \"/usr/bin/python3\"\nargs = [{script:?}]\nera = \"handshake\"\n{more}\n"
    )
}

async fn failed(client: &Client, tool: &str, path: &std::path::Path) -> bool {
    let answer = client.call(tool, json!({ "path": path })).await;
    // The server itself has to say so: what is refused before it tells nothing of its sandbox.
    answer["result"]["isError"].as_bool().unwrap_or_else(|| panic!("{answer}"))
}

#[tokio::test]
async fn what_was_seen_is_proposed_and_is_enough() {
    let outside = tempfile::tempdir().unwrap();
    let path = |name: &str| outside.path().join(name);
    for folder in ["out", "home/.config"] {
        fs::create_dir_all(path(folder)).unwrap();
    }
    for file in ["note", "other", "home/.config/thing"] {
        fs::write(path(file), "nobody's business").unwrap();
    }
    for folder in ["", "out"] {
        fs::set_permissions(path(folder), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let gateway = Gateway::start(&entry("sandbox = { learn = true }")).await;
    let client = gateway.client_of("reader", Era::Handshake).await;
    // It does not get what it asks for: being learned from is no loosening.
    for (tool, file) in [("read", "note"), ("read", "home/.config/thing"), ("write", "out/new")] {
        assert!(failed(&client, tool, &path(file)).await, "{file}");
    }
    assert!(!path("out/new").exists());
    let mut proposal = String::new();
    eventually("what it asked for is known", async || {
        proposal = run(gateway.command().args(["sandbox", "suggest", "reader"])).await;
        proposal.contains("out")
    })
    .await;
    let line = |key: &str, name: &str| format!("{key} = [\"{}\"]", path(name).display());
    assert!(proposal.contains(&line("read", "note")), "{proposal}");
    assert!(proposal.contains(&line("write", "out")), "{proposal}");
    let withheld = format!("{}, which is not proposed", path("home/.config/thing").display());
    assert!(proposal.contains(&withheld), "{proposal}");
    run(gateway.command().args(["sandbox", "suggest", "reader", "--write"])).await;

    let gateway = gateway.restart().await;
    let client = gateway.client_of("reader", Era::Handshake).await;
    let note = client.call_text("read", json!({ "path": path("note") })).await;
    assert_eq!(note, "nobody's business", "{}", gateway.log());
    assert!(!failed(&client, "write", &path("out/new")).await);
    assert_eq!(fs::read_to_string(path("out/new")).unwrap(), "written");
    for file in ["other", "home/.config/thing"] {
        assert!(failed(&client, "read", &path(file)).await, "{file}");
    }
    // What it never did it can't do: the call is not on its list.
    let linked = client.call_text("link", json!({ "path": path("note") })).await;
    assert!(linked.contains("not implemented"), "{linked}");
}

/// The processes of the server: their states and ids.
async fn processes(gateway: &Gateway) -> Vec<(String, u64)> {
    let rows = run(gateway.command().args(["ps", "--output", "json"])).await;
    let rows: Vec<Value> = serde_json::from_str(&rows).unwrap();
    let row = |row: &Value| {
        let state = row["state"].as_str().unwrap().to_owned();
        (state, row["pid"].as_u64().unwrap_or_default())
    };
    rows.iter().map(row).collect()
}

#[tokio::test]
async fn a_process_waits_for_its_first_caller() {
    for shared in [true, false] {
        let gateway = Gateway::start(&entry(&format!("prewarm = true\nshared = {shared}"))).await;
        let mut waiting = 0;
        eventually("a process waits before anybody calls", async || {
            let found = processes(&gateway).await;
            waiting = found[0].1;
            found.len() == 1 && found[0].0 == "waiting"
        })
        .await;
        let client = gateway.client_of("reader", Era::Handshake).await;
        client.call_text("pid", json!({})).await;
        eventually("it works, and another one waits where each caller has their own", async || {
            let found = processes(&gateway).await;
            let works = found.contains(&("running".to_owned(), waiting));
            let others = found.iter().filter(|(state, _)| state == "waiting").count();
            works && others == usize::from(!shared)
        })
        .await;
        let records = run(gateway.command().args(["audit", "search", "--output", "json"])).await;
        let records: Vec<Value> = serde_json::from_str(&records).unwrap();
        let told = |text: &str| {
            let detail =
                |record: &&Value| record["detail"].as_str().is_some_and(|d| d.contains(text));
            records.iter().filter(|record| record["kind"] == "spawn").find(detail).cloned()
        };
        assert_eq!(told("before anybody calls").unwrap()["principal"], Value::Null);
        let whose = told(&format!("the waiting process {waiting} is theirs")).unwrap();
        assert!(whose["principal"].as_str().is_some_and(|whose| !whose.is_empty()), "{whose}");
        // One that dies while it waits hurts nobody.
        if !shared {
            let spare = processes(&gateway).await;
            let spare = spare.iter().find(|(state, _)| state == "waiting").unwrap().1;
            run(tokio::process::Command::new("kill").args(["-9", &spare.to_string()])).await;
        }
        run(gateway.command().args(["restart", "reader"])).await;
        client.call_text("pid", json!({})).await;
    }
}
