//! Exchanged tokens under load: two users racing, and what a token that is at hand costs.

use std::{sync::Arc, time::Duration};

use ::entra::{ALICE, BOB, Entra, GATEWAY, GATEWAY_SECRET, TENANT, TERMINAL};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use gateway::{
    config::{Reach, Server},
    exchange::{ClientProof, Exchange, TokenEndpoint},
};
use identity::provider::Groups;
use serde_json::Value;
use vault::{Fetched, exchange::Wanted};

use crate::{Gate, entra::provider};

/// A gateway in front of a server that is reached on behalf of callers.
async fn gate(entra: &Entra) -> Gate {
    let exchange = Exchange::OnBehalfOf(TokenEndpoint {
        url: format!("{}/{TENANT}/oauth2/v2.0/token", entra.machine_url).parse().unwrap(),
        client_id: GATEWAY.into(),
        proof: ClientProof::Secret(vault::Reference::parse(GATEWAY_SECRET).unwrap()),
        wanted: Wanted { scope: "api://orders/.default".into(), ..Wanted::default() },
        allow_private: true,
    });
    let providers = vec![provider(entra, Groups::Token)];
    Gate::with(Duration::from_secs(300), providers, |config| {
        config.servers = vec![Server {
            name: mcp::ServerName::new("orders").unwrap(),
            reach: Reach::Http {
                url: "http://127.0.0.1:1/mcp".parse().unwrap(),
                allow_private: true,
            },
            era: upstream::EraChoice::Stateless,
            shared: false,
            prewarm: false,
            timeout: Duration::from_secs(5),
            credentials: vault::Credentials::default(),
            oauth: None,
            exchange: Some(exchange),
            first_use: trust::FirstUse::Approve,
            proofs: gateway::config::Proofs::default(),
            labels: policy::Labelled::default(),
        }];
    })
    .await
}

/// Whose token goes out.
fn user_of(fetched: &Fetched) -> String {
    let mut headers = http::HeaderMap::new();
    fetched.inject(&mut headers);
    let token = headers["authorization"].to_str().unwrap();
    let body = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&body).unwrap();
    claims["upn"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_calls_of_each_of_two_users_at_once_are_never_mixed_up() {
    let entra = Entra::start().await;
    let gate = Arc::new(gate(&entra).await);
    let served = gate.gateway.served("orders").unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for user in [ALICE, BOB] {
        let caller = gate.shows(&entra.user_token(user, TERMINAL, &["mcp"])).await.unwrap();
        for _ in 0..10_000 {
            let (served, caller) = (served.clone(), caller.clone());
            tasks.spawn(async move {
                usize::from(user_of(&served.credential(&caller).await.unwrap()) != user)
            });
        }
    }
    let mixed: usize = tasks.join_all().await.into_iter().sum();
    assert_eq!(mixed, 0, "of 20,000 calls");
    let asked = entra.asked(&format!("POST /{TENANT}/oauth2/v2.0/token"));
    assert_eq!(asked, 2, "each token was asked for once");
}

#[tokio::test]
async fn ten_thousand_calls_that_wait_for_a_refusal_ask_once() {
    let entra = Entra::start().await;
    let gate = gate(&entra).await;
    let caller = gate.shows(&entra.user_token(ALICE, TERMINAL, &["mcp"])).await.unwrap();
    entra.change(|state| state.directory.app_mut(::entra::ORDERS).consented.clear());
    let served = gate.gateway.served("orders").unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..10_000 {
        let (served, caller) = (served.clone(), caller.clone());
        tasks.spawn(async move { served.credential(&caller).await.unwrap_err().label() });
    }
    assert!(tasks.join_all().await.iter().all(|label| *label == "exchange-consent"));
    let asked = entra.asked(&format!("POST /{TENANT}/oauth2/v2.0/token"));
    assert!(asked <= 3, "{asked}: a failure is believed for a moment");
}

#[tokio::test]
async fn a_token_ends_with_the_one_that_it_was_got_for() {
    let entra = Entra::start().await;
    let gate = gate(&entra).await;
    entra.change(|state| state.trouble.lifetime = Some(3));
    let token = entra.user_token(ALICE, TERMINAL, &["mcp"]);
    entra.change(|state| state.trouble.lifetime = None);
    let caller = gate.shows(&token).await.unwrap();
    let served = gate.gateway.served("orders").unwrap();
    served.credential(&caller).await.unwrap();
    // The exchanged token would live for an hour. Its time is over with the caller's, who is then asked about anew.
    crate::until("the token outlives its caller", async || {
        served.credential(&caller).await.is_err_and(|refusal| refusal.label() == "authentication")
    })
    .await;
}

#[tokio::test]
#[ignore = "a measurement: cargo nextest run --release -p gateway --test identity --run-ignored all --no-capture -E 'test(costs)'"]
async fn what_a_token_at_hand_costs() {
    let entra = Entra::start().await;
    let gate = gate(&entra).await;
    let served = gate.gateway.served("orders").unwrap();
    let caller = gate.shows(&entra.user_token(ALICE, TERMINAL, &["mcp"])).await.unwrap();
    served.credential(&caller).await.unwrap();
    let count = 500_000_u32;
    let begin = std::time::Instant::now();
    for _ in 0..count {
        std::hint::black_box(served.credential(&caller).await.unwrap());
    }
    let each = begin.elapsed().as_secs_f64() * 1e6 / f64::from(count);
    println!("a token at hand: {each:.3} µs");
    assert!(each < 2.0, "{each} µs");
}
