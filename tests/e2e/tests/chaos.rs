//! Upstreams and clients at their worst. Whatever they do, the others are served meanwhile, and the
//! gateway's memory stays within bounds.

use std::time::{Duration, Instant};

use e2e::{Client, Era, Gateway, PATIENCE, Reply, Upstream, binary, eventually};
use http::StatusCode;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

/// What the gateway may hold at most, in MiB. An upstream's message may be 10 MiB, and a dozen of them
/// may be under way; the hundreds of MiB that the hostile servers send may not.
const MEMORY: u64 = 160;
/// How long a call that has nothing to do with the trouble may take on a busy machine.
const SOON: Duration = Duration::from_secs(5);

/// A well-behaved server, and a hostile one by stdio and by HTTP.
async fn gateway(era: &str, start: &str) -> (Gateway, Option<Upstream>) {
    let (good, bad) = (binary("everything"), binary("hostile"));
    // A million notifications take a while; what never answers is not waited for so long.
    let timeout = if start == "well" { "30s" } else { "5s" };
    let stdio = format!(
        r#"
        [servers.good]
        command = {good:?}
        args = ["stdio"]
        [servers.bad]
        command = {bad:?}
        args = ["stdio", "--era", "{era}", "--start", "{start}"]
        timeout = "{timeout}"
        "#
    );
    if start == "exit" {
        return (Gateway::start(&stdio).await, None);
    }
    let upstream = Upstream::fixture("hostile", &["--era", era, "--start", start]).await;
    let url = &upstream.url;
    let web = format!(
        "[servers.bad-web]\nurl = \"{url}\"\nallow-private = true\ntimeout = \"{timeout}\"\n"
    );
    (Gateway::start(&format!("{stdio}{web}")).await, Some(upstream))
}

/// A call of the good server, which must succeed soon.
async fn good(gateway: &Gateway) {
    let begin = Instant::now();
    let client = gateway.client_of("good", Era::Stateless).await;
    assert_eq!(client.call_text("echo", json!({ "text": "fine" })).await, "fine");
    assert!(begin.elapsed() < SOON, "the good server's call took {:?}", begin.elapsed());
}

fn within_bounds(gateway: &Gateway) {
    let peak = gateway.peak();
    assert!(peak < MEMORY, "the gateway held {peak} MiB");
    println!("the gateway held {peak} MiB at most");
}

/// Calls a tool that misbehaves, and the good server again and again until it is over.
async fn beside(gateway: &Gateway, client: &Client, tool: &str) -> Option<serde_json::Value> {
    let trouble = async { tokio::time::timeout(PATIENCE, client.call(tool, json!({}))).await.ok() };
    let mut trouble = std::pin::pin!(trouble);
    loop {
        tokio::select! {
            answer = &mut trouble => return answer,
            () = good(gateway) => {}
        }
    }
}

async fn survives(era: &str) {
    let (gateway, _upstream) = gateway(era, "well").await;
    good(&gateway).await;
    for server in ["bad", "bad-web"] {
        let client = gateway.client_of(server, Era::Stateless).await;
        assert_eq!(client.call_text("quick", json!({})).await, "done");
        for tool in ["die", "garbage", "huge", "flood", "trickle", "wrong_id", "duplicate"] {
            let answer = beside(&gateway, &client, tool).await;
            let answer = answer.unwrap_or_else(|| panic!("{server}: {tool} was never answered"));
            let text = &answer["result"]["content"][0]["text"];
            let is_error = answer.get("error").is_some();
            match tool {
                "die" | "duplicate" | "huge" => {
                    assert!(is_error, "{server}, {tool}: {answer:.300}")
                }
                "flood" | "trickle" => assert_eq!(text, "done", "{server}, {tool}: {answer:.300}"),
                _ => assert!(is_error || text == "done", "{server}, {tool}: {answer:.300}"),
            }
            // It gets another chance, if need be by a new process.
            eventually("the server is back", async || {
                client.call("quick", json!({})).await["result"]["content"][0]["text"] == "done"
            })
            .await;
        }
    }
    within_bounds(&gateway);
}

#[tokio::test]
async fn hostile_handshake_servers_hurt_nobody_else() {
    survives("handshake").await;
}

#[tokio::test]
async fn hostile_stateless_servers_hurt_nobody_else() {
    survives("stateless").await;
}

