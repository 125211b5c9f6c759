//! Links over HTTP to stateless servers, and finding out the era.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::HeaderValue;
use mcp::Era;
use serde_json::{Value, json};
use support::web::{self, Say, Seen, Server, client};
use support::{Caller, partition, soon, until, value};
use upstream::{
    EraChoice, Event, HttpTarget, Link, LinkFault, LinkLimits, LogWish, Outgoing, Subscription,
    Wanted,
};

fn discover(seen: &Seen) -> Say {
    let meta = json!({"io.modelcontextprotocol/serverInfo": {"name": "web", "version": "2"}});
    let result = json!({"resultType": "complete", "supportedVersions": ["2024-11-05", "2026-07-28"],
        "capabilities": {"tools": {}}, "_meta": meta, "ttlMs": 60000, "cacheScope": "public"});
    Say::result(seen, result)
}

/// Answers `server/discover`, and everything else by the script.
async fn modern(script: impl Fn(&Seen) -> Say + Send + Sync + 'static) -> Server {
    let answer = move |seen: &Seen| match seen.rpc() {
        "server/discover" => discover(seen),
        _ => script(seen),
    };
    Server::start(answer).await
}

fn done(seen: &Seen) -> Say {
    Say::result(seen, json!({"content": []}))
}

#[tokio::test]
async fn headers_and_meta() {
    let server = modern(done).await;
    let link = server.link(EraChoice::Auto, LinkLimits::default());
    let mut caller = Caller::new(r#"{"sampling":{}}"#);
    caller.client.log = LogWish::Level("error".into());
    caller.client.info = Some(support::json(r#"{"name":"c","version":"0"}"#));
    let params = support::json(
        r#"{"name":"größe","arguments":{"n":1e2},"_meta":{"traceparent":"00-x","progressToken":"a"}}"#,
    );
    let mut credential = http::HeaderMap::new();
    credential.insert("authorization", HeaderValue::from_static("Bearer server-side"));
    let out = Outgoing {
        partition: &caller.partition,
        principal: "p",
        method: "tools/call",
        params: params.json(),
        client: &caller.client,
        param_headers: vec![("mcp-param-n".parse().unwrap(), HeaderValue::from_static("100"))],
        credential: credential.into(),
        deadline: soon(10),
    };
    let answer = link.send(out, &caller.events).await.unwrap();
    assert_eq!(answer.era, Era::Stateless);
    assert_eq!(answer.outcome.unwrap().json().text(), r#"{"content":[]}"#);

    let seen = server.rpc("tools/call").remove(0);
    assert_eq!(seen.header("mcp-protocol-version"), "2026-07-28");
    assert_eq!(seen.header("mcp-method"), "tools/call");
    assert_eq!(seen.header("mcp-name"), "=?base64?Z3LDtsOfZQ==?=");
    assert_eq!(seen.header("mcp-param-n"), "100");
    assert_eq!(seen.header("authorization"), "Bearer server-side");
    assert_eq!(seen.header("accept"), "application/json, text/event-stream");
    assert_eq!(seen.header("content-type"), "application/json");
    let expected = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {"sampling": {}},
        "io.modelcontextprotocol/clientInfo": {"name": "c", "version": "0"},
        "io.modelcontextprotocol/logLevel": "error",
        "traceparent": "00-x", "progressToken": seen.id(),
    });
    assert_eq!(seen.body["params"]["_meta"], expected);
    assert_eq!(server.rpc("server/discover").len(), 1);
}

#[tokio::test]
async fn a_stream_brings_events_then_the_answer() {
    let server = modern(|seen| {
        let (id, token) = (seen.id().clone(), seen.body["params"]["_meta"]["progressToken"].clone());
        Say::stream(async move |mut events| {
            let note = |method: &str, params: Value| json!({"jsonrpc": "2.0", "method": method, "params": params});
            for step in 0..200 {
                events.data(&note("notifications/progress", json!({"progressToken": token, "progress": step}))).await;
            }
            events.data(&note("notifications/progress", json!({"progressToken": 99, "progress": 1}))).await;
            events.data(&note("notifications/message", json!({"level": "info", "data": 1}))).await;
            events.data(&json!({"jsonrpc": "2.0", "id": "s", "method": "roots/list"})).await;
            events.raw(": keep-alive\r\n\r\n").await;
            events.data(&json!({"jsonrpc": "2.0", "id": id, "result": {"ok": 1.10}})).await;
            events.closed().await;
        })
    })
    .await;
    let link = server.link(EraChoice::Auto, LinkLimits::default());
    let mut caller = Caller::new("{}");
    caller.client.log = LogWish::Default;
    let params = support::json(r#"{"name":"t","_meta":{"progressToken":"mine"}}"#);
    let mut heard = 0;
    let mut messages = 0;
    let (events, mut receive) = tokio::sync::mpsc::channel::<Event>(2);
    let out = Outgoing {
        partition: &caller.partition,
        principal: "p",
        method: "tools/call",
        params: params.json(),
        client: &caller.client,
        param_headers: Vec::new(),
        credential: upstream::Credential::default(),
        deadline: soon(10),
    };
    let reading = async {
        while let Some(event) = receive.recv().await {
            if event.method == "notifications/message" {
                messages += 1;
            } else {
                assert_eq!(value(&event.params)["progressToken"], "mine");
                assert_eq!(value(&event.params)["progress"], heard);
                heard += 1;
            }
        }
    };
    let calling = async {
        let answer = link.send(out, &events).await;
        drop(events);
        answer
    };
    let (answer, ()) = tokio::join!(calling, reading);
    assert_eq!(answer.unwrap().outcome.unwrap().json().text(), r#"{"ok":1.1}"#);
    assert_eq!((heard, messages), (200, 1), "back-pressure: nothing is lost");
    assert_eq!(link.status().dropped_events, 1);
    assert_eq!(link.status().garbage, 1);
}

#[tokio::test]
async fn a_calls_stream_carries_nothing_else() {
    let server = modern(|seen| {
        let (id, token) =
            (seen.id().clone(), seen.body["params"]["_meta"]["progressToken"].clone());
        Say::stream(async move |mut events| {
            for (method, params) in [
                ("notifications/resources/updated", json!({"uri": "r:"})),
                ("notifications/cancelled", json!({"requestId": id, "reason": "x"})),
                ("notifications/tools/list_changed", json!({})),
                ("notifications/subscriptions/acknowledged", json!({"notifications": {}})),
                ("notifications/elicitation/complete", json!({"elicitationId": "e"})),
                ("x/anything", json!({})),
                ("notifications/progress", json!({"progress": 1})),
                ("notifications/progress", json!({"progressToken": token, "progress": 1})),
                ("notifications/message", json!({"level": "info", "data": 1})),
            ] {
                events.data(&json!({"jsonrpc": "2.0", "method": method, "params": params})).await;
            }
            events.data(&json!({"jsonrpc": "2.0", "id": id, "result": {}})).await;
        })
    })
    .await;
    let link = server.link(EraChoice::Stateless, LinkLimits::default());
    let mut caller = Caller::new("{}");
    caller.client.log = LogWish::Default;
    let params = r#"{"name":"t","_meta":{"progressToken":"mine"}}"#;
    caller.send(&link, "tools/call", params).await.unwrap();
    let heard: Vec<String> = caller.heard().into_iter().map(|event| event.method).collect();
    assert_eq!(heard, ["notifications/progress", "notifications/message"]);
    assert_eq!(link.status().dropped_events, 7);
}

#[tokio::test]
async fn dropping_closes_the_stream() {
    let closed = Arc::new(AtomicUsize::new(0));
    let count = closed.clone();
    let server = modern(move |_| {
        let count = count.clone();
        Say::stream(async move |events| {
            events.closed().await;
            count.fetch_add(1, Ordering::Relaxed);
        })
    })
    .await;
    let link = server.link(EraChoice::Stateless, LinkLimits::default());
    let mut caller = Caller::new("{}");
    caller.deadline = Duration::from_millis(100);
    let late = caller.send(&link, "tools/call", r#"{"name":"t"}"#).await;
    assert_eq!(late.unwrap_err(), LinkFault::Deadline);
    until("the server saw it", async || closed.load(Ordering::Relaxed) == 1).await;
    assert!(server.rpc("notifications/cancelled").is_empty());
    assert_eq!(link.status().in_flight, 0);
}

#[tokio::test]
async fn refusals_and_errors() {
    let server = modern(|seen| match seen.tool() {
        "missing" => Say::error(404, seen, -32601),
        "header" => Say::error(400, seen, -32020),
        "unread" => {
            Say::json(400, &json!({"jsonrpc": "2.0", "error": {"code": -32700, "message": "x"}}))
        }
        "denied" => Say::error(401, seen, -32000).with("www-authenticate", "Bearer scope=\"x\""),
        "broken" => Say::status(502),
        "moved" => Say::status(302).with("location", "http://127.0.0.1:1/"),
        "html" => Say::json(200, &json!(1)).with("content-type", "text/html"),
        "foreign" => Say::json(200, &json!({"jsonrpc": "2.0", "id": 424242, "result": {}})),
        "double" => {
            let mut say = done(seen);
            let text = format!(r#"{{"jsonrpc":"2.0","id":{0},"id":{0},"result":{{}}}}"#, seen.id());
            say.body = web::Body::Text(text);
            say
        }
        "big" => Say::result(seen, json!({"x": "x".repeat(300_000)})),
        _ => Say::status(202),
    })
    .await;
    let limits = LinkLimits { message_bytes: 200_000, ..LinkLimits::default() };
    let link = server.link(EraChoice::Auto, limits);
    let caller = Caller::new("{}");
    let call = async |name: &str| {
        caller.send(&link, "tools/call", &format!(r#"{{"name":"{name}"}}"#)).await
    };
    for (name, code) in [("missing", -32601), ("header", -32020), ("unread", -32700)] {
        assert_eq!(value(&call(name).await.unwrap().outcome.unwrap_err())["code"], code);
    }
    let challenge = Some("Bearer scope=\"x\"".to_owned());
    assert_eq!(call("denied").await.unwrap_err(), LinkFault::Http { status: 401, challenge });
    for (name, status) in [("broken", 502), ("moved", 302)] {
        assert_eq!(call(name).await.unwrap_err(), LinkFault::Http { status, challenge: None });
    }
    for name in ["html", "foreign", "double", "big", "empty"] {
        assert!(matches!(call(name).await, Err(LinkFault::Garbage(_))), "{name}");
    }
    assert_eq!(link.status().era, Some(Era::Stateless));
}

#[tokio::test]
async fn outages_and_credentials_say_nothing_of_the_era() {
    for status in [401, 403, 429, 500, 503] {
        let well = Arc::new(AtomicBool::new(false));
        let now = well.clone();
        let server = Server::start(move |seen| match now.load(Ordering::Relaxed) {
            true if seen.rpc() == "server/discover" => discover(seen),
            true => done(seen),
            false => Say::status(status),
        })
        .await;
        let link = server.link(EraChoice::Auto, LinkLimits::default());
        let caller = Caller::new("{}");
        let refused = caller.send(&link, "tools/list", "{}").await;
        assert_eq!(refused.unwrap_err(), LinkFault::Http { status, challenge: None });
        assert_eq!(link.status().era, None);
        well.store(true, Ordering::Relaxed);
        assert!(caller.send(&link, "tools/list", "{}").await.is_ok());
        assert!(server.rpc("initialize").is_empty());
    }
}

#[tokio::test]
async fn offers_are_kept_by_partition() {
    let server = modern(done).await;
    let link = server.link(EraChoice::Stateless, LinkLimits::default());
    let caller = Caller::new("{}");
    for (name, count) in [("p", 1), ("p", 1), ("q", 2), ("p", 2)] {
        let offer = link
            .offer(&partition(name), &caller.client, &caller.credential, soon(5))
            .await
            .unwrap();
        assert_eq!(value(&offer.info)["version"], "2");
        assert_eq!(server.rpc("server/discover").len(), count);
    }
}

#[tokio::test]
async fn addresses_are_guarded() {
    let server = modern(done).await;
    let caller = Caller::new("{}");
    let port = server.address.port();
    let send = async |host: &str, allow_private| {
        let url = format!("http://{host}:{port}/mcp").parse().unwrap();
        let target = HttpTarget { url, era: EraChoice::Stateless, allow_private };
        let link = Link::http(support::name(), target, client(), LinkLimits::default());
        caller.send(&link, "tools/list", "{}").await
    };
    assert!(send("127.0.0.1", false).await.is_ok());
    assert!(send("localhost", false).await.is_ok());
    for host in ["169.254.169.254", "[::ffff:169.254.169.254]", "[fd00:ec2::254]"] {
        let refused = send(host, false).await;
        assert!(matches!(refused, Err(LinkFault::Forbidden(_))), "{host} {refused:?}");
    }
    // Names of other shapes that resolve to the loopback.
    for host in ["127.1", "0x7f000001", "2130706433"] {
        let refused = send(host, false).await;
        let safe = matches!(refused, Err(LinkFault::Forbidden(_) | LinkFault::Unreachable(_)));
        assert!(safe, "{host} {refused:?}");
    }
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{nobody}/").parse().unwrap();
    let target = HttpTarget { url, era: EraChoice::Auto, allow_private: false };
    let link = Link::http(support::name(), target, client(), LinkLimits::default());
    let gone = caller.send(&link, "tools/list", "{}").await;
    assert!(matches!(gone, Err(LinkFault::Unreachable(_))), "{gone:?}");
    assert_eq!(link.status().era, None);
}

#[tokio::test]
async fn subscriptions() {
    let round = Arc::new(AtomicUsize::new(0));
    let server = modern(move |seen| {
        let first = round.fetch_add(1, Ordering::Relaxed) == 0;
        let id = seen.id().clone();
        let wanted = seen.body["params"]["notifications"].clone();
        Say::stream(async move |mut events| {
            let note = |method: &str, mut params: Value, tag: &Value| {
                params["_meta"] = json!({"io.modelcontextprotocol/subscriptionId": tag, "keep": 1});
                json!({"jsonrpc": "2.0", "method": format!("notifications/{method}"), "params": params})
            };
            let ack = note("subscriptions/acknowledged", json!({"notifications": wanted}), &id);
            events.data(&ack).await;
            events.data(&note("tools/list_changed", json!({}), &json!(77))).await;
            events.data(&note("tools/list_changed", json!({}), &id)).await;
            if first {
                return; // the stream breaks
            }
            events.data(&note("resources/updated", json!({"uri": "a:"}), &id)).await;
            events.closed().await;
        })
    })
    .await;
    let link = server.link(EraChoice::Auto, LinkLimits::default());
    let caller = Caller::new("{}");
    let wanted =
        Wanted { tools_list_changed: true, resource_uris: vec!["a:".into()], ..Wanted::default() };
    let mut heard: Subscription = link
        .listen(&caller.partition, &caller.client, &caller.credential, wanted.clone())
        .await
        .unwrap();
    assert_eq!(heard.honoured, wanted);
    let mut got = Vec::new();
    while got.len() < 4 {
        let event = heard.events.recv().await.unwrap();
        got.push((event.method.replace("notifications/", ""), value(&event.params)));
    }
    let keep = json!({"_meta": {"keep": 1}});
    assert_eq!(got[0], ("tools/list_changed".into(), keep.clone()));
    assert_eq!(got[1], ("tools/list_changed".into(), json!({})), "after the gap");
    assert_eq!(got[2], ("tools/list_changed".into(), keep));
    assert_eq!(got[3].1["uri"], "a:");
    assert_eq!(server.rpc("subscriptions/listen").len(), 2);
}

#[tokio::test]
async fn a_server_without_subscriptions_honours_nothing() {
    let server = modern(|seen| Say::error(404, seen, -32601)).await;
    let link = server.link(EraChoice::Auto, LinkLimits::default());
    let caller = Caller::new("{}");
    let wanted = Wanted { tools_list_changed: true, ..Wanted::default() };
    let listening = link.listen(&caller.partition, &caller.client, &caller.credential, wanted);
    assert_eq!(listening.await.unwrap().honoured, Wanted::default());
}
