//! What was made for one principal does not exist for another.

use std::time::{Duration, Instant};

use e2e::{Client, Era, Gateway, Upstream, binary};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

struct Two {
    gateway: Gateway,
    ada: String,
    bob: String,
    _upstream: Upstream,
}

/// A gateway that lets nobody in without a token, and two who have one.
async fn two() -> Two {
    let upstream = Upstream::fixture("everything", &["--era", "stateless"]).await;
    let (command, url, paged) = (binary("everything"), &upstream.url, binary("hostile"));
    let gateway = Gateway::start_with(
        &format!(
            r#"
            [trust]
            on-first-use = "approve"
            [servers.new]
            url = "{url}"
            allow-private = true
            [servers.old]
            command = {command:?}
            args = ["stdio", "--era", "handshake"]
            [servers.paged]
            command = {paged:?}
            args = ["stdio"]
            "#
        ),
        &[],
    )
    .await;
    let (ada, bob) = (gateway.token("ada").await, gateway.token("bob").await);
    assert_ne!(ada, bob);
    Two { gateway, ada, bob, _upstream: upstream }
}

impl Two {
    async fn client(&self, token: &str, path: &str, era: Era) -> Client {
        Client::connect_as(&self.gateway.address, path, era, Some(token)).await
    }
}

#[tokio::test]
async fn nobody_enters_without_a_valid_token() {
    let two = two().await;
    let known = two.client(&two.ada, "/mcp", Era::Stateless).await;
    let list = || known.prepare("tools/list", json!({}));
    assert_eq!(list().send().await.status, StatusCode::OK);
    let forged = format!("Bearer {}x", two.ada);
    let wrong = [
        list().without("authorization"),
        list().header("authorization", "Bearer nonsense"),
        list().header("authorization", &forged),
        list().header("authorization", &format!("Basic {}", two.ada)),
        list().header("authorization", ""),
    ];
    for request in wrong {
        let reply = request.send().await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
        assert!(reply.header("www-authenticate").starts_with("Bearer"), "{:?}", reply.headers);
    }
    let doubled = list().also_header("authorization", &format!("Bearer {}", two.bob)).send().await;
    assert!(doubled.status.is_client_error(), "two tokens: {}", doubled.status);
}