/// A server that never answers holds nobody up, and its calls end when their client gives up.
#[tokio::test]
async fn calls_that_hang_are_alone() {
    let (gateway, _upstream) = gateway("both", "well").await;
    let mut hanging = JoinSet::new();
    for server in ["bad", "bad-web"] {
        for _ in 0..20 {
            let client = gateway.client_of(server, Era::Stateless).await;
            hanging.spawn(async move { client.call("hang", json!({})).await });
        }
    }
    for _ in 0..10 {
        good(&gateway).await;
    }
    for server in ["bad", "bad-web"] {
        let client = gateway.client_of(server, Era::Stateless).await;
        assert_eq!(client.call_text("quick", json!({})).await, "done", "{server}");
    }
    hanging.abort_all();
    good(&gateway).await;
    within_bounds(&gateway);
}

#[tokio::test]
async fn a_call_has_a_deadline() {
    let bad = binary("hostile");
    let server = format!("command = {bad:?}\nargs = [\"stdio\"]\ntimeout = \"2s\"\n");
    let gateway = Gateway::start(&format!("[servers.bad]\n{server}")).await;
    for era in Era::ALL {
        let client = gateway.client_of("bad", era).await;
        let begin = Instant::now();
        let answer = client.call("hang", json!({})).await;
        assert!(answer.get("error").is_some(), "{answer}");
        assert!(begin.elapsed() >= Duration::from_secs(1), "{:?}", begin.elapsed());
    }
}

/// A server that is bad from the start neither hides the others nor delays them for long.
async fn starts(how: &str) {
    let (gateway, _upstream) = gateway("both", how).await;
    for era in Era::ALL {
        let begin = Instant::now();
        let client = gateway.client(era).await;
        let tools = client.tools().await;
        assert!(tools.contains(&"good__echo".to_owned()), "{how}: {tools:?}");
        assert!(begin.elapsed() < Duration::from_secs(20), "{how}: {:?}", begin.elapsed());
        let begin = Instant::now();
        assert_eq!(client.call_text("good__echo", json!({ "text": "hi" })).await, "hi");
        assert!(begin.elapsed() < SOON, "{how}: {:?}", begin.elapsed());
        let answer = client.call("bad__quick", json!({}));
        let answer = tokio::time::timeout(2 * PATIENCE, answer).await.expect("an answer in time");
        assert!(answer.is_object(), "{how}: {answer}");
    }
    within_bounds(&gateway);
}

#[tokio::test]
async fn a_server_that_ends_at_once() {
    starts("exit").await;
}

#[tokio::test]
async fn a_server_that_is_mute() {
    starts("mute").await;
}

#[tokio::test]
async fn a_server_that_begins_with_garbage() {
    starts("garbage").await;
}

#[tokio::test]
async fn a_server_that_begins_with_a_huge_line() {
    starts("huge").await;
}

#[tokio::test]
async fn a_server_that_begins_with_a_flood() {
    starts("flood").await;
}

/// A call that is under way.
async fn slow(client: &Client, ms: u32) -> Reply {
    let meta = json!({ "progressToken": "begun" });
    let params = json!({ "name": "slow", "arguments": { "ms": ms }, "_meta": meta });
    let mut reply = client.send("tools/call", params).await;
    let begun = reply.next().await.unwrap();
    assert_eq!(begun["method"], "notifications/progress", "{begun}");
    reply
}

/// A stateless client that goes away has cancelled its call, whatever the upstream.
#[tokio::test]
async fn clients_that_vanish_have_cancelled() {
    for era in ["handshake", "stateless"] {
        let upstream = Upstream::fixture("everything", &["--era", era]).await;
        let (command, url) = (binary("everything"), &upstream.url);
        let gateway = Gateway::start(&format!(
            r#"
            [servers.web]
            url = "{url}"
            allow-private = true
            [servers.child]
            command = {command:?}
            args = ["stdio", "--era", "{era}"]
            "#
        ))
        .await;
        for server in ["web", "child"] {
            let client = gateway.client_of(server, Era::Stateless).await;
            let count = async || {
                client.call_text("cancelled_count", json!({})).await.parse::<u32>().unwrap()
            };
            assert_eq!(count().await, 0);
            drop(slow(&client, 600_000).await);
            eventually("the call is cancelled", async || count().await == 1).await;
        }
    }
}

/// A handshake client that goes away has not: it may come back for the result.
#[tokio::test]
async fn handshake_clients_that_vanish_have_not_cancelled() {
    let command = binary("everything");
    let server = format!("[servers.child]\ncommand = {command:?}\nargs = [\"stdio\"]\n");
    let gateway = Gateway::start(&server).await;
    let client = gateway.client_of("child", Era::Handshake).await;
    drop(slow(&client, 1500).await);
    // Nothing tells that something will never happen but the time in which it could have.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(client.call_text("cancelled_count", json!({})).await, "0");
}

