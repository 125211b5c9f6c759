//! Keys: fetched once for many, kept through an outage for a while, renewed on a new name but not for a flood of
//! invented ones.

use std::{sync::Arc, time::Duration};

use serde_json::json;

use crate::{Gate, issuer::Issuer, signer::Signer, until};

const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn many_first_tokens_fetch_the_keys_once() {
    let issuer = Issuer::start().await;
    let gate = Arc::new(Gate::open(HOUR, vec![issuer.provider(HOUR, HOUR)]).await);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..50 {
        let (gate, token) = (gate.clone(), issuer.token(&format!("u{number}"), 600, json!({})));
        tasks.spawn(async move { gate.shows(&token).await.unwrap().principal().id().to_owned() });
    }
    let ids: std::collections::BTreeSet<_> = tasks.join_all().await.into_iter().collect();
    assert_eq!((ids.len(), issuer.asked()), (50, 1));
}

#[tokio::test]
async fn an_outage_is_survived_with_the_old_keys_for_a_bounded_time() {
    let issuer = Issuer::start().await;
    let gate = Gate::open(SECOND, vec![issuer.provider(SECOND, 8 * SECOND)]).await;
    let token = || issuer.token("alice", 600, json!({}));
    gate.shows(&token()).await.unwrap();
    issuer.break_down(true);
    let requests = issuer.requests();
    until("the keys are never renewed", async || {
        gate.shows(&token()).await.unwrap();
        issuer.requests() > requests
    })
    .await;
    gate.shows(&token()).await.unwrap();
    until("the old keys serve for ever", async || gate.shows(&token()).await.is_err()).await;
    assert_eq!(gate.refuses(&token()).await, "identity-unavailable");
    issuer.break_down(false);
    until("it never comes back", async || gate.shows(&token()).await.is_ok()).await;
}

#[tokio::test]
async fn without_any_keys_nobody_comes_in() {
    let issuer = Issuer::start().await;
    issuer.break_down(true);
    let gate = Gate::open(HOUR, vec![issuer.provider(HOUR, HOUR)]).await;
    for _ in 0..20 {
        let refused = gate.refuses(&issuer.token("alice", 600, json!({}))).await;
        assert_eq!(refused, "identity-unavailable");
    }
    assert!(issuer.requests() <= 3, "{} requests for 20 tokens", issuer.requests());
}

#[tokio::test]
async fn a_new_key_is_fetched_and_a_flood_of_invented_ones_is_not() {
    let issuer = Issuer::start().await;
    let gate = Gate::open(HOUR, vec![issuer.provider(HOUR, HOUR)]).await;
    gate.shows(&issuer.token("alice", 600, json!({}))).await.unwrap();
    let before = issuer.asked();
    let forged = Signer::ed("x");
    for number in 0..500 {
        let header = json!({"typ":"JWT","alg":"EdDSA","kid":format!("invented-{number}")});
        let claims = json!({"iss":issuer.url,"sub":"mallory","aud":"https://mcp.example.com/mcp","exp":u32::MAX});
        assert_eq!(gate.refuses(&forged.sign_with(&header, &claims)).await, "token_unknown_key");
    }
    assert!(
        issuer.asked() - before <= 1,
        "{} fetches for 500 invented keys",
        issuer.asked() - before
    );
    // A tokens of another issuer is not even a reason to look.
    let other = json!({"iss":"https://other.example.com","sub":"m","aud":"x","exp":u32::MAX});
    assert_eq!(gate.refuses(&forged.sign(&other)).await, "token_issuer");
}

#[tokio::test]
async fn a_rotated_key_is_found_by_its_new_name() {
    let issuer = Issuer::start().await;
    let gate = Gate::open(HOUR, vec![issuer.provider(HOUR, HOUR)]).await;
    let old = issuer.token("alice", 600, json!({}));
    // Nothing has been fetched yet when the key changes: the first look brings the new one.
    issuer.rotate("second");
    gate.shows(&issuer.token("alice", 600, json!({}))).await.unwrap();
    assert_eq!(gate.refuses(&old).await, "token_unknown_key");
}

#[tokio::test]
async fn keys_of_another_issuer_or_host_are_not_taken() {
    let issuer = Issuer::start().await;
    let mut provider = issuer.provider(HOUR, HOUR);
    let keys = &mut provider.keys;
    *keys = gateway::config::KeysFrom::Discovery {
        url: format!("{}/.well-known/openid-configuration", issuer.url),
        issuer: "https://id.example.com".into(),
        same_origin: false,
    };
    let gate = Gate::open(HOUR, vec![provider]).await;
    let token = issuer.token("alice", 600, json!({}));
    assert_eq!(gate.refuses(&token).await, "identity-unavailable");
    assert_eq!(issuer.asked(), 0);
}

#[tokio::test]
async fn keys_from_a_file_are_read_again_when_one_is_missing() {
    let issuer = Issuer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    std::fs::write(&file, "{}").unwrap();
    let mut provider = issuer.provider(HOUR, HOUR);
    provider.keys = gateway::config::KeysFrom::File(file.clone());
    let gate = Gate::open(HOUR, vec![provider]).await;
    let token = issuer.token("alice", 600, json!({}));
    assert_eq!(gate.refuses(&token).await, "identity-unavailable");
    std::fs::write(&file, crate::signer::key_set(&[issuer.jwk()])).unwrap();
    until("the file is never read again", async || gate.shows(&token).await.is_ok()).await;
}
