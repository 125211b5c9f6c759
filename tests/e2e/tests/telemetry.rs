//! What the gateway tells monitoring systems, read by their own readers.

use std::{collections::BTreeMap, process::Stdio};

use e2e::{
    Client, Era, Gateway, Request, Upstream, binary, eventually, free_url, python, run, source,
};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
};

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
    assert!(sum(&read, "bartizan_journal_commit_seconds_count", &[]) >= 1.0);
    assert!(read.iter().any(|(name, ..)| name == "bartizan_journal_waiting_records"));
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

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A collector that is a program of its own; killed with the test.
struct Collector {
    address: String,
    _child: Child,
}

impl Collector {
    async fn start() -> Self {
        let address = free_url().replace("http://localhost", "127.0.0.1");
        let port = address.rsplit(':').next().unwrap();
        let mut child = Command::new(python("python"))
            .arg(source("servers/collector.py"))
            .arg(port)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("ready"));
        Collector { address, _child: child }
    }

    async fn get(&self, path: &str) -> Vec<Value> {
        serde_json::from_str(&get(&self.address, path).await.1).unwrap()
    }

    /// The spans of a trace, once there are so many.
    async fn spans(&self, trace: &str, count: usize) -> Vec<Value> {
        let mut found = Vec::new();
        eventually("the spans", async || {
            found = self.get("/spans").await;
            found.retain(|span| span["trace"] == trace);
            found.len() >= count
        })
        .await;
        found
    }
}

fn of_kind(spans: &[Value], kind: u8) -> Vec<&Value> {
    spans.iter().filter(|span| span["kind"] == kind).collect()
}

#[tokio::test]
async fn a_trace_goes_on_through_the_gateway_to_the_server() {
    let collector = Collector::start().await;
    let folder = tempfile::tempdir().unwrap();
    let definitions = folder.path().join("definitions.json");
    let tool = json!({ "name": "echo", "inputSchema": { "type": "object" } });
    let says = json!({ "tools": [tool], "results": { "echo": "$request" } });
    std::fs::write(&definitions, says.to_string()).unwrap();
    let upstream = Upstream::shifting(&definitions).await;
    let gateway = Gateway::start(&format!(
        "[servers.s]\nurl = {:?}\n[telemetry.otlp]\nendpoint = \"http://{}\"\nevery = \"1s\"\n\
         [telemetry.otlp.credential]\nheader = \"x-key\"\nvalue = \"k-1\"\n",
        upstream.url, collector.address
    ))
    .await;
    let mut told = Vec::new();
    for era in Era::ALL {
        let client = Client::connect(&gateway.address, "/mcp/s", era).await;
        let mut params = json!({ "name": "echo", "arguments": {}, "_meta": { "mine": 1 } });
        // Where `_meta` names none, the headers do.
        let request = client.prepare("tools/call", params.clone());
        let request = request.header("traceparent", PARENT).header("tracestate", "vendor=1");
        told.push(request.send().await.next().await.unwrap());
        params["_meta"]["traceparent"] = json!(PARENT);
        told.push(client.request("tools/call", params).await);
    }
    let spans = collector.spans("4bf92f3577b34da6a3ce929d0e0e4736", 8).await;
    let (calls, sent) = (of_kind(&spans, 2), of_kind(&spans, 3));
    assert_eq!((calls.len(), sent.len()), (4, 4), "{spans:#?}");
    for call in &calls {
        assert_eq!(call["parent"], "00f067aa0ba902b7");
        assert_eq!(call["name"], "tools/call echo");
        assert_eq!(call["attributes"]["gen_ai.tool.name"], "echo");
        assert_eq!(call["attributes"]["mcp.method.name"], "tools/call");
        assert_eq!(call["attributes"]["gen_ai.operation.name"], "execute_tool");
        assert_eq!(call["attributes"]["network.transport"], "tcp");
        assert_eq!(call["events"], json!(["cleared", "credential", "answered", "inspected"]));
        assert_eq!(call["resource"]["service.name"], "bartizan");
        assert_eq!(call["status"], 0);
        assert_eq!(sent.iter().filter(|sent| sent["parent"] == call["span"]).count(), 1);
    }
    assert_eq!(calls.iter().filter(|call| call["state"] == "vendor=1").count(), 2);
    assert_eq!(collector.get("/keys").await, ["k-1"]);

    // The server was told, in both places, and the record has the trace's id.
    for answer in &told {
        let text = answer["result"]["content"][0]["text"].as_str().unwrap();
        let request: Value = serde_json::from_str(text).unwrap();
        let parent = request["meta"]["traceparent"].as_str().unwrap();
        assert!(sent.iter().any(|sent| sent["span"] == parent[36..52]), "{parent} {sent:#?}");
        assert_eq!(request["headers"]["traceparent"], parent);
        assert_eq!(request["meta"]["mine"], 1);
    }
    assert_eq!(told.iter().filter(|answer| answer.to_string().contains("vendor=1")).count(), 2);
    let found = run(gateway.command().args(["audit", "tail", "--output", "json"])).await;
    assert!(found.contains("\"trace\": \"4bf92f3577b34da6a3ce929d0e0e4736\""), "{found}");
    eventually("metrics", async || {
        collector.get("/metrics").await.iter().any(|message| {
            let text = message.to_string();
            text.contains("bartizan_call_duration_seconds") && text.contains("explicitBounds")
        })
    })
    .await;
}

