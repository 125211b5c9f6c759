//! Subscriptions to a process, in both eras.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use serde_json::json;
use support::{Caller, scripted, until, value};
use upstream::{EraChoice, LinkLimits, Subscription, Wanted};

fn wanted(uris: &[&str]) -> Wanted {
    Wanted {
        tools_list_changed: true,
        prompts_list_changed: true,
        resource_uris: uris.iter().map(|uri| (*uri).to_owned()).collect(),
        ..Wanted::default()
    }
}

async fn next(subscription: &mut Subscription) -> (String, serde_json::Value) {
    let event = subscription.events.recv().await.unwrap();
    (event.method.replace("notifications/", ""), value(&event.params))
}

#[tokio::test]
async fn both_eras() {
    for era in ["stateless", "handshake"] {
        let (link, _) = scripted(era, EraChoice::Auto, LinkLimits::default());
        let caller = Caller::new("{}");
        let listen = async |uris: &[&str]| {
            let (partition, client) = (&caller.partition, &caller.client);
            link.listen(partition, client, &caller.credential, wanted(uris)).await.unwrap()
        };
        let mut one = listen(&["test://a"]).await;
        let honoured = Wanted { prompts_list_changed: false, ..wanted(&["test://a"]) };
        assert_eq!(one.honoured, honoured, "{era}");
        caller.tool(&link, "changed", "{}").await;
        assert_eq!(next(&mut one).await, ("tools/list_changed".into(), json!({})));
        assert_eq!(next(&mut one).await.1, json!({"uri": "test://a"}));
        if era == "stateless" {
            // This server sends more than was asked for; the door filters, the link need not.
            next(&mut one).await;
        }

        let two = listen(&["test://a", "test://b"]).await;
        if era == "handshake" {
            let watched = async || caller.tool(&link, "state", "{}").await["watched"].clone();
            assert_eq!(watched().await, json!(["test://a", "test://b"]), "asked once each");
            drop(two);
            until("b is given back", async || watched().await == json!(["test://a"])).await;
            drop(one);
            until("a is given back", async || watched().await == json!([])).await;
        } else {
            drop((one, two));
            let cancelled = async || caller.tool(&link, "state", "{}").await["cancelled"].clone();
            until("both were cancelled", async || cancelled().await.as_array().unwrap().len() == 2)
                .await;
        }
        link.shutdown().await;
    }
}

#[tokio::test]
async fn a_lost_process_is_listened_to_again() {
    for era in ["stateless", "handshake"] {
        let (link, _) = scripted(era, EraChoice::Auto, LinkLimits::default());
        let caller = Caller::new("{}");
        let mut heard = link
            .listen(&caller.partition, &caller.client, &caller.credential, wanted(&["test://a"]))
            .await
            .unwrap();
        let _ = caller.send(&link, "tools/call", r#"{"name":"crash"}"#).await;
        // What happened in the gap is unknown: the list counts as changed.
        assert_eq!(next(&mut heard).await.0, "tools/list_changed");
        caller.tool(&link, "changed", "{}").await;
        assert_eq!(next(&mut heard).await.0, "tools/list_changed");
        assert_eq!(next(&mut heard).await.0, "resources/updated", "{era}");
        link.shutdown().await;
        assert!(heard.events.recv().await.is_none_or(|event| event.method.contains("updated")));
    }
}

#[tokio::test]
async fn a_server_may_end_a_subscription() {
    let (link, _) = scripted("stateless", EraChoice::Auto, LinkLimits::default());
    let caller = Caller::new("{}");
    let mut heard = link
        .listen(&caller.partition, &caller.client, &caller.credential, wanted(&[]))
        .await
        .unwrap();
    caller.tool(&link, "stop-listening", "{}").await;
    assert_eq!(next(&mut heard).await.0, "tools/list_changed", "listened to again");
    link.shutdown().await;
}
