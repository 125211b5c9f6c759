//! Policy through every door: what is listed is what may be called, limits, networks, approvals.

use e2e::{Client, Era, Gateway, binary, eventually, run};
use http::StatusCode;
use serde_json::{Value, json};

/// A gateway in front of the fixture, with these sections more, and a token for each of the names.
async fn gateway(more: &str) -> Gateway {
    Gateway::start_with(&configuration(more), &[]).await
}

fn configuration(more: &str) -> String {
    let command = binary("everything");
    format!(
        "{more}\n[trust]\non-first-use = \"approve\"\n[servers.new]\ncommand = {command:?}\nargs = [\"stdio\"]\n"
    )
}

async fn client(gateway: &Gateway, token: &str, path: &str, era: Era) -> Client {
    Client::connect_as(&gateway.address, path, era, Some(token)).await
}

const ROLES: &str = r#"
[roles.reader]
members = ["token:ada"]
allow = ["tool:new/test_*", { match = "new/echo", arguments = { "/text" = { glob = "hi*" } } }, "prompt:*", "resource:*"]
deny = ["new/test_image_content"]
"#;

#[tokio::test]
async fn what_is_listed_is_what_may_be_called_in_every_era_and_behind_every_door() {
    let gateway = gateway(ROLES).await;
    let ada = gateway.token("ada").await;
    for era in [Era::Handshake, Era::Stateless] {
        for (path, prefix) in [("/mcp", "new__"), ("/mcp/new", "")] {
            let client = client(&gateway, &ada, path, era).await;
            let tools = client.tools().await;
            let listed = |name: &str| tools.contains(&format!("{prefix}{name}"));
            assert!(listed("test_simple_text") && listed("echo"), "{tools:?}");
            assert!(!listed("test_image_content") && !listed("big"), "{tools:?}");
            for name in ["test_simple_text", "test_image_content", "big", "test_audio_content"] {
                let answer = client.call(&format!("{prefix}{name}"), json!({"bytes": 1})).await;
                assert_eq!(answer.get("result").is_some(), listed(name), "{name}: {answer}");
            }
            let echo = format!("{prefix}echo");
            assert_eq!(client.call_text(&echo, json!({"text": "hi there"})).await, "hi there");
            for arguments in [json!({"text": "ho"}), json!({"text": 1}), json!({})] {
                let answer = client.call(&echo, arguments).await;
                assert_eq!(
                    answer["error"]["message"], "This is not permitted in this way.",
                    "{answer}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_limit_counts_callers_and_not_sessions_headers_or_programs() {
    let gateway = gateway(
        "[roles.r]\nmembers = [\"token:ada\", \"token:bob\"]\nallow = [\"*\"]\n[limits.on.some]\nmatch = [\"new/test_*\"]\nper = [\"principal\", \"tool\"]\nrate = \"3/1h\"\n",
    )
    .await;
    let (ada, bob) = (gateway.token("ada").await, gateway.token("bob").await);
    let params = json!({"name": "new__test_simple_text", "arguments": {}});
    let mut allowed = 0;
    for round in 0..6 {
        let era = if round % 2 == 0 { Era::Stateless } else { Era::Handshake };
        // Another session, another address that only the client claims, another program.
        let client = client(&gateway, &ada, "/mcp", era).await;
        let spoofed = format!("203.0.113.{round}");
        let request = client.prepare("tools/call", params.clone());
        let mut reply = request.header("x-forwarded-for", &spoofed).send().await;
        if reply.status == StatusCode::TOO_MANY_REQUESTS {
            let after: u64 = reply.header("retry-after").parse().unwrap();
            assert!((1..=3720).contains(&after), "{after}");
            let answer = reply.next().await.unwrap();
            assert_eq!(answer["error"]["code"], -31003, "{answer}");
            assert_eq!(answer["error"]["data"]["retryAfter"], after);
        } else {
            assert_eq!(reply.status, StatusCode::OK);
            allowed += 1;
        }
    }
    assert_eq!(allowed, 3);
    let bob = client(&gateway, &bob, "/mcp", Era::Stateless).await;
    assert!(bob.call("new__test_simple_text", json!({})).await.get("result").is_some());
    let ada = client(&gateway, &ada, "/mcp", Era::Stateless).await;
    assert!(
        ada.call("new__test_error_handling", json!({})).await.get("result").is_some(),
        "another tool"
    );
}

#[tokio::test]
async fn a_quota_outlives_the_gateway() {
    let gateway = gateway(
        "[roles.r]\nmembers = [\"token:ada\"]\nallow = [\"*\"]\n[limits.on.day]\nmatch = [\"new/*\"]\nper = [\"principal\"]\nquota = \"2/365d\"\n",
    )
    .await;
    let ada = gateway.token("ada").await;
    let one = client(&gateway, &ada, "/mcp", Era::Stateless).await;
    assert!(one.call("new__test_simple_text", json!({})).await.get("result").is_some());
    let gateway = gateway.restart().await;
    let again = client(&gateway, &ada, "/mcp", Era::Stateless).await;
    assert!(again.call("new__test_simple_text", json!({})).await.get("result").is_some());
    let over = again.call("new__test_simple_text", json!({})).await;
    assert_eq!(over["error"]["code"], -31003, "{over}");
}

#[tokio::test]
async fn addresses_count_as_the_peer_has_them_unless_a_trusted_proxy_says_otherwise() {
    let roles = "[roles.r]\nmembers = [\"token:ada\"]\nallow = [\"*\"]\n";
    let direct = gateway(&format!("{roles}[network]\ndeny = [\"198.51.100.0/24\"]\n")).await;
    let token = direct.token("ada").await;
    let known = client(&direct, &token, "/mcp", Era::Stateless).await;
    let spoofed = known.prepare("tools/list", json!({})).header("x-forwarded-for", "198.51.100.7");
    assert_eq!(spoofed.send().await.status, StatusCode::OK, "the peer's address counts");

    let proxied = gateway(&format!(
        "{roles}[network]\ntrusted-proxies = [\"127.0.0.1/32\"]\ndeny = [\"198.51.100.0/24\"]\n"
    ))
    .await;
    let token = proxied.token("ada").await;
    let known = client(&proxied, &token, "/mcp", Era::Stateless).await;
    let from =
        |address: &str| known.prepare("tools/list", json!({})).header("x-forwarded-for", address);
    assert_eq!(from("192.0.2.1").send().await.status, StatusCode::OK);
    assert_eq!(from("::ffff:198.51.100.7").send().await.status, StatusCode::FORBIDDEN);
    assert_eq!(from("192.0.2.1, 198.51.100.7").send().await.status, StatusCode::FORBIDDEN);
    assert_eq!(from("198.51.100.7, 192.0.2.1").send().await.status, StatusCode::OK);
    assert_eq!(from("fe80::1%eth0").send().await.status, StatusCode::FORBIDDEN);
}

const ASKING: &str = r#"
[roles.r]
members = ["token:ada", "token:eve"]
allow = ["*"]
ask = [{ match = "new/echo", reason = "it says things" }]
[approvals]
approvers = ["owner", "token:eve"]
wait = "60s"
"#;

async fn approvals(gateway: &Gateway, arguments: &[&str]) -> Value {
    let text =
        run(gateway.command().arg("approvals").args(arguments).args(["--output", "json"])).await;
    serde_json::from_str(&text).unwrap_or_else(|fault| panic!("{fault}: {text}"))
}

#[tokio::test]
async fn an_approver_sees_the_very_call_and_lets_it_happen_once() {
    let gateway = gateway(ASKING).await;
    let ada = gateway.token("ada").await;
    for era in [Era::Handshake, Era::Stateless] {
        let caller = client(&gateway, &ada, "/mcp", era).await;
        let call = caller.call("new__echo", json!({"text": "hello"}));
        let approve = async {
            let asked = gateway.asked().await;
            let request = &asked["request"];
            assert_eq!(request["principal"], "token:ada");
            assert_eq!((&request["server"], &request["name"]), (&json!("new"), &json!("echo")));
            assert_eq!(request["arguments"], json!({"text": "hello"}));
            assert_eq!(request["rule"], "role r ask new/echo");
            assert_eq!(request["reason"], "it says things");
            let id = asked["id"].as_str().unwrap();
            assert_eq!(approvals(&gateway, &["approve", &id[..8]]).await["state"], "approved");
        };
        let (answer, ()) = tokio::join!(call, approve);
        assert_eq!(answer["result"]["content"][0]["text"], "hello", "{answer}");

        // Used up: the same call waits again, and what is denied stays denied.
        let call = caller.call("new__echo", json!({"text": "hello"}));
        let deny = async {
            let id = gateway.asked().await["id"].as_str().unwrap().to_owned();
            assert_eq!(approvals(&gateway, &["deny", &id]).await["state"], "denied");
        };
        let (answer, ()) = tokio::join!(call, deny);
        assert_eq!(answer["error"]["message"], "An approver did not allow this.", "{answer}");
        let other = if era == Era::Handshake { "other" } else { "another" };
        // Other arguments are another request.
        let call = caller.call("new__echo", json!({"text": other}));
        let approve = async {
            let id = gateway.asked().await["id"].as_str().unwrap().to_owned();
            approvals(&gateway, &["approve", &id]).await;
        };
        let (answer, ()) = tokio::join!(call, approve);
        assert_eq!(answer["result"]["content"][0]["text"], other, "{answer}");
        // So that the next era does not meet what was denied here.
        let list = approvals(&gateway, &["list", "--all"]).await;
        assert!(list.as_array().unwrap().iter().any(|one| one["state"] == "used"), "{list}");
        if era == Era::Handshake {
            break;
        }
    }
}

/// What has no arguments, and what rides beside them, is part of what is approved.
#[tokio::test]
async fn an_approver_sees_all_that_would_be_sent() {
    let gateway = gateway(ASKING).await;
    let ada = gateway.token("ada").await;
    let caller = client(&gateway, &ada, "/mcp", Era::Stateless).await;
    let params =
        |more: &str| json!({"name": "new__echo", "arguments": {"text": "a"}, "more": more});
    let call = caller.request("tools/call", params("one"));
    let approve = async {
        let asked = gateway.asked().await;
        assert_eq!(asked["request"]["more"], json!({"more": "one"}), "{asked}");
        approvals(&gateway, &["approve", asked["id"].as_str().unwrap()]).await;
    };
    let (answer, ()) = tokio::join!(call, approve);
    assert_eq!(answer["result"]["content"][0]["text"], "a", "{answer}");

    // Approved for one, it is not approved for another.
    let call = caller.request("tools/call", params("two"));
    let deny = async {
        let asked = gateway.asked().await;
        assert_eq!(asked["request"]["more"], json!({"more": "two"}), "{asked}");
        approvals(&gateway, &["deny", asked["id"].as_str().unwrap()]).await;
    };
    let (answer, ()) = tokio::join!(call, deny);
    assert!(answer["error"].is_object(), "{answer}");
}

/// A server that asks back does not turn one approval into many calls.
#[tokio::test]
async fn an_approval_goes_on_over_the_rounds_of_its_call_and_each_is_made_once() {
    let tool = "test_input_required_result_elicitation";
    let gateway = gateway(&ASKING.replace("new/echo", &format!("new/{tool}"))).await;
    let ada = gateway.token("ada").await;
    let can = json!({ "elicitation": {} });
    let caller = Client::able(&gateway.address, "/mcp/new", Era::Stateless, Some(&ada), can).await;
    let approve = async {
        let id = gateway.asked().await["id"].as_str().unwrap().to_owned();
        approvals(&gateway, &["approve", &id]).await;
        id
    };
    let (asked, id) = tokio::join!(caller.call(tool, json!({})), approve);
    let key = asked["result"]["inputRequests"].as_object().unwrap().keys().next().unwrap();
    let params = json!({
        "name": tool, "arguments": {}, "requestState": asked["result"]["requestState"],
        "inputResponses": { key: { "action": "accept", "content": { "name": "Ada" } } },
    });
    let answer = caller.request("tools/call", params.clone()).await;
    assert!(answer["result"]["content"][0]["text"].as_str().unwrap().contains("Ada"), "{answer}");
    let again = caller.request("tools/call", params).await;
    assert_eq!(again["error"]["code"], -32602, "{again}");
    // Both rounds name the approval.
    let search = gateway.command().args(["audit", "search", "--output", "json"]).output().await;
    let log = String::from_utf8(search.unwrap().stdout).unwrap();
    let intents = log.lines().filter(|line| line.contains("\"intent\"") && line.contains(&id));
    assert!(log.matches(&id).count() >= 4 || intents.count() >= 2, "{log}");
}

#[tokio::test]
async fn nobody_approves_their_own_call_and_strangers_approve_none() {
    let gateway = gateway(ASKING).await;
    let (ada, eve) = (gateway.token("ada").await, gateway.token("eve").await);
    let caller = client(&gateway, &eve, "/mcp", Era::Stateless).await;
    let call = caller.call("new__echo", json!({"text": "hello"}));
    let word = async {
        let id = gateway.asked().await["id"].as_str().unwrap().to_owned();
        let path = format!("/approvals/{id}");
        let says = async |token: Option<&str>, approve| {
            let body = json!({ "approve": approve }).to_string();
            let mut request = e2e::Request::post(&gateway.address, &path, body);
            if let Some(token) = token {
                request = request.header("authorization", &format!("Bearer {token}"));
            }
            request.send().await.status
        };
        assert_eq!(says(None, true).await, StatusCode::UNAUTHORIZED);
        assert_eq!(says(Some(&ada), true).await, StatusCode::FORBIDDEN, "no approver");
        assert_eq!(says(Some(&eve), true).await, StatusCode::FORBIDDEN, "her own");
        // The link alone shows the state and nothing else.
        let mut page = e2e::Request::new(http::Method::GET, &gateway.address, &path).send().await;
        assert_eq!(page.status, StatusCode::OK);
        let text = page.text().await;
        assert!(text.contains("Waiting") && !text.contains("hello"), "{text}");
        assert_eq!(says(Some(&eve), false).await, StatusCode::OK, "she takes it back");
    };
    let (answer, ()) = tokio::join!(call, word);
    assert_eq!(answer["error"]["message"], "An approver did not allow this.", "{answer}");
    let log = run(gateway.command().args(["audit", "search", "--output", "json"])).await;
    assert!(log.contains("\"approval\"") && log.contains("token:eve"), "{log}");
    // Whoever tried and may not is in the log.
    for tried in ["only an approver may decide", "nobody approves what they asked for themselves"] {
        assert!(log.contains(tried), "{tried}: {log}");
    }
}

/// One gateway, at a URL that people reach, where it takes two.
#[tokio::test]
async fn a_client_that_shows_links_is_given_one_and_it_takes_two() {
    let (url, command) = (e2e::free_url(), binary("everything"));
    let text = format!(
        "[trust]\non-first-use = \"approve\"\n[servers.new]\ncommand = {command:?}\nargs = [\"stdio\"]\n[roles.r]\nmembers = [\"token:ada\", \"token:eve\"]\nallow = [\"*\"]\nask = [\"new/echo\"]\n[approvals]\napprovers = [\"owner\", \"token:eve\"]\nquorum = 2\nwait = \"60s\"\nurl = {url:?}\n"
    );
    let gateway = Gateway::start_at(&url, &text, &[]).await;
    let (ada, eve) = (gateway.token("ada").await, gateway.token("eve").await);
    let capabilities = json!({ "elicitation": { "url": {} } });
    for era in Era::ALL {
        let able = Client::able(&gateway.address, "/mcp", era, Some(&ada), capabilities.clone());
        let (caller, link) = (able.await, std::sync::Mutex::new(String::new()));
        let text = format!("hello {era:?}");
        let params = json!({ "name": "new__echo", "arguments": { "text": text } });
        // The link is shown; that it was opened is no approval.
        let call = caller.request_answering("tools/call", params, |method, params| {
            assert_eq!((method, &params["mode"]), ("elicitation/create", &json!("url")));
            *link.lock().unwrap() = params["url"].as_str().unwrap().to_owned();
            json!({ "action": "accept" })
        });
        let decide = async {
            let asked = gateway.asked().await;
            let id = asked["id"].as_str().unwrap();
            let body = json!({ "approve": true }).to_string();
            let mut reply = e2e::Request::post(&gateway.address, &format!("/approvals/{id}"), body)
                .header("authorization", &format!("Bearer {eve}"))
                .send()
                .await;
            let first: Value = serde_json::from_str(&reply.text().await).unwrap();
            assert_eq!((&first["state"], &first["by"]), (&json!("pending"), &json!(["token:eve"])));
            let second = approvals(&gateway, &["approve", id]).await;
            assert_eq!(second["state"], "approved", "{second}");
            id.to_owned()
        };
        let (answer, id) = tokio::join!(call, decide);
        assert_eq!(answer["result"]["content"][0]["text"], text, "{answer}");
        assert_eq!(*link.lock().unwrap(), format!("{url}/approvals/{id}"));
    }
}

/// Two gateways with configurations of their own and one store.
#[tokio::test]
async fn roles_in_the_store_are_those_of_every_gateway_that_has_it() {
    let own = "[roles.local]\nmembers = [\"token:bob\"]\nallow = [\"new/test_*\"]\n";
    let one = gateway(own).await;
    let other = one.beside(&configuration(own)).await;
    let ada = one.token("ada").await;
    let tools = async |of: &Gateway| client(of, &ada, "/mcp", Era::Stateless).await.tools().await;
    for gateway in [&one, &other] {
        assert_eq!(tools(gateway).await, [""; 0]);
    }
    let team = "[roles.team]\nmembers = [\"token:ada\"]\nallow = [\"new/echo\"]\n";
    let put = async |text: &str| {
        std::fs::write(one.folder().join("team.toml"), text).unwrap();
        one.command().args(["policy", "put", "team", "team.toml"]).output().await.unwrap()
    };
    assert!(put(team).await.status.success());
    for gateway in [&one, &other] {
        eventually("the role is taken up", async || tools(gateway).await == ["new__echo"]).await;
        let client = client(gateway, &ada, "/mcp", Era::Handshake).await;
        assert_eq!(client.call_text("new__echo", json!({"text": "hi"})).await, "hi");
        let denied = client.call("new__test_simple_text", json!({})).await;
        assert!(denied["error"].is_object(), "{denied}");
    }

    // A role is defined in one place: neither the store nor a configuration adds to the other's.
    let refused = put(&format!("{team}[roles.local]\nallow = [\"*\"]\n")).await;
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("role `local` is defined in") && said.contains("team.toml:4"), "{said}");
    let clash = team.replace("new/echo", "*");
    other.configure_with(&configuration(&format!("{own}{clash}")));
    eventually("the clash is told", async || {
        other.log().contains("role `team` of `team` in the store is defined elsewhere too")
    })
    .await;
    assert_eq!(tools(&other).await, ["new__echo"]);

    run(one.command().args(["policy", "remove", "team"])).await;
    for gateway in [&one, &other] {
        eventually("the role is gone", async || tools(gateway).await.is_empty()).await;
    }
    // Whoever took the change up recorded who made it.
    let mut told = String::new();
    for gateway in [&one, &other] {
        let search = ["audit", "search", "--kind", "config", "--output", "json"];
        told += &run(gateway.command().args(search)).await;
    }
    assert!(told.contains("put in the store") && told.contains("remove in the store"), "{told}");
}

#[tokio::test]
async fn a_check_looks_at_what_the_running_gateway_offers() {
    let roles = "[roles.r]\nmembers = [\"token:ada\"]\nallow = [\"new/echo\", \"new/ehco\", \"new/test_*\"]\ndeny = [\"new/test_image_content\"]\n";
    let gateway = gateway(roles).await;
    let check = ["policy", "check", "--output", "json"];
    let output = gateway.command().args(check).output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let findings: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let found = |finding: &str, rule: &str| {
        findings.iter().any(|one| one["finding"] == finding && one["rule"] == rule)
    };
    assert!(found("unmatched", "role r allow new/ehco"), "{findings:?}");
    assert!(found("nobody", "tool new/test_image_content"), "{findings:?}");
    assert!(!found("nobody", "tool new/echo") && !found("unmatched", "role r allow new/echo"));
}
