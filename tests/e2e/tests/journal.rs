//! What the records of a call say, and what they never say.

use e2e::{Era, Gateway, Upstream, run};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const SECRET: &str = "sk-never-in-a-record";

async fn records(gateway: &Gateway, filters: &[&str]) -> Vec<Value> {
    let mut command = gateway.command();
    let text = run(command.args(["--output", "json", "audit", "search"]).args(filters)).await;
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn a_record_says_under_which_rules_with_which_credential_and_how_long() {
    let upstream = Upstream::fixture("everything", &[]).await;
    let configuration = format!(
        r#"
        [trust]
        on-first-use = "approve"
        [identity]
        loopback = "open"
        [servers.new]
        url = "{}"
        allow-private = true
        [servers.new.credential]
        value = "Bearer ${{env:NEW_TOKEN}}"
        "#,
        upstream.url
    );
    let gateway = Gateway::start_with(&configuration, &[("NEW_TOKEN", SECRET)]).await;
    let client = gateway.client(Era::Stateless).await;
    assert_eq!(client.call_text("new__echo", json!({"text": "hi"})).await, "hi");
    client.call("new__nothing", json!({})).await;

    let found = records(&gateway, &["--tool", "new__echo"]).await;
    let [.., intent, outcome] = &found[..] else { panic!("{found:?}") };
    let digest = Sha256::digest(&configuration);
    let policy: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((&intent["v"], &intent["policy"]), (&json!(2), &json!(policy[..16])));
    assert_eq!(intent.get("credential"), None);
    assert_eq!(outcome["credential"], "authorization [text]${env:NEW_TOKEN}");
    let time = |member: &str| outcome[member].as_u64().unwrap_or_else(|| panic!("{outcome}"));
    assert!(time("duration_us") >= time("before_us") + time("upstream_us"), "{outcome}");

    let refused = &records(&gateway, &["--refused"]).await[0];
    assert_eq!((&refused["kind"], &refused["policy"]), (&json!("refusal"), &intent["policy"]));
    // The start has all of the digest.
    let whole = records(&gateway, &[]).await;
    let started = whole.iter().find(|record| record["kind"] == "system").unwrap();
    assert!(started["detail"].as_str().unwrap().ends_with(&policy), "{started}");
    assert!(!serde_json::to_string(&whole).unwrap().contains(SECRET));
}
