//! The faults of the best-known sample of this pattern, numbered as in its review, and of its siblings.

use e2e::Request;
use http::StatusCode;
use serde_json::json;

use crate::{
    place::{Browser, Client, Place, claims, next, question, text},
    provider::form,
};

#[tokio::test]
async fn fault_1_no_token_is_in_any_log() {
    let place = Place::open("").await;
    let (client, tokens) = place.signed_in("alice").await;
    let (_, renewed) = client.refresh(&place, text(&tokens, "refresh_token")).await;
    assert_eq!(place.knocks(text(&renewed, "access_token")).await, 200);
    let mut logs = place.gateway.log();
    for entry in std::fs::read_dir(place.gateway.folder().join("state/audit")).unwrap() {
        logs += &String::from_utf8_lossy(&std::fs::read(entry.unwrap().path()).unwrap_or_default());
    }
    assert!(logs.contains("sign-in") && logs.contains("user:corp/alice"), "{logs}");
    let database = std::fs::read(place.gateway.folder().join("state/bartizan.db")).unwrap();
    let wal =
        std::fs::read(place.gateway.folder().join("state/bartizan.db-wal")).unwrap_or_default();
    for secret in [
        text(&tokens, "access_token"),
        text(&tokens, "refresh_token"),
        text(&renewed, "access_token"),
        text(&renewed, "refresh_token"),
        "provider-refresh-",
        "provider-access",
        "provider-code-",
    ] {
        assert!(!logs.contains(secret), "{secret}");
        for file in [&database, &wal] {
            assert!(
                !file.windows(secret.len()).any(|window| window == secret.as_bytes()),
                "{secret}"
            );
        }
    }
}

#[tokio::test]
async fn fault_2_an_approval_can_not_be_forged_and_no_state_exists_before_it() {
    let place = Place::open("").await;
    let client = place.client().await;
    let mut browser = Browser::default();
    // What an approval looked like elsewhere.
    let forged = Browser {
        cookie: Some(format!(
            "__Host-MCP_APPROVED_CLIENTS=WyJ4Il0; bartizan_browser={}",
            "A".repeat(43)
        )),
    };
    let mut reply = forged.clone().get(&place, &client.authorize(&[])).await;
    assert_eq!(reply.status, 200, "a page that asks");
    assert!(reply.text().await.contains("Allow and sign in"));

    let mut reply = browser.get(&place, &client.authorize(&[])).await;
    let page = reply.text().await;
    assert!(!page.contains(&place.provider.issuer) && !page.contains("state="), "{page}");
    assert!(place.provider.change(|state| state.asked.is_empty()));
    let question = question(&page);
    let answer = [("csrf_token", question.as_str()), ("answer", "allow")];
    let own = [("origin", place.url.as_str()), ("sec-fetch-site", "same-origin")];
    let other = Browser { cookie: Some(format!("bartizan_browser={}", "B".repeat(42) + "A")) };
    for (who, headers) in [
        (&Browser::default(), own.to_vec()),
        (&other, own.to_vec()),
        (&browser, vec![]),
        (&browser, vec![("origin", "https://evil.example")]),
        (&browser, vec![("origin", "null")]),
        (&browser, vec![("origin", place.url.as_str()), ("sec-fetch-site", "cross-site")]),
    ] {
        let reply = who.post_from(&place, "/oauth/consent", &answer, &headers).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{headers:?}");
    }
    let changed =
        format!("{}{}", if question.starts_with('A') { "B" } else { "A" }, &question[1..]);
    let reply = browser
        .post(&place, "/oauth/consent", &[("csrf_token", &changed), ("answer", "allow")])
        .await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    // No is no: the client hears so, and the provider nothing.
    let mut reply = browser
        .post(&place, "/oauth/consent", &[("csrf_token", &question), ("answer", "deny")])
        .await;
    let back = next(&reply.text().await);
    let back = form(back.split_once('?').unwrap().1);
    assert_eq!(
        (back["error"].as_str(), back["iss"].as_str()),
        ("access_denied", place.url.as_str())
    );
    assert!(place.provider.change(|state| state.asked.is_empty()));
}

