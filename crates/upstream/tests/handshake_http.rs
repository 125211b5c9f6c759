//! Links over HTTP to handshake servers: sessions, streams, resumption, and the HTTP+SSE pair.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::Method;
use mcp::Era;
use serde_json::{Value, json};
use support::web::{Events, Say, Seen, Server, initialized, old};
use support::{Caller, until, value};
use tokio::sync::{Notify, broadcast, mpsc};
use upstream::{EraChoice, LinkFault, LinkLimits, LogWish, Wanted};

const CLIENT: &str = r#"{"elicitation":{}}"#;

fn reply(seen: &Seen, result: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": seen.id(), "result": result})
}

#[tokio::test]
async fn one_session_with_its_headers() {
    let server = old(|seen| match seen.method {
        Method::GET => Say::status(405),
        _ => Say::result(seen, json!({"ok": true})),
    })
    .await;
    let link = server.link(EraChoice::Auto, LinkLimits::default());
    let caller = Caller::new(CLIENT);
    for _ in 0..3 {
        let answer = caller.send(&link, "tools/call", r#"{"name":"t"}"#).await.unwrap();
        assert_eq!(answer.era, Era::Handshake);
        assert_eq!(value(&answer.outcome.unwrap()), json!({"ok": true}));
    }
    assert_eq!(server.rpc("server/discover").len(), 1);
    let initialize = server.rpc("initialize");
    assert_eq!(initialize.len(), 1);
    assert_eq!(initialize[0].body["params"]["protocolVersion"], "2025-11-25");
    assert_eq!(initialize[0].body["params"]["capabilities"], json!({"elicitation": {}}));
    assert_eq!(initialize[0].body["params"]["clientInfo"]["name"], "bartizan");
    assert_eq!(initialize[0].header("mcp-session-id"), "");
    for seen in server.rpc("notifications/initialized").iter().chain(&server.rpc("tools/call")) {
        assert_eq!(seen.header("mcp-session-id"), "session-1");
        assert_eq!(seen.header("mcp-protocol-version"), "2025-06-18");
        assert_eq!(seen.header("mcp-method"), "");
    }
    until("one GET", async || server.with(&Method::GET).len() == 1).await;
    link.shutdown().await;
    assert_eq!(server.with(&Method::DELETE).len(), 1);
    assert_eq!(server.with(&Method::DELETE)[0].header("mcp-session-id"), "session-1");
}

#[tokio::test]
async fn a_forgotten_session_is_made_again_once() {
    let strict = Arc::new(AtomicBool::new(false));
    let now = strict.clone();
    let server = old(move |seen| {
        let forgotten = seen.header("mcp-session-id") == "session-1" || now.load(Ordering::Relaxed);
        if forgotten { Say::error(404, seen, -32001) } else { Say::result(seen, json!({})) }
    })
    .await;
    let link = server.link(EraChoice::Handshake, LinkLimits::default());
    let caller = Caller::new("{}");
    assert!(caller.send(&link, "tools/list", "{}").await.is_ok());
    let roots = "notifications/roots/list_changed";
    link.notify(&caller.partition, roots, support::json("{}").json());
    link.notify(&support::partition("other"), roots, support::json("{}").json());
    until("it is told", async || server.rpc(roots).len() == 1).await;
    assert_eq!(server.rpc(roots)[0].header("mcp-session-id"), "session-2");
    assert_eq!(server.rpc("initialize").len(), 2);
    assert_eq!(link.status().restarts, 1);
    strict.store(true, Ordering::Relaxed);
    let refused = caller.send(&link, "tools/list", "{}").await.unwrap_err();
    assert_eq!(refused, LinkFault::Http { status: 404, challenge: None });
    assert_eq!(server.rpc("initialize").len(), 3, "one more, no more");
}

#[tokio::test]
async fn an_unknown_method_is_no_forgotten_session() {
    let server = old(|seen| match seen.rpc() {
        "prompts/list" => Say::error(404, seen, -32601),
        _ => Say::result(seen, json!({})),
    })
    .await;
    let link = server.link(EraChoice::Handshake, LinkLimits::default());
    let caller = Caller::new("{}");
    let refused = caller.send(&link, "prompts/list", "{}").await.unwrap();
    assert_eq!(value(&refused.outcome.unwrap_err())["code"], -32601);
    assert!(caller.send(&link, "tools/list", "{}").await.is_ok());
    assert_eq!(server.rpc("initialize").len(), 1);
}

#[tokio::test]
async fn idle_sessions_are_deleted() {
    let server = old(|seen| Say::result(seen, json!({}))).await;
    let limits = LinkLimits { idle: Duration::from_millis(100), ..LinkLimits::default() };
    let link = server.link(EraChoice::Handshake, limits);
    let caller = Caller::new("{}");
    assert!(caller.send(&link, "tools/list", "{}").await.is_ok());
    until("it is deleted", async || server.with(&Method::DELETE).len() == 1).await;
    assert!(caller.send(&link, "tools/list", "{}").await.is_ok());
    assert_eq!(server.rpc("initialize").len(), 2);
    assert_eq!(link.status().restarts, 0);
}

#[tokio::test]
async fn an_ask_on_the_calls_stream() {
    let (answers, _) = broadcast::channel::<Value>(4);
    let heard = answers.clone();
    let server = old(move |seen| {
        if seen.method == Method::GET {
            return Say::status(405);
        }
        if seen.rpc().is_empty() {
            let _ = heard.send(seen.body.clone());
            return Say::status(202);
        }
        let (seen, mut answer) = (seen.clone(), heard.subscribe());
        Say::stream(async move |mut events| {
            let params = json!({"message": "?"});
            events
                .data(&json!({"jsonrpc": "2.0", "id": 5, "method": "elicitation/create", "params": params}))
                .await;
            let answer = answer.recv().await.unwrap();
            assert_eq!(answer["id"], 5);
            events.data(&reply(&seen, answer["result"].clone())).await;
        })
    })
    .await;
    let link = server.link(EraChoice::Auto, LinkLimits::default());
    let caller = Caller::new(CLIENT);
    let asked = caller.send(&link, "tools/call", r#"{"name":"t"}"#).await.unwrap();
    let asked = value(&asked.outcome.unwrap());
    assert_eq!(asked["inputRequests"]["ask-1"]["params"], json!({"message": "?"}));
    let retry = json!({"name": "t", "requestState": asked["requestState"],
        "inputResponses": {"ask-1": {"action": "accept"}}});
    let done = caller.send(&link, "tools/call", &retry.to_string()).await.unwrap();
    assert_eq!(value(&done.outcome.unwrap()), json!({"action": "accept"}));
}

#[tokio::test]
async fn the_get_stream_carries_asks_and_changes() {
    let (feed, _) = broadcast::channel::<Value>(16);
    let (send, answers) = (feed.clone(), Arc::new(AtomicUsize::new(0)));
    let count = answers.clone();
    let server = old(move |seen| {
        if seen.method == Method::GET {
            let mut feed = send.subscribe();
            return Say::stream(async move |mut events: Events| {
                while let Ok(message) = feed.recv().await {
                    events.data(&message).await;
                }
            });
        }
        match seen.rpc() {
            "" => {
                count.fetch_add(1, Ordering::Relaxed);
                Say::status(202)
            }
            "tools/call" => Say::stream(Events::closed),
            _ => Say::result(seen, json!({})),
        }
    })
    .await;
    let link = server.link(EraChoice::Auto, LinkLimits::default());
    let caller = Caller::new(CLIENT);
    let wanted =
        Wanted { tools_list_changed: true, resource_uris: vec!["r:".into()], ..Wanted::default() };
    let mut heard = link
        .listen(&caller.partition, &caller.client, &caller.credential, wanted.clone())
        .await
        .unwrap();
    assert_eq!(heard.honoured, wanted);
    until("the stream is open", async || feed.receiver_count() == 1).await;
    let note =
        |method: &str, params: Value| json!({"jsonrpc": "2.0", "method": method, "params": params});
    feed.send(note("notifications/tools/list_changed", json!({}))).unwrap();
    feed.send(note("notifications/resources/updated", json!({"uri": "other:"}))).unwrap();
    feed.send(note("notifications/resources/updated", json!({"uri": "r:"}))).unwrap();
    assert_eq!(heard.events.recv().await.unwrap().method, "notifications/tools/list_changed");
    assert_eq!(value(&heard.events.recv().await.unwrap().params), json!({"uri": "r:"}));

    let params = support::json(r#"{"name":"t"}"#);
    let call = caller.send_json(&link, "tools/call", params.json());
    let asking = async {
        until("the call is there", async || server.rpc("tools/call").len() == 1).await;
        feed.send(
            json!({"jsonrpc": "2.0", "id": "g", "method": "elicitation/create", "params": {}}),
        )
        .unwrap();
        feed.send(json!({"jsonrpc": "2.0", "id": "h", "method": "ping"})).unwrap();
    };
    let (asked, ()) = tokio::join!(call, asking);
    let asked = value(&asked.unwrap().outcome.unwrap());
    assert_eq!(asked["inputRequests"]["ask-1"]["method"], "elicitation/create");
    until("the ping is answered", async || answers.load(Ordering::Relaxed) == 1).await;
    drop(heard);
    until("the resource is given back", async || server.rpc("resources/unsubscribe").len() == 1)
        .await;
}

#[tokio::test]
async fn a_broken_stream_is_resumed() {
    let calls = Arc::new(std::sync::Mutex::new(None));
    let server = old(move |seen| {
        if seen.method == Method::GET {
            let last = seen.header("last-event-id").to_owned();
            let call: Option<Seen> = calls.lock().unwrap().clone();
            return match (last.as_str(), call) {
                ("e1", _) => Say::stream(async move |mut events| {
                    // A second break, with a newer place to go on from.
                    events.raw("id: e2\nretry: 20\ndata:\n\n").await;
                }),
                ("e2", Some(call)) => Say::stream(async move |mut events| {
                    let text = format!("id: e3\ndata: {}\n\n", reply(&call, json!({"late": true})));
                    events.raw(text).await;
                }),
                _ => Say::status(405),
            };
        }
        *calls.lock().unwrap() = Some(seen.clone());
        if seen.tool() == "cut" {
            return Say::stream(async move |mut events| {
                events.raw(": no place to go on from\n\n").await;
            });
        }
        Say::stream(async move |mut events| {
            events.raw("id: e1\nretry: 20\ndata:\n\n").await;
        })
    })
    .await;
    let link = server.link(EraChoice::Auto, LinkLimits::default());
    let caller = Caller::new("{}");
    let answer = caller.send(&link, "tools/call", r#"{"name":"t"}"#).await.unwrap();
    assert_eq!(value(&answer.outcome.unwrap()), json!({"late": true}));
    let lost = caller.send(&link, "tools/call", r#"{"name":"cut"}"#).await;
    assert!(matches!(lost, Err(LinkFault::Lost(_))), "{lost:?}");
}

#[tokio::test]
async fn a_stream_that_never_comes_back_is_given_up() {
    let server = old(|seen| match seen.method {
        Method::GET => Say::stream(async |mut events| {
            events.raw("retry: 1\n\n").await;
        }),
        _ => Say::stream(async |mut events| {
            events.raw("id: e\nretry: 1\ndata:\n\n").await;
        }),
    })
    .await;
    let link = server.link(EraChoice::Handshake, LinkLimits::default());
    let caller = Caller::new("{}");
    let lost = caller.send(&link, "tools/call", r#"{"name":"t"}"#).await;
    assert!(matches!(lost, Err(LinkFault::Lost(_))), "{lost:?}");
    assert_eq!(server.with(&Method::GET).len(), 5);
}

#[tokio::test]
async fn dropping_cancels_by_notification() {
    let server = old(|_| Say::stream(Events::closed)).await;
    let link = server.link(EraChoice::Handshake, LinkLimits::default());
    let mut caller = Caller::new("{}");
    caller.deadline = Duration::from_millis(100);
    let late = caller.send(&link, "tools/call", r#"{"name":"t"}"#).await;
    assert_eq!(late.unwrap_err(), LinkFault::Deadline);
    until("it was told", async || server.rpc("notifications/cancelled").len() == 1).await;
    let id = server.rpc("tools/call")[0].id().clone();
    let cancelled = &server.rpc("notifications/cancelled")[0];
    assert_eq!(cancelled.body["params"]["requestId"], id);
    assert_eq!(cancelled.header("mcp-session-id"), "session-1");
}

#[tokio::test]
async fn a_discover_that_lists_only_old_versions_means_handshake() {
    let server = Server::start(|seen| match seen.rpc() {
        "server/discover" => Say::result(seen, json!({"supportedVersions": ["2025-11-25"]})),
        "initialize" => initialized(seen, "2025-03-26"),
        "notifications/initialized" => Say::status(202),
        _ => Say::result(seen, json!({})),
    })
    .await;
    let link = server.link(EraChoice::Auto, LinkLimits::default());
    let caller = Caller::new("{}");
    let answer = caller.send(&link, "tools/list", "{}").await.unwrap();
    assert_eq!(answer.era, Era::Handshake);
    // A server without session ids is fine, and nothing is deleted at the end.
    link.shutdown().await;
    assert!(server.with(&Method::DELETE).is_empty());
}

#[tokio::test]
async fn a_replaced_server_is_asked_again() {
    let modern = Arc::new(AtomicBool::new(true));
    let now = modern.clone();
    let server = Server::start(move |seen| {
        let modern = now.load(Ordering::Relaxed);
        match seen.rpc() {
            "server/discover" if modern => {
                Say::result(seen, json!({"supportedVersions": ["2026-07-28"], "capabilities": {}}))
            }
            "initialize" if modern => Say::error(400, seen, -32022),
            "initialize" => initialized(seen, "2025-11-25"),
            "notifications/initialized" => Say::status(202),
            _ if modern || !seen.header("mcp-protocol-version").starts_with("2026") => {
                Say::result(seen, json!({}))
            }
            _ => Say::error(400, seen, -32000),
        }
    })
    .await;
    let link = server.link(EraChoice::Auto, LinkLimits::default());
    let caller = Caller::new("{}");
    assert_eq!(caller.send(&link, "tools/list", "{}").await.unwrap().era, Era::Stateless);
    modern.store(false, Ordering::Relaxed);
    assert_eq!(caller.send(&link, "tools/list", "{}").await.unwrap().era, Era::Handshake);
    modern.store(true, Ordering::Relaxed);
    // A new session is needed for other capabilities, and can't be made.
    let other = Caller::new(CLIENT);
    assert!(other.send(&link, "tools/list", "{}").await.is_err());
    assert_eq!(other.send(&link, "tools/list", "{}").await.unwrap().era, Era::Stateless);
}

#[tokio::test]
async fn the_old_pair() {
    for endpoint in ["/messages?session=1", "http://127.0.0.1:1/elsewhere"] {
        let (feed, messages) = mpsc::unbounded_channel::<Value>();
        let messages = std::sync::Mutex::new(Some(messages));
        let server = Server::start(move |seen| {
            if seen.method == Method::GET {
                let Some(mut messages) = messages.lock().unwrap().take() else {
                    return Say::status(409);
                };
                return Say::stream(async move |mut events| {
                    events.raw(format!("event: endpoint\ndata: {endpoint}\n\n")).await;
                    while let Some(message) = messages.recv().await {
                        events.raw(format!("event: message\ndata: {message}\n\n")).await;
                    }
                });
            }
            if seen.path == "/mcp" {
                return Say::status(405);
            }
            if seen.rpc() == "initialize" {
                let info = json!({"name": "older", "version": "1"});
                let result = json!({"protocolVersion": "2024-11-05", "capabilities": {}, "serverInfo": info});
                feed.send(reply(seen, result)).unwrap();
            } else if !seen.id().is_null() {
                feed.send(reply(seen, json!({"old": true}))).unwrap();
            }
            Say::status(202)
        })
        .await;
        let link = server.link(EraChoice::Auto, LinkLimits::default());
        let caller = Caller::new("{}");
        let answer = caller.send(&link, "tools/list", "{}").await;
        if endpoint.starts_with('/') {
            assert_eq!(value(&answer.unwrap().outcome.unwrap()), json!({"old": true}));
            assert!(caller.send(&link, "tools/list", "{}").await.is_ok());
            assert_eq!(link.status().era, Some(Era::Handshake));
        } else {
            assert!(matches!(answer, Err(LinkFault::Forbidden(_))), "{answer:?}");
        }
        link.shutdown().await;
    }
}

#[tokio::test]
async fn credentials_are_renewed_and_refusals_told() {
    let server = Server::start(|seen| match (seen.header("authorization"), seen.rpc()) {
        ("", _) => Say::status(401).with("www-authenticate", "Bearer"),
        (_, "server/discover") => Say::error(404, seen, -32601),
        (_, "initialize") => initialized(seen, "2025-11-25").with("mcp-session-id", "s"),
        (_, "notifications/initialized") => Say::status(202),
        _ => Say::result(seen, json!({})),
    })
    .await;
    let link = server.link(EraChoice::Handshake, LinkLimits::default());
    let mut caller = Caller::new("{}");
    let refused = caller.send(&link, "tools/list", "{}").await.unwrap_err();
    assert_eq!(refused, LinkFault::Http { status: 401, challenge: Some("Bearer".into()) });
    for token in ["one", "two"] {
        caller.credential.headers.insert("authorization", token.parse().unwrap());
        caller.send(&link, "tools/list", "{}").await.unwrap();
        assert_eq!(server.rpc("tools/list").pop().unwrap().header("authorization"), token);
    }
    assert_eq!(server.rpc("initialize").len(), 2, "the refused one and one more");
}

/// Two callers on one session (`shared = true`): what is sent for one of them never has the other's credential, also when the
/// other called in between.
#[tokio::test]
async fn each_request_has_its_own_callers_credential() {
    let other = Arc::new(Notify::new());
    let server = old(move |seen| match (&seen.method, seen.rpc(), seen.tool()) {
        (&Method::GET, ..) => Say::status(405),
        // The first call is held up before it is sent, by its log level, until the other one is here.
        (_, "logging/setLevel", _) => {
            let (seen, other) = (seen.clone(), other.clone());
            Say::stream(async move |mut events| {
                other.notified().await;
                events.data(&reply(&seen, json!({}))).await;
            })
        }
        (_, "tools/call", "quick") => {
            other.notify_one();
            Say::result(seen, json!({}))
        }
        (_, "tools/call", "ask") => Say::stream(async |mut events| {
            let ask =
                json!({"jsonrpc": "2.0", "id": 5, "method": "elicitation/create", "params": {}});
            events.data(&ask).await;
            events.closed().await;
        }),
        (_, "", _) => Say::status(202),
        _ => Say::result(seen, json!({})),
    })
    .await;
    let link = server.link(EraChoice::Handshake, LinkLimits::default());
    let caller = |principal: &'static str| {
        let mut caller = Caller { principal: Some(principal), ..Caller::new(CLIENT) };
        caller.credential.headers.insert("authorization", principal.parse().unwrap());
        caller
    };
    let (mut alice, bob) = (caller("alice"), caller("bob"));
    alice.client.log = LogWish::Level("debug".into());
    let slow = alice.send(&link, "tools/call", r#"{"name":"slow"}"#);
    let quick = async {
        until("alice waits", async || server.rpc("logging/setLevel").len() == 1).await;
        bob.send(&link, "tools/call", r#"{"name":"quick"}"#).await.unwrap();
    };
    let (done, ()) = tokio::join!(slow, quick);
    done.unwrap();
    let by = |what: &str, seen: Vec<Seen>| -> Vec<String> {
        let of = seen.iter().filter(|seen| seen.tool() == what || what.is_empty());
        of.map(|seen| seen.header("authorization").to_owned()).collect()
    };
    assert_eq!(by("slow", server.rpc("tools/call")), ["alice"]);
    assert_eq!(by("quick", server.rpc("tools/call")), ["bob"]);

    // The answer to what her call asked is hers, and so is its end.
    let asked = alice.send(&link, "tools/call", r#"{"name":"ask"}"#).await.unwrap();
    let asked = value(&asked.outcome.unwrap());
    let retry = json!({"name": "ask", "requestState": asked["requestState"],
        "inputResponses": {"ask-1": {"action": "accept"}}});
    alice.deadline = Duration::from_millis(400);
    let retry = retry.to_string();
    let answering = alice.send(&link, "tools/call", &retry);
    let meanwhile = async {
        until("she answered", async || server.rpc("").iter().any(|seen| seen.id() == 5)).await;
        bob.send(&link, "tools/call", r#"{"name":"quick"}"#).await.unwrap();
    };
    let (late, ()) = tokio::join!(answering, meanwhile);
    assert_eq!(late.unwrap_err(), LinkFault::Deadline);
    until("it is told", async || server.rpc("notifications/cancelled").len() == 1).await;
    let answers = server.rpc("").into_iter().filter(|seen| seen.id() == 5).collect();
    assert_eq!(by("", answers), ["alice"]);
    assert_eq!(by("", server.rpc("notifications/cancelled")), ["alice"]);
}
