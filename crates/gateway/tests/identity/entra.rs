//! Entra: users, applications, groups beyond what a token holds, and what becomes of them.

use std::{sync::Arc, time::Duration};

use ::entra::{ALICE, BOB, CAROL, DAEMON, GATEWAY, GATEWAY_SECRET, STRANGER, TENANT, TERMINAL};
use gateway::config::{GraphAccess, KeysFrom, Offer, Provider};
use identity::{
    PrincipalKind, ProviderName,
    provider::{self, ClientProof, Cloud, Groups},
};

use crate::{Gate, until};

const MINUTES: Duration = Duration::from_secs(300);

/// As `[identity.providers.entra]` resolves it, towards the stand-in.
pub fn provider(entra: &::entra::Entra, groups: Groups) -> Provider {
    let cloud = Cloud { login: entra.url.clone(), graph: entra.url.clone(), ..Cloud::public() };
    Provider {
        keys: KeysFrom::Discovery {
            url: cloud.discovery(Some(TENANT)),
            issuer: cloud.discovery_issuer(Some(TENANT)),
            same_origin: true,
        },
        refresh: Duration::from_secs(3600),
        stale: Duration::from_secs(3600),
        allow_private: true,
        ca: Some(entra.authority()),
        graph: Some(GraphAccess {
            cloud: cloud.clone(),
            client_id: GATEWAY.into(),
            secret: vault::Reference::parse(GATEWAY_SECRET).unwrap(),
            allow_private: true,
        }),
        offer: Offer {
            authorization_servers: vec![entra.issuer()],
            scopes: vec![format!("api://{GATEWAY}/mcp")],
        },
        provider: provider::Provider::entra(
            ProviderName::new("entra").unwrap(),
            provider::Entra {
                cloud,
                tenants: vec![TENANT.into()],
                audiences: vec![GATEWAY.into(), format!("api://{GATEWAY}")],
                clients: vec![],
                client_proof: ClientProof::Any,
                scopes: vec!["mcp".into()],
                applications: true,
                groups,
            },
        ),
    }
}

async fn gate(entra: &::entra::Entra, groups: Groups, recheck: Duration) -> Gate {
    Gate::open(recheck, vec![provider(entra, groups)]).await
}

#[tokio::test]
async fn users_and_applications_come_in_by_what_entra_says_of_them() {
    let entra = ::entra::Entra::start().await;
    let gate = gate(&entra, Groups::Overage, MINUTES).await;
    let alice = gate.shows(&entra.user_token(ALICE, TERMINAL, &["mcp"])).await.unwrap();
    let principal = alice.principal();
    assert_eq!(principal.kind(), PrincipalKind::User);
    assert!(principal.id().starts_with(&format!("user:{TENANT}/")));
    assert_eq!(principal.roles(), ["Tools.Admin"]);
    assert_eq!((principal.groups().len(), principal.groups_looked_up()), (2, false));
    assert_eq!(principal.client(), Some(TERMINAL));

    let daemon = gate.shows(&entra.app_token(DAEMON, GATEWAY)).await.unwrap();
    assert_eq!(daemon.principal().kind(), PrincipalKind::Workload);
    assert_eq!(daemon.principal().roles(), ["Tools.Worker"]);
    assert_eq!(gate.refuses(&entra.app_token(STRANGER, GATEWAY)).await, "token_no_grant");
    assert_eq!(gate.refuses(&entra.app_token(GATEWAY, ::entra::GRAPH)).await, "token_audience");
    assert_eq!(entra.asked("POST /v1.0"), 0, "nobody's groups were too many");
}

