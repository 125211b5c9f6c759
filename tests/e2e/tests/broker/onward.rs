//! Servers behind the gateway that are reached on behalf of whoever signed in here: with the provider's refresh token, which
//! nobody else ever sees.

use e2e::{Client, Era, eventually};
use serde_json::json;

use crate::{
    orders::{Orders, claims},
    place::{Place, text},
};

/// A place with such a server; `exchange` is what its section says beside the client.
async fn place(exchange: impl FnOnce(&Place) -> String) -> (Place, Orders) {
    let (place, orders) = (Place::open("").await, Orders::start().await);
    let file = place.gateway.folder().join("bartizan.toml");
    let more = format!(
        r#"
        [roles.orderers]
        members = ["user:corp/alice"]
        allow = ["orders/*"]
        [servers.orders]
        url = "{}"
        allow-private = true
        [servers.orders.exchange]
        client-id = "bartizan"
        {}
        "#,
        orders.url,
        exchange(&place)
    );
    let text = std::fs::read_to_string(&file).unwrap() + &more;
    std::fs::write(&file, text).unwrap();
    eventually("the server is there", async || {
        place.get("/.well-known/oauth-protected-resource/mcp/orders").await.status == 200
            && place.gateway.log().contains("configuration")
    })
    .await;
    (place, orders)
}

/// Whom the server sees when alice calls.
async fn whoami(place: &Place, access: &str) -> serde_json::Value {
    let client =
        Client::connect_as(&place.gateway.address, "/mcp", Era::Stateless, Some(access)).await;
    client.call("orders__whoami", json!({})).await
}

/// Alice signs in and reaches the server with a token of hers for it. Her access token, and what the provider was asked.
async fn alice_is_served(place: &Place, orders: &Orders) -> (String, Vec<String>) {
    let (_, tokens) = place.signed_in("alice").await;
    let access = text(&tokens, "access_token");
    eventually("alice is served", async || {
        whoami(place, access).await["result"]["content"][0]["text"] == "alice"
    })
    .await;
    assert_eq!(claims(&orders.shown()[0])["aud"], "api://orders");
    (access.to_owned(), place.provider.change(|state| state.asked.clone()))
}

#[tokio::test]
async fn by_the_refresh_token_of_the_sign_in() {
    let (place, orders) = place(|_| {
        "kind = \"entra-on-behalf-of\"\ntenant = \"contoso\"\nclient-secret = \"not used\"\n\
         scopes = [\"api://orders/.default\"]"
            .to_owned()
    })
    .await;
    let (access, asked) = alice_is_served(&place, &orders).await;
    let onward = "grant_type=refresh_token&refresh_token=provider-refresh-alice&scope=api%3A%2F%2Forders%2F.default";
    assert!(asked.iter().any(|form| form.starts_with(onward)), "{asked:?}");
    // What the provider takes back is over here too.
    place.provider.change(|state| state.disabled = true);
    let shown = orders.shown().pop().unwrap();
    orders.refuse(&shown, "Bearer error=\"invalid_token\"");
    let refused = whoami(&place, &access).await;
    assert!(refused.get("error").is_some(), "{refused}");
    assert_eq!(place.knocks(&access).await, 401, "the session has ended");
}

#[tokio::test]
async fn by_an_exchange_of_the_providers_own_token() {
    let (place, orders) = place(|place| {
        format!(
            "kind = \"token-exchange\"\ntoken-endpoint = \"{}/token\"\nallow-private = true\naudience = \"orders\"",
            place.provider.issuer
        )
    })
    .await;
    let (_, asked) = alice_is_served(&place, &orders).await;
    let exchange = asked.iter().find(|form| form.contains("token-exchange")).unwrap();
    assert!(exchange.contains("subject_token=provider-access-alice"), "{exchange}");
    assert!(exchange.contains("&audience=orders&client_id=bartizan"), "{exchange}");
}
