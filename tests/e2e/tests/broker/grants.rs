//! Grants beside the first sign-in, and how each ends.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use e2e::{Request, eventually, run};
use http::StatusCode;
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use serde_json::{Value, json};

use crate::place::{Browser, Client, Place, claims, question, text};

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test]
async fn a_refresh_token_shown_twice_ends_the_session() {
    let place = Place::open("").await;
    let (client, tokens) = place.signed_in("alice").await;
    let first = text(&tokens, "refresh_token");
    let (status, renewed) = client.refresh(&place, first).await;
    assert_eq!(status, 200, "{renewed}");
    assert_ne!(text(&renewed, "refresh_token"), first);
    assert_eq!(place.knocks(text(&renewed, "access_token")).await, 200);
    let (status, refused) = client.refresh(&place, first).await;
    assert_eq!((status, text(&refused, "error")), (400, "invalid_grant"));
    assert_eq!(client.refresh(&place, text(&renewed, "refresh_token")).await.0, 400);
    assert_eq!(place.knocks(text(&renewed, "access_token")).await, 401);
    // Shown by another client, it ends too.
    let (_, tokens) = place.signed_in("alice").await;
    let other = place.client().await;
    assert_eq!(other.refresh(&place, text(&tokens, "refresh_token")).await.0, 400);
    assert_eq!(place.knocks(text(&tokens, "access_token")).await, 401);
}

#[tokio::test]
async fn what_the_provider_takes_back_ends_here() {
    let place = Place::open("").await;
    place.provider.change(|state| state.groups = vec!["staff".into(), "admins".into()]);
    let (client, tokens) = place.signed_in("alice").await;
    let access = text(&tokens, "access_token");
    assert_eq!(place.knocks(access).await, 200);
    // A group is lost: what was said of it before is no longer taken, what is said now is.
    place.provider.change(|state| state.groups = vec!["staff".into()]);
    eventually("the old token ends", async || place.knocks(access).await == 401).await;
    let (status, renewed) = client.refresh(&place, text(&tokens, "refresh_token")).await;
    assert_eq!(status, 200, "{renewed}");
    assert_eq!(claims(text(&renewed, "access_token"))["groups"], json!(["staff"]));
    assert_eq!(place.knocks(text(&renewed, "access_token")).await, 200);
    // The account is gone.
    place.provider.change(|state| state.disabled = true);
    eventually("the session ends", async || {
        place.knocks(text(&renewed, "access_token")).await == 401
    })
    .await;
    assert_eq!(client.refresh(&place, text(&renewed, "refresh_token")).await.0, 400);
    let found =
        run(place.gateway.command().args(["audit", "search", "--who", "user:corp/alice"])).await;
    assert!(found.contains("session-end"), "{found}");
}

#[tokio::test]
async fn sessions_outlive_a_restart_and_end_by_revocation() {
    let mut place = Place::open("").await;
    let (client, tokens) = place.signed_in("alice").await;
    place.gateway = place.gateway.restart().await;
    assert_eq!(place.knocks(text(&tokens, "access_token")).await, 200);
    let (status, renewed) = client.refresh(&place, text(&tokens, "refresh_token")).await;
    assert_eq!(status, 200, "{renewed}");
    let other = place.client().await;
    let token = text(&renewed, "refresh_token");
    let revoke = async |client: &Client| {
        place.post("/oauth/revoke", &[("token", token), ("client_id", &client.id)], &[]).await.0
    };
    assert_eq!(revoke(&other).await, 200, "whether it knows the token is not said");
    assert_eq!(place.knocks(text(&renewed, "access_token")).await, 200);
    assert_eq!(revoke(&client).await, 200);
    assert_eq!(place.knocks(text(&renewed, "access_token")).await, 401);
    assert_eq!(client.refresh(&place, token).await.0, 400);
}