/// Clients that send their request a byte at a time, or never the rest of it.
#[tokio::test]
async fn clients_that_trickle_hold_nobody_up() {
    let (gateway, _upstream) = gateway("both", "well").await;
    good(&gateway).await;
    let mut trickling = JoinSet::new();
    for at in 0..300 {
        let address = gateway.address.clone();
        trickling.spawn(async move {
            let mut stream = TcpStream::connect(&address).await.unwrap();
            let head =
                format!("POST /mcp HTTP/1.1\r\nhost: {address}\r\ncontent-length: 100000\r\n\r\n");
            // A third never begins, a third is in its headers, a third in its body.
            let bytes = match at % 3 {
                0 => "",
                1 => &head[..30],
                _ => &head,
            };
            stream.write_all(bytes.as_bytes()).await.unwrap();
            loop {
                tokio::time::sleep(Duration::from_millis(100)).await;
                if bytes.is_empty() || stream.write_all(b" ").await.is_err() {
                    return;
                }
            }
        });
    }
    for _ in 0..20 {
        good(&gateway).await;
    }
    trickling.abort_all();
    within_bounds(&gateway);
}

/// Clients that ask for much and read nothing of it.
#[tokio::test]
async fn clients_that_never_read_hold_nobody_up() {
    let (gateway, _upstream) = gateway("both", "well").await;
    let mut asleep = Vec::new();
    for server in ["bad", "bad-web"] {
        let client = gateway.client_of(server, Era::Stateless).await;
        let mut flood = client.with_meta(json!({ "name": "flood", "arguments": {} }));
        flood["_meta"]["io.modelcontextprotocol/logLevel"] = json!("debug");
        for _ in 0..8 {
            // A million notifications that it wants, of which it reads one.
            let mut reply = client.prepare("tools/call", flood.clone()).send().await;
            let first = reply.next().await.unwrap();
            assert_eq!(first["method"], "notifications/message", "{server}: {first}");
            asleep.push(reply);
        }
    }
    for _ in 0..20 {
        good(&gateway).await;
        within_bounds(&gateway);
    }
    // Whoever reads the rest still gets it, but for the process whose eight calls share a pipe.
    let mut reply = asleep.pop().unwrap();
    let read = async {
        while let Some(message) = reply.next().await {
            if message.get("id").is_some() {
                return message;
            }
        }
        panic!("the stream ended without an answer");
    };
    let answer = tokio::time::timeout(PATIENCE, read).await.expect("an answer in time");
    assert!(answer.is_object(), "{answer}");
    within_bounds(&gateway);
}

/// A body or a head that is too long is refused without being kept.
#[tokio::test]
async fn messages_that_are_too_long_are_refused() {
    let (gateway, _upstream) = gateway("both", "well").await;
    let client = gateway.client_of("good", Era::Stateless).await;
    let mut stream = TcpStream::connect(&gateway.address).await.unwrap();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
        gateway.address
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = [b"100000\r\n".as_slice(), &[b' '; 0x10_0000], b"\r\n"].concat();
    let mut sent = 0;
    while sent < 200 && stream.write_all(&chunk).await.is_ok() {
        sent += 1;
    }
    assert!(sent < 200, "200 MiB were taken");
    let mut said = String::new();
    let _ = tokio::time::timeout(SOON, stream.read_to_string(&mut said)).await;
    if !said.is_empty() {
        assert!(said.starts_with("HTTP/1.1 4"), "{said}");
    }

    let long = "x".repeat(1 << 20);
    let mut stream = TcpStream::connect(&gateway.address).await.unwrap();
    let head = format!("POST /mcp HTTP/1.1\r\nhost: {}\r\nx-long: {long}\r\n\r\n", gateway.address);
    let _ = stream.write_all(head.as_bytes()).await;
    let mut said = String::new();
    let _ = tokio::time::timeout(SOON, stream.read_to_string(&mut said)).await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");

    let arguments = json!({ "text": "x".repeat(5 << 20) });
    let reply = client.send("tools/call", json!({ "name": "echo", "arguments": arguments })).await;
    assert!(reply.status == StatusCode::OK || reply.status.is_client_error(), "{}", reply.status);
    good(&gateway).await;
    within_bounds(&gateway);
}

/// When the gateway ends, so do its children; none is left behind, mute or not.
#[tokio::test]
async fn no_child_outlives_the_gateway() {
    for start in ["well", "mute"] {
        let (mut gateway, _upstream) = gateway("both", start).await;
        good(&gateway).await;
        let client = gateway.client_of("bad", Era::Stateless).await;
        let _ = tokio::time::timeout(Duration::from_secs(1), client.call("hang", json!({}))).await;
        let children = gateway.children();
        assert!(!children.is_empty());
        gateway.stop().await;
        eventually("the children have ended", async || {
            children.iter().all(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists())
        })
        .await;
    }
}
