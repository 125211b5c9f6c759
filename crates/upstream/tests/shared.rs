//! A process that several principals share: its questions reach nobody but the one they are for.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use serde_json::json;
use support::{Caller, partition, scripted, text, until, value};
use upstream::{EraChoice, LinkLimits};

const CLIENT: &str = r#"{"elicitation":{},"roots":{}}"#;
const ASK: &str = r#"{"name":"ask","arguments":{}}"#;
const REFUSED: i32 = -32603;

fn caller(principal: &'static str) -> Caller {
    let everyone = partition("everyone");
    Caller { partition: everyone, principal: Some(principal), ..Caller::new(CLIENT) }
}

#[tokio::test]
async fn an_ask_that_may_be_anothers_is_refused() {
    let link = scripted("handshake", EraChoice::Handshake, LinkLimits::default()).0;
    let (one, two) = (caller("one"), caller("two"));
    {
        let mut hanging = Box::pin(one.send(&link, "tools/call", r#"{"name":"hang"}"#));
        let asking = async {
            until("one is in flight", async || link.status().in_flight == 1).await;
            // So that the process has read the first call.
            two.tool(&link, "echo", "{}").await;
            two.send(&link, "tools/call", ASK).await.unwrap()
        };
        let answer = tokio::select! {
            early = &mut hanging => panic!("a question of another's: {early:?}"),
            answer = asking => answer,
        };
        assert_eq!(text(&answer)[0]["code"], REFUSED);
    }
    // Alone again, it is asked.
    let asked = two.send(&link, "tools/call", ASK).await.unwrap();
    let asked = value(&asked.outcome.unwrap());
    assert_eq!(asked["resultType"], "input_required");
    // Its parked call may have one more question: what comes now is not surely for the other.
    let other = one.send(&link, "tools/call", ASK).await.unwrap();
    assert_eq!(text(&other)[0]["code"], REFUSED);
    let retry = json!({"name": "ask", "arguments": {}, "requestState": asked["requestState"],
        "inputResponses": {"ask-1": {"a": 1}}});
    let answer = two.send(&link, "tools/call", &retry.to_string()).await.unwrap();
    assert_eq!(text(&answer), json!([{"a": 1}]));
    // A late one waits for nobody.
    one.send(&link, "tools/call", r#"{"name":"late"}"#).await.unwrap();
    let refused = async || one.tool(&link, "state", "{}").await["answers"]["l"]["code"] == REFUSED;
    until("the late one was refused", refused).await;
    link.shutdown().await;
}
