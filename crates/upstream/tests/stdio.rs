//! Links to processes, against a scripted peer.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use mcp::Era;
use support::{Caller, json, runs, scripted, soon, text, until, value, zombies};
use upstream::{EraChoice, LinkFault, LinkLimits, LogWish};

fn limits() -> LinkLimits {
    LinkLimits { probe: Duration::from_secs(2), ..LinkLimits::default() }
}

#[tokio::test]
async fn stateless_keeps_the_probed_process() {
    let (link, starts) = scripted("stateless", EraChoice::Auto, limits());
    let caller = Caller::new(r#"{"roots":{}}"#);
    let echo = caller.tool(&link, "echo", r#"{"big":123456789012345678901234567890}"#).await;
    assert_eq!(link.status().era, Some(Era::Stateless));
    let meta = &echo["params"]["_meta"];
    assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
    assert_eq!(meta["io.modelcontextprotocol/clientCapabilities"]["roots"], serde_json::json!({}));
    let other = Caller { client: support::facts("{}"), ..Caller::new("{}") };
    let again = other.tool(&link, "echo", "{}").await;
    assert_eq!(echo["pid"], again["pid"], "one process for all clients of a partition");
    assert_eq!(starts.load(Ordering::Relaxed), 1);

    let offer =
        link.offer(&caller.partition, &caller.client, &caller.credential, soon(5)).await.unwrap();
    assert_eq!(offer.version.as_str(), "2026-07-28");
    assert_eq!(value(&offer.info)["name"], "peer");
    assert_eq!(offer.instructions.as_deref(), Some("hi"));
    link.shutdown().await;
}

#[tokio::test]
async fn handshake_gets_a_fresh_process() {
    for era in ["handshake", "fragile"] {
        let (link, starts) = scripted(era, EraChoice::Auto, limits());
        let caller = Caller::new("{}");
        let offer = link
            .offer(&caller.partition, &caller.client, &caller.credential, soon(15))
            .await
            .unwrap();
        assert_eq!(offer.version.as_str(), "2025-11-25");
        let echo = caller
            .send(
                &link,
                "tools/call",
                r#"{"name":"echo","_meta":{"io.modelcontextprotocol/clientCapabilities":{},"x":1}}"#,
            )
            .await
            .unwrap();
        assert_eq!(echo.era, Era::Handshake);
        assert_eq!(text(&echo)["params"]["_meta"], serde_json::json!({"x": 1}));
        assert_eq!(starts.load(Ordering::Relaxed), 2, "the probe and the session");
        link.shutdown().await;
        assert_eq!(zombies(), 0);
    }
}

#[tokio::test]
async fn silence_on_the_probe_means_handshake() {
    let limits = LinkLimits { probe: Duration::from_millis(300), ..limits() };
    let (link, _) = scripted("mute", EraChoice::Auto, limits);
    Caller::new("{}").tool(&link, "echo", "{}").await;
    assert_eq!(link.status().era, Some(Era::Handshake));
}

#[tokio::test]
async fn partitions_and_capabilities_have_their_own_session() {
    let (link, _) = scripted("handshake", EraChoice::Handshake, limits());
    let one = Caller::new(r#"{"roots":{},"sampling":{}}"#);
    let same = Caller::new(r#"{ "sampling":{}, "roots":{} }"#);
    let less = Caller::new("{}");
    let other = Caller { partition: support::partition("q"), ..Caller::new("{}") };
    let mut pids = Vec::new();
    for caller in [&one, &same, &less, &other] {
        pids.push(caller.tool(&link, "echo", "{}").await["pid"].as_u64().unwrap());
    }
    assert_eq!(pids[0], pids[1]);
    assert!(pids[0] != pids[2] && pids[2] != pids[3]);
    assert_eq!(link.status().alive, 3);
    link.shutdown().await;
    assert!(pids.iter().all(|pid| !runs(*pid)) && zombies() == 0);
    assert!(matches!(one.send(&link, "tools/list", "{}").await, Err(LinkFault::Lost(_))));
}

#[tokio::test]
async fn dropping_and_deadlines_cancel() {
    for era in ["stateless", "handshake"] {
        let (link, _) = scripted(era, EraChoice::Auto, limits());
        let mut caller = Caller::new("{}");
        caller.tool(&link, "echo", "{}").await;
        let hang = r#"{"name":"hang"}"#;
        {
            let params = json(hang);
            let call = caller.send_json(&link, "tools/call", params.json());
            assert!(tokio::time::timeout(Duration::from_millis(100), call).await.is_err());
        }
        caller.deadline = Duration::from_millis(100);
        assert_eq!(caller.send(&link, "tools/call", hang).await.unwrap_err(), LinkFault::Deadline);
        caller.deadline = Duration::from_secs(20);
        let state = caller.tool(&link, "state", "{}").await;
        assert_eq!(state["cancelled"].as_array().unwrap().len(), 2, "{era}");
        assert_eq!(link.status().in_flight, 0);
        link.shutdown().await;
    }
}

#[tokio::test]
async fn progress_tokens_come_back() {
    for era in ["stateless", "handshake"] {
        let (link, _) = scripted(era, EraChoice::Auto, limits());
        let mut caller = Caller::new("{}");
        for token in [r#""tok\u0065n""#, "7.50"] {
            let params = format!(r#"{{"name":"progress","_meta":{{"progressToken":{token}}}}}"#);
            caller.send(&link, "tools/call", &params).await.unwrap();
            let heard = caller.heard();
            assert_eq!(heard.len(), 3);
            for (step, event) in heard.iter().enumerate() {
                assert_eq!(event.method, "notifications/progress");
                let raw = event.params.json().get("progressToken").unwrap().text();
                assert_eq!(raw, token);
                assert_eq!(value(&event.params)["progress"], step);
            }
        }
        link.shutdown().await;
    }
}

#[tokio::test]
async fn log_levels() {
    let (link, _) = scripted("handshake", EraChoice::Handshake, limits());
    let mut caller = Caller::new("{}");
    for (wish, expected) in [
        (LogWish::None, 0),
        (LogWish::Default, 4),
        (LogWish::Level("warning".into()), 2),
        (LogWish::Level("warning".into()), 2),
        (LogWish::Level("debug".into()), 4),
    ] {
        caller.client.log = wish;
        caller.tool(&link, "log", "{}").await;
        assert_eq!(caller.heard().len(), expected);
    }
    caller.client.log = LogWish::None;
    let state = caller.tool(&link, "state", "{}").await;
    assert_eq!(state["levels"], serde_json::json!(["warning", "debug"]));
    link.shutdown().await;
}

#[tokio::test]
async fn garbage_and_foreign_replies_are_counted() {
    let (link, _) = scripted("stateless", EraChoice::Auto, limits());
    let caller = Caller::new("{}");
    assert_eq!(caller.tool(&link, "garbage", "{}").await, "done");
    assert_eq!(link.status().garbage, 3);
    assert_eq!(caller.tool(&link, "foreign", "{}").await, "mine");
    assert_eq!(link.status().unknown_replies, 2);
    caller.tool(&link, "stderr", "{}").await;
    until("stderr is read", async || link.status().stderr.contains("oops")).await;
    link.shutdown().await;
}

#[tokio::test]
async fn an_overlong_line_loses_the_process_only() {
    let limits = LinkLimits { message_bytes: 100_000, ..limits() };
    let (link, _) = scripted("stateless", EraChoice::Auto, limits);
    let caller = Caller::new("{}");
    let first = caller.tool(&link, "echo", "{}").await["pid"].as_u64().unwrap();
    let long = r#"{"name":"long","arguments":{"bytes":300000}}"#;
    let hang = r#"{"name":"hang"}"#;
    let (one, two) = tokio::join!(
        caller.send(&link, "tools/call", hang),
        caller.send(&link, "tools/call", long)
    );
    assert!(matches!(one, Err(LinkFault::Lost(_))) && matches!(two, Err(LinkFault::Lost(_))));
    assert_ne!(caller.tool(&link, "echo", "{}").await["pid"], first);
    assert_eq!(link.status().restarts, 1);
    until("the first process is gone", async || !runs(first)).await;
    link.shutdown().await;
    until("all are reaped", async || zombies() == 0).await;
}

#[tokio::test]
async fn crashes_lose_calls_restart_and_back_off() {
    let (link, starts) = scripted("stateless", EraChoice::Auto, limits());
    let mut caller = Caller::new("{}");
    let mut crashes = 0;
    let slow = loop {
        match caller.send(&link, "tools/call", r#"{"name":"crash"}"#).await {
            Err(LinkFault::Lost(why)) => assert!(why.contains("exit status: 3"), "{why}"),
            Err(LinkFault::Start(why)) => break why,
            other => panic!("{other:?}"),
        }
        crashes += 1;
    };
    assert!(slow.contains("next try") && crashes >= 4, "{crashes} {slow}");
    assert!(link.status().paused.unwrap() > Duration::from_secs(1));
    assert_eq!(starts.load(Ordering::Relaxed), crashes);
    // Another partition is not punished.
    caller.partition = support::partition("other");
    caller.tool(&link, "echo", "{}").await;
    link.shutdown().await;
    assert_eq!(zombies(), 0);
}

#[tokio::test]
async fn a_process_that_does_not_start_says_so() {
    let (link, _) = scripted("dies", EraChoice::Auto, limits());
    let caller = Caller::new("{}");
    let fault = caller.send(&link, "tools/list", "{}").await.unwrap_err();
    assert!(matches!(&fault, LinkFault::Start(why) if why.contains("exit status: 7")), "{fault:?}");
    assert_eq!(link.status().era, None);
    assert_eq!(link.status().last_fault, Some(fault));
}

#[tokio::test]
async fn floods_drop_events_and_delay_nobody() {
    let (link, _) = scripted("stateless", EraChoice::Auto, limits());
    let caller = Caller::new("{}");
    let params = r#"{"name":"flood","arguments":{"count":20000},"_meta":{"progressToken":1}}"#;
    // Nobody reads the events: the call and its neighbour end all the same.
    let neighbour = Caller::new("{}");
    let (flood, echo) =
        tokio::join!(caller.send(&link, "tools/call", params), neighbour.tool(&link, "echo", "{}"));
    assert_eq!(text(&flood.unwrap()), "done");
    assert!(echo["pid"].is_u64());
    assert_eq!(link.status().dropped_events, 20_000 - 64);
    link.shutdown().await;
}

#[tokio::test]
async fn a_deaf_child_blocks_only_its_callers() {
    let limits = LinkLimits { message_bytes: 1 << 20, ..limits() };
    let (link, _) = scripted("stateless", EraChoice::Auto, limits);
    let mut caller = Caller::new("{}");
    caller.tool(&link, "echo", "{}").await;
    caller.deadline = Duration::from_millis(200);
    let deaf = caller.send(&link, "tools/call", r#"{"name":"deaf"}"#).await;
    assert_eq!(deaf.unwrap_err(), LinkFault::Deadline);
    let big = format!(r#"{{"name":"echo","arguments":{{"x":"{}"}}}}"#, "x".repeat(900_000));
    let mut faults = Vec::new();
    for _ in 0..4 {
        faults.push(caller.send(&link, "tools/call", &big).await.unwrap_err());
    }
    assert!(faults.contains(&LinkFault::Full), "{faults:?}");
    let other = Caller { partition: support::partition("q"), ..Caller::new("{}") };
    other.tool(&link, "echo", "{}").await;
    link.shutdown().await;
    assert_eq!(zombies(), 0);
}

#[tokio::test]
async fn bounds_hold() {
    let limits = LinkLimits { in_flight: 2, sessions: 1, ..limits() };
    let (link, _) = scripted("stateless", EraChoice::Stateless, limits);
    let caller = Caller::new("{}");
    let other = Caller { partition: support::partition("q"), ..Caller::new("{}") };
    let hang = r#"{"name":"hang"}"#;
    let mut first = Box::pin(caller.send(&link, "tools/call", hang));
    let crowd = async {
        until("one is in flight", async || link.status().in_flight == 1).await;
        let session = other.send(&link, "tools/list", "{}").await.unwrap_err();
        let neighbour = Caller { principal: Some("r"), ..Caller::new("{}") };
        let mut second = Box::pin(neighbour.send(&link, "tools/call", hang));
        let third = async {
            until("two are in flight", async || link.status().in_flight == 2).await;
            let late = Caller { principal: Some("s"), ..Caller::new("{}") };
            late.send(&link, "tools/call", hang).await.unwrap_err()
        };
        let call = tokio::select! { _ = &mut second => panic!("answered"), fault = third => fault };
        (session, call)
    };
    let faults = tokio::select! { _ = &mut first => panic!("answered"), faults = crowd => faults };
    assert_eq!(faults, (LinkFault::Full, LinkFault::Full));
    drop(first);
    // An idle session makes room.
    until("there is room", async || other.send(&link, "tools/list", "{}").await.is_ok()).await;
    assert_eq!(link.status().alive, 1);
    link.shutdown().await;
}

#[tokio::test]
async fn idle_processes_stop() {
    let limits = LinkLimits { idle: Duration::from_millis(200), ..limits() };
    let (link, _) = scripted("handshake", EraChoice::Auto, limits);
    let caller = Caller::new("{}");
    let pid = caller.tool(&link, "echo", "{}").await["pid"].as_u64().unwrap();
    until("the idle process ended", async || !runs(pid)).await;
    until("and was reaped", async || zombies() == 0).await;
    assert_eq!(link.status().alive, 0);
    let next = caller.tool(&link, "echo", "{}").await["pid"].as_u64().unwrap();
    assert_ne!(next, pid);
    assert_eq!(link.status().restarts, 0, "an idle stop is no crash");
    link.shutdown().await;
}

#[tokio::test]
async fn stubborn_processes_are_killed() {
    let (link, _) = scripted("stubborn", EraChoice::Handshake, limits());
    let caller = Caller::new("{}");
    let pid = caller.tool(&link, "echo", "{}").await["pid"].as_u64().unwrap();
    link.shutdown().await;
    assert!(!runs(pid) && zombies() == 0);
}

#[tokio::test]
async fn a_dropped_link_leaves_no_process() {
    let (link, _) = scripted("handshake", EraChoice::Auto, limits());
    let caller = Caller::new("{}");
    let pid = caller.tool(&link, "echo", "{}").await["pid"].as_u64().unwrap();
    drop(link);
    until("the process ended", async || !runs(pid)).await;
    until("and was reaped", async || zombies() == 0).await;
}