#[tokio::test]
async fn the_operator_sees_and_ends_sessions() {
    let place = Place::open("").await;
    let (client, tokens) = place.signed_in("alice").await;
    let list = run(place.gateway.command().args(["sessions", "list", "--output", "json"])).await;
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(
        (text(&list[0], "user"), text(&list[0], "client")),
        ("user:corp/alice", client.id.as_str())
    );
    let clients = run(place.gateway.command().args(["clients", "list", "--output", "json"])).await;
    assert!(clients.contains(&client.id), "{clients}");

    let mut mint = place.gateway.command();
    let operator = run(mint.args(["token", "mint", "operator", "--role", "all"])).await;
    let operator = format!("Bearer {}", operator.trim());
    let access = text(&tokens, "access_token");
    let look = async |authorization: &str| {
        place
            .post("/oauth/introspect", &[("token", access)], &[("authorization", authorization)])
            .await
    };
    assert_eq!(look(&format!("Bearer {access}")).await.0, 401);
    let (status, seen) = look(&operator).await;
    assert_eq!(
        (status, &seen["active"], text(&seen, "sub")),
        (200, &json!(true), "user:corp/alice")
    );

    run(place.gateway.command().args(["sessions", "revoke", "--user", "user:corp/alice"])).await;
    eventually("the token ends", async || place.knocks(access).await == 401).await;
    assert_eq!(look(&operator).await.1, json!({"active": false}));
    run(place.gateway.command().args(["clients", "remove", &client.id])).await;
    let reply = Browser::default().get(&place, &client.authorize(&[])).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn registrations_are_bounded() {
    let place = Place::open("[sign-in.registration]\nlimit = 2").await;
    let document =
        json!({"redirect_uris": ["https://app.example.com/cb"], "application_type": "web"});
    assert_eq!(place.register(document.clone()).await.0, 201);
    for (bad, error) in [
        (json!({"redirect_uris": ["javascript:alert(1)"]}), "invalid_redirect_uri"),
        (json!({"redirect_uris": ["http://app.example.com/cb"]}), "invalid_redirect_uri"),
        (
            json!({"redirect_uris": ["http://localhost/cb"], "application_type": "web"}),
            "invalid_redirect_uri",
        ),
        (json!({}), "invalid_redirect_uri"),
        (
            json!({"redirect_uris": ["https://a/b"], "client_name": "x".repeat(500)}),
            "invalid_client_metadata",
        ),
    ] {
        let (status, answer) = place.register(bad).await;
        assert_eq!((status, text(&answer, "error")), (400, error), "{answer}");
    }
    assert_eq!(place.register(document.clone()).await.0, 201);
    let (status, full) = place.register(document).await;
    assert_eq!((status, text(&full, "error")), (503, "temporarily_unavailable"));
}

#[tokio::test]
async fn documents_are_not_fetched_from_within() {
    let place = Place::open("").await;
    let client = place.client().await;
    for id in [
        "https://127.0.0.1/client.json",
        "https://localhost/client.json",
        "https://[::1]/client.json",
        "https://169.254.169.254/latest/meta-data",
        "https://10.0.0.1/client.json",
        "https://2130706433/client.json",
        "https://app.localhost/client.json",
    ] {
        let mut reply =
            Browser::default().get(&place, &client.authorize(&[("client_id", id)])).await;
        assert_eq!((reply.status, reply.header("location")), (StatusCode::BAD_REQUEST, ""), "{id}");
        let page = reply.text().await;
        assert!(
            !page.contains("refused") && !page.contains("loopback"),
            "it tells nothing of the network: {page}"
        );
    }
    let closed =
        Place::open("[sign-in.documents]\ntrust = \"domains\"\ndomains = [\"example.org\"]").await;
    let id = "https://app.example.com/client.json";
    let mut reply = Browser::default().get(&closed, &client.authorize(&[("client_id", id)])).await;
    assert!(reply.text().await.contains("domain"));
}

#[tokio::test]
async fn a_device_is_let_in_by_its_code() {
    let place = Place::open("").await;
    let client = place.client().await;
    let begin = async || {
        place
            .post(
                "/oauth/device_authorization",
                &[("client_id", &client.id), ("resource", &client.resource)],
                &[],
            )
            .await
            .1
    };
    let begun = begin().await;
    let poll = async |begun: &Value| {
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("device_code", text(begun, "device_code")),
            ("client_id", client.id.as_str()),
        ];
        place.token(&form).await
    };
    assert_eq!(text(&poll(&begun).await.1, "error"), "authorization_pending");
    assert_eq!(text(&poll(&begun).await.1, "error"), "slow_down");
    let answer = async |code: &str, answer: &str| {
        let mut browser = Browser::default();
        let page = browser.get(&place, "/oauth/device").await.text().await;
        let form = [("csrf_token", question(&page)), ("user_code", code.to_owned())];
        let form: Vec<_> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut reply = browser.post(&place, "/oauth/device", &form).await;
        let page = reply.text().await;
        if reply.status != 200 {
            return page;
        }
        assert!(page.contains("in front of you"), "{page}");
        if answer == "deny" {
            let form = [("csrf_token", question(&page)), ("answer", "deny".to_owned())];
            let form: Vec<_> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
            return browser.post(&place, "/oauth/consent", &form).await.text().await;
        }
        let url = browser.allow(&place, &page).await;
        let callback = browser.at_provider(&place, &url).await;
        browser.get(&place, &callback).await.text().await
    };
    assert!(answer("BBBB-BBBB", "allow").await.contains("No device waits"));
    let typed = text(&begun, "user_code").to_lowercase().replace('-', " ");
    assert!(answer(&typed, "allow").await.contains("Signed in"));
    let (status, tokens) = poll(&begun).await;
    assert_eq!(status, 200, "{tokens}");
    assert_eq!(place.knocks(text(&tokens, "access_token")).await, 200);
    assert_eq!(text(&poll(&begun).await.1, "error"), "expired_token", "once");
    let begun = begin().await;
    answer(text(&begun, "user_code"), "deny").await;
    assert_eq!(text(&poll(&begun).await.1, "error"), "access_denied");
}

