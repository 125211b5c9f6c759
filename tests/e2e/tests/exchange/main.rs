//! Servers whose credential a token endpoint gives: the gateway between clients with Entra's tokens and a server
//! that takes others.

mod orders;

use base64::{Engine, prelude::BASE64_STANDARD};
use e2e::{Client, Era, Gateway, run};
use entra::{
    ALICE, BOB, DAEMON, Entra, GATEWAY, GATEWAY_SECRET, MACHINE, MACHINE_SECRET, ORDERS, TENANT,
    TERMINAL,
};
use http::StatusCode;
use serde_json::{Value, json};

use orders::{Orders, claims};

/// The gateway between the two.
struct Between {
    gateway: Gateway,
    entra: Entra,
    orders: Orders,
}

impl Between {
    /// `exchange` is what stands in the server's section; `environment` comes on top.
    async fn with(
        entra: Entra,
        orders: Orders,
        exchange: &str,
        environment: &[(&str, &str)],
    ) -> Between {
        let configuration = format!(
            r#"
            [identity]
            loopback = "open"
            [identity.providers.entra]
            kind = "entra"
            tenants = ["{TENANT}"]
            client-id = "{GATEWAY}"
            login-url = "{login}"
            allow-private = true
            [roles.all-of-them]
            members = ["loopback", "role:Tools.Admin", "role:Tools.User", "role:Tools.Worker"]
            allow = ["*"]
            [trust]
            on-first-use = "approve"
            [servers.orders]
            url = "{url}"
            allow-private = true
            [servers.orders.exchange]
            {exchange}
            "#,
            login = entra.url,
            url = orders.url,
        );
        let authority = entra.authority();
        let mut all =
            vec![("SSL_CERT_FILE", authority.to_str().unwrap()), ("ORDERS_SECRET", GATEWAY_SECRET)];
        all.extend(environment);
        let gateway = Gateway::start_with(&configuration, &all).await;
        Between { gateway, entra, orders }
    }