#[tokio::test]
async fn fault_3_plain_pkce_is_refused() {
    let place = Place::open("").await;
    let client = place.client().await;
    for change in [
        [("code_challenge_method", "plain")],
        [("code_challenge_method", "")],
        [("code_challenge", "")],
    ] {
        let reply = Browser::default().get(&place, &client.authorize(&change)).await;
        let location = reply.header("location");
        let back = form(location.split_once('?').unwrap_or_else(|| panic!("{location}")).1);
        assert_eq!(back["error"], "invalid_request", "{change:?}");
        assert_eq!(
            (back["iss"].as_str(), back["state"].as_str()),
            (place.url.as_str(), "client-state")
        );
    }
}

#[tokio::test]
async fn fault_4_a_code_is_for_its_client_its_verifier_and_one_use() {
    let place = Place::open("").await;
    let (client, other) = (place.client().await, place.client().await);
    let mut browser = Browser::default();
    let back = browser.sign_in(&place, &client).await;
    let (status, refused) = other.redeem(&place, &back["code"]).await;
    assert_eq!((status, text(&refused, "error")), (400, "invalid_grant"));
    let (status, _) = client.redeem(&place, &back["code"]).await;
    assert_eq!(status, 400, "it was shown once");

    let back = browser.sign_in(&place, &client).await;
    let thief = crate::place::Client { verifier: "w".repeat(50), ..client.clone() };
    let (status, _) = thief.redeem(&place, &back["code"]).await;
    assert_eq!(status, 400);

    let back = browser.sign_in(&place, &client).await;
    let (_, tokens) = client.redeem(&place, &back["code"]).await;
    let access = text(&tokens, "access_token");
    assert_eq!(place.knocks(access).await, 200);
    let (status, refused) = client.redeem(&place, &back["code"]).await;
    assert_eq!((status, text(&refused, "error")), (400, "invalid_grant"));
    assert_eq!(place.knocks(access).await, 401, "what came of the code ends with it");
    let (status, _) = client.refresh(&place, text(&tokens, "refresh_token")).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn fault_5_a_redirect_uri_is_checked_whatever_was_approved() {
    let place = Place::open("").await;
    let client = place.client().await;
    let mut browser = Browser::default();
    browser.sign_in(&place, &client).await;
    for evil in [
        "https://evil.example/cb",
        "http://127.0.0.1:4711/other",
        "http://127.0.0.1.evil.example/callback",
        "",
    ] {
        let reply = browser.get(&place, &client.authorize(&[("redirect_uri", evil)])).await;
        assert_eq!(
            (reply.status, reply.header("location")),
            (StatusCode::BAD_REQUEST, ""),
            "{evil}"
        );
    }
    let mut reply = browser.get(&place, &client.authorize(&[("client_id", "bza_unknown")])).await;
    assert_eq!((reply.status, reply.header("location")), (StatusCode::BAD_REQUEST, ""));
    assert!(reply.text().await.contains("Request <code>"));
}

#[tokio::test]
async fn fault_6_a_second_sign_in_succeeds_and_asks_nothing_new() {
    let place = Place::open("").await;
    let (client, other) = (place.client().await, place.client().await);
    let mut browser = Browser::default();
    browser.sign_in(&place, &client).await;
    let reply = browser.get(&place, &client.authorize(&[])).await;
    assert!(reply.header("location").starts_with(&place.provider.issuer), "no question");
    let back = browser.sign_in(&place, &client).await;
    assert_eq!(client.redeem(&place, &back["code"]).await.0, 200);
    // Another client is asked about, and so is this one for another door or in another browser.
    for (browser, path) in [
        (&mut browser.clone(), other.authorize(&[])),
        (
            &mut browser.clone(),
            client.authorize(&[("resource", &format!("{}/mcp/one", place.url))]),
        ),
        (&mut Browser::default(), client.authorize(&[])),
    ] {
        assert_eq!(browser.get(&place, &path).await.status, 200, "{path}");
    }
    // And so is another person: what one let a client do, the other did not.
    place.provider.change(|state| state.user = "bob".into());
    let reply = browser.get(&place, &client.authorize(&[])).await;
    let callback = browser.at_provider(&place, reply.header("location")).await;
    let mut reply = browser.get(&place, &callback).await;
    assert_eq!(reply.status, 200);
    let page = reply.text().await;
    assert!(page.contains("Allow and sign in"), "{page}");
}

#[tokio::test]
async fn fault_7_tokens_are_verified_and_not_just_known() {
    let place = Place::open("").await;
    for (claim, value) in [
        ("nonce", json!("another")),
        ("aud", json!("another")),
        ("iss", json!("https://evil.example")),
        ("exp", json!(1)),
    ] {
        place.provider.change(|state| state.wrong = Some((claim, value.clone())));
        let (mut browser, client) = (Browser::default(), place.client().await);
        let mut reply = browser.get(&place, &client.authorize(&[])).await;
        let url = browser.allow(&place, &reply.text().await).await;
        let callback = browser.at_provider(&place, &url).await;
        let reply = browser.get(&place, &callback).await;
        assert_eq!(
            (reply.status, reply.header("location")),
            (StatusCode::FORBIDDEN, ""),
            "{claim}"
        );
    }
    place.provider.change(|state| state.wrong = None);
    let (_, tokens) = place.signed_in("alice").await;
    let access = text(&tokens, "access_token");
    // It is for one door.
    assert_eq!(place.knock("/mcp/one", &format!("Bearer {access}"), &[]).await, 401);
    assert_eq!(place.knocks(access).await, 200);
    // What a client got when its user signed in here approves nothing in the user's name.
    assert_eq!(place.knock("/approvals/any", &format!("Bearer {access}"), &[]).await, 401);
    // A token of the provider's for somebody else's client opens nothing.
    let foreign = place.provider.sign("at+jwt", &json!({"iss": place.provider.issuer, "aud": "another", "sub": "alice", "exp": 9_999_999_999_u64}));
    assert_eq!(place.knocks(&foreign).await, 401);
    assert_eq!(place.knocks("sessionId123").await, 401);
}

#[tokio::test]
async fn fault_8_every_call_is_somebodys() {
    let place = Place::open("").await;
    place.provider.change(|state| state.groups = vec!["staff".into()]);
    let (client, tokens) = place.signed_in("bob").await;
    let said = claims(text(&tokens, "access_token"));
    assert_eq!(
        (text(&said, "sub"), text(&said, "client_id")),
        ("user:corp/bob", client.id.as_str())
    );
    assert_eq!(said["groups"], json!(["staff"]));
    assert!(said.get("at_hash").is_none() && said.get("nonce").is_none());
    let one = Client { resource: format!("{}/mcp/one", place.url), ..client.clone() };
    let back = Browser::default().sign_in(&place, &one).await;
    let (_, tokens) = one.redeem(&place, &back["code"]).await;
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": {"text": "x"},
        "_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}}});
    let mut reply = Request::post(&place.gateway.address, "/mcp/one", call.to_string())
        .header("authorization", &format!("Bearer {}", text(&tokens, "access_token")))
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/call")
        .header("mcp-name", "echo")
        .send()
        .await;
    let answer = reply.text().await;
    assert_eq!(reply.status, 200, "{answer}");
    let mut search = place.gateway.command();
    let found =
        e2e::run(search.args(["audit", "search", "--who", "user:corp/bob", "--output", "json"]))
            .await;
    assert!(found.contains("sign-in") && found.contains(&client.id), "{found}");
    assert!(found.contains("tools/call") && found.contains("echo"), "{found}");
}

#[tokio::test]
async fn fault_9_an_unknown_code_is_an_invalid_grant() {
    let place = Place::open("").await;
    let client = place.client().await;
    for code in ["", "x", &format!("bzc_{}", "A".repeat(43)), &"x".repeat(10_000)] {
        let (status, answer) = client.redeem(&place, code).await;
        assert_eq!((status, text(&answer, "error")), (400, "invalid_grant"));
    }
    let (status, answer) = client.refresh(&place, &format!("bzr_{}", "A".repeat(43))).await;
    assert_eq!((status, text(&answer, "error")), (400, "invalid_grant"));
}

#[tokio::test]
async fn fault_10_resources_are_named_and_the_provider_never_hears_of_them() {
    let place = Place::open("").await;
    for path in ["/mcp", "/mcp/one"] {
        let about = place.json(&format!("/.well-known/oauth-protected-resource{path}")).await;
        assert_eq!(about["resource"], format!("{}{path}", place.url));
        assert_eq!(about["authorization_servers"], json!([place.url]));
    }
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server/mcp",
    ] {
        let about = place.json(path).await;
        assert_eq!(about["issuer"], place.url);
        assert_eq!(about["code_challenge_methods_supported"], json!(["S256"]));
        assert_eq!(about["authorization_response_iss_parameter_supported"], true);
    }
    let (client, tokens) = place.signed_in("alice").await;
    assert_eq!(claims(text(&tokens, "access_token"))["aud"], client.resource);
    let asked = place.provider.change(|state| state.asked.join("\n"));
    assert!(asked.contains("nonce=") && asked.contains("code_challenge="), "{asked}");
    for word in ["resource", "client-state", &client.id, "4711"] {
        assert!(!asked.contains(word), "{word}: {asked}");
    }
    let reply = Browser::default()
        .get(&place, &client.authorize(&[("resource", "https://other.example/mcp")]))
        .await;
    assert!(reply.header("location").contains("error=invalid_target"));
}