/// A key of a client's.
struct Key {
    encoding: EncodingKey,
    jwk: Value,
}

impl Key {
    fn new() -> Key {
        let pair = rcgen::KeyPair::generate().unwrap();
        let point = pair.public_key_raw().to_vec();
        let jwk = json!({"kty": "EC", "crv": "P-256", "x": B64.encode(&point[1..33]), "y": B64.encode(&point[33..65])});
        Key { encoding: EncodingKey::from_ec_der(&pair.serialize_der()), jwk }
    }

    fn sign(&self, typ: &str, jwk: bool, claims: &Value) -> String {
        let mut header = Header { typ: Some(typ.into()), ..Header::new(Algorithm::ES256) };
        header.jwk = jwk.then(|| serde_json::from_value::<Jwk>(self.jwk.clone()).unwrap());
        jsonwebtoken::encode(&header, claims, &self.encoding).unwrap()
    }

    fn proof(&self, method: &str, url: &str, id: &str, token: Option<&str>) -> String {
        let ath = token.map(|token| {
            use sha2::Digest;
            B64.encode(sha2::Sha256::digest(token.as_bytes()))
        });
        self.sign(
            "dpop+jwt",
            true,
            &json!({"htm": method, "htu": url, "jti": id, "iat": now(), "ath": ath}),
        )
    }
}

