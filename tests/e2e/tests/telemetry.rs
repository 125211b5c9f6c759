//! What the gateway tells monitoring systems, read by their own readers.

use std::{collections::BTreeMap, process::Stdio};

use e2e::{Client, Era, Gateway, Request, binary, free_url, python, run, source};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, process::Command};

/// A gateway with a server that says everything, and the address of its metrics.
async fn gateway(more: &str) -> (Gateway, String) {
    let address = free_url().replace("http://localhost", "127.0.0.1");
    let command = binary("everything");
    let gateway = Gateway::start(&format!(
        "[servers.s]\ncommand = {command:?}\nargs = [\"stdio\"]\n[telemetry]\nlisten = {address:?}\n{more}"
    ))
    .await;
    (gateway, address)
}

async fn get(address: &str, path: &str) -> (StatusCode, String) {
    let mut reply = Request::new(Method::GET, address, path).send().await;
    (reply.status, reply.text().await)
}

type Sample = (String, BTreeMap<String, String>, f64);

/// The samples as another implementation reads them.
async fn samples(exposition: &str) -> Vec<Sample> {
    let mut reader = Command::new(python("python"))
        .arg(source("clients/openmetrics.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = reader.stdin.take().unwrap();
    input.write_all(exposition.as_bytes()).await.unwrap();
    drop(input);
    let done = reader.wait_with_output().await.unwrap();
    assert!(done.status.success(), "not OpenMetrics:\n{exposition}");
    serde_json::from_slice::<Value>(&done.stdout)
        .map(|all| serde_json::from_value(all).unwrap())
        .unwrap()
}

fn sum(samples: &[Sample], name: &str, labels: &[(&str, &str)]) -> f64 {
    let held = |(own, of, _): &&Sample| {
        own == name
            && labels.iter().all(|(label, value)| of.get(*label).is_some_and(|v| v == value))
    };
    samples.iter().filter(held).map(|(_, _, value)| value).sum()
}

#[tokio::test]
async fn calls_refusals_and_findings_are_counted() {
    let (gateway, address) = gateway("").await;
    for era in Era::ALL {
        let client = Client::connect(&gateway.address, "/mcp/s", era).await;
        for text in ["a", "b"] {
            assert_eq!(client.call_text("echo", json!({ "text": text })).await, text);
        }
        client.call("echo", json!({ "text": "x", "path": "../../etc/passwd" })).await;
        for name in ["made-up-1", "made-up-2"] {
            client.call(name, json!({})).await;
        }
    }
    let (status, exposition) = get(&address, "/metrics").await;
    assert_eq!(status, StatusCode::OK);
    let read = samples(&exposition).await;
    let calls = |labels: &[(&str, &str)]| sum(&read, "bartizan_calls_total", labels);
    for era in ["handshake", "stateless"] {
        let echo = [("server", "s"), ("tool", "echo"), ("era", era)];
        assert_eq!(calls(&[&echo[..], &[("outcome", "ok")]].concat()), 2.0, "{exposition}");
        assert_eq!(calls(&[&echo[..], &[("outcome", "refused")]].concat()), 1.0);
    }
    assert!(!exposition.contains("made-up"), "a caller made a series");
    let refusals = |label| sum(&read, "bartizan_refusals_total", &[("refusal", label)]);
    assert_eq!(refusals("unknown-tool"), 4.0, "{exposition}");
    assert_eq!(refusals("arguments-unsafe"), 2.0);
    assert!(sum(&read, "bartizan_findings_total", &[]) >= 2.0);
    assert!(sum(&read, "bartizan_call_duration_seconds_count", &[("server", "s")]) >= 6.0);
    assert!(sum(&read, "bartizan_call_bytes_total", &[("direction", "in")]) > 0.0);
    assert!(sum(&read, "bartizan_journal_wait_seconds_count", &[]) >= 4.0);
    assert_eq!(sum(&read, "bartizan_calls_in_flight", &[]), 0.0);
    assert_eq!(sum(&read, "bartizan_sessions", &[]), 1.0);
    assert!(sum(&read, "bartizan_processes", &[("server", "s")]) >= 1.0);
    let own = run(gateway.command().arg("metrics")).await;
    assert!(own.contains("bartizan_calls_total{server=\"s\""), "{own}");
}

#[tokio::test]
async fn metrics_are_not_at_the_door_and_health_is() {
    let (gateway, address) = gateway("").await;
    assert_eq!(get(&gateway.address, "/metrics").await.0, StatusCode::NOT_FOUND);
    for at in [&gateway.address, &address] {
        for path in ["/livez", "/readyz"] {
            assert_eq!(get(at, path).await, (StatusCode::OK, "ok\n".to_owned()), "{at}{path}");
        }
    }
    assert_eq!(get(&address, "/mcp").await.0, StatusCode::NOT_FOUND);
    let posted = Request::post(&address, "/metrics", "{}").send().await;
    assert_eq!(posted.status, StatusCode::METHOD_NOT_ALLOWED);
}
