//! What handshake servers ask in the middle of a call, as `input_required` results.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::{Caller, partition, scripted, text, until, value};
use upstream::{Answer, EraChoice, Link, LinkFault, LinkLimits};

const CLIENT: &str = r#"{"elicitation":{},"sampling":{},"roots":{}}"#;

fn peer(limits: LinkLimits) -> Link {
    scripted("handshake", EraChoice::Handshake, limits).0
}

/// Calls `ask` and gives the result that must be `input_required`.
async fn asked(link: &Link, caller: &Caller, arguments: &str) -> Value {
    let params = format!(r#"{{"name":"ask","arguments":{arguments}}}"#);
    let answer = caller.send(link, "tools/call", &params).await.unwrap();
    let result = value(&answer.outcome.unwrap());
    assert_eq!(result["resultType"], "input_required", "{result}");
    result
}

async fn retry(
    link: &Link,
    caller: &Caller,
    state: &Value,
    responses: Value,
) -> Result<Answer, LinkFault> {
    let params =
        json!({"name": "ask", "arguments": {}, "inputResponses": responses, "requestState": state});
    caller.send(link, "tools/call", &params.to_string()).await
}

#[tokio::test]
async fn an_ask_is_parked_and_answered() {
    let link = peer(LinkLimits::default());
    let caller = Caller::new(CLIENT);
    let result = asked(&link, &caller, "{}").await;
    let ask = &result["inputRequests"]["ask-1"];
    assert_eq!(ask["method"], "elicitation/create");
    assert_eq!(ask["params"]["message"], "name?");
    assert_eq!(ask["params"]["_meta"], json!({"mine": 1}), "reserved keys are stripped");
    let state = &result["requestState"];
    assert_eq!(state.as_str().unwrap().len(), 22, "128 bits");
    assert_eq!((link.status().parked, link.status().in_flight), (1, 0));

    let content = json!({"action": "accept", "content": {"n": 1}});
    let responses = json!({"ask-1": content, "extra": {}});
    let answer = retry(&link, &caller, state, responses).await.unwrap();
    assert_eq!(text(&answer), json!([content]));
    assert_eq!(link.status().parked, 0);
    // The state is used up.
    let again = retry(&link, &caller, state, json!({"ask-1": {}})).await;
    assert_eq!(again.unwrap_err(), LinkFault::Parked);
    link.shutdown().await;
}

#[tokio::test]
async fn asks_that_come_together_are_given_together() {
    let link = peer(LinkLimits::default());
    let caller = Caller::new(CLIENT);
    let result = asked(&link, &caller, r#"{"count":3}"#).await;
    let state = &result["requestState"];
    assert_eq!(result["inputRequests"].as_object().unwrap().len(), 3);
    // Missing answers: the same question again.
    let partial = retry(&link, &caller, state, json!({"ask-1": {"action": "decline"}})).await;
    assert_eq!(value(&partial.unwrap().outcome.unwrap()), result);
    let all = json!({"ask-1": {"a": 1}, "ask-2": {"a": 2}, "ask-3": {"a": 3}});
    let answer = retry(&link, &caller, state, all).await.unwrap();
    assert_eq!(text(&answer), json!([{"a": 1}, {"a": 2}, {"a": 3}]));
    link.shutdown().await;
}

#[tokio::test]
async fn answers_may_come_with_the_first_request() {
    let link = peer(LinkLimits::default());
    let caller = Caller::new(CLIENT);
    let params = json!({"name": "ask", "arguments": {}, "inputResponses": {"ask-1": {"a": 1}}});
    let answer = caller.send(&link, "tools/call", &params.to_string()).await.unwrap();
    assert_eq!(text(&answer), json!([{"a": 1}]));
    assert_eq!(link.status().parked, 0);
    link.shutdown().await;
}

#[tokio::test]
async fn a_server_may_name_its_question() {
    let link = peer(LinkLimits::default());
    let caller = Caller::new(CLIENT);
    for (hint, key) in [("city", "city"), ("ask-9", "ask-1"), ("a b", "ask-1"), ("", "ask-1")] {
        let params = json!({"params": {"message": "?", "_meta": {"dev.bartizan/inputKey": hint}}});
        let result = asked(&link, &caller, &params.to_string()).await;
        let asks = result["inputRequests"].as_object().unwrap();
        assert_eq!(asks.keys().collect::<Vec<_>>(), [key]);
    }
    link.shutdown().await;
}

#[tokio::test]
async fn a_state_is_bound_to_its_owner_and_method() {
    let link = peer(LinkLimits::default());
    let caller = Caller::new(CLIENT);
    let result = asked(&link, &caller, "{}").await;
    let state = &result["requestState"];
    let thief = Caller { partition: partition("thief"), ..Caller::new(CLIENT) };
    let answers = json!({"ask-1": {}});
    let stolen = retry(&link, &thief, state, answers.clone()).await;
    assert_eq!(stolen.unwrap_err(), LinkFault::Parked);
    let params = json!({"uri": "x:", "requestState": state, "inputResponses": answers});
    let other = caller.send(&link, "resources/read", &params.to_string()).await;
    assert_eq!(other.unwrap_err(), LinkFault::Parked);
    let forged = retry(&link, &caller, &json!("AAAAAAAAAAAAAAAAAAAAAA"), answers.clone()).await;
    assert_eq!(forged.unwrap_err(), LinkFault::Parked);
    assert!(retry(&link, &caller, state, answers).await.is_ok());
    link.shutdown().await;
}

#[tokio::test]
async fn expiry_cancels_and_answers_with_an_error() {
    let limits =
        LinkLimits { parked_ttl: Duration::from_millis(150), parked: 1, ..LinkLimits::default() };
    let link = peer(limits);
    let caller = Caller::new(CLIENT);
    let result = asked(&link, &caller, "{}").await;
    // No room for a second one.
    let full = caller.send(&link, "tools/call", r#"{"name":"ask","arguments":{}}"#).await;
    assert_eq!(full.unwrap_err(), LinkFault::Full);
    until("the parked call expired", async || link.status().parked == 0).await;
    let late = retry(&link, &caller, &result["requestState"], json!({"ask-1": {}})).await;
    assert_eq!(late.unwrap_err(), LinkFault::Parked);
    let state = caller.tool(&link, "state", "{}").await;
    assert_eq!(state["cancelled"].as_array().unwrap().len(), 2);
    assert_eq!(state["answers"]["s1"]["code"], -32603);
    link.shutdown().await;
}

#[tokio::test]
async fn abandoning_cancels_and_answers_with_an_error() {
    let link = peer(LinkLimits::default());
    let caller = Caller::new(CLIENT);
    let result = asked(&link, &caller, "{}").await;
    let state = result["requestState"].as_str().unwrap();
    link.abandon(&partition("thief"), state);
    link.abandon(&caller.partition, "unknown");
    assert_eq!(link.status().parked, 1);
    link.abandon(&caller.partition, state);
    assert_eq!(link.status().parked, 0);
    let late = retry(&link, &caller, &result["requestState"], json!({"ask-1": {}})).await;
    assert_eq!(late.unwrap_err(), LinkFault::Parked);
    let state = caller.tool(&link, "state", "{}").await;
    assert_eq!(state["cancelled"].as_array().unwrap().len(), 1);
    assert_eq!(state["answers"]["s1"]["code"], -32603);
    link.shutdown().await;
}

#[tokio::test]
async fn what_the_client_does_not_offer_never_reaches_it() {
    let link = peer(LinkLimits::default());
    let caller = Caller::new(r#"{"elicitation":{}}"#);
    for (arguments, code) in [
        (r#"{"method":"sampling/createMessage"}"#, -32601),
        (r#"{"method":"roots/list"}"#, -32601),
        (r#"{"method":"elicitation/create","params":{"mode":"url"}}"#, -32602),
        (r#"{"method":"tools/call"}"#, -32601),
    ] {
        let answer = caller.tool(&link, "ask", arguments).await;
        assert_eq!(answer[0]["code"], code, "{arguments}");
    }
    caller.tool(&link, "unask", r#"{"method":"ping"}"#).await;
    let state = caller.tool(&link, "state", "{}").await;
    assert_eq!(state["answers"]["p"], json!({}), "ping is answered");
    link.shutdown().await;
}

#[tokio::test]
async fn an_ask_without_a_call_waits_for_the_next() {
    // Sent after the reply of its call, or before a reply that did not wait for the answer.
    for call in [r#"{"name":"late"}"#, r#"{"name":"unask","arguments":{"method":"roots/list"}}"#] {
        let link = peer(LinkLimits::default());
        let caller = Caller::new(CLIENT);
        let first = caller.send(&link, "tools/call", call).await.unwrap();
        text(&first);
        let next = caller.send(&link, "tools/call", r#"{"name":"hang"}"#).await.unwrap();
        let next = value(&next.outcome.unwrap());
        assert_eq!(next["inputRequests"]["ask-1"]["method"], "roots/list");
        link.shutdown().await;
    }
}

#[tokio::test]
async fn a_lost_process_ends_its_parked_calls() {
    let link = peer(LinkLimits::default());
    let caller = Caller::new(CLIENT);
    let result = asked(&link, &caller, "{}").await;
    let crash = caller.send(&link, "tools/call", r#"{"name":"crash"}"#).await;
    assert!(matches!(crash, Err(LinkFault::Lost(_))));
    let late = retry(&link, &caller, &result["requestState"], json!({"ask-1": {}})).await;
    assert!(matches!(late, Err(LinkFault::Lost(_))), "{late:?}");
    link.shutdown().await;
}
