//! Records as OCSF, held against OCSF's published schema.

use std::process::Stdio;

use audit::{Followed, Format, Kind};
use e2e::{Era, Gateway, binary, python, run, source};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, process::Command};

/// How many events of each class are good; fails when one is not.
async fn good(events: &str) -> Value {
    let mut check = Command::new(python("python"))
        .arg(source("clients/ocsf.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    check.stdin.take().unwrap().write_all(events.as_bytes()).await.unwrap();
    let done = check.wait_with_output().await.unwrap();
    assert!(done.status.success(), "not OCSF:\n{events}");
    serde_json::from_slice(&done.stdout).unwrap()
}

/// A record of each kind, with much in it and with nothing.
fn records() -> Vec<Followed> {
    let full = r#""id":"c-1","principal":"user:t/o","tenant":"T","agent":"a","client":"cli","door":"http","address":"203.0.113.7","server":"github","method":"METHOD","name":"NAME","fields":{"owner":"x"},"outcome":"refused","duration_us":1500,"refusal":"denied","detail":"no""#;
    let mut records = Vec::new();
    for kind in Kind::ALL {
        let methods = ["tools/call", "tasks/cancel", "session-end", "sign-in", "token", ""];
        for (method, name) in
            methods.iter().zip(["a", "api.example.com:443/x", "[::1]:80/", "_x:1", "", "é"])
        {
            let members = full.replace("METHOD", method).replace("NAME", name);
            records.push(format!("{},{members}", kind.as_str()));
        }
        records.push(kind.as_str().to_owned());
    }
    let line = |(seq, record): (u64, String)| {
        let (kind, members) =
            record.split_once(',').map_or((&*record, String::new()), |(k, m)| (k, format!(",{m}")));
        let line = format!(
            "{{\"seq\":{seq},\"time\":\"2026-11-26T12:00:00.250000Z\",\"kind\":\"{kind}\",\"v\":3{members}}}"
        );
        Followed { seq, line }
    };
    (1..).zip(records).map(line).collect()
}

#[tokio::test]
async fn every_kind_of_record_is_an_event_that_the_schema_knows() {
    let render = |record: &Followed| Format::Ocsf.render("bartizan.dev/audit/00", record).unwrap();
    let records = records();
    let events: Vec<String> = records.iter().map(render).collect();
    let good = good(&events.join("\n")).await;
    let count: u64 = good.as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(count, records.len() as u64, "{good}");
    assert_eq!(good.as_object().unwrap().len(), 7, "{good}");
}

#[tokio::test]
async fn what_a_gateway_recorded_is_ocsf() {
    let command = binary("everything");
    let gateway =
        Gateway::start(&format!("[servers.s]\ncommand = {command:?}\nargs = [\"stdio\"]\n")).await;
    let client = gateway.client_of("s", Era::Stateless).await;
    client.call("echo", json!({"text": "x"})).await;
    client.call("echo", json!({"text": "x", "path": "../../etc/passwd"})).await;
    client.request("tools/list", json!({})).await;
    client.prepare("tools/list", json!({})).header("authorization", "Bearer no").send().await;
    gateway.token("ci").await;
    let export = ["audit", "export", "--format", "ocsf"];
    let events = run(gateway.command().args(export)).await;
    let good = good(&events).await;
    for class in ["api_activity", "authentication", "application_lifecycle"] {
        assert!(good[class].as_u64().is_some_and(|count| count > 0), "{good}");
    }
}