#[tokio::test]
async fn a_refusal_is_a_span_that_failed_and_what_is_not_sampled_is_none() {
    let collector = Collector::start().await;
    let command = binary("everything");
    let gateway = Gateway::start(&format!(
        "[servers.s]\ncommand = {command:?}\nargs = [\"stdio\"]\n[telemetry.otlp]\nendpoint = \"http://{}\"\nmetrics = false\n",
        collector.address
    ))
    .await;
    let client = Client::connect(&gateway.address, "/mcp/s", Era::Stateless).await;
    let call = |trace: &str, flags: &str, arguments: Value| {
        let parent = format!("00-{}-00f067aa0ba902b7-{flags}", trace.repeat(16));
        client.request(
            "tools/call",
            json!({ "name": "echo", "arguments": arguments, "_meta": { "traceparent": parent } }),
        )
    };
    call("ab", "00", json!({ "text": "x" })).await;
    call("cd", "01", json!({ "text": "x", "path": "../../etc/passwd" })).await;
    let spans = collector.spans(&"cd".repeat(16), 1).await;
    assert_eq!(spans.len(), 1, "{spans:#?}");
    assert_eq!(spans[0]["attributes"]["error.type"], "arguments-unsafe");
    assert_eq!(spans[0]["status"], 2);
    assert!(collector.get("/spans").await.iter().all(|span| span["trace"] != "ab".repeat(16)));
}

