//! People sign in at a real OpenID Connect provider, through this gateway, with clients that people really use and a
//! real browser: discovery, registration, consent, calls, refresh, revocation.

use std::process::Stdio;

use e2e::{
    Gateway, Inspector, OidcProvider, PROVIDER_SECRET, Person, Sdk, SigningClient,
    authorization_suite, binary, eventually, free_url, run,
};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

/// A gateway before a provider, with the fixture `everything` behind it.
async fn gateway(more: &str) -> (Gateway, OidcProvider, String) {
    gateway_allowing(more, r#""*""#).await
}

/// The same, where people may do just this.
async fn gateway_allowing(more: &str, allow: &str) -> (Gateway, OidcProvider, String) {
    let url = free_url();
    let provider = OidcProvider::start(&format!("{url}/oauth/callback")).await;
    let (issuer, everything) = (&provider.issuer, binary("everything"));
    let configuration = format!(
        r#"
        public-url = "{url}"
        [identity]
        recheck = "5s"
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
        [roles.everybody]
        members = ["user:id/alice", "user:id/bob"]
        allow = [{allow}]
        [trust]
        on-first-use = "approve"
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
async fn both_sdks_sign_in_call_and_refresh() {
    let (gateway, provider, url) = gateway("").await;
    for sdk in Sdk::ALL {
        let alice = person("alice", &url, &provider);
        let mut client =
            SigningClient::connect(sdk, &format!("{url}/mcp/everything"), alice, &json!({})).await;
        assert_eq!(client.ask(r#"call echo {"text":"hello"}"#).await, "hello", "{sdk:?}");
        let tools = client.ask("tools").await;
        assert!(tools.as_array().unwrap().iter().any(|tool| tool == "echo"), "{sdk:?}: {tools}");
        let before = client.ask("tokens").await;
        // Its access token ends; it gets another one without asking anybody.
        let mut last = before.clone();
        eventually("the client refreshes", async || {
            assert_eq!(client.ask(r#"call echo {"text":"again"}"#).await, "again", "{sdk:?}");
            last = client.ask("tokens").await;
            last["access_token"] != before["access_token"]
        })
        .await;
        assert_ne!(
            last["refresh_token"], before["refresh_token"],
            "{sdk:?}: refresh tokens rotate"
        );
        assert_eq!(client.visits.len(), 1, "{sdk:?}");
        assert_eq!(client.visits[0]["seen"][0], "consent", "{sdk:?}: {}", client.visits[0]);
    }
    drop(gateway);
}

#[tokio::test]
async fn a_call_that_needs_more_is_stepped_up_in_the_browser() {
    let scopes = "scopes = [\"mcp\", \"more\"]\ninitial-scopes = [\"mcp\"]";
    let allow = r#""everything/echo", { match = "everything/*", scopes = ["more"] }"#;
    let (_gateway, provider, url) = gateway_allowing(scopes, allow).await;
    for sdk in Sdk::ALL {
        let alice = person("alice", &url, &provider);
        let mut client =
            SigningClient::connect(sdk, &format!("{url}/mcp/everything"), alice, &json!({})).await;
        assert_eq!(client.ask(r#"call echo {"text":"hello"}"#).await, "hello", "{sdk:?}");
        assert_eq!(client.visits.len(), 1, "{sdk:?}");
        assert_eq!(client.ask("tokens").await["scope"], "mcp", "{sdk:?}");
        // The call is refused with what it needs; the person is asked for that, and the same call goes on.
        let said = client.ask("call test_simple_text {}").await;
        assert_eq!(
            said, "This is a simple text response for testing.",
            "{sdk:?}: {:?}",
            client.visits
        );
        assert_eq!(client.visits.len(), 2, "{sdk:?}");
        assert_eq!(client.visits[1]["seen"][0], "consent", "{sdk:?}: {}", client.visits[1]);
        let scope = client.ask("tokens").await["scope"].as_str().unwrap().to_owned();
        let mut scopes: Vec<_> = scope.split(' ').collect();
        scopes.sort_unstable();
        assert_eq!(scopes, ["mcp", "more"], "{sdk:?}");
    }
}

#[tokio::test]
async fn mcp_remote_signs_in() {
    let (gateway, provider, url) = gateway("").await;
    let alice = person("alice", &url, &provider);
    let mut client =
        SigningClient::remote(&format!("{url}/mcp/everything"), &gateway.folder(), alice);
    let about = json!({ "name": "tests", "version": "1" });
    let hello = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": about });
    client.request("initialize", hello).await;
    client.tell(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
    let arguments = json!({ "name": "echo", "arguments": { "text": "hello" } });
    let result = client.request("tools/call", arguments).await;
    assert_eq!(result["content"][0]["text"], "hello");
    assert_eq!(client.visits.len(), 1);
}

#[tokio::test]
async fn the_inspector_signs_in_lists_and_calls() {
    let (gateway, provider, url) = gateway_allowing("", r#""everything/echo""#).await;
    let alice = person("alice", &url, &provider);
    for era in ["legacy", "modern"] {
        let inspector = Inspector::start(&format!("{url}/mcp/everything"), era).await;
        let used = inspector.used_by(&alice, "hello there").await;
        assert_eq!(used["seen"][0], "consent", "{era}: {used}");
        assert_eq!(used["tools"], json!(["echo"]), "{era}: {used}");
        assert_eq!(used["said"], "hello there", "{era}: {used}");
    }
    let search = ["audit", "search", "--kind", "outcome", "--output", "json"];
    let log = run(gateway.command().args(search)).await;
    let records: Vec<Value> = serde_json::from_str(&log).unwrap();
    let calls = records.iter().filter(|record| record["name"] == "echo");
    let callers: Vec<&Value> = calls.map(|record| &record["principal"]).collect();
    assert_eq!(callers, ["user:id/alice", "user:id/alice"], "{log}");
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

#[tokio::test]
async fn a_disabled_account_ends_the_session() {
    let (_gateway, mut provider, url) = gateway("").await;
    let alice = person("alice", &url, &provider);
    let start = format!("{url}/mcp/everything");
    let mut client = SigningClient::connect(Sdk::TypeScript, &start, alice, &json!({})).await;
    assert_eq!(client.ask(r#"call echo {"text":"hello"}"#).await, "hello");
    provider.disable("alice").await;
    // The client is sent to sign in again, and can't: that shows on the page where the visit ends.
    client.person.deny = true;
    eventually("the session is over", async || {
        client.ask(r#"call echo {"text":"hello"}"#).await;
        client.visits.len() > 1
    })
    .await;
}

#[tokio::test]
async fn a_terminal_signs_in_by_the_code_that_a_person_types_elsewhere() {
    let (gateway, provider, url) = gateway("").await;
    let remote = format!("{url}/mcp/everything");
    let mut command = gateway.command();
    command.args(["login", &remote, "--device"]).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut told = Vec::new();
    while told.len() < 3 {
        told.push(lines.next_line().await.unwrap().unwrap_or_else(|| panic!("{told:?}")));
    }
    let page = told[0].split(' ').nth(1).unwrap();
    let end = person("alice", &url, &provider).visit_with(page, told[2].trim()).await;
    assert_eq!(end["seen"][0], "device", "{end}");
    assert!(child.wait().await.unwrap().success(), "{end}");
    let who = run(gateway.command().args(["whoami", "--output", "json"])).await;
    assert!(who.contains(&url), "{who}");
    let sessions = run(gateway.command().args(["sessions", "list", "--output", "json"])).await;
    assert!(sessions.contains("user:id/alice"), "{sessions}");
}

#[tokio::test]
async fn a_client_that_is_removed_is_a_stranger() {
    let (gateway, provider, url) = gateway("").await;
    let alice = person("alice", &url, &provider);
    let start = format!("{url}/mcp/everything");
    let mut client = SigningClient::connect(Sdk::TypeScript, &start, alice, &json!({})).await;
    assert_eq!(client.ask(r#"call echo {"text":"hello"}"#).await, "hello");
    let clients = async || -> Vec<String> {
        let list = run(gateway.command().args(["clients", "list", "--output", "json"])).await;
        let list: Value = serde_json::from_str(&list).unwrap();
        let id = |client: &Value| client["id"].as_str().unwrap().to_owned();
        list.as_array().unwrap().iter().map(id).collect()
    };
    let [id] = &clients().await[..] else { panic!("one client") };
    run(gateway.command().args(["clients", "remove", id])).await;
    // Its token ends, its refresh token too, and so does what alice let it do: she is asked again.
    eventually("alice is asked again", async || {
        client.ask(r#"call echo {"text":"hello"}"#).await;
        client.visits.len() > 1
    })
    .await;
    assert_eq!(client.visits[1]["seen"][0], "consent", "{}", client.visits[1]);
    assert!(!clients().await.contains(id));
}