#[tokio::test]
async fn groups_beyond_a_token_come_from_graph_and_never_from_where_the_token_points() {
    let entra = ::entra::Entra::start().await;
    let gate = gate(&entra, Groups::Overage, MINUTES).await;
    let token = entra.user_token(CAROL, TERMINAL, &["mcp"]);
    let carol = gate.shows(&token).await.unwrap();
    assert_eq!(
        (carol.principal().groups().len(), carol.principal().groups_looked_up()),
        (250, true)
    );
    assert_eq!(entra.asked("POST /hostile"), 0);
    assert_eq!(entra.asked("GET /hostile"), 0);
    // Remembered: neither this token nor another of hers asks again.
    gate.shows(&token).await.unwrap();
    gate.shows(&entra.user_token(CAROL, TERMINAL, &["mcp"])).await.unwrap();
    assert_eq!(entra.asked("POST /v1.0/users"), 1);
}

#[tokio::test]
async fn without_graph_whoever_needs_it_stays_out() {
    let entra = ::entra::Entra::start().await;
    entra.change(|state| state.trouble.graph = true);
    let asking = gate(&entra, Groups::Overage, MINUTES).await;
    let carol = entra.user_token(CAROL, TERMINAL, &["mcp"]);
    assert_eq!(asking.refuses(&carol).await, "identity-unavailable");
    assert!(asking.shows(&entra.user_token(ALICE, TERMINAL, &["mcp"])).await.is_ok());
    let trusting = gate(&entra, Groups::Token, MINUTES).await;
    assert_eq!(trusting.refuses(&carol).await, "token_groups");
    // It comes back without a restart.
    entra.change(|state| state.trouble.graph = false);
    assert!(asking.shows(&carol).await.is_ok());
}

#[tokio::test]
async fn a_lost_group_and_a_disabled_account_are_noticed_within_the_interval() {
    let entra = ::entra::Entra::start().await;
    let recheck = Duration::from_secs(1);
    let gate = gate(&entra, Groups::Graph, recheck).await;
    let token = entra.user_token(ALICE, TERMINAL, &["mcp"]);
    assert_eq!(gate.shows(&token).await.unwrap().principal().groups().len(), 2);
    entra.change(|state| state.directory.user_mut(ALICE).groups.truncate(1));
    until("the lost group is still believed", async || {
        gate.shows(&token).await.unwrap().principal().groups().len() == 1
    })
    .await;
    entra.disable(ALICE);
    until("the disabled account is still believed", async || gate.shows(&token).await.is_err())
        .await;
    assert_eq!(gate.refuses(&token).await, "token_account");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_racing_calls_are_never_mixed_up() {
    let entra = ::entra::Entra::start().await;
    let gate = Arc::new(gate(&entra, Groups::Overage, MINUTES).await);
    // Several tokens of each, so that first looks and remembered ones race too.
    let tokens = |user: &str| -> Vec<String> {
        (0..8).map(|_| entra.user_token(user, TERMINAL, &["mcp"])).collect()
    };
    let who = [(ALICE, "Tools.Admin"), (BOB, "Tools.User")];
    let tokens: Arc<Vec<(String, &str)>> = Arc::new(
        who.iter()
            .flat_map(|(user, role)| tokens(user).into_iter().map(move |token| (token, *role)))
            .collect(),
    );
    let ids: Vec<String> = {
        let first = gate.shows(&tokens[0].0).await.unwrap();
        let last = gate.shows(&tokens[15].0).await.unwrap();
        [first, last].map(|caller| caller.principal().id().to_owned()).to_vec()
    };
    assert_ne!(ids[0], ids[1]);
    let ids = Arc::new(ids);
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..100 {
        let (gate, tokens, ids) = (gate.clone(), tokens.clone(), ids.clone());
        tasks.spawn(async move {
            let mut mixed = 0;
            for call in 0..100 {
                let at = (task * 7 + call) % tokens.len();
                let (token, role) = &tokens[at];
                let caller = gate.shows(token).await.unwrap();
                let own = &ids[at / 8];
                let right = caller.principal().id() == own && caller.principal().roles() == [*role];
                mixed += usize::from(!right);
                if call % 25 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            mixed
        });
    }
    let mixed: usize = tasks.join_all().await.into_iter().sum();
    assert_eq!(mixed, 0, "of 10,000 calls");
}
