//! People sign in at Entra ID, as the tests' stand-in for it plays it, through this gateway and in a real browser. What
//! Entra lacks and what it refuses is what these tests are about.

use std::collections::BTreeSet;

use e2e::{Client, Era, Place, Sdk, SigningClient, eventually, free_url};
use entra::{ALICE, BOB, CAROL, DAEMON, DAVE, ERIN, GATEWAY, GRAPH, STRANGER};
use serde_json::json;

const ECHO: &str = r#"call echo {"text":"hello"}"#;

#[tokio::test]
async fn roles_decide_what_each_may_see() {
    let place = Place::new("").await;
    let mut alice = place.client(Sdk::Python, ALICE, json!({})).await;
    let mut bob = place.client(Sdk::TypeScript, BOB, json!({})).await;
    assert_eq!(alice.ask(ECHO).await, "hello");
    assert_eq!(bob.ask(ECHO).await, "hello");
    assert!(alice.ask("tools").await.as_array().unwrap().len() > 1);
    assert_eq!(bob.ask("tools").await, json!(["echo"]));
    let refused = bob.ask("call test_simple_text {}").await;
    assert!(refused["fault"].is_string(), "{refused}");
    // They signed in at Entra, which never saw what their clients had to send.
    for client in [&alice, &bob] {
        assert_eq!(client.visits[0]["seen"], json!(["consent", "entra"]));
    }
}

#[tokio::test]
async fn more_groups_than_a_token_holds() {
    let place = Place::new(
        r#"
        [roles.group]
        members = ["group:6ad1b284-afc5-4e7e-9199-000000000249"]
        allow = ["everything/test_simple_text"]
        "#,
    )
    .await;
    let mut carol = place.client(Sdk::Python, CAROL, json!({})).await;
    let tools: BTreeSet<String> = serde_json::from_value(carol.ask("tools").await).unwrap();
    assert_eq!(tools, ["echo", "test_simple_text"].map(String::from).into());
    assert!(place.entra.asked("POST /v1.0/users/") > 0);
    assert_eq!(place.entra.asked("GET /hostile") + place.entra.asked("POST /hostile"), 0);
}

#[tokio::test]
async fn a_revoked_session_ends_and_its_stream_closes() {
    let place = Place::new("").await;
    let mut alice = place.client(Sdk::TypeScript, ALICE, json!({})).await;
    let mut bob = place.client(Sdk::Python, BOB, json!({})).await;
    assert_eq!(bob.ask(ECHO).await, "hello");
    let token = alice.ask("tokens").await["access_token"].as_str().unwrap().to_owned();
    let client =
        Client::connect_as(&place.gateway.address, "/mcp/everything", Era::Stateless, Some(&token))
            .await;
    let mut stream = client.listen(&[]).await;
    place.entra.revoke(ALICE);
    // The stream ends by itself; nobody has to ask.
    while stream.next().await.is_some() {}
    alice.person.deny = true;
    eventually("the session is over", async || {
        alice.ask(ECHO).await;
        alice.visits.len() > 1
    })
    .await;
    assert_eq!(bob.ask(ECHO).await, "hello", "nobody else is concerned");
}

#[tokio::test]
async fn what_conditional_access_asks_for_ends_a_session_and_the_next_sign_in_meets_it() {
    let place = Place::new("").await;
    let mut alice = place.client(Sdk::TypeScript, ALICE, json!({})).await;
    assert_eq!(alice.ask(ECHO).await, "hello");
    // From now on a second factor is asked for, which she did not show.
    let asking = [GATEWAY, GRAPH].map(String::from).to_vec();
    place.entra.change(|state| state.trouble.second_factor = asking);
    eventually("alice is asked for more", async || {
        alice.ask(ECHO).await;
        alice.visits.len() > 1
    })
    .await;
    // The provider refuses the plain sign-in; with its challenge it asks for the rest.
    assert_eq!(alice.visits[1]["seen"], json!(["consent", "entra", "entra"]));
    assert_eq!(alice.ask(ECHO).await, "hello");
    let log = place.gateway.command().args(["audit", "search", "--output", "json"]).output().await;
    let log = String::from_utf8(log.unwrap().stdout).unwrap();
    assert!(log.contains("session-end") && log.contains("AADSTS50076"), "{log}");
}

#[tokio::test]
async fn who_may_not_sign_in_reads_why() {
    let place = Place::new("").await;
    let start = format!("{}/mcp/everything", place.url);
    for (name, number) in [(ERIN, "AADSTS50105"), (DAVE, "AADSTS50057")] {
        let home = tempfile::tempdir().unwrap();
        let mut client = SigningClient::remote(&start, home.path(), place.person(name));
        client.visit_once().await;
        let page = &client.visits[0];
        assert!(page["text"].as_str().unwrap().contains(number), "{name}: {page}");
    }
}

#[tokio::test]
async fn a_client_is_what_its_document_says() {
    let place = Place::new("").await;
    let port: u16 = free_url().rsplit(':').next().unwrap().parse().unwrap();
    let document = format!("{}/documents/client", place.entra.url);
    place.entra.change(|state| {
        let about = json!({
            "client_id": document, "client_name": "Documented",
            "redirect_uris": [format!("http://127.0.0.1:{port}/callback")],
            "token_endpoint_auth_method": "none",
        });
        state.documents.insert("client".into(), about);
    });
    for sdk in Sdk::ALL {
        let mut alice =
            place.client(sdk, ALICE, json!({ "metadata": document, "port": port })).await;
        assert_eq!(alice.ask(ECHO).await, "hello", "{sdk:?}");
    }
    assert!(place.entra.asked("GET /documents/client") > 0);
}

#[tokio::test]
async fn programs_come_with_entras_own_tokens() {
    let place = Place::new("").await;
    let call = async |client: &str| {
        let token = place.entra.app_token(client, GATEWAY);
        let address = &place.gateway.address;
        let client =
            Client::connect_as(address, "/mcp/everything", Era::Stateless, Some(&token)).await;
        client
            .send("tools/call", json!({ "name": "echo", "arguments": { "text": "hello" } }))
            .await
            .status
    };
    assert_eq!(call(DAEMON).await, 200);
    // The tenant gives a token for us to every program: without a role it means nothing.
    assert_eq!(call(STRANGER).await, 401);
}
