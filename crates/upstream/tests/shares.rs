//! What one principal may take of a link that others use too, and what a server may.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::{Duration, Instant};

use http::Method;
use serde_json::json;
use support::web::{Events, Say, old};
use support::{Caller, facts, partition, scripted, until, value};
use upstream::{EraChoice, LinkFault, LinkLimits};

const CALL: &str = r#"{"name":"t"}"#;
const ASK: &str = r#"{"name":"ask","arguments":{}}"#;

/// Clients that do differ for a server.
fn capabilities() -> Vec<String> {
    let mut all = Vec::new();
    for elicitation in ["", r#""elicitation":{}"#, r#""elicitation":{"url":{}}"#] {
        for sampling in ["", r#""sampling":{}"#, r#""sampling":{"tools":{}}"#] {
            let both = [elicitation, sampling].into_iter().filter(|part| !part.is_empty());
            all.push(format!("{{{}}}", both.collect::<Vec<_>>().join(",")));
        }
    }
    all
}

#[tokio::test]
async fn invented_capabilities_make_no_sessions() {
    let server = old(|seen| match seen.method {
        Method::GET => Say::status(405),
        _ => Say::result(seen, json!({})),
    })
    .await;
    let link = server.link(EraChoice::Handshake, LinkLimits::default());
    let mut caller = Caller::new("{}");
    for n in 0..20 {
        let text = format!(
            r#"{{"x{n}":{{}},"experimental":{{"e":{n}}},"elicitation":{{"form":{{"f":{n}}},"y{n}":1}}}}"#
        );
        caller.client = facts(&text);
        caller.send(&link, "tools/call", CALL).await.unwrap();
    }
    let initialize = server.rpc("initialize");
    assert_eq!(initialize.len(), 1);
    let declared = &initialize[0].body["params"]["capabilities"];
    assert_eq!(*declared, json!({"elicitation": {"form": {}}}));
}

#[tokio::test]
async fn a_partition_makes_room_among_its_own_sessions() {
    let server = old(|seen| match seen.method {
        Method::GET => Say::status(405),
        _ => Say::result(seen, json!({})),
    })
    .await;
    // At the bound of the link as well as at its own share.
    for sessions in [1000, 9, 3] {
        let before = server.rpc("initialize").len();
        let limits = LinkLimits { sessions, ..LinkLimits::default() };
        let link = server.link(EraChoice::Handshake, limits);
        let other = Caller { partition: partition("q"), ..Caller::new("{}") };
        other.send(&link, "tools/call", CALL).await.unwrap();
        let mut caller = Caller::new("{}");
        for text in capabilities() {
            caller.client = facts(&text);
            until("it is served", async || caller.send(&link, "tools/call", CALL).await.is_ok())
                .await;
        }
        assert_eq!(link.status().alive, sessions.min(9), "the other's, and eight at most");
        other.send(&link, "tools/call", CALL).await.unwrap();
        let made = server.rpc("initialize").len() - before;
        assert_eq!(made, 1 + capabilities().len(), "the other's session is the same as before");
        link.shutdown().await;
    }
}

#[tokio::test]
async fn busy_sessions_of_a_partition_are_bounded() {
    let server = old(|seen| match (&seen.method, seen.tool()) {
        (&Method::GET, _) => Say::status(405),
        (_, "hang") => Say::stream(Events::closed),
        _ => Say::result(seen, json!({})),
    })
    .await;
    let link = server.link(EraChoice::Handshake, LinkLimits::default());
    let mut callers: Vec<Caller> = capabilities().iter().map(|text| Caller::new(text)).collect();
    let last = callers.pop().unwrap();
    let tasks: Vec<_> = callers
        .into_iter()
        .map(|caller| {
            let link = link.clone();
            tokio::spawn(
                async move { caller.send(&link, "tools/call", r#"{"name":"hang"}"#).await },
            )
        })
        .collect();
    until("all are busy", async || server.rpc("tools/call").len() == 8).await;
    assert_eq!(last.send(&link, "tools/call", CALL).await.unwrap_err(), LinkFault::Full);
    let other = Caller { partition: partition("q"), ..Caller::new("{}") };
    other.send(&link, "tools/call", CALL).await.unwrap();
    tasks[0].abort();
    until("one is idle", async || last.send(&link, "tools/call", CALL).await.is_ok()).await;
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn parked_calls_of_a_principal_are_bounded() {
    let link = scripted("handshake", EraChoice::Handshake, LinkLimits::default()).0;
    let caller = Caller::new(r#"{"elicitation":{}}"#);
    for _ in 0..64 {
        let asked = caller.send(&link, "tools/call", ASK).await.unwrap();
        assert_eq!(value(&asked.outcome.unwrap())["resultType"], "input_required");
    }
    assert_eq!(caller.send(&link, "tools/call", ASK).await.unwrap_err(), LinkFault::Full);
    let other = Caller { partition: partition("q"), ..Caller::new(r#"{"elicitation":{}}"#) };
    other.send(&link, "tools/call", ASK).await.unwrap();
    assert_eq!(link.status().parked, 65);
    link.shutdown().await;
}

#[tokio::test]
async fn one_principal_takes_no_more_than_half_of_a_link() {
    let server = old(|seen| match seen.tool() {
        "hang" => Say::stream(Events::closed),
        _ => Say::result(seen, json!({})),
    })
    .await;
    let limits = LinkLimits { in_flight: 4, ..LinkLimits::default() };
    let link = server.link(EraChoice::Handshake, limits);
    let tasks: Vec<_> = (0..2)
        .map(|_| {
            let (link, caller) = (link.clone(), Caller::new("{}"));
            tokio::spawn(
                async move { caller.send(&link, "tools/call", r#"{"name":"hang"}"#).await },
            )
        })
        .collect();
    until("two are in flight", async || link.status().in_flight == 2).await;
    let caller = Caller::new("{}");
    assert_eq!(caller.send(&link, "tools/call", CALL).await.unwrap_err(), LinkFault::Full);
    // Also of those that share a partition.
    let other = Caller { principal: Some("q"), ..Caller::new("{}") };
    other.send(&link, "tools/call", CALL).await.unwrap();
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    until("its places are free", async || link.status().in_flight == 0).await;
    caller.send(&link, "tools/call", CALL).await.unwrap();
}

#[tokio::test]
async fn a_server_that_wants_no_pause_gets_one() {
    let server = old(|seen| match seen.method {
        Method::GET => Say::stream(async |mut events: Events| {
            events.raw("id: e\nretry: 0\ndata:\n\n").await;
        }),
        _ => Say::result(seen, json!({})),
    })
    .await;
    let link = server.link(EraChoice::Handshake, LinkLimits::default());
    let start = Instant::now();
    Caller::new(r#"{"roots":{}}"#).send(&link, "tools/list", "{}").await.unwrap();
    until("the stream was opened again", async || server.with(&Method::GET).len() >= 3).await;
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.with(&Method::GET).len(), 3);
}