#[tokio::test]
async fn the_log_is_json_where_that_is_asked_for_and_names_the_trace() {
    let command = binary("everything");
    let configuration = format!(
        "[trust]\non-first-use = \"approve\"\n[identity]\nloopback = \"open\"\n[servers.s]\ncommand = {command:?}\nargs = [\"stdio\"]\n"
    );
    let environment = [("BARTIZAN_LOG", "gateway=debug"), ("BARTIZAN_LOG_FORM", "json")];
    let gateway = Gateway::start_with(&configuration, &environment).await;
    let client = Client::connect(&gateway.address, "/mcp/s", Era::Stateless).await;
    let params =
        json!({ "name": "echo", "arguments": { "text": "x" }, "_meta": { "traceparent": PARENT } });
    client.request("tools/call", params).await;
    let log = gateway.log();
    // A line may be half written.
    let log = &log[..log.rfind('\n').unwrap()];
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let call =
        lines.iter().find(|line| line["message"] == "call" && line["method"] == "tools/call");
    let call = call.unwrap_or_else(|| panic!("{log}"));
    assert_eq!(call["trace"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!((&call["server"], &call["outcome"]), (&json!("s"), &json!("ok")));
}

#[tokio::test]
async fn top_shows_what_happens() {
    let (gateway, _) = gateway("").await;
    let client = Client::connect(&gateway.address, "/mcp/s", Era::Stateless).await;
    client.call_text("echo", json!({ "text": "a" })).await;
    client.call("echo", json!({ "text": "x", "path": "../../etc/passwd" })).await;
    let once = ["top", "--once", "--every", "200ms"];
    let shown = run(gateway.command().args(once).args(["--output", "json"])).await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["servers"][0]["server"], "s", "{shown}");
    assert_eq!(shown["servers"][0]["refused"], 1.0);
    assert!(shown["servers"][0]["p50_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(shown["refusals"][0]["what"], "s/echo");
    let drawn = run(gateway.command().args(once)).await;
    assert!(drawn.contains("LAST REFUSALS") && drawn.contains("arguments-unsafe"), "{drawn}");
}

#[tokio::test]
async fn lists_and_what_is_refused_before_it_is_a_call_are_spans() {
    let collector = Collector::start().await;
    let command = binary("everything");
    let gateway = Gateway::start(&format!(
        "[servers.s]\ncommand = {command:?}\nargs = [\"stdio\"]\n[telemetry.otlp]\nendpoint = \"http://{}\"\nmetrics = false\n",
        collector.address
    ))
    .await;
    let client = Client::connect(&gateway.address, "/mcp/s", Era::Stateless).await;
    let listed = client.prepare("tools/list", json!({})).header("traceparent", PARENT);
    listed.send().await.next().await.unwrap();
    let refused = client.prepare("tools/list", json!({})).header("authorization", "Bearer no");
    refused.header("traceparent", PARENT).send().await;
    let spans = collector.spans("4bf92f3577b34da6a3ce929d0e0e4736", 2).await;
    let named = |name: &str| spans.iter().find(|span| span["name"] == name).expect(name);
    let list = named("tools/list");
    assert_eq!(
        (&list["status"], &list["attributes"]["mcp.method.name"]),
        (&json!(0), &json!("tools/list"))
    );
    let refused = named("refused");
    assert_eq!(refused["attributes"]["error.type"], "authentication");
    assert_eq!((&refused["parent"], &refused["status"]), (&list["parent"], &json!(2)));
    let found =
        run(gateway.command().args(["audit", "search", "--kind", "auth", "--output", "json"]))
            .await;
    assert!(found.contains("4bf92f3577b34da6a3ce929d0e0e4736"), "{found}");
}

#[tokio::test]
async fn a_subscription_is_a_span_that_ends_with_its_stream() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let collector = Collector::start().await;
    let command = binary("everything");
    let gateway = Gateway::start(&format!(
        "[servers.s]\ncommand = {command:?}\nargs = [\"stdio\"]\n[telemetry.otlp]\nendpoint = \"http://{}\"\nmetrics = false\n",
        collector.address
    ))
    .await;
    for (at, era) in Era::ALL.into_iter().enumerate() {
        let client = Client::connect(&gateway.address, "/mcp/s", era).await;
        let wanted = json!({ "notifications": { "toolsListChanged": true } });
        let opening = match era {
            Era::Stateless => client.prepare("subscriptions/listen", wanted),
            Era::Handshake => client.get(),
        };
        let stream = opening.header("traceparent", PARENT).send().await;
        assert!(stream.is_stream(), "{era:?}");
        // Other calls' spans come; that of what still lasts does not.
        let listed = client.prepare("tools/list", json!({})).header("traceparent", PARENT);
        listed.send().await.next().await.unwrap();
        let spans = collector.spans(TRACE, 2 * at + 1).await;
        let ended = |spans: &[Value]| {
            spans.iter().filter(|span| span["name"] == "subscriptions/listen").count()
        };
        assert_eq!(ended(&spans), at, "{spans:#?}");
        drop(stream);
        let spans = collector.spans(TRACE, 2 * at + 2).await;
        assert_eq!(ended(&spans), at + 1, "{spans:#?}");
        for span in spans.iter().filter(|span| span["name"] == "subscriptions/listen") {
            assert_eq!(span["attributes"]["mcp.method.name"], "subscriptions/listen");
            assert_eq!((&span["status"], &span["parent"]), (&json!(0), &json!("00f067aa0ba902b7")));
            assert_eq!(span["events"][0], "cleared");
        }
    }
    let found = run(gateway.command().args(["audit", "search", "--output", "json"])).await;
    let records: Vec<Value> = serde_json::from_str(&found).unwrap();
    let listening = |record: &&Value| record["method"] == "subscriptions/listen";
    assert!(records.iter().filter(listening).all(|record| record["trace"] == TRACE), "{found}");
}

#[tokio::test]
async fn another_collector_and_another_listener_are_taken_up_while_it_runs() {
    let (first, second) = (Collector::start().await, Collector::start().await);
    let command = binary("everything");
    let configuration = |collector: &Collector, listen: &str| {
        format!(
            "[servers.s]\ncommand = {command:?}\nargs = [\"stdio\"]\n[telemetry]\nlisten = {listen:?}\n\
             [telemetry.otlp]\nendpoint = \"http://{}\"\nmetrics = false\n",
            collector.address
        )
    };
    let address = || free_url().replace("http://localhost", "127.0.0.1");
    let (before, after) = (address(), address());
    let gateway = Gateway::start(&configuration(&first, &before)).await;
    let client = Client::connect(&gateway.address, "/mcp/s", Era::Stateless).await;
    client.call_text("echo", json!({ "text": "a" })).await;
    eventually("a span at the first", async || !first.get("/spans").await.is_empty()).await;
    gateway.configure(&configuration(&second, &after));
    eventually("the other listener", async || tokio::net::TcpStream::connect(&after).await.is_ok())
        .await;
    assert!(tokio::net::TcpStream::connect(&before).await.is_err());
    assert_eq!(get(&after, "/livez").await.0, StatusCode::OK);
    eventually("a span at the second", async || {
        client.call_text("echo", json!({ "text": "b" })).await;
        !second.get("/spans").await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_collector_that_reads_protobuf_gets_the_same() {
    let mut told = Vec::new();
    for encoding in ["json", "protobuf"] {
        let collector = Collector::start().await;
        let command = binary("everything");
        let gateway = Gateway::start(&format!(
            "[servers.s]\ncommand = {command:?}\nargs = [\"stdio\"]\n[telemetry.otlp]\nendpoint = \"http://{}\"\n\
             encoding = {encoding:?}\nevery = \"1s\"\n",
            collector.address
        ))
        .await;
        let client = Client::connect(&gateway.address, "/mcp/s", Era::Stateless).await;
        let call = |arguments: Value| {
            client.request(
                "tools/call",
                json!({ "name": "echo", "arguments": arguments, "_meta": { "traceparent": PARENT } }),
            )
        };
        call(json!({ "text": "x" })).await;
        call(json!({ "text": "x", "path": "../../etc/passwd" })).await;
        let mut spans = collector.spans("4bf92f3577b34da6a3ce929d0e0e4736", 3).await;
        for span in &mut spans {
            assert!(span["took"].as_u64().unwrap() > 0);
            assert_eq!(span["span"].as_str().map(str::len), Some(16));
            for own in ["took", "span", "resource"] {
                span.as_object_mut().unwrap().remove(own);
            }
            span["attributes"].as_object_mut().unwrap().remove("bartizan.call.id");
            span.as_object_mut()
                .unwrap()
                .retain(|name, value| name != "parent" || value == "00f067aa0ba902b7");
        }
        eventually("metrics", async || {
            let text = json!(collector.get("/metrics").await).to_string();
            ["explicitBounds", "isMonotonic", "bartizan_sessions"]
                .iter()
                .all(|what| text.contains(what))
        })
        .await;
        spans.sort_by_key(|span| (span["kind"].as_u64(), span["status"].as_u64()));
        told.push(spans);
    }
    assert_eq!(told[0], told[1]);
}