    /// On behalf of callers, with a secret.
    async fn on_behalf() -> Between {
        let (entra, orders) = (Entra::start().await, Orders::start().await);
        let exchange = on_behalf_of(&entra, r#"client-secret = "${env:ORDERS_SECRET}""#);
        Between::with(entra, orders, &exchange, &[]).await
    }

    async fn client(&self, token: Option<&str>) -> Client {
        Client::connect_as(&self.gateway.address, "/mcp/orders", Era::Stateless, token).await
    }

    /// Whom the server saw when this caller called.
    async fn whoami(&self, token: Option<&str>) -> String {
        self.client(token).await.call_text("whoami", json!({})).await
    }

    /// How a call of this caller's was refused: status, challenge, error.
    async fn refused(&self, token: Option<&str>) -> (StatusCode, String, Value) {
        let client = self.client(token).await;
        let mut reply =
            client.send("tools/call", json!({ "name": "whoami", "arguments": {} })).await;
        let challenge = reply.header("www-authenticate").to_owned();
        let answer = reply.next().await.unwrap_or_default();
        assert!(answer.get("error").is_some(), "{answer}");
        (reply.status, challenge, answer["error"].clone())
    }

    /// What the log says of exchanges: credential and outcome, with the refusal's label.
    async fn recorded(&self) -> Vec<String> {
        let records =
            run(self.gateway.command().args(["audit", "search", "--output", "json"])).await;
        let records: Vec<Value> = serde_json::from_str(&records).unwrap();
        let exchanges = records.iter().filter(|record| record["method"] == "exchange");
        let text =
            |record: &Value, name: &str| record[name].as_str().unwrap_or_default().to_owned();
        exchanges
            .map(|record| {
                ["server", "credential", "outcome", "refusal"]
                    .map(|name| text(record, name))
                    .join(" | ")
            })
            .collect()
    }
}

fn token_endpoint(entra: &Entra) -> String {
    format!("{}/{TENANT}/oauth2/v2.0/token", entra.url)
}

fn on_behalf_of(entra: &Entra, proof: &str) -> String {
    format!(
        r#"
        kind = "entra-on-behalf-of"
        token-endpoint = "{}"
        allow-private = true
        client-id = "{GATEWAY}"
        scopes = ["api://orders/.default"]
        {proof}
        "#,
        token_endpoint(entra)
    )
}

fn user_token(between: &Between, user: &str) -> String {
    between.entra.user_token(user, TERMINAL, &["mcp"])
}

#[tokio::test]
async fn the_server_sees_the_user_and_never_the_token_that_came_in() {
    let between = Between::on_behalf().await;
    let (alice, bob) = (user_token(&between, ALICE), user_token(&between, BOB));
    for _ in 0..3 {
        assert_eq!(between.whoami(Some(&alice)).await, ALICE);
        assert_eq!(between.whoami(Some(&bob)).await, BOB);
    }
    let shown = between.orders.shown();
    for token in &shown {
        assert!(*token != alice && *token != bob);
        assert_eq!(
            (&claims(token)["scp"], &claims(token)["appid"]),
            (&json!("orders.read orders.write"), &json!(GATEWAY))
        );
    }
    let posts = between.entra.asked(&format!("POST /{TENANT}/oauth2/v2.0/token"));
    assert_eq!(posts, 2, "one for each of them");
    let recorded = between.recorded().await;
    assert_eq!(recorded.len(), 2, "{recorded:?}");
    assert!(
        recorded[0].starts_with("orders | entra-on-behalf-of api://orders/.default | ok | "),
        "{recorded:?}"
    );
    let folder = between.gateway.folder();
    for needle in [&alice, &shown[0]] {
        assert!(!holds(&folder, needle), "a token was written down");
    }
}

/// Whether a file of the folder holds the text.
fn holds(folder: &std::path::Path, needle: &str) -> bool {
    std::fs::read_dir(folder).unwrap().flatten().any(|entry| match entry.path() {
        path if path.is_dir() => holds(&path, needle),
        path => std::fs::read(path).is_ok_and(|bytes| {
            bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
        }),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn two_users_racing_never_get_each_others_token() {
    let between = std::sync::Arc::new(Between::on_behalf().await);
    let users: Vec<(&str, String)> = [ALICE, BOB]
        .iter()
        .flat_map(|user| (0..4).map(|_| (*user, user_token(&between, user))).collect::<Vec<_>>())
        .collect();
    let users = std::sync::Arc::new(users);
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..20 {
        let (between, users) = (between.clone(), users.clone());
        tasks.spawn(async move {
            let (user, token) = &users[task % users.len()];
            let client = between.client(Some(token)).await;
            let mut mixed = 0;
            for _ in 0..25 {
                mixed += usize::from(client.call_text("whoami", json!({})).await != *user);
            }
            mixed
        });
    }
    assert_eq!(tasks.join_all().await.into_iter().sum::<usize>(), 0);
    let posts = between.entra.asked(&format!("POST /{TENANT}/oauth2/v2.0/token"));
    assert_eq!(posts, users.len(), "one for each token, however many waited for it");
}

#[tokio::test]
async fn what_the_token_endpoint_says_reaches_whoever_can_mend_it() {
    let between = Between::on_behalf().await;
    let alice = user_token(&between, ALICE);
    // Nobody to act for, and a program.
    let (status, _, error) = between.refused(None).await;
    assert_eq!(status, 200);
    assert!(
        error["message"].as_str().unwrap().contains("sign in at the identity provider"),
        "{error}"
    );
    let daemon = between.entra.app_token(DAEMON, GATEWAY);
    let (_, _, error) = between.refused(Some(&daemon)).await;
    assert!(error["message"].as_str().unwrap().contains("a program can't be acted for"), "{error}");
    // A consent is missing.
    between.entra.change(|state| state.directory.app_mut(ORDERS).consented.clear());
    let (_, _, error) = between.refused(Some(&alice)).await;
    assert!(error["message"].as_str().unwrap().contains("consent"), "{error}");
    between.entra.change(|state| {
        state.directory.app_mut(ORDERS).consented.insert(GATEWAY.to_owned());
    });
    // Its secret is over: nothing of that is told to the client.
    between.entra.change(|state| state.directory.app_mut(GATEWAY).secrets[0].1 = 0);
    let bob = user_token(&between, BOB);
    let (_, _, error) = between.refused(Some(&bob)).await;
    assert_eq!(error["message"], "The credential for server orders is not available.");
    let recorded = between.recorded().await;
    for expected in ["exchange-application", "exchange-consent", "exchange-misconfigured"] {
        assert!(recorded.iter().any(|line| line.ends_with(expected)), "{expected}: {recorded:?}");
    }
}

#[tokio::test]
async fn more_that_is_asked_for_is_a_challenge_to_clients_that_can_answer_it() {
    let between = Between::on_behalf().await;
    between.entra.change(|state| state.trouble.second_factor = vec![ORDERS.to_owned()]);
    let plain = user_token(&between, ALICE);
    let (status, challenge, _) = between.refused(Some(&plain)).await;
    assert_eq!(status, 401);
    assert!(challenge.contains("invalid_token") && !challenge.contains("claims="), "{challenge}");

    // The same user by a client that knows claims challenges.
    let mut said = claims(&user_token(&between, BOB));
    said["xms_cc"] = json!(["cp1"]);
    let able = between.entra.sign(entra::Signer::Current, &said);
    let (status, challenge, _) = between.refused(Some(&able)).await;
    assert_eq!(status, 401);
    assert!(challenge.contains(r#"error="insufficient_claims""#), "{challenge}");
    let (_, encoded) = challenge.split_once(r#"claims=""#).unwrap();
    let asked = BASE64_STANDARD.decode(encoded.split('"').next().unwrap()).unwrap();
    let asked: Value = serde_json::from_slice(&asked).unwrap();
    assert_eq!(asked["access_token"]["capolids"]["essential"], true);
}

#[tokio::test]
async fn a_refused_token_is_exchanged_anew_once() {
    let between = Between::on_behalf().await;
    let alice = user_token(&between, ALICE);
    let client = between.client(Some(&alice)).await;
    assert_eq!(client.call_text("whoami", json!({})).await, ALICE);
    let first = between.orders.shown()[0].clone();
    between.orders.refuse(&first, r#"Bearer error="invalid_token""#);
    assert_eq!(client.call_text("whoami", json!({})).await, ALICE);
    let second = between.orders.shown()[1].clone();
    assert_ne!(first, second);
    // Revoked in the meantime: the user is told to sign in again, and nothing goes out.
    between.orders.refuse(&second, r#"Bearer error="invalid_token""#);
    between.entra.revoke(ALICE);
    let (status, challenge, _) = between.refused(Some(&alice)).await;
    assert_eq!(status, 401);
    assert!(challenge.contains("invalid_token"), "{challenge}");
    assert_eq!(between.orders.shown().len(), 2);
}

#[tokio::test]
async fn bartizan_proves_itself_by_a_certificate_or_by_its_machine() {
    let entra = Entra::start().await;
    let (cert, key) = entra.client_certificate();
    let proof = format!("certificate = {{ cert = {cert:?}, key = {key:?} }}");
    let exchange = on_behalf_of(&entra, &proof);
    let between = Between::with(entra, Orders::start().await, &exchange, &[]).await;
    let alice = user_token(&between, ALICE);
    assert_eq!(between.whoami(Some(&alice)).await, ALICE);
    assert_eq!(claims(&between.orders.shown()[0])["appidacr"], "2");

    let entra = Entra::start().await;
    let issuer = entra.issuer();
    entra.change(|state| {
        state.directory.app_mut(GATEWAY).federated = vec![(issuer, MACHINE.to_owned())];
    });
    let exchange = on_behalf_of(&entra, r#"client-managed-identity = "system""#);
    let machine = entra.machine_url.clone();
    let environment = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", machine.as_str())];
    let between = Between::with(entra, Orders::start().await, &exchange, &environment).await;
    let bob = user_token(&between, BOB);
    assert_eq!(between.whoami(Some(&bob)).await, BOB);
}

#[tokio::test]
async fn bartizan_and_its_machine_have_credentials_of_their_own() {
    let entra = Entra::start().await;
    let exchange = format!(
        "kind = \"client-credentials\"\ntoken-endpoint = \"{}\"\nallow-private = true\nclient-id = \"{GATEWAY}\"\n\
         client-secret = \"${{env:ORDERS_SECRET}}\"\nscopes = [\"api://orders/.default\"]",
        token_endpoint(&entra)
    );
    let between = Between::with(entra, Orders::start().await, &exchange, &[]).await;
    assert_eq!(between.whoami(None).await, GATEWAY);

    let managed = "kind = \"managed-identity\"\nresource = \"api://orders\"";
    let entra = Entra::start().await;
    let machine = entra.machine_url.clone();
    let imds = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", machine.as_str())];
    let between = Between::with(entra, Orders::start().await, managed, &imds).await;
    assert_eq!(between.whoami(None).await, MACHINE);

    let entra = Entra::start().await;
    let endpoint = format!("{}/msi/token", entra.machine_url);
    let app_service =
        [("IDENTITY_ENDPOINT", endpoint.as_str()), ("IDENTITY_HEADER", MACHINE_SECRET)];
    let between = Between::with(entra, Orders::start().await, managed, &app_service).await;
    assert_eq!(between.whoami(None).await, MACHINE);
    for _ in 0..3 {
        between.whoami(None).await;
    }
    assert_eq!(between.entra.asked("GET /msi/token"), 1);
}

#[tokio::test]
async fn a_workload_identity_is_found_in_the_environment() {
    let entra = Entra::start().await;
    let token = entra.federate(GATEWAY, MACHINE);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), token).unwrap();
    let host = format!("{}/", entra.url);
    let environment = [
        ("AZURE_AUTHORITY_HOST", host.as_str()),
        ("AZURE_TENANT_ID", TENANT),
        ("AZURE_CLIENT_ID", GATEWAY),
        ("AZURE_FEDERATED_TOKEN_FILE", file.path().to_str().unwrap()),
    ];
    let exchange =
        "kind = \"workload-identity\"\nallow-private = true\nscopes = [\"api://orders/.default\"]";
    let between = Between::with(entra, Orders::start().await, exchange, &environment).await;
    assert_eq!(between.whoami(None).await, GATEWAY);
}

#[tokio::test]
async fn an_outage_is_outlived_by_what_is_still_good() {
    let between = Between::on_behalf().await;
    let alice = user_token(&between, ALICE);
    assert_eq!(between.whoami(Some(&alice)).await, ALICE);
    between.entra.change(|state| state.trouble.login = true);
    assert_eq!(between.whoami(Some(&alice)).await, ALICE);
    let bob = user_token(&between, BOB);
    let (_, _, error) = between.refused(Some(&bob)).await;
    assert_eq!(error["message"], "The credential for server orders is not available.");
    between.entra.change(|state| state.trouble.login = false);
    e2e::eventually("bob is served when Entra is back", async || {
        let client = between.client(Some(&bob)).await;
        let answer = client.call("whoami", json!({})).await;
        answer["result"]["content"][0]["text"] == BOB
    })
    .await;
}