#[tokio::test]
async fn a_bound_token_is_worth_nothing_without_its_key() {
    let place = Place::open("").await;
    let (key, thief) = (Key::new(), Key::new());
    let (mut browser, client) = (Browser::default(), place.client().await);
    let back = browser.sign_in(&place, &client).await;
    let endpoint = format!("{}/oauth/token", place.url);
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &back["code"]),
        ("client_id", &client.id),
        ("redirect_uri", &client.redirect),
        ("code_verifier", &client.verifier),
    ];
    let proof = key.proof("POST", &endpoint, "p1", None);
    let (status, tokens) = place.post("/oauth/token", &form, &[("dpop", &proof)]).await;
    assert_eq!((status, text(&tokens, "token_type")), (200, "DPoP"), "{tokens}");
    let access = text(&tokens, "access_token");
    let door = format!("{}/mcp", place.url);
    let shown = format!("DPoP {access}");
    let good = key.proof("POST", &door, "p2", Some(access));
    assert_eq!(place.knock("/mcp", &shown, &[("dpop", &good)]).await, 200);
    assert_eq!(place.knock("/mcp", &shown, &[("dpop", &good)]).await, 401, "replayed");
    for (authorization, proof) in [
        (&format!("Bearer {access}"), key.proof("POST", &door, "p3", Some(access))),
        (&shown, thief.proof("POST", &door, "p4", Some(access))),
        (&shown, key.proof("GET", &door, "p5", Some(access))),
        (&shown, key.proof("POST", &format!("{door}/one"), "p6", Some(access))),
        (&shown, key.proof("POST", &door, "p7", Some("another"))),
        (&shown, key.proof("POST", &door, "p8", None)),
        (&shown, "x".to_owned()),
    ] {
        assert_eq!(place.knock("/mcp", authorization, &[("dpop", &proof)]).await, 401, "{proof}");
    }
    assert_eq!(place.knock("/mcp", &shown, &[]).await, 401);
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", text(&tokens, "refresh_token")),
        ("client_id", &client.id),
    ];
    let proof = thief.proof("POST", &endpoint, "p9", None);
    assert_eq!(place.post("/oauth/token", &refresh, &[("dpop", &proof)]).await.0, 400);
}

#[tokio::test]
async fn dpop_can_be_required() {
    let place = Place::open("require-dpop = true").await;
    let key = Key::new();
    let (mut browser, client) = (Browser::default(), place.client().await);
    let back = browser.sign_in(&place, &client).await;
    let (status, answer) = client.redeem(&place, &back["code"]).await;
    assert_eq!((status, text(&answer, "error")), (400, "invalid_dpop_proof"));
    let endpoint = format!("{}/oauth/token", place.url);
    let body = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("grant_type", "authorization_code"),
            ("code", back["code"].as_str()),
            ("client_id", &client.id),
            ("code_verifier", &client.verifier),
        ])
        .finish();
    let ask = async |proof: String| {
        Request::post(&place.gateway.address, "/oauth/token", body.clone())
            .header("content-type", "application/x-www-form-urlencoded")
            .header("dpop", &proof)
            .send()
            .await
    };
    let reply = ask(key.proof("POST", &endpoint, "n1", None)).await;
    let nonce = reply.header("dpop-nonce").to_owned();
    assert_eq!((reply.status, nonce.is_empty()), (StatusCode::BAD_REQUEST, false));
    let claims = json!({"htm": "POST", "htu": endpoint, "jti": "n2", "iat": now(), "nonce": nonce});
    assert_eq!(ask(key.sign("dpop+jwt", true, &claims)).await.status, 200);
}

