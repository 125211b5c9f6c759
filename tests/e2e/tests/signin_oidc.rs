//! People sign in at a real OpenID Connect provider, through this gateway, with clients that people really use and a
//! real browser: discovery, registration, consent, calls, refresh, revocation.

use e2e::{
    Gateway, OidcProvider, PROVIDER_SECRET, Person, SigningClient, authorization_suite, binary,
    free_url,
};
use serde_json::json;

/// A gateway before a provider, with the fixture `everything` behind it.
async fn gateway(more: &str) -> (Gateway, OidcProvider, String) {
    let url = free_url();
    let provider = OidcProvider::start(&format!("{url}/oauth/callback")).await;
    let (issuer, everything) = (&provider.issuer, binary("everything"));
    let configuration = format!(
        r#"
        public-url = "{url}"
        [identity]
        recheck = "2s"
        [identity.providers.id]
        kind = "oidc"
        issuer = "{issuer}"
        allow-private = true
        [sign-in]
        provider = "id"
        client-id = "bartizan"
        client-secret = "${{env:PROVIDER_SECRET}}"
        provider-scopes = ["openid", "profile", "offline_access"]
        access-token = "3s"
        {more}
        [servers.everything]
        command = {everything:?}
        args = ["stdio", "--era", "stateless"]
        "#
    );
    let secret = [("PROVIDER_SECRET", PROVIDER_SECRET)];
    let gateway = Gateway::start_at(&url, &configuration, &secret).await;
    (gateway, provider, url)
}

fn person(name: &str, url: &str, provider: &OidcProvider) -> Person {
    Person::new(name, "any password", &[url, &provider.issuer])
}

#[tokio::test]
async fn who_says_no_lets_nobody_in() {
    let (_gateway, provider, url) = gateway("").await;
    let mut alice = person("alice", &url, &provider);
    alice.deny = true;
    let mut client = SigningClient::remote(
        &format!("{url}/mcp/everything"),
        tempfile::tempdir().unwrap().path(),
        alice,
    );
    // mcp-remote gives up, and says so by ending.
    client.tell(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).await;
    let ended = client.ends().await;
    let end = &client.visits[0];
    assert_eq!(end["seen"], json!(["consent"]), "{end}");
    assert!(end["url"].as_str().unwrap().contains("error=access_denied"), "{end}\n{ended}");
}

#[tokio::test]
async fn a_known_client_and_the_conformance_suite() {
    let free = free_url();
    let port: u16 = free.rsplit(':').next().unwrap().parse().unwrap();
    let known = format!(
        "[sign-in.clients.suite]\nname = \"Suite\"\nredirect-uris = [\"http://127.0.0.1:{port}/callback\"]"
    );
    let (_gateway, provider, url) = gateway(&known).await;
    let resource = format!("{url}/mcp");
    let verdict =
        authorization_suite(&url, "suite", &resource, port, &person("alice", &url, &provider))
            .await;
    verdict.assert_perfect("authorization server");
}