#[tokio::test]
async fn a_revoked_token_is_soon_refused() {
    let two = two().await;
    let ada = two.client(&two.ada, "/mcp", Era::Handshake).await;
    let status = async || ada.prepare("tools/list", json!({})).send().await.status;
    assert_eq!(status().await, StatusCode::OK);
    let begin = Instant::now();
    e2e::run(two.gateway.command().args(["token", "revoke", "ada"])).await;
    e2e::eventually("the token is refused", async || status().await != StatusCode::OK).await;
    assert_eq!(status().await, StatusCode::UNAUTHORIZED);
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_session_belongs_to_who_began_it() {
    let two = two().await;
    let ada = two.client(&two.ada, "/mcp", Era::Handshake).await;
    let session = ada.session.clone().unwrap();
    assert!(!session.is_empty(), "no session id");
    let bob = format!("Bearer {}", two.bob);
    let stolen = ada.prepare("tools/list", json!({})).header("authorization", &bob).send().await;
    assert_eq!(stolen.status, StatusCode::NOT_FOUND);
    let stream = ada.get().header("authorization", &bob).send().await;
    assert_eq!(stream.status, StatusCode::NOT_FOUND);
    let end = ada.delete().header("authorization", &bob).send().await;
    assert_eq!(end.status, StatusCode::NOT_FOUND);

    // Another's attempts did not end it; its own DELETE does.
    assert_eq!(ada.prepare("tools/list", json!({})).send().await.status, StatusCode::OK);
    assert!(ada.delete().send().await.status.is_success());
    let after = ada.prepare("tools/list", json!({})).send().await;
    assert_eq!(after.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_forged_session_does_not_exist() {
    let two = two().await;
    let mut ada = two.client(&two.ada, "/mcp", Era::Handshake).await;
    let session = ada.session.clone().unwrap();
    let middle = session.len() / 2;
    let flipped = if session.as_bytes()[middle] == b'A' { "B" } else { "A" };
    let changed = format!("{}{flipped}{}", &session[..middle], &session[middle + 1..]);
    for forged in [changed.as_str(), "nonsense", &session[1..], &session.repeat(2)] {
        ada.session = Some(forged.to_owned());
        let reply = ada.prepare("tools/list", json!({})).send().await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{forged}");
    }
    ada.session = None;
    let reply = ada.prepare("tools/list", json!({})).send().await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST, "without a session");
}

/// Asks for a name, and hands back the answer with the state that came with the question.
fn retry(client: &Client, tool: &str, asked: &Value) -> e2e::Request {
    let requests =
        asked["result"]["inputRequests"].as_object().unwrap_or_else(|| panic!("{asked}"));
    let key = requests.keys().next().unwrap();
    let answer = json!({ key: { "action": "accept", "content": { "name": "Ada" } } });
    let state = &asked["result"]["requestState"];
    assert!(state.is_string(), "{asked}");
    client.prepare(
        "tools/call",
        json!({ "name": tool, "arguments": {}, "inputResponses": answer, "requestState": state }),
    )
}

#[tokio::test]
async fn the_state_of_a_call_belongs_to_who_made_it() {
    let two = two().await;
    for server in ["old", "new"] {
        let path = format!("/mcp/{server}");
        let tool = "test_input_required_result_elicitation";
        let ada = two.client(&two.ada, &path, Era::Stateless).await;
        let bob = two.client(&two.bob, &path, Era::Stateless).await;
        let asked = ada.call(tool, json!({})).await;

        let stolen = retry(&bob, tool, &asked).send().await.next().await.unwrap();
        assert_eq!(stolen["error"]["code"], -32602, "{server}: {stolen}");
        let other_tool = retry(&ada, "test_input_required_result_request_state", &asked);
        let moved = other_tool.send().await.next().await.unwrap();
        assert_eq!(moved["error"]["code"], -32602, "{server}: {moved}");
        let own = retry(&ada, tool, &asked).send().await.next().await.unwrap();
        assert_eq!(own["result"]["content"][0]["text"], "Hello, Ada!", "{server}: {own}");
    }
}

#[tokio::test]
async fn the_state_of_one_server_is_not_anothers() {
    let two = two().await;
    let ada = two.client(&two.ada, "/mcp", Era::Stateless).await;
    let asked = ada.call("new__test_input_required_result_elicitation", json!({})).await;
    let crossed = retry(&ada, "old__test_input_required_result_elicitation", &asked);
    let answer = crossed.send().await.next().await.unwrap();
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
}

#[tokio::test]
async fn an_upstream_process_is_not_shared() {
    let two = two().await;
    for (token, path) in [(&two.ada, "/mcp/old"), (&two.bob, "/mcp/old")] {
        let client = two.client(token, path, Era::Stateless).await;
        assert_eq!(client.call_text("echo", json!({ "text": "hi" })).await, "hi");
    }
    assert!(two.gateway.children().len() >= 2, "one process each: {:?}", two.gateway.children());
}

#[tokio::test]
async fn a_task_belongs_to_who_began_it() {
    let two = two().await;
    let ada = two.client(&two.ada, "/mcp/new", Era::Stateless).await;
    let bob = two.client(&two.bob, "/mcp/new", Era::Stateless).await;
    let capable = |client: &Client, method: &str, params: Value| {
        let mut params = client.with_meta(params);
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] =
            json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
        let raw = params.to_string();
        client.prepare_raw("1", method, &raw)
    };
    let call = json!({ "name": "slow_compute", "arguments": { "seconds": 600 } });
    let task = capable(&ada, "tools/call", call).send().await.next().await.unwrap();
    let id = task["result"]["taskId"].as_str().unwrap_or_else(|| panic!("{task}")).to_owned();
    let get = || json!({ "taskId": id });
    let own = capable(&ada, "tasks/get", get()).send().await.next().await.unwrap();
    assert_eq!(own["result"]["status"], "working", "{own}");
    let stolen = capable(&bob, "tasks/get", get()).send().await.next().await.unwrap();
    assert_eq!(stolen["error"]["code"], -32602, "{stolen}");
    let stopped = capable(&bob, "tasks/cancel", get()).send().await.next().await.unwrap();
    assert_eq!(stopped["error"]["code"], -32602, "{stopped}");
}

#[tokio::test]
async fn a_forged_cursor_is_refused() {
    let two = two().await;
    let ada = two.client(&two.ada, "/mcp", Era::Stateless).await;
    for method in ["tools/list", "prompts/list", "resources/list"] {
        for forged in ["", "nonsense", "eyJwYWdlIjoxfQ==", "page-2"] {
            let answer = ada.request(method, json!({ "cursor": forged })).await;
            assert_eq!(answer["error"]["code"], -32602, "{method}, cursor {forged:?}: {answer}");
        }
    }
}

/// The paged server has three prompts, on a page each.
#[tokio::test]
async fn a_cursor_belongs_to_whom_it_was_given() {
    let two = two().await;
    for path in ["/mcp/paged", "/mcp"] {
        let ada = two.client(&two.ada, path, Era::Stateless).await;
        let bob = two.client(&two.bob, path, Era::Stateless).await;
        let mut names = String::new();
        let mut params = json!({});
        loop {
            let page = ada.request("prompts/list", params).await;
            names += &page["result"]["prompts"].to_string();
            let Some(cursor) = page["result"]["nextCursor"].as_str() else { break };
            params = json!({ "cursor": cursor });
            let stolen = bob.request("prompts/list", params.clone()).await;
            assert_eq!(stolen["error"]["code"], -32602, "{stolen}");
            let moved = ada.request("tools/list", params.clone()).await;
            assert_eq!(moved["error"]["code"], -32602, "{moved}");
        }
        for name in ["first_page", "second_page", "third_page"] {
            assert!(names.contains(name), "{path}: {name} is not in {names}");
        }
    }
}

/// The owner is whose the state folder is, and the operating system says who connects: modes let root in, this does not.
#[tokio::test]
async fn the_owners_socket_serves_nobody_else() {
    const OTHER: u32 = 65534;
    let answer = async |gateway: &Gateway| {
        let socket = gateway.folder().join("state/gateway.sock");
        let mut stream = UnixStream::connect(&socket).await.unwrap();
        let mut answer = String::new();
        // Whoever is sent away finds the connection closed, sooner or later.
        if stream.write_all(b"bartizan/1 control fault\n").await.is_ok() {
            let _ = stream.read_to_string(&mut answer).await;
        }
        answer
    };
    let gateway = Gateway::start("").await;
    assert_eq!(answer(&gateway).await, "null");
    let state = gateway.folder().join("state");
    std::os::unix::fs::chown(state, Some(OTHER), None).unwrap();
    let gateway = gateway.restart().await;
    assert_eq!(answer(&gateway).await, "");
}