#[tokio::test]
async fn workloads_and_the_providers_word() {
    let key = Key::new();
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys.json");
    std::fs::write(&keys, json!({"keys": [key.jwk]}).to_string()).unwrap();
    let place = Place::open(&format!(
        "id-jag = true\n[sign-in.clients.build]\nkeys = {keys:?}\nworkload = true\n"
    ))
    .await;
    let endpoint = format!("{}/oauth/token", place.url);
    let assertion = |id: &str, audience: &str| {
        key.sign("JWT", false, &json!({"iss": "build", "sub": "build", "aud": audience, "jti": id, "iat": now(), "exp": now() + 120}))
    };
    let proof = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let by_itself = async |assertion: &str| {
        place
            .token(&[
                ("grant_type", "client_credentials"),
                ("client_assertion_type", proof),
                ("client_assertion", assertion),
            ])
            .await
    };
    let shown = assertion("a1", &place.url);
    let (status, tokens) = by_itself(&shown).await;
    assert_eq!(status, 200, "{tokens}");
    assert_eq!(claims(text(&tokens, "access_token"))["sub"], "workload:sign-in/build");
    assert!(tokens.get("refresh_token").is_none());
    assert_eq!(place.knocks(text(&tokens, "access_token")).await, 200);
    for bad in [
        shown,
        assertion("a2", "https://other.example"),
        Key::new().sign("JWT", false, &json!({"iss": "build"})),
    ] {
        let (status, refused) = by_itself(&bad).await;
        assert_eq!((status, text(&refused, "error")), (401, "invalid_client"));
    }
    let (status, _) = place
        .token(&[("grant_type", "client_credentials"), ("client_id", &place.client().await.id)])
        .await;
    assert_eq!(status, 400, "a client that anybody can register acts for nobody");

    let issuer = place.provider.issuer.clone();
    let jag = |change: Value| {
        let mut claims = json!({"iss": issuer, "sub": "alice", "aud": place.url, "client_id": "build", "jti": "j", "iat": now(),
            "exp": now() + 120, "resource": format!("{}/mcp", place.url), "scope": "mcp"});
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        place.provider.sign("oauth-id-jag+jwt", &claims)
    };
    let count = std::cell::Cell::new(10);
    let by_word = async |jag: &str| {
        count.set(count.get() + 1);
        let own = assertion(&format!("a{}", count.get()), &endpoint);
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", jag),
            ("client_assertion_type", proof),
            ("client_assertion", own.as_str()),
        ];
        place.token(&form).await
    };
    let good = jag(json!({}));
    let (status, tokens) = by_word(&good).await;
    assert_eq!(status, 200, "{tokens}");
    let said = claims(text(&tokens, "access_token"));
    assert_eq!(
        (text(&said, "sub"), text(&said, "client_id"), text(&said, "scope")),
        ("user:corp/alice", "build", "mcp")
    );
    for (why, bad) in [
        ("used before", good),
        ("another client's", jag(json!({"jti": "j2", "client_id": "other"}))),
        ("another server's", jag(json!({"jti": "j3", "aud": "https://other.example"}))),
        ("expired", jag(json!({"jti": "j4", "exp": 1}))),
        ("valid for too long", jag(json!({"jti": "j5", "exp": now() + 86_400}))),
        (
            "an ID token",
            place.provider.sign(
                "JWT",
                &json!({"iss": issuer, "sub": "alice", "aud": place.url, "exp": now() + 60}),
            ),
        ),
    ] {
        let (status, refused) = by_word(&bad).await;
        assert_eq!((status, text(&refused, "error")), (400, "invalid_grant"), "{why}");
    }
    let (status, refused) =
        by_word(&jag(json!({"jti": "j6", "resource": "https://other.example/mcp"}))).await;
    assert_eq!((status, text(&refused, "error")), (400, "invalid_target"));
}

#[tokio::test]
async fn a_person_signs_in_from_a_terminal() {
    let place = Place::open("").await;
    let home = tempfile::tempdir().unwrap();
    let elsewhere = || {
        let mut command = tokio::process::Command::new(e2e::binary("bartizan"));
        command
            .env("HOME", home.path())
            .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere")
            .arg("--state-dir")
            .arg(home.path().join("state"))
            .kill_on_drop(true);
        command
    };
    let told = Browser::default().login(&place, elsewhere()).await;
    assert!(told.contains("signed in"), "{told}");

    let who = run(elsewhere().args(["whoami", "--output", "json"])).await;
    assert!(who.contains("user:corp/alice"), "{who}");
    run(elsewhere().arg("logout")).await;
    let sessions =
        run(place.gateway.command().args(["sessions", "list", "--output", "json"])).await;
    assert_eq!(sessions.trim(), "[]");
}