#[tokio::test]
async fn fault_11_nothing_that_is_handed_out_can_be_changed() {
    let place = Place::open("").await;
    let client = place.client().await;
    let mut browser = Browser::default();
    let mut reply = browser.get(&place, &client.authorize(&[])).await;
    let url = browser.allow(&place, &reply.text().await).await;
    let callback = browser.at_provider(&place, &url).await;
    let state = form(callback.split_once('?').unwrap().1)["state"].clone();
    for at in (0..state.len()).step_by(97) {
        let mut changed = state.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        let reply = browser.get(&place, &callback.replace(&state, &changed)).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{at}");
    }
    // Another browser can't use it, and this one only once.
    let mut other = Browser::default();
    other.get(&place, &client.authorize(&[])).await;
    assert_eq!(other.get(&place, &callback).await.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.get(&place, &callback).await.status, StatusCode::FOUND);
    assert_eq!(browser.get(&place, &callback).await.status, StatusCode::FORBIDDEN, "replayed");

    let (client, tokens) = place.signed_in("alice").await;
    let access = text(&tokens, "access_token");
    assert_eq!(place.knocks(access).await, 200);
    for at in (0..access.len()).step_by(61) {
        let mut changed = access.to_owned().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(matches!(place.knocks(&changed).await, 400 | 401), "{at}");
    }
    let refresh = text(&tokens, "refresh_token");
    let last = refresh.chars().last().unwrap();
    let changed = refresh.replace(last, if last == 'A' { "E" } else { "A" });
    assert_eq!(client.refresh(&place, &changed).await.0, 400);
    assert_eq!(client.refresh(&place, refresh).await.0, 200);
}

#[tokio::test]
async fn pages_can_not_be_framed_and_names_are_text() {
    let place = Place::open("").await;
    let name = "<script>alert(1)</script>\"><img src=x>";
    let (status, answer) = place
        .register(json!({"client_name": name, "redirect_uris": ["http://localhost:1/cb"], "client_uri": "javascript:alert(1)"}))
        .await;
    assert_eq!(status, 201);
    let client = crate::place::Client {
        id: text(&answer, "client_id").to_owned(),
        redirect: "http://localhost:1/cb".into(),
        ..place.client().await
    };
    let mut reply = Browser::default().get(&place, &client.authorize(&[])).await;
    let policy = reply.header("content-security-policy").to_owned();
    assert!(
        policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
    assert!(policy.contains("form-action 'self'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(reply.header("x-frame-options"), "DENY");
    assert_eq!(reply.header("cache-control"), "no-store");
    let cookie = reply.header("set-cookie").to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    let page = reply.text().await;
    for tag in ["<script", "<img", "javascript:"] {
        assert!(!page.contains(tag), "{page}");
    }
    assert!(page.contains("registered itself") && page.contains("your own computer"), "{page}");
}
